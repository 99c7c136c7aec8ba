# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How many subscriptions one user's AIs make: one call after the other."""

from odoo import fields, models


class McpWebhookRoom(models.Model):
    _name = "mcp.webhook.room"
    _description = "Turn of a user whose AIs subscribe: one call after the other"
    _log_access = False
    _allow_sudo_commands = False

    user_id = fields.Many2one("res.users", required=True, ondelete="cascade")
    turns = fields.Integer()

    _user_uniq = models.Constraint("unique(user_id)")

    def _take_turn(self):
        """Calls of one user that count at the same time wait for each other, and the one
        that did not see what the other has made begins anew: no save of anybody touches
        this row."""
        self.env.cr.execute(
            """INSERT INTO mcp_webhook_room AS room (user_id, turns) VALUES (%s, 1)
               ON CONFLICT (user_id) DO UPDATE SET turns = (room.turns + 1) %% 1000""",
            [self.env.uid],
            log_exceptions=False,
        )
