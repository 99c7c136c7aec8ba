# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, models

from .mcp_event_subscription_approval import ALLOWED_HOSTS


class IrConfigParameter(models.Model):
    _inherit = "ir.config_parameter"

    @api.model_create_multi
    def create(self, vals_list):
        parameters = super().create(vals_list)
        parameters._webhook_hosts_changed(parameters.mapped("key"))
        return parameters

    def write(self, vals):
        keys = self.mapped("key")
        result = super().write(vals)
        self._webhook_hosts_changed(keys + self.mapped("key"))
        return result

    def unlink(self):
        keys = self.mapped("key")
        result = super().unlink()
        self._webhook_hosts_changed(keys)
        return result

    def _webhook_hosts_changed(self, keys):
        if ALLOWED_HOSTS in keys and self.pool.ready:
            self.env["mcp.event.subscription"].sudo()._hold_to_allowed_hosts()
