# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The transaction's one decision: which slots become events, in which rows.

Runs as a precommit hook, inside the business transaction; the rows it writes are
committed or rolled back with it. It never raises for the sake of a subscription:
what cannot be evaluated becomes a failed row that says why.
"""

import logging
from dataclasses import dataclass

import psycopg2

from odoo import SUPERUSER_ID, api, fields

from . import payload
from .capture import SLOTS, is_new, merge, snapshot
from .ledger import LEDGER, Ledger
from .payload import Broken, BrokenSubscription

_logger = logging.getLogger(__name__)

SUBMIT = "mcp_webhook.submit"  # the key in cr.postcommit.data
# What a decision reads of a subscription: every matching write pays for each column.
NEEDED = (
    "company_id",
    "domain",
    "endpoint_host",
    "enrich_fields",
    "model_name",
    "name",
    "paused",
    "user_id",
    "uuid",
)


@dataclass(frozen=True)
class Verdict:
    """One record goes to one subscription as `event_type`.

    `item` is the record's JSON ("" without enrichment), or what is broken.
    """

    event_type: str
    item: str | Broken


@dataclass(frozen=True)
class Row:
    """A delivery row of this transaction: `group` is (subscription id, event type,
    Broken or None), `ids` the records it carries."""

    group: tuple
    ids: tuple


def emit(cr):
    """The precommit hook."""
    slots = cr.precommit.data.pop(SLOTS, None)
    if not slots:
        return
    env = api.Environment(cr, SUPERUSER_ID, {})
    env.flush_all()
    ledger = Ledger.of(cr)
    touched = {}
    for key, slot in slots.items():
        ledger.put(ledger.slots, key, merge(ledger.slots.get(key), slot))
        touched.setdefault(key[0], []).append(key[1])
    try:
        _decide(env, ledger, touched)
    except psycopg2.Error:
        raise  # the transaction is lost with us or without us
    except Exception:
        _logger.exception("Webhook events of this transaction are lost")
    if ledger.rows and not cr.postcommit.data.get(SUBMIT):
        cr.postcommit.data[SUBMIT] = True
        registry = env.registry
        cr.postcommit.add(lambda: _submit(registry, ledger))


def _decide(env, ledger, touched):
    """One savepoint for all: the usual case must not pay for the broken one."""
    mark = ledger.mark()
    try:
        _in_savepoint(env, lambda: _decide_with(env, ledger, touched, _judge, _store))
    except psycopg2.Error:
        ledger.go_back_to_mark(mark)
        _decide_with(env, ledger, touched, judge, _store_carefully)


def _decide_with(env, ledger, touched, judging, storing):
    changes = {}
    for model_name, ids in touched.items():
        changes.update(_verdicts(env, ledger, model_name, ids, judging))
    _rewrite(env, ledger, changes, storing)


def parting_words(records, watch):
    """What subscriptions will be told of records that are about to go.

    :return: `{record id: {subscription id: item}}`, see :class:`Verdict`
    """
    wanting = watch.wanting("unlink")
    if not wanting:
        return {}
    env = api.Environment(records.env.cr, SUPERUSER_ID, {})
    env.flush_all()
    ledger = env.cr.postcommit.data.get(LEDGER)
    earlier = ledger.slots if ledger else {}
    ids = []
    for id_ in env[records._name].browse(records._ids).exists()._ids:
        slot = earlier.get((records._name, id_))
        if not is_new(env, records._name, id_) and not (slot and slot.kind == "create"):
            ids.append(id_)
    parting = {}
    items = judge(env, records._name, {s.id: ids for s in wanting if ids})
    for subscription_id, by_record in items.items():
        for id_, item in by_record.items():
            parting.setdefault(id_, {})[subscription_id] = item
    return parting


def judge(env, model_name, wanted):
    """Filter and describe records for subscriptions; a broken one costs no other.

    :param wanted: `{subscription id: record ids}`
    :return: `{subscription id: {record id: item}}`, only records that match
    """
    try:
        return _in_savepoint(env, lambda: _judge(env, model_name, wanted))
    except psycopg2.Error:
        return {id_: _judge_alone(env, model_name, id_, wanted[id_]) for id_ in wanted}


def _judge(env, model_name, wanted):
    """:raise psycopg2.Error: a subscription that the database refuses"""
    if not wanted:
        return {}
    subscriptions = env["mcp.event.subscription"].browse(wanted)
    subscriptions.fetch(NEEDED)
    asked = {}
    return {
        s.id: _items(s, env[model_name].browse(wanted[s.id]), asked)
        for s in subscriptions
    }


def _judge_alone(env, model_name, subscription_id, ids):
    wanted = {subscription_id: ids}
    try:
        found = _in_savepoint(env, lambda: _judge(env, model_name, wanted))
        return found[subscription_id]
    except psycopg2.Error as error:
        broken = Broken(
            "internal",
            f"The database refuses the domain or the enriched fields "
            f"({type(error).__name__}); correct the subscription.",
        )
        return dict.fromkeys(ids, broken)


def _items(subscription, records, asked):
    try:
        selected = payload.matching(subscription, records, asked)
        tree = payload.path_tree(subscription.enrich_fields)
        if not tree:
            return dict.fromkeys(selected._ids, "")
        return payload.describe(selected, tree)
    except psycopg2.Error:
        raise
    except BrokenSubscription as error:
        broken = error.broken
    except Exception as error:
        _logger.warning(
            "Subscription %s cannot be evaluated", subscription.id, exc_info=True
        )
        broken = Broken(
            "internal",
            f"The domain or the enriched fields cannot be evaluated "
            f"({type(error).__name__}); correct the subscription.",
        )
    return dict.fromkeys(records._ids, broken)


def _in_savepoint(env, work):
    """:raise psycopg2.Error: after turning back what `work` did

    The caller has flushed, so that turning back loses nobody else's changes; a
    flushing savepoint would run the precommit hooks, of which we are one.
    """
    try:
        with env.cr.savepoint(flush=False):
            result = work()
            env.flush_all()
            return result
    except psycopg2.Error:
        env.cr.transaction.clear()
        raise


def _verdicts(env, ledger, model_name, ids, judging):
    """`{(subscription id, record id): Verdict or None}` for the touched records."""
    watch = env["mcp.event.subscription"]._watched().get(model_name)
    if watch is None:
        return {}
    slots = {id_: ledger.slots.get((model_name, id_)) for id_ in ids}
    changed = _changed_fields(env, model_name, slots)
    wanted, types = {}, {}
    for subscription in watch.subscriptions:
        for id_ in changed:
            kind = slots[id_].kind
            if subscription.wants(kind) and _fires(
                subscription, slots[id_], changed[id_]
            ):
                wanted.setdefault(subscription.id, []).append(id_)
                types[id_] = kind
    items = judging(env, model_name, wanted)
    verdicts = {}
    for subscription in watch.subscriptions:
        found = items.get(subscription.id, {})
        for id_, slot in slots.items():
            key = (subscription.id, id_)
            if slot and slot.kind == "unlink" and subscription.id in slot.parting:
                verdicts[key] = Verdict("unlink", slot.parting[subscription.id])
            elif id_ in found:
                verdicts[key] = Verdict(types[id_], found[id_])
            elif key in ledger.verdicts:
                verdicts[key] = None
    return verdicts


def _changed_fields(env, model_name, slots):
    """`{record id: names of watched fields that differ}` of the records that exist."""
    present = [id_ for id_, slot in slots.items() if slot and slot.kind != "unlink"]
    alive = env[model_name].browse(present).exists()
    names = {n for id_ in alive._ids for n in slots[id_].before}
    names = {n for n in names if n in alive._fields}
    now = snapshot(alive, names) if names else {}
    return {
        id_: {
            name
            for name, value in slots[id_].before.items()
            if name in names and now[id_][name] != value
        }
        for id_ in alive._ids
    }


def _fires(subscription, slot, changed):
    if slot.kind == "create":
        return True
    if not subscription.fields:
        return slot.written
    return not changed.isdisjoint(subscription.fields)


def _rewrite(env, ledger, changes, storing):
    """Bring this transaction's delivery rows in line with its verdicts."""
    groups, obsolete = {}, set()
    for (subscription_id, id_), verdict in changes.items():
        key = (subscription_id, id_)
        if key in ledger.homes:
            obsolete.add(ledger.homes[key])
        ledger.put(ledger.verdicts, key, verdict)
        if verdict:
            groups.setdefault(_group(subscription_id, verdict), set()).add(id_)
    obsolete.update(ledger.newest[group] for group in groups if group in ledger.newest)
    for delivery_id in obsolete:
        _vacate(ledger, delivery_id, groups)
    if groups or obsolete:
        storing(env, ledger, groups, obsolete)


