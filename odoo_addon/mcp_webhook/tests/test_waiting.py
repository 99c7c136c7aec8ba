# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Everything that waits can be moved, many at once, and what is advised is possible."""

from odoo.tests import tagged

from .common import WebhookCase


@tagged("post_install", "-at_install")
class TestWaiting(WebhookCase):
    def setUp(self):
        super().setUp()
        self.subscription = self.subscribe()
        self.pull()

    def waiting(self, count):
        """Deliveries that wait at the sidecar."""
        for number in range(count):
            self.Partner.create({"name": str(number)})
            self.commit()
        rows = self.rows(self.subscription)
        self.assertEqual(set(rows.mapped("stage")), {"sidecar"})
        return rows

    def press(self, records, button):
        self.sidecar.requests = 0
        with self.enter_registry_test_mode():
            return getattr(records.with_user(self.admin), button)()

    def test_a_selection_is_moved_in_one_request(self):
        rows = self.waiting(7)
        for records in (rows, self.subscription):
            for button, method in (
                ("action_retry_now", "delivery.retry_now"),
                ("action_cancel", "delivery.cancel"),
            ):
                if records is self.subscription:
                    button = {"action_cancel": None}.get(button, "action_retry_waiting")
                if not button:
                    continue
                self.sidecar.calls.clear()
                self.press(records, button)
                self.assertEqual(self.sidecar.methods().count(method), 7)
                self.assertEqual(self.sidecar.requests, 1)

    def test_backlog_is_discarded_after_the_count(self):
        self.waiting(3)
        action = self.press(self.subscription, "action_discard_waiting")
        wizard = self.env[action["res_model"]].browse(action["res_id"])
        self.assertEqual(wizard.count, 3)
        self.assertNotIn("delivery.cancel", self.sidecar.methods())
        self.press(wizard, "action_go_on")
        self.assertEqual(self.sidecar.methods().count("delivery.cancel"), 3)

    def test_deactivating_asks_where_something_waits(self):
        self.press(self.subscription, "action_toggle_active")
        self.assertFalse(self.subscription.active)
        self.press(self.subscription, "action_toggle_active")
        self.waiting(2)
        action = self.press(self.subscription, "action_toggle_active")
        self.assertTrue(self.subscription.active)
        wizard = self.env[action["res_model"]].browse(action["res_id"])
        self.assertEqual(wizard.count, 2)
        self.press(wizard, "action_go_on")
        self.assertFalse(self.subscription.active)

    def test_advice_of_an_older_attempt_looks_at_the_newer_one(self):
        """*Redeliver* would be refused while a retry is pending."""
        (row,) = self.waiting(1)
        self.sidecar.attempt(row.event_uuid, status="failed", response_code=500)
        for status, words in (
            ("pending", "Retry Now"),
            ("failed", "failed, too"),
            ("success", "was delivered"),
        ):
            self.sidecar.attempt(
                row.event_uuid,
                attempt=2,
                trigger="retry",
                status=status,
                finished_at=None if status == "pending" else "2026-01-02T03:05:00.000Z",
            )
            if status == "success":
                self.rows(self.subscription, attempt=2).sudo().status = "success"
            self.pull()
            row.invalidate_recordset()
            self.assertIn(words, row.advice)
            self.assertNotIn("redeliver", row.advice)

    def test_more_attempts_are_advised_only_to_who_has_one(self):
        (row,) = self.waiting(1)
        self.sidecar.attempt(row.event_uuid, status="failed", response_code=500)
        self.pull()
        self.assertIn("More attempts", row.advice)
        self.subscription.max_attempts = 5
        row.invalidate_recordset()
        self.assertNotIn("More attempts", row.advice)

    def test_explanation_says_what_speaks_against_it_first(self):
        partner = self.Partner.create({"name": "A"})
        for values, words in (
            ({"event_type": "create"}, "It does not fire"),
            ({"paused": True}, "is paused"),
            ({"watched": ["name"], "event_type": "write"}, "when one of these changes"),
            ({}, "will fire"),
        ):
            wizard = self.env["mcp.webhook.explain"].create(
                {"subscription_id": self.subscribe(**values).id, "res_id": partner.id}
            )
            headline = wizard._conditions()[0][1]
            self.assertIn(words, headline)

    def test_deliveries_of_a_subscription_have_an_address(self):
        action = self.subscription.action_open_deliveries()
        self.assertEqual(action["context"]["active_id"], self.subscription.id)
        self.assertEqual(action["path"], "webhook-subscription-deliveries")
