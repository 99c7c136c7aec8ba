# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""An ORM transaction of its own within a database transaction.

Records are filtered and described for other users, in other languages and companies.
The ORM's cache and its list of pending computations belong to a whole transaction: read
there, values that one user may see would show up for another, and fields would be
computed earlier than without us. So the cursor gets another `Transaction` for a while,
with caches and hooks of its own; what is done there is taken back by a savepoint.
"""

from contextlib import contextmanager

import psycopg2

from odoo import SUPERUSER_ID, api
from odoo.orm.environments import Transaction
from odoo.tools import SQL
from odoo.tools.misc import Callbacks

from ..tools.meter import unmetered

HOOKS = ("precommit", "postcommit", "prerollback", "postrollback")


@contextmanager
def apart(cr, registry):
    """A superuser environment that shares nothing with those of the cursor but the
    connection. The caller has flushed what it wants to be seen."""
    kept = {name: getattr(cr, name) for name in ("transaction", "cache", *HOOKS)}
    try:
        cr.transaction, cr.cache = Transaction(registry), {}
        for name in HOOKS:
            setattr(cr, name, Callbacks())
        yield api.Environment(cr, SUPERUSER_ID, {})
    finally:
        for name, value in kept.items():
            setattr(cr, name, value)


class Trial:
    """What is tried within a savepoint that is always taken back.

    :param milliseconds: the longest that one statement may take
    """

    def __init__(self, cr, milliseconds):
        self._cr = cr
        self._limit = _limit(milliseconds)
        self._is_open = False

    def open(self, then=None, milliseconds=None):
        """:param then: SQL that is executed at once, with no round trip of its own
        :param milliseconds: the limit from now on, if it is another
        """
        parts = []
        if not self._is_open:
            self._is_open = True
            parts = [SQL("SAVEPOINT mcp_webhook"), self._limit]
        if milliseconds is not None and _limit(milliseconds) != self._limit:
            self._limit = _limit(milliseconds)
            parts.append(self._limit)
        if then:
            parts.append(then)
        if parts:
            self._execute(*parts)

    def again(self, milliseconds=None):
        """After a statement that failed: as at the beginning.

        :param milliseconds: the limit from now on, if it is another
        """
        if milliseconds is not None:
            self._limit = _limit(milliseconds)
        if self._is_open:
            self._execute(SQL("ROLLBACK TO SAVEPOINT mcp_webhook"), self._limit)
            self._cr.transaction.clear()

    def close(self, then=None):
        """:param then: SQL that is to stay, unless it fails
        :raise psycopg2.Error: it has failed
        """
        if not self._is_open:
            if not then:
                return
            self.open()
        self._is_open = False
        back = SQL("ROLLBACK TO SAVEPOINT mcp_webhook")
        release = SQL("RELEASE SAVEPOINT mcp_webhook")
        try:
            self._execute(back, *([then] if then else []), release)
        except psycopg2.Error:
            self._execute(back, release)
            raise
        finally:
            self._cr.transaction.clear()

    def _execute(self, *parts):
        with unmetered(self._cr):
            self._cr.execute(SQL("; ").join(parts), log_exceptions=False)


def _limit(milliseconds):
    # 0 would be none at all
    return SQL("SET LOCAL statement_timeout = %s", max(int(milliseconds), 1))
