# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A request for approval as in the rest of Odoo: an activity for each manager who may
answer it, and an answer that whoever asked can read."""

from odoo import fields, models
from odoo.tools import plaintext2html

from ..capture.watch import SKIP, UNSEEN
from .mcp_webhook_told import notify

ACTIVITY = "mcp_webhook.activity_approval"


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    rejection = fields.Text(
        "Why It Was Rejected",
        readonly=True,
        copy=False,
        tracking=True,
        help="What the manager wrote. An edit by its user asks again.",
    )
    is_rejected = fields.Boolean(readonly=True, copy=False)
    # who has been asked to approve it, also where they have put that aside
    asked_ids = fields.Many2many(
        "res.users",
        "mcp_webhook_asked_rel",
        readonly=True,
        copy=False,
        groups=fields.NO_ACCESS,
    )

    def action_reject(self):
        """The reason first."""
        self.ensure_one()
        self.check_access("write")
        return self._dialog("mcp.webhook.rejection", self.env._("Reject"), {})

    def _reject(self, reason):
        """:param reason: what whoever asked for it may read"""
        waiting = self.filtered(lambda s: s.approval == "waiting")
        waiting.sudo().write({"rejection": reason, "is_rejected": True})
        waiting._close_request(self.env._("Rejected"))
        for subscription in waiting:
            asking = subscription.user_id.filtered("active")
            asking = asking.filtered(subscription._is_of).partner_id
            notify(subscription, asking, lambda here: _rejection(here, reason))

    def action_approve(self):
        result = super().action_approve()
        approved = self.filtered(lambda s: s.approval == "approved")
        approved.sudo().write({"rejection": False, "is_rejected": False})
        approved._close_request(self.env._("Approved"))
        return result

    def _note_approval(self, approval, by_list):
        result = super()._note_approval(approval, by_list)
        if approval == "waiting":
            self._ask_managers()
        else:
            self._close_request(self.env._("Not needed any more"))
        return result

    def _settle_approval(self):
        """An edit by its user, after a rejection, asks anew; what was said stays to be
        read."""
        if self.is_rejected:
            self.sudo().is_rejected = False
        return super()._settle_approval()

    def _after_create(self, vals_list):
        self.filtered(lambda s: s.approval == "waiting")._ask_managers()
        return super()._after_create(vals_list)

    def _after_write(self, vals, before):
        if vals.get("active"):
            self.filtered(lambda s: s.approval == "waiting")._ask_managers()
        elif "active" in vals:
            self._requests().unlink()
        return super()._after_write(vals, before)

    def _ask_managers(self, again=False):
        """Each who may answer has one activity, once, as far as there is room for it in
        this hour; an AI could have any number of them made.

        :param again: only those who were never asked
        """
        for subscription in self.sudo().filtered(
            lambda s: s.active and not s.is_rejected
        ):
            managers = subscription._managers() - subscription._requests().user_id
            asked = (
                self.env["mcp.webhook.told"]
                .sudo()
                ._ask(
                    subscription,
                    managers - subscription.asked_ids if again else managers,
                    ACTIVITY,
                    lambda here: here.env._("Approve or reject: %s", here.name),
                    again,
                )
            )
            known = (
                subscription.asked_ids - managers if not again else subscription.asked_ids
            )
            if known | asked != subscription.asked_ids:
                subscription.asked_ids = known | asked

    def _requests(self):
        return self.sudo().with_context(**{SKIP: UNSEEN}).activity_search([ACTIVITY])

    def _close_request(self, answer):
        """Whoever has answered has done it; nobody else needs to."""
        requests = self._requests()
        own = requests.filtered(lambda activity: activity.user_id == self.env.user)
        (requests - own).unlink()
        if own:
            own.action_feedback(feedback=answer)


def _rejection(here, reason):
    return (
        here.env._("%s: rejected", here.name),
        plaintext2html(here.env._("A webhook manager rejected it: %s", reason)),
    )
