# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import Command
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

from ..tools.payload import new_event_id
from .common import WebhookCase

JUDGE = "odoo.addons.mcp_webhook.capture.judge"


@tagged("post_install", "-at_install")
class TestPayload(WebhookCase):
    def records(self, subscription):
        (event,) = self.events(subscription)
        return event["records"]

    def test_values_have_the_documented_forms(self):
        country = self.env.ref("base.fr")
        subscription = self.subscribe(
            enrich_fields="name\nref\nactive\ncolor\ncountry_id\nparent_id\n"
            "category_id\nchild_ids.name\ntype\npartner_latitude\ncomment\nwrite_date"
        )
        partner = self.Partner.create(
            {"name": "Ä", "country_id": country.id, "child_ids": [(0, 0, {"name": "C"})]}
        )
        values = next(r for r in self.records(subscription) if r["id"] == partner.id)
        self.assertRegex(values.pop("write_date"), r"^\d{4}-\d\d-\d\dT[\d:]{8}Z$")
        self.assertEqual(
            values,
            {
                "id": partner.id,
                "name": "Ä",
                "ref": None,
                "active": True,
                "color": 0,
                "country_id": {"id": country.id, "display_name": "France"},
                "parent_id": {},
                "category_id": [],
                "child_ids": [{"id": partner.child_ids.id, "name": "C"}],
                "type": "contact",
                "partner_latitude": 0.0,
                "comment": None,
            },
        )

    def test_properties_tell_values_and_nothing_of_their_definitions(self):
        """Neither labels, which stand in a record that its user may not read, nor what is
        linked and may not be read."""
        user = new_test_user(self.env, "member", groups="base.group_user")
        partner = self.Partner.create({"name": "P"})
        other = self.Partner.create({"name": "Other"})
        rule = self.env["ir.rule"].search([], limit=1)
        options = [["one", "LABEL"], ["two", "LABEL"]]
        definitions = (
            {"name": "a" * 16, "type": "char", "default": "LABEL"},
            {"name": "b" * 16, "type": "selection", "selection": options},
            {"name": "c" * 16, "type": "tags", "tags": [["t", "LABEL", 1]]},
            {"name": "d" * 16, "type": "many2one", "comodel": "res.partner"},
            {"name": "e" * 16, "type": "many2one", "comodel": "ir.rule"},
            {"name": "f" * 16, "type": "many2many", "comodel": "ir.rule"},
            {"name": "1" * 16, "type": "separator"},
            {"name": "2" * 16, "type": "boolean"},
        )
        definition = partner.properties_base_definition_id.sudo()
        definition.properties_definition = [
            {"string": "LABEL", **each} for each in definitions
        ]
        self.assertFalse(definition.with_user(user).has_access("read"))
        subscription = self.subscribe(user_id=user.id, enrich_fields="properties")
        partner.properties = {
            "a" * 16: "text",
            "b" * 16: "one",
            "c" * 16: ["t"],
            "d" * 16: other.id,
            "e" * 16: rule.id,
            "f" * 16: rule.ids,
            "2" * 16: False,
        }
        self.assertEqual(
            self.records(subscription)[0]["properties"],
            {
                "a" * 16: "text",
                "b" * 16: "one",
                "c" * 16: ["t"],
                "d" * 16: {"id": other.id, "display_name": "Other"},
                "e" * 16: {},
                "f" * 16: [],
                "2" * 16: False,
            },
        )

    def test_dotted_paths_nest(self):
        country = self.env.ref("base.fr")
        subscription = self.subscribe(
            enrich_fields="country_id.code\ncountry_id.currency_id.name"
        )
        partner = self.Partner.create({"name": "A", "country_id": country.id})
        nested = {"id": country.id, "code": "FR"}
        nested["currency_id"] = {"id": country.currency_id.id, "name": "EUR"}
        self.assertEqual(
            self.records(subscription), [{"id": partner.id, "country_id": nested}]
        )

    def test_domain_is_judged_at_the_end_of_the_transaction(self):
        subscription = self.subscribe(domain="[('ref', '=', 'yes')]")
        partner = self.Partner.create({"name": "A", "ref": "no"})
        other = self.Partner.create({"name": "A", "ref": "yes"})
        partner.ref = "yes"
        other.ref = "no"
        self.assertEqual(self.fired(subscription), [("create", partner.ids)])

    def test_deletion_is_judged_and_described_before_it(self):
        gone, other = self.Partner.create(
            [{"name": "A", "ref": "yes"}, {"name": "B", "ref": "no"}]
        )
        subscription = self.subscribe(
            domain="[('ref', '=', 'yes')]", enrich_fields="name", event_type="unlink"
        )
        gone_id = gone.id
        (gone + other).unlink()
        self.assertEqual(self.records(subscription), [{"id": gone_id, "name": "A"}])

    def test_texts_speak_the_language_of_the_user(self):
        self.env["res.lang"]._activate_lang("fr_FR")
        tag = self.env["res.partner.category"].create({"name": "Tag"})
        tag.with_context(lang="fr_FR").name = "Étiquette"
        self.admin.lang = "fr_FR"
        subscription = self.subscribe(enrich_fields="category_id")
        self.Partner.create({"name": "A", "category_id": tag.ids})
        (record,) = self.records(subscription)
        self.assertEqual(record["category_id"][0]["display_name"], "Étiquette")

    def test_large_objects_are_cut_into_further_events(self):
        subscription = self.subscribe(enrich_fields="comment")
        self.Partner.create([{"name": "A", "comment": "x" * 100_000} for _ in range(5)])
        sizes = [len(row.event.encode()) for row in self.rows(subscription)]
        self.assertEqual(len(sizes), 3)
        self.assertLess(max(sizes), 256 * 1024)

    def test_object_too_large_for_an_event_is_a_failed_row(self):
        subscription = self.subscribe(enrich_fields="comment")
        partner = self.Partner.create({"name": "A", "comment": "x" * 300_000})
        row = self.rows(subscription)
        self.assertEqual((row.status, row.error_kind), ("failed", "payload_too_large"))
        self.assertIn("enrich_fields", row.error_message)
        self.assertEqual(row.record_ids, partner.ids)
        self.assertFalse(self.Outbox.search([]))

    def test_event_ids_are_ordered_by_time(self):
        ids = [new_event_id() for _ in range(3)]
        self.assertEqual([id_[14] for id_ in ids], ["7"] * 3)
        self.assertEqual([id_[:13] for id_ in ids], sorted(id_[:13] for id_ in ids))


