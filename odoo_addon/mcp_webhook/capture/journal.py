# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What one transaction was asked to do to watched records.

A journal is not believed blindly: what a savepoint took back, and what SQL did past
the ORM, shows when the database is asked at the end. So notes need not be exact, only
complete.
"""

import functools
import itertools
from contextlib import contextmanager

from odoo.tools import SQL

from . import columns, cursor

# What nobody's filter looks at.
OWN_MODELS = ("mcp.webhook.", "mcp.event.subscription")
UNMARKED = (0, 0, 0, 0)  # the mark of what was not known yet
JOURNAL = "mcp_webhook.journal"  # the key in cr.postcommit.data


class Touched:
    """The records of one model. Dictionaries keep the order of the notes.

    :ivar first: `{id: user id}`, who made the first change
    :ivar created: ids, as keys
    :ivar written: ids, as keys: by a `write()`
    :ivar recomputed: ids, as keys: columns were written, by whatever
    :ivar before: `{id: {field name: column value}}` before the first change
    :ivar flushes: how often columns were about to be written
    :ivar leaving: ids, as keys: their deletion has begun
    :ivar parting: `{subscription id: {id: item}}`, what was to be told of a record when
        its deletion began (see :mod:`parting`)
    """

    __slots__ = (
        "before",
        "created",
        "first",
        "flushes",
        "leaving",
        "parting",
        "recomputed",
        "written",
    )

    def __init__(self):
        for name in self.__slots__:
            setattr(self, name, {})
        self.flushes = 0

    def note(self, what, ids, user_id):
        for id_ in ids:
            if id_:  # a NewId is not in the database
                self.first.setdefault(id_, user_id)
                what.setdefault(id_, True)

    def note_user(self, ids, user_id):
        for id_ in ids:
            self.first.setdefault(id_, user_id)

    def ids(self):
        """Of all that is known of the records, in no order."""
        known = (self.first, self.created, self.before, self.leaving)
        return set().union(*known)

    def mark(self):
        notes = self.first, self.written, self.recomputed, self.leaving
        return tuple(map(len, notes))

    def go_back(self, mark, kept):
        """Entries are only ever added: the newest ones go, but for these ids."""
        *lengths, leaving = mark
        notes = self.first, self.written, self.recomputed
        for entries, length in zip(notes, lengths, strict=True):
            gone = _cut(entries, length)
            entries.update((id_, value) for id_, value in gone if id_ in kept)
        for id_, _true in _cut(self.leaving, leaving):
            self.forget_parting(id_)

    def forget_parting(self, id_):
        for items in self.parting.values():
            items.pop(id_, None)


def _cut(entries, length):
    """Take the newest entries of a dictionary out of it."""
    gone = []
    while len(entries) > length:
        gone.append(entries.popitem())
    return gone


class Pairs:
    """A relation's rows before this transaction, as far as it may have changed them.

    :ivar known: for each column, ids of which all pairs have been read, as keys
    :ivar first: `{pair: whether it was there}`; a pair of a known id that is not in it
        was not
    :ivar user_id: who was the first to change it
    """

    def __init__(self, side, user_id):
        self.table, self.columns = side.relation
        self.user_id = user_id
        self.known = {}, {}
        self.first = {}

    def note(self, cr, index, ids):
        """Read the pairs of records before they change, from one side."""
        new = [id_ for id_ in ids if id_ and id_ not in self.known[index]]
        if new:
            cr.execute(self._query({index: new}))
            for pair in cr.fetchall():
                was_there = pair[1 - index] not in self.known[1 - index]
                self.first.setdefault(pair, was_there)
            self.known[index].update(dict.fromkeys(new))

    def note_new(self, index, ids):
        """Records that were created just now had no pairs."""
        self.known[index].update(dict.fromkeys(ids))

    def noted(self, index):
        """Ids of one side that may have been given or lost a pair."""
        return {pair[index] for pair in self.first} | self.known[index].keys()

    def query(self):
        """SQL of the pairs that may be there now; None: none was touched."""
        return self._query(dict(enumerate(self.known)))

    def changed(self, rows):
        """Pairs that are there now and were not, or the other way round.

        :param rows: of `query`
        """
        now = set(rows)
        appeared = {pair for pair in now if not self.first.get(pair, False)}
        gone = {pair for pair, was in self.first.items() if was and pair not in now}
        return appeared | gone

    def _query(self, ids_by_index):
        names = [SQL.identifier(name) for name in self.columns]
        conditions = [
            SQL("%s = ANY(%s)", names[index], list(ids))
            for index, ids in ids_by_index.items()
            if ids
        ]
        if not conditions:
            return None
        query = "SELECT %s, %s FROM %s WHERE %s"
        table, either = SQL.identifier(self.table), SQL(" OR ").join(conditions)
        return SQL(query, *names, table, either)


class Journal:
    """:ivar models: `{model name: Touched}`
    :ivar pairs: `{relation: Pairs}`
    :ivar held_bytes: of what is to be told of deletions, in memory
    :ivar is_stale: something has changed since the last decision
    :ivar event_ids: of all delivery rows that decisions have stored
    :ivar subscription_ids: whose rows these are
    :ivar paused_ids: those of them that were found paused
    :ivar meters: what their users have left, see :mod:`judge`
    """

    def __init__(self):
        self.models = {}
        self.pairs = {}
        self.held_bytes = 0
        self.is_stale = False
        self.event_ids = []
        self.subscription_ids = set()
        self.paused_ids = set()
        self.meters = {}

    def of(self, model_name):
        touched = self.models.get(model_name)
        if touched is None:
            touched = self.models[model_name] = Touched()
        return touched

    def concerns(self, model_name, watch):
        """Whether anything that the watch looks at may have changed."""
        relations = (side.relation for side in watch.sides.values())
        return model_name in self.models or any(r in self.pairs for r in relations)

    def mark(self):
        return {name: touched.mark() for name, touched in self.models.items()}

    def go_back(self, mark, unwritten):
        """A savepoint took back what was done since.

        :param unwritten: `{model name: ids}` of what it did not
        """
        for name, touched in self.models.items():
            touched.go_back(mark.get(name, UNMARKED), unwritten.get(name, ()))
        self.is_stale = True


def present(cr):
    """The journal of the cursor's transaction, or None."""
    return cr.postcommit.data.get(JOURNAL)


