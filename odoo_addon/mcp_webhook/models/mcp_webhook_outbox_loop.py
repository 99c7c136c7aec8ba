# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Events that cause themselves: an endpoint that writes back what it is told of.

Two signs are kept with each event. The mark: a request to Odoo that carries the
`webhook-id` of an event came from who was told of it. The door: whether a program
changed the record, for only these are as fast, and as tireless, as a loop.
A loop pauses its subscription: the event that was one too many fails and says so, all
others wait.
"""

import logging
import re

import psycopg2

from odoo import api, models
from odoo.tools import SQL

from ..tools.origin import origin
from .mcp_webhook_outbox import in_own_transaction

_logger = logging.getLogger(__name__)

HOPS = 10  # events of one subscription in one chain
LONGEST = 100  # events in one chain, of whichever subscriptions
PER_RECORD = 60  # of one subscription, by programs, within the window
WINDOW = "10 minutes"
LOOKED_AT = 300  # newest events of a subscription: somebody waits for the save


class McpWebhookOutbox(models.Model):
    _inherit = "mcp.webhook.outbox"  # pylint: disable=consider-merging-classes-inherited

    @classmethod
    def _submit_after_commit(cls, registry, subscription_ids, paused_ids):
        if any(origin()) and not cls._break_loops(registry, subscription_ids):
            return  # the sweep looks again
        super()._submit_after_commit(registry, subscription_ids, paused_ids)

    @classmethod
    def _submit_built(cls, registry, subscription_ids):
        """Their rows say who caused them; the origin here is the cron's."""
        if cls._break_loops(registry, subscription_ids):
            return super()._submit_built(registry, subscription_ids)
        return None

    @classmethod
    def _sweep(cls, registry):
        if cls._break_loops(registry, None):
            return super()._sweep(registry)
        return None

    @classmethod
    def _break_loops(cls, registry, subscription_ids):
        """Pause what causes itself, before its next event goes out.

        :param subscription_ids: None: all
        :return: False when it could not be looked at now
        """
        try:
            in_own_transaction(
                registry, lambda env: env[cls._name]._pause_loops(subscription_ids)
            )
        except psycopg2.errors.LockNotAvailable:
            _logger.info("The mirror is busy; loops are looked for by the sweep")
            return False
        return True

    @api.model
    def _pause_loops(self, subscription_ids):
        most = self._loop_events()
        found = self._looping(subscription_ids, most) if most else []
        if not found:
            return
        self.env.cr.rollback()  # the lock comes first
        self.env["mcp.webhook.mirror"]._lock(1)
        for subscription_id, delivery_id in found:
            subscription = self.env["mcp.event.subscription"].browse(subscription_id)
            delivery = self.env["mcp.webhook.delivery"].browse(delivery_id)
            if subscription.exists() and not subscription.paused:
                delivery._end_loop(subscription)

    @api.model
    def _loop_events(self):
        value = self.env["mcp.webhook.sidecar"]._parameter("loop_events")
        return int(value) if re.fullmatch("[0-9]{1,9}", value) else PER_RECORD

    @api.model
    def _looping(self, subscription_ids, most):
        """`[(subscription id, delivery id of the event that is one too many)]`"""
        some = SQL()
        if subscription_ids is not None:
            some = SQL("AND s.id = ANY(%s)", list(subscription_ids))
        return self.env.execute_query(
            SQL(
                """SELECT s.id, max(d.id)
                     FROM mcp_event_subscription s
                     JOIN mcp_webhook_delivery d ON d.subscription_id = s.id
                     JOIN mcp_webhook_outbox o ON o.delivery_id = d.id
                    WHERE (d.by_program OR d.cause_uuid IS NOT NULL)
                      AND s.active AND s.paused IS NOT TRUE %s
                      AND ((%s) > %s OR (%s))
                 GROUP BY s.id""",
                some,
                SQL(SAME_RECORD, LOOKED_AT, WINDOW),
                most,
                SQL(CHAIN, LONGEST, HOPS, LONGEST),
            )
        )


# How many of the newest events of the subscription `s` are about the first record of `d`.
SAME_RECORD = """
    SELECT count(*)
      FROM (SELECT e.record_ids, e.create_date, e.by_program, e.trigger
              FROM mcp_webhook_delivery e
             WHERE e.subscription_id = s.id AND e.id > COALESCE(s.loop_after, 0)
          ORDER BY e.id DESC
             LIMIT %s) newest
     WHERE newest.by_program
       AND newest.trigger IN ('event', 'action')
       AND newest.record_ids -> 0 = d.record_ids -> 0
       AND newest.create_date > d.create_date - %s::interval
"""
# Whether the chain of causes of `d` goes through too many events: of the subscription `s`,
# or of any, for a chain may go round through many, or through ones that are deleted and
# made again.
CHAIN = """
    WITH RECURSIVE chain(id, subscription_id, cause_uuid, hops) AS (
        SELECT d.id, d.subscription_id, d.cause_uuid, 1
     UNION ALL
        SELECT e.id, e.subscription_id, e.cause_uuid, chain.hops + 1
          FROM chain
          JOIN mcp_webhook_delivery e ON e.event_uuid = chain.cause_uuid
           AND e.attempt = 1 AND e.id < chain.id
         WHERE chain.hops < %s
    )
    SELECT count(*) FILTER (WHERE chain.subscription_id = s.id) > %s OR count(*) >= %s
      FROM chain
     WHERE chain.id > COALESCE(s.loop_after, 0)
"""