@tagged("post_install", "-at_install")
class TestRights(WebhookCase):
    def setUp(self):
        super().setUp()
        self.clerk = new_test_user(self.env, "clerk", groups="base.group_user")

    def test_unreadable_records_are_not_in_the_event(self):
        self.env["ir.rule"].create(
            {
                "name": "no secrets",
                "model_id": self.env["ir.model"]._get_id("res.partner"),
                "groups": [Command.link(self.env.ref("base.group_user").id)],
                "domain_force": "[('ref', '!=', 'secret')]",
            }
        )
        subscription = self.subscribe(user_id=self.clerk.id)
        open_, secret = self.Partner.create(
            [{"name": "A"}, {"name": "B", "ref": "secret"}]
        )
        self.assertEqual(self.fired(subscription), [("create", open_.ids)])
        self.commit()
        secret.write({"name": "C"})
        self.assertEqual(len(self.rows(subscription)), 1)

    def test_records_of_foreign_companies_are_not_in_the_event(self):
        company = self.env["res.company"].create({"name": "Other"})
        subscription = self.subscribe("res.partner", user_id=self.clerk.id)
        home = self.Partner.create({"name": "A", "company_id": self.clerk.company_id.id})
        self.Partner.create({"name": "B", "company_id": company.id})
        self.assertEqual(self.fired(subscription), [("create", home.ids)])

    def test_company_of_the_subscription_narrows(self):
        company = self.env["res.company"].create({"name": "Other"})
        self.admin.company_ids += company
        subscription = self.subscribe(company_id=company.id)
        theirs = self.Partner.create({"name": "A", "company_id": company.id})
        nobodys = self.Partner.create({"name": "B"})
        self.Partner.create({"name": "C", "company_id": self.admin.company_id.id})
        self.assertEqual(self.fired(subscription), [("create", (theirs + nobodys).ids)])

    def test_restricted_field_is_left_out(self):
        field = self.Partner._fields["ref"]
        subscription = self.subscribe(user_id=self.clerk.id, enrich_fields="name\nref")
        self.patch(field, "groups", "base.group_system")
        partner = self.Partner.create({"name": "A", "ref": "7"})
        (event,) = self.events(subscription)
        self.assertEqual(event["records"], [{"id": partner.id, "name": "A"}])

    def test_domain_cannot_ask_about_a_restricted_field(self):
        field = self.Partner._fields["ref"]
        subscription = self.subscribe(user_id=self.clerk.id, domain="[('ref', '=', '7')]")
        self.patch(field, "groups", "base.group_system")
        self.Partner.create({"name": "A", "ref": "7"})
        row = self.rows(subscription)
        self.assertEqual(row.status, "failed")
        self.assertIn("domain", row.error_message)


