# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What would be sent for a record, before anything is sent."""

import json

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError

from ..tools import payload, validation
from ..tools.sidecar import INLINE_TIMEOUT, SidecarError, SidecarUnreachable
from ..tools.translated import translated
from .mcp_event_subscription_actions import TooSlow


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    preview_res_id = fields.Many2oneReference(
        "Sample Record",
        model_field="model_name",
        store=False,
        help="The record whose values the preview shows; the newest that fires, if empty.",
    )
    preview = fields.Text(compute="_compute_preview")
    preview_error = fields.Text(compute="_compute_preview")
    preview_note = fields.Text(compute="_compute_preview")

    @api.depends(
        "payload_template",
        "dialect",
        "enrich_fields",
        "event_type",
        "model_id",
        "domain",
        "user_id",
        "preview_res_id",
    )
    def _compute_preview(self):
        for subscription in self:
            (
                subscription.preview,
                subscription.preview_error,
                subscription.preview_note,
            ) = subscription._render_preview(subscription.preview_res_id)

    def _render_preview(self, res_id=None):
        """`(payload, error, note)`: one of the first two is False; the payload is indented
        for reading. The note says in which way the sample is not what would be sent."""
        self.ensure_one()
        if not self.model_id or self.model_name not in self.env:
            return False, False, False
        try:
            record = self._preview_record(res_id)
            for path in validation.paths_of(self.enrich_fields):
                validation.check_path(self.env, "enrich_fields", path, self.model_name)
            event = self._sample_event(record)
            template = validation.parse_template(
                self.env, "payload_template", self.payload_template
            )
            shown = self._ask_preview(template, event)
            return shown, False, self._sample_note(record)
        except (UserError, AccessError) as error:
            return False, error.args[0], False

    def _sample_note(self, record):
        user = self.user_id.name
        if not record:
            return self.env._(
                "%s can read no record of this model: the id is made up, and there are no "
                "values.",
                user,
            )
        try:
            fires = self._fires_for(record)
        except TooSlow as error:
            return error.args[0]
        if not fires:
            return self.env._(
                "This record does not match the filter, so it would not be sent: it shows "
                "the form of the payload only."
            )
        return False

    def _fires_for(self, record):
        try:
            domain = payload.parse_domain(self.domain)
            return self._in_time(
                lambda: bool(record.search([("id", "=", record.id), *domain], limit=1))
            )
        except TooSlow:
            raise
        except (payload.BrokenSubscription, ValueError, UserError):
            return False

    def _preview_record(self, res_id):
        if not res_id:
            return self._sample_record()
        model = self._reader()
        record = model.browse(res_id).exists() if model is not None else self.browse()
        if not record or not record._filtered_access("read"):
            raise UserError(
                self.env._(
                    "%(user)s cannot read record %(id)s, so it would never be sent.",
                    user=self.user_id.name,
                    id=res_id,
                )
            )
        return record

    def _ask_preview(self, template, event):
        access = self.env["mcp.webhook.sidecar"].sudo()
        try:
            answer = access._try(
                lambda client: client.preview(template, event, self.dialect),
                INLINE_TIMEOUT,
            )
        except SidecarUnreachable as error:
            raise UserError(
                self.env._(
                    "No preview now. %(reason)s",
                    reason=translated(self.env, error.reason),
                )
            ) from error
        except SidecarError as error:
            raise UserError(self._refusal_in_words(self._refusal_of(error))) from error
        return readable_json(answer["payload"])


def readable_json(text):
    """JSON indented for reading; anything else as it is.

    Half a surrogate pair, which JSON can spell and UTF-8 cannot, stays spelled: an
    endpoint's answer must not make its own row unreadable.
    """
    try:
        readable = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return text
    return readable.encode("utf-8", "backslashreplace").decode()
