# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The way in for an AI: three calls for any internal user.

Errors are written to be acted on: they begin with the parameter's name, say what was
expected, and give an example. On an error nothing is stored.
"""

import json

from odoo import api, models
from odoo.exceptions import AccessError

from ..tools import limits, validation
from ..tools.sidecar import INLINE_TIMEOUT, SidecarError, SidecarUnreachable
from .mcp_event_subscription import ASKS_ITSELF, MANAGER
from .mcp_event_subscription_check import FAULTS
from .mcp_event_subscription_own import check_flag

PARAMETERS = (
    "model",
    "event_type",
    "domain",
    "fields",
    "webhook_url",
    "webhook_payload_template",
    "enrich_fields",
    "in_session",
    "generate_secret",
    "include_own_changes",
)
CONNECTION = "subscribe_events"
# Of what the sidecar takes: not the caller's to give, or to be asked about.
SEALED = ("secret", "headers", "keep_previous_s")
# Our fields, and under which name and with which example the caller knows them.
PARAMETER_OF = {
    "webhook_url": "webhook_url",
    "payload_template": "webhook_payload_template",
    "model_id": "model",
    "event_type": "event_type",
}
EXAMPLES = {
    "webhook_url": "https://hooks.example.com/odoo",
    "webhook_payload_template": '{"text": "{{ model }} {{ event_type }}"}',
    "model": "res.partner",
    "event_type": "write",
}
MAX_ID = 2**31 - 1
KEPT_CONTEXT = ("lang", "tz", "allowed_company_ids")


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

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
        in_session=False,
        generate_secret=False,
        include_own_changes=False,
    ):
        """Subscribe the caller to changes of a model's records.

        :param model: technical name, e.g. `"res.partner"`
        :param event_type: `create`, `write`, `unlink` or `all`
        :param domain: a list, or a string of one: only matching records fire
        :param fields: for `write`: fire only when one of these fields changes
        :param webhook_url: where to send the events; none: nothing is sent
        :param webhook_payload_template: an object, a list, or a string of JSON
        :param enrich_fields: fields or dotted paths whose values to send
        :param in_session: without a URL: its events are kept, and read through MCP
        :param generate_secret: sign with a new secret, which a manager sees in Odoo
        :param include_own_changes: also fire at changes made with the same API key
        :return: `{"id", "uuid", "name", "state", "message"}`
        """
        given = {
            "model": model,
            "event_type": event_type,
            "domain": domain,
            "fields": fields,
            "webhook_url": webhook_url,
            "webhook_payload_template": webhook_payload_template,
            "enrich_fields": enrich_fields,
            "in_session": in_session,
            "generate_secret": generate_secret,
            "include_own_changes": include_own_changes,
        }
        limits.check_parameters(self.env, given)
        here = self._for_caller()
        values = here._values_given(given, model)
        values.update(user_id=self.env.uid, connection=CONNECTION)
        values.update(here._own_key_values())
        subscription = here.sudo().create(values)
        if generate_secret:
            subscription._generate_secret()
        subscription._settle_approval()
        subscription._ask_sidecar()
        subscription._check_connection_room()
        subscription._check_room()  # last: others of this user's calls wait from here on
        return subscription._answer_to_caller()

    @api.model
    def update_subscription(self, subscription_id, **changes):
        """Change a subscription; only what is given changes.

        :param subscription_id: the `id` that :meth:`subscribe_events` returned
        :param changes: parameters of :meth:`subscribe_events`
        :return: as :meth:`subscribe_events`
        """
        limits.check_parameters(self.env, changes)
        here = self._for_caller()
        subscription = here._own(subscription_id)
        unknown = sorted(changes.keys() - set(PARAMETERS))
        if unknown:
            validation.refuse(
                limits.shown(unknown[0]),
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
        before = subscription._digest()
        subscription.write(values)
        if changes.get("generate_secret"):
            subscription._generate_secret()
        # each edit of a user asks again; a manager's that changes nothing does not
        if not self._is_manager() or subscription._digest() != before:
            subscription._settle_approval()
        subscription._ask_sidecar()
        subscription._check_room()
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
        kept[ASKS_ITSELF] = True  # under the names of its parameters
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
        whole = isinstance(subscription_id, int) and not isinstance(subscription_id, bool)
        if not whole or not 0 < subscription_id <= MAX_ID:
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
        made_here = found.connection == CONNECTION and found.create_uid == self.env.user
        if not made_here or found.user_id != self.env.user:
            raise AccessError(
                self.env._(
                    "subscription_id: this subscription is not yours; expected one that "
                    "you made with subscribe_events."
                )
            )
        return self.sudo().browse(found.id)

    def _ask_sidecar(self):
        """Refuse now what the sidecar would refuse later, when it can be asked. The
        secret and the headers stay here: they are not what the caller gave."""
        self.ensure_one()
        if not self.webhook_url:
            return
        access = self.env["mcp.webhook.sidecar"].sudo()

        def ask(client):
            values = self._sidecar_values(access._sidecar_features(client))
            given = {k: v for k, v in values.items() if k not in SEALED}
            client.call("subscription.check", given)

        try:
            access._try(ask, INLINE_TIMEOUT)
        except SidecarUnreachable:
            return  # judged when it is back: `sync_error` will say it
        except SidecarError as error:
            if error.kind not in FAULTS:
                return  # also one too old for the question, or for what a manager set
            text = self._refusal_in_words(self._refusal_of(error))
            field, _colon, reason = text.partition(": ")
            label = PARAMETER_OF.get(field, "webhook_url")
            validation.refuse(
                label,
                self.env._(
                    "%(reason)s Expected another value. Example: %(example)s.",
                    reason=reason if field in PARAMETER_OF else text,
                    example=EXAMPLES[label],
                ),
            )

    def _answer_to_caller(self):
        self.ensure_one()
        waiting = self.approval == "waiting"
        if not self.active or self.paused:
            message = self.env._(
                "It is paused or inactive: a webhook manager can resume it."
            )
        elif waiting:
            message = self.env._(
                "Nothing is sent until a webhook manager approves %(host)s in Odoo "
                "(MCP Server > Event Subscriptions).",
                host=self.endpoint_host,
            )
        elif not self.webhook_url and self.in_session:
            message = self.env._(
                "Its events are kept to be read: call wait_for_event or poll_events with "
                "subscription_id %s.",
                self.id,
            )
        elif not self.webhook_url:
            message = self.env._(
                "Without webhook_url nothing is sent. Give one with update_subscription."
            )
        else:
            message = self.env._("Events go to %s.", self.endpoint_host)
        if waiting and self.rejection:
            told = self.env._("A webhook manager rejected it before: %s", self.rejection)
            message = f"{message} {told}"
        if self.template_warning:
            message = f"{message} {self.template_warning}"
        if self.has_generated_secret:
            told = self.env._(
                "Its signing secret is shown to a webhook manager in Odoo, who gives it to "
                "the receiver."
            )
            message = f"{message} {told}"
        if not self._is_manager():
            message = f"{message} {self._room_left()}"
        return {
            "id": self.id,
            "uuid": self.uuid,
            "name": self.name,
            "state": "waiting_approval" if waiting and self.active else self.state,
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
        if values.get("in_session") and values.get("webhook_url"):
            validation.refuse(
                "in_session",
                self.env._(
                    "expected either in_session or webhook_url. Example: false, for events "
                    "that go to webhook_url."
                ),
            )
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
        validation.check_count(self.env, "enrich_fields", paths)
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
            text = json_text(value)
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
    def _given_in_session(self, value, _model_name):
        return {"in_session": check_flag(self.env, "in_session", value)}

    @api.model
    def _given_include_own_changes(self, value, _model_name):
        flag = check_flag(self.env, "include_own_changes", value)
        return {"include_own_changes": flag}

    @api.model
    def _given_generate_secret(self, value, _model_name):
        check_flag(self.env, "generate_secret", value)
        return {}

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


def json_text(value):
    """For reading, where there is room, and with what would steer the reader spelled; None
    for what JSON has no words for."""
    try:
        text = _spelled(json.dumps(value, ensure_ascii=False, indent=2))
        if len(text.encode("utf-8", "surrogatepass")) <= limits.TEMPLATE.bytes:
            return text
        return _spelled(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    except (TypeError, ValueError):
        return None


def _spelled(text):
    return "".join(
        limits.spelled(char) if limits.is_steering(char) and char != "\n" else char
        for char in text
    )
