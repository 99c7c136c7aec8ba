#!/usr/bin/env python3
"""Runs the addon's tests in Odoo's own runner, and fails if they did not really run.

Usage: addon_tests.py [TAGS]      TAGS as for --test-tags, by default all of /mcp_webhook
"""

import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from realodoo import cache
from realodoo.cache import say
from realodoo.odoo import Site
from realodoo.postgres import free_port

SUMMARY = re.compile(r"(\d+) failed, (\d+) error\(s\) of (\d+) tests")


def run(site, tags):
    """Odoo's output, line by line, and its exit code."""
    data = site.database("addon_tests")
    command = site.command(
        site.cluster,
        data,
        "-d",
        "addon_tests",
        "-i",
        "mcp_webhook",
        "--skip-auto-install",
        f"--test-tags={tags}",
        "--stop-after-init",
        "--http-interface=127.0.0.1",
        f"--http-port={free_port()}",
        f"--gevent-port={free_port()}",
        "--log-level=test",
    )
    process = subprocess.Popen(
        [str(part) for part in command],
        env=site.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    return list(show(process.stdout)), process.wait()


def show(lines):
    """Shows what matters of the log as it comes, and passes everything on."""
    trouble = re.compile(r" (ERROR|CRITICAL|WARNING) |FAIL:|ERROR:|Traceback|^\s|Error")
    for line in lines:
        if "Starting Test" in line:
            say(line.split("Starting ")[-1].strip(" .\n"))
        elif trouble.search(line):
            print(line, end="", flush=True)
        yield line


def main():
    """Exit code 0: all passed, and as many as there should be."""
    tags = sys.argv[1] if len(sys.argv) > 1 else "/mcp_webhook"
    with Site() as site:
        say(f"running the addon's tests ({tags}) in Odoo's own runner")
        lines, code = run(site, tags)
    text = "".join(lines)
    started = len(re.findall(r"Starting Test\w*\.test_", text))
    skipped = len(re.findall(r"(?<!_)skipped (?:test|['\"])|: skipped", text, re.IGNORECASE))
    found = SUMMARY.findall(text)
    failed = sum(int(f) + int(e) for f, e, _ in found)
    faults = []
    if code:
        faults.append(f"Odoo ended with code {code}")
    if not found:
        faults.append("Odoo's summary of the tests is missing")
    if skipped:
        faults.append(f"{skipped} tests were skipped; a skipped test is not passed")
    if len(sys.argv) == 1:
        faults += cache.below_floor(tests=started)
    for fault in faults:
        say(f"FAULT: {fault}")
    print(f"{max(started - failed, 0)} passed, {max(failed, len(faults) if not failed else failed)} failed")
    return 1 if faults or failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except cache.Failed as failure:
        sys.exit(f"addon tests: {failure}")
