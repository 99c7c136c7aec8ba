# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The three calls for an AI: what they make, what they refuse, and who must approve."""

from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged

from .common import WebhookCase

URL = "https://hooks.example.com/services/T1"


# Values of a default that nobody would choose.
ODD = {
    "boolean": True,
    "char": "Odd",
    "datetime": "2099-01-01 00:00:00",
    "integer": 17,
    "many2one": 1,
    "text": "odd",
}


@tagged("post_install", "-at_install")
class TestCallsOfAnAI(WebhookCase):
    def setUp(self):
        super().setUp()
        self.manager = new_test_user(
            self.env, "manager", groups="base.group_user,mcp_webhook.group_manager"
        )
        self.clerk = new_test_user(self.env, "clerk", groups="base.group_user")
        self.other = new_test_user(self.env, "other", groups="base.group_user")

    def calls(self, user):
        return self.env["mcp.event.subscription"].with_user(user)

    def of(self, answer):
        return self.env["mcp.event.subscription"].browse(answer["id"])

    def approve(self, subscription):
        """As the form does: with the digest of what it shows."""
        subscription.invalidate_recordset()
        seen = subscription.with_user(self.manager)
        seen.with_context(mcp_webhook_seen=seen.content_digest).action_approve()

    def allow(self, hosts):
        self.env["ir.config_parameter"].set_param("mcp_webhook.allowed_hosts", hosts)

    def test_answer_and_values(self):
        answer = self.calls(self.manager).subscribe_events(
            "res.partner",
            event_type="write",
            domain=[["ref", "=", "x"]],
            fields=["email", "name"],
            webhook_url=URL,
            webhook_payload_template={"text": "{{ record.name }}"},
            enrich_fields=["name", "country_id.code"],
        )
        self.assertEqual(set(answer), {"id", "uuid", "name", "state", "message"})
        self.assertEqual(answer["state"], "active")
        made = self.of(answer)
        self.assertEqual(
            (made.user_id, made.connection), (self.manager, "subscribe_events")
        )
        self.assertEqual(made.domain, "[['ref', '=', 'x']]")
        self.assertEqual(set(made.watched_field_ids.mapped("name")), {"email", "name"})
        self.assertEqual(made.enrich_fields, "name\ncountry_id.code")
        self.assertEqual(made.payload_template, '{\n  "text": "{{ record.name }}"\n}')

    def test_texts_of_lists_and_templates_are_taken_too(self):
        answer = self.calls(self.manager).subscribe_events(
            "res.partner",
            domain="[('ref', '=', 'x')]",
            webhook_payload_template='{"a": 1}',
        )
        self.assertEqual(self.of(answer).domain, "[('ref', '=', 'x')]")
        self.assertEqual(self.of(answer).payload_template, '{"a": 1}')
        self.assertIn("webhook_url", answer["message"])

    def test_each_error_begins_with_its_parameter_and_ends_with_an_example(self):
        before = self.env["mcp.event.subscription"].search_count([])
        for parameter, value in (
            ("model", "res.partnerr"),
            ("model", 7),
            ("model", None),
            ("model", "mcp.webhook.delivery"),
            ("event_type", "delete"),
            ("event_type", 1),
            ("domain", "[('name', '=', uid)]"),
            ("domain", {"a": 1}),
            ("domain", [["nope", "=", 1]]),
            ("fields", "name"),
            ("fields", ["nope"]),
            ("fields", ["child_ids"]),
            ("fields", [1]),
            ("webhook_url", "ftp://example.com"),
            ("webhook_url", 1),
            ("webhook_url", "https://example.com/\0"),
            ("webhook_payload_template", "{"),
            ("webhook_payload_template", 1),
            ("enrich_fields", ["image_1920"]),
            ("enrich_fields", ["a.b.c.d.e"]),
            ("enrich_fields", "name"),
        ):
            params = {"model": "res.partner", parameter: value}
            with self.assertRaises(UserError, msg=f"{parameter}={value!r}") as caught:
                self.calls(self.manager).subscribe_events(**params)
            text = str(caught.exception)
            self.assertTrue(text.startswith(f"{parameter}:"), text)
            self.assertIn("xample", text)
        self.assertEqual(self.env["mcp.event.subscription"].search_count([]), before)

    def test_without_rights_on_the_model_nothing_is_made(self):
        with self.assertRaises(AccessError):
            self.calls(self.clerk).subscribe_events("ir.rule")

    def test_outsiders_are_refused(self):
        for group in ("base.group_portal", "base.group_public"):
            outsider = new_test_user(self.env, f"out_{group[-6:]}", groups=group)
            with self.assertRaises(AccessError):
                self.calls(outsider).subscribe_events("res.partner")
            with self.assertRaises(AccessError):
                self.calls(outsider).unsubscribe_events(1)

    def test_filter_cannot_ask_about_what_the_user_may_not_read(self):
        self.patch(self.Partner._fields["ref"], "groups", "base.group_system")
        with self.assertRaisesRegex(UserError, "domain: .*may not read"):
            self.calls(self.clerk).subscribe_events(
                "res.partner", domain=[["ref", "=", "x"]]
            )

    def test_context_of_the_caller_smuggles_nothing_in(self):
        calls = self.calls(self.clerk).with_context(
            default_approval="approved",
            default_user_id=self.manager.id,
            default_webhook_url="https://evil.example.com",
            default_webhook_headers="X: y",
        )
        made = self.of(calls.subscribe_events("res.partner"))
        self.assertEqual((made.user_id, made.webhook_url), (self.clerk, False))
        self.assertFalse(made.header_names)

    def test_defaults_that_a_user_has_set_smuggle_nothing_in_either(self):
        """Whoever uses Odoo may keep defaults of their own, for any field."""
        plain = self.of(self.calls(self.clerk).subscribe_events("res.partner"))
        keep = self.env["ir.default"].with_user(self.clerk).set
        kept = set()
        for name, field in plain._fields.items():
            value = ODD.get(field.type)
            if field.type == "selection":
                value = field.get_values(self.env)[-1]
            if value is None or not (field.store or field.inverse) or name == "uuid":
                continue
            value = {"webhook_headers": "X-Api: y", "user_id": 2}.get(name, value)
            keep(plain._name, name, value, user_id=True)
            kept.add(name)
        self.assertLessEqual({"approval", "loop_after", "webhook_headers"}, kept)
        other = self.of(self.calls(self.clerk).subscribe_events("res.partner"))
        same = sorted(kept - {"create_uid", "write_uid", "create_date", "write_date"})
        for before, after in zip(
            plain.sudo().read(same), other.sudo().read(same), strict=True
        ):
            before.pop("id"), after.pop("id")
            self.assertEqual(before, after)

    def test_a_manager_s_own_defaults_keep_nothing_of_the_program(self):
        keep = self.env["ir.default"].with_user(self.manager).set
        for name, value in (("loop_after", 7), ("is_gone", True), ("timeout_s", 33)):
            keep("mcp.event.subscription", name, value, user_id=True)
        model = self.env["ir.model"]._get_id("res.partner")
        made = self.calls(self.manager).create({"model_id": model}).sudo()
        found = (made.loop_after, made.is_gone, made.timeout_s)
        self.assertEqual(found, (0, False, 33), "the manager's own settings")

    # -- approval ----------------------------------------------------------------------

    def subscribe_as_clerk(self, **params):
        return self.calls(self.clerk).subscribe_events(
            "res.partner", webhook_url=URL, **params
        )

    def test_other_hosts_wait_and_fire_nothing(self):
        answer = self.subscribe_as_clerk()
        self.assertEqual(answer["state"], "waiting_approval")
        self.assertIn("hooks.example.com", answer["message"])
        self.assertNotIn("services", answer["message"])
        self.Partner.create({"name": "A"})
        self.assertFalse(self.rows(self.of(answer)))

    def test_allowed_hosts_are_active_at_once(self):
        for hosts, state in (
            ("hooks.example.com", "active"),
            ("a.example.com, hooks.example.com/services", "active"),
            ("hooks.example.com/services/T1", "active"),
            ("hooks.example.com/services/T", "waiting_approval"),
            ("hooks.example.com/other", "waiting_approval"),
            ("example.com", "waiting_approval"),
            ("hooks.example.com:8443", "waiting_approval"),
        ):
            self.allow(hosts)
            self.assertEqual(self.subscribe_as_clerk()["state"], state, hosts)

    def test_path_prefix_cannot_be_left(self):
        self.allow("hooks.example.com/services/T1")
        for url in (
            "https://hooks.example.com/services/T1/../T2",
            "https://hooks.example.com/services/T1/%2e%2e/T2",
            "https://hooks.example.com/services/T1%2f..%2fT2",
            "https://x@hooks.example.com/services/T1",
            "https://hooks.example.com\\@evil.example.com/services/T1",
            "https://hooks.example.com.evil.example.com/services/T1",
        ):
            try:
                answer = self.calls(self.clerk).subscribe_events(
                    "res.partner", webhook_url=url
                )
            except UserError:
                continue
            self.assertEqual(answer["state"], "waiting_approval", url)

    def test_shared_host_needs_the_path_that_is_ours(self):
        url = "https://hooks.slack.com/services/T0123/B0/x"
        for hosts, state in (
            ("hooks.slack.com", "waiting_approval"),
            ("HOOKS.SLACK.COM/", "waiting_approval"),
            ("hooks.slack.com:443", "waiting_approval"),
            ("hooks.slack.com/services", "waiting_approval"),
            ("hooks.slack.com/services/T0124", "waiting_approval"),
            ("hooks.slack.com, hooks.slack.com/services/T0123", "active"),
        ):
            self.allow(hosts)
            answer = self.calls(self.clerk).subscribe_events(
                "res.partner", webhook_url=url
            )
            self.assertEqual(answer["state"], state, hosts)

    def test_manager_approves(self):
        made = self.of(self.subscribe_as_clerk())
        with self.assertRaises(AccessError):
            made.with_user(self.clerk).action_approve()
        with self.assertRaisesRegex(UserError, "Nobody has looked"):
            made.with_user(self.manager).action_approve()
        self.approve(made)
        self.assertEqual(made.approval, "approved")
        self.Partner.create({"name": "A"})
        self.assertTrue(self.rows(made))

    def test_approval_is_for_exactly_what_was_seen(self):
        made = self.of(self.subscribe_as_clerk())
        seen = made.with_user(self.manager).content_digest
        self.calls(self.clerk).update_subscription(made.id, enrich_fields=["email"])
        approve = made.with_user(self.manager).with_context(mcp_webhook_seen=seen)
        with self.assertRaisesRegex(UserError, "changed while you looked"):
            approve.action_approve()
        self.assertEqual(made.approval, "waiting")
        made.invalidate_recordset()
        again = made.with_user(self.manager).content_digest
        approve.with_context(mcp_webhook_seen=again).action_approve()
        self.assertEqual(made.approval, "approved")

    def test_digest_covers_everything_that_decides(self):
        made = self.subscribe()
        seen = {made.content_digest}
        email = self.env["ir.model.fields"]._get("res.partner", "email")
        for values in (
            {"webhook_url": "https://example.com/other"},
            {"domain": "[('name', '=', 'x')]"},
            {"event_type": "write"},
            {"enrich_fields": "email"},
            {"payload_template": '{"a": 1}'},
            {"watched_field_ids": [(6, 0, email.ids)]},
            {"user_id": self.manager.id},
            {"company_id": self.env.company.id},
            {"webhook_headers": "X-A: b"},
            {"webhook_secret": "0123456789abcdef"},
            {"dialect": "slack"},
            {
                "model_id": self.env["ir.model"]._get_id("res.country"),
                "domain": "[]",
                "watched_field_ids": [(5,)],
                "enrich_fields": False,
            },
        ):
            made.write(values)
            made.invalidate_recordset()
            self.assertNotIn(made.content_digest, seen, values)
            seen.add(made.content_digest)

    def test_any_edit_of_a_user_asks_again(self):
        made = self.of(self.subscribe_as_clerk())
        for changes in (
            {"enrich_fields": ["email"]},
            {"domain": [["ref", "=", "y"]]},
            {"event_type": "write"},
            {"webhook_url": "https://evil.example.com/"},
            {"webhook_payload_template": {"a": 1}},
            {"model": "res.country"},
        ):
            self.approve(made)
            self.assertEqual(made.approval, "approved")
            answer = self.calls(self.clerk).update_subscription(made.id, **changes)
            self.assertEqual(answer["state"], "waiting_approval", changes)
            self.assertEqual(made.approval, "waiting")

    def test_state_is_what_it_is(self):
        made = self.of(self.subscribe_as_clerk())
        self.approve(made)
        for changes, state in (
            ({"paused": True}, "paused"),
            ({"active": False}, "inactive"),
            ({"active": True}, "paused"),
            ({"paused": False}, "active"),
            ({"approval": "waiting"}, "waiting_approval"),
            ({"paused": True}, "waiting_approval"),
            ({"active": False}, "inactive"),
        ):
            made.write(changes)
            answer = self.calls(self.manager).update_subscription(made.id, fields=[])
            self.assertEqual(answer["state"], state, changes)

    # -- update and unsubscribe -----------------------------------------------------------

    def test_update_changes_what_is_given_only(self):
        made = self.of(
            self.subscribe_as_clerk(domain=[["ref", "=", "x"]], enrich_fields=["name"])
        )
        self.calls(self.clerk).update_subscription(made.id, event_type="create")
        self.assertEqual((made.event_type, made.enrich_fields), ("create", "name"))
        self.assertEqual(made.domain, "[['ref', '=', 'x']]")

    def test_another_model_forgets_what_belonged_to_the_old_one(self):
        made = self.of(
            self.subscribe_as_clerk(domain=[["ref", "=", "x"]], enrich_fields=["email"])
        )
        self.calls(self.clerk).update_subscription(made.id, model="res.country")
        self.assertEqual((made.model_name, made.domain), ("res.country", "[]"))
        self.assertFalse(made.enrich_fields)

    def test_update_refuses_what_it_does_not_know(self):
        made = self.of(self.subscribe_as_clerk())
        for params, begins in (
            ({"user_id": self.manager.id}, "user_id:"),
            ({"approval": "approved"}, "approval:"),
            ({}, "changes:"),
            ({"domain": [["nope", "=", 1]]}, "domain:"),
        ):
            with self.assertRaises(UserError) as caught:
                self.calls(self.clerk).update_subscription(made.id, **params)
            self.assertTrue(str(caught.exception).startswith(begins), caught.exception)

    def test_own_ones_only_managers_all(self):
        made = self.of(self.subscribe_as_clerk())
        with self.assertRaises(AccessError):
            self.calls(self.other).update_subscription(made.id, event_type="write")
        with self.assertRaises(AccessError):
            self.calls(self.other).unsubscribe_events(made.id)
        for wrong in (0, "1", None, True, 2**40):
            with self.assertRaisesRegex(UserError, "^subscription_id:"):
                self.calls(self.clerk).unsubscribe_events(wrong)
        self.calls(self.manager).update_subscription(made.id, event_type="write")
        self.assertEqual(made.user_id, self.clerk)
        self.assertTrue(self.calls(self.clerk).unsubscribe_events(made.id))
        self.assertFalse(made.exists())

    def test_manager_of_another_company_is_not_everybody_s_manager(self):
        made = self.of(self.subscribe_as_clerk())
        made.company_id = self.env.company
        company = self.env["res.company"].create({"name": "Other"})
        foreigner = new_test_user(
            self.env,
            "foreigner",
            groups="base.group_user,mcp_webhook.group_manager",
            company_id=company.id,
            company_ids=[(6, 0, company.ids)],
        )
        with self.assertRaisesRegex(UserError, "^subscription_id:"):
            self.calls(foreigner).unsubscribe_events(made.id)
