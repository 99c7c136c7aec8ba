#!/usr/bin/env python3
"""Makes the addon's README.rst of the fragments in readme/, as the OCA does. With --check: fails if it is another."""

import ast
import sys
from pathlib import Path

ADDON = Path(__file__).resolve().parents[2] / "odoo_addon/mcp_webhook"
SECTIONS = {
    "DESCRIPTION": None,
    "INSTALL": "Installation",
    "CONFIGURE": "Configuration",
    "USAGE": "Usage",
    "ROADMAP": "Known issues / Roadmap",
    "HISTORY": "Changelog",
    "CONTRIBUTORS": "Contributors",
}


def readme():
    """The whole text."""
    name = ast.literal_eval((ADDON / "__manifest__.py").read_text())["name"]
    line = "=" * len(name)
    parts = [f"{line}\n{name}\n{line}", ".. Made of the fragments in readme/ by tests/odoo/readme.py; change those."]
    for fragment, title in SECTIONS.items():
        if title:
            parts.append(f"{title}\n{'=' * len(title)}")
        parts.append((ADDON / f"readme/{fragment}.rst").read_text().strip())
    return "\n\n".join(parts) + "\n"


def main():
    """Exit code 1 with --check if README.rst is out of date."""
    target = ADDON / "README.rst"
    if "--check" in sys.argv:
        if target.is_file() and target.read_text() == readme():
            return 0
        print("README.rst is not what readme/ says; run: python3 tests/odoo/readme.py")
        return 1
    target.write_text(readme())
    return 0


if __name__ == "__main__":
    sys.exit(main())
