# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Who watches a model, and what of it."""

import functools
import itertools
from dataclasses import dataclass, field

# The context key that keeps changes out of sight, and its only value: an object, which
# no caller from outside can send.
SKIP = "mcp_webhook_skip"
UNSEEN = object()


REBUILT = "_mcp_webhook_rebuilt"  # an attribute of the registry


def is_rebuilt(registry):
    """True: another thread is setting the models up anew; in the meantime they lack fields
    and relations that will be there again."""
    return getattr(registry, REBUILT, False)


@dataclass(frozen=True)
class WatchedBy:
    """One subscription, as far as noting and comparing need to know it.

    :ivar fields: watched ones; empty: every `write()` fires
    :ivar company_fields: those of `fields` that have a value for each company
    :ivar recomputed: mere recomputation fires, too, where no fields are watched
    :ivar key_id: of the API key whose own changes do not fire it
    """

    id: int
    uuid: str
    event_type: str  # create, write, unlink, all
    fields: tuple[str, ...] = ()
    company_id: int | None = None
    company_fields: frozenset = frozenset()
    recomputed: bool = False
    key_id: int | None = None

    def wants(self, kind):
        return self.event_type in (kind, "all")


@dataclass(frozen=True)
class Side:
    """A many2many field, as one side of its relation's table."""

    table: str
    columns: tuple[str, str]  # sorted: the same from both sides
    index: int  # which of the columns holds the ids of the field's own model

    @classmethod
    def of(cls, many2many):
        columns = tuple(sorted((many2many.column1, many2many.column2)))
        return cls(many2many.relation, columns, columns.index(many2many.column1))

    @property
    def relation(self):
        return self.table, self.columns


@dataclass(frozen=True)
class Watch:
    """Who watches one model.

    :ivar sides: `{field name: Side}` of the model's many2many fields that show a
        relation which somebody watches, be it from here or from the other side
    """

    subscriptions: tuple[WatchedBy, ...] = ()
    sides: dict[str, Side] = field(default_factory=dict)

    def wanting(self, kind):
        return [s for s in self.subscriptions if s.wants(kind)]

    @functools.cached_property
    def _for_keys(self):
        """`{key id: Watch}` without the subscriptions that this key has made."""
        keys = {s.key_id for s in self.subscriptions if s.key_id}
        return {
            key: Watch(
                tuple(s for s in self.subscriptions if s.key_id != key), self.sides
            )
            for key in keys
        }

    def for_caller(self, env):
        """What is watched of the changes that this request makes: who writes with an API
        key knows it, and is not told again."""
        if not self._for_keys:
            return self
        return self._for_keys.get(env["mcp.webhook.connection"]._key_id(), self)

    @functools.cached_property
    def watched(self):
        """Names of the fields that are compared."""
        writers = self.wanting("write")
        return frozenset(itertools.chain.from_iterable(s.fields for s in writers))

    @functools.cached_property
    def columns(self):
        """Those of them that are columns of the model's own table."""
        return self.watched - self.sides.keys()

    @functools.cached_property
    def counts_writes(self):
        return any(not s.fields for s in self.wanting("write"))

    @functools.cached_property
    def counts_recomputation(self):
        return any(s.recomputed and not s.fields for s in self.wanting("write"))

    @functools.cached_property
    def sees_changes(self):
        """False: it only matters what is created and deleted."""
        return bool(self.wanting("write"))


def watches(registry, subscriptions):
    """`{model name: Watch}`

    :param subscriptions: `{model name: [WatchedBy]}` of models in the registry
    """
    sides = {}
    for name, watchers in subscriptions.items():
        fields = registry[name]._fields
        for watched in set(itertools.chain.from_iterable(s.fields for s in watchers)):
            if fields[watched].type == "many2many":
                _put_sides(registry, fields[watched], sides)
    return {
        name: Watch(tuple(subscriptions.get(name, ())), sides.get(name, {}))
        for name in subscriptions.keys() | sides.keys()
    }


def _put_sides(registry, many2many, sides):
    columns = many2many.column1, many2many.column2
    for one, other in (columns, columns[::-1]):
        shown = registry.many2many_relations.get((many2many.relation, one, other), ())
        for model_name, field_name in shown:
            field_ = registry[model_name]._fields[field_name]
            sides.setdefault(model_name, {})[field_name] = Side.of(field_)


def watch_for(records):
    """Who watches this model, or None: the one test that every write pays for."""
    env = records.env
    if not records.pool.ready or not records._auto or records._transient:
        return None
    watch = env["mcp.event.subscription"]._watched().get(records._name)
    if watch is None or env.context.get(SKIP) is UNSEEN:
        return None
    return watch.for_caller(env)
