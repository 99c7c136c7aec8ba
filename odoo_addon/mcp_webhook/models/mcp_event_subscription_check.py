# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What is checked at save; each text begins with the field's name."""

from odoo import api, fields, models
from odoo.exceptions import ValidationError
from odoo.fields import Domain

from ..tools import limits, payload, validation
from ..tools.own_search import searched_by_code
from ..tools.sidecar import INLINE_TIMEOUT, SidecarError, SidecarUnreachable
from .mcp_event_subscription import ASKS_ITSELF
from .mcp_event_subscription_newer import TOO_OLD
from .mcp_event_subscription_success import SUCCESS_FIELDS

# Refusals of `template.preview` that are the template's own fault.
TEMPLATE_FAULTS = frozenset({"invalid_template", "limit_exceeded", "payload_too_large"})
# Refusals of `subscription.check` that are the subscription's own fault.
FAULTS = TEMPLATE_FAULTS | {
    "blocked_address",
    "invalid_header",
    "invalid_secret",
    "invalid_url",
}
INVALID_PARAMS = -32602


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    filter_notice = fields.Text(compute="_compute_filter_notice")

    @api.depends("domain", "model_name", "event_type")
    @api.depends_context("lang")
    def _compute_filter_notice(self):
        for subscription in self:
            name = subscription._searched_by_code()
            leaving = subscription.event_type in ("unlink", "all")
            notice = name and self.env._(
                "Only Odoo's own code can search %s, which may take long. Nobody who saves "
                "waits for it: whether a record matches is checked within a minute, with "
                "the values that it has then.",
                name,
            )
            if name and leaving:
                notice += " " + self.env._(
                    "Deletions cannot be checked that way: each is logged as failed."
                )
            subscription.filter_notice = notice or False

    def _searched_by_code(self):
        """The name of the field that needs it, or None; also of what is not valid."""
        if self.model_name not in self.env:
            return None
        try:
            domain = Domain(payload.parse_domain(self.domain))
            return searched_by_code(domain, self.env[self.model_name])
        except (payload.BrokenSubscription, ValueError, TypeError, KeyError):
            return None

    # -- before anything is parsed or stored -----------------------------------------

    def _check_given(self, vals):
        limits.check_fields(self.env, vals)
        return super()._check_given(vals)

    @api.model
    def default_get(self, fields):
        """Also what a caller's context brings."""
        values = super().default_get(fields)
        limits.check_fields(self.env, values)
        return values

    def onchange(self, values, field_names, fields_spec):
        limits.check_fields(self.env, values)
        return super().onchange(values, field_names, fields_spec)

    # -- at save ---------------------------------------------------------------------

    @api.constrains("model_id", "user_id")
    def _check_model(self):
        for subscription in self:
            if not subscription.model_id:
                validation.refuse(
                    "model_id", self.env._("choose a model. Example: res.partner.")
                )
            name = subscription.model_name
            validation.check_model(self.env, "model_id", name)
            if not subscription.user_id:
                validation.refuse(
                    "user_id",
                    self.env._("choose a user, whose rights decide. Example: yourself."),
                )
            subscription._check_reader()

    def _check_reader(self):
        user, name = self.user_id, self.model_name
        if not self.env[name].with_user(user).has_access("read"):
            validation.refuse(
                "user_id",
                self.env._(
                    "%(user)s may not read %(model)s, so nothing would ever be sent; "
                    "expected a user with that right.",
                    user=user.name,
                    model=name,
                ),
            )

    @api.constrains("domain", "model_id", "user_id")
    def _check_domain(self):
        for subscription in self:
            validation.check_text(self.env, "domain", subscription.domain)
            subscription._check_filter()

    def _check_filter(self, is_thorough=True, runs_code=True):
        validation.check_domain(
            self.env,
            "domain",
            self.domain,
            self.model_name,
            self.user_id,
            is_thorough,
            runs_code,
        )

    @api.constrains("watched_field_ids", "model_id")
    def _check_watched_fields(self):
        for subscription in self:
            for field in subscription.watched_field_ids.sudo():
                if field.model != subscription.model_name:
                    validation.refuse(
                        "watched_field_ids",
                        self.env._(
                            "%(field)s belongs to %(other)s; expected fields of %(model)s.",
                            field=field.name,
                            other=field.model,
                            model=subscription.model_name,
                        ),
                    )
            names = subscription.watched_field_ids.sudo().mapped("name")
            validation.check_watched(
                self.env, "watched_field_ids", names, subscription.model_name
            )

    @api.constrains("enrich_fields", "model_id")
    def _check_enrich_fields(self):
        for subscription in self:
            paths = validation.paths_of(subscription.enrich_fields)
            validation.check_count(self.env, "enrich_fields", paths)
            for path in paths:
                validation.check_path(
                    self.env, "enrich_fields", path, subscription.model_name
                )

    @api.constrains("webhook_url")
    def _check_webhook_url(self):
        for subscription in self:
            if subscription.webhook_url:
                validation.check_url(self.env, "webhook_url", subscription.webhook_url)

    @api.constrains("headers_value")
    def _check_headers(self):
        for subscription in self:
            subscription._headers()

    @api.constrains("payload_template")
    def _check_payload_template(self):
        for subscription in self:
            text = subscription.payload_template
            validation.check_text(self.env, "payload_template", text)
            validation.parse_template(self.env, "payload_template", text)

    @api.constrains(
        "dialect",
        "headers_value",
        "max_attempts",
        "max_in_flight",
        "payload_template",
        "secret_overlap_hours",
        "secret_value",
        "timeout_s",
        "webhook_url",
        *SUCCESS_FIELDS,
    )
    def _check_with_sidecar(self):
        """What only the sidecar can judge, when it answers in time. When it does not, the
        subscription is saved, and its events wait if it is refused later."""
        access = self.env["mcp.webhook.sidecar"].sudo()
        for subscription in self.browse() if self.env.context.get(ASKS_ITSELF) else self:
            try:
                access._try(subscription._ask_whether_valid, INLINE_TIMEOUT)
            except SidecarUnreachable:
                return
            except SidecarError as error:
                is_its_own = error.kind in FAULTS or error.kind == TOO_OLD
                if is_its_own or error.code == INVALID_PARAMS:
                    raise ValidationError(
                        subscription._refusal_in_words(subscription._refusal_of(error))
                    ) from error

    def _ask_whether_valid(self, client):
        """:raise SidecarError: the sidecar would not take it"""
        access = self.env["mcp.webhook.sidecar"].sudo()
        features = access._sidecar_features(client)
        values = self._sidecar_values(features)
        if "subscription.check" in features:
            if values["url"]:
                client.check(values)
        elif values["payload_template"] is not None:
            self._ask_about_template(client, values)

    def _ask_about_template(self, client, values):
        try:
            client.preview(values["payload_template"], dialect=values["dialect"])
        except SidecarError as error:
            error.data.setdefault("field", "payload_template")
            raise

    @api.model
    def _check_template(self, label, text, dialect):
        """JSON here; everything else by the sidecar, when it answers in time."""
        validation.check_text(self.env, label, text)
        template = validation.parse_template(self.env, label, text)
        if template is None:
            return
        access = self.env["mcp.webhook.sidecar"].sudo()
        try:
            access._try(
                lambda client: client.preview(template, dialect=dialect), INLINE_TIMEOUT
            )
        except SidecarUnreachable:
            return  # judged when it is back: `sync_error` will say it
        except SidecarError as error:
            if error.kind in TEMPLATE_FAULTS:
                validation.refuse(label, _told(self.env, label, error))


def _told(env, label, error):
    """The sidecar's words, without a field name in front, with the place."""
    text = (
        error.message.removeprefix("payload_template:").removeprefix(f"{label}:").strip()
    )
    pointer = error.data.get("pointer")
    if pointer and pointer not in text:
        return env._("at %(pointer)s: %(text)s", pointer=pointer, text=text)
    return text
