#!/usr/bin/env python3
"""Runs the tests of the line with the environment that they need. Usage: line_tests.py [FILTER as for pytest -k]"""

import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from realodoo import cache, fetch


def main():
    """pytest's exit code: 0 only if tests ran and all passed; a skipped test is an error in this folder."""
    _, python, _ = fetch.everything()
    folder = Path(__file__).with_name("line")
    command = [python, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rA", "--tb=short", "--strict-markers", folder]
    if len(sys.argv) > 1:
        command += ["-k", " ".join(sys.argv[1:])]
    else:
        # Two lines beside each other, each with everything of its own: most of the time one waits for a browser.
        command += ["-n", "2", "--dist", "loadfile"]
        # An evening has a recipe of its own: `just evening`.
        command += [f"--ignore={folder / 'test_screens_evening.py'}"]
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    done = subprocess.run([str(part) for part in command], env=environment, check=False, stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="")
    if len(sys.argv) == 1 and not done.returncode:
        passed = re.findall(r"^PASSED (\S+)", done.stdout, re.MULTILINE)
        faults = cache.below_floor(line=len(passed), screens=sum("test_screens" in name for name in passed))
        for fault in faults:
            cache.say(f"FAULT: {fault}")
        if faults:
            return 1
    if " skipped" in done.stdout.rsplit("\n", 2)[-2]:
        cache.say("FAULT: a test was skipped; a skipped test is not passed")
        return 1
    return done.returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except cache.Failed as failure:
        sys.exit(f"line tests: {failure}")
