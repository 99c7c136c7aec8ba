# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What waits would be lost to its receiver: how many that are, before it is done."""

from odoo import api, fields, models


class McpWebhookWaiting(models.TransientModel):
    _name = "mcp.webhook.waiting"
    _inherit = "mcp.webhook.dialog"
    _description = "What becomes of deliveries that wait"

    purpose = fields.Selection(
        [("deactivate", "Deactivate"), ("discard", "Discard what waits")],
        default="discard",
        required=True,
        readonly=True,
    )
    subscription_ids = fields.Many2many(
        "mcp.event.subscription", string="Subscriptions", readonly=True
    )
    count = fields.Integer("Waiting Deliveries", compute="_compute_count")

    def _chosen(self):
        return self.subscription_ids or self.subscription_id

    @api.depends("subscription_id", "subscription_ids")
    def _compute_count(self):
        for wizard in self:
            theirs = wizard._chosen()
            theirs.check_access("read")
            wizard.count = sum(theirs.mapped("pending_count"))

    def action_go_on(self):
        """They end as failed, with the reason, and can be redelivered."""
        self.ensure_one()
        theirs = self._chosen()
        theirs.check_access("write")
        if self.purpose == "deactivate":
            theirs.active = False
            return {"type": "ir.actions.client", "tag": "soft_reload"}
        return theirs._waiting_deliveries().action_cancel()
