# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The one state of an endpoint: badge, banner, filter, alerts and advice come from it."""

from odoo import api, fields, models
from odoo.tools import SQL, format_datetime

from ..tools import trend
from .mcp_event_subscription import MANAGER

# Ended by a person, or by us: these say nothing of the endpoint.
NOT_ITS_WORD = ("cancelled", "inactive")


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    failing_since = fields.Datetime(readonly=True, copy=False)
    is_down = fields.Boolean(
        readonly=True, copy=False, help="Its newest attempts brought no answer."
    )
    health = fields.Selection(
        [
            ("healthy", "Healthy"),
            ("failing", "Failing"),
            ("outage", "Endpoint Down"),
            ("misconfigured", "Misconfigured"),
            ("approval", "Waits for Approval"),
            ("rejected", "Rejected"),
            ("paused", "Paused"),
            ("inactive", "Inactive"),
        ],
        compute="_compute_health",
        store=True,
        index=True,
        help="Endpoint Down: nothing answers there, and what waits follows as soon as "
        "something does.",
    )
    health_reason = fields.Text("Why", compute="_compute_health_reason")

    @api.depends(
        "active",
        "approval",
        "failing_since",
        "is_down",
        "is_faulty",
        "is_refused",
        "is_rejected",
        "paused",
        "webhook_url",
    )
    def _compute_health(self):
        for subscription in self:
            subscription.health = subscription._health()

    def _health(self):
        if not self.active:
            return "inactive"
        if self.approval == "waiting":
            return "rejected" if self.is_rejected else "approval"
        if self.is_refused or self.is_faulty or not self.webhook_url:
            return "misconfigured"
        if self.paused:
            return "paused"
        if self.failing_since:
            return "outage" if self.is_down else "failing"
        return "healthy"

    @api.depends("health", "last_delivery", "last_delivery_status", "rejection")
    @api.depends_context("lang", "tz")
    def _compute_health_reason(self):
        for subscription in self:
            reason = getattr(subscription, f"_why_{subscription.health}", None)
            subscription.health_reason = reason() if reason else False

    def _why_healthy(self):
        if not self.last_delivery:
            return self.env._("Nothing has been delivered yet.")
        return False

    def _why_inactive(self):
        return self.env._("Nothing is recorded.")

    def _why_paused(self):
        return self.env._("Somebody paused it: events wait until it is resumed.")

    def _why_approval(self):
        return self.env._("Nothing is sent until a manager approves it.")

    def _why_rejected(self):
        return self.env._("A webhook manager rejected it: %s", self.rejection)

    def _why_misconfigured(self):
        if not self.webhook_url:
            return self.env._("It has no webhook URL: nothing is sent or recorded.")
        return self.sync_error

    def _why_failing(self):
        failure = self._last_failure()
        return self.env._(
            "Since %(since)s: %(what)s",
            since=format_datetime(self.env, self.failing_since),
            what=failure.outcome or self.env._("the log of it is gone."),
        )

    def _why_outage(self):
        return self._why_failing() + " " + self._next_probe()

    def _next_probe(self):
        """When the sidecar tries again, as far as its feed tells."""
        waiting = [("subscription_id", "=", self.id), ("status", "=", "pending")]
        rows = self.env["mcp.webhook.delivery"].search(
            [*waiting, ("next_attempt_at", ">", fields.Datetime.now())],
            order="next_attempt_at",
            limit=1,
        )
        if rows:
            when = format_datetime(self.env, rows.next_attempt_at)
            return self.env._("It is tried again at %s, if not before.", when)
        return self.env._("It is tried about once a minute while deliveries wait.")

    # -- kept by the mirror ----------------------------------------------------------

    def _note_endings(self):
        """Look at how the newest attempts ended; tell followers, and whoever has Odoo
        open, what has turned."""
        endings = self._endings()
        healths = {subscription: subscription.health for subscription in self}
        for subscription in self:
            ended = endings.get(subscription.id, [])
            values = {
                "failing_since": trend.failing_since(subscription.failing_since, ended)
                or False,
                "is_down": trend.is_down(ended),
            }
            changed = {k: v for k, v in values.items() if subscription[k] != v}
            if changed:
                subscription.with_context(tracking_disable=True).write(changed)
        self._alert()
        if any(subscription.health != was for subscription, was in healths.items()):
            managers = self.env.ref(MANAGER, raise_if_not_found=False)
            if managers:
                managers._bus_send("mcp_webhook/health", {})

    def _endings(self):
        """`{subscription id: [Ended], the newest first}`"""
        if not self:
            return {}
        found = self.env.execute_query(
            SQL(
                """SELECT s.id, e.finished_at, e.status, e.error_kind, e.response_code
                     FROM unnest(%s) AS s(id)
                     JOIN LATERAL (SELECT id, finished_at, status, error_kind,
                                          response_code
                                     FROM mcp_webhook_delivery
                                    WHERE subscription_id = s.id
                                      AND finished_at IS NOT NULL
                                      AND COALESCE(error_kind, '') != ALL(%s)
                                 ORDER BY finished_at DESC, id DESC
                                    LIMIT %s) e ON TRUE
                 ORDER BY s.id, e.finished_at DESC, e.id DESC""",
                self.ids,
                list(NOT_ITS_WORD),
                trend.WINDOW,
            )
        )
        endings = {}
        for id_, at, status, kind, code in found:
            ended = trend.Ended(at, status == "success", kind, code or 0)
            endings.setdefault(id_, []).append(ended)
        return endings

    def _last_failure(self):
        """The newest failure that speaks of the endpoint; it is near the newest row."""
        self.ensure_one()
        return self.env["mcp.webhook.delivery"].search(
            [
                ("subscription_id", "=", self.id),
                ("status", "=", "failed"),
                "|",
                ("error_kind", "=", False),
                ("error_kind", "not in", NOT_ITS_WORD),
            ],
            order="id desc",
            limit=1,
        )
