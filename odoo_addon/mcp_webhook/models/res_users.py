# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A user who is archived takes the rights along that subscriptions filter by."""

from odoo import models


class ResUsers(models.Model):
    _inherit = "res.users"

    def write(self, vals):
        result = super().write(vals)
        if "active" in vals:
            everything = self.env["mcp.event.subscription"].with_context(
                active_test=False
            )
            theirs = everything.sudo().search([("user_id", "in", self.ids)])
            theirs._user_came_or_went()
        return result
