# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What only newer sidecars take of a subscription.

An older one gets nothing that it does not know. Where a subscription needs it all the same
it is not taken there, and says why: its events wait, for what would be recorded or signed
otherwise than it asks could not be put right afterwards.
"""

from odoo import api, models
from odoo.fields import Domain

from ..tools.sidecar import SidecarError

TOO_OLD = "too_old"  # the kind of our refusal, beside the sidecar's own kinds


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    def _newer_values(self, features):
        """What goes to a sidecar with these features, beyond what every one takes.

        :raise SidecarError: it does not know something that this subscription needs
        """
        for feature, field in self._needed_features().items():
            if feature not in features:
                words = self.with_context(lang="en_US")._kind_in_words(TOO_OLD)
                raise SidecarError(None, TOO_OLD, words, {"field": field})
        values = {}
        if "subscription.success" in features:
            values["success"] = self.sudo()._success()
        overlap = self._overlap_seconds()
        if overlap:
            values["keep_previous_s"] = overlap
        return values

    def _needed_features(self):
        """`{feature: the field of ours that needs it}`"""
        stored = self.sudo()
        needed = {}
        for name in stored._success() or ():
            needed.setdefault("subscription.success", f"success_{name}")
        if stored._overlap_seconds():
            needed["subscription.keep_previous_s"] = "secret_overlap_hours"
        if stored.dialect == "google_chat":
            needed["dialect.google_chat"] = "dialect"
        return needed

    @api.model
    def _meet_other_version(self):
        """Another version of the sidecar may know what the one before did not, or the
        other way round: whatever depends on it is told again."""
        domain = Domain.OR(
            [
                Domain("success_not_html", "=", True),
                Domain("success_pointer", "!=", False),
                Domain("secret_overlap_hours", "!=", 0),
                Domain("dialect", "=", "google_chat"),
            ]
        )
        everything = self.sudo().with_context(active_test=False)
        everything.search(domain).sync_pending = True
