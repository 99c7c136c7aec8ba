# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A selection of deliveries, once more: the count first."""

from odoo import api, fields, models


class McpWebhookAgain(models.TransientModel):
    _name = "mcp.webhook.again"
    _inherit = "mcp.webhook.export"
    _description = "Redelivery of a selection"

    delivery_ids = fields.Many2many(
        "mcp.webhook.delivery", string="Deliveries", readonly=True
    )
    count = fields.Integer("To Be Sent Again", compute="_compute_count")
    delivered = fields.Integer("Delivered Since", compute="_compute_count")
    waiting = fields.Integer("Waiting Already", compute="_compute_count")

    @api.depends("delivery_ids.status")
    def _compute_count(self):
        self.delivery_ids.check_access("read")
        for dialog in self:
            rows = dialog.delivery_ids._one_of_each_event()
            waiting = rows.filtered(lambda row: row.event_state == "waiting")
            delivered = (rows - waiting)._delivered_since()
            dialog.waiting = len(waiting)
            dialog.delivered = len(delivered)
            dialog.count = len(rows - waiting - delivered)

    def action_redeliver(self):
        """Send again what has not been delivered since.

        :raise UserError: nothing could be sent again, and why
        """
        self.ensure_one()
        return self.delivery_ids.action_redeliver()
