# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What managers are told without asking: alerts, and a banner."""

from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import format_datetime

from ..capture.watch import SKIP, UNSEEN

QUIET = timedelta(hours=1)
SHOWN_IN_SYSTRAY = 20
TROUBLED = ("failing", "outage", "misconfigured")


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    is_alerting = fields.Boolean(
        readonly=True, copy=False, help="Followers know that it fails."
    )
    alerted_at = fields.Datetime(readonly=True, copy=False)
    sidecar_banner = fields.Char(compute="_compute_sidecar_banner")
    last_advice = fields.Text("What to Do", compute="_compute_last_advice")

    def _alert(self):
        """One message when it starts failing, one when it recovers, and at most one such
        pair in `QUIET`: what turns more often is told when that time is over."""
        soon = fields.Datetime.now() - QUIET
        for subscription in self:
            failing = bool(subscription.failing_since)
            early = subscription.alerted_at and subscription.alerted_at > soon
            if failing == subscription.is_alerting or (failing and early):
                continue
            subscription.is_alerting = failing
            if failing:
                subscription.alerted_at = fields.Datetime.now()
            subscription._tell_followers()

    @api.model
    def _tell_what_was_not_told(self):
        """The ceiling is over, and it fails still; or there were too many to be told."""
        self.search(
            [("failing_since", "!=", False), ("is_alerting", "=", False)]
        )._alert()
        self.search([("approval", "=", "waiting")])._ask_managers(again=True)
        self.env["mcp.webhook.told"]._sum_up()

    def _tell_followers(self):
        self.ensure_one()
        self._tell(lambda here: (here._alert_subject(), here._alert_body()))

    def _tell(self, words):
        """Note it in the chatter, in the language of whose subscription it is, and tell
        its readers, each in their own and as far as they were not told enough already.

        :param words: makes `(subject, body)`, in the language of the record it is given
        """
        self.ensure_one()
        quiet = self.with_context(**{SKIP: UNSEEN})
        _subject, body = words(quiet.with_context(lang=self.user_id.lang or "en_US"))
        quiet._message_log(body=body)
        self.env["mcp.webhook.told"]._tell(quiet, self._readers(), words)

    def _alert_subject(self):
        if self.is_alerting:
            return self.env._("%s: deliveries fail", self.name)
        return self.env._("%s: deliveries succeed again", self.name)

    def _alert_body(self):
        if not self.is_alerting:
            return self.env._("Deliveries to %s succeed again.", self.endpoint_host)
        return self.env._(
            "Deliveries to %(host)s fail: %(reason)s Open Deliveries: each row says what "
            "to do.",
            host=self.endpoint_host,
            reason=self._last_failure().outcome or self.env._("the log of it is gone."),
        )

    @api.depends("failing_since")
    @api.depends_context("lang", "tz")
    def _compute_last_advice(self):
        for subscription in self:
            failure = subscription.failing_since and subscription._last_failure()
            subscription.last_advice = failure.advice if failure else False

    def _compute_sidecar_banner(self):
        self.sidecar_banner = self.sidecar_trouble()

    @api.model
    def sidecar_trouble(self):
        """Since when, and why, the sidecar does not serve us; how many events wait.

        :return: one sentence or more for managers, or False when all is well
        """
        self.check_access("read")
        silence = self.env["mcp.webhook.sidecar"].sudo()._silence()
        if silence:
            return silence
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
    def failing_endpoints(self):
        """What the systray shows beside failed mail: the newest troubles first.

        :return: `[{id, name, reason, since}]`, at most `SHOWN_IN_SYSTRAY`; `since` may be
            False
        """
        self.check_access("read")
        troubled = self.search(
            [("health", "in", TROUBLED)],
            order="failing_since desc, id desc",
            limit=SHOWN_IN_SYSTRAY,
        )
        return [
            {
                "id": subscription.id,
                "name": subscription.name,
                "reason": subscription.health_reason or "",
                "since": fields.Datetime.to_string(subscription.failing_since),
            }
            for subscription in troubled
        ]

    @api.model
    def watched_models(self):
        """Technical names of the models that some subscription watches."""
        self.check_access("read")
        return sorted(self._watched())
