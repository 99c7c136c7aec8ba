# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The buttons of a subscription."""

import json

import psycopg2

from odoo import SUPERUSER_ID, api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain

from ..capture.judge import TOO_SLOW, Judge, Setting
from ..tools import payload, validation
from ..tools.meter import Meter, metered
from ..tools.sidecar import PATIENT_TIMEOUT, SidecarError, SidecarUnreachable
from ..tools.translated import translated
from .mcp_webhook_outbox import in_own_transaction, own_environment

MOVED = 5000  # deliveries that one press of a button moves
LOOKED_MS = (
    2_000  # that all statements may take for what a screen shows of what would leave
)
LOOKED_STATEMENTS = 500  # of them


class TooSlow(UserError):
    """The filter, or the fields to send, take the database longer than a screen waits."""


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    state = fields.Selection(
        [("active", "Active"), ("paused", "Paused"), ("inactive", "Inactive")],
        compute="_compute_state",
        inverse="_inverse_state",
        search="_search_state",
        help="Paused: events are recorded and wait. Inactive: nothing is recorded, and "
        "what waits fails.",
    )

    @api.depends("active", "paused")
    def _compute_state(self):
        for subscription in self:
            if not subscription.active:
                subscription.state = "inactive"
            else:
                subscription.state = "paused" if subscription.paused else "active"

    def _inverse_state(self):
        for subscription in self:
            state = subscription.state
            subscription.write(
                {"active": state != "inactive", "paused": state == "paused"}
            )

    def _search_state(self, operator, value):
        if operator != "in":
            return NotImplemented
        domains = {
            "active": Domain("active", "=", True) & Domain("paused", "=", False),
            "paused": Domain("active", "=", True) & Domain("paused", "=", True),
            "inactive": Domain("active", "=", False),
        }
        return Domain.OR(domains[state] for state in value if state in domains)

    # -- state -----------------------------------------------------------------------

    def action_pause(self):
        """Events go on being recorded; they wait until it is resumed."""
        self.write({"paused": True})

    def action_resume(self):
        """What waited goes out now, oldest first."""
        self.write({"paused": False})

    def action_toggle_active(self):
        """Where something waits, the question first: it would fail."""
        if len(self) == 1 and self.active and self.pending_count:
            return self._ask_about_waiting("deactivate")
        for subscription in self:
            subscription.active = not subscription.active
        return None

    # -- what waits ------------------------------------------------------------------

    def action_retry_waiting(self):
        """What waits for these subscriptions is tried at once, the oldest first."""
        self.check_access("write")
        return self._waiting_deliveries().action_retry_now()

    def action_discard_waiting(self):
        """The count first, then nothing of it is sent."""
        self.check_access("write")
        if not self._waiting_deliveries():
            raise UserError(self.env._("Nothing waits."))
        return self._ask_about_waiting("discard")

    def _waiting_deliveries(self):
        domain = [("subscription_id", "in", self.ids), ("status", "=", "pending")]
        return self.env["mcp.webhook.delivery"].search(domain, order="id", limit=MOVED)

    def _ask_about_waiting(self, purpose):
        titles = {
            "deactivate": self.env._("Deactivate"),
            "discard": self.env._("Discard What Waits"),
        }
        values = {"purpose": purpose, "subscription_ids": [(6, 0, self.ids)]}
        return self[:1]._dialog("mcp.webhook.waiting", titles[purpose], values)

    def action_reset_failure_count(self):
        self.check_access("write")
        self.sudo().write({"failure_count": 0})

    def action_remove_secret(self):
        self.write({"webhook_secret": False})

    def action_remove_headers(self):
        self.write({"webhook_headers": False})

    # -- looking ---------------------------------------------------------------------

    def action_open_deliveries(self):
        self.ensure_one()
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "mcp_webhook.mcp_webhook_delivery_of_subscription_action"
        )
        # the address of a new tab holds the action and this id, not a domain
        action["domain"] = [("subscription_id", "=", self.id)]
        action["context"] = {"active_id": self.id, "search_default_newest": 1}
        return action

    def action_open_last_failure(self):
        """The newest delivery that failed, with what to do."""
        self.ensure_one()
        self.check_access("read")
        return {
            "type": "ir.actions.act_window",
            "res_model": "mcp.webhook.delivery",
            "res_id": self._last_failure().id,
            "views": [(False, "form")],
        }

    def action_preview(self):
        """What would be sent now, for a real recent record."""
        self.ensure_one()
        return self._open_dialog("mcp.webhook.preview", self.env._("Preview"))

    def action_explain(self):
        """Why did it not fire?"""
        self.ensure_one()
        return self._open_dialog(
            "mcp.webhook.explain", self.env._("Why did it not fire?")
        )

    def action_redeliver_failures(self):
        """Everything that failed since a time, once more."""
        self.ensure_one()
        title = self.env._("Redeliver What Failed")
        return self._dialog("mcp.webhook.redelivery", title, {})

    def _open_dialog(self, model, title):
        return self._dialog(model, title, {"res_id": self._sample_record().id or False})

    def _dialog(self, model, title, values):
        values = {"subscription_id": self.id, **values}
        return {
            "type": "ir.actions.act_window",
            "name": title,
            "res_model": model,
            "res_id": self.env[model].create(values).id,
            "view_mode": "form",
            "target": "new",
        }

    # -- a test event ----------------------------------------------------------------

    def action_send_test(self):
        """Post a real recent record to the endpoint, marked as a test."""
        self.ensure_one()
        self.check_access("write")
        self._check_can_test()
        event = self._sample_event()
        access = self.env["mcp.webhook.sidecar"].sudo()
        try:
            client = access._client(PATIENT_TIMEOUT)
            access._introduce(client)
            self._bring_up_to_date(client)
            client.test(self.uuid, event)
            self._note_test(event)
        except SidecarUnreachable as error:
            raise UserError(
                self.env._(
                    "No test was sent. %(reason)s",
                    reason=translated(self.env, error.reason),
                )
            ) from error
        except SidecarError as error:
            raise UserError(self._refusal_in_words(self._refusal_of(error))) from error
        return self._notify_test(event)

    def _bring_up_to_date(self, client):
        """The sidecar's copy first, in a transaction of its own: were this one tried
        again after a conflict, the test would be sent twice.

        :raise UserError: the sidecar refuses the subscription
        """
        with own_environment(self.pool) as env:
            subscription = env[self._name].browse(self.id)
            if subscription.sync_pending or subscription.sync_error:
                subscription._push(client)
            is_refused = subscription.is_refused
            fault = subscription._why_nothing_is_sent()
            refusal = subscription.sync_error if is_refused else fault
        if refusal:
            raise UserError(refusal)

    def _note_test(self, event):
        """Its row tells the record, which the sidecar's feed does not. The feed first: a
        log that we meet for the first time would take the row for a lost one."""

        def note(env):
            env["mcp.webhook.mirror"]._lock()
            env["mcp.webhook.delivery"]._note_test(env[self._name].browse(self.id), event)

        self.env["mcp.webhook.mirror"].sudo()._pull_quietly()
        in_own_transaction(self.pool, note)

    def _check_can_test(self):
        if not self.webhook_url:
            raise UserError(self.env._("Set a webhook URL before testing."))
        if not self.active:
            raise UserError(
                self.env._("The subscription is inactive. Activate it before testing.")
            )
        if self.approval == "waiting":
            raise UserError(self.env._("It waits for approval: approve it, then test."))
        fault = self._why_nothing_is_sent(is_thorough=True)
        if fault:
            raise UserError(fault)

    def _notify_test(self, event):
        if self.paused:
            text = self.env._("The test waits: the subscription is paused.")
        else:
            text = self.env._(
                "A test with record %(id)s is on its way; its outcome appears under "
                "Deliveries.",
                id=event["record_ids"][0],
            )
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "warning" if self.paused else "success",
                "message": text,
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    # -- samples ---------------------------------------------------------------------

    def _judge(self, parts=1):
        """`(Judge, Setting)` of this subscription, as its form shows it.

        :param parts: how many questions share the time of one
        """
        self.ensure_one()
        self.env.flush_all()
        env = self.env(user=SUPERUSER_ID, context={})
        return Judge(env, True, max(LOOKED_MS // parts, 1)), Setting.of(self)

    def _in_time(self, work):
        """What `work()` returns. The filter and the fields may be those of somebody whom
        the reader of the screen has yet to approve; what reading changed is taken back.

        :raise TooSlow: a statement took too long, or there were too many
        """
        cr = self.env.cr
        self.env.flush_all()
        try:
            with cr.savepoint(flush=False) as savepoint:
                cr.execute("SET LOCAL statement_timeout = %s", [LOOKED_MS])
                with metered(cr, Meter(LOOKED_MS), LOOKED_STATEMENTS):
                    found = work()
                savepoint.rollback()
        except psycopg2.errors.QueryCanceled as error:
            raise TooSlow(translated(self.env, TOO_SLOW.message)) from error
        return found

    def _reader(self):
        """The model with the rights of the subscription's user, or None."""
        judge, setting = self._judge()
        try:
            env = judge.reader(setting, setting.company_id)
        except payload.BrokenSubscription:
            return None
        return env.get(self.model_name)

    def _sample_record(self):
        """The newest record that would fire, else the newest readable one."""
        model = self._reader()
        if model is None or not model.has_access("read"):
            return self.browse()
        try:
            domain = payload.parse_domain(self.domain)
            found = self._in_time(lambda: model.search(domain, order="id desc", limit=1))
        except (payload.BrokenSubscription, ValueError, UserError):
            found = model.browse()
        return found or model.search([], order="id desc", limit=1)

    def _sample_event(self, record=None):
        """An event of the contract, as it would be for this record.

        Without any record the id is 1 and there are no values.
        """
        record = self._sample_record() if record is None else record
        kind = "write" if self.event_type == "all" else self.event_type
        event = {
            "id": payload.new_event_id(),
            "subscription_id": self.uuid,
            "model": self.model_name,
            "event_type": kind,
            "record_ids": [record.id or 1],
            "user_id": self.env.uid,
            "timestamp": validation.now_text(),
        }
        tree = payload.path_tree(self.enrich_fields)
        if record and tree:
            budget = payload.Budget()
            described = self._in_time(
                lambda: payload.describe(record, tree, budget, is_cut=True)[record.id]
            )
            if isinstance(described, str):
                event["records"] = [json.loads(described)]
        return event
