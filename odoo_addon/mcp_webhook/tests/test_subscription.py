# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a subscription may say, how it is copied, and who of which company sees it."""

from psycopg2.errors import CheckViolation

from odoo.exceptions import AccessError, ValidationError
from odoo.tests import Form, new_test_user, tagged
from odoo.tools import mute_logger

from .common import WebhookCase

MANAGER = "base.group_user,mcp_webhook.group_manager"


@tagged("post_install", "-at_install")
class TestSubscription(WebhookCase):
    def setUp(self):
        super().setUp()
        self.manager = new_test_user(self.env, "manager", groups=MANAGER)
        self.Subscription = self.env["mcp.event.subscription"].with_user(self.manager)
        self.model = self.env["ir.model"]._get("res.partner")

    def make(self, **values):
        return self.Subscription.create({"model_id": self.model.id, **values})

    def test_defaults_are_the_documented_ones(self):
        made = self.make()
        self.assertEqual(made.name, "res.partner all")
        self.assertEqual(
            (made.event_type, made.domain, made.dialect), ("all", "[]", "auto")
        )
        self.assertEqual(
            (made.timeout_s, made.max_in_flight, made.max_attempts), (10, 4, 1)
        )
        self.assertEqual(made.user_id, self.manager)
        self.assertEqual((made.active, made.paused, made.state), (True, False, "active"))
        self.assertEqual((made.approval, made.failure_count), ("none", 0))
        self.assertFalse(made.connection)
        self.assertEqual(made.message_partner_ids, self.manager.partner_id)

    def test_name_follows_until_somebody_gives_one(self):
        made = self.make()
        made.event_type = "write"
        self.assertEqual(made.name, "res.partner write")
        made.name = "Ours"
        made.event_type = "create"
        self.assertEqual(made.name, "Ours")

    def test_each_fault_names_its_field(self):
        country = self.env["ir.model.fields"]._get("res.country", "code")
        lines = self.env["ir.model.fields"]._get("res.partner", "child_ids")
        transient = self.env["ir.model"]._get("res.config.settings")
        looping = self.env["ir.model"]._get("mcp.event.subscription")
        for field, value in (
            ("model_id", transient.id),
            ("model_id", looping.id),
            ("model_id", False),
            ("domain", "[('nope', '=', 1)]"),
            ("domain", "[('create_uid', '=', uid)]"),
            ("domain", "not a list"),
            ("watched_field_ids", [(6, 0, country.ids)]),
            ("watched_field_ids", [(6, 0, lines.ids)]),
            ("enrich_fields", "image_1920"),
            ("enrich_fields", "nope"),
            ("enrich_fields", "name.nope"),
            ("enrich_fields", "parent_id.parent_id.parent_id.parent_id.name"),
            ("webhook_url", "ftp://example.com"),
            ("webhook_url", "https://"),
            ("webhook_headers", "no colon"),
            ("webhook_headers", "X-A: 1\nx-a: 2"),
            ("payload_template", "{"),
            ("payload_template", "[NaN]"),
        ):
            made = self.make()
            with self.assertRaises(ValidationError, msg=f"{field}: {value}") as caught:
                made.write({field: value})
                made.flush_recordset()
            self.assertTrue(
                str(caught.exception).startswith(f"{field}:"), caught.exception
            )

    @mute_logger("odoo.sql_db")
    def test_numbers_have_limits(self):
        for field, value in (
            ("timeout_s", 0),
            ("timeout_s", 61),
            ("max_in_flight", 0),
            ("max_in_flight", 65),
            ("max_attempts", 0),
            ("max_attempts", 21),
        ):
            made = self.make()
            with self.assertRaises(CheckViolation), self.cr.savepoint():
                made.write({field: value})
                made.flush_recordset()

    def test_restricted_field_is_refused(self):
        field = self.Partner._fields["ref"]
        self.patch(field, "groups", "base.group_system")
        with self.assertRaisesRegex(ValidationError, "enrich_fields: .*reserved"):
            self.make(enrich_fields="ref")

    def test_user_needs_the_right_to_read_the_model(self):
        clerk = new_test_user(self.env, "clerk", groups="base.group_user")
        crons = self.env["ir.model"]._get("ir.rule")
        with self.assertRaisesRegex(ValidationError, "user_id"):
            self.make(model_id=crons.id, user_id=clerk.id)

    def test_template_is_judged_by_the_sidecar_when_it_answers(self):
        """By one of the version before, which cannot judge the whole."""
        self.sidecar.features.clear()
        self.sidecar.refusals["template.preview"] = ("invalid_template", "/text: no")
        with self.assertRaisesRegex(ValidationError, "payload_template"):
            self.make(payload_template='{"text": "{{"}')
        self.sidecar.refusals.clear()
        self.sidecar.down = True
        self.assertTrue(self.make(payload_template='{"text": "{{"}'))

    def test_copy_of_a_manager_leaves_behind_what_is_not_its_own(self):
        original = self.make(
            name="Original",
            webhook_url="https://example.com/x",
            webhook_secret="canary-0123456789",
            webhook_headers="X-A: b",
            watched_field_ids=[
                (6, 0, self.env["ir.model.fields"]._get("res.partner", "name").ids)
            ],
        )
        original.sudo().write(
            {"failure_count": 3, "approval": "approved", "is_refused": True}
        )
        copy = original.copy()
        self.assertEqual(copy.name, "Original (copy)")
        self.assertFalse(copy.active)
        self.assertNotEqual(copy.uuid, original.uuid)
        self.assertEqual(copy.watched_field_ids, original.watched_field_ids)
        self.assertEqual((copy.has_secret, copy.header_names), (False, False))
        self.assertEqual(
            (copy.failure_count, copy.approval, copy.is_refused), (0, "none", False)
        )

    def test_state_is_one_bar_over_two_switches(self):
        made = self.make()
        for state, active, paused in (
            ("paused", True, True),
            ("inactive", False, False),
            ("active", True, False),
        ):
            made.state = state
            self.assertEqual((made.active, made.paused), (active, paused))
            everything = self.Subscription.with_context(active_test=False)
            self.assertIn(made, everything.search([("state", "=", state)]))
        made.action_toggle_active()
        self.assertEqual(made.state, "inactive")

    def test_kept_fields_are_refused_in_create_write_and_as_defaults(self):
        for name, value in (
            ("failure_count", 9),
            ("last_delivery_status", "success"),
            ("last_delivery", "2026-01-01"),
            ("approval", "approved"),
            ("sync_error", "x"),
            ("uuid", "x"),
            ("endpoint_host", "x"),
            ("secret_value", "x"),
            ("watched_field_names", "x"),
            ("is_alerting", True),
            ("delivery_ids", []),
        ):
            with self.assertRaises(AccessError, msg=name):
                self.make(**{name: value})
            with self.assertRaises(AccessError, msg=name):
                self.make().write({name: value})
        made = self.Subscription.with_context(default_approval="approved").create(
            {"model_id": self.model.id}
        )
        self.assertEqual(made.approval, "none")

    def test_failure_count_is_reset_by_its_button_only(self):
        made = self.make()
        made.sudo().failure_count = 5
        made.action_reset_failure_count()
        self.assertEqual(made.failure_count, 0)

    def test_form_forgets_what_belongs_to_another_model(self):
        made = self.make(domain="[('name', '=', 'x')]", enrich_fields="name")
        with Form(made) as form:
            form.model_id = self.env["ir.model"]._get("res.country")
        self.assertEqual((made.domain, made.enrich_fields), ("[]", False))
        self.assertFalse(made.watched_field_ids)

    def test_form_adds_picked_paths_and_ready_made_templates(self):
        made = self.make(enrich_fields="name")
        with Form(made) as form:
            form.enrich_path = "country_id.code"
            form.template_choice = "slack"
        # the template asks for the name that every record has
        self.assertEqual(made.enrich_fields, "name\ncountry_id.code\ndisplay_name")
        self.assertEqual(made.dialect, "slack")
        self.assertIn("mrkdwn", made.payload_template)

    def test_chatter_tells_changes_and_never_secret_headers_or_url(self):
        made = self.make(webhook_url="https://hooks.example.com/canary-1")
        self.commit()
        made.write(
            {
                "webhook_url": "https://other.example.com/canary-2",
                "webhook_secret": "canary-0123456789",
                "webhook_headers": "X-Key: canary-3",
                "timeout_s": 20,
                "payload_template": '{"text": "canary-4"}',
            }
        )
        self.env.cr.flush()
        messages = made.sudo().message_ids
        told = str(messages.mapped("body")) + str(messages.tracking_value_ids.read())
        self.assertIn("other.example.com", told)
        for words in ("Signing secret replaced", "Headers changed", "template changed"):
            self.assertIn(words, told)
        self.assertNotIn("canary", told)

    def test_answer_to_a_save_does_not_repeat_the_secret(self):
        specification = {"webhook_secret": {}, "webhook_headers": {}, "has_secret": {}}
        values = {"webhook_secret": "canary-0123456789", "webhook_headers": "X-A: canary"}
        answer = self.Subscription.web_save(
            {"model_id": self.model.id, **values}, specification
        )
        self.assertNotIn("canary", str(answer))
        self.assertTrue(answer[0]["has_secret"])
        made = self.Subscription.browse(answer[0]["id"])
        self.assertNotIn("canary", str(made.web_save(values, specification)))

    def test_deliveries_are_counted_and_opened(self):
        subscription = self.subscribe()
        self.Partner.create({"name": "A"})
        self.rows(subscription)
        subscription.invalidate_recordset()
        self.assertEqual(
            (subscription.delivery_count, subscription.pending_count), (1, 1)
        )
        action = subscription.action_open_deliveries()
        self.assertEqual(self.Delivery.search_count(action["domain"]), 1)

    def test_search_views_filters_are_valid(self):
        for model in ("mcp.event.subscription", "mcp.webhook.delivery"):
            records = self.env[model].with_user(self.manager)
            for kind in ("list", "form", "search"):
                self.assertTrue(records.get_view(view_type=kind)["arch"])


