# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How much of a sidecar's log Odoo has seen, so that a log that was put back to an earlier
state can be told so. Rows are only inserted, in the statement that forgets what was
accepted: many users save at once, and one row for all of them would make them wait."""

from odoo import api, fields, models
from odoo.tools import SQL


class McpWebhookSeen(models.Model):
    _name = "mcp.webhook.seen"
    _description = "Acceptances of the sidecar's log that Odoo has seen"
    _log_access = False
    _allow_sudo_commands = False

    log_id = fields.Char(required=True)
    accepted_to = fields.Char(required=True, help="The log's count of acceptances.")

    @api.model
    def _highest(self, log_id):
        """The highest count of this log, as text; "" when there is none."""
        highest = SQL(
            "SELECT max(accepted_to::numeric) FROM mcp_webhook_seen WHERE log_id = %s",
            log_id,
        )
        ((count,),) = self.env.execute_query(highest)
        return "" if count is None else str(int(count))

    @api.model
    def _note(self, log_id, accepted_to):
        if log_id and (accepted_to or "").isdigit():
            values = {"log_id": log_id, "accepted_to": accepted_to}
            self.create(values)

    @api.model
    def _keep_highest(self, log_id):
        """One row of the present log is enough."""
        self.env.cr.execute(
            """DELETE FROM mcp_webhook_seen
                WHERE id NOT IN (SELECT id FROM mcp_webhook_seen
                                  WHERE log_id = %s
                               ORDER BY accepted_to::numeric DESC
                                  LIMIT 1)""",
            [log_id],
        )
