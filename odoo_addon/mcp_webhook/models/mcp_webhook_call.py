# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What programs asked for through MCP, one row a call: who, which tool, what came of it.
No arguments and no answers, for these may hold what is secret."""

from datetime import timedelta

from odoo import api, fields, models
from odoo.fields import Domain

DAYS = 30
MOST = 200_000
GC_LIMIT = 10_000
OUTCOMES = [
    ("done", "Done"),
    ("refused", "Refused"),
    ("denied", "No Rights"),
    ("limited", "Over the Limit"),
    ("failed", "Failed"),
]


class McpWebhookCall(models.Model):
    _name = "mcp.webhook.call"
    _description = "MCP Call"
    _order = "id desc"
    _allow_sudo_commands = False

    connection_id = fields.Many2one(
        "mcp.webhook.connection", readonly=True, ondelete="cascade", index=True
    )
    user_id = fields.Many2one("res.users", readonly=True, ondelete="set null")
    company_id = fields.Many2one("res.company", readonly=True, ondelete="set null")
    tool = fields.Char(readonly=True)
    client = fields.Char(readonly=True, help="As the program calls itself.")
    outcome = fields.Selection(OUTCOMES, readonly=True)
    parameter = fields.Char(
        readonly=True, help="With which the call was refused; never its value."
    )
    events = fields.Integer(readonly=True, help="How many events it was given.")
    duration_ms = fields.Integer("Duration (ms)", readonly=True, aggregator="avg")

    _recent_idx = models.Index("(connection_id, create_date DESC)")

    @api.depends("tool")
    def _compute_display_name(self):
        for call in self:
            call.display_name = call.tool or ""

    @api.autovacuum
    def _gc_calls(self):
        """:return: `(done, remaining)`"""
        everything = self.sudo()
        domain = Domain("create_date", "<", fields.Datetime.now() - timedelta(days=DAYS))
        surplus = everything.search([], order="id desc", offset=MOST, limit=1)
        if surplus:
            domain |= Domain("id", "<=", surplus.id)
        old = everything.search(domain, order="id", limit=GC_LIMIT)
        old.unlink()
        return len(old), len(old) == GC_LIMIT