def _group(subscription_id, verdict):
    broken = verdict.item if isinstance(verdict.item, Broken) else None
    return (subscription_id, verdict.event_type, broken)


def _vacate(ledger, delivery_id, groups):
    """Take a row apart; what it carries and still holds moves to `groups`."""
    row = ledger.rows[delivery_id]
    for id_ in row.ids:
        key = (row.group[0], id_)
        verdict = ledger.verdicts.get(key)
        if verdict and _group(row.group[0], verdict) == row.group:
            groups.setdefault(row.group, set()).add(id_)
        ledger.put(ledger.homes, key, None)
    ledger.put(ledger.rows, delivery_id, None)
    if ledger.newest.get(row.group) == delivery_id:
        ledger.put(ledger.newest, row.group, None)


def _store(env, ledger, groups, obsolete):
    Delivery = env["mcp.webhook.delivery"]
    if obsolete:
        Delivery.browse(obsolete).unlink()
    rows = [row for group, ids in groups.items() for row in _cut(ledger, group, ids)]
    delivery_ids = Delivery._insert([_values(env, ledger, r) for r in rows])
    for row, delivery_id in zip(rows, delivery_ids, strict=True):
        ledger.put(ledger.rows, delivery_id, row)
        ledger.put(ledger.newest, row.group, delivery_id)
        for id_ in row.ids:
            ledger.put(ledger.homes, (row.group[0], id_), delivery_id)