@tagged("post_install", "-at_install")
class TestCompanies(WebhookCase):
    def setUp(self):
        super().setUp()
        self.other = self.env["res.company"].create({"name": "Other"})
        self.manager = new_test_user(self.env, "manager", groups=MANAGER)
        self.foreigner = new_test_user(
            self.env,
            "foreigner",
            groups=MANAGER,
            company_id=self.other.id,
            company_ids=[(6, 0, self.other.ids)],
        )
        self.ours = self.subscribe(company_id=self.env.company.id)
        self.shared = self.subscribe()

    def test_manager_of_another_company_sees_the_shared_ones_only(self):
        both = self.ours + self.shared
        Subscription = self.env["mcp.event.subscription"]
        domain = [("id", "in", both.ids)]
        self.assertEqual(Subscription.with_user(self.manager).search(domain), both)
        self.assertEqual(
            Subscription.with_user(self.foreigner).search(domain), self.shared
        )
        for call in (
            lambda record: record.name,
            lambda record: record.write({"timeout_s": 5}),
            lambda record: record.unlink(),
            lambda record: record.action_pause(),
            lambda record: record.action_send_test(),
            lambda record: record.action_preview(),
            lambda record: record.copy(),
        ):
            with self.assertRaises(AccessError):
                call(self.ours.with_user(self.foreigner))

    def test_dialogs_tell_nothing_of_another_company(self):
        for model, name in (
            ("mcp.webhook.preview", "payload"),
            ("mcp.webhook.explain", "explanation"),
            ("mcp.webhook.redelivery", "count"),
        ):
            dialogs = self.env[model].with_user(self.foreigner)
            self.assertRefused(
                lambda dialogs=dialogs, name=name: dialogs.create(
                    {"subscription_id": self.ours.id}
                ).read([name])
            )

    def test_deliveries_follow_their_company(self):
        self.Partner.create({"name": "A", "company_id": self.env.company.id})
        row = self.rows(self.ours)
        self.assertEqual(len(row), 1)
        Delivery = self.env["mcp.webhook.delivery"]
        self.assertIn(row, Delivery.with_user(self.manager).search([]))
        self.assertNotIn(row, Delivery.with_user(self.foreigner).search([]))
        with self.assertRaises(AccessError):
            row.with_user(self.foreigner).read(["payload"])
        self.assertRefused(row.with_user(self.foreigner).action_redeliver)

    def test_record_s_menu_shows_own_companies_rows_only(self):
        partner = self.Partner.create({"name": "A", "company_id": self.env.company.id})
        self.rows(self.ours)
        Delivery = self.env["mcp.webhook.delivery"].with_user(self.foreigner)
        found = Delivery.search(
            Delivery.action_deliveries_of_record("res.partner", partner.id)["domain"]
        )
        self.assertEqual(found.subscription_id, self.shared.with_user(self.foreigner))
