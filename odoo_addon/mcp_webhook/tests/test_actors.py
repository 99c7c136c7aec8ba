# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Who may call what: each public method and operation of each model of ours against each
actor. A method that is not in the table, or a model, fails the first test."""

from odoo.exceptions import AccessError, MissingError, UserError
from odoo.tests import new_test_user, tagged

from .common import WebhookCase

SUBSCRIPTION, DELIVERY = "mcp.event.subscription", "mcp.webhook.delivery"
BACKFILL = "mcp.webhook.backfill"
CONNECTION, CALL = "mcp.webhook.connection", "mcp.webhook.call"
SETTINGS = "res.config.settings"
DIALOGS = (
    "mcp.webhook.preview",
    "mcp.webhook.explain",
    "mcp.webhook.redelivery",
    "mcp.webhook.rejection",
    "mcp.webhook.rotation",
    "mcp.webhook.secret",
    "mcp.webhook.send",
    "mcp.webhook.waiting",
)
ACTORS = ("owner", "clerk", "manager", "foreigner", "settings", "portal", "public")
NOBODY = set()
MANAGER = {"manager"}
# The subscription belongs to a company of the manager, not of the foreigner, who is a
# manager of another one. "owner" is a plain user whose AI has made it; "settings" may
# change Odoo's settings and nothing of ours.
RECORD = {
    "read": lambda r: r.read(["display_name"]),
    "web_read": lambda r: r.web_read({"display_name": {}}),
    "export_data": lambda r: r.export_data(["display_name"]),
    "write": lambda r: r.write({"id": r.id}),
    "copy": lambda r: r.copy(),
    "copy_data": lambda r: r.copy_data(),
    "onchange": lambda r: r.onchange({}, [], {"display_name": {}}),
    "unlink": lambda r: r.unlink(),
}
MODEL = {
    "create": lambda m, d: m.create(d),
    "default_get": lambda m, _d: m.default_get(["display_name"]),
    "search_read": lambda m, _d: m.search_read([], ["display_name"]),
}
OF_RECORD = {
    SUBSCRIPTION: {
        **dict.fromkeys(
            (
                "action_approve",
                "action_end_previous_secret",
                "action_explain",
                "action_open_backfills",
                "action_open_deliveries",
                "action_open_last_failure",
                "action_pause",
                "action_retry_waiting",
                "action_discard_waiting",
                "action_preview",
                "action_redeliver_failures",
                "action_reject",
                "action_remove_headers",
                "action_remove_secret",
                "action_replace_secret",
                "action_reset_failure_count",
                "action_resume",
                "action_send_now",
                "action_send_test",
                "action_show_secret",
                "action_toggle_active",
                "message_get_followers",
            ),
            MANAGER,
        ),
        **dict.fromkeys(RECORD, MANAGER),
    },
    DELIVERY: {
        "action_ask_redeliver": MANAGER,
        "action_cancel": MANAGER,
        "action_open": MANAGER,
        "action_open_records": MANAGER,
        "action_preview": MANAGER,
        "action_redeliver": MANAGER,
        "action_retry_now": MANAGER,
        "read": MANAGER,
        "web_read": MANAGER,
        "export_data": MANAGER,
        **dict.fromkeys(("write", "copy", "onchange", "unlink"), NOBODY),
        "copy_data": MANAGER,
    },
    BACKFILL: {
        "action_cancel": MANAGER,
        "action_open_deliveries": MANAGER,
        "action_pause": MANAGER,
        "action_resume": MANAGER,
        "read": MANAGER,
        "web_read": MANAGER,
        "export_data": MANAGER,
        **dict.fromkeys(("write", "copy", "onchange", "unlink"), NOBODY),
        "copy_data": MANAGER,
    },
    CONNECTION: {
        "action_open_calls": MANAGER,
        "read": MANAGER,
        "web_read": MANAGER,
        "export_data": MANAGER,
        "write": MANAGER,
        **dict.fromkeys(("copy", "unlink"), NOBODY),
        "onchange": MANAGER,
        "copy_data": MANAGER,
    },
    CALL: {
        "read": MANAGER,
        "web_read": MANAGER,
        "export_data": MANAGER,
        **dict.fromkeys(("write", "copy", "onchange", "unlink"), NOBODY),
        "copy_data": MANAGER,
    },
    SETTINGS: {
        "action_mcp_webhook_become_production": {"settings"},
        "action_mcp_webhook_take_over": {"settings"},
        "action_mcp_webhook_test_connection": {"settings"},
    },
}
INTERNAL = {"owner", "clerk", "manager", "foreigner", "settings"}
OWN = {"owner", "manager"}
# Called on the model: `(who may, arguments)`; "id" stands for the subscription's,
# "delivery" for the delivery's.
OF_MODEL = {
    SUBSCRIPTION: {
        "failing_endpoints": ({"manager", "foreigner"}, ()),
        "sidecar_trouble": ({"manager", "foreigner"}, ()),
        "watched_models": ({"manager", "foreigner"}, ()),
        "subscribe_events": (
            {"owner", "clerk", "manager", "foreigner", "settings"},
            ("res.partner",),
        ),
        "update_subscription": ({"owner", "manager"}, ("id",)),
        "unsubscribe_events": ({"owner", "manager"}, ("id",)),
        "list_models": (INTERNAL, ()),
        "describe_model": (INTERNAL, ("res.partner",)),
        "list_subscriptions": (INTERNAL, ()),
        "preview_payload": (INTERNAL, ("res.partner",)),
        "send_test_event": (OWN, ("id",)),
        "list_deliveries": (OWN, ("id",)),
        "explain_delivery": (OWN, ("delivery",)),
        "explain_no_event": (OWN, ("id",)),
        "redeliver": (OWN, ("delivery",)),
        "retry_now": (OWN, ("delivery",)),
        "get_recent_events": ({"owner"}, ("id",)),
        "poll_events": ({"owner"}, (None, "id")),
        "wait_for_event": ({"owner"}, (None, "id")),
    },
    CONNECTION: {"call_tool": (INTERNAL, ("list_models",))},
    DELIVERY: {"action_deliveries_of_record": ({"manager", "foreigner"}, ("x", 1))},
}
OF_DIALOG = {
    "mcp.webhook.redelivery": {"action_redeliver": MANAGER},
    "mcp.webhook.rejection": {"action_reject": MANAGER},
    "mcp.webhook.rotation": dict.fromkeys(
        ("action_end", "action_look", "action_switch", "action_test"), MANAGER
    ),
    "mcp.webhook.secret": {"action_noted": MANAGER},
    "mcp.webhook.send": {"action_send": MANAGER},
    "mcp.webhook.waiting": {"action_go_on": MANAGER},
}
# Dialogs about what is not one subscription, and what they are given.
OF_OTHER_DIALOG = {"mcp.webhook.again": ("delivery_ids", {"action_redeliver": MANAGER})}
NOBODY_S = ("outbox", "mirror", "tombstone", "binding", "room", "seen", "told")
MACHINERY = (*NOBODY_S, "sidecar", "dialog", "export")
REFUSALS = (
    "webhook manager can",
    "subscription_id:",
    "delivery_id: expected the id",
    "rights to export",
)
# Public methods that look at nothing but what they are given.
HARMLESS = {"copy_data", "default_get"}


@tagged("post_install", "-at_install")
class TestActors(WebhookCase):
    def setUp(self):
        super().setUp()
        webhooks = "base.group_user,mcp_webhook.group_manager,base.group_allow_export"
        export = "base.group_user,base.group_allow_export"
        other = self.env["res.company"].create({"name": "Other"})
        there = {"company_id": other.id, "company_ids": [(6, 0, other.ids)]}
        new = self.env.ref("base.public_user")
        self.actors = {
            "owner": new_test_user(self.env, "owner", groups=export),
            "clerk": new_test_user(self.env, "clerk", groups=export),
            "manager": new_test_user(self.env, "manager", groups=webhooks),
            "foreigner": new_test_user(self.env, "foreigner", groups=webhooks, **there),
            "settings": new_test_user(self.env, "settings", groups="base.group_system"),
            "portal": new_test_user(self.env, "portal", groups="base.group_portal"),
            "public": new,
        }
        calls = self.env[SUBSCRIPTION].with_user(self.actors["owner"])
        made = calls.subscribe_events(
            "res.partner", webhook_url="https://hooks.example.com/x"
        )
        self.subscription = self.env[SUBSCRIPTION].browse(made["id"])
        self.subscription.company_id = self.env.company
        partner = self.Partner.create({"name": "A"})
        self.delivery = self.Delivery.create(
            {
                **self.Delivery._subscription_values(self.subscription),
                "event_uuid": "e",
                "status": "failed",
                "record_ids": partner.ids,
            }
        )
        self.backfill = self.env[BACKFILL].create(
            {"subscription_id": self.subscription.id, "user_id": self.env.uid}
        )
        self.connection = self.env[CONNECTION].create(
            {"user_id": self.actors["owner"].id, "company_id": self.env.company.id}
        )
        self.call = self.env[CALL].create(
            {"connection_id": self.connection.id, "company_id": self.env.company.id}
        )
        self.sidecar.events["e"] = {"subscription_id": self.subscription.uuid}
        self.sidecar.attempt("e", status="failed")
        self.sidecar.on_delivery_redeliver_many = lambda **_params: {"count": 1}

    def may(self, actor, call):
        """Whether this actor's call does something: an answer that says no, or finds
        nothing, is as good as a refusal; one that says what is missing is not."""
        self.env.invalidate_all()  # what is in the cache is read without asking
        try:
            with self.cr.savepoint(), self.enter_registry_test_mode():
                call(self.actors[actor])
                raise Done
        except Done:
            return True
        except (AccessError, MissingError):
            return False
        except UserError as error:
            return not any(words in str(error) for words in REFUSALS)
        finally:
            self.env.invalidate_all()

    def check(self, what, allowed, call):
        found = {actor for actor in ACTORS if self.may(actor, call)}
        told = " ".join(sorted(found))
        self.assertEqual(told, " ".join(sorted(allowed)), what)

    def test_table_holds_every_public_method(self):
        usual = set(dir(self.env["mail.thread"])) | set(dir(self.Partner))
        found = {}
        for name in self.env.registry:
            if name.startswith(("mcp.event", "mcp.webhook")) or name == SETTINGS:
                cls = type(self.env[name])
                found[name] = {
                    attribute
                    for attribute in dir(cls)
                    if not attribute.startswith("_")
                    and callable(getattr(cls, attribute))
                    and (
                        attribute.startswith("action_mcp_webhook")
                        if name == SETTINGS
                        else attribute not in usual
                    )
                }
        table = {f"mcp.webhook.{name}": set() for name in MACHINERY}
        table.update({name: set(OF_DIALOG.get(name, ())) for name in DIALOGS})
        table.update({name: set(told[1]) for name, told in OF_OTHER_DIALOG.items()})
        for model in (SUBSCRIPTION, DELIVERY, BACKFILL, CONNECTION, CALL, SETTINGS):
            named = {*OF_RECORD[model], *OF_MODEL.get(model, ())}
            table[model] = named - set(RECORD) - {"message_get_followers"}
        self.assertEqual(found, table)

    def test_methods_of_a_record(self):
        ours = (self.subscription, self.delivery, self.backfill)
        for record in (*ours, self.connection, self.call):
            model = record._name
            for name, allowed in OF_RECORD[model].items():
                call = RECORD.get(name) or (lambda r, n=name: getattr(r, n)())
                if name in HARMLESS:
                    continue  # asserted by `test_nothing_is_told`
                with self.subTest(model=model, method=name):
                    self.check(
                        name, allowed, lambda u, c=call, r=record: c(r.with_user(u))
                    )

    def test_methods_of_a_model(self):
        for model, methods in OF_MODEL.items():
            for name, (allowed, args) in methods.items():
                ids = {"id": self.subscription.id, "delivery": self.delivery.id}
                given = [ids.get(a, a) for a in args]
                extra = {"event_type": "create"} if name == "update_subscription" else {}

                def call(user, m=model, n=name, g=given, e=extra):
                    getattr(self.env[m].with_user(user), n)(*g, **e)

                with self.subTest(model=model, method=name):
                    self.check(name, allowed, call)

    def test_dialogs_are_about_a_subscription_that_one_may_read(self):
        """Also by `onchange`, which stores nothing and shows a name."""
        values = {"subscription_id": self.subscription.id}
        for model in DIALOGS:
            for name, door in self.dialog_doors(model, values).items():
                with self.subTest(model=model, door=name):
                    self.check(
                        name,
                        MANAGER,
                        lambda u, d=door, m=model: d(self.env[m].with_user(u)),
                    )
            moved = self.env[model].with_user(self.actors["foreigner"])
            own = self.subscribe(company_id=False)
            dialog = moved.create({"subscription_id": own.id})
            self.assertRefused(lambda d=dialog: d.write(values))

    def dialog_doors(self, model, values):
        """The ways in which a dialog learns of its subscription."""
        shown = {"subscription_id": {"fields": {"display_name": {}}}}
        if "model_name" in self.env[model]._fields:
            shown["model_name"] = {}
        default = {"default_subscription_id": self.subscription.id}
        only = ["subscription_id"]
        return {
            "create": lambda m: m.create(dict(values)),
            "web_save": lambda m: m.web_save(dict(values), shown),
            "onchange": lambda m: m.onchange(dict(values), only, shown),
            "first onchange": lambda m: m.onchange(dict(values), [], shown),
            "default": lambda m: m.with_context(**default).onchange({}, [], shown),
            "default_get": lambda m: m.with_context(**default).default_get(only),
        }

    def test_buttons_of_dialogs(self):
        for model, methods in OF_DIALOG.items():
            for name, allowed in methods.items():
                self.check(
                    name,
                    allowed,
                    lambda u, m=model, n=name: getattr(
                        self.env[m]
                        .with_user(u)
                        .create({"subscription_id": self.subscription.id}),
                        n,
                    )(),
                )

    def test_other_dialogs_tell_of_nothing_that_one_may_not_read(self):
        for model, (field, methods) in OF_OTHER_DIALOG.items():
            values = {field: [(6, 0, self.delivery.ids)]}
            for name, door in self.other_doors(model, field, values, methods).items():
                with self.subTest(model=model, door=name):
                    self.check(
                        name,
                        MANAGER,
                        lambda u, d=door, m=model: d(self.env[m].with_user(u)),
                    )

    def other_doors(self, model, field, values, methods):
        shown = {name: {} for name in self.env[model]._fields}
        doors = {
            "read": lambda m: m.create(values).read(list(shown)),
            "onchange": lambda m: m.onchange(dict(values), [field], shown),
        }
        for name in methods:
            doors[name] = lambda m, n=name: getattr(m.create(values), n)()
        return doors

    def test_settings(self):
        for name, allowed in OF_RECORD[SETTINGS].items():
            self.check(
                name,
                allowed,
                lambda u, n=name: getattr(
                    self.env[SETTINGS].with_user(u).create({}), n
                )(),
            )

    def test_machinery_is_nobody_s(self):
        for name in NOBODY_S:
            records = self.env[f"mcp.webhook.{name}"]
            for operation in ("create", "search_read"):
                self.check(
                    name,
                    NOBODY,
                    lambda u, r=records, o=operation: MODEL[o](r.with_user(u), {}),
                )

    def test_lists_show_own_companies_only(self):
        for record in (self.subscription, self.delivery, self.backfill):
            for actor in ACTORS:
                try:
                    found = record.with_user(self.actors[actor]).search([]).ids
                except AccessError:
                    found = []
                self.assertEqual(record.id in found, actor == "manager", actor)

    def test_nothing_is_told(self):
        """Methods that ask for no rights say nothing that is stored."""
        for actor in ACTORS:
            user = self.actors[actor]
            if actor != "manager":
                self.env.invalidate_all()
                for record in (self.subscription, self.delivery, self.backfill):
                    self.assertRefused(
                        lambda r=record, u=user: r.with_user(u).copy_data()
                    )
            values = self.env[SETTINGS].with_user(user).default_get(OURS)
            values = values.keys() & OURS
            self.assertEqual(bool(values), actor == "settings", actor)
            if actor == "settings":
                continue
            hidden = self.env[SETTINGS].with_user(user)
            shown = {key: {} for key in OURS}
            self.assertRefused(lambda h=hidden, s=shown: h.onchange({}, [], s))


OURS = [
    "mcp_webhook_allowed_hosts",
    "mcp_webhook_copy",
    "mcp_webhook_has_token",
    "mcp_webhook_retention_days",
    "mcp_webhook_sidecar_token",
    "mcp_webhook_sidecar_url",
    "mcp_webhook_wake_url",
]


class Done(Exception):
    """It was let in; what it did is undone."""
