# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A cursor that says when its transaction ends, and when a savepoint is taken back.

Odoo runs the precommit hooks at each `cr.savepoint()`, too, and cannot tell a hook which
of the two it is. Deciding at each of them would cost a transaction with many savepoints
many decisions. So the cursor of a transaction that has a journal becomes one of a
subclass: it decides at its own `flush()`, after all hooks, but not at a savepoint's.
"""

import functools
import re
from contextlib import contextmanager

from psycopg2.extensions import TRANSACTION_STATUS_INERROR

from odoo.sql_db import Savepoint, _FlushingSavepoint

from . import journal

# What a `Savepoint` of Odoo's executes: its name is a UUID.
ROLLBACK = re.compile(r'ROLLBACK TO SAVEPOINT "[0-9a-f-]{36}"')


class Listening:
    """Goes before a cursor's own class."""

    _mcp_webhook_savepoints = 0  # that are being opened or closed just now

    def flush(self):  # pylint: disable=missing-return
        super().flush()
        notes = journal.present(self)
        if notes is None or not notes.is_stale or self._mcp_webhook_savepoints:
            return
        # An aborted transaction ends without a trace, whoever commits it.
        if self.connection.info.transaction_status != TRANSACTION_STATUS_INERROR:
            # imported here: deciding needs the journal, which needs this module
            from .decide import decide

            decide(self, notes)

    def clear(self):  # pylint: disable=missing-return
        """At the end, and when a savepoint of before we listened is taken back."""
        super().clear()
        notes = journal.present(self)
        if notes is not None:
            notes.is_stale = True

    def execute(self, query, *args, **kwargs):
        """A savepoint of Odoo's that was open before we listened takes back all that has
        been noted."""
        result = super().execute(query, *args, **kwargs)
        if isinstance(query, str) and not self._mcp_webhook_savepoints:
            notes = ROLLBACK.match(query) and journal.present(self)
            if notes:
                notes.go_back({}, unwritten(self))
        return result

    def savepoint(self, flush=True):
        return (HeardFlushingSavepoint if flush else HeardSavepoint)(self)


class _Heard:
    """Goes before a savepoint's own class."""

    def __init__(self, cr):
        with _meanwhile(cr):
            super().__init__(cr)
        notes = journal.present(cr)
        self._mark = notes.mark() if notes else {}

    def rollback(self):  # pylint: disable=missing-return
        with _meanwhile(self._cr):
            super().rollback()
        notes = journal.present(self._cr)
        if notes is not None:
            notes.go_back(self._mark, unwritten(self._cr))

    def _close(self, rollback):  # pylint: disable=missing-return
        with _meanwhile(self._cr):
            super()._close(rollback)


class HeardSavepoint(_Heard, Savepoint):
    pass


class HeardFlushingSavepoint(_Heard, _FlushingSavepoint):
    pass


def unwritten(cr):
    """`{model name: ids}` of what the ORM goes on to write after a savepoint was taken
    back: nothing where it was one that flushes."""
    found = {}
    for field, ids in cr.transaction.field_dirty.items() if cr.transaction else ():
        found.setdefault(field.model_name, set()).update(ids)
    return found


@contextmanager
def _meanwhile(cr):
    cr._mcp_webhook_savepoints += 1
    try:
        yield
    finally:
        cr._mcp_webhook_savepoints -= 1


@functools.cache
def _listening(cls):
    return type(f"Listening{cls.__name__}", (Listening, cls), {})


def listen(cr):
    if not isinstance(cr, Listening):
        cr.__class__ = _listening(type(cr))
