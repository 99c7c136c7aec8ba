"""What the runs say, as text."""

import re
from collections import Counter

import compare

# Each is a fault of the addon, or of this judge.
FAULTS = (
    "missed",
    "phantom",
    "duplicate",
    "stale value",
    "told of what the user may not read",
    "bad event",
    "failed row",
    "the judge failed",
)
EXEMPT = (
    "not told: the subscription's user may not read it",
    "not told: deleted under record rules, which cannot be asked afterwards",
    "events of the test's own subscriptions",
)
SHOWN = 40


class Findings:
    """The first run is what the others are compared with."""

    def __init__(self, runs, settled, what):
        self.what = what
        self.first, self.others = runs[0], runs[1:]
        self.runs, self.settled = runs, settled
        self.passed = sum(line["outcome"] == "passed" for run in runs for line in run.tests.values())

    def faults(self):
        """Why the run is red."""
        faults = []
        for run in self.runs:
            if not run.tests:
                faults.append(f"{run.mode.name}: no test ran")
            if run.total.get("log"):
                faults.append(f"{run.mode.name}: the addon logged {len(run.total['log'])} warnings or errors")
        for run in self.others:
            name = run.mode.name
            for test in self.settled[name][0]:
                faults.append(f"{name}: {test} fails, and passes in {self.first.mode.name}")
            counts = compare.counts(run)
            faults += [f"{name}: {counts[kind]} x {kind}" for kind in FAULTS if counts.get(kind)]
            if run.mode.watch and run.mode.oracle and not counts.get("promised"):
                faults.append(f"{name}: the oracle saw nothing that was promised")
        return faults

    def text(self):
        """The report."""
        parts = [HEAD, f"Measured: {self.what}.\n", self._table(), "\n## Failures\n", *self._failures()]
        for run in self.others:
            parts += self._watched(run) if run.mode.watch else self._idle(run)
        return "\n".join(parts).rstrip() + "\n"

    def _table(self):
        rows = [
            ("", *(run.mode.name for run in self.runs)),
            tuple("---" for _ in range(len(self.runs) + 1)),
            ("subscriptions", *(run.head.get("subscriptions", 0) for run in self.runs)),
            ("tests run", *(len(run.tests) for run in self.runs)),
            *(
                (word, *(sum(line["outcome"] == word for line in run.tests.values()) for run in self.runs))
                for word in ("passed", "failed", "error", "skipped")
            ),
            ("classes that could not be set up", *(len(run.classes) for run in self.runs)),
            ("query counts not met", *(sum(len(line["unmet"]) for line in run.tests.values()) for run in self.runs)),
            ("in tests", *(sum(bool(line["unmet"]) for line in run.tests.values()) for run in self.runs)),
            ("queries", *(run.total["queries"] for run in self.runs)),
            ("ratio", *(self._ratio(run, "queries") for run in self.runs)),
            ("tests with more queries", *(len(self._other_queries(run, 1)) for run in self.runs)),
            ("tests with fewer queries", *(len(self._other_queries(run, -1)) for run in self.runs)),
            ("seconds", *(f"{run.total['seconds']:.0f}" for run in self.runs)),
            ("ratio", *(self._ratio(run, "seconds") for run in self.runs)),
            ("logged by the addon", *(len(run.total.get("log", ())) for run in self.runs)),
        ]
        return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)

    def _ratio(self, run, what):
        """Of the tests that ran in both."""
        common = self.first.tests.keys() & run.tests.keys()
        before = sum(self.first.tests[name][what] for name in common)
        return f"{sum(run.tests[name][what] for name in common) / before:.2f}" if before else ""

    def _other_queries(self, run, sign):
        """`{test: how many}` of the tests with more (1) or fewer (-1) queries than in the first run."""
        before = {name: line["queries"] for name, line in self.first.tests.items()}
        more = {name: line["queries"] - before[name] for name, line in run.tests.items() if name in before}
        return {name: count for name, count in more.items() if count * sign > 0}

    def _idle(self, run):
        """What the addon costs where nothing is watched."""
        yield f"\n## {run.mode.name}: queries more or fewer than in {self.first.mode.name}\n"
        for name, count in sorted({**self._other_queries(run, 1), **self._other_queries(run, -1)}.items()):
            yield f"- {count:+} in {name}"

    def _failures(self):
        both = set.intersection(*(compare.failures(run) for run in self.runs))
        yield f"{len(both)} tests fail in every run, also where nothing is watched:\n"
        yield from (f"- {name}" for name in sorted(both))
        skipped = Counter(line["message"] for line in self.first.tests.values() if line["outcome"] == "skipped")
        yield f"\nSkipped, by Odoo's own word or for want of a browser: {sum(skipped.values())}\n"
        yield from (f"- {count} x {reason[:120]}" for reason, count in skipped.most_common(10))

    def _watched(self, run):
        name = run.mode.name
        new, unsteady = self.settled[name]
        yield f"\n## {name}: {run.head.get('subscriptions')} subscriptions on {run.head.get('models')} models\n"
        refusals = Counter(re.sub(r"\b[a-z]\w*(\.\w+)+\b", "…", text)[:140] for text in run.head.get("refused", {}).values())
        yield from (f"- refused by the addon: {count} x {text}" for text, count in refusals.most_common())
        yield f"\nNew failures: {len(new)}\n"
        yield from (f"- {test}: {clean(self._message(run, test))}" for test in new)
        yield f"\nUnsteady, also without subscriptions: {len(unsteady)}\n"
        yield from (f"- {test}" for test in unsteady)
        counts = compare.counts(run)
        yield "\n| the oracle | |\n|---|---|"
        allowed = sorted(kind for kind in counts if ", as may be: " in kind)
        for kind in ("changes", "promised", "rows", "events", *FAULTS, *EXEMPT, *allowed):
            yield f"| {kind} | {counts.get(kind, 0)} |"
        for kind in FAULTS:
            yield from self._examples(run, kind)
        if run.total.get("log"):
            yield "\nLogged by the addon:\n"
            yield from (f"- {count} x {clean(text)}" for text, count in Counter(run.total["log"]).most_common(10))

    def _message(self, run, test):
        return run.tests[test]["message"] if test in run.tests else "did not run"

    def _examples(self, run, kind):
        found = compare.examples(run, kind)
        if not found:
            return
        yield f"\n{kind}:\n"
        grouped = {}
        for test, what in found:
            key = re.sub(r"\d+", "N", re.sub(r"\(unit .*\)", "", what))
            grouped.setdefault(key, []).append((test, what))
        for same in sorted(grouped.values(), key=len, reverse=True)[:SHOWN]:
            test, what = same[0]
            yield f"- {len(same)} x {clean(what)} (first in {test})"


def clean(text):
    """One line, without this machine's paths."""
    return re.sub(r"(/[\w.+-]+){3,}/", "…/", " ".join(str(text).split()))[:300]


HEAD = """# Odoo's own tests as judge

Made by `just test-odoo-suite`. Each test runs with `cr.flush()` at its end. *baseline*: the addon is installed, nothing is watched;
*bare*: without the addon; *watched*: a subscription on every model that the addon takes, for any field, and on every ninth model
four more with watched fields and enrichment; *fields*: those four on every model. Row triggers in PostgreSQL note what changed; at
the end of each test the delivery rows of the same transaction are compared with what the contract promises of it.
Ratios are those of the tests alone that ran in both, with the triggers in both.
"""
