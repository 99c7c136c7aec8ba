# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Whose word lets a subscription send, with whose credentials, and for how long."""

import threading

from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged

from ..tools.allowed_hosts import is_allowed
from .common import WebhookCase

URL = "https://hooks.example.com/services/T1"
SECRET = "0123456789abcdef"
CHANGES = {
    "path": {"webhook_url": f"{URL}/elsewhere"},
    "template": {"webhook_payload_template": {"a": 1}},
    "filter": {"domain": [["ref", "=", "x"]]},
    "values": {"enrich_fields": ["email"]},
    "event type": {"event_type": "create"},
    "watched fields": {"fields": ["email"]},
    "model": {"model": "res.country"},
}


class ApprovalCase(WebhookCase):
    def setUp(self):
        super().setUp()
        groups = "base.group_user,mcp_webhook.group_manager"
        self.manager = new_test_user(self.env, "manager", groups=groups)
        self.clerk = new_test_user(self.env, "clerk", groups="base.group_user")
        self.allow("hooks.example.com")

    def allow(self, hosts):
        self.env["ir.config_parameter"].set_param("mcp_webhook.allowed_hosts", hosts)

    def calls(self, user):
        return self.env["mcp.event.subscription"].with_user(user)

    def made_by(self, user, **params):
        params = {"model": "res.partner", "webhook_url": URL, **params}
        answer = self.calls(user).subscribe_events(**params)
        return self.env["mcp.event.subscription"].browse(answer["id"])


