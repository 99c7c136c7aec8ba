# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A generated signing secret, for whoever gives it to the receiver."""

from odoo import api, fields, models

from ..models.mcp_event_subscription import MANAGER


class McpWebhookSecret(models.TransientModel):
    _name = "mcp.webhook.secret"
    _inherit = "mcp.webhook.dialog"
    _description = "Signing secret that was generated for an AI"

    secret = fields.Char(compute="_compute_secret")

    @api.depends("subscription_id")
    def _compute_secret(self):
        """Once it is noted it is as write-only as any other."""
        is_manager = self.env.user.has_group(MANAGER)
        for dialog in self:
            subscription = dialog.subscription_id
            may = is_manager and subscription and subscription.has_access("write")
            stored = subscription.sudo()
            shown = may and stored.has_generated_secret
            dialog.secret = stored.secret_value if shown else False

    def action_noted(self):
        self.ensure_one()
        self.subscription_id.check_access("write")
        self.subscription_id.sudo().has_generated_secret = False
        return {"type": "ir.actions.client", "tag": "soft_reload"}
