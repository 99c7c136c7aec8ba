#!/usr/bin/env python3
"""Odoo's own tests as judge of the addon: without and with subscriptions on every model, and an oracle in PostgreSQL.

Usage: run.py [--whole] [--modules a,b] [--modes baseline,watched] [--classes A,B] [--share N] [--report FILE] [--keep FOLDER]
"""

import argparse
import shutil
import sys
from pathlib import Path

import compare
import report
from databases import SAMPLE, SHARE, WHOLE, site
from realodoo import cache
from realodoo.cache import say
from runs import MODES, run


def options():
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--whole", action="store_true", help="all modules, in a database that has them")
    parser.add_argument("--modules", help="instead of the sample's or the whole's")
    parser.add_argument("--modes", help=f"the first is the one to compare with; of {', '.join(MODES)}")
    parser.add_argument("--classes", default="", help="only these test classes")
    parser.add_argument("--share", type=int, help="one class of so many; the sample's by default")
    parser.add_argument("--report", help="write the report there")
    parser.add_argument("--addons", help="the folder with the addon to judge, instead of this project's")
    parser.add_argument("--keep", help="copy results and logs there")
    return parser.parse_args()


def main():
    """Exit code 0: no new failure, nothing missed, nothing told without a cause, and as many tests as there should be."""
    asked = options()
    modules = asked.modules.split(",") if asked.modules else list(WHOLE if asked.whole else SAMPLE)
    is_sample = not (asked.whole or asked.modules or asked.classes or asked.share)
    asked.share = asked.share or (SHARE if is_sample else 1)
    modes = (asked.modes or ("bare,baseline,watched,fields" if asked.whole else "baseline,both")).split(",")
    classes = [name for name in asked.classes.split(",") if name]
    with site(asked.whole, asked.addons) as running:
        try:
            runs = [run(running, MODES[name], modules, asked.share, classes) for name in modes]
            findings = report.Findings(runs, settle(running, modules, runs), what(modules, asked))
        finally:
            if asked.keep:
                keep(running.folder, Path(asked.keep))
    text = findings.text()
    if asked.report:
        Path(asked.report).write_text(text)
    print(text)
    faults = findings.faults() + (cache.below_floor(suite=len(runs[0].tests)) if is_sample else [])
    for fault in faults:
        say(f"FAULT: {fault}")
    print(f"{findings.passed} passed, {len(faults)} failed")
    return 1 if faults else 0


def what(modules, asked):
    """What was measured, for the report."""
    commit = cache.run(["git", "-C", cache.PROJECT, "rev-parse", "--short", "HEAD"]).strip()
    share = f"one class in {asked.share}" if asked.share > 1 else "every class"
    return f"commit {commit}; tests of {', '.join(modules)}; {asked.classes or share}"


def settle(running, modules, runs):
    """`{mode: (new failures, unsteady tests)}`; what failed only with subscriptions is run again, twice without, once with."""
    first, *others = runs
    settled = {}
    for other in others:
        names = compare.suspects(first, other)
        if names:
            classes = sorted({compare.class_of(name) for name in names})
            again = [run(running, mode, modules, classes=classes) for mode in (first.mode, first.mode, other.mode)]
            settled[other.mode.name] = compare.settle(names, again[:2], again[2:])
        else:
            settled[other.mode.name] = ([], [])
    return settled


def keep(folder, target):
    """Results and logs, to look at afterwards."""
    target.mkdir(parents=True, exist_ok=True)
    for path in (*folder.glob("result-*.jsonl"), *folder.glob("odoo-*.log")):
        shutil.copy(path, target)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except cache.Failed as failure:
        sys.exit(f"suite: {failure}")
