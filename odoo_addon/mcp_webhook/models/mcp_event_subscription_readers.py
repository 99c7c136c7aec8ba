# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Who gets to see what is said of a subscription: its chatter, its alerts, its followers.

To follow is no right. Whoever is told must be one who may read the subscription now, or
have it from their own AI; a mailbox that belongs to no user follows because a manager
said so.
"""

from odoo import models
from odoo.fields import Domain

from ..capture.watch import SKIP, UNSEEN
from .mcp_event_subscription import MANAGER

TRACES = {
    "mail.activity": "res_model",
    "mail.followers": "res_model",
    "mail.message": "model",
    "mail.scheduled.message": "model",
}


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    def _message_auto_subscribe_followers(self, updated_values, default_subtype_ids):
        """`user_id` is whose rights decide, and nobody's task: they are not told of it."""
        return []

    def message_get_followers(self, *args, **kwargs):
        """Who follows it is for those who may read it: `mail.thread` asks nobody."""
        self.check_access("read")
        return super().message_get_followers(*args, **kwargs)

    def _message_create(self, values_list):
        """What the addon notes on its own subscriptions is no event of who watches
        messages."""
        quiet = self.with_context(**{SKIP: UNSEEN})
        return super(McpEventSubscription, quiet)._message_create(values_list)

    def _notify_get_recipients(self, message, msg_vals=False, **kwargs):
        """Followers whose rights ended are not told; who is named in the message is."""
        found = super()._notify_get_recipients(message, msg_vals=msg_vals, **kwargs)
        given = (msg_vals or {}).get("partner_ids", message.sudo().partner_ids.ids)
        followers = [person["id"] for person in found if person["id"] not in given]
        allowed = self._who_may_be_told(self.env["res.partner"].browse(followers))
        kept = {*given, *allowed.ids}
        return [p for p in found if not p["id"] or p["id"] in kept]

    def _readers(self):
        """Partners who are told how it fares; all managers where none of them follows, for
        who asked for it through an AI may not be one who could repair it."""
        self.ensure_one()
        told = self._who_may_be_told(self.sudo().message_follower_ids.partner_id)
        managers = self._managers().partner_id
        if not managers & told:
            told |= managers
        asked = self.sudo().user_id
        if asked.active and self._is_of(asked):
            told |= asked.partner_id
        return told

    def _managers(self):
        """The users who may read it by their rights, and so answer a request."""
        group = self.env.ref(MANAGER, raise_if_not_found=False)
        users = group.sudo().all_user_ids if group else self.env["res.users"]
        return users.filtered(lambda user: user.active and self._is_seen_by(user))

    def _who_may_be_told(self, partners):
        return partners.filtered(self._may_be_told)

    def _may_be_told(self, partner):
        users = partner.sudo().with_context(active_test=False).user_ids
        return not users or any(user.active and self._is_seen_by(user) for user in users)

    def _is_seen_by(self, user):
        if self._is_of(user):
            return True
        theirs = self.with_user(user).with_context(allowed_company_ids=[])
        return not user.share and theirs.has_access("read")

    def _is_of(self, user):
        """Whether this user's AI has made it, and it is still theirs."""
        stored = self.sudo()
        return bool(stored.connection) and stored.user_id == user == stored.create_uid

    def _forget_what_was_said(self):
        """Messages, followers and the like, which point here by a name and a number."""
        quiet = {"active_test": False, SKIP: UNSEEN}
        for model, column in TRACES.items():
            domain = Domain(column, "=", self._name) & Domain("res_id", "in", self.ids)
            self.env[model].sudo().with_context(**quiet).search(domain).unlink()
