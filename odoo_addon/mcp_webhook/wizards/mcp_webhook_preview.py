# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The preview as a dialog."""

from odoo import api, fields, models


class McpWebhookPreview(models.TransientModel):
    _name = "mcp.webhook.preview"
    _inherit = "mcp.webhook.dialog"
    _description = "Preview of a webhook payload"

    model_name = fields.Char(related="subscription_id.model_name", related_sudo=False)
    res_id = fields.Many2oneReference("Sample Record", model_field="model_name")
    payload = fields.Text(compute="_compute_payload")
    error = fields.Text(compute="_compute_payload")
    note = fields.Text(compute="_compute_payload")

    @api.depends("res_id", "subscription_id")
    def _compute_payload(self):
        self.subscription_id.check_access("read")
        for preview in self:
            preview.payload, preview.error, preview.note = (
                preview.subscription_id._render_preview(preview.res_id)
            )
