# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models


class McpWebhookTombstone(models.Model):
    _name = "mcp.webhook.tombstone"
    _description = "Deleted event subscription that the sidecar still knows"
    _log_access = False
    _allow_sudo_commands = False

    uuid = fields.Char(required=True)
