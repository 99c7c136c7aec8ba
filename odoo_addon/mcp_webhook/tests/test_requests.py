# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A request for approval, and its answer; a sample that is none; names without a value."""

import json

from odoo.exceptions import UserError
from odoo.tests import Form, new_test_user, tagged

from ..models import mcp_webhook_told
from ..tools.payload_templates import TEMPLATES, template_text
from ..tools.template_names import names_in
from .common import WebhookCase
from .test_approval import ApprovalCase


@tagged("post_install", "-at_install")
class TestRequests(ApprovalCase):
    def setUp(self):
        super().setUp()
        self.allow("")
        for ceiling in ("PER_OWNER", "PER_READER"):
            self.patch(mcp_webhook_told, ceiling, 1000)
        far = self.env["res.company"].create({"name": "Far"})
        there = {"company_id": far.id, "company_ids": [(6, 0, far.ids)]}
        groups = "base.group_user,mcp_webhook.group_manager"
        self.foreigner = new_test_user(self.env, "foreigner", groups=groups, **there)
        self.made = self.made_by(self.clerk)

    def asked(self, made=None):
        return (made or self.made).sudo().activity_ids.user_id

    def reject(self, made, reason="Use the hook of our own channel"):
        action = made.with_user(self.manager).action_reject()
        dialog = self.env[action["res_model"]].with_user(self.manager)
        dialog = dialog.browse(action["res_id"])
        dialog.reason = reason
        dialog.action_reject()
        made.invalidate_recordset()

    def approve(self, made):
        seen = made.with_user(self.manager)
        seen.with_context(mcp_webhook_seen=seen.content_digest).action_approve()

    def test_each_manager_who_may_answer_has_an_activity_once(self):
        self.assertIn(self.manager, self.asked())
        self.assertIn(self.foreigner, self.asked())
        self.assertNotIn(self.clerk, self.asked())
        count = len(self.made.sudo().activity_ids)
        self.assertEqual(count, len(self.asked()))
        self.calls(self.clerk).update_subscription(self.made.id, event_type="create")
        self.assertEqual(len(self.made.sudo().activity_ids), count)

    def test_who_has_put_it_aside_is_not_asked_at_each_sweep(self):
        """Done, or deleted: until an edit asks anew."""
        for put_aside in ("action_done", "unlink"):
            with self.subTest(put_aside=put_aside):
                made = self.made_by(self.clerk)
                activities = made.sudo().activity_ids
                own = activities.filtered(lambda a: a.user_id == self.manager)
                getattr(own, put_aside)()
                self.sweep()
                self.assertNotIn(self.manager, self.asked(made))
                self.assertIn(self.foreigner, self.asked(made))
                self.calls(self.clerk).update_subscription(made.id, event_type="create")
                self.assertIn(self.manager, self.asked(made))
        self.approve(made)
        self.patch(mcp_webhook_told, "PER_OWNER", 0)
        self.calls(self.clerk).update_subscription(made.id, event_type="all")
        self.sweep()
        self.assertNotIn(self.manager, self.asked(made), "no room")
        self.patch(mcp_webhook_told, "PER_OWNER", 1000)
        self.sweep()
        self.assertIn(self.manager, self.asked(made), "left out, though asked before")

    def test_request_that_is_left_out_counts_once_an_hour(self):
        self.patch(mcp_webhook_told, "PER_OWNER", 0)
        made = [self.made_by(self.clerk) for _number in range(2)]
        for event_type in ("create", "write", "unlink"):
            for each in made:
                self.calls(self.clerk).update_subscription(each.id, event_type=event_type)
        left_out = self.env["mcp.webhook.told"].search(
            [
                ("left_out", "=", True),
                ("partner_id", "=", self.manager.partner_id.id),
            ]
        )
        self.assertEqual(sorted(left_out.mapped("about_id")), [m.id for m in made])

    def test_of_another_company_no_activity(self):
        self.made.company_id = self.env.company
        self.made.sudo().activity_ids.unlink()
        self.made._ask_managers()
        self.assertIn(self.manager, self.asked())
        self.assertNotIn(self.foreigner, self.asked())

    def test_every_answer_ends_the_activities(self):
        for what, answer in (
            ("approved", lambda made: self.approve(made)),
            ("rejected", lambda made: self.reject(made)),
            ("archived", lambda made: made.write({"active": False})),
            (
                "moved to an allowed host",
                lambda made: (
                    self.allow("hooks.example.com"),
                    self.calls(self.clerk).update_subscription(
                        made.id, event_type="create"
                    ),
                    self.allow("hooks.example.com"),
                ),
            ),
        ):
            with self.subTest(what=what):
                made = self.made_by(self.clerk)
                self.assertTrue(self.asked(made))
                answer(made)
                self.assertFalse(self.asked(made))
                self.allow("")
        made = self.made_by(self.clerk)
        activities = made.sudo().activity_ids
        self.calls(self.clerk).unsubscribe_events(made.id)
        self.assertFalse(activities.exists())

    def test_what_is_activated_again_asks_again(self):
        self.made.active = False
        self.made.active = True
        self.assertIn(self.manager, self.asked())

    def test_rejected_sends_nothing_and_says_why_to_whoever_asked(self):
        self.reject(self.made)
        self.assertEqual(self.made.health, "rejected")
        self.assertIn("our own channel", self.made.health_reason)
        self.Partner.create({"name": "A"})
        self.assertFalse(self.rows(self.made))
        told = self.env["mail.message"].search(
            [
                ("model", "=", self.made._name),
                ("res_id", "=", self.made.id),
                ("message_type", "=", "user_notification"),
                ("subject", "like", "rejected"),
            ]
        )
        self.assertIn("our own channel", told.body)
        self.assertEqual(told.partner_ids, self.clerk.partner_id)

    def test_ai_reads_why_and_its_edit_asks_again(self):
        self.reject(self.made)
        answer = self.calls(self.clerk).update_subscription(
            self.made.id, event_type="create"
        )
        self.assertEqual(answer["state"], "waiting_approval")
        self.assertIn("rejected it before: Use the hook of our own", answer["message"])
        self.assertEqual(self.made.health, "approval")
        self.assertIn(self.manager, self.asked())
        self.approve(self.made)
        self.assertEqual((self.made.health, self.made.rejection), ("healthy", False))

    def test_rejected_can_still_be_approved(self):
        self.reject(self.made)
        self.approve(self.made)
        self.assertEqual(self.made.health, "healthy")

    def test_without_a_reason_nothing_is_rejected(self):
        with self.assertRaisesRegex(UserError, "Say why"):
            self.reject(self.made, " ")
        self.assertEqual(self.made.health, "approval")

    def test_requests_are_no_events_of_who_watches_activities(self):
        loops = [self.subscribe(model) for model in ("mail.activity", "mail.message")]
        made = self.made_by(self.clerk)
        self.reject(made)
        activities = self.rows(loops[0])
        self.assertFalse(activities)
        ids = [i for row in self.rows(loops[1]) for i in row.record_ids]
        messages = self.env["mail.message"].browse(ids).exists()
        self.assertFalse(messages.filtered(lambda m: m.model == made._name))


