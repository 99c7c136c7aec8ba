# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Whose records subscriptions tell of."""

from odoo import models


class ResCompany(models.Model):
    _inherit = "res.company"

    def unlink(self):
        """Without its company a subscription would tell of every company's records: it
        ends before."""
        everything = self.env["mcp.event.subscription"].sudo()
        everything = everything.with_context(active_test=False)
        theirs = everything.search([("company_id", "in", self.ids)])
        theirs.write({"active": False})
        for subscription in theirs:
            subscription._message_log(body=self.env._("Its company was deleted."))
        return super().unlink()
