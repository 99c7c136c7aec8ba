# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Everything of one subscription that failed since a time, once more: the count first."""

from datetime import timedelta, timezone

from odoo import api, fields, models
from odoo.exceptions import UserError

from ..sidecar import SidecarError, SidecarUnreachable


class McpWebhookRedelivery(models.TransientModel):
    _name = "mcp.webhook.redelivery"
    _description = "Redelivery of everything that failed since a time"

    subscription_id = fields.Many2one(
        "mcp.event.subscription", required=True, readonly=True, ondelete="cascade"
    )
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
            wizard.count, wizard.trouble = 0, False
            try:
                wizard.count = wizard._ask(dry_run=True)
            except UserError as error:
                wizard.trouble = str(error)

    def action_redeliver(self):
        """Send them again: same event ids, new attempts.

        :raise UserError: the sidecar does not answer, or refuses
        """
        self.ensure_one()
        self.subscription_id.check_access("write")
        count = self._ask(dry_run=False)
        self.env["mcp.webhook.mirror"].sudo()._pull_quietly()
        return self.env["mcp.webhook.delivery"]._redelivered(count, [])

    def _ask(self, dry_run):
        if not self.since:
            return 0
        since = self.since.replace(tzinfo=timezone.utc).isoformat(timespec="milliseconds")
        access = self.env["mcp.webhook.sidecar"].sudo()
        try:
            client = access._client()
            access._introduce(client)
            answer = client.redeliver_many(
                self.subscription_id.uuid, since.replace("+00:00", "Z"), dry_run
            )
        except SidecarUnreachable as error:
            raise UserError(
                self.env._("The sidecar does not answer. %(reason)s", reason=error.reason)
            ) from error
        except SidecarError as error:
            raise UserError(self.env["mcp.webhook.delivery"]._refusal(error)) from error
        return answer["count"]
