# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Why did it not fire? One record, told condition by condition."""

import psycopg2
from markupsafe import Markup

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import format_datetime

from ..capture.judge import TOO_SLOW
from ..models.mcp_webhook_delivery import MOST_ROWS
from ..tools import payload
from ..tools.translated import translated

OK, NO, NOTE = "ok", "no", "note"
ICONS = {
    OK: "fa-check-circle text-success",
    NO: "fa-times-circle text-danger",
    NOTE: "fa-info-circle text-info",
}


class McpWebhookExplain(models.TransientModel):
    _name = "mcp.webhook.explain"
    _inherit = "mcp.webhook.dialog"
    _description = "Why a subscription did not fire"

    model_name = fields.Char(related="subscription_id.model_name", related_sudo=False)
    res_id = fields.Many2oneReference("Record", model_field="model_name")
    explanation = fields.Html(compute="_compute_explanation", sanitize=False)

    @api.depends("res_id", "subscription_id")
    def _compute_explanation(self):
        self.subscription_id.check_access("read")
        for wizard in self:
            wizard.explanation = _as_html(wizard._conditions())

    def _conditions(self):
        """`[(verdict, title, reason)]`, the summary first."""
        self.ensure_one()
        lines = self._of_subscription()
        if self.res_id:
            lines += self._of_record()
        lines += self._of_events()
        faults = [title for verdict, title, _reason in lines if verdict == NO]
        if faults:
            summary = (NO, self.env._("It does not fire: %s", ", ".join(faults)), "")
        else:
            summary = self._outlook()
        return [summary, *lines]

    def _outlook(self):
        """What happens to the next change, where nothing speaks against it."""
        subscription = self.subscription_id
        if subscription.paused:
            return NOTE, self.env._("It fires, but is paused: events wait."), ""
        if subscription.watched_field_names and subscription.event_type != "create":
            names = subscription.watched_field_names.replace(",", ", ")
            return NOTE, self.env._("It fires when one of these changes: %s", names), ""
        return OK, self.env._("The next change that counts will fire."), ""

    # -- the subscription ------------------------------------------------------------

    def _of_subscription(self):
        subscription = self.subscription_id
        lines = [self._endpoint(), self._active()]
        if subscription.approval == "waiting":
            lines.append(
                (
                    NO,
                    self.env._("Approval"),
                    self.env._("It waits for approval. Press Approve."),
                )
            )
        if subscription.on_demand:
            lines.append(
                (
                    NO,
                    self.env._("Only on Demand"),
                    self.env._("Only Send Now and server actions fire it."),
                )
            )
        if subscription.sync_error:
            stops = subscription.is_refused or subscription._why_nothing_is_sent()
            verdict = NO if stops else NOTE
            lines.append((verdict, self.env._("Configuration"), subscription.sync_error))
        if subscription.model_name not in self.env:
            lines.append(
                (
                    NO,
                    self.env._("Model"),
                    self.env._("%s is not installed.", subscription.model_name),
                )
            )
        return lines

    def _endpoint(self):
        title = self.env._("Webhook URL")
        if self.subscription_id.webhook_url:
            return OK, title, self.subscription_id.endpoint_host or ""
        if self.subscription_id.in_session:
            return OK, title, self.env._("None: its events are read through MCP.")
        return NO, title, self.env._("There is none. Give it one.")

    def _active(self):
        title = self.env._("State")
        state = self.subscription_id.state
        reasons = {
            "active": (OK, self.env._("Active.")),
            "paused": (NOTE, self.env._("Paused: events wait. Resume to send them.")),
            "inactive": (NO, self.env._("Inactive: nothing is recorded. Activate it.")),
        }
        verdict, reason = reasons[state]
        return verdict, title, reason

    # -- the record ------------------------------------------------------------------

    def _of_record(self):
        subscription = self.subscription_id
        model = subscription._reader()
        if model is None:
            reason = self.env._(
                "%s is archived, or the model is gone. Choose another user.",
                subscription.user_id.name,
            )
            return [(NO, self.env._("User"), reason)]
        if not self._caller_reads():
            reason = self.env._(
                "There is no record %s (deleted?), or you may not read it yourself.",
                self.res_id,
            )
            return [(NO, self.env._("Record"), reason)]
        record = model.browse(self.res_id)
        readable = self._readable(record)
        if readable[0] == NO:
            return [readable]
        return [readable, *self._company(record), *self._domain(record)]

    def _caller_reads(self):
        """Nothing is told of a record, not even that it is there, to one who may not
        read it."""
        if self.model_name not in self.env:
            return False
        model = self.env[self.model_name].sudo(False).with_context(active_test=False)
        return model.has_access("read") and bool(model.search([("id", "=", self.res_id)]))

    def _readable(self, record):
        user = self.subscription_id.user_id.name
        title = self.env._("Rights of the user")
        if record._filtered_access("read"):
            return OK, title, self.env._("%s may read the record.", user)
        reason = self.env._(
            "%s may not read the record. Choose a user with that right, or grant it.",
            user,
        )
        return NO, title, reason

    def _company(self, record):
        company = self.subscription_id.company_id
        if not company or "company_id" not in record._fields:
            return []
        owner = record.sudo().company_id
        if not owner or owner == company:
            return [(OK, self.env._("Company"), company.name)]
        reason = self.env._(
            "The record is of %(owner)s, the subscription only for %(company)s.",
            owner=owner.name,
            company=company.name,
        )
        return [(NO, self.env._("Company"), reason)]

    def _domain(self, record):
        """Which of the conditions joined by AND does not hold."""
        title = self.env._("Filter")
        try:
            domain = Domain(payload.parse_domain(self.subscription_id.domain))
            failing = self._failing(record, domain)
        except psycopg2.errors.QueryCanceled:
            return [(NO, title, translated(self.env, TOO_SLOW.message))]
        except Exception as error:  # whatever an unusual domain makes fail is the answer
            reason = self.env._("It cannot be evaluated: %s", type(error).__name__)
            return [(NO, title, reason)]
        if not failing:
            return [(OK, title, self.env._("The record matches now."))]
        reason = self.env._(
            "The record does not match: %s",
            ", ".join(str(list(part)) for part in failing),
        )
        return [(NO, title, reason)]

    def _failing(self, record, domain):
        """Those of the conditions joined by AND that do not hold; none: it matches."""
        if self._matches(record, domain):
            return []
        parts = list(domain.children) if _is_and(domain) else [domain]
        return [part for part in parts if not self._matches(record, part, len(parts))]

    def _matches(self, record, domain, parts=1):
        """As capture asks."""
        judge, setting = self.subscription_id._judge(parts)
        with judge:
            found = judge.matching(setting, record._name, record._ids, domain)
            return any(records for records in found)

    # -- the events ------------------------------------------------------------------

    def _of_events(self):
        subscription = self.subscription_id
        lines = [self._event_type()]
        if subscription.watched_field_names and subscription.event_type in (
            "write",
            "all",
        ):
            reason = self.env._(
                "A write fires only when one of these has another value at the end of the "
                "transaction: %s.",
                subscription.watched_field_names.replace(",", ", "),
            )
            lines.append((NOTE, self.env._("Watched fields"), reason))
        if self.res_id and self._caller_reads():
            lines += self._last_change()
            lines.append(self._deliveries())
        return lines

    def _event_type(self):
        reasons = {
            "create": self.env._("Only creations fire; later changes do not."),
            "write": self.env._("Only changes fire; creations and deletions do not."),
            "unlink": self.env._("Only deletions fire; archiving is a change."),
            "all": self.env._("Creations, changes and deletions fire."),
        }
        kind = self.subscription_id.event_type
        title = self.env._("Event")
        if kind == "create" and self.res_id:
            reason = self.env._("Only creations fire, and this record exists already.")
            return NO, title, reason
        return NOTE, title, reasons[kind]

    def _last_change(self):
        model = self.subscription_id._reader()
        if model is None:
            return []
        record = model.browse(self.res_id).sudo().exists()
        if not record or "write_date" not in record._fields or not record.write_date:
            return []
        since = self.subscription_id.create_date
        reason = self.env._(
            "%(when)s by %(who)s.",
            when=format_datetime(self.env, record.write_date),
            who=record.write_uid.name or "?",
        )
        if record.write_date < since:
            reason += " " + self.env._(
                "That was before the subscription was made (%s), so nothing was due.",
                format_datetime(self.env, since),
            )
        reason += " " + self.env._(
            "Raw SQL, imports rolled back, and module updates never fire."
        )
        return [(NOTE, self.env._("Last change"), reason)]

    def _deliveries(self):
        title = self.env._("Deliveries")
        deliveries = self.env["mcp.webhook.delivery"]._of_record(
            self.model_name, self.res_id, self.subscription_id
        )
        own = deliveries.filtered(lambda d: d.trigger != "test")
        if not own:
            return NOTE, title, self.env._("None of this record yet.")
        statuses = dict(own._fields["status"]._description_selection(self.env))
        newest = own[0]
        reason = self.env._(
            "It did fire: %(count)s, the newest of %(when)s: %(status)s.",
            count=f"{MOST_ROWS}+" if len(deliveries) == MOST_ROWS else len(own),
            when=format_datetime(self.env, newest.create_date),
            status=statuses[newest.status],
        )
        return NOTE, title, reason


def _is_and(domain):
    return getattr(domain, "OPERATOR", None) == "&"


def _as_html(lines):
    row = Markup(
        '<div class="d-flex gap-2 py-1 %s"><i class="fa fa-fw %s mt-1" role="img"></i>'
        "<div><strong>%s</strong> <span>%s</span></div></div>"
    )
    parts = [
        row
        % ("fs-4 border-bottom mb-2" if number == 0 else "", ICONS[verdict], title, why)
        for number, (verdict, title, why) in enumerate(lines)
    ]
    return Markup("").join(parts)
