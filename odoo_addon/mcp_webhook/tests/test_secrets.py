# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A planted secret, looked for through every door that Odoo has."""

from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, new_test_user, tagged

from .common import WebhookCase

SECRET = "canary-secret-0123456789"
HEADERS = "X-Api-Key: canary-header"
WRITE_ONLY = ("webhook_secret", "webhook_headers")
STORED = ("secret_value", "headers_value")


@tagged("post_install", "-at_install")
class TestSecretsThroughEveryDoor(WebhookCase):
    def setUp(self):
        super().setUp()
        self.manager = new_test_user(
            self.env,
            "manager",
            groups="base.group_system,mcp_webhook.group_manager,base.group_allow_export",
        )
        subscription = self.subscribe(webhook_secret=SECRET, webhook_headers=HEADERS)
        self.env.invalidate_all()
        self.subscription = subscription.with_user(self.manager)

    def assertSealed(self, seen):
        self.assertNotIn("canary", str(seen))

    def test_read(self):
        self.assertSealed(self.subscription.read())
        self.assertSealed(self.subscription.read(list(WRITE_ONLY)))
        for name in STORED:
            with self.assertRaises(AccessError):
                self.subscription.read([name])

    def test_search_read_and_web_read(self):
        self.assertSealed(
            self.subscription.search_read([("id", "=", self.subscription.id)])
        )
        self.assertSealed(self.subscription.web_read({name: {} for name in WRITE_ONLY}))
        for name in STORED:
            with self.assertRaises(AccessError):
                self.subscription.web_read({name: {}})

    def test_search_is_no_oracle(self):
        for name in (*WRITE_ONLY, *STORED):
            found = []
            for pattern in ("canary%", "nothing%"):
                try:
                    domain = [(name, "=like", pattern), ("id", "=", self.subscription.id)]
                    found.append(bool(self.subscription.search(domain)))
                except (AccessError, ValueError, UserError):
                    found.append("refused")
            self.assertEqual(found[0], found[1], name)

    def test_order_is_no_oracle(self):
        for name in (*WRITE_ONLY, *STORED):
            self.assertRefused(lambda name=name: self.subscription.search([], order=name))

    def test_grouping(self):
        group = self.subscription.formatted_read_group
        for name in (*WRITE_ONLY, *STORED):
            self.assertRefused(lambda name=name: group([], [name], ["__count"]))
            self.assertRefused(lambda name=name: group([], [], [f"{name}:max"]))

    def test_export(self):
        self.assertSealed(self.subscription.export_data(list(WRITE_ONLY))["datas"])
        for name in STORED:
            try:
                self.assertSealed(self.subscription.export_data([name])["datas"])
            except (AccessError, UserError):
                continue

    def test_fields_and_defaults(self):
        described = self.subscription.fields_get()
        self.assertFalse(set(STORED) & set(described))
        self.assertSealed(self.subscription.default_get([*WRITE_ONLY, *STORED]))

    def test_copy(self):
        self.assertSealed(self.subscription.copy_data())
        self.assertFalse(self.subscription.copy().has_secret)

    def test_onchange_and_form(self):
        specification = {name: {} for name in (*WRITE_ONLY, "name", "timeout_s")}
        answer = self.subscription.onchange(
            {"timeout_s": 20}, ["timeout_s"], specification
        )
        self.assertSealed(answer)
        with Form(self.subscription) as form:
            self.assertFalse(form.webhook_secret)
            form.timeout_s = 20
        self.assertTrue(self.subscription.has_secret, "a save without it keeps it")

    def test_tracking_and_messages(self):
        self.subscription.write({"webhook_secret": f"{SECRET}-new", "timeout_s": 9})
        self.env.flush_all()
        self.env.cr.precommit.run()
        messages = self.subscription.sudo().message_ids
        self.assertSealed(messages.read(["body", "preview", "subject"]))
        self.assertSealed(messages.tracking_value_ids.read())

    def test_related_paths(self):
        self.Partner.create({"name": "A"})
        row = self.rows(self.subscription.sudo()).with_user(self.manager)
        self.assertSealed(row.read())
        for name in STORED:
            domain = [(f"subscription_id.{name}", "=like", "canary%")]
            self.assertRefused(lambda domain=domain: row.search(domain))

    def test_export_along_a_relation(self):
        self.Partner.create({"name": "A"})
        row = self.rows(self.subscription.sudo()).with_user(self.manager)
        for name in (*WRITE_ONLY, *STORED):
            try:
                told = row.export_data([f"subscription_id/{name}"])
            except (AccessError, UserError, ValueError):
                continue
            self.assertSealed(told)

    def test_log_of_the_server(self):
        subscription = self.subscription.sudo()
        with self.assertLogs("odoo.addons.mcp_webhook", "DEBUG") as logs:
            for kind in ("fenced", "invalid_params"):
                self.sidecar.refusals["subscription.update"] = (kind, "refused")
                subscription.timeout_s += 1
                self.commit()
            self.sidecar.down = True
            subscription.timeout_s += 1
            self.Partner.create({"name": "A"})
            self.commit()
            self.sweep()
        self.assertSealed(logs.output)

    def test_errors_do_not_repeat_them(self):
        for values in (
            {"webhook_headers": "canary without a colon"},
            {"webhook_headers": "X: canary\nX: canary"},
            {"webhook_url": "ftp://canary.example.com/canary"},
        ):
            with self.assertRaises(UserError) as caught, self.cr.savepoint():
                self.subscription.write(values)
            self.assertSealed(caught.exception)

    def test_removal(self):
        self.subscription.action_remove_secret()
        self.subscription.action_remove_headers()
        self.assertEqual(
            (self.subscription.has_secret, self.subscription.header_names), (False, False)
        )
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT secret_value, headers_value FROM mcp_event_subscription WHERE id = %s",
            [self.subscription.id],
        )
        self.assertFalse(any(self.env.cr.fetchone()))

    def test_event_of_a_row_is_sealed_too(self):
        self.Partner.create({"name": "A"})
        row = self.rows(self.subscription.sudo()).with_user(self.manager)
        for name in ("event", "counted"):
            with self.assertRaises(AccessError):
                row.read([name])
