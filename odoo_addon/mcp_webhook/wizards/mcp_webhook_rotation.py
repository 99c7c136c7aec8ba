# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A new secret without a gap: generate, switch while both sign, test the new one alone, end
the old one. What stands as done is what the sidecar and the endpoint have said.

The secret goes straight to the subscription: a dialog is a row of a table, and keeps none.
"""

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import format_datetime

from ..models.mcp_event_subscription_rotation import MAX_HOURS, TESTS_ALONE


class McpWebhookRotation(models.TransientModel):
    _name = "mcp.webhook.rotation"
    _inherit = "mcp.webhook.dialog"
    _description = "Replacement of a signing secret"

    step = fields.Selection(
        [
            ("new", "Generate"),
            ("both", "Both Sign"),
            ("tested", "New One Taken"),
            ("ended", "Old One Ended"),
        ],
        compute="_compute_step",
    )
    secret = fields.Char(
        "New Secret", compute="_compute_secret", inverse="_inverse_secret"
    )
    hours = fields.Integer(
        "Keep Old Secret (h)",
        default=24,
        help="So long the old one signs as well; 1 to 168. If it has become known to "
        "somebody, replace it on the form with 0 instead.",
    )
    approval = fields.Selection(related="subscription_id.approval")
    switched_at = fields.Datetime(readonly=True)
    ended_at = fields.Datetime(readonly=True)
    is_alone = fields.Boolean(
        readonly=True, help="The sidecar signs tests with the new secret alone."
    )
    is_overlapping = fields.Boolean(compute="_compute_step")
    told = fields.Text(compute="_compute_told")

    def _compute_secret(self):
        self.secret = False

    def _inverse_secret(self):
        for dialog in self.filtered("secret"):
            subscription = dialog.subscription_id
            subscription.check_access("write")
            subscription._check_replaceable()
            if not 1 <= dialog.hours <= MAX_HOURS:
                raise UserError(
                    self.env._("hours: expected 1 to %s. Example: 24.", MAX_HOURS)
                )
            subscription.write(
                {"secret_overlap_hours": dialog.hours, "webhook_secret": dialog.secret}
            )
            dialog.switched_at = fields.Datetime.now()

    @api.depends("switched_at", "ended_at", "subscription_id.previous_secret_until")
    def _compute_step(self):
        now = fields.Datetime.now()
        for dialog in self:
            until = dialog.subscription_id.previous_secret_until
            dialog.is_overlapping = bool(until and until > now)
            if not dialog.switched_at:
                dialog.step = "new"
            elif dialog.ended_at and not dialog.is_overlapping:
                dialog.step = "ended"
            else:
                taken = dialog._test().status == "success"
                dialog.step = "tested" if taken else "both"

    @api.depends(
        "step", "subscription_id.previous_secret_until", "subscription_id.approval"
    )
    @api.depends_context("lang", "tz")
    def _compute_told(self):
        self.subscription_id.check_access("read")
        for dialog in self:
            dialog.told = dialog.step != "new" and " ".join(
                filter(None, (dialog._until(), dialog._outcome()))
            )

    def _until(self):
        """What the sidecar says, which alone keeps the old one. With headers of somebody
        else's, the new one needs their manager's word or another's."""
        if self.approval == "waiting":
            return self.env._("Waits for a manager's approval: nothing is sent.")
        if self.step == "ended":
            return self.env._("The old secret has ended: the new one alone signs.")
        if self.is_overlapping:
            return self.env._(
                "Both secrets sign until %s; the old one then ends by itself. Give the new "
                "one to the receiver before.",
                format_datetime(self.env, self.subscription_id.previous_secret_until),
            )
        return self.env._(
            "The sidecar has not said that the old secret signs as well. Look again; if "
            "this lasts, see the subscription's form."
        )

    def _test(self):
        """The newest one since the new secret signs."""
        return self.env["mcp.webhook.delivery"].search(
            [
                ("subscription_id", "=", self.subscription_id.id),
                ("trigger", "=", "test"),
                ("create_date", ">=", self.switched_at),
            ],
            order="id desc",
            limit=1,
        )

    def _outcome(self):
        test = self._test()
        if not test:
            return False
        if test.status != "success":
            return test.advice
        if self.is_alone:
            return self.env._("The test that the new one alone signed was taken.")
        return self.env._("The test that both signed was taken.")

    # -- buttons -------------------------------------------------------------------------

    def action_switch(self):
        """Saving the dialog has done it."""
        if self.step == "new":
            raise UserError(self.env._("Press Generate, or type a secret, then switch."))
        return self._again()

    def action_test(self):
        self.ensure_one()
        self.subscription_id.check_access("write")
        self.subscription_id.action_send_test()
        access = self.env["mcp.webhook.sidecar"].sudo()
        self.is_alone = TESTS_ALONE in access._sidecar_features(access._client())
        return self._again()

    def action_end(self):
        self.ensure_one()
        self.subscription_id.action_end_previous_secret()
        self.ended_at = fields.Datetime.now()
        return self._again()

    def action_look(self):
        self.ensure_one()
        self.check_access("read")
        return self._again()

    def _again(self):
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Replace the Secret"),
            "res_model": self._name,
            "res_id": self.id,
            "views": [(False, "form")],
            "target": "new",
        }