@tagged("post_install", "-at_install")
class TestWhoSpeaksForWhom(ApprovalCase):
    def test_subscription_that_a_manager_made_for_a_user_is_not_the_user_s(self):
        made = self.subscribe(
            webhook_url=URL,
            user_id=self.clerk.id,
            webhook_secret=SECRET,
            webhook_headers="Authorization: Bearer manager",
        )
        for changes in CHANGES.values():
            with self.assertRaises(AccessError):
                self.calls(self.clerk).update_subscription(made.id, **changes)
        with self.assertRaises(AccessError):
            self.calls(self.clerk).unsubscribe_events(made.id)
        self.assertTrue(made.exists())

    def test_user_whom_a_manager_put_in_did_not_make_it(self):
        made = self.made_by(self.manager)
        made.with_user(self.manager).user_id = self.clerk
        with self.assertRaises(AccessError):
            self.calls(self.clerk).update_subscription(made.id, event_type="create")

    def test_credentials_of_a_manager_never_carry_what_nobody_saw(self):
        """Also on an allowed host, and whatever of where or what it is that changes."""
        for sealed in (
            {"webhook_secret": SECRET},
            {"webhook_headers": "Authorization: Bearer manager"},
        ):
            for what, changes in CHANGES.items():
                made = self.made_by(self.clerk)
                self.assertEqual(made.approval, "none")
                made.with_user(self.manager).write(sealed)
                answer = self.calls(self.clerk).update_subscription(made.id, **changes)
                self.assertEqual(answer["state"], "waiting_approval", (what, sealed))
                self.Partner.create({"name": "A"})
                self.assertFalse(self.rows(made), what)
                self.calls(self.manager).update_subscription(made.id, event_type="all")
                self.assertEqual(made.approval, "waiting", (what, sealed))
                made.unlink()

    def test_manager_s_ai_approves_nothing_that_nobody_saw(self):
        self.allow("")
        made = self.made_by(self.clerk)
        answer = self.calls(self.manager).update_subscription(
            made.id, event_type="create"
        )
        self.assertEqual(answer["state"], "waiting_approval")
        self.assertEqual(made.approval, "waiting")
        own = self.made_by(self.manager)
        answer = self.calls(self.manager).update_subscription(own.id, event_type="create")
        self.assertEqual(answer["state"], "active")

    def test_manager_s_ai_moves_nothing_that_another_one_approved(self):
        """Also without credentials, and where nothing waits any more."""
        self.allow("")
        other = self.manager_two()
        for maker in ("clerk", "other"):
            for what, changes in CHANGES.items():
                made = self.made_by(self.clerk if maker == "clerk" else other)
                if maker == "clerk":
                    seen = made.with_user(other)
                    seen.invalidate_recordset()
                    seen.with_context(
                        mcp_webhook_seen=seen.content_digest
                    ).action_approve()
                self.assertNotEqual(made.approval, "waiting")
                answer = self.calls(self.manager).update_subscription(made.id, **changes)
                self.assertEqual(answer["state"], "waiting_approval", (maker, what))
                made.unlink()

    def manager_two(self):
        groups = "base.group_user,mcp_webhook.group_manager"
        return new_test_user(self.env, "manager.two", groups=groups)

    def test_credentials_of_one_manager_do_not_carry_the_text_of_another(self):
        """By hand, or by an AI; it waits until somebody has looked at both together."""
        other = self.manager_two()
        by_hand = {
            "template": {"payload_template": '{"a": "other"}'},
            "path": {"webhook_url": f"{URL}/other"},
            "filter": {"domain": "[('id', '>', 0)]"},
            "fields": {"enrich_fields": "email"},
        }
        for sealed in (
            {"webhook_secret": SECRET},
            {"webhook_headers": "Authorization: Bearer manager"},
        ):
            for what, changes in by_hand.items():
                made = self.subscribe(webhook_url=URL)
                made.with_user(self.manager).write(sealed)
                self.assertEqual(made.approval, "none")
                made.with_user(self.manager).write(changes)
                self.assertEqual(made.approval, "none", "it is all their own")
                made.with_user(other).write({"timeout_s": 7, **changes})
                self.assertEqual(made.approval, "none", "nothing decisive has changed")
                made.with_user(other).write({"event_type": "create"})
                self.assertEqual(made.approval, "waiting", (what, sealed))
                made.approval = "none"
                made.with_user(other).write({"event_type": "all", **sealed})
                self.assertEqual(made.approval, "none", "the credentials are theirs now")
                made.unlink()
            for what, changes in CHANGES.items():
                made = self.made_by(self.manager)
                made.with_user(other).write(sealed)
                self.assertNotEqual(made.approval, "waiting", "the credentials are new")
                answer = self.calls(self.manager).update_subscription(made.id, **changes)
                self.assertEqual(answer["state"], "waiting_approval", (what, sealed))
                made.unlink()

    def test_program_approves_nothing(self):
        self.allow("")
        made = self.made_by(self.clerk).with_user(self.manager)
        made.invalidate_recordset()
        looked = made.with_context(mcp_webhook_seen=made.content_digest)
        thread = threading.current_thread()
        self.addCleanup(setattr, thread, "url", getattr(thread, "url", None))
        for path in ("/json/2/mcp.event.subscription/action_approve", "/xmlrpc/2/object"):
            thread.url = f"http://odoo.example.com{path}"
            with self.assertRaisesRegex(UserError, "A program cannot approve"):
                looked.action_approve()
        thread.url = "http://odoo.example.com/web/dataset/call_button"
        looked.action_approve()
        self.assertEqual(made.approval, "approved")

    def test_manager_s_ai_does_not_move_a_user_s_words_to_another_host(self):
        made = self.made_by(self.clerk, webhook_payload_template={"a": "clerk's"})
        answer = self.calls(self.manager).update_subscription(
            made.id, webhook_url="https://else.example.com/"
        )
        self.assertEqual(answer["state"], "waiting_approval")

    def test_copy_of_what_nobody_has_seen_sends_nothing(self):
        self.allow("")
        copy = self.made_by(self.clerk).with_user(self.manager).copy()
        self.Partner.create({"name": "A"})
        self.assertFalse(copy.active)
        self.assertFalse(self.rows(copy))

    def test_place_on_a_shared_host_is_a_receiver_of_its_own(self):
        for kept, url in (
            (True, "https://hooks.slack.com/services/T1/B2/x"),
            (False, "https://hooks.slack.com/services/T2/B1/x"),
            (False, "https://webhook.site/other"),
            (False, "https://hooks.slack.com/services/T1/../T2/B2/x"),
            (False, "https://hooks.slack.com/services/T1/%2e%2E/T2/B2/x"),
            (False, "https://hooks.slack.com/services/T1//B1/x"),
            (False, "https://hooks.slack.com/services/T1/B1/x;/../../T2"),
        ):
            made = self.subscribe(
                webhook_url="https://hooks.slack.com/services/T1/B1/x",
                webhook_secret=SECRET,
            )
            made.with_user(self.manager).webhook_url = url
            self.assertEqual(made.has_secret, kept, url)


