# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How many subscriptions one user's AIs may have, for each costs in others' saves."""

from odoo import models

from ..tools import limits, validation


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    def _check_room(self):
        """Each costs in the saves of others, so nobody has any number of them."""
        self.ensure_one()
        if self._is_manager():
            return
        self.env["mcp.webhook.room"]._take_turn()
        own, alike = self._of_caller()
        templates = own.mapped("payload_template")
        texts = templates + own.mapped("domain")
        for label, count, most in (
            ("model", len(own), limits.PER_USER),
            ("model", len(alike), limits.PER_USER_AND_MODEL),
            (
                "webhook_payload_template",
                sum(len(text or "") for text in texts),
                limits.PER_USER_BYTES,
            ),
            (
                "webhook_payload_template",
                sum(map(limits.values_of, templates)),
                limits.PER_USER_VALUES,
            ),
        ):
            if count > most:
                other = (alike - self or own - self)[:1]
                validation.refuse(label, self._no_room(label, most, len(alike), other))

    def _of_caller(self):
        """What counts against the limits; of that, what is about the same model."""
        everything = self.sudo().with_context(active_test=False)
        own = everything.search([("create_uid", "=", self.env.uid)])
        return own, own.filtered(lambda s: s.model_name == self.model_name)

    def _room_left(self):
        own, alike = self._of_caller()
        return self.env._(
            "You have %(alike)s of at most %(per_model)s subscriptions on %(model)s, "
            "%(own)s of %(per_user)s in all.",
            alike=len(alike),
            per_model=limits.PER_USER_AND_MODEL,
            model=self.model_name,
            own=len(own),
            per_user=limits.PER_USER,
        )

    def _no_room(self, label, most, alike, other):
        if label != "model":
            return self.env._(
                "your templates and filters together exceed %s bytes or values; expected "
                'shorter ones. Example: {"text": "{{ model }}"}.',
                most,
            )
        return self.env._(
            "with this one you would have more than %(most)s subscriptions (on %(model)s: "
            "%(count)s). Remove one that you do not need first. "
            "Example: unsubscribe_events(%(id)s).",
            most=most,
            model=self.model_name,
            count=alike,
            id=other.id,
        )
