# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What waits for the sidecar: inserted with the delivery row, deleted once it is
accepted. So the delivery row itself has one writer, the mirror."""

import json
import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg2

from odoo import SUPERUSER_ID, api, fields, models
from odoo.tools import SQL

from ..tools.sidecar import (
    INLINE_TIMEOUT,
    MAX_EVENTS,
    PATIENT_TIMEOUT,
    SidecarError,
    SidecarUnreachable,
    batches,
)

_logger = logging.getLogger(__name__)

MAX_SECONDS = 40  # of one sweep's submissions or pulls: a cron run has 120 in all
SWEEP_AFTER = 5  # seconds: younger rows are being submitted by their own transaction
SLICE_BYTES = 2 * 1024 * 1024  # of events in one request: memory must not grow with them
# Refusals that a sync of the subscriptions may cure: ask again before giving up.
CURABLE = frozenset({"not_found", "inactive"})
SHARE_SECONDS = 10  # of a sweep, in which one user's events are built late
# `{database: ids of users}` who have used up theirs in this process's last sweep.
_tired = {}


@dataclass(frozen=True)
class Receipt:
    """The sidecar's answer to a submission.

    :ivar results: `[(delivery id, result)]`
    :ivar log_id: the log that took them, where that is certain
    :ivar accepted_to: its count of acceptances
    """

    results: list
    log_id: str | None
    accepted_to: str | None


@contextmanager
def own_environment(registry):
    """A superuser environment in a transaction of its own, committed at the end."""
    with registry.cursor() as cr:
        yield api.Environment(cr, SUPERUSER_ID, {})


def in_own_transaction(registry, work):
    """`work(env)` in a transaction of its own, again when somebody was faster.

    :return: what `work` returns
    """
    for _try in range(2):
        try:
            with own_environment(registry) as env:
                return work(env)
        except psycopg2.errors.SerializationFailure:
            continue
    with own_environment(registry) as env:
        return work(env)


def _each_alone(cr):
    """Each statement of this cursor is a transaction of its own, as `odoo.service.db`
    has it: somebody waits for every BEGIN and COMMIT. Within a test's transaction, none."""
    if cr._cnx.status == psycopg2.extensions.STATUS_READY:
        cr._cnx.set_session("default", readonly="default", autocommit=True)


