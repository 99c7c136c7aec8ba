"""Makes REPORT.md of what the tests tried in this run, and fails where a class lost cases or something was reached.

Each test leaves its part in target/security; `just test` clears that folder first and calls this last. The report goes
there, too; with `--keep` it replaces the one beside this file.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
PARTS = HERE.parents[1] / "target" / "security"
# So many cases at least were tried in each class; a number is raised when cases are added.
FLOOR = json.loads((HERE / "floor.json").read_text())
HEAD = """# What was tried

Made by the tests: the sidecar's release binary in a network namespace in which every address is local and has a listener
(`tests/security/tests`), and with a real Odoo over its own protocols (`tests/odoo/line`: `test_doors.py`,
`test_approval.py`, `test_canaries.py`, `test_hostile.py`, `test_loops.py`, `test_room.py`). *Reached* counts what an
attacker got: connections to a listener that they were not meant for, calls that did something, values that were shown.

| class | cases tried | refused | reached |
|---|---:|---:|---:|
"""


def main():
    parts = [json.loads(path.read_text()) for path in sorted(PARTS.glob("*.json"))]
    classes = merged(c for part in parts for c in part["classes"])
    faults = [f"{name}: no test of this run tried it" for name in FLOOR if name not in {c["name"] for c in classes}]
    for c in classes:
        tried, floor = len(c["cases"]), FLOOR.get(c["name"])
        if floor is None:
            faults.append(f"{c['name']}: floor.json does not know this class ({tried} cases)")
        elif tried < floor:
            faults.append(f"{c['name']}: {tried} cases were tried, there were {floor}")
        if c["refused"] != tried or c["reached"]:
            faults.append(f"{c['name']}: {c['refused']} of {tried} refused, {c['reached']} reached")
    controls = [row for part in parts for row in part["controls"]]
    out = HERE if "--keep" in sys.argv[1:] else PARTS
    PARTS.mkdir(parents=True, exist_ok=True)
    (out / "REPORT.md").write_text(report(classes, controls))
    print(f"{(out / 'REPORT.md').relative_to(HERE.parents[1])}: what was tried, in {len(classes)} classes")
    print(f"{sum(len(c['cases']) for c in classes)} passed, {len(faults)} failed")
    if faults:
        sys.exit("\n".join(faults))


def merged(classes):
    """Each class once: several workers may have tried some of its cases."""
    found = {}
    for c in classes:
        one = found.setdefault(c["name"], {"name": c["name"], "cases": [], "refused": 0, "reached": 0})
        for key in ("cases", "refused", "reached"):
            one[key] += c[key]
    return sorted(found.values(), key=lambda c: c["name"])


def report(classes, controls):
    text = HEAD
    total = [0, 0, 0]
    for c in classes:
        row = (len(c["cases"]), c["refused"], c["reached"])
        total = [a + b for a, b in zip(total, row, strict=True)]
        text += f"| {c['name']} | {row[0]} | {row[1]} | {row[2]} |\n"
    text += "| **all** | **{}** | **{}** | **{}** |\n".format(*total)
    text += "\n## Controls: what must be reached, and was\n\n" + table(controls)
    for c in classes:
        text += f"\n## {c['name']}\n\n" + table(c["cases"])
    return text


def table(rows):
    shown = [f"| `{plain(case)}` | {result} |\n" for case, result in rows]
    return "| case | result |\n|---|---|\n" + "".join(shown)


def plain(case):
    """On one line, in ASCII, at most 100 characters."""
    text = case[:100].encode("unicode_escape").decode().replace("\\\\", "\\")
    return text.replace("|", "\\|").replace("`", "'")


if __name__ == "__main__":
    main()
