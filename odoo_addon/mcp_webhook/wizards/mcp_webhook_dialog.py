# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the dialogs about one subscription have in common: it must be one that the
caller may read, in whichever way its id comes in."""

from odoo import api, fields, models

from ..tools import limits


class McpWebhookDialog(models.AbstractModel):
    _name = "mcp.webhook.dialog"
    _inherit = "mcp.webhook.export"
    _description = "Dialog about an event subscription"

    subscription_id = fields.Many2one(
        "mcp.event.subscription", required=True, readonly=True, ondelete="cascade"
    )

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            self._check_given(vals)
        return super().create(vals_list)

    def write(self, vals):
        self._check_given(vals)
        return super().write(vals)

    @api.model
    def default_get(self, fields):
        values = super().default_get(fields)
        self._check_given(values)
        return values

    def onchange(self, values, field_names, fields_spec):
        self._check_given(values)
        return super().onchange(values, field_names, fields_spec)

    @api.model
    def _check_given(self, values):
        """Before anything is computed of it; a constraint would run as superuser."""
        limits.check_fields(self.env, values)
        given = values.get("subscription_id")
        if isinstance(given, dict):
            given = given.get("id")
        if isinstance(given, list | tuple):
            given = given[0] if given else False
        if given:
            subscription = self.env["mcp.event.subscription"].browse(given)
            subscription.check_access("read")