class McpWebhookOutbox(models.Model):
    _name = "mcp.webhook.outbox"
    _description = "Webhook events that wait for the sidecar"
    _log_access = False
    _allow_sudo_commands = False

    delivery_id = fields.Many2one(
        "mcp.webhook.delivery", required=True, ondelete="cascade"
    )

    _delivery_uniq = models.Constraint("unique(delivery_id)")

    @classmethod
    def _submit_quietly(cls, registry, subscription_ids, paused_ids):
        """The postcommit hook: the change is saved, nothing may raise any more."""
        try:
            paused = paused_ids & subscription_ids
            cls._submit_after_commit(registry, subscription_ids, paused)
        except Exception:
            _logger.exception("Submitting webhook events failed; the sweep will do it")

    @classmethod
    def _submit_after_commit(cls, registry, subscription_ids, paused_ids):
        """All that waits for these subscriptions, oldest first, if it can be quick."""
        with own_environment(registry) as env:
            access, outbox = env["mcp.webhook.sidecar"], env["mcp.webhook.outbox"]
            if access._is_open():
                return
            _each_alone(env.cr)
            rows = outbox._waiting(subscription_ids)
            if not rows:
                return
            # the sidecar may take its time: hold no snapshot meanwhile, wherever we are
            env.cr.rollback()
            try:
                receipt = access._try(
                    lambda client: outbox._send(client, rows), INLINE_TIMEOUT
                )
            except (SidecarUnreachable, SidecarError) as error:
                _logger.info("Webhook events wait for the sweep: %s", error)
                return
            # A curable refusal stays in the outbox: the sweep syncs first, then decides.
            cls._settle(registry, receipt, CURABLE, lock_seconds=1, env=env)
            env["mcp.webhook.delivery"]._announce_paused(paused_ids)

    @classmethod
    def _sweep(cls, registry):
        """Submit everything that has waited for a while.

        :raise SidecarUnreachable, SidecarError: the rest goes on waiting
        """
        cls._forget_finished(registry)
        after, end = 0, time.monotonic() + MAX_SECONDS
        while time.monotonic() < end:
            with own_environment(registry) as env:
                outbox = env["mcp.webhook.outbox"]
                rows = outbox._waiting(None, older_than=SWEEP_AFTER, after=after)
                if not rows:
                    return
                client = env["mcp.webhook.sidecar"]._client(PATIENT_TIMEOUT)
                env.cr.rollback()  # hold no snapshot while the sidecar is asked
                receipt = outbox._send(client, rows)
            cls._settle(registry, receipt, frozenset())
            after = rows[len(receipt.results) - 1][0]

    @classmethod
    def _build_late(cls, registry):
        """Events that were not built when their records were saved, each in a transaction
        of its own; then they go out, with no wait for another sweep.

        What a filter or a field's code takes is its user's: after `SHARE_SECONDS` the rest
        of theirs waits for another sweep, and there it comes after the others'.
        """
        end = time.monotonic() + MAX_SECONDS
        with own_environment(registry) as env:
            env.cr.execute("SELECT max(id) FROM mcp_webhook_outbox")
            (last,) = env.cr.fetchone()
        spent, built, waiting = {}, set(), _tired.pop(registry.db_name, set())
        while time.monotonic() < end:
            slow = {u for u, seconds in spent.items() if seconds > SHARE_SECONDS}
            found = cls._take_late(registry, last, slow | waiting)
            if not found and not waiting:
                break
            if not found:
                waiting = set()
                continue
            delivery_id, subscription_id, user_id = found
            built.add(subscription_id)
            begun = time.monotonic()
            cls._build_one(registry, delivery_id)
            spent[user_id] = spent.get(user_id, 0) + time.monotonic() - begun
        _tired[registry.db_name] = {u for u, s in spent.items() if s > SHARE_SECONDS}
        if built - {None}:
            cls._submit_built(registry, built - {None})

    @classmethod
    def _take_late(cls, registry, last, without_users):
        """The next row to be built goes to the end of the queue: should it cost the process
        its life, the others come first.

        :param last: the last id that this sweep looks at
        :return: `(delivery id, subscription id or None, user id)`, or None
        """

        def take(env):
            env.cr.execute(
                """UPDATE mcp_webhook_outbox o
                      SET id = nextval('mcp_webhook_outbox_id_seq')
                     FROM (SELECT o.id, o.delivery_id, d.subscription_id,
                                  COALESCE(s.user_id, 0) AS user_id
                             FROM mcp_webhook_outbox o
                             JOIN mcp_webhook_delivery d ON d.id = o.delivery_id
                        LEFT JOIN mcp_event_subscription s ON s.id = d.subscription_id
                            WHERE d.event IS NULL AND o.id <= %s
                              AND COALESCE(s.user_id, 0) != ALL(%s)
                         ORDER BY o.id
                            LIMIT 1) found
                    WHERE o.id = found.id
                RETURNING found.delivery_id, found.subscription_id, found.user_id""",
                [last, list(without_users)],
                log_exceptions=False,
            )
            return env.cr.fetchone()

        return in_own_transaction(registry, take)

    @classmethod
    def _build_one(cls, registry, delivery_id):
        name = "mcp.webhook.delivery"
        try:
            in_own_transaction(
                registry, lambda env: env[name].browse(delivery_id)._build_late()
            )
        except Exception:
            _logger.exception("The event of delivery %s waits on", delivery_id)

    @classmethod
    def _submit_built(cls, registry, subscription_ids):
        cls._submit_quietly(registry, subscription_ids, frozenset())

    @api.model
    def _waiting(self, subscription_ids, older_than=None, after=0):
        """`[(delivery id, event text)]`, oldest first, at most one request's worth.

        Not those whose subscription the sidecar has refused, or does not know as it is
        now: they would go out by what it was before.
        """
        conditions = [SQL("d.id > %s AND d.event IS NOT NULL", after)]
        if subscription_ids is not None:
            conditions.append(SQL("d.subscription_id = ANY(%s)", list(subscription_ids)))
        if older_than is not None:
            limit = "(now() AT TIME ZONE 'UTC') - make_interval(secs => %s)"
            conditions.append(SQL(f"d.create_date <= {limit}", older_than))
        return self.env.execute_query(
            SQL(
                """SELECT id, event
                     FROM (SELECT id, event, octet_length(event) AS size,
                                  sum(octet_length(event)) OVER (ORDER BY id) AS total
                             FROM (SELECT d.id, d.event
                                     FROM mcp_webhook_outbox o
                                     JOIN mcp_webhook_delivery d ON d.id = o.delivery_id
                                LEFT JOIN mcp_event_subscription s
                                       ON s.id = d.subscription_id
                                    WHERE %s
                                      AND s.sync_pending IS NOT TRUE
                                      AND s.is_refused IS NOT TRUE
                                 ORDER BY d.id
                                    LIMIT %s) waiting) slice
                    WHERE total - size < %s
                 ORDER BY id""",
                SQL(" AND ").join(conditions),
                MAX_EVENTS,
                SLICE_BYTES,
            )
        )

    @api.model
    def _send(self, client, rows):
        """Submit the first request's worth. Returns a :class:`Receipt`."""
        access = self.env["mcp.webhook.sidecar"]
        access._introduce(client)
        cut = batches([len(text.encode()) for _id, text in rows])[0]
        try:
            answer = client.submit([json.loads(text) for _id, text in rows[cut]])
        except SidecarError as error:
            if error.kind == "fenced":
                access._forget_introduction()
            raise
        known = access._introduction()
        # behind a connection that was made meanwhile there may be another log
        is_same = known and known.meetings == client.meetings
        pairs = zip(rows[cut], answer["results"], strict=True)
        return Receipt(
            [(row[0], result) for row, result in pairs],
            known.log_id if is_same else None,
            answer.get("accepted_to"),
        )

    @classmethod
    def _settle(cls, registry, receipt, leave, lock_seconds=None, env=None):
        """Forget what was accepted, fail what was refused.

        :param leave: kinds of refusal after which the row goes on waiting
        :param env: of a transaction in which nothing has been done yet
        """
        results = receipt.results
        refused = [(id_, r["error"]) for id_, r in results if r["status"] == "rejected"]
        kept = {id_ for id_, _error in refused}
        final = [
            (i, e) for i, e in refused if (e.get("data") or {}).get("kind") not in leave
        ]
        done = [id_ for id_, _result in results if id_ not in kept]
        if done and not (env and env["mcp.webhook.outbox"]._forgotten(done, receipt)):
            in_own_transaction(
                registry, lambda own: own["mcp.webhook.outbox"]._forget(done, receipt)
            )
        if final:
            try:
                cls._refuse(registry, final, lock_seconds)
            except psycopg2.errors.LockNotAvailable:
                _logger.info("The mirror is busy; the sweep will record refusals")

    @api.model
    def _forget(self, delivery_ids, receipt):
        """Nobody waits for the disk here: rows that a crash brings back are submitted
        again, and the sidecar knows them."""
        self.env.cr.execute(
            """SET LOCAL synchronous_commit TO off;
               WITH seen AS (
                    INSERT INTO mcp_webhook_seen (log_id, accepted_to)
                         SELECT %s, %s WHERE %s IS NOT NULL AND %s IS NOT NULL)
               DELETE FROM mcp_webhook_outbox WHERE delivery_id = ANY(%s)""",
            [*(receipt.log_id, receipt.accepted_to) * 2, delivery_ids],
            log_exceptions=False,
        )

    @api.model
    def _forgotten(self, delivery_ids, receipt):
        """:return: False when somebody else was at one of these rows just now"""
        try:
            self._forget(delivery_ids, receipt)
        except psycopg2.errors.SerializationFailure:
            self.env.cr.rollback()
            return False
        return True

    @classmethod
    def _forget_finished(cls, registry):
        """Outcomes that the mirror learned before the submission had its answer."""
        in_own_transaction(
            registry,
            lambda env: env.cr.execute(
                """DELETE FROM mcp_webhook_outbox o
                         USING mcp_webhook_delivery d
                         WHERE d.id = o.delivery_id AND d.status != 'pending'""",
                log_exceptions=False,
            ),
        )

    @classmethod
    def _refuse(cls, registry, refused, lock_seconds):
        """Rows of refused events end, and keep their event for another submission. Where
        the sidecar lacks a subscription that we have, they wait until it is told again."""
        with own_environment(registry) as env:
            env["mcp.webhook.mirror"]._lock(lock_seconds)
            Delivery = env["mcp.webhook.delivery"]
            ended = Delivery
            for delivery_id, error in refused:
                kind = (error.get("data") or {}).get("kind") or "internal"
                delivery = Delivery.browse(delivery_id).exists()
                if kind in CURABLE and delivery.subscription_id._is_served():
                    delivery.subscription_id.sync_pending = True
                    continue
                delivery._fail(kind, error.get("message"), in_odoo=True)
                ended |= delivery
            env["mcp.webhook.outbox"].search([("delivery_id", "in", ended.ids)]).unlink()
            Delivery._mirror_badges(ended)