@tagged("post_install", "-at_install")
class TestSamples(WebhookCase):
    def setUp(self):
        super().setUp()
        self.partner = self.Partner.create({"name": "Sample", "ref": "x"})
        self.env["ir.rule"].create(
            {
                "name": "None",
                "model_id": self.env["ir.model"]._get_id("res.partner.category"),
                "domain_force": "[(0, '=', 1)]",
            }
        )

    def test_sample_that_would_not_be_sent_says_so(self):
        matching = "[('ref', '=', 'x')]"
        nobody = "[('ref', '=', 'nobody has this')]"
        for values, res_id, words in (
            ({}, False, False),
            ({"domain": matching}, False, False),
            ({"domain": nobody}, False, "does not match the filter"),
            ({"domain": nobody}, self.partner.id, "does not match the filter"),
            ({"domain": matching}, self.partner.id, False),
            ({"model": "res.partner.category"}, False, "can read no record"),
        ):
            with self.subTest(values=values, res_id=res_id):
                subscription = self.subscribe(**values)
                dialog = self.env["mcp.webhook.preview"].create(
                    {"subscription_id": subscription.id, "res_id": res_id}
                )
                subscription.preview_res_id = res_id
                for note in (dialog.note, subscription.preview_note):
                    self.assertEqual(bool(note), bool(words), note)
                    self.assertIn(words or "", note or "")


