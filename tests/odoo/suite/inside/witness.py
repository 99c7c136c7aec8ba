"""Who asked the ORM for what, noted in the same transaction as the triggers' notes.

Triggers cannot tell a ``write()`` with equal values from none, nor a recomputation from a ``write()``: the root methods of
the ORM note each call. Statements of the ORM itself carry a mark, so that a module's own SQL is told apart.
"""

import functools
import itertools
import json
import sys
import threading

from psycopg2.extensions import TRANSACTION_STATUS_INERROR

from odoo.orm.models import BaseModel
from odoo.sql_db import Cursor
from odoo.tests.test_cursor import TestCursor

MARK = "/*orm*/"
IN_BETWEEN = ("sql_db.py", "test_cursor.py", "tests/common.py", "inside/witness.py", "contextlib.py")
_numbers = itertools.count(1)
_speaker = threading.local()


def real_cursor(cr):
    """The cursor that has the connection, or None."""
    while isinstance(cr, TestCursor):
        cr = cr._cursor
    return cr if isinstance(cr, Cursor) else None


def raw(cr, statement, values=()):
    """Runs a statement that no test counts and no pending result suffers from."""
    cursor = real_cursor(cr)
    if cursor is None or cursor._cnx.closed or cursor._cnx.info.transaction_status == TRANSACTION_STATUS_INERROR:
        return
    with cursor._cnx.cursor() as own:
        own.execute(statement, values)


def call(cr, op, records, names=()):
    """Notes that the ORM was asked; records that are not in the database yet do not count."""
    ids = [id_ for id_ in records._ids if isinstance(id_, int)]
    if ids and records._auto and not records._abstract:
        if isinstance(cr, TestCursor):
            cr._check_savepoint()
        raw(
            cr,
            "INSERT INTO suite_note (unit, tbl, op, new) VALUES (%s, %s, %s, %s)",
            [unit_of(cr), records._table, op, json.dumps({"ids": ids, "names": list(names)})],
        )


def install():
    """Wraps the root methods, the cursors, and the statement that a cursor sends."""
    _wrap_methods()
    _wrap_execute()
    _wrap_test_cursor()


def _wrap_methods():
    create, write, unlink = BaseModel.create, BaseModel.write, BaseModel.unlink
    translate, compute = BaseModel._update_field_translations, BaseModel._compute_field_value

    @functools.wraps(create)
    def noting_create(self, vals_list):
        records = create(self, vals_list)
        call(self.env.cr, "c", records)
        return records

    @functools.wraps(write)
    def noting_write(self, vals):
        try:
            result = write(self, vals)
        except Exception:
            call(self.env.cr, "t", self)  # what it did before may stay, if somebody catches this
            raise
        if vals:
            call(self.env.cr, "w", self, vals)
        return result

    @functools.wraps(unlink)
    def noting_unlink(self):
        call(self.env.cr, "x", self)
        return unlink(self)

    @functools.wraps(translate)
    def noting_translate(self, field_name, *args, **options):
        call(self.env.cr, "t", self, [field_name])
        return translate(self, field_name, *args, **options)

    @functools.wraps(compute)
    def noting_compute(self, field):
        if field.store:
            call(self.env.cr, "k", self, [other.name for other in self.pool.field_computed[field]])
        return compute(self, field)

    BaseModel._compute_field_value = noting_compute
    BaseModel.create, BaseModel.write, BaseModel.unlink = noting_create, noting_write, noting_unlink
    BaseModel._update_field_translations = noting_translate


def _wrap_execute():
    execute = Cursor.execute

    @functools.wraps(execute)
    def marking_execute(self, query, params=None, log_exceptions=True):
        _speak(self, getattr(_speaker, "unit", None) or "0")
        if not isinstance(query, str | bytes):
            query, params = query.code, query.params
        goes_back = str(query).startswith("ROLLBACK")
        if isinstance(query, str) and _asked_by_orm(sys._getframe(1)):
            query = MARK + query
        try:
            return execute(self, query, params, log_exceptions)
        finally:
            if goes_back:  # the setting goes back with it
                self._suite_said = None

    Cursor.execute = marking_execute


def _speak(cursor, unit):
    """Tells the triggers for whom the cursor's next statement is."""
    if getattr(cursor, "_suite_said", None) != unit:
        raw(cursor, "SELECT set_config('suite.unit', %s, false)", [unit])
        cursor._suite_said = unit


def unit_of(cr):
    """The number of the transaction that a cursor stands for."""
    return getattr(cr, "_suite_unit", "0") if isinstance(cr, TestCursor) else "0"


def _asked_by_orm(frame):
    while frame is not None and frame.f_code.co_filename.endswith(IN_BETWEEN):
        frame = frame.f_back
    return frame is not None and "/odoo/orm/" in frame.f_code.co_filename


def _wrap_test_cursor():
    """Each cursor that a test opens on top of its own is a transaction of its own, and another one after each commit."""
    init, execute, commit, rollback = TestCursor.__init__, TestCursor.execute, TestCursor.commit, TestCursor.rollback

    @functools.wraps(init)
    def numbered_init(self, *args, **options):
        init(self, *args, **options)
        self._suite_unit = str(next(_numbers))

    @functools.wraps(execute)
    def speaking_execute(self, *args, **options):
        before = getattr(_speaker, "unit", None)
        _speaker.unit = before or self._suite_unit
        try:
            return execute(self, *args, **options)
        finally:
            _speaker.unit = before

    @functools.wraps(commit)
    def numbered_commit(self):
        commit(self)
        self._suite_unit = str(next(_numbers))

    @functools.wraps(rollback)
    def silent_rollback(self):
        rollback(self)
        cursor = real_cursor(self)
        if cursor is not None:
            cursor._suite_said = None

    TestCursor.__init__, TestCursor.execute = numbered_init, speaking_execute
    TestCursor.commit, TestCursor.rollback = numbered_commit, silent_rollback
