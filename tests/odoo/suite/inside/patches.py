"""What is put around Odoo's tests: the end of the transaction at the end of each, queries counted instead of asserted."""

import time
from contextlib import contextmanager
from unittest import SkipTest
from unittest.mock import patch

from odoo.sql_db import Cursor
from odoo.tests import common
from odoo.tests.case import TestCase

BROWSER = "needs a browser"


class Notes:
    """Of the test that runs."""

    def __init__(self):
        self.queries = []  # expectations that were not met
        self.verdict = None
        self.judging = 0.0
        self.flush_error = None


def install(notes, judge):
    """
    :param notes: a function that returns the running test's :class:`Notes`
    :param judge: a function of an environment, or None
    """
    _end_transactions(notes, judge)
    for name in ("assertQueryCount", "assertQueries", "assertQueriesContain"):
        setattr(common.BaseCase, name, _counting(getattr(common.BaseCase, name), notes))

    def without_browser(self, *args, **options):
        raise SkipTest(BROWSER)

    common.HttpCase.browser_js = without_browser


def _end_transactions(notes, judge):
    call_test = TestCase._callTestMethod

    def and_flush(self, method):
        call_test(self, method)
        env = getattr(self, "env", None)
        if env is None or not isinstance(env.cr, Cursor) or env.cr.closed:
            return
        note = notes()
        try:
            env.cr.flush()
        except Exception as error:
            note.flush_error = f"{type(error).__name__}: {error}"
            raise
        if judge is not None:
            started = time.monotonic()
            note.verdict = judge(env)
            note.judging += time.monotonic() - started

    TestCase._callTestMethod = and_flush
    set_up = common.TransactionCase.setUp

    def flush_and_set_up(self):
        """``setUp`` keeps a copy of the cursor's hooks and flushes after that: the hooks would not know what the class did."""
        self.env.flush_all()
        set_up(self)

    common.TransactionCase.setUp = flush_and_set_up


def _counting(original, notes):
    """The same check; what it does not like is counted, and does not fail the test."""

    @contextmanager
    def counting(self, *args, **options):
        def fail(message=None):
            notes().queries.append(str(message)[:300])

        manager = original(self, *args, **options)
        with manager_of(self, manager, fail):
            yield

    return counting


@contextmanager
def manager_of(test, manager, fail):
    """``manager`` around what is inside; only its own end may complain to ``fail``."""
    manager.__enter__()
    try:
        yield
    except BaseException as error:
        if not manager.__exit__(type(error), error, error.__traceback__):
            raise
    else:
        with patch.object(test, "fail", fail):
            try:
                manager.__exit__(None, None, None)
            except AssertionError as error:
                fail(error)
