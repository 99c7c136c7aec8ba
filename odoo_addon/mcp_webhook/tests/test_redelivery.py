# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""All failures since a time: the count first, then once more."""

from datetime import datetime

from odoo.exceptions import UserError
from odoo.tests import tagged

from .common import WebhookCase


@tagged("post_install", "-at_install")
class TestRedelivery(WebhookCase):
    def dialog(self, subscription):
        action = subscription.action_redeliver_failures()
        dialog = self.env[action["res_model"]].browse(action["res_id"])
        dialog.since = datetime(2026, 1, 2, 3, 4, 5)
        return dialog

    def asked(self):
        return [
            p for method, p in self.sidecar.calls if method == "delivery.redeliver_many"
        ]

    def test_the_count_comes_first_and_sends_nothing(self):
        subscription = self.subscribe()
        self.sidecar.on_delivery_redeliver_many = lambda **_params: {"count": 7}
        dialog = self.dialog(subscription)
        self.sidecar.calls.clear()
        self.assertEqual((dialog.count, dialog.trouble), (7, False))
        expected = {
            "subscription_id": subscription.uuid,
            "since": "2026-01-02T03:04:05.000Z",
            "dry_run": True,
        }
        self.assertEqual(self.asked(), [expected])

    def test_the_button_sends_them_again_and_says_how_many(self):
        subscription = self.subscribe()
        self.sidecar.on_delivery_redeliver_many = lambda **_params: {"count": 7}
        dialog = self.dialog(subscription)
        self.sidecar.calls.clear()
        with self.enter_registry_test_mode():
            told = dialog.action_redeliver()
        self.assertEqual([p["dry_run"] for p in self.asked()], [False])
        self.assertIn("7", told["params"]["message"])
        self.assertIn("delivery.changes", self.sidecar.methods())

    def test_a_sidecar_that_is_down_or_refuses_is_explained(self):
        dialog = self.dialog(self.subscribe())
        self.sidecar.refusals["delivery.redeliver_many"] = ("inactive", "not active")
        self.assertEqual(dialog.count, 0)
        self.assertIn("restore it", dialog.trouble)
        self.sidecar.down = True
        with self.assertRaisesRegex(UserError, "does not answer"):
            dialog.action_redeliver()
