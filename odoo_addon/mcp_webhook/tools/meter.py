# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How much of the database a stranger's subscriptions may use in somebody's save.

A statement's own limit bounds one statement; a filter, a rule or a computed field may
make any number of them. So while such code runs, the cursor counts.
"""

import functools
import time
from contextlib import contextmanager

import psycopg2

TOO_MUCH = "it asks the database too often, or for too long"


class OverMeter(psycopg2.errors.QueryCanceled):
    """What the user's subscriptions had in this transaction is used up."""


class Meter:
    """Of one user in one transaction, or of all of them together.

    :ivar milliseconds: that statements may still take
    """

    def __init__(self, milliseconds, whole=None):
        self.milliseconds = milliseconds
        self._whole = whole

    def grant(self, milliseconds):
        self.milliseconds += milliseconds

    def spend(self, milliseconds):
        self.milliseconds -= milliseconds
        if self._whole:
            self._whole.spend(milliseconds)

    @property
    def left(self):
        return min(self.milliseconds, self._whole.left if self._whole else float("inf"))


class Metered:
    """Goes before a cursor's own class."""

    _mcp_webhook_meter = None
    _mcp_webhook_statements = 0  # that there may still be

    def execute(self, *args, **kwargs):
        meter = self._mcp_webhook_meter
        if meter is None:
            return super().execute(*args, **kwargs)
        if meter.left <= 0 or self._mcp_webhook_statements <= 0:
            self._mcp_webhook_statements = -1  # also where whoever called goes on
            raise OverMeter(TOO_MUCH)
        self._mcp_webhook_statements -= 1
        begun = time.monotonic()
        try:
            return super().execute(*args, **kwargs)
        finally:
            meter.spend((time.monotonic() - begun) * 1000)


@contextmanager
def unmetered(cr):
    """What the transaction needs, whoever has used up what."""
    kept = cr.__dict__.get("_mcp_webhook_meter")
    if kept is None:
        yield
        return
    cr._mcp_webhook_meter = None
    try:
        yield
    finally:
        cr._mcp_webhook_meter = kept


@functools.cache
def _metered(cls):
    return type(f"Metered{cls.__name__}", (Metered, cls), {})


@contextmanager
def metered(cr, meter, statements):
    """:raise OverMeter: more was asked for, even where the code did not mind"""
    kept = cr.__class__
    if cr.__dict__.get("_mcp_webhook_meter") is not None:
        yield  # within another
        return
    cr.__class__ = _metered(kept)
    cr._mcp_webhook_meter, cr._mcp_webhook_statements = meter, statements
    try:
        yield
        if cr._mcp_webhook_statements < 0:
            raise OverMeter(TOO_MUCH)
    finally:
        cr._mcp_webhook_meter = None
        if cr.__class__ is _metered(kept):
            cr.__class__ = kept
