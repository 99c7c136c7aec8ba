# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The transaction's one decision: which records become events, in which rows.

Runs at the end of the business transaction, after Odoo's own flush and hooks; the rows
are committed or rolled back with it. A savepoint that was open before the first change,
or a `cr.flush()` in the middle, make it run earlier: then it runs once more at the end,
for everything, when anything has changed since.

It never fails somebody's save for the sake of a subscription.
"""

import logging
from typing import NamedTuple

import psycopg2

from odoo import SUPERUSER_ID, api
from odoo.tools import split_every

from ..tools.words import _lt
from . import journal as notes
from .apart import apart
from .changes import Links, compare, living, noted_links, relinked
from .judge import LATE, SLICE, Judge, Setting
from .parting import kept
from .rows import rows_of
from .watch import is_rebuilt

_logger = logging.getLogger(__name__)

SUBSCRIPTIONS = 100  # whose filters are one statement
# A row whose subscription is not there any more.
DESERTED = {
    "subscription_id": None,
    "status": "failed",
    "error_kind": "inactive",
    "error_message": _lt(
        "The subscription was deleted while the records were being saved."
    ),
}
BATCH_BYTES = 4 * 1024 * 1024  # of event texts that are held before they are stored


class Job(NamedTuple):
    """What one subscription is to be told of."""

    subscription_id: int
    model_name: str
    kind: str
    ids: list
    touched: notes.Touched


def decide(cr, journal):
    """Bring the transaction's delivery rows in line with what it did."""
    journal.is_stale = False
    transaction = cr.transaction
    if transaction is None:
        return
    # asked here: a transaction that changes subscriptions sees its own
    here = api.Environment(cr, SUPERUSER_ID, {})
    watches = here["mcp.event.subscription"]._watched()
    watches = {name: watch.for_caller(here) for name, watch in watches.items()}
    with apart(cr, transaction.registry) as env:
        _take_back(env, journal)
        with Judge(env, meters=journal.meters) as judge:
            for attempt in (_judged, _unjudged, _unread):
                try:
                    attempt(judge, journal, watches)
                    break
                except Exception:
                    # Ours, or of a field's own code, or somebody locks what only we read:
                    # whatever it is, the save does not care.
                    _logger.exception("Webhook events are decided after the save")
                    judge.end()
                    _take_back(env, journal)
    if journal.event_ids and transaction.default_env is not None:
        # what this transaction may have read of the rows before they were there
        transaction.default_env["mcp.event.subscription"].invalidate_model(
            ["delivery_ids", "delivery_count", "pending_count"], flush=False
        )


def _take_back(env, journal):
    """Rows of earlier decisions of this transaction; nobody has seen them. No id is
    forgotten: a savepoint that is rolled back brings back what was deleted in it."""
    if journal.event_ids:
        env.cr.execute(
            "DELETE FROM mcp_webhook_delivery WHERE event_uuid = ANY(%s)",
            [journal.event_ids],
        )
    journal.subscription_ids = set()


def _jobs(found):
    """Of one subscription, what came first, first."""
    jobs = []
    for changes in found:
        touched = changes.touched
        order = None
        for watcher in changes.watch.subscriptions:
            kinds = list(changes.of(watcher).items())
            if len(kinds) > 1:
                order = order or {id_: n for n, id_ in enumerate(touched.first)}
                last = len(order)
                kinds.sort(key=lambda kind: min(order.get(i, last) for i in kind[1]))
            for kind, ids in kinds:
                jobs.append(Job(watcher.id, changes.model._name, kind, ids, touched))
    return jobs


def _judged(judge, journal, watches):
    """What there is to tell, with what is told of it."""
    found, lost = compare(judge, journal, watches)

    def gone_of(model_name):
        try:
            return _gone(judge, journal, model_name)
        except psycopg2.Error:
            judge.end()
            return journal.of(model_name).leaving.keys()

    def relinked_in(model_name, _watch):
        return lost[model_name]

    lost_watches = {name: watches[name] for name in lost}
    jobs, late = _jobs(found), list(_noted(journal, lost_watches, relinked_in, gone_of))
    ids = {job.subscription_id for job in (*jobs, *late)}
    settings = judge.settings(ids) if ids else {}
    # what the models lack meanwhile is not left out, but read later
    is_late = is_rebuilt(judge.env.registry)
    _store_all(judge, journal, jobs, settings, is_late)
    _store_all(judge, journal, late, settings, is_late=True)


def _unjudged(judge, journal, watches):
    """What was noted and is still so, for whoever might want it; late."""

    links = Links(judge, journal, watches.values())

    def relinked_in(model_name, watch):
        return relinked(judge, journal, model_name, watch, links)

    def gone_of(model_name):
        return _gone(judge, journal, model_name)

    jobs = list(_noted(journal, watches, relinked_in, gone_of))
    settings = judge.settings({job.subscription_id for job in jobs}) if jobs else {}
    _store_all(judge, journal, jobs, settings, is_late=True)


