# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Subscriptions follow to the sidecar: after the commit, and never in its way."""

from unittest.mock import patch

from odoo.tests import tagged

from ..models import mcp_event_subscription_sync as sync
from .common import WebhookCase


@tagged("post_install", "-at_install")
class TestSync(WebhookCase):
    def sent(self, method):
        return [params for name, params in self.sidecar.calls if name == method]

    def test_sidecar_learns_the_whole_subscription(self):
        subscription = self.subscribe(
            name="Orders",
            event_type="write",
            webhook_secret="0123456789abcdef",
            webhook_headers="X-Tenant: acme",
            payload_template='{"text": "{{ model }}"}',
            dialect="slack",
            timeout_s=5,
            max_in_flight=1,
            max_attempts=3,
        )
        self.sidecar.refusals["subscription.update"] = ("not_found", "?")
        subscription.timeout_s = 6
        self.commit()
        (created,) = self.sent("subscription.create")
        self.assertEqual(
            created,
            {
                "id": subscription.uuid,
                "name": "Orders",
                "model": "res.partner",
                "event_type": "write",
                "url": "https://example.com/hook",
                "secret": "0123456789abcdef",
                "headers": {"X-Tenant": "acme"},
                "payload_template": {"text": "{{ model }}"},
                "dialect": "slack",
                "active": True,
                "paused": False,
                "timeout_s": 6,
                "max_in_flight": 1,
                "max_attempts": 3,
                "success": None,
            },
        )
        self.assertFalse(subscription.sync_pending)

    def test_only_what_concerns_the_sidecar_is_sent(self):
        subscription = self.subscribe()
        subscription.domain = "[('ref', '=', 'x')]"
        subscription.enrich_fields = "name"
        self.commit()
        self.assertFalse(self.sent("subscription.update"))
        subscription.paused = True
        self.commit()
        self.assertTrue(self.sent("subscription.update")[0]["paused"])

    def test_waiting_for_approval_is_paused_there(self):
        subscription = self.subscribe()
        subscription.approval = "waiting"
        self.commit()
        self.assertTrue(self.sent("subscription.update")[-1]["paused"])

    def test_rolled_back_change_is_not_sent(self):
        subscription = self.subscribe()
        try:
            with self.cr.savepoint():
                subscription.paused = True
                raise ZeroDivisionError
        except ZeroDivisionError:
            self.env.invalidate_all()
        self.commit()
        self.assertNotIn(True, [p["paused"] for p in self.sent("subscription.update")])

    def test_dead_sidecar_blocks_nothing_and_is_told_later(self):
        subscription = self.subscribe()
        self.sidecar.down = True
        subscription.paused = True
        self.commit()
        self.assertTrue(subscription.sync_pending)
        self.sidecar.down = False
        self.sweep()
        self.assertTrue(self.sent("subscription.update")[-1]["paused"])
        self.assertFalse(subscription.sync_pending)

    def test_refusal_stands_on_the_form_under_our_name_of_the_field(self):
        subscription = self.subscribe()
        self.sidecar.refusals["subscription.update"] = ("blocked_address", "link-local")
        subscription.webhook_url = "http://169.254.169.254/"
        self.commit()
        self.assertIn("link-local", subscription.sync_error)
        self.sidecar.refusals.clear()
        subscription.webhook_url = "https://example.com/"
        self.commit()
        self.assertFalse(subscription.sync_error)

    def test_sidecar_s_names_become_ours(self):
        subscription = self.subscribe()

        def text(message, data):
            return subscription._refusal_in_words({"message": message, **data})

        self.assertEqual(text("url: no", {"field": "url"}), "webhook_url: no")
        self.assertEqual(
            text("too short", {"field": "secret"}), "webhook_secret: too short"
        )
        where = {"field": "payload_template", "pointer": "/text"}
        self.assertEqual(
            text("payload_template: not closed", where),
            "payload_template: at /text: not closed",
        )

    def test_fenced_says_nothing_about_the_subscription(self):
        subscription = self.subscribe()
        self.sidecar.refusals["subscription.update"] = ("fenced", "another database")
        subscription.paused = True
        self.commit()
        self.assertFalse(subscription.sync_error)
        self.assertTrue(subscription.sync_pending)

    def test_without_a_url_the_sidecar_forgets_it(self):
        subscription = self.subscribe()
        subscription.webhook_url = False
        self.commit()
        self.assertEqual(self.sent("subscription.delete"), [{"id": subscription.uuid}])

    def test_deleted_one_is_deleted_there_even_later(self):
        subscription = self.subscribe()
        self.sweep()
        uuid = subscription.uuid
        self.sidecar.down = True
        subscription.unlink()
        self.commit()
        self.sidecar.down = False
        self.sidecar.calls.clear()
        self.sweep()
        self.assertIn({"id": uuid}, self.sent("subscription.delete"))
        self.sidecar.calls.clear()
        self.sweep()
        self.assertFalse(self.sent("subscription.delete"))

    def test_many_changes_go_as_one_complete_set(self):
        subscriptions = self.env["mcp.event.subscription"]
        for _number in range(sync.ONE_BY_ONE + 1):
            subscriptions |= self.subscribe()
        subscriptions.write({"paused": True})
        self.commit()
        (call,) = self.sent("subscription.sync")
        self.assertEqual(
            {s["id"] for s in call["subscriptions"]} & set(subscriptions.mapped("uuid")),
            set(subscriptions.mapped("uuid")),
        )
        self.assertFalse(self.sent("subscription.update"))

    def test_a_set_that_no_call_holds_goes_one_by_one(self):
        """Whatever of it is too much; what is not ours goes, and only then the sidecar
        hears that the set is complete."""
        subscriptions = self.subscribe() + self.subscribe(payload_template='{"a": "b"}')
        foreign = "01890000-0000-7000-8000-000000000000"
        there = [*subscriptions.mapped("uuid"), foreign]
        pages = {None: (there[:1], there[0]), there[0]: (there[1:], None)}

        def page(after=None, limit=None):
            ids, following = pages[after]
            return {"subscriptions": [{"id": id_} for id_ in ids], "next": following}

        self.sidecar.on_subscription_list = page
        for what in ("TOGETHER", "TOGETHER_BYTES", "TOGETHER_VALUES"):
            self.sidecar.calls.clear()
            with patch.object(sync, what, 0):
                self.env["mcp.event.subscription"]._sync_all()
            told = {p["id"] for p in self.sent("subscription.update")}
            self.assertLessEqual(set(subscriptions.mapped("uuid")), told, what)
            self.assertEqual(self.sent("subscription.delete")[-1], {"id": foreign})
            self.assertEqual(
                self.sidecar.calls[-1], ("subscription.sync", {"subscriptions": [{}]})
            )

    def test_what_is_saved_while_the_others_are_pushed_stays_there(self):
        """Pushing a large set takes minutes; what is saved then is brought at once."""
        foreign, late = "01890000-0000-7000-8000-000000000000", []

        def page(after=None, limit=None):
            late.append(known.copy().uuid)
            self.env.flush_all()
            return {"subscriptions": [{"id": i} for i in (foreign, *late)], "next": None}

        known = self.subscribe()
        self.sidecar.on_subscription_list = page
        self.sidecar.calls.clear()
        with patch.object(sync, "TOGETHER", 0), self.enter_registry_test_mode():
            self.env["mcp.event.subscription"]._sync_all()
        self.assertEqual(len(late), 1)
        self.assertEqual(self.sent("subscription.delete"), [{"id": foreign}])

    def test_who_saves_many_of_them_waits_for_a_few_only(self):
        subscriptions = self.env["mcp.event.subscription"]
        for _number in range(sync.ONE_BY_ONE + 5):
            subscriptions |= self.subscribe()
        self.sweep()  # the log is known
        self.sidecar.calls.clear()
        with patch.object(sync, "TOGETHER", 0), patch.object(sync, "SLICE", 2):
            subscriptions.write({"timeout_s": 7})
            self.commit()
            self.assertEqual(len(self.sent("subscription.update")), sync.ONE_BY_ONE)
            self.assertEqual(len(subscriptions.filtered("sync_pending")), 5)
            self.sweep()
        self.assertFalse(subscriptions.filtered("sync_pending"))
        told = {p["id"] for p in self.sent("subscription.update")}
        self.assertLessEqual(set(subscriptions.mapped("uuid")), told)
        self.assertFalse(self.sent("subscription.sync"))

    def test_what_is_deleted_goes_in_slices_as_well(self):
        subscriptions = self.env["mcp.event.subscription"]
        for _number in range(sync.ONE_BY_ONE + 5):
            subscriptions |= self.subscribe()
        uuids = set(subscriptions.mapped("uuid"))
        self.sweep()  # the log is known
        self.sidecar.calls.clear()
        with patch.object(sync, "TOGETHER", -1), patch.object(sync, "SLICE", 2):
            subscriptions.unlink()
            self.commit()
            self.assertEqual(len(self.sent("subscription.delete")), sync.ONE_BY_ONE)
            self.sweep()
        self.assertLessEqual(uuids, {p["id"] for p in self.sent("subscription.delete")})
        self.assertFalse(self.env["mcp.webhook.tombstone"].search([]))

    def test_refusals_of_a_complete_set_are_told_one_by_one(self):
        good, bad = self.subscribe(), self.subscribe()
        error = {"message": "no", "data": {"field": "url"}}

        def answer(subscriptions):
            return {"errors": [{"id": bad.uuid, "error": error}]}

        self.sidecar.on_subscription_sync = answer
        self.env["mcp.event.subscription"]._sync_all()
        self.assertEqual(bad.sync_error, "webhook_url: no")
        self.assertFalse(good.sync_error)

    def test_what_was_saved_while_the_whole_set_was_sent_goes_once_more(self):
        """It was brought there at once, and then replaced by the older set."""
        edited, other = self.subscribe(), self.subscribe()
        for together in (True, False):
            with self.subTest(together=together):
                self.save_meanwhile(edited, together)
                self.assertTrue(edited.sync_pending)
                self.assertFalse(other.sync_pending)
                self.commit()
                self.sweep()

    def save_meanwhile(self, edited, together):
        def saved(*_args, **_kwargs):
            self.env.cr.execute(
                """UPDATE mcp_event_subscription
                      SET write_date = write_date + interval '1 s' WHERE id = %s""",
                edited.ids,
            )
            return {"created": 0, "updated": 0, "deleted": 0, "errors": []}

        method = "on_subscription_sync" if together else "on_subscription_list"
        answer = {"subscriptions": [], "next": None}
        self.patch(
            self.sidecar,
            method,
            saved if together else lambda **_given: saved() and answer,
        )
        Subscription = type(self.env["mcp.event.subscription"])
        self.patch(Subscription, "_fits_in_one_call", lambda _self: together)
        with self.enter_registry_test_mode():
            self.env["mcp.event.subscription"]._sync_all()
        self.env.invalidate_all()
