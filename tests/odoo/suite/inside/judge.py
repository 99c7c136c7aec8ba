"""What the contract promises of the changes that the oracle saw, against the delivery rows of the same transaction."""

import json
from collections import Counter
from dataclasses import dataclass, field

from . import oracle
from .watch import TECHNICAL

EMPTY = (None, False, 0, "", {}, [])
EXAMPLES = 3  # of each kind, for each test


@dataclass
class Verdict:
    """Of one test."""

    counts: Counter = field(default_factory=Counter)
    examples: dict = field(default_factory=dict)

    def add(self, kind, what=None, count=1):
        """Counts one, and keeps the first few to look at."""
        self.counts[kind] += count
        if what is not None:
            kept = self.examples.setdefault(kind, [])
            if len(kept) < EXAMPLES:
                kept.append(what)


@dataclass
class Promise:
    """Records of one subscription by event type: what must be told, and what may be."""

    must: dict = field(default_factory=dict)  # (event type, id): why
    may: dict = field(default_factory=dict)  # (event type, id): why it need not


class Judge:
    """Knows the subscriptions; asked at the end of each test, before its transaction goes back."""

    def __init__(self, env, watched):
        self.watched = watched
        self.by_model = {}
        for subscription in watched.subscriptions:
            self.by_model.setdefault(subscription.model, []).append(subscription)
        self.by_id = {s.id: s for s in watched.subscriptions}
        self.delivery_table = env["mcp.webhook.delivery"]._table
        self.tables = {}
        self.relations = {}  # relation table: [(model, field name, its column)]
        for name in self.by_model:
            model = env[name]
            self.tables.setdefault(model._table, []).append(name)
            for definition in model._fields.values():
                if definition.type == "many2many" and definition.store:
                    self.relations.setdefault(definition.relation, []).append((name, definition.name, definition.column1))
        self.reported, self.reported_in = set(), None

    def judge(self, env, xid):
        """The verdict on everything that this transaction did so far."""
        verdict = Verdict()
        if xid != self.reported_in:
            self.reported, self.reported_in = set(), xid
        connection = env.cr._cnx
        units = oracle.read(connection, xid, self.delivery_table)
        for number, unit in units.items():
            verdict.counts["changes"] += unit.changes
            told = self._told(connection, unit, verdict)
            for subscription_id, promise in self._promises(env, unit).items():
                self._compare(env, verdict, number, subscription_id, promise, told.pop(subscription_id, {}))
            for subscription_id, events in told.items():
                self._compare(env, verdict, number, subscription_id, Promise(), events)
        return verdict

    # -- what was told ---------------------------------------------------------------

    def _told(self, connection, unit, verdict):
        """`{subscription id: {(event type, id): the record's JSON}}` of the unit's rows that are still there."""
        told = {}
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT subscription_id, event_type, record_ids, status, error_message, event "
                f"FROM {self.delivery_table} WHERE id = ANY(%s)",
                [unit.delivered],
            )
            for subscription_id, event_type, ids, status, error, event in cursor:
                verdict.counts["rows"] += 1
                if status == "failed":
                    verdict.add("failed row", f"{self.by_id[subscription_id].model}: {error}")
                records = {}
                if event:
                    body = json.loads(event) if isinstance(event, str) else event
                    records = {record.get("id"): record for record in body.get("records", ())}
                    if body.get("record_ids") != ids:
                        verdict.add("bad event", str(event)[:200])
                events = told.setdefault(subscription_id, {})
                for id_ in ids:
                    verdict.counts["events"] += 1
                    if (event_type, id_) in events:
                        verdict.add("duplicate", self._name(subscription_id, event_type, id_))
                    events[event_type, id_] = records.get(id_)
        return told

    # -- what was promised -----------------------------------------------------------

    def _promises(self, env, unit):
        promises = {}
        links = self._links(unit)
        for model, ids in self._touched(unit, links).items():
            table = env[model]._table
            for subscription in self.by_model.get(model, ()):
                promise = promises.setdefault(subscription.id, Promise())
                for id_ in ids:
                    self._promise(env, unit, links, subscription, table, id_, promise)
        return promises

    def _touched(self, unit, links):
        touched = {}
        keys = unit.records.keys() | unit.calls["w"].keys() | unit.calls["t"].keys()
        for table, id_ in keys:
            for model in self.tables.get(table, ()):
                touched.setdefault(model, set()).add(id_)
        for model, id_ in links:
            touched.setdefault(model, set()).add(id_)
        return touched

    def _links(self, unit):
        """`{(model, id): {many2many field: whether the ORM did all of it}}`, where the set differs in the end."""
        links = {}
        for (table, row), (first, last, by_orm) in unit.pairs.items():
            if first != last:
                continue  # there and away again, or the reverse
            columns = dict(row)
            for model, name, column in self.relations.get(table, ()):
                if column in columns:
                    found = links.setdefault((model, columns[column]), {})
                    # where the relation is a model's own table, its rows come and go as records, by create() and unlink()
                    found[name] = found.get(name, True) and by_orm and table not in self.tables
        return links

    def _promise(self, env, unit, links, subscription, table, id_, promise):
        key = (table, id_)
        record = unit.records.get(key)
        created = record is not None and record.first == "I"
        gone = record is not None and record.last == "D"
        if created and gone:
            if key not in unit.calls["c"]:  # made by SQL: whoever sees calls does not know that it is new
                promise.may["unlink", id_] = "made by SQL, and deleted"
            return
        if created:
            kind, sure = "create", key in unit.calls["c"]
            why = "created" if sure else "a row that no create() made"
        elif gone:
            kind, sure = "unlink", key in unit.calls["x"] and record.depth == 1
            why = "deleted" if sure else "deleted by SQL or a foreign key"
        else:
            kind = "write"
            sure, why = self._write(env, unit, links, subscription, key, record)
            if why is None:
                return
        if subscription.event_type in (kind, "all"):
            if sure:
                promise.must[kind, id_] = why
            else:
                promise.may[kind, id_] = why
        if created and not sure and subscription.event_type in ("write", "all"):
            promise.may["write", id_] = why

    def _write(self, env, unit, links, subscription, key, record):
        """(whether an event is promised, why), or (False, None) where none may come."""
        changed = dict(links.get((subscription.model, key[1]), {}))
        emptied = set()  # one empty value in the place of another
        for name, (was, now, by_orm) in (record.columns if record else {}).items():
            if was != now:
                given = name in TECHNICAL or unit.was_given(key, name)
                if was in EMPTY and now in EMPTY:
                    emptied.add(name)
                changed[name] = by_orm and given and name not in emptied
        if not subscription.fields:
            if key in unit.calls["w"]:
                return True, "write() was called"
            beside = key in unit.calls["t"] or (subscription.model, key[1]) in links
            return False, "a relation or translation, beside any write()" if beside else None
        hits = {name: by_orm for name, by_orm in changed.items() if name in subscription.fields}
        sure = sorted(name for name, by_orm in hits.items() if by_orm)
        if sure:
            return True, "changed: " + ", ".join(sure)
        if hits.keys() <= emptied:
            return False, "one empty value in the place of another" if hits else None
        return False, "changed by SQL, by a foreign key, or in the ORM's cache"

    # -- the comparison --------------------------------------------------------------

    def _compare(self, env, verdict, number, subscription_id, promise, told):
        subscription = self.by_id.get(subscription_id)
        if subscription is None:
            verdict.counts["events of the test's own subscriptions"] += len(told)
            return
        verdict.counts["promised"] += len(promise.must)
        missed = {key: why for key, why in promise.must.items() if key not in told}
        phantom = [key for key in told if key not in promise.must and key not in promise.may]
        for key, why in promise.may.items():
            verdict.counts[f"{'told' if key in told else 'not told'}, as may be: {why}"] += 1
        readable = self._readable(env, subscription, {id_ for kind, id_ in (*missed, *told) if kind != "unlink"})
        for (kind, id_), why in missed.items():
            if self._is_new(verdict, "missed", subscription, kind, id_):
                if kind != "unlink" and id_ not in readable:
                    verdict.add("not told: the subscription's user may not read it")
                elif kind == "unlink" and self._has_rules(env, subscription.model):
                    verdict.add("not told: deleted under record rules, which cannot be asked afterwards")
                else:
                    group = "any field" if not subscription.fields else "watched"
                    verdict.add("missed", f"{self._name(subscription_id, kind, id_)} [{group}] {why} (unit {number})")
        for kind, id_ in phantom:
            if self._is_new(verdict, "phantom", subscription, kind, id_):
                verdict.add("phantom", f"{self._name(subscription_id, kind, id_)} {subscription.fields[:4]} (unit {number})")
        if number == "0":
            self._check_leaks_and_values(env, verdict, subscription, told, readable)

    def _check_leaks_and_values(self, env, verdict, subscription, told, readable):
        alive = {id_ for kind, id_ in told if kind != "unlink"}
        for id_ in alive - readable:
            if self._is_new(verdict, "leak", subscription, "", id_):
                verdict.add("told of what the user may not read", f"{subscription.model} {id_}")
        if not subscription.scalars or not alive:
            return
        rows = self._rows(env, subscription, alive)
        for (kind, id_), record in told.items():
            if kind == "unlink" or not record or id_ not in rows:
                continue
            for name, stored in rows[id_].items():
                if name in record and not _equal(record[name], stored):
                    told_value, row_value = str(record[name])[:40], str(stored)[:40]
                    verdict.add("stale value", f"{subscription.model} {id_}: {name} told {told_value}, stored {row_value}")

    def _rows(self, env, subscription, ids):
        columns = ", ".join(f'"{name}"' for name in subscription.scalars)
        with env.cr._cnx.cursor() as cursor:
            cursor.execute(f'SELECT id, {columns} FROM "{env[subscription.model]._table}" WHERE id = ANY(%s)', [list(ids)])
            return {row[0]: dict(zip(subscription.scalars, row[1:], strict=True)) for row in cursor}

    def _readable(self, env, subscription, ids):
        """Those that the subscription's user may read; asked of Odoo, when the test is over."""
        user = env(user=self.watched.user_id, su=False, context={})
        user = user(context={"allowed_company_ids": user.user.company_ids.ids})
        records = user[subscription.model].with_context(active_test=False).browse(ids).exists()
        return set(records._filtered_access("read")._ids)

    def _has_rules(self, env, model):
        user = env(user=self.watched.user_id, su=False, context={})
        return not user["ir.rule"]._compute_domain(model, "read").is_true()

    def _is_new(self, verdict, kind, subscription, event_type, id_):
        """Tests of a SingleTransactionCase see the same transaction again."""
        key = (kind, subscription.id, event_type, id_)
        if key in self.reported:
            return False
        self.reported.add(key)
        return True

    def _name(self, subscription_id, event_type, id_):
        subscription = self.by_id.get(subscription_id)
        return f"{subscription.model if subscription else '?'} {event_type} {id_}"


def _equal(told, stored):
    if isinstance(told, bool) or isinstance(stored, bool):
        return bool(told) == bool(stored)
    if told in EMPTY and stored in EMPTY:
        return True
    if isinstance(told, int | float) and stored is not None:
        return abs(float(told) - float(stored)) <= 1e-6 * max(1, abs(float(told)))
    return told == stored