@tagged("post_install", "-at_install")
class TestAllowedHosts(ApprovalCase):
    def test_hold_as_long_as_the_subscription_lives(self):
        for hosts in ("", "else.example.com", "hooks.example.com/services/T2"):
            for how in ("set", "write", "unlink", "sql"):
                self.allow("a.example.com, hooks.example.com/services")
                made = self.made_by(self.clerk)
                own = self.made_by(self.manager)
                self.assertEqual((made.approval, own.approval), ("none", "none"))
                self.change(how, hosts)
                self.assertEqual(made.approval, "waiting", (hosts, how))
                self.assertEqual(own.approval, "none", "a manager needs no list")
                self.Partner.create({"name": "A"})
                self.assertFalse(self.rows(made))
                (made | own).unlink()

    def change(self, how, hosts):
        parameter = self.env["ir.config_parameter"].search(
            [("key", "=", "mcp_webhook.allowed_hosts")]
        )
        if how == "set":
            self.allow(hosts)
        elif how == "write":
            parameter.value = hosts or "-"
        elif how == "unlink":
            parameter.unlink()
        else:  # past the ORM: the minute's sweep finds it
            self.env.cr.execute(
                "UPDATE ir_config_parameter SET value = %s WHERE id = %s",
                [hosts, parameter.id],
            )
            self.env.invalidate_all()
            self.sweep()

    def test_what_a_manager_approved_stays(self):
        self.allow("")
        made = self.made_by(self.clerk)
        seen = made.with_user(self.manager)
        seen.with_context(mcp_webhook_seen=seen.content_digest).action_approve()
        self.allow("a.example.com")
        self.assertEqual(made.approval, "approved")
        self.allow("hooks.example.com")
        self.calls(self.clerk).update_subscription(made.id, event_type="create")
        self.assertEqual(made.approval, "none", "the edit is the list's word")
        self.allow("a.example.com")
        self.assertEqual(made.approval, "waiting")

    def test_address_that_a_manager_typed_is_the_manager_s_word(self):
        made = self.made_by(self.clerk)
        made.with_user(self.manager).webhook_url = "https://else.example.com/"
        self.allow("a.example.com")
        self.assertEqual(made.approval, "none")

    def test_below_a_prefix_no_server_can_be_led_elsewhere(self):
        """Each of these some server decodes, normalizes or strips to another path."""
        entry = "h.example.com/hooks/acme"
        kept = ("", "/", "/a.b/c-d_e~f", "/a%20b", "/%C3%A9t%C3%A9", "/..a", "?x=/../y")
        for path in kept:
            self.assertTrue(is_allowed(f"https://h.example.com/hooks/acme{path}", entry))
        for path in (
            "%2f", "%2F..", ";", "/..;/evil", "/x;y", "//evil", "/./x", "/../evil",
            "/...", "/.%2e/evil", "/%2e%2e/evil", "/%2E./evil", "/%252e%252e/evil",
            "/%25252e/evil", "/..%3b/evil", "/%3B", "/..%2fevil", "/..%252fevil",
            "/%5c..%5cevil", "/%c0%ae%c0%ae/evil", "/%c0%af", "/%e0%80%ae/evil",
            "/%f0%80%80%ae/evil", "/%u002e%u002e/evil", "/%", "/%2", "/%zz",
            "/%00", "/x%00/../y", "/%09../evil", "/..%09/evil", "/..%20/evil",
            "/.%20./evil", "/%20../evil", "/%0d%0aX", "/%7f", "/%23", "/%3f/../evil",
            "/%EF%BC%8E%EF%BC%8E/evil", "/%E2%80%A5/evil", "/%EF%BC%8Fevil",
            "/%E2%88%95evil", "/%E2%81%84evil", "/%C2%A5evil", "/.%C2%AD./evil",
            "/.%E2%80%8B./evil", "/%EF%BB%BF../evil", "/%e2%80%ae", "/\\..\\evil",
        ):  # fmt: skip
            url = f"https://h.example.com/hooks/acme{path}"
            self.assertFalse(is_allowed(url, entry), path)