def opened(records):
    """The journal of the records' transaction, begun if need be."""
    cr = records.env.cr
    journal = present(cr)
    if journal is None:
        journal = cr.postcommit.data[JOURNAL] = Journal()
        cursor.listen(cr)
        cr.postcommit.add(functools.partial(_submit, records.pool, journal))
    journal.is_stale = True
    return journal


def _submit(registry, journal):
    if journal.subscription_ids:
        registry["mcp.webhook.outbox"]._submit_quietly(
            registry, journal.subscription_ids, journal.paused_ids
        )


# -- notes -----------------------------------------------------------------------------


def stir(records):
    """Something has changed, maybe only what a filter or an enriched field looks at."""
    journal = present(records.env.cr)
    if journal is not None and records and not records._name.startswith(OWN_MODELS):
        journal.is_stale = True


def note_created(records, watch):
    journal = opened(records)
    touched = journal.of(records._name)
    touched.note(touched.created, records._ids, records.env.uid)
    for side in watch.sides.values():
        pairs = _pairs(journal, side, records.env.uid)
        pairs.note_new(side.index, records._ids)


@contextmanager
def writing(records):
    """Note that they are written, unless that is refused before anything is done."""
    touched = opened(records).of(records._name)
    new = [id_ for id_ in records._ids if id_ not in touched.written]
    flushes = touched.flushes
    touched.note(touched.written, records._ids, records.env.uid)
    try:
        yield
    except Exception:
        unwritten = cursor.unwritten(records.env.cr).get(records._name, set())
        if touched.flushes == flushes and unwritten.isdisjoint(records._ids):
            for id_ in new:
                touched.written.pop(id_, None)
        raise


def note_columns(records, watch, names):
    """Columns are about to be written: keep what the watched ones hold.

    What the database holds then is the value before the first change, for a flush of
    an earlier change would have come by here. Nothing is flushed or computed for it.
    """
    touched = opened(records).of(records._name)
    touched.flushes += 1
    if watch.counts_recomputation:
        touched.note(touched.recomputed, records._ids, records.env.uid)
    names = [name for name in names if name in watch.columns]
    if names:
        touched.note_user(records._ids, records.env.uid)
        new = [id_ for id_ in records._ids if id_ not in touched.created]
        _keep_columns(records.browse(new), touched.before, names)


def _keep_columns(records, before, names):
    asked = set(names)
    new = [i for i in records._ids if i and not before.get(i, {}).keys() >= asked]
    if not new:
        return
    values, table = columns.values(names), SQL.identifier(records._table)
    cr = records.env.cr
    cr.execute(SQL("SELECT t.id, %s FROM %s t WHERE t.id = ANY(%s)", values, table, new))
    for id_, text in cr.fetchall():
        kept = before.setdefault(id_, {})
        for name, value in zip(names, columns.parsed(text), strict=True):
            kept.setdefault(name, value)


def note_paths(records, watch):
    """`parent_path` is about to change below these records."""
    if "parent_path" not in watch.columns:
        return
    cr = records.env.cr
    table = SQL.identifier(records._table)
    cr.execute(
        SQL(
            """SELECT child.id FROM %s child JOIN %s node
                 ON child.parent_path LIKE node.parent_path || '%%'
              WHERE node.id = ANY(%s)""",
            table,
            table,
            list(records._ids),
        )
    )
    below = records.browse(id_ for (id_,) in cr.fetchall())
    note_columns(below, watch, ["parent_path"])


def note_pairs(records, watch, names):
    """Many2many fields are about to be written: keep the pairs of these records."""
    sides = {watch.sides[name] for name in names if name in watch.sides}
    if sides:
        journal = opened(records)
        for side in sides:
            pairs = _pairs(journal, side, records.env.uid)
            pairs.note(records.env.cr, side.index, records._ids)


def note_leaving(records):
    """:return: what is known of the records' model, and the journal"""
    journal = opened(records)
    touched = journal.of(records._name)
    for id_ in touched.leaving.keys() & set(records._ids):
        touched.forget_parting(id_)
    touched.note(touched.leaving, records._ids, records.env.uid)
    return touched, journal


def _pairs(journal, side, user_id):
    pairs = journal.pairs.get(side.relation)
    if pairs is None:
        pairs = journal.pairs[side.relation] = Pairs(side, user_id)
    return pairs


def users_of(touched):
    """A function: of the given ids, the user who made the first change."""
    first = touched.first
    users = set(first.values())
    if len(users) == 1:
        (only,) = users
        return lambda _ids: only
    order = dict(zip(first, itertools.count(), strict=False))
    return lambda ids: first.get(min(ids, key=lambda id_: order.get(id_, len(order))))
