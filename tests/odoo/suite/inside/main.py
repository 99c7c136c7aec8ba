"""Odoo's own start, with the tests' loop in place of its preloading.

Usage: main.py TASK.json ODOO'S OPTIONS...
"""

import json
import logging
import sys
import threading
import time
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import odoo.cli.server
import odoo.service.server
from odoo import SUPERUSER_ID, api, sql_db
from odoo.modules import module as odoo_module
from odoo.orm.registry import Registry
from odoo.tests.result import OdooTestResult
from odoo.tools import config

from inside import choose, oracle, patches, watch, witness
from inside.judge import Judge, Verdict

ADDON = "odoo.addons.mcp_webhook"


class Result(OdooTestResult):
    """Writes a line for each test as it ends, so that a crash loses only what had not run."""

    def __init__(self, out):
        super().__init__()
        self.out = out
        self.notes = patches.Notes()
        self.judging = 0.0
        self.outcome, self.message, self.started, self.queries_before = "passed", "", 0.0, 0

    def startTest(self, test):
        super().startTest(test)
        self.notes = patches.Notes()
        self.outcome, self.message = "passed", ""
        self.started, self.queries_before = time.monotonic(), sql_db.sql_counter

    def stopTest(self, test):
        super().stopTest(test)
        notes = self.notes
        self.judging += notes.judging
        line = {
            "test": f"{test.__class__.__module__.removeprefix('odoo.addons.')}:{test.__class__.__name__}.{test._testMethodName}",
            "outcome": self.outcome,
            "message": self.message,
            "seconds": round(time.monotonic() - self.started - notes.judging, 4),
            "queries": sql_db.sql_counter - self.queries_before,
            "unmet": notes.queries,
            "flush_error": notes.flush_error,
        }
        if notes.verdict is not None:
            line["counts"], line["examples"] = dict(notes.verdict.counts), notes.verdict.examples
        self.write(line)

    def write(self, line):
        """One line of JSON."""
        self.out.write(json.dumps(line, default=str) + "\n")
        self.out.flush()

    def addError(self, test, err):
        super().addError(test, err)
        self._failed("error", test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._failed("failed", test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.outcome, self.message = "skipped", str(reason)

    def _failed(self, outcome, test, err):
        self.outcome, self.message = outcome, f"{err[0].__name__}: {err[1]}"[:1500]
        if not hasattr(test, "_testMethodName"):  # a class that could not be set up
            self.write({"class": str(test), "outcome": outcome, "message": self.message})


class AddonLog(logging.Handler):
    """What the addon logs as a warning or worse."""

    def __init__(self, lines):
        super().__init__(logging.WARNING)
        self.lines = lines

    def emit(self, record):
        """Keeps the message, and an exception's last words."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f" | {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        self.lines.append(text[:500])


def run(task, database):
    """The whole run; returns the exit code."""
    threading.current_thread().dbname = database
    # A registry that loads runs the at_install tests of all modules where tests are enabled.
    with patch.dict(config._runtime_options, test_enable=False):
        registry = Registry(database)
    log = []
    logging.getLogger(ADDON).addHandler(AddonLog(log))
    judge = None
    if task["watch"]:
        with registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {"tracking_disable": True})
            watched = watch.everything(env, task["watch"])
            judge = Judge(env, watched)
            cr.flush()
            cr.postcommit.clear()  # no mails about them, and nothing to a sidecar
        registry.clear_all_caches()
    if task["oracle"]:
        with registry.cursor() as cr:
            relations = {f.relation for m in registry.values() for f in m._fields.values() if f.type == "many2many" and f.store}
            oracle.install(cr, relations)
        witness.install()
    with Path(task["output"]).open("w") as out:
        result = Result(out)
        if judge is not None:
            result.write({"subscriptions": len(watched.subscriptions), "models": len(judge.by_model), "refused": watched.refused})
        patches.install(lambda: result.notes, _asking(judge, task, result))
        suite = choose.chosen(task["modules"], task["share"], task["classes"])
        started, queries = time.monotonic(), sql_db.sql_counter
        odoo_module.current_test = True
        suite(result)
        odoo_module.current_test = False
        result.write(
            {
                "total": result.testsRun,
                "seconds": time.monotonic() - started - result.judging,
                "queries": sql_db.sql_counter - queries,
                "log": log,
            }
        )
    return 0


def _asking(judge, task, result):
    """The judge's queries and time are not the test's."""
    if judge is None or not task["oracle"]:
        return None

    def ask(env):
        before = sql_db.sql_counter, env.cr.sql_log_count
        try:
            with env.cr._cnx.cursor() as cursor:
                cursor.execute("SELECT txid_current()")
                (xid,) = cursor.fetchone()
            return judge.judge(env, xid)
        except Exception as error:  # a fault of the judge is no failure of the test, and does not go unseen
            verdict = Verdict()
            verdict.add("the judge failed", f"{type(error).__name__}: {error}")
            return verdict
        finally:
            sql_db.sql_counter, env.cr.sql_log_count = before

    return ask


def main():
    """Odoo's options follow the task's file."""
    task = json.loads(Path(sys.argv[1]).read_text())

    def preload(databases):
        return run(task, databases[0])

    odoo.service.server.preload_registries = preload
    odoo.cli.server.main(sys.argv[2:])


if __name__ == "__main__":
    main()
