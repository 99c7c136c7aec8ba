# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Why a manager does not let a subscription send."""

from odoo import fields, models
from odoo.exceptions import UserError


class McpWebhookRejection(models.TransientModel):
    _name = "mcp.webhook.rejection"
    _inherit = "mcp.webhook.dialog"
    _description = "Rejection of a subscription"

    reason = fields.Text(help="For the user whose AI asked for it, and for the AI.")

    def action_reject(self):
        """It goes on sending nothing, and whoever asked is told why.

        :raise UserError: without a reason
        """
        self.ensure_one()
        self.subscription_id.check_access("write")
        reason = (self.reason or "").strip()
        if not reason:
            raise UserError(self.env._("Say why, so that it can be done otherwise."))
        self.subscription_id._reject(reason)
        return {"type": "ir.actions.client", "tag": "soft_reload"}
