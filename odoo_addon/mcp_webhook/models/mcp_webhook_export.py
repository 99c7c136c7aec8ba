# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How rows of ours leave for a spreadsheet; groups and pivots: `controllers/export.py`."""

from odoo import models

from ..tools.exports import defused


class McpWebhookExport(models.AbstractModel):
    _name = "mcp.webhook.export"
    _description = "Rows that are defused when they are exported"

    def export_data(self, fields_to_export):
        exported = super().export_data(fields_to_export)
        exported["datas"] = [[defused(cell) for cell in row] for row in exported["datas"]]
        return exported
