# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What one transaction did to watched records, one slot a record.

The overrides in `models/base.py` call `note_*`; nothing is decided before the
transaction's precommit hooks run (see `emit.py`). Slots live in
`cr.precommit.data`, so a rolled-back savepoint takes them along.
"""

import functools
import itertools
from dataclasses import dataclass, field, replace

from odoo import models
from odoo.exceptions import MissingError
from odoo.tools import SQL

SLOTS = "mcp_webhook.slots"  # the key in cr.precommit.data
SKIP = "mcp_webhook_skip"  # context key, honoured for the superuser environment only

# Watching these would make each delivery, cron run or message cause the next one.
DENIED_MODELS = frozenset(
    {
        "base",
        "mcp.event.subscription",
        "ir.cron",
        "ir.cron.progress",
        "ir.cron.trigger",
        "ir.logging",
        "ir.profile",
        "res.users.log",
    }
)
DENIED_PREFIXES = ("bus.", "mcp.webhook.", "res.device")

_order = itertools.count()


def is_denied(model_name):
    """True: this model must not be watched."""
    return model_name in DENIED_MODELS or model_name.startswith(DENIED_PREFIXES)


@dataclass(frozen=True)
class WatchedBy:
    """One subscription, as far as collecting needs to know it."""

    id: int
    event_type: str  # create, write, unlink, all
    fields: tuple[str, ...] = ()  # watched; empty: every write() fires

    def wants(self, kind):
        return self.event_type in (kind, "all")


@dataclass(frozen=True)
class Watch:
    """Who watches one model."""

    subscriptions: tuple[WatchedBy, ...]

    @functools.cached_property
    def fields(self):
        """Names of the fields whose values before the first change are needed."""
        writers = [s for s in self.subscriptions if s.wants("write")]
        return frozenset(itertools.chain.from_iterable(s.fields for s in writers))

    def wanting(self, kind):
        return [s for s in self.subscriptions if s.wants(kind)]


@dataclass(frozen=True)
class Slot:
    """What the transaction did to one record, so far.

    `before` holds the values of watched fields before the first change; `parting`,
    for a deletion, what each subscription (by id) was to be told of the record.
    """

    kind: str  # create, write, unlink
    user_id: int
    written: bool = False  # by a write(), not by recomputation alone
    before: dict = field(default_factory=dict)
    parting: dict = field(default_factory=dict)
    order: int = field(default_factory=lambda: next(_order))


def merge(old, new):
    """The slot for both changes, or None when together they are nothing."""
    if old is None:
        return new
    if old.kind == "unlink":
        return old
    if new.kind == "unlink":
        if old.kind == "create":
            return None
        return replace(new, user_id=old.user_id, order=old.order)
    created = "create" in (old.kind, new.kind)
    return replace(
        old,
        kind="create" if created else "write",
        written=old.written or new.written,
        before={**new.before, **old.before},
    )


def watch_for(records):
    """Who watches this model, or None: the one test that every write pays for."""
    env = records.env
    if not records.pool.ready or not records._auto or records._transient:
        return None
    if is_denied(records._name) or (env.su and env.context.get(SKIP)):
        return None
    return env["mcp.event.subscription"]._watched().get(records._name)


def note_created(records):
    _note(records, lambda _id: Slot("create", records.env.uid))


def note_before(records, names):
    """Keep the values of watched fields, before they change."""
    try:
        values = snapshot(records, names)
    except MissingError:
        records = records.exists()
        values = snapshot(records, names)
    _note(records, lambda id_: Slot("write", records.env.uid, before=values[id_]))


def note_written(records):
    _note(records, lambda _id: Slot("write", records.env.uid, written=True))


def note_unlinked(env, model_name, ids, parting):
    """:param parting: `{record id: {subscription id: verdict}}`"""
    _note(
        env[model_name].browse(ids),
        lambda id_: Slot("unlink", env.uid, parting=parting.get(id_, {})),
    )


def is_new(env, model_name, id_):
    """True: this record was created by the present transaction."""
    slot = env.cr.precommit.data.get(SLOTS, {}).get((model_name, id_))
    return bool(slot) and slot.kind == "create"


def snapshot(records, names):
    """`{id: {field name: comparable value}}`, read without anybody's rules.

    Translated and company-dependent fields are compared as the column holds them:
    all languages, all companies.
    """
    records = records.sudo()
    values = {id_: {} for id_ in records._ids}
    columns = []
    for name in sorted(names):
        if records._fields[name].translate or records._fields[name].company_dependent:
            columns.append(name)
            continue
        for record in records:
            values[record.id][name] = _comparable(record[name])
    if columns:
        _snapshot_columns(records, columns, values)
    return values


def _snapshot_columns(records, names, values):
    columns = SQL(", ").join(SQL.identifier(name) for name in ("id", *names))
    table = SQL.identifier(records._table)
    query = SQL(
        "SELECT %s FROM %s WHERE id = ANY(%s)", columns, table, list(records._ids)
    )
    records.env.cr.execute(query)
    for id_, *row in records.env.cr.fetchall():
        values[id_].update(zip(names, row, strict=True))


def _comparable(value):
    if isinstance(value, models.BaseModel):
        return value._name, tuple(sorted(value.ids))
    return value


def _note(records, slot_of):
    data = records.env.cr.precommit.data
    slots = data.get(SLOTS)
    if slots is None:
        # imported here: emit needs this module
        from .emit import emit

        slots = data[SLOTS] = {}
        records.env.cr.precommit.add(functools.partial(emit, records.env.cr))
    for id_ in records._ids:
        if not id_:
            continue  # a NewId: not in the database
        key = (records._name, id_)
        merged = merge(slots.get(key), slot_of(id_))
        if merged is None:
            del slots[key]
        else:
            slots[key] = merged
