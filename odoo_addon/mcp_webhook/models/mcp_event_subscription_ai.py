# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The way in for an AI: three calls for any internal user.

Errors are written to be acted on: they begin with the parameter's name, say what was
expected, and give an example. On an error nothing is stored.
"""

import hashlib
import json

from odoo import api, fields, models
from odoo.exceptions import AccessError

from .. import validation
from ..allowed_hosts import is_allowed
from .mcp_event_subscription import MANAGER

PARAMETERS = (
    "model",
    "event_type",
    "domain",
    "fields",
    "webhook_url",
    "webhook_payload_template",
    "enrich_fields",
)
CONNECTION = "subscribe_events"
# What a manager approves: a change of these is a change of what leaves, or where to.
DECISIVE_FIELDS = frozenset(
    {
        "company_id",
        "dialect",
        "domain",
        "enrich_fields",
        "event_type",
        "headers_value",
        "model_name",
        "payload_template",
        "user_id",
        "watched_field_ids",
        "webhook_url",
    }
)
KEPT_CONTEXT = ("lang", "tz", "allowed_company_ids")


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    content_digest = fields.Char(compute="_compute_content_digest")
    approval_request = fields.Char(compute="_compute_approval_request")

    def _compute_approval_request(self):
        for subscription in self:
            subscription.approval_request = subscription.approval == "waiting" and (
                self.env._(
                    "%(user)s wants these events sent to %(host)s, which is not among the "
                    "allowed hosts. Nothing is sent until you approve. Look at the filter, "
                    "the address and the preview below: that is what would leave.",
                    user=subscription.user_id.name,
                    host=subscription.endpoint_host,
                )
            )

    def _compute_content_digest(self):
        """What an approval is for: everything that decides what leaves, and where to."""
        for subscription in self:
            subscription.content_digest = subscription._digest()

    def _digest(self):
        self.ensure_one()
        stored = self.sudo()
        names = sorted(DECISIVE_FIELDS)
        values = [stored[name] for name in names]
        plain = [v.ids if isinstance(v, models.BaseModel) else v for v in values]
        return hashlib.sha256(json.dumps(plain).encode()).hexdigest()

    # -- the three calls ---------------------------------------------------------------

    @api.model
    def subscribe_events(
        self,
        model,
        event_type="all",
        domain=None,
        fields=None,
        webhook_url=None,
        webhook_payload_template=None,
        enrich_fields=None,
    ):
        """Subscribe the caller to changes of a model's records.

        :param model: technical name, e.g. `"res.partner"`
        :param event_type: `create`, `write`, `unlink` or `all`
        :param domain: a list, or a string of one: only matching records fire
        :param fields: for `write`: fire only when one of these fields changes
        :param webhook_url: where to send the events; none: nothing is sent
        :param webhook_payload_template: an object, a list, or a string of JSON
        :param enrich_fields: fields or dotted paths whose values to send
        :return: `{"id", "uuid", "name", "state", "message"}`
        """
        here = self._for_caller()
        given = {
            "model": model,
            "event_type": event_type,
            "domain": domain,
            "fields": fields,
            "webhook_url": webhook_url,
            "webhook_payload_template": webhook_payload_template,
            "enrich_fields": enrich_fields,
        }
        values = here._values_given(given, model)
        values.update(user_id=self.env.uid, connection=CONNECTION)
        subscription = here.sudo().create(values)
        subscription._await_approval()
        return subscription._answer_to_caller()

    @api.model
    def update_subscription(self, subscription_id, **changes):
        """Change a subscription; only what is given changes.

        :param subscription_id: the `id` that :meth:`subscribe_events` returned
        :param changes: parameters of :meth:`subscribe_events`
        :return: as :meth:`subscribe_events`
        """
        here = self._for_caller()
        subscription = here._own(subscription_id)
        unknown = sorted(changes.keys() - set(PARAMETERS))
        if unknown:
            validation.refuse(
                unknown[0],
                self.env._(
                    "no such parameter; expected some of %(names)s. "
                    'Example: {"event_type": "write"}.',
                    names=", ".join(PARAMETERS),
                ),
            )
        if not changes:
            validation.refuse(
                "changes",
                self.env._(
                    "nothing to change; expected at least one of %(names)s. "
                    'Example: {"event_type": "write"}.',
                    names=", ".join(PARAMETERS),
                ),
            )
        model = changes.get("model", subscription.model_name)
        values = here._values_given(changes, model)
        if model != subscription.model_name:
            here._reset_for_model(values)
        subscription.write(values)
        subscription._await_approval()
        return subscription._answer_to_caller()

    @api.model
    def unsubscribe_events(self, subscription_id):
        """Delete a subscription; its deliveries stay in the log.

        :param subscription_id: the `id` that :meth:`subscribe_events` returned
        :return: `True`
        """
        self._for_caller()._own(subscription_id).unlink()
        return True

    # -- who calls ---------------------------------------------------------------------

    @api.model
    def _for_caller(self):
        """Without the caller's context, which could smuggle in default values."""
        if not self.env.user._is_internal():
            raise AccessError(self.env._("Only internal users can subscribe to events."))
        context = self.env.context
        kept = {key: context[key] for key in KEPT_CONTEXT if key in context}
        return self.with_env(self.env(context=kept))

    @api.model
    def _is_manager(self):
        return self.env.user.has_group(MANAGER)

    @api.model
    def _own(self, subscription_id):
        """The caller's own subscription, or any for a manager; as superuser."""
        expected = self.env._(
            "expected the id that subscribe_events returned, an integer. Example: 7."
        )
        if isinstance(subscription_id, bool) or not isinstance(subscription_id, int):
            validation.refuse("subscription_id", expected)
        everything = self.with_context(active_test=False)
        if self._is_manager():
            found = everything.search([("id", "=", subscription_id)])
            if not found:
                validation.refuse("subscription_id", expected)
            return self.sudo().browse(found.id)
        found = everything.sudo().search([("id", "=", subscription_id)])
        if not found:
            validation.refuse("subscription_id", expected)
        if found.user_id != self.env.user:
            raise AccessError(
                self.env._("subscription_id: this subscription is not yours.")
            )
        return self.sudo().browse(found.id)

    def _await_approval(self):
        """Nobody but a manager opens a new way out of the house."""
        self.ensure_one()
        if self._is_manager():
            if self.approval == "waiting":
                self.approval = "approved"
            return
        allowed = self.env["mcp.webhook.sidecar"].sudo()._parameter("allowed_hosts")
        closed = self.webhook_url and not is_allowed(self.webhook_url, allowed)
        if closed:
            if self.approval != "waiting":
                self.approval = "waiting"
                self._message_log(
                    body=self.env._("Waits for a manager's approval: nothing is sent.")
                )
        elif self.approval == "waiting":
            self.approval = "none"

    def _answer_to_caller(self):
        self.ensure_one()
        waiting = self.approval == "waiting"
        if waiting:
            message = self.env._(
                "Nothing is sent until a webhook manager approves %(host)s in Odoo "
                "(MCP Server > Event Subscriptions).",
                host=self.endpoint_host,
            )
        elif not self.webhook_url:
            message = self.env._(
                "Without webhook_url nothing is sent. Give one with update_subscription."
            )
        else:
            message = self.env._("Events go to %s.", self.endpoint_host)
        return {
            "id": self.id,
            "uuid": self.uuid,
            "name": self.name,
            "state": "waiting_approval" if waiting else "active",
            "message": message,
        }

    # -- what was given ----------------------------------------------------------------

    @api.model
    def _values_given(self, given, model_name):
        """Field values of checked parameters.

        :raise AccessError: the caller may not read the model
        """
        validation.check_model(self.env, "model", model_name)
        self.env[model_name].check_access("read")
        values = {}
        for name, value in given.items():
            values.update(getattr(self, f"_given_{name}")(value, model_name))
        return values

    @api.model
    def _reset_for_model(self, values):
        """What named fields of the old model goes, where nothing new was given."""
        values.setdefault("domain", "[]")
        values.setdefault("watched_field_ids", [(6, 0, [])])
        values.setdefault("enrich_fields", False)

    @api.model
    def _given_model(self, value, _model_name):
        return {"model_id": self.env["ir.model"]._get_id(value)}

    @api.model
    def _given_event_type(self, value, _model_name):
        value = "all" if value is None else value
        validation.check_event_type(self.env, "event_type", value)
        return {"event_type": value}

    @api.model
    def _given_domain(self, value, model_name):
        value = [] if value is None else value
        text = repr(list(value)) if isinstance(value, list | tuple) else value
        if not isinstance(text, str):
            validation.refuse(
                "domain",
                self.env._(
                    "expected a list, or a string of one. Example: [['active', '=', true]]."
                ),
            )
        validation.check_text(self.env, "domain", text)
        validation.check_domain(self.env, "domain", text, model_name, self.env.user)
        return {"domain": text.strip() or "[]"}

    @api.model
    def _given_fields(self, value, model_name):
        names = self._list_of_strings("fields", value, '["name", "email"]')
        validation.check_watched(self.env, "fields", names, model_name)
        get = self.env["ir.model.fields"].sudo()._get
        ids = [get(model_name, name).id for name in names]
        return {"watched_field_ids": [(6, 0, ids)]}

    @api.model
    def _given_enrich_fields(self, value, model_name):
        paths = self._list_of_strings("enrich_fields", value, '["partner_id.email"]')
        for path in paths:
            validation.check_path(self.env, "enrich_fields", path, model_name)
        return {"enrich_fields": "\n".join(paths) or False}

    @api.model
    def _given_webhook_url(self, value, _model_name):
        if value in (None, False, ""):
            return {"webhook_url": False}
        if not isinstance(value, str) or "\0" in value:
            value = ""
        validation.check_url(self.env, "webhook_url", value)
        return {"webhook_url": value}

    @api.model
    def _given_webhook_payload_template(self, value, model_name):
        label = "webhook_payload_template"
        if value in (None, False, ""):
            return {"payload_template": False}
        if isinstance(value, dict | list):
            text = json.dumps(value, ensure_ascii=False, indent=2)
        else:
            text = value
        if not isinstance(text, str):
            validation.refuse(
                label,
                self.env._(
                    "expected an object, a list, or a string of JSON. "
                    'Example: {"text": "{{ model }} {{ event_type }}"}.'
                ),
            )
        validation.check_text(self.env, label, text)
        self._check_template(label, text, "auto")
        return {"payload_template": text}

    @api.model
    def _list_of_strings(self, label, value, example):
        value = [] if value is None else value
        strings = isinstance(value, list | tuple) and all(
            isinstance(item, str) and item.strip() and "\0" not in item for item in value
        )
        if not strings:
            validation.refuse(
                label,
                self.env._("expected a list of strings. Example: %s.", example),
            )
        return list(dict.fromkeys(item.strip() for item in value))
