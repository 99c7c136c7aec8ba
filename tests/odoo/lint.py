#!/usr/bin/env python3
"""The lints of the addon and of the tests' Python: ruff, the OCA's two, and the README made of its fragments."""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from realodoo import cache, fetch


def main():
    """Runs all of them; exit code 1 if one complains."""
    _, python, _ = fetch.everything()
    programs = Path(python).parent
    addon = cache.PROJECT / "odoo_addon/mcp_webhook"
    commands = [
        [programs / "ruff", "check", "--quiet", addon, cache.HERE, cache.PROJECT / "tests/ops"],
        [programs / "ruff", "format", "--check", "--quiet", addon],
        [
            programs / "pylint", "--load-plugins=pylint_odoo", "-d", "all", "-e", "odoolint",
            "--valid-odoo-versions=19.0", "--manifest-required-authors=mcp-webhookd contributors", addon,
        ],
        [programs / "oca-checks-odoo-module", addon],
        [python, cache.HERE / "readme.py", "--check"],
    ]
    failed = [c for c in commands if subprocess.run([str(part) for part in c], check=False).returncode]
    print(f"{len(commands) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except cache.Failed as failure:
        sys.exit(f"lint: {failure}")
