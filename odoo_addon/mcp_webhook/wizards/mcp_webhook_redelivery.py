# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Everything of one subscription that failed since a time, once more: the count first."""

from datetime import timedelta, timezone

from odoo import api, fields, models
from odoo.exceptions import UserError

from ..models.mcp_webhook_delivery_again import Outcome
from ..tools.sidecar import SidecarError, SidecarUnreachable
from ..tools.translated import translated


class McpWebhookRedelivery(models.TransientModel):
    _name = "mcp.webhook.redelivery"
    _inherit = "mcp.webhook.dialog"
    _description = "Redelivery of everything that failed since a time"

    since = fields.Datetime(
        "Failed Since",
        required=True,
        default=lambda self: fields.Datetime.now() - timedelta(days=1),
        help="Deliveries whose newest attempt failed at this time or later.",
    )
    count = fields.Integer("Failed Deliveries", compute="_compute_count")
    trouble = fields.Char(compute="_compute_count")

    @api.depends("since", "subscription_id")
    def _compute_count(self):
        self.subscription_id.check_access("read")
        for wizard in self:
            asked, wizard.trouble = wizard._ask(dry_run=True)
            wizard.count = asked + len(wizard._failed_in_odoo())

    def action_redeliver(self):
        """Send them again: same event ids, new attempts.

        :raise UserError: nothing could be sent again, and why
        """
        self.ensure_one()
        self.subscription_id.check_access("write")
        sent, trouble = self._ask(dry_run=False)
        outcome = Outcome(sent=sent, refused=[trouble] if trouble else [])
        self._failed_in_odoo()._send_from_odoo(outcome)
        Delivery = self.env["mcp.webhook.delivery"]
        if outcome.refused and not outcome.sent:
            raise UserError("\n".join(Delivery._reasons(outcome.refused)))
        self.env["mcp.webhook.mirror"].sudo()._pull_quietly()
        return Delivery._redelivered(outcome.sent, outcome.refused)

    def _failed_in_odoo(self):
        """What the sidecar cannot count, for it has never had it."""
        return self._failed([("failed_in_odoo", "=", True)])

    def _failed(self, condition, limit=None):
        since = [("status", "=", "failed"), ("finished_at", ">=", self.since)]
        of_it = [("subscription_id", "=", self.subscription_id.id)]
        found = self.env["mcp.webhook.delivery"]
        return found.search([*of_it, *since, *condition], limit=limit)

    def _not_known_there(self):
        """The sidecar has nothing of this subscription. Whether that is missing is told by
        what Odoo has mirrored of it."""
        if not self._failed([("failed_in_odoo", "=", False)], limit=1):
            return False
        return self.env._(
            "The sidecar does not know this subscription (its log was replaced, or it has "
            "not been told yet). Select the failed deliveries and redeliver them: they are "
            "built again."
        )

    def _ask(self, dry_run):
        """:return: how many failed at the sidecar, and why it could not be asked"""
        if not self.since:
            return 0, False
        since = self.since.replace(tzinfo=timezone.utc).isoformat(timespec="milliseconds")
        access = self.env["mcp.webhook.sidecar"].sudo()
        try:
            client = access._client()
            access._introduce(client)
            answer = client.redeliver_many(
                self.subscription_id.uuid, since.replace("+00:00", "Z"), dry_run=dry_run
            )
        except SidecarUnreachable as error:
            text = self.env._(
                "The sidecar does not answer; what it has is not counted. %(reason)s",
                reason=translated(self.env, error.reason),
            )
            return 0, text
        except SidecarError as error:
            if error.kind == "not_found":
                return 0, self._not_known_there()
            return 0, self.env["mcp.webhook.delivery"]._refusal(error)
        return answer["count"], False