@tagged("post_install", "-at_install")
class TestBrokenSubscription(WebhookCase):
    """A subscription that cannot be served never blocks the business."""

    def break_domain(self, subscription, domain):
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE mcp_event_subscription SET domain = %s WHERE id = %s",
            [domain, subscription.id],
        )
        self.env.invalidate_all()

    def break_display_names(self):
        """PostgreSQL refuses while the enriched fields are read."""
        self.env.flush_all()
        self.env.invalidate_all()
        self.patch(
            self.registry["res.country"],
            "_compute_display_name",
            lambda countries: countries.env.cr.execute("SELECT 1 / 0"),
        )

    def check_failed(self, subscription, partner):
        row = self.rows(subscription)
        self.assertEqual((row.status, row.error_kind), ("failed", "internal"))
        self.assertEqual(row.record_ids, partner.ids)
        self.assertTrue(row.finished_at)
        self.assertTrue(partner.exists())
        return row.error_message

    def test_domain_that_is_no_literal(self):
        subscription = self.subscribe()
        self.break_domain(subscription, "[('name', '=', uid)]")
        partner = self.Partner.create({"name": "A"})
        self.assertIn("domain", self.check_failed(subscription, partner))

    @mute_logger(JUDGE)
    def test_domain_on_a_field_that_is_gone(self):
        subscription = self.subscribe()
        self.break_domain(subscription, "[('gone', '=', 1)]")
        partner = self.Partner.create({"name": "A"})
        self.check_failed(subscription, partner)

    @mute_logger(JUDGE, "odoo.sql_db")
    def test_refusal_by_the_database_is_isolated(self):
        well = self.subscribe()
        subscription = self.subscribe(enrich_fields="country_id.display_name")
        country = self.env.ref("base.fr")
        self.break_display_names()
        partner = self.Partner.create({"name": "A", "country_id": country.id})
        self.check_failed(subscription, partner)
        self.assertEqual(self.fired(well), [("create", partner.ids)])

    @mute_logger(JUDGE, "odoo.sql_db")
    def test_refusal_at_a_deletion_does_not_stop_it(self):
        country = self.env.ref("base.fr")
        partner = self.Partner.create({"name": "A", "country_id": country.id})
        subscription = self.subscribe(
            event_type="unlink", enrich_fields="country_id.display_name"
        )
        self.break_display_names()
        ids = partner.ids
        partner.unlink()
        self.assertEqual(self.rows(subscription).record_ids, ids)
        self.assertFalse(self.Partner.browse(ids).exists())

    def test_archived_user(self):
        user = new_test_user(self.env, "leaver", groups="base.group_user")
        subscription = self.subscribe(user_id=user.id, event_type="create")
        user.active = False
        self.commit()
        partner = self.Partner.create({"name": "A"})
        message = self.check_failed(subscription, partner)
        self.assertIn("archived", message)

    def test_archived_user_stops_what_waits_and_the_form_says_why(self):
        user = new_test_user(self.env, "leaver", groups="base.group_user")
        subscription = self.subscribe(user_id=user.id)
        self.sidecar.down = True
        user.active = False
        self.commit()
        self.assertIn("choose another user", subscription.sync_error)
        self.sidecar.down = False
        self.sweep()
        self.assertTrue(self.sidecar.last("subscription.update")["paused"])
        self.assertIn("choose another user", subscription.sync_error)
        self.assertRefused(subscription.action_send_test)
        subscription.user_id = self.admin
        self.commit()
        self.assertFalse(self.sidecar.last("subscription.update")["paused"])
        self.assertFalse(subscription.sync_error)

    def test_user_who_comes_back_sets_it_going_again(self):
        user = new_test_user(self.env, "leaver", groups="base.group_user")
        subscription = self.subscribe(user_id=user.id)
        for active in (False, True):
            user.active = active
            self.commit()
            self.assertEqual(
                self.sidecar.last("subscription.update")["paused"], not active
            )
            self.assertEqual(bool(subscription.sync_error), not active)

    def test_each_failure_is_counted_once(self):
        subscription = self.subscribe()
        self.break_domain(subscription, "nonsense")
        self.Partner.create({"name": "A"})
        self.commit()
        self.assertEqual(subscription.failure_count, 0)
        self.sweep()
        self.sweep()
        self.assertEqual(subscription.failure_count, 1)
        self.assertEqual(subscription.last_delivery_status, "failed")
        self.assertTrue(subscription.last_delivery)


