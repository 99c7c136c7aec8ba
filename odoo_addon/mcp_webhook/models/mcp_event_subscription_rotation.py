# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A secret is replaced while its receiver still has the old one: for a while both sign.

The sidecar alone keeps the old secret, and says until when.
"""

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import format_datetime

from ..tools import validation
from ..tools.sidecar import SidecarError, SidecarUnreachable
from ..tools.translated import translated
from .mcp_webhook_delivery_mirror import moment

MAX_HOURS = 168
ENDS = "subscription.keep_previous_s.end"
TESTS_ALONE = "delivery.test.new_secret"


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    secret_overlap_hours = fields.Integer(
        "Keep Old Secret (h)",
        default=0,
        tracking=True,
        help="0 to 168. So many hours after the secret was replaced, the old one signs as "
        "well, and the receiver can change over without losing anything. 0: it ends at "
        "once, which is right where it has become known to somebody.",
    )
    previous_secret_until = fields.Datetime(readonly=True, copy=False)
    is_elsewhere = fields.Boolean(
        readonly=True,
        copy=False,
        groups=fields.NO_ACCESS,
        help="Another receiver than the one of which the sidecar knows: the former one's "
        "secret does not sign for it.",
    )
    overlap_notice = fields.Char(compute="_compute_overlap_notice")

    @api.constrains("secret_overlap_hours")
    def _check_overlap(self):
        """Before the sidecar is asked: it counts in seconds."""
        for subscription in self:
            if not 0 <= subscription.secret_overlap_hours <= MAX_HOURS:
                validation.refuse(
                    "secret_overlap_hours",
                    self.env._("expected 0 to %s hours. Example: 24.", MAX_HOURS),
                )

    @api.depends("previous_secret_until")
    @api.depends_context("lang", "tz")
    def _compute_overlap_notice(self):
        now = fields.Datetime.now()
        for subscription in self:
            until = subscription.previous_secret_until
            subscription.overlap_notice = (
                until
                and until > now
                and self.env._(
                    "The previous secret signs as well until %s.",
                    format_datetime(self.env, until),
                )
            )

    def _before_write(self, vals):
        if vals.get("webhook_secret"):
            hours = vals.get("secret_overlap_hours")
            for subscription in self if "webhook_url" not in vals else ():
                if subscription.secret_overlap_hours if hours is None else hours:
                    subscription._check_replaceable()
        return super()._before_write(vals)

    def action_replace_secret(self):
        """Step by step, without a gap."""
        self.ensure_one()
        self.check_access("write")
        self._check_replaceable()
        return self._dialog("mcp.webhook.rotation", self.env._("Replace the Secret"), {})

    def action_end_previous_secret(self):
        """Before its time: the receiver has the new one, or the old one is known."""
        self.ensure_one()
        self.check_access("write")
        access = self.env["mcp.webhook.sidecar"].sudo()
        try:
            client = access._client()
            access._introduce(client)
            if ENDS not in access._sidecar_features(client):
                raise UserError(
                    self.env._("This version of the sidecar cannot do that: upgrade it.")
                )
            told = client.update(self.uuid, keep_previous_s=0)
        except SidecarUnreachable as error:
            raise UserError(
                self.env._(
                    "The old secret was not ended. %(reason)s",
                    reason=translated(self.env, error.reason),
                )
            ) from error
        except SidecarError as error:
            raise UserError(self._refusal_in_words(self._refusal_of(error))) from error
        self._note_previous_secret(told)
        self._message_log(body=self.env._("The old signing secret was ended."))
        return {"type": "ir.actions.client", "tag": "soft_reload"}

    def _check_replaceable(self):
        """The sidecar keeps one secret beside the present one: a second replacement would
        end the one that the receiver may still have.

        :raise UserError: two sign already
        """
        until = self.previous_secret_until
        if until and until > fields.Datetime.now():
            raise UserError(
                self.env._(
                    "Both secrets sign until %s; replacing again before then would end the "
                    "older one, which the receiver may still have. If the newer one is "
                    "lost, set another on the form with 0 hours, and give it to the "
                    "receiver at once.",
                    format_datetime(self.env, until),
                )
            )

    def _overlap_seconds(self):
        """How long the one before is to sign beside the secret that goes with it. The
        sidecar heeds it only where that secret is a new one."""
        self._check_overlap()
        stored = self.sudo()
        overlaps = stored.secret_value and not stored.is_elsewhere
        return stored.secret_overlap_hours * 3600 if overlaps else 0

    def _note_previous_secret(self, told):
        """:param told: the subscription as the sidecar has it; empty: it has none"""
        until = moment(told.get("previous_secret_until"))
        if self.previous_secret_until != until:
            self.sudo().with_context(tracking_disable=True).previous_secret_until = until

    def _ask_previous_secrets(self, client):
        """The answer to a complete set does not tell of each one."""
        turning = self.filtered(
            lambda s: s.secret_overlap_hours or s.previous_secret_until
        )
        ids = [{"id": subscription.uuid} for subscription in turning]
        answers = client.call_many("subscription.get", ids)
        for subscription, told in zip(turning, answers, strict=True):
            is_known = not isinstance(told, SidecarError)
            subscription._note_previous_secret(told if is_known else {})
