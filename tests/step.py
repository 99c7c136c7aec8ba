#!/usr/bin/env python3
"""Runs one step of `just test` and keeps how many tests it ran; `--sum` says so for all steps.

Usage: step.py KIND COMMAND [ARGUMENT ...], or step.py --sum KIND [KIND ...]

The count is read from the closing lines of the runners: cargo test and nextest, pytest, unittest, and this project's own
`N passed, N failed`. A step that ran nothing has failed, whatever its exit code says.
"""

import re
import subprocess
import sys
from pathlib import Path

KEPT = Path(__file__).resolve().parents[1] / "target/steps"
CLOSING = re.compile(
    r"test result: ok\. (\d+) passed"  # cargo test, once for each binary
    r"|^\s+Summary .*?: (\d+) passed"  # nextest
    r"|^Ran (\d+) tests? in "  # unittest
    r"|^=* ?(\d+) passed[, ]"  # pytest, and this project's own
)


def main():
    """Exit code of the command, or 1 where it ran no test."""
    if sys.argv[1] == "--sum":
        return say_all(sys.argv[2:])
    kind, *command = sys.argv[1:]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    passed = 0
    for line in process.stdout:
        print(line, end="", flush=True)
        if found := CLOSING.search(line):
            passed += int(next(filter(None, found.groups())))
    code = process.wait()
    if not code and not passed:
        print(f"FAULT: {kind}: no test ran", flush=True)
        code = 1
    if not code:
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / kind).write_text(str(passed))
    return code


def say_all(kinds):
    """Exit code 1 where a step is missing."""
    counts = {kind: int((KEPT / kind).read_text()) if (KEPT / kind).is_file() else 0 for kind in kinds}
    for kind, count in counts.items():
        print(f"{count:7,} {kind}")
    missing = [kind for kind, count in counts.items() if not count]
    print(f"{sum(counts.values())} passed, {len(missing)} failed")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
