# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The test event, and the settings with their test of the connection."""

from odoo.exceptions import UserError, ValidationError
from odoo.tests import tagged

from .common import WebhookCase


@tagged("post_install", "-at_install")
class TestSendTest(WebhookCase):
    def press(self, subscription):
        with self.enter_registry_test_mode():
            return subscription.action_send_test()

    def test_event_goes_out_and_its_row_tells_the_record(self):
        partner = self.Partner.create({"name": "Sample"})
        subscription = self.subscribe(enrich_fields="name")
        self.press(subscription)
        (params,) = [p for name, p in self.sidecar.calls if name == "delivery.test"]
        self.assertEqual(params["event"]["record_ids"], [partner.id])
        row = self.rows(subscription)
        self.assertEqual((row.trigger, row.record_ids), ("test", [partner.id]))
        self.sidecar.attempt(row.event_uuid, trigger="test")
        self.pull()
        self.assertEqual((row.status, row.record_ids), ("success", [partner.id]))

    def test_not_now_is_said_with_the_reason(self):
        subscription = self.subscribe()
        for values, words in (
            ({"webhook_url": False}, "Set a webhook URL"),
            ({"active": False}, "inactive"),
            ({"approval": "waiting"}, "approval"),
        ):
            with self.assertRaisesRegex(UserError, words), self.cr.savepoint():
                subscription.write(values)
                self.press(subscription)
        self.sidecar.down = True
        with self.assertRaisesRegex(UserError, "No test was sent"):
            self.press(subscription)
        self.assertFalse(self.rows(subscription))

    def test_paused_subscription_says_that_the_test_waits(self):
        subscription = self.subscribe(paused=True)
        params = self.press(subscription)["params"]
        self.assertEqual(params["type"], "warning")


@tagged("post_install", "-at_install")
class TestSettings(WebhookCase):
    def settings(self, **values):
        return self.env["res.config.settings"].create(values)

    def param(self, name):
        return self.env["ir.config_parameter"].get_param(f"mcp_webhook.{name}")

    def test_connection_is_tested_and_reported(self):
        answer = self.settings().action_mcp_webhook_test_connection()
        self.assertIn("version 1.0.0", answer["params"]["message"])
        self.sidecar.down = True
        with self.assertRaisesRegex(UserError, "(?s)did not answer.*127.0.0.1:8170"):
            self.settings().action_mcp_webhook_test_connection()

    def test_other_database_s_sidecar_is_named_and_can_be_taken_over(self):
        self.sidecar.refusals["system.attach"] = ("fenced", "another")
        with self.assertRaisesRegex(UserError, "serves another database"):
            self.settings().action_mcp_webhook_test_connection()
        self.sidecar.refusals.clear()
        self.settings().action_mcp_webhook_take_over()
        attached = [p for name, p in self.sidecar.calls if name == "system.attach"]
        self.assertIn(True, [params.get("take_over") for params in attached])

    def test_token_is_kept_and_never_read(self):
        settings = self.settings(mcp_webhook_sidecar_token="canary-token")
        settings.execute()
        self.assertEqual(self.param("sidecar_token"), "canary-token")
        again = self.settings()
        self.assertTrue(again.mcp_webhook_has_token)
        names = list(again.fields_get())
        self.assertNotIn("canary-token", str(again.read(names)))
        self.assertNotIn("canary-token", str(settings.read(names)))
        self.assertNotIn("canary-token", str(again.default_get(names)))
        self.env.cr.execute("SELECT * FROM res_config_settings")
        self.assertNotIn("canary-token", str(self.env.cr.fetchall()))

    def test_saving_without_a_token_keeps_it(self):
        self.settings(mcp_webhook_allowed_hosts="a.example.com").execute()
        self.assertEqual(self.param("sidecar_token"), "a-token-for-tests")
        self.assertEqual(self.param("allowed_hosts"), "a.example.com")

    def test_allowed_hosts_are_checked(self):
        for hosts, said in (
            ("https://a.example.com", "without https://"),
            ("*.example.com", "is not a host"),
            ("a.example.com b.example.com", "is not a host"),
            ("a.example.com, hooks.slack.com", "receives for everybody.*services/T"),
            ("hooks.slack.com/services/", "receives for everybody"),
            ("ptb.discord.com/api/webhooks", "receives for everybody"),
            ("discord.com/api/v10/webhooks", "receives for everybody"),
            ("prod-1.westeurope.logic.azure.com:443", "receives for everybody"),
            ("webhook.site", "receives for everybody"),
        ):
            with self.assertRaisesRegex(ValidationError, said, msg=hosts):
                self.settings(mcp_webhook_allowed_hosts=hosts)
        for hosts in (
            "a.example.com, b.example.com:8443/odoo,[2606:4700::1111]",
            "hooks.slack.com/services/T01234567",
            "discord.com/api/webhooks/1,discord.com/api/v10/webhooks/1",
            False,
        ):
            self.settings(mcp_webhook_allowed_hosts=hosts)

    def test_hosts_of_another_version_do_not_block_the_page(self):
        self.env["ir.config_parameter"].set_param(
            "mcp_webhook.allowed_hosts", "hooks.slack.com"
        )
        self.settings(mcp_webhook_retention_days=29).execute()
        self.assertEqual(self.param("retention_days"), "29")

    def test_limits_are_checked(self):
        for values in (
            {"mcp_webhook_retention_days": 0},
            {"mcp_webhook_retention_days": 3651},
            {"mcp_webhook_sidecar_url": "sidecar"},
        ):
            with self.assertRaises(ValidationError):
                self.settings(**values)

    def test_deliveries_are_kept_at_most_as_long_as_the_sidecar_keeps_them(self):
        self.settings(mcp_webhook_retention_days=30).execute()
        with self.assertRaisesRegex(ValidationError, "expected 1 to 30 days"):
            self.settings(mcp_webhook_retention_days=31)
        self.sidecar.down = True
        self.settings(mcp_webhook_retention_days=31).execute()
        self.sidecar.down = False
        self.sidecar.calls.clear()
        self.settings().execute()
        self.assertNotIn("system.info", self.sidecar.methods())
