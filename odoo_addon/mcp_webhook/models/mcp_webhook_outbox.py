# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What waits for the sidecar: inserted with the delivery row, deleted once it is
accepted. So the delivery row itself has one writer, the mirror."""

import json
import logging
import time
from contextlib import contextmanager

import psycopg2

from odoo import SUPERUSER_ID, api, fields, models
from odoo.tools import SQL

from ..sidecar import (
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
# Refusals that a sync of the subscriptions may cure: ask again before giving up.
CURABLE = frozenset({"not_found", "inactive"})


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
                results = access._try(
                    lambda client: outbox._send(client, rows), INLINE_TIMEOUT
                )
            except (SidecarUnreachable, SidecarError) as error:
                _logger.info("Webhook events wait for the sweep: %s", error)
                return
            # A curable refusal stays in the outbox: the sweep syncs first, then decides.
            cls._settle(registry, results, CURABLE, lock_seconds=1, env=env)
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
            results = outbox._send(client, rows)
            cls._settle(registry, results, frozenset())
            after = rows[len(results) - 1][0]

    @api.model
    def _waiting(self, subscription_ids, older_than=None, after=0):
        """`[(delivery id, event text)]`, oldest first, at most one request's worth."""
        conditions = [SQL("d.id > %s AND d.event IS NOT NULL", after)]
        if subscription_ids is not None:
            conditions.append(SQL("d.subscription_id = ANY(%s)", list(subscription_ids)))
        if older_than is not None:
            limit = "(now() AT TIME ZONE 'UTC') - make_interval(secs => %s)"
            conditions.append(SQL(f"d.create_date <= {limit}", older_than))
        return self.env.execute_query(
            SQL(
                """SELECT d.id, d.event
                     FROM mcp_webhook_outbox o
                     JOIN mcp_webhook_delivery d ON d.id = o.delivery_id
                    WHERE %s
                 ORDER BY d.id
                    LIMIT %s""",
                SQL(" AND ").join(conditions),
                MAX_EVENTS,
            )
        )

    @api.model
    def _send(self, client, rows):
        """Submit the first request's worth. Returns `[(delivery id, result)]`."""
        self.env["mcp.webhook.sidecar"]._introduce(client)
        cut = batches([len(text.encode()) for _id, text in rows])[0]
        try:
            results = client.submit([json.loads(text) for _id, text in rows[cut]])
        except SidecarError as error:
            if error.kind == "fenced":
                self.env["mcp.webhook.sidecar"]._forget_introduction()
            raise
        return [(row[0], result) for row, result in zip(rows[cut], results, strict=True)]

    @classmethod
    def _settle(cls, registry, results, leave, lock_seconds=None, env=None):
        """Forget what was accepted, fail what was refused.

        :param leave: kinds of refusal after which the row goes on waiting
        :param env: of a transaction in which nothing has been done yet
        """
        refused = [(id_, r["error"]) for id_, r in results if r["status"] == "rejected"]
        kept = {id_ for id_, _error in refused}
        final = [
            (i, e) for i, e in refused if (e.get("data") or {}).get("kind") not in leave
        ]
        done = [id_ for id_, _result in results if id_ not in kept]
        if done and not (env and env["mcp.webhook.outbox"]._forgotten(done)):
            in_own_transaction(
                registry, lambda own: own["mcp.webhook.outbox"]._forget(done)
            )
        if final:
            try:
                cls._refuse(registry, final, lock_seconds)
            except psycopg2.errors.LockNotAvailable:
                _logger.info("The mirror is busy; the sweep will record refusals")

    @api.model
    def _forget(self, delivery_ids):
        """Nobody waits for the disk here: rows that a crash brings back are submitted
        again, and the sidecar knows them."""
        self.env.cr.execute(
            """SET LOCAL synchronous_commit TO off;
               DELETE FROM mcp_webhook_outbox WHERE delivery_id = ANY(%s)""",
            [delivery_ids],
            log_exceptions=False,
        )

    @api.model
    def _forgotten(self, delivery_ids):
        """:return: False when somebody else was at one of these rows just now"""
        try:
            self._forget(delivery_ids)
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
        with own_environment(registry) as env:
            env["mcp.webhook.mirror"]._lock(lock_seconds)
            Delivery = env["mcp.webhook.delivery"]
            for delivery_id, error in refused:
                kind = (error.get("data") or {}).get("kind") or "internal"
                Delivery.browse(delivery_id).exists()._fail(kind, error.get("message"))
            env["mcp.webhook.outbox"].search(
                [("delivery_id", "in", [id_ for id_, _error in refused])]
            ).unlink()
            Delivery._mirror_badges(Delivery.browse(id_ for id_, _error in refused))
