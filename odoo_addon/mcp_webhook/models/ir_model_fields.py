# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Custom fields that subscriptions watch may get another name."""

from odoo import models


class IrModelFields(models.Model):
    _inherit = "ir.model.fields"

    def write(self, vals):
        """A subscription keeps the names of what it watches: they follow."""
        renamed = {field: field.name for field in self if "name" in vals}
        result = super().write(vals)
        everything = self.env["mcp.event.subscription"].sudo()
        everything = everything.with_context(active_test=False)
        for field, name in renamed.items():
            watching = everything.search([("watched_field_ids", "in", field.ids)])
            watching._rename_watched(name, field.name)
        return result
