# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What counts as a success, and how long an old secret signs on: what may be said of them,
what a sidecar is told, and what is said where one is too old for it."""

from odoo import fields
from odoo.exceptions import AccessError, ValidationError
from odoo.tests import new_test_user, tagged

from ..tools import limits
from .common import WebhookCase

SECRET = "0123456789abcdef"
ANOTHER = "fedcba9876543210"
SUCCESS = "subscription.success"
KEEP = "subscription.keep_previous_s"


class SuccessCase(WebhookCase):
    def told(self, subscription):
        """What the sidecar was told of it last, once everything has been."""
        self.commit()
        self.assertFalse(subscription.sync_pending)
        return self.sidecar.last("subscription.update")

    def replace_sidecar(self, *features, version="2.0.0"):
        """By one of another version, on the same log."""
        self.sidecar.features = set(features)
        self.env["mcp.webhook.sidecar"]._forget_features()

        def attach(**_params):
            answer = {"log_id": self.sidecar.log_id, "version": version}
            return {**answer, **self.sidecar.count()}

        self.sidecar.on_system_attach = attach


@tagged("post_install", "-at_install")
class TestSuccess(SuccessCase):
    def test_what_it_may_say_and_what_the_sidecar_is_told(self):
        for values, success in (
            ({}, None),
            ({"success_not_html": True}, {"not_html": True}),
            ({"success_pointer": "/ok"}, {"pointer": "/ok"}),
            (
                {"success_pointer": "/ok", "success_equals": " true "},
                {"pointer": "/ok", "equals": True},
            ),
            (
                {"success_pointer": "/error", "success_equals": "null"},
                {"pointer": "/error", "equals": None},
            ),
            (
                {"success_pointer": "/a~1b/~0/0", "success_equals": '{"a": [1, "é"]}'},
                {"pointer": "/a~1b/~0/0", "equals": {"a": [1, "é"]}},
            ),
            (
                {
                    "success_not_html": True,
                    "success_pointer": "/",
                    "success_equals": '"ok"',
                },
                {"not_html": True, "pointer": "/", "equals": "ok"},
            ),
        ):
            subscription = self.subscribe()
            subscription.write({"paused": True, **values})
            self.assertEqual(self.told(subscription)["success"], success, values)

    def test_each_fault_names_its_field_and_what_to_do(self):
        for field, values, expected in (
            ("success_pointer", {"success_pointer": "ok"}, "Example: /ok"),
            ("success_pointer", {"success_pointer": "/~2"}, "~0 for ~"),
            ("success_pointer", {"success_pointer": "/ok~"}, "~0 for ~"),
            ("success_pointer", {"success_pointer": "/a\n/b"}, "control"),
            ("success_equals", {"success_equals": "true"}, "success_pointer"),
            ("success_equals", {"success_equals": "ok"}, '"ok" with its quotation'),
            ("success_equals", {"success_equals": "{"}, "not valid JSON"),
            ("success_equals", {"success_equals": "NaN"}, "not valid JSON"),
            ("success_equals", {"success_equals": "1e999"}, "not valid JSON"),
            ("success_equals", {"success_equals": '"\\ud800"'}, "not valid JSON"),
            ("success_equals", {"success_equals": "[" * 100 + "]" * 100}, "too large"),
            ("payload_template", {"payload_template": "[1e999]"}, "not valid JSON"),
            ("payload_template", {"payload_template": '"\\ud800"'}, "not valid JSON"),
        ):
            if field == "success_equals" and expected != "success_pointer":
                values = {"success_pointer": "/ok", **values}
            subscription = self.subscribe()
            with self.assertRaises(ValidationError, msg=values) as caught:
                subscription.write(values)
            text = str(caught.exception)
            self.assertTrue(text.startswith(f"{field}: "), text)
            self.assertIn(expected, text)

    def test_at_the_limit_a_condition_is_taken(self):
        most = limits.VALUE.bytes
        subscription = self.subscribe(success_pointer="/ok")
        subscription.success_equals = f'"{"x" * (most - 2)}"'
        with self.assertRaisesRegex(ValidationError, f"^success_equals: .*{most}"):
            subscription.success_equals = f'"{"x" * (most - 1)}"'

    def test_it_needs_no_approval_and_no_one_but_a_manager_sets_it(self):
        subscription = self.subscribe()
        seen = subscription.content_digest
        subscription.write({"success_pointer": "/ok", "success_not_html": True})
        subscription.invalidate_recordset()
        self.assertEqual(subscription.content_digest, seen)
        clerk = new_test_user(self.env, "clerk", groups="base.group_user")
        with self.assertRaises(AccessError):
            subscription.with_user(clerk).success_not_html = False
        calls = self.env["mcp.event.subscription"].with_user(clerk)
        made = calls.subscribe_events("res.partner")
        with self.assertRaisesRegex(ValidationError, "^success_pointer: no such"):
            calls.update_subscription(made["id"], success_pointer="/ok")

    def test_copy_asks_for_the_same(self):
        original = self.subscribe(
            success_not_html=True,
            success_pointer="/ok",
            success_equals="true",
            secret_overlap_hours=24,
            webhook_secret=SECRET,
        )
        original.previous_secret_until = "2030-01-01"
        copy = original.copy()
        self.assertEqual(copy._success(), original._success())
        self.assertEqual(copy.secret_overlap_hours, 24)
        self.assertFalse(copy.previous_secret_until)

    def test_a_sidecar_that_does_not_know_it_is_not_told_of_it(self):
        self.replace_sidecar("subscription.check")
        subscription = self.subscribe()
        subscription.paused = True
        told = self.told(subscription)
        self.assertFalse({"success", "keep_previous_s"} & set(told))

    def test_a_condition_that_the_sidecar_does_not_know_is_refused_at_save(self):
        self.replace_sidecar("subscription.check")
        for values in (
            {"success_not_html": True},
            {"success_pointer": "/ok"},
            {"webhook_secret": SECRET, "secret_overlap_hours": 1},
            {"dialect": "google_chat"},
        ):
            field = list(values)[-1]
            with self.assertRaisesRegex(ValidationError, f"^{field}: .*too old"):
                self.subscribe(**values)

    def test_sidecar_of_an_older_version_is_said_on_the_form_until_it_is_upgraded(self):
        for everything in (False, True):
            plain = self.subscribe()
            subscription = self.subscribe(success_pointer="/ok")
            self.sweep()
            self.sidecar.calls.clear()
            self.replace_sidecar("subscription.check", version=f"0.{everything}")
            self.sweep()
            if everything:
                self.env["mcp.event.subscription"]._sync_all()
            self.assertEqual(subscription.health, "misconfigured")
            self.assertRegex(
                subscription.health_reason, "^success_pointer: .*too old.*Upgrade"
            )
            held = {"id": subscription.uuid, "paused": True}
            self.assertIn(("subscription.update", held), self.sidecar.calls)
            self.assertEqual(plain.health, "healthy")
            self.replace_sidecar("subscription.check", SUCCESS)
            self.sweep()
            self.assertEqual(subscription.health, "healthy")
            told = self.sidecar.last("subscription.update")
            self.assertEqual(told["success"], {"pointer": "/ok"})
            subscription.unlink()

    def test_rejected_delivery_names_the_condition_and_the_answer(self):
        subscription = self.subscribe(
            success_not_html=True, success_pointer="/ok", success_equals="true"
        )
        self.Partner.create({"name": "A"})
        row = self.rows(subscription)
        self.commit()
        self.sidecar.attempt(
            row.event_uuid,
            status="failed",
            response_body='{"ok":\n false}',
            error={"kind": "rejected", "message": "no"},
        )
        self.pull()
        for words in ("no web page", "/ok is true", '{"ok": false}', "under Success"):
            self.assertIn(words, row.advice)
        subscription.write(
            {"success_not_html": False, "success_pointer": False, "success_equals": False}
        )
        row.invalidate_recordset()
        self.assertIn("by now it asks for nothing", row.advice)


@tagged("post_install", "-at_install")
class TestOverlap(SuccessCase):
    def test_it_has_limits_in_hours(self):
        refusal = "^secret_overlap_hours: expected 0 to 168 hours"
        for hours in (-1, 169):
            with self.assertRaisesRegex(ValidationError, refusal):
                self.subscribe(webhook_secret=SECRET, secret_overlap_hours=hours)
        self.assertNotIn("keep_previous_s", str(self.sidecar.calls))
        self.subscribe(webhook_secret=SECRET, secret_overlap_hours=168)

    def test_it_goes_with_a_secret(self):
        for hours, secret, seconds in (
            (0, ANOTHER, None),
            (24, ANOTHER, 24 * 3600),
            (168, ANOTHER, 604_800),
            (24, False, None),
        ):
            subscription = self.subscribe(webhook_secret=SECRET)
            subscription.secret_overlap_hours = hours
            subscription.webhook_secret = secret
            told = self.told(subscription)
            self.assertEqual(told["secret"], secret or None)
            self.assertEqual(told.get("keep_previous_s"), seconds, hours)

    def test_secret_of_one_receiver_does_not_sign_for_another(self):
        """In one change, or in two before the sidecar has heard of the first."""
        url = "https://else.example.com/hook"
        moves = {
            "one change": [{"webhook_url": url, "webhook_secret": ANOTHER}],
            "with headers": [
                {"webhook_url": url, "webhook_secret": ANOTHER, "webhook_headers": "A: b"}
            ],
            "two": [{"webhook_url": url}, {"webhook_secret": ANOTHER}],
            "reversed": [{"webhook_secret": ANOTHER}, {"webhook_url": url}],
        }
        for what, changes in moves.items():
            subscription = self.subscribe(webhook_secret=SECRET, secret_overlap_hours=24)
            self.sidecar.down = True
            for values in changes:
                subscription.write(values)
                self.commit()
            values = subscription._sidecar_values(self.sidecar.features)
            self.assertNotIn("keep_previous_s", values, what)
            self.sidecar.down = False
            self.sweep()
            self.assertFalse(subscription.sudo().is_elsewhere)
            subscription.webhook_secret = SECRET
            self.assertEqual(self.told(subscription)["keep_previous_s"], 24 * 3600, what)

    def test_alone_it_is_no_change_for_the_sidecar(self):
        subscription = self.subscribe(webhook_secret=SECRET)
        self.commit()
        self.sidecar.calls.clear()
        subscription.secret_overlap_hours = 24
        self.commit()
        self.assertNotIn("subscription.update", self.sidecar.methods())

    def test_form_says_until_when_the_previous_one_signs(self):
        until = fields.Datetime.add(fields.Datetime.now(), hours=24)
        known = {"previous_secret_until": until.isoformat() + ".000Z"}
        subscription = self.subscribe(webhook_secret=SECRET, secret_overlap_hours=24)
        self.assertFalse(subscription.overlap_notice)
        for complete in (False, True):
            self.sidecar.on_subscription_update = lambda **_params: known
            self.sidecar.on_subscription_get = lambda **_params: known
            if complete:
                self.env["mcp.event.subscription"]._sync_all()
            else:
                subscription.webhook_secret = ANOTHER
                self.commit()
            self.assertEqual(subscription.previous_secret_until, until)
            self.assertIn("previous secret signs as well", subscription.overlap_notice)
            del self.sidecar.on_subscription_update, self.sidecar.on_subscription_get
            # 0 hours: the one before ends, also while two sign
            subscription.write({"webhook_secret": SECRET, "secret_overlap_hours": 0})
            self.commit()
            subscription.secret_overlap_hours = 24
            self.assertFalse(subscription.overlap_notice)
        subscription.previous_secret_until = "2020-01-01"
        self.assertFalse(subscription.overlap_notice)
