# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Which records are sent now: the count first."""

from odoo import api, fields, models
from odoo.exceptions import UserError

from ..models.mcp_webhook_backfill import MAX_PACE


class McpWebhookSend(models.TransientModel):
    _name = "mcp.webhook.send"
    _inherit = "mcp.webhook.dialog"
    _description = "Records to send now"

    model_name = fields.Char(related="subscription_id.model_name", related_sudo=False)
    domain = fields.Char("Records", default="[]")
    pace = fields.Integer(
        "Records a Minute",
        default=600,
        help="So many records a minute are handed over: receiver and Odoo have time "
        "for what happens meanwhile.",
    )
    count = fields.Integer("Records to Send", compute="_compute_count")
    trouble = fields.Char(compute="_compute_count")
    backfill_id = fields.Many2one("mcp.webhook.backfill", readonly=True)

    @api.depends("subscription_id", "domain")
    def _compute_count(self):
        self.subscription_id.check_access("read")
        for dialog in self:
            dialog.trouble = False
            try:
                dialog.count = len(dialog._record_ids())
            except UserError as error:
                dialog.count, dialog.trouble = 0, error.args[0]

    def _record_ids(self):
        return self.subscription_id._ids_on_demand(self.domain)

    def action_send(self):
        """Begin; the first ones go at once.

        :raise UserError: nothing can be sent, and why
        """
        self.ensure_one()
        self.subscription_id.check_access("write")
        # pressed twice it still sends once: of two at the same time, the second has to
        # begin again, for both write this row
        if not self.backfill_id:
            self.backfill_id = self._begun()
            self.subscription_id._call_sweep()
        return {
            "type": "ir.actions.act_window",
            "res_model": self.backfill_id._name,
            "res_id": self.backfill_id.id,
            "views": [(False, "form")],
        }

    def _begun(self):
        """A new backfill.

        :raise UserError: nothing can be sent, and why
        """
        self.subscription_id._check_can_send_now()
        if not 1 <= self.pace <= MAX_PACE:
            raise UserError(
                self.env._("pace: expected 1 to %s records a minute.", MAX_PACE)
            )
        ids = self._record_ids()
        if not ids:
            raise UserError(self.env._("No record matches: nothing to send."))
        return (
            self.env["mcp.webhook.backfill"]
            .sudo()
            .create(
                {
                    "subscription_id": self.subscription_id.id,
                    "user_id": self.env.uid,
                    "domain": self.domain or "[]",
                    "pace": self.pace,
                    "total": len(ids),
                    "highest_id": ids[-1],
                }
            )
        )