def _unread(judge, journal, watches):
    """All that was noted, without reading anything; late."""

    def relinked_in(_model_name, watch):
        return noted_links(journal, watch)

    def gone_of(model_name):
        return journal.of(model_name).leaving.keys()

    jobs = list(_noted(journal, watches, relinked_in, gone_of))
    watchers = (w for watch in watches.values() for w in watch.subscriptions)
    settings = {w.id: Setting.unread(w.id, w.uuid, w.company_id) for w in watchers}
    _store_all(judge, journal, jobs, settings, is_late=True)


def _gone(judge, journal, model_name):
    """Ids that were to be deleted, and are."""
    leaving = journal.of(model_name).leaving.keys()
    return leaving - living(judge, model_name, leaving)


def _noted(journal, watches, relinked_in, gone_of):
    """Jobs of what was noted, as far as the two functions know what became of it."""
    for model_name, watch in watches.items():
        if not (watch.subscriptions and journal.concerns(model_name, watch)):
            continue
        touched = journal.of(model_name)
        others, gone = relinked_in(model_name, watch), gone_of(model_name)
        for watcher in watch.subscriptions:
            changed = set(touched.written)
            if watcher.fields:
                names, before = set(watcher.fields), touched.before.items()
                changed = {id_ for id_, kept in before if names & kept.keys()}
                changed.update(*(others.get(name, ()) for name in names))
            elif watcher.recomputed:
                changed.update(touched.recomputed)
            kinds = {
                "create": touched.created.keys(),
                "write": changed - touched.created.keys() - gone,
                "unlink": gone & touched.parting.get(watcher.id, {}).keys(),
            }
            for kind, ids in kinds.items():
                if watcher.wants(kind) and (ids := sorted(ids)):
                    yield Job(watcher.id, model_name, kind, ids, touched)


# -- what is stored --------------------------------------------------------------------


def _store_all(judge, journal, jobs, settings, is_late=False):
    """By subscription, in slices, so that what grows with the records are their ids
    alone."""
    if not jobs:
        return
    jobs = sorted(jobs, key=lambda job: job.subscription_id)
    journal.paused_ids = {id_ for id_, s in settings.items() if s.paused}
    users = {name: notes.users_of(t) for name, t in journal.models.items()}
    now = judge.env.cr.now()
    rows = []
    # one that was deleted in this transaction has no setting any more
    for some in _slices(job for job in jobs if job.subscription_id in settings):
        if not is_late:
            living = (job for job in some if job.kind != "unlink")
            judge.ask((settings[j.subscription_id], j.model_name, j.ids) for j in living)
        for job in some:
            setting = settings[job.subscription_id]
            if job.kind == "unlink":
                items = kept(judge, job.touched, setting.id, job.ids)
            elif is_late:
                items = dict.fromkeys(job.ids, LATE)
            else:
                items = judge.items(setting, job.model_name, job.ids)
            user_of = users[job.model_name]
            rows += rows_of(setting, job.model_name, job.kind, items, user_of, now)
        if sum(len(row.get("event") or "") for row in rows) > BATCH_BYTES:
            _store(judge, journal, rows)
            rows = []
    _store(judge, journal, rows)


def _slices(jobs):
    """Lists of jobs, cut where they are long, that together have not too many ids."""
    some, size = [], 0
    for job in jobs:
        for ids in split_every(SLICE, job.ids, list):
            some.append(job._replace(ids=ids))
            size += len(ids)
            if size >= SLICE or len(some) >= SUBSCRIPTIONS:
                yield some
                some, size = [], 0
    if some:
        yield some


def _store(judge, journal, rows):
    """Take back what judging may have changed, and store."""
    Delivery = judge.env["mcp.webhook.delivery"]
    try:
        judge.end(Delivery._insertion(rows) if rows else None)
    except psycopg2.Error:
        rows = _store_each(Delivery, rows)
    journal.event_ids += [row["event_uuid"] for row in rows]
    journal.subscription_ids.update(row["subscription_id"] for row in rows)


def _store_each(Delivery, rows):
    """So that one which cannot be stored costs no other. One whose subscription somebody
    else is just deleting, or whose user this transaction has deleted, stands in the log
    without."""
    forms = ({}, {"user_id": None}, DESERTED, {"user_id": None, **DESERTED})
    return [r for r in rows if _store_alone(Delivery, *({**r, **form} for form in forms))]


def _store_alone(Delivery, *forms):
    """:return: whether one of the forms could be stored"""
    for row in forms:
        try:
            with Delivery.env.cr.savepoint(flush=False):
                Delivery.env.cr.execute(Delivery._insertion([row]), log_exceptions=False)
            return True
        except psycopg2.Error as error:
            reason = error
    _logger.error("Event %s cannot be stored", row["event_uuid"], exc_info=reason)
    return False
