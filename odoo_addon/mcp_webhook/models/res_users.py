# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Whose rights subscriptions filter by."""

from odoo import api, models

from ..tools.origin import remember_key


class ResUsers(models.Model):
    _inherit = "res.users"

    @api.model
    def _check_uid_passwd(self, uid, passwd):
        """Each RPC call comes by here, with a password or an API key."""
        result = super()._check_uid_passwd(uid, passwd)
        remember_key(passwd)
        return result

    def write(self, vals):
        """A user who is archived takes those rights along."""
        result = super().write(vals)
        if "active" in vals:
            # Odoo cleared its caches a moment ago: until the commit another thread
            # may have read the old state again
            clear_cache = self.env.registry.clear_cache
            self.env.cr.postcommit.add(lambda: clear_cache())
            self._webhook_subscriptions()._user_came_or_went()
        return result

    def unlink(self):
        """Theirs stay, with nobody's rights: nothing is sent until somebody is chosen."""
        theirs = self._webhook_subscriptions()
        result = super().unlink()
        theirs.invalidate_recordset(["user_id"])
        theirs._user_came_or_went()
        return result

    def _webhook_subscriptions(self):
        everything = self.env["mcp.event.subscription"].sudo()
        everything = everything.with_context(active_test=False)
        return everything.search([("user_id", "in", self.ids)])
