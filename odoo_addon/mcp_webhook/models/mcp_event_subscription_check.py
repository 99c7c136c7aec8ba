# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What is checked at save; each text begins with the field's name."""

from odoo import api, models

from .. import validation
from ..sidecar import INLINE_TIMEOUT, SidecarError, SidecarUnreachable

# Refusals of `template.preview` that are the template's own fault.
TEMPLATE_FAULTS = frozenset({"invalid_template", "limit_exceeded", "payload_too_large"})


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    @api.constrains("model_id", "user_id")
    def _check_model(self):
        for subscription in self:
            if not subscription.model_id:
                validation.refuse(
                    "model_id", self.env._("choose a model. Example: res.partner.")
                )
            name = subscription.model_name
            validation.check_model(self.env, "model_id", name)
            user = subscription.user_id
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
            validation.check_domain(
                self.env,
                "domain",
                subscription.domain,
                subscription.model_name,
                subscription.user_id,
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
            for path in validation.paths_of(subscription.enrich_fields):
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

    @api.constrains("payload_template", "dialect")
    def _check_payload_template(self):
        for subscription in self:
            self._check_template(
                "payload_template", subscription.payload_template, subscription.dialect
            )

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
