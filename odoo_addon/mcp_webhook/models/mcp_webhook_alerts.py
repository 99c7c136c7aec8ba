# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What managers are told without asking: alerts, and a banner."""

from odoo import api, fields, models
from odoo.tools import format_datetime


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    is_alerting = fields.Boolean(
        readonly=True, copy=False, help="Followers know that it fails."
    )
    sidecar_banner = fields.Char(compute="_compute_sidecar_banner")
    last_advice = fields.Text("What to Do", compute="_compute_last_advice")

    def _alert(self, failing):
        """One post when it starts failing, one when it recovers; not one per event."""
        news = self.filtered(lambda subscription: subscription.is_alerting != failing)
        news.is_alerting = failing
        for subscription in news:
            if failing:
                body = self.env._(
                    "Deliveries to %s fail. Open Deliveries: each row says what to do.",
                    subscription.endpoint_host,
                )
            else:
                body = self.env._(
                    "Deliveries to %s succeed again.", subscription.endpoint_host
                )
            subscription.message_post(body=body, subtype_xmlid="mail.mt_comment")

    def message_get_followers(self, *args, **kwargs):
        """Who follows it is for those who may read it: `mail.thread` asks nobody."""
        self.check_access("read")
        return super().message_get_followers(*args, **kwargs)

    @api.depends("last_delivery_status")
    def _compute_last_advice(self):
        for subscription in self:
            failing = subscription.last_delivery_status == "failed"
            failure = failing and subscription._last_failure()
            subscription.last_advice = failure.advice if failure else False

    def _last_failure(self):
        self.ensure_one()
        return self.env["mcp.webhook.delivery"].search(
            [("subscription_id", "=", self.id), ("status", "=", "failed")],
            order="id desc",
            limit=1,
        )

    def _compute_sidecar_banner(self):
        self.sidecar_banner = self.sidecar_trouble()

    @api.model
    def sidecar_trouble(self):
        """Since when, and why, the sidecar does not serve us; how many events wait.

        :return: one sentence or more for managers, or False when all is well
        """
        self.check_access("read")
        status = self.env["mcp.webhook.mirror"]._status()
        if not status["unreachable_since"]:
            return False
        return self.env._(
            "The sidecar has not served us since %(since)s. %(reason)s "
            "Events that wait in Odoo: %(count)s; none is lost.",
            since=format_datetime(self.env, status["unreachable_since"]),
            reason=status["trouble"] or "",
            count=self.env["mcp.webhook.outbox"].sudo().search_count([]),
        )

    @api.model
    def watched_models(self):
        """Technical names of the models that some subscription watches."""
        self.check_access("read")
        return sorted(self._watched())