@tagged("post_install", "-at_install")
class TestRoom(ApprovalCase):
    def test_subscriptions_of_one_user_s_ais_are_counted(self):
        for _number in range(20):
            self.made_by(self.clerk)
        for call in (
            lambda: self.made_by(self.clerk),
            lambda: self.calls(self.clerk).update_subscription(
                self.made_by(self.clerk, model="res.country").id, model="res.partner"
            ),
        ):
            with (
                self.assertRaisesRegex(UserError, "^model: .*more than 20 .*unsubscribe"),
                self.cr.savepoint(),
            ):
                call()
        self.made_by(self.clerk, model="res.country")
        self.made_by(self.manager)

    def test_each_answer_says_how_many_there_are(self):
        self.made_by(self.clerk, model="res.country")
        made = self.made_by(self.clerk)
        told = self.calls(self.clerk).update_subscription(made.id, event_type="write")
        self.assertIn("1 of at most 20", told["message"])
        self.assertIn("2 of 50", told["message"])
        made = self.made_by(self.manager)
        told = self.calls(self.manager).update_subscription(made.id, event_type="write")
        self.assertNotIn("at most", told["message"])

    def test_so_are_the_values_of_their_templates(self):
        """All subscriptions go to the sidecar in one request, which has its limit."""
        for _number in range(2):
            self.made_by(self.clerk, webhook_payload_template=[0] * 4000)
        with self.assertRaisesRegex(UserError, "^webhook_payload_template: .*together"):
            self.made_by(self.clerk, webhook_payload_template=[0] * 4000)

    def test_template_that_nobody_has_seen_takes_no_room_at_the_sidecar(self):
        self.allow("")
        made = self.made_by(self.clerk, webhook_payload_template={"a": 1})
        self.commit()
        self.env["mcp.event.subscription"]._sync_all()
        sent = {
            s["id"]: s for s in self.sidecar.last("subscription.sync")["subscriptions"]
        }
        self.assertIsNone(sent[made.uuid]["payload_template"])
        self.assertTrue(sent[made.uuid]["paused"])
        seen = made.with_user(self.manager)
        seen.invalidate_recordset()
        seen.with_context(mcp_webhook_seen=seen.content_digest).action_approve()
        self.commit()
        self.assertEqual(
            self.sidecar.last("subscription.update")["payload_template"], {"a": 1}
        )

    def test_so_are_their_templates(self):
        text = "x" * 60_000
        for _number in range(8):
            self.made_by(self.clerk, webhook_payload_template={"a": text})
        with self.assertRaisesRegex(UserError, "^webhook_payload_template: .*together"):
            self.made_by(self.clerk, webhook_payload_template={"a": text})


@tagged("post_install", "-at_install")
class TestSidecarIsAsked(ApprovalCase):
    def test_what_it_would_refuse_is_refused_with_the_parameter_s_name(self):
        def check(**values):
            self.asked = values
            raise self.refusal

        from ..tools.sidecar import SidecarError

        self.sidecar.on_subscription_check = check
        for kind, field, begins in (
            ("blocked_address", "url", "webhook_url: "),
            ("invalid_url", "url", "webhook_url: "),
            ("invalid_template", "payload_template", "webhook_payload_template: "),
            ("limit_exceeded", None, "webhook_url: "),
        ):
            data = {"field": field} if field else {}
            self.refusal = SidecarError(1, kind, "10.0.0.1 is not public.", data)
            for user in (self.clerk, self.manager):
                with self.assertRaises(UserError) as caught, self.cr.savepoint():
                    self.made_by(user, webhook_url="https://10.0.0.1/x")
                text = str(caught.exception)
                self.assertTrue(text.startswith(begins), text)
                self.assertIn("xample", text)
                self.assertIn("10.0.0.1 is not public", text)
        self.assertFalse({"secret", "headers"} & self.asked.keys())
        for kind in (None, "fenced", "store_unavailable"):
            self.refusal = SidecarError(-32601, kind, "no such method")
            self.assertTrue(self.made_by(self.clerk))