# A template, the fields to send, and the names that stay empty.
NAMES = (
    ({"a": "{{ record.name }}"}, "name", []),
    ({"a": "{{ record.nam }}"}, "name", ["nam"]),
    ({"a": "{{ record.name }}"}, "", ["name"]),
    ({"a": ["{{record.name|upper}}", {"b": "{{ record.nam }}"}]}, "name", ["nam"]),
    ({"a": "{{ record.id }} {{ event_id }} {{ model }}"}, "", []),
    ({"a": "{{ record.parent_id.name }}"}, "parent_id.name", []),
    ({"a": "{{ record.parent_id.id }}"}, "parent_id.name", []),
    ({"a": "{{ record.parent_id.id }}"}, "name", ["parent_id.id"]),
    ({"a": "{{ record.parent_id.display_name }}"}, "parent_id", []),
    ({"a": "{{ record.parent_id.email }}"}, "parent_id", ["parent_id.email"]),
    ({"a": "{{ record.parent_id | json }}"}, "parent_id.name", []),
    ({"a": "{{ record.parent_id?.name }}"}, "parent_id.name", []),
    ({"a": "{{ records.0.name }}"}, "name", []),
    ({"a": "{{ records.0.nam }}"}, "name", ["nam"]),
    ({"a": "{{ records | json }} {{ record | json }}"}, "", []),
    ({"a": "{% for r in records %}{{ r.nam }}{% endfor %}"}, "name", ["nam"]),
    (
        {"a": "{% for c in record.child_ids %}{{ c.name }}{{ c.e }}{% endfor %}"},
        "child_ids.name",
        ["child_ids.e"],
    ),
    (
        {"a": "{% with record.parent_id as p %}{{ p.x }}{% endwith %}"},
        "",
        ["parent_id", "parent_id.x"],
    ),
    ({"a": "{% if record.active %}on{% endif %}"}, "name", ["active"]),
    ({"a": '{{ record.name | default: "record.nam" }}'}, "name", []),
    ({"a": "no tag: record.nam"}, "name", []),
    ({"a": "{{ other.record.nam }}"}, "name", []),
)


@tagged("post_install", "-at_install")
class TestNamesInTemplates(WebhookCase):
    def test_names_that_the_fields_do_not_give(self):
        for template, paths, missing in NAMES:
            subscription = self.env["mcp.event.subscription"].new(
                {
                    "model_id": self.env["ir.model"]._get_id("res.partner"),
                    "payload_template": json.dumps(template),
                    "enrich_fields": paths,
                }
            )
            found = subscription._names_without_a_value()
            self.assertEqual(sorted(found), sorted(missing), template)
            self.assertEqual(bool(subscription.template_warning), bool(missing))

    def test_what_is_no_json_is_said_elsewhere(self):
        subscription = self.env["mcp.event.subscription"].new({"payload_template": "{"})
        self.assertFalse(subscription.template_warning)

    def test_ready_made_templates_bring_what_they_ask_for(self):
        for choice in TEMPLATES:
            for before in (False, "email"):
                with Form(self.env["mcp.event.subscription"]) as form:
                    form.model_id = self.env.ref("base.model_res_partner")
                    form.webhook_url = "https://example.com/hook"
                    form.enrich_fields = before
                    form.template_choice = choice
                    self.assertFalse(form.template_warning, choice)
                    if before:
                        self.assertIn(before, form.enrich_fields)

    def test_what_was_written_by_hand_is_not_replaced(self):
        own = '{"mine": 1}'
        with Form(self.env["mcp.event.subscription"]) as form:
            form.model_id = self.env.ref("base.model_res_partner")
            form.webhook_url = "https://example.com/hook"
            for text, expected in (
                (own, own),
                ("{", "{"),
                (template_text("slack"), template_text("generic")),
                (False, template_text("generic")),
            ):
                form.payload_template = text
                form.template_choice = False
                form.template_choice = "generic"
                self.assertEqual(form.payload_template, expected)
            form.payload_template = False

    def test_ai_is_told_of_them(self):
        answer = self.env["mcp.event.subscription"].subscribe_events(
            "res.partner",
            webhook_url="https://example.com/hook",
            webhook_payload_template={"text": "{{ record.nam }}"},
            enrich_fields=["name"],
        )
        self.assertIn("asks for nam", answer["message"])

    def test_scanner_knows_nothing_of_odoo(self):
        self.assertEqual(names_in({"a": "{{ record.x.y }}{{ record.x.y }}"}), ["x.y"])
        for nothing in (None, 7, "", [], {}, "{{", "{% for %}", "{{ record. }}"):
            self.assertEqual(names_in(nothing), [], nothing)
