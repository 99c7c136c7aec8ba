# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Deleting a subscription with a long log: it is gone at once, its rows let go of it later.

The foreign key would do it in the caller's transaction: hundreds of thousands of rows under
several indexes, while every save that fires for the subscription waits for the lock on it.
"""

import time

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL

from .mcp_webhook_outbox import in_own_transaction

AT_ONCE = 200  # rows of a subscription that is deleted where it stands
BATCH = 5000  # rows in one transaction of the sweep
MAX_SECONDS = 20  # of one sweep


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    is_gone = fields.Boolean(
        readonly=True,
        copy=False,
        help="Deleted; its log has not let go of it yet.",
    )

    def unlink(self):
        self.check_access("unlink")
        busy = self._with_a_long_log()
        self._forget_what_was_said()
        result = super(McpEventSubscription, self - busy).unlink()
        if busy:
            busy._leave()
        return result

    def _leave(self):
        """Nobody finds it any more; nothing fires, and the sidecar is told."""
        stored = self.sudo().with_context(tracking_disable=True)
        self.env["mcp.webhook.tombstone"].sudo().create(
            [{"uuid": subscription.uuid} for subscription in stored]
        )
        stored.write({"active": False, "is_gone": True})
        stored.write({"secret_value": False, "headers_value": False})
        stored.sync_pending = False
        self._sync_after_commit()

    @api.model
    def _search(self, domain, *args, active_test=True, **kwargs):
        """A search finds none that is gone. Values are fetched without `active_test`: rows
        of its log still point to it, and a rule hides it from everybody else."""
        if active_test:
            domain = Domain(domain) & Domain("is_gone", "=", False)
        return super()._search(domain, *args, active_test=active_test, **kwargs)

    def exists(self):
        """By SQL: whoever fetches values asks this, too."""
        found = super().exists()
        query = SQL(
            "SELECT id FROM mcp_event_subscription WHERE is_gone AND id = ANY(%s)",
            list(found._ids),
        )
        gone = {id_ for (id_,) in self.env.execute_query(query)} if found else ()
        return found.browse(id_ for id_ in found._ids if id_ not in gone)

    def _with_a_long_log(self):
        if not self:
            return self
        found = self.env.execute_query(
            SQL(
                """SELECT s.id
                     FROM unnest(%s) AS s(id)
                    WHERE (SELECT count(*)
                             FROM (SELECT 1 FROM mcp_webhook_delivery
                                    WHERE subscription_id = s.id
                                    LIMIT %s) few) > %s""",
                self.ids,
                AT_ONCE + 1,
                AT_ONCE,
            )
        )
        return self.browse(id_ for (id_,) in found)

    # -- the sweep -------------------------------------------------------------------

    @api.model
    def _let_go(self):
        """Rows in batches, each in a transaction of its own; then the subscription."""
        end = time.monotonic() + MAX_SECONDS
        name = self._name
        while time.monotonic() < end:
            if not in_own_transaction(self.pool, lambda env: env[name]._let_go_of_some()):
                return

    def _let_go_of_some(self):
        """:return: whether there may be more"""
        self.env["mcp.webhook.mirror"]._lock()
        self.env.cr.execute(
            "SELECT id FROM mcp_event_subscription WHERE is_gone ORDER BY id LIMIT 1"
        )
        found = self.env.cr.fetchone()
        if not found:
            return False
        self.env.cr.execute(
            """UPDATE mcp_webhook_delivery SET subscription_id = NULL
                WHERE id IN (SELECT id FROM mcp_webhook_delivery
                              WHERE subscription_id = %s
                           ORDER BY id DESC
                              LIMIT %s)""",
            [found[0], BATCH],
        )
        if self.env.cr.rowcount < BATCH:
            self.browse(found[0]).unlink()
        return True
