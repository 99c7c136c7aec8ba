# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the transaction really changed: its notes against the database, as it is now.

One statement for all models, so that what somebody waits for does not grow with them.
"""

import logging
from dataclasses import dataclass, field

import psycopg2

from odoo.tools import SQL, split_every

from ..tools.watchable import is_watchable, unwatchable
from . import columns
from .watch import Side, is_rebuilt

_logger = logging.getLogger(__name__)

AT_ONCE = 5_000  # records compared in one statement

# Whether this transaction wrote the row: visible to it, but not in its snapshot. `xmin`
# holds the lower half of a transaction's number only; the snapshot has the upper one.
IS_OURS = SQL(
    """NOT pg_visible_in_snapshot(
        (b.base + ((t.xmin::text::bigint - (b.base & 4294967295) + 6442450944)
                   & 4294967295) - 2147483648)::text::xid8,
        pg_current_snapshot())"""
)
BASE = SQL("(SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS base) b")


@dataclass
class Changes:
    """Of one model.

    :ivar alive: ids that exist
    :ivar ours: those of them that this transaction wrote
    :ivar differing: `{id: {name of a watched field: (old, new)}}`; of a many2many that
        has changed, `(None, None)`
    """

    model: object
    watch: object
    touched: object
    ids: list
    others: dict  # what `relinked` returned
    alive: set = field(default_factory=set)
    ours: set = field(default_factory=set)
    differing: dict = field(default_factory=dict)

    @property
    def names(self):
        if is_rebuilt(self.model.pool):
            return sorted(self.watch.columns)
        # the transaction itself may have deleted a field, or made it one that is not stored
        unfit = unwatchable(self.model, self.watch.columns)
        return sorted(self.watch.columns.difference(unfit))

    def query(self, number, ids):
        # without a time of the last write, an equal one leaves the row alone
        is_ours = IS_OURS if self.model._log_access else SQL("true")
        return SQL(
            "(SELECT %s, t.id, %s, %s FROM %s t, %s WHERE t.id = ANY(%s))",
            number,
            is_ours,
            columns.values(self.names),
            SQL.identifier(self.model._table),
            BASE,
            list(ids),
        )

    def found(self, id_, is_ours, text):
        self.alive.add(id_)
        if is_ours:
            self.ours.add(id_)
        before = self.touched.before.get(id_)
        if not before:
            return
        now = zip(self.names, columns.parsed(text), strict=True)
        for name, value in now:
            was = before.get(name)
            # one empty value is as good as another: the ORM reads no value as 0 or ""
            if name in before and was != value and (was or value):
                self.differing.setdefault(id_, {})[name] = before[name], value

    def of(self, watcher):
        """`{kind: [ids]}` that one subscription may be told of."""
        kinds = {}
        created = self.touched.created
        if watcher.wants("create"):
            kinds["create"] = [id_ for id_ in created if id_ in self.alive]
        if watcher.wants("write"):
            kinds["write"] = [id_ for id_ in self._written(watcher) if id_ not in created]
        if watcher.wants("unlink"):
            parting = self.touched.parting.get(watcher.id, ())
            kinds["unlink"] = [
                id_ for id_ in parting if id_ not in self.alive and id_ not in created
            ]
        return {kind: sorted(ids) for kind, ids in kinds.items() if ids}

    def _written(self, watcher):
        if watcher.fields:
            pairs = self.differing.items()
            return [id_ for id_, differing in pairs if _differs(watcher, differing)]
        writes = self.touched.written.keys()
        if watcher.recomputed:
            writes |= self.touched.recomputed.keys()
        return [id_ for id_ in writes if id_ in self.ours]


def compare(judge, journal, watches):
    """Each model's own trouble stays its own; time is everybody's.

    :return: `[Changes]` of the models where something may have changed; and of those that
        cannot be compared `{model name: what relinked() returns, as far as is known}`
    :param judge: within whose trial this happens
    :raise psycopg2.errors.QueryCanceled: there was not enough time
    """
    found, lost = [], {}
    concerned = {
        name: watch
        for name, watch in watches.items()
        if watch.subscriptions and journal.concerns(name, watch)
    }
    links = Links(judge, journal, concerned.values())
    for model_name, watch in concerned.items():
        try:
            others = relinked(judge, journal, model_name, watch, links)
        except psycopg2.errors.QueryCanceled:
            raise
        except psycopg2.Error:
            lost[model_name] = _lost(judge, model_name, noted_links(journal, watch))
            continue
        changes = _begun(judge, journal, model_name, watch, others)
        if changes is not None:
            found.append(changes)
    for queries in _slices(found):
        for number, *row in _asked(judge, found, queries, lost):
            found[number].found(*row)
    found = [changes for changes in found if changes.model._name not in lost]
    for changes in found:
        gone = changes.differing.keys() - changes.alive
        for id_ in gone:
            del changes.differing[id_]
    return found, lost


def _asked(judge, found, queries, lost):
    """Rows of all the queries; where that fails, of each that does not fail alone."""
    try:
        return judge.noted(SQL(" UNION ALL ").join(query for _number, query in queries))
    except psycopg2.errors.QueryCanceled:
        raise
    except psycopg2.Error:
        judge.end()
    rows = []
    for number, query in queries:
        changes = found[number]
        name = changes.model._name
        if name in lost:
            continue
        try:
            rows += judge.noted(query)
        except psycopg2.errors.QueryCanceled:
            raise
        except psycopg2.Error:
            lost[name] = _lost(judge, name, changes.others)
    return rows


def _lost(judge, model_name, others):
    """Within the handling of an error."""
    _logger.exception("%s cannot be compared; its events are built later", model_name)
    judge.end()
    return others


def _begun(judge, journal, model_name, watch, others):
    touched = journal.of(model_name)
    if not (_matters(watch, touched) or any(others.values())):
        return None
    ids = touched.ids().union(*others.values())
    changes = Changes(judge.env[model_name], watch, touched, sorted(ids), others)
    for name, relinked_ids in others.items():
        for id_ in relinked_ids:
            changes.differing.setdefault(id_, {})[name] = None, None
    return changes


class Links:
    """The rows that watched relations have now: of all in one statement; where that fails,
    of each alone.

    :raise psycopg2.errors.QueryCanceled: there was not enough time
    """

    def __init__(self, judge, journal, watches):
        sides = (w.sides[name] for w in watches for name in w.watched & w.sides.keys())
        relations = dict.fromkeys(side.relation for side in sides)
        self._judge = judge
        self._pairs = [journal.pairs[r] for r in relations if r in journal.pairs]
        self._rows = None

    def rows(self, pairs):
        query = pairs.query()
        if query is None:
            return []
        if self._rows is None:
            self._rows = self._all() if len(self._pairs) > 1 else {}
        known = self._rows.get(id(pairs))
        return self._judge.noted(query) if known is None else known

    def _all(self):
        parts = [(id(pairs), pairs.query()) for pairs in self._pairs]
        parts = [(key, query) for key, query in parts if query is not None]
        each = [
            SQL("SELECT %s, q.* FROM (%s) q", number, query)
            for number, (_key, query) in enumerate(parts)
        ]
        rows = {key: [] for key, _query in parts}
        try:
            found = self._judge.noted(SQL(" UNION ALL ").join(each)) if each else []
        except psycopg2.errors.QueryCanceled:
            raise
        except psycopg2.Error:
            self._judge.end()
            return {}
        for number, *pair in found:
            rows[parts[number][0]].append(tuple(pair))
        return rows


def relinked(judge, journal, model_name, watch, links):
    """`{name of a watched many2many: ids whose members have changed}`

    :param links: :class:`Links`
    """
    found, touched = {}, journal.of(model_name)
    model = judge.env[model_name]
    for name in watch.watched & watch.sides.keys():
        side = watch.sides[name]
        is_side = is_rebuilt(model.pool) or _is_side(model._fields.get(name), side)
        if not is_side:
            continue
        pairs = journal.pairs.get(side.relation)
        if pairs is not None:
            changed = pairs.changed(links.rows(pairs))
            found[name] = {pair[side.index] for pair in changed}
            touched.note_user(found[name], pairs.user_id)
    return found


def noted_links(journal, watch):
    """The same, of all whose members may have changed; nothing is read."""
    found = {}
    for name in watch.watched & watch.sides.keys():
        pairs = journal.pairs.get(watch.sides[name].relation)
        if pairs is not None:
            found[name] = pairs.noted(watch.sides[name].index)
    return found


def _is_side(field_, side):
    """Whether the field still shows the relation: the transaction may have changed it."""
    return bool(
        field_
        and field_.type == "many2many"
        and is_watchable(field_)
        and Side.of(field_) == side
    )


def living(judge, model_name, ids):
    """Those of the ids that exist."""
    table = SQL.identifier(judge.env[model_name]._table)
    query = SQL("SELECT id FROM %s WHERE id = ANY(%s)", table, list(ids))
    return {id_ for (id_,) in judge.noted(query)} if ids else set()


def _matters(watch, touched):
    return bool(
        touched.created
        or touched.before
        or touched.leaving
        or (watch.counts_writes and touched.written)
        or (watch.counts_recomputation and touched.recomputed)
    )


def _slices(found):
    queries, size = [], 0
    for number, changes in enumerate(found):
        for some in split_every(AT_ONCE, changes.ids, list):
            queries.append((number, changes.query(number, some)))
            size += len(some)
            if size >= AT_ONCE:
                yield queries
                queries, size = [], 0
    if queries:
        yield queries


def _differs(watcher, differing):
    for name in watcher.fields:
        if name not in differing:
            continue
        values = differing[name]
        if watcher.company_id and name in watcher.company_fields:
            company = str(watcher.company_id)
            old, new = ((value or {}).get(company) for value in values)
            if old == new:
                continue
        return True
    return False
