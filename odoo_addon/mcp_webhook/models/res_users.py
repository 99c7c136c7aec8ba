# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Whose rights subscriptions filter by."""

from odoo import models, tools
from odoo.tools import SQL


class ResUsers(models.Model):
    _inherit = "res.users"

    def write(self, vals):
        """A user who is archived takes those rights along."""
        result = super().write(vals)
        if "active" in vals:
            # Odoo cleared its caches a moment ago: until the commit another thread
            # may have read the old state again
            clear_cache = self.env.registry.clear_cache
            self.env.cr.postcommit.add(lambda: clear_cache())
            everything = self.env["mcp.event.subscription"].with_context(
                active_test=False
            )
            theirs = everything.sudo().search([("user_id", "in", self.ids)])
            theirs._user_came_or_went()
        return result

    @tools.ormcache("self.id")
    def _webhook_habits(self):
        """`(active, language, time zone)`. Every matching write asks; Odoo clears this
        cache when one of them changes, as that of `context_get`. The ORM would read all
        of the user's and the partner's columns for these three."""
        fields, partner_fields = self._fields, self.env["res.partner"]._fields
        query = SQL(
            """SELECT u.active, p.lang, p.tz
                 FROM res_users u JOIN res_partner p ON p.id = u.partner_id
                WHERE u.id = %s""",
            self.id,
            to_flush=(
                fields["active"],
                fields["partner_id"],
                partner_fields["lang"],
                partner_fields["tz"],
            ),
        )
        (habits,) = self.env.execute_query(query)
        return habits