def _store_carefully(env, ledger, groups, obsolete):
    """Group by group, so that one which cannot be stored costs no other."""
    _in_savepoint(env, lambda: _store(env, ledger, {}, obsolete))
    for group, ids in groups.items():
        try:
            _in_savepoint(env, lambda g=group, i=ids: _store(env, ledger, {g: i}, ()))
        except psycopg2.Error:
            # typically the subscription was deleted a moment ago by someone else
            _logger.exception("No event could be stored for subscription %s", group[0])


def _cut(ledger, group, ids):
    texts = {}
    if group[2] is None:
        verdicts = ledger.verdicts
        texts = {id_: verdicts[group[0], id_].item for id_ in ids}
    return [Row(group, tuple(chunk)) for chunk in payload.chunks(sorted(ids), texts)]


def _values(env, ledger, row):
    subscription_id, event_type, broken = row.group
    subscription = env["mcp.event.subscription"].browse(subscription_id)
    if subscription.paused:
        ledger.paused.add(subscription_id)
    slots = [ledger.slots[subscription.model_name, id_] for id_ in row.ids]
    event = {
        "id": payload.new_event_id(),
        "subscription_id": subscription.uuid,
        "model": subscription.model_name,
        "event_type": event_type,
        "record_ids": list(row.ids),
        "user_id": min(slots, key=lambda slot: slot.order).user_id,
        "timestamp": payload.timestamp(env.cr.now()),
    }
    values = {
        **env["mcp.webhook.delivery"]._subscription_values(subscription),
        "event_uuid": event["id"],
        "event_type": event_type,
        "record_ids": event["record_ids"],
        "user_id": event["user_id"],
    }
    if broken:
        values["status"] = "failed"
        values["error_kind"], values["error_message"] = broken.kind, broken.message
        values["finished_at"] = fields.Datetime.now()
        return values
    texts = [ledger.verdicts[subscription_id, id_].item for id_ in row.ids]
    values["event"] = payload.event_json(event, [text for text in texts if text])
    return values


def _submit(registry, ledger):
    """The postcommit hook: the change is saved, nothing may raise any more."""
    try:
        subscription_ids = {row.group[0] for row in ledger.rows.values()}
        registry["mcp.webhook.outbox"]._submit_after_commit(
            registry, subscription_ids, ledger.paused & subscription_ids
        )
    except Exception:
        _logger.exception("Submitting webhook events failed; the sweep will do it")
