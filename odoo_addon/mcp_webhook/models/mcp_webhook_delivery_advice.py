# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What to do about a delivery, and how its row is read."""

import html
import re

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import format_datetime

from ..tools import limits
from ..tools.translated import translated
from .mcp_event_subscription_preview import readable_json

PAGE_READ = 8000  # characters of a web page
MARKUP = re.compile(r"(?is)<(script|style)\b.*?</\1\s*>|<[^>]*>")
ANSWER = 300  # characters of an answer, beside the advice


class McpWebhookDelivery(models.Model):
    _inherit = "mcp.webhook.delivery"  # pylint: disable=consider-merging-classes-inherited

    advice = fields.Text("What to Do", compute="_compute_advice")
    payload_readable = fields.Text("Payload, Indented", compute="_compute_readable")
    response_readable = fields.Text("Response, Indented", compute="_compute_readable")
    answer = fields.Char("Its Answer", compute="_compute_answer")
    outcome = fields.Char(compute="_compute_outcome", help="How it ended, in words.")
    error_in_words = fields.Text("Error Text", compute="_compute_error_in_words")
    is_template_fault = fields.Boolean(compute="_compute_advice")

    @api.depends(
        "status",
        "stage",
        "response_code",
        "error_kind",
        "next_attempt_at",
        "failed_in_odoo",
        "response_body",
    )
    @api.depends_context("lang")
    def _compute_advice(self):
        for delivery in self:
            delivery.advice = delivery._advice()
            delivery.is_template_fault = delivery.status == "failed" and (
                delivery.response_code in (400, 422) or delivery.error_kind == "render"
            )

    @api.depends("status", "response_code", "error_kind")
    @api.depends_context("lang")
    def _compute_outcome(self):
        for delivery in self:
            code = delivery.response_code
            if delivery.status == "pending":
                delivery.outcome = False
            elif delivery.status == "success" and not (code or delivery.endpoint_host):
                delivery.outcome = self.env._("kept to be read.")
            elif delivery.status == "success" or delivery.error_kind == "http_status":
                delivery.outcome = self.env._("the endpoint answered %s.", code)
            else:
                delivery.outcome = delivery._kind_in_words(delivery.error_kind) or (
                    self.env._("the endpoint answered %s.", code) if code else False
                )

    @api.depends("error_message")
    @api.depends_context("lang")
    def _compute_error_in_words(self):
        for delivery in self:
            text = delivery.error_message
            delivery.error_in_words = text and translated(self.env, text)

    def _kind_in_words(self, kind):
        return {
            "timeout": self.env._("the endpoint did not answer in time."),
            "dns": self.env._("the name of its host is not known."),
            "connect": self.env._("nothing answers at its host and port."),
            "tls": self.env._("there is no secure connection to it."),
            "blocked_address": self.env._("its host is at an internal address."),
            "redirect": self.env._("it points to another address."),
            "protocol": self.env._("what answers there does not speak HTTP properly."),
            "render": self.env._("the payload template could not be filled."),
            "payload_too_large": self.env._("the payload is too large."),
            "inactive": self.env._("the subscription was inactive."),
            "internal": self.env._("it failed before it could be sent."),
            "expired": self.env._("it waited longer than events are remembered."),
            "cancelled": self.env._("somebody cancelled it."),
            "rejected": self.env._("its answer is not what counts as a success."),
            "loop": self.env._("its own delivery would have caused it again."),
        }.get(kind)

    @api.depends("payload", "response_body")
    def _compute_readable(self):
        for delivery in self:
            delivery.payload_readable = readable_json(delivery.payload)
            delivery.response_readable = readable_json(delivery.response_body)

    @api.depends("status", "error_kind", "response_body")
    def _compute_answer(self):
        """What `rejected` says is part of its advice."""
        for delivery in self:
            told = delivery.status == "failed" and delivery.error_kind != "rejected"
            text = delivery.response_body if told else False
            delivery.answer = text and limits.shown(_in_one_line(text), ANSWER)

    # -- what to do ----------------------------------------------------------------------

    def _advice(self):
        self.ensure_one()
        if self.status == "success" and not self.endpoint_host:
            return self.env._("Nothing: it is kept to be read through MCP.")
        if self.status == "success":
            return self.env._("Nothing: the endpoint took it.")
        if self.status == "pending":
            return self._pending_advice()
        newer = self._newer_attempt()
        if newer:
            return self._superseded_advice(newer)
        subscription = self.subscription_id.sudo()
        if not subscription.exists():
            return self.env._(
                "Nothing: its subscription was deleted, so it cannot be sent again."
            )
        if subscription._is_served() or self.error_kind == "inactive":
            return self._failed_advice()
        return f"{self._failed_advice()} {self._unserved_advice(subscription)}"

    def _failed_advice(self):
        if self.failed_in_odoo:
            return self._odoo_advice()
        if self.response_code and self.error_kind in (False, "http_status", "redirect"):
            return self._code_advice(self.response_code)
        if self.error_kind == "rejected":
            return self._rejected_advice()
        return self._kind_advice(self.error_kind)

    def _newer_attempt(self):
        domain = [("event_uuid", "=", self.event_uuid), ("attempt", ">", self.attempt)]
        return self.search(domain, order="attempt desc", limit=1)

    def _superseded_advice(self, newer):
        """What is done next is done there."""
        if newer.status == "success":
            return self.env._(
                "Nothing: attempt %s of this event was delivered.", newer.attempt
            )
        if newer.status == "failed":
            return self.env._(
                "Attempt %s of this event failed, too: look there.", newer.attempt
            )
        return self.env._(
            "It is tried again: attempt %s waits. Correct the cause; to try at once, open "
            "that attempt and press Retry Now.",
            newer.attempt,
        )

    def _pending_advice(self):
        """What the state of its endpoint means for one that waits. As superuser: of a
        subscription of another company, or that was just deleted, it says the same."""
        subscription = self.subscription_id.sudo()
        if self.stage == "odoo" and subscription.is_refused:
            return self.env._(
                "It waits in Odoo until the subscription is repaired, and goes out by "
                "itself then. The sidecar does not take the subscription as it is: %s",
                subscription.sync_error or "",
            )
        if self.stage == "odoo" and self.over_budget and not self.sudo().event:
            return self.env._(
                "Its filter or its values took more than a save has time for: its event is "
                "built within a minute. Press Retry Now to have it built at once."
            )
        if self.stage == "odoo" and not self.sudo().event:
            return self.env._(
                "Its event is built within a minute, of the values that its records have "
                "then. Press Retry Now to have it built at once."
            )
        if self.stage == "odoo":
            return self.env._(
                "It still waits in Odoo: the sidecar has not taken it yet. It is offered "
                "again every minute. If this lasts, test the connection in the settings."
            )
        if subscription.approval == "waiting":
            return self.env._("It waits until a manager approves the subscription.")
        if subscription and not subscription.user_id.active:
            return self.env._(
                "It waits: the subscription's user is archived. Choose another user there "
                "to send what waits."
            )
        if subscription.paused:
            return self.env._("The subscription is paused. Resume it to send what waits.")
        if self.next_attempt_at:
            return self.env._(
                "It is tried again at %s. Correct the cause, then press Retry Now to try "
                "at once.",
                format_datetime(self.env, self.next_attempt_at),
            )
        if subscription.failing_since:
            return self._outage_advice()
        return self.env._("It is on its way: the endpoint has not answered yet.")

    def _odoo_advice(self):
        """The sidecar never had it; what *Redeliver* does depends on what the row keeps."""
        if self.error_kind == "loop":
            return self._kind_advice("loop")
        kept = self.event_type == "unlink" and self.sudo().event
        if kept or not self._is_built_again():
            return self.env._(
                "It was not accepted, and Odoo keeps the event. Correct what the message "
                "names, then redeliver: it is submitted as it was."
            )
        if self.event_type == "unlink":
            return self.env._(
                "It failed before it could be sent, and the deleted records have no values "
                "any more: it cannot be sent again. Correct what the message names for the "
                "next ones."
            )
        return self.env._(
            "It failed before it could be sent. Correct what the message names, then "
            "redeliver: the event is built again, from the present values of its records."
        )

    def _unserved_advice(self, subscription):
        """What would have *Redeliver* refused."""
        if not subscription.active:
            return self.env._("The subscription is archived: activate it first.")
        return self.env._("The subscription has no webhook URL: give it one first.")

    def _outage_advice(self):
        return self.env._(
            "It is on its way, or waits: an endpoint that does not answer is tried about "
            "once a minute with one delivery, and all that waits follows as soon as it "
            "answers. Press Retry Now to try at once."
        )

    def _code_advice(self, code):
        if 300 <= code < 400:
            return self._redirect_advice()
        if code in (400, 422):
            return self.env._(
                "The endpoint does not accept the shape of the payload. Compare the "
                "payload with what it expects (its response often says it), correct the "
                "template with the preview, then redeliver."
            )
        if code in (401, 403):
            return self.env._(
                "The endpoint rejected our credentials. Check the signing secret and the "
                "token in the headers with its owner, replace them, then redeliver."
            )
        if code in (404, 405, 410):
            return self.env._(
                "There is nothing at this address. Copy the webhook URL from the receiver "
                "again (it may have been renewed), then redeliver."
            )
        if code in (408, 504) or code >= 500:
            return self._receiver_advice()
        if code == 413:
            return self.env._(
                "The payload is too large for the endpoint. Send fewer fields, then "
                "redeliver."
            )
        if code == 429:
            return self.env._(
                "Too many requests for the endpoint. Lower the parallel requests, allow "
                "more attempts, then redeliver."
            )
        return self.env._(
            "The endpoint refused it with code %s; its response may say why. Correct the "
            "cause, then redeliver.",
            code,
        )

    def _redirect_advice(self):
        target = self._points_to()
        if not target:
            return self._kind_advice("redirect")
        return self.env._(
            "The endpoint points to %s, and redirects are never followed. If events are "
            "meant to go there (it is no page to log in), put that address into the "
            "webhook URL, then redeliver.",
            target,
        )

    def _receiver_advice(self):
        text = self.env._(
            "The receiver has trouble of its own; nothing is wrong here. Ask its owner, "
            "then redeliver."
        )
        if self.subscription_id.sudo().max_attempts == 1:
            text += " " + self.env._(
                "More attempts in the subscription would ride out such outages."
            )
        return text

    def _rejected_advice(self):
        """As superuser: of a subscription of another company it says the same."""
        answer = limits.shown(_in_one_line(self.response_body or ""))
        condition = self.subscription_id.sudo()._success_in_words()
        text = self.env._(
            "The endpoint answered %(code)s, but that is not what the subscription takes "
            "for a success (%(condition)s). Its answer: %(answer)s",
            code=self.response_code,
            condition=condition or self.env._("by now it asks for nothing"),
            answer=answer or self.env._("(empty)"),
        )
        return f"{text}\n" + self.env._(
            "If the receiver did not take it, correct what the answer names, then "
            "redeliver. If it did, correct the subscription under Success; to redeliver "
            "would send it a second time."
        )

    def _kind_advice(self, kind):
        texts = {
            "timeout": self.env._(
                "The endpoint did not answer in time. Ask its owner to answer first and "
                "work later, or raise the timeout, then redeliver."
            ),
            "dns": self.env._(
                "The name of the host is not known. Check the webhook URL for a typing "
                "error, then redeliver."
            ),
            "connect": self.env._(
                "Nothing answers at this host and port. Check the webhook URL, and with "
                "its owner that the receiver runs and its firewall is open; then redeliver."
            ),
            "tls": self.env._(
                "No secure connection: the certificate has expired, is for another name, "
                "or is not from a known authority, or the port does not speak TLS at all; "
                "the message says which. Its owner must renew the certificate, or name the "
                "right port; for a private authority set network.extra_ca_file of the "
                "sidecar. Then redeliver."
            ),
            "blocked_address": self.env._(
                "The host is at an internal address, where nothing is sent. If it is "
                "meant, add its network to network.allow_networks of the sidecar, then "
                "redeliver."
            ),
            "redirect": self.env._(
                "The endpoint points to another address, and redirects are never "
                "followed. Put the final address into the webhook URL, then redeliver."
            ),
            "protocol": self.env._(
                "What answers there does not speak HTTP properly. Check the port and "
                "https:// in the webhook URL, then redeliver."
            ),
            "render": self.env._(
                "The payload template could not be filled with this event. Correct it "
                "with the preview, then redeliver."
            ),
            "payload_too_large": self.env._(
                "The payload exceeds 256 KiB. Send fewer fields or shorten the template. "
                "An event that is too large in itself cannot be sent again."
            ),
            "inactive": self.env._(
                "The subscription was inactive. Activate it, then redeliver."
            ),
            "internal": self.env._(
                "It failed before it could be sent; the message says why. Correct the "
                "subscription if it names one of its fields, then redeliver. Where the "
                "sidecar no longer has the event, it is built again from its records."
            ),
            "expired": self.env._(
                "It waited longer than the sidecar remembers events. Redeliver to build it "
                "again, from the present values of its records."
            ),
            "cancelled": self.env._(
                "Somebody cancelled it. Redeliver it if it is to be sent after all."
            ),
            "loop": self.env._(
                "Its events cause themselves, so the subscription was paused; all others "
                "wait. Let the receiver write only what differs, or watch fields that it "
                "does not write; then resume, and redeliver this one if it matters."
            ),
        }
        return texts.get(kind) or self.env._(
            "The message says what is wrong. Correct it in the subscription, then "
            "redeliver."
        )

    # -- buttons -------------------------------------------------------------------------

    def action_open_records(self):
        """The records that the event is about."""
        self.ensure_one()
        if self.model_name not in self.env:
            raise UserError(self.env._("%s is not installed any more.", self.model_name))
        model = self.env[self.model_name].with_context(active_test=False)
        records = model.search([("id", "in", self.record_ids or [])])
        if not records:
            raise UserError(
                self.env._(
                    "None of the records exists any more, or you may not read them."
                )
            )
        action = {
            "type": "ir.actions.act_window",
            "name": self.env._("Records of the Event"),
            "res_model": self.model_name,
            "context": {"active_test": False},
        }
        if len(records) == 1:
            return {**action, "res_id": records.id, "views": [(False, "form")]}
        domain = [("id", "in", records.ids)]
        return {**action, "domain": domain, "views": [(False, "list"), (False, "form")]}

    def action_preview(self):
        """What the template would make of this row's record now."""
        self.ensure_one()
        if not self.subscription_id.exists():
            raise UserError(self.env._("Its subscription has been deleted."))
        ids = self.record_ids or [False]
        values = {"subscription_id": self.subscription_id.id, "res_id": ids[0]}
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Preview"),
            "res_model": "mcp.webhook.preview",
            "res_id": self.env["mcp.webhook.preview"].create(values).id,
            "views": [(False, "form")],
            "target": "new",
        }

    @api.model
    def action_deliveries_of_record(self, model_name, record_id):
        """The deliveries that a record took part in, for its own menu."""
        self.check_access("read")
        found = self._of_record(model_name, record_id)
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "mcp_webhook.mcp_webhook_delivery_action"
        )
        action["domain"] = [("id", "in", found.ids)]
        action["context"] = {}
        return action


def _in_one_line(text):
    """An answer as a person reads it: of a web page what it says, not how it is built."""
    if text.lstrip()[:1] == "<":
        text = html.unescape(MARKUP.sub(" ", text[:PAGE_READ]))
    return " ".join(text.split())
