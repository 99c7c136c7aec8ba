"""Two runs against each other: what fails with subscriptions and does not without."""

BAD = ("failed", "error")


def class_of(test):
    """`Class` of `module.tests.file:Class.method`."""
    return test.rpartition(":")[2].split(".")[0]


def failures(run):
    """Tests of a run that failed."""
    return {name for name, line in run.tests.items() if line["outcome"] in BAD}


def suspects(without, with_):
    """Tests that passed without, and failed with or did not run at all."""
    passed = {name for name, line in without.tests.items() if line["outcome"] == "passed"}
    return sorted(name for name in passed if name not in with_.tests or with_.tests[name]["outcome"] in BAD)


def settle(names, again_without, again_with):
    """Which suspects are new failures, and which fail now and then also without.

    :param again_without: further runs without subscriptions, of the suspects' classes
    :return: (new failures, unsteady ones)
    """
    unsteady = set()
    for run in again_without:
        unsteady |= {name for name in names if name not in run.tests or run.tests[name]["outcome"] in BAD}
    for run in again_with:
        unsteady |= {name for name in names if name in run.tests and run.tests[name]["outcome"] == "passed"}
    return [name for name in names if name not in unsteady], sorted(unsteady)


def counts(run):
    """The sum of the judge's counts."""
    total = {}
    for line in run.tests.values():
        for kind, count in line.get("counts", {}).items():
            total[kind] = total.get(kind, 0) + count
    return total


def examples(run, kind):
    """`(test, what)` of one kind."""
    return [(name, what) for name, line in run.tests.items() for what in line.get("examples", {}).get(kind, ())]
