# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A new secret, step by step."""

from datetime import timedelta

from odoo import fields
from odoo.exceptions import UserError
from odoo.tests import new_test_user, tagged

from .common import WebhookCase

OLD, NEW = "old-0123456789abcdef", "canary-0123456789abcdef"
THIRD = "third-0123456789abcdef"


@tagged("post_install", "-at_install")
class TestRotation(WebhookCase):
    def setUp(self):
        super().setUp()
        self.manager = new_test_user(
            self.env, "manager", groups="base.group_user,mcp_webhook.group_manager"
        )
        self.subscription = self.subscribe(webhook_secret=OLD)
        action = self.subscription.with_user(self.manager).action_replace_secret()
        self.dialog = self.env[action["res_model"]].with_user(self.manager)
        self.dialog = self.dialog.browse(action["res_id"])

    def told(self):
        self.env.invalidate_all()
        return self.dialog.told

    def switch(self, **values):
        self.dialog.write({"secret": NEW, **values})
        return self.dialog.action_switch()

    def test_nothing_changes_before_it_is_switched(self):
        self.dialog.hours = 12
        with self.assertRaisesRegex(UserError, "Press Generate"):
            self.dialog.action_switch()
        self.assertEqual(self.subscription.sudo().secret_value, OLD)
        self.assertFalse(self.told())

    def test_both_sign_and_the_dialog_keeps_no_secret(self):
        self.switch(hours=12)
        self.assertEqual(self.subscription.sudo().secret_value, NEW)
        self.assertEqual(self.subscription._overlap_seconds(), 12 * 3600)
        self.env.flush_all()
        self.env.cr.execute("SELECT to_jsonb(r)::text FROM mcp_webhook_rotation r")
        self.assertNotIn("canary", str(self.env.cr.fetchall()))
        self.env.invalidate_all()
        names = list(self.dialog.fields_get())
        self.assertNotIn("canary", str(self.dialog.read(names)))

    def test_each_step_says_what_is_so(self):
        self.switch()
        self.assertEqual(self.dialog.step, "both")
        self.assertIn("has not said that the old secret signs", self.told())
        later = fields.Datetime.now() + timedelta(hours=24)
        self.subscription.sudo().previous_secret_until = later
        self.assertIn("Both secrets sign until", self.told())
        with self.enter_registry_test_mode():
            self.dialog.action_test()
        self.assertEqual(self.dialog.step, "both", "nobody has taken it yet")
        (row,) = self.rows(self.subscription, trigger="test")
        self.assertIn(row.advice, self.told())
        self.sidecar.attempt(
            row.event_uuid,
            trigger="test",
            status="failed",
            response_code=401,
            error={"kind": "http_status", "message": "401"},
        )
        self.pull()
        self.assertIn("rejected our credentials", self.told())
        self.assertEqual(self.dialog.step, "both")

    def take_test(self):
        with self.enter_registry_test_mode():
            self.dialog.action_test()
        row = self.rows(self.subscription, trigger="test")[-1]
        self.sidecar.attempt(
            row.event_uuid, trigger="test", status="success", response_code=200
        )
        self.pull()
        self.env.invalidate_all()

    def overlap(self):
        """The sidecar says so."""
        later = fields.Datetime.now() + timedelta(hours=24)
        self.subscription.sudo().previous_secret_until = later

    def test_the_old_one_is_ended_when_the_new_one_was_taken(self):
        self.switch()
        self.take_test()
        self.overlap()
        self.assertEqual(self.dialog.step, "tested")
        self.assertTrue(self.dialog.is_overlapping)
        self.assertIn("the new one alone signed was taken", self.told())
        self.dialog.action_end()
        told = self.sidecar.last("subscription.update")
        self.assertEqual(told, {"id": self.subscription.uuid, "keep_previous_s": 0})
        self.env.invalidate_all()
        self.assertFalse(self.subscription.previous_secret_until)
        self.assertFalse(self.subscription.overlap_notice)
        self.assertEqual(self.dialog.step, "ended")
        self.assertIn("the new one alone signs", self.told())

    def test_an_older_sidecar_is_told_nothing_that_it_would_misread(self):
        self.switch()
        self.sidecar.features -= {
            "delivery.test.new_secret",
            "subscription.keep_previous_s.end",
        }
        self.env["mcp.webhook.sidecar"]._forget_features()
        self.take_test()
        self.overlap()
        self.assertIn("both signed was taken", self.told())
        with self.assertRaisesRegex(UserError, "upgrade it"):
            self.dialog.action_end()
        self.assertEqual(self.dialog.step, "tested")
        self.assertTrue(self.subscription.previous_secret_until)

    def test_a_sidecar_that_does_not_say_so_has_not_ended_it(self):
        self.switch()
        self.overlap()
        self.sidecar.down = True
        with self.assertRaisesRegex(UserError, "was not ended"):
            self.dialog.action_end()
        self.assertTrue(self.subscription.previous_secret_until)
        self.assertFalse(self.dialog.ended_at)

    def test_no_second_replacement_while_both_sign(self):
        """By a dialog that is opened then, and by one that was open before."""
        self.switch()
        until = fields.Datetime.now() + timedelta(hours=24)
        self.subscription.sudo().previous_secret_until = until
        by_manager = self.subscription.with_user(self.manager)
        another = self.dialog.create({"subscription_id": self.subscription.id})
        overlaps = {"secret_overlap_hours": 2}
        for again in (
            by_manager.action_replace_secret,
            lambda: another.write({"secret": THIRD}),
            lambda: by_manager.write({"webhook_secret": THIRD, **overlaps}),
            lambda: by_manager.write({"webhook_secret": THIRD}),
        ):
            with self.assertRaisesRegex(UserError, "Both secrets sign until .*20"):
                again()
        self.assertEqual(self.subscription.sudo().secret_value, NEW)
        by_manager.write({"webhook_secret": THIRD, "secret_overlap_hours": 0})
        self.assertEqual(self.subscription.sudo().secret_value, THIRD, "lost: at once")
        past = fields.Datetime.now() - timedelta(seconds=1)
        self.subscription.sudo().previous_secret_until = past
        self.assertTrue(by_manager.action_replace_secret())

    def test_where_it_waits_for_approval_then_it_says_so(self):
        """Headers of another manager's go along with the new secret."""
        other = new_test_user(
            self.env, "other", groups="base.group_user,mcp_webhook.group_manager"
        )
        self.subscription.with_user(other).webhook_headers = "X-Tenant: acme"
        self.switch()
        until = fields.Datetime.now() + timedelta(hours=24)
        self.subscription.sudo().previous_secret_until = until
        self.assertEqual(self.subscription.approval, "waiting")
        self.assertIn("Waits for a manager's approval", self.told())
        self.assertNotIn("Both", self.told())
        self.assertEqual(self.dialog.approval, "waiting", "the step is not shown then")

    def test_overlap_has_its_limits(self):
        for hours in (0, 169, -1):
            with self.assertRaisesRegex(UserError, "hours: expected"):
                self.switch(hours=hours)
        self.assertEqual(self.subscription.sudo().secret_value, OLD)