@tagged("post_install", "-at_install")
class TestQueryBudget(WebhookCase):
    def queries_of_a_save(self, partner):
        """Queries of one write and its decision, with warm caches."""
        for name in ("warm", "warmer"):
            partner.write({"name": name})
            self.env.cr.flush()
        before = self.env.cr.sql_log_count
        partner.write({"name": "measured"})
        self.env.cr.flush()
        return self.env.cr.sql_log_count - before

    def test_unwatched_model_costs_no_query(self):
        partner = self.Partner.create({"name": "A"})
        bare = self.queries_of_a_save(partner)
        self.subscribe("res.country")
        self.assertEqual(self.queries_of_a_save(partner), bare)

    def statements_of_a_transaction(self, partner):
        """Of a write and its decision, as a new transaction makes them; the second of
        two, for the caches outlive transactions."""
        for name in ("warm", "measured"):
            self.commit()
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            partner.write({"name": name})
            self.env.cr.flush()
        return self.env.cr.sql_log_count - before

    def test_matching_write_adds_four_statements(self):
        """What is there, the subscription with its companies, the filter, the insertion.
        A savepoint around the last three costs no round trip of its own."""
        partner = self.Partner.create({"name": "A"})
        bare = self.statements_of_a_transaction(partner)
        self.subscribe(event_type="write")
        self.assertEqual(self.statements_of_a_transaction(partner) - bare, 4)

    def test_cost_does_not_grow_with_subscriptions_that_do_not_match(self):
        partner = self.Partner.create({"name": "A"})
        self.commit()
        self.subscribe(domain="[('ref', '=', 'never')]")
        one = self.queries_of_a_save(partner)
        for number in range(20):
            self.subscribe(domain=f"[('ref', '=', 'never {number}')]")
        self.assertEqual(self.queries_of_a_save(partner), one)
