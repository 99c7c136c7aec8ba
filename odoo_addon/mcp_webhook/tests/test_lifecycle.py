# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What subscriptions hang on goes: a user, a company, a reference, the whole selection."""

from contextlib import suppress
from unittest.mock import patch

from odoo.exceptions import ValidationError
from odoo.tests import new_test_user, tagged

from .common import WebhookCase


@tagged("post_install", "-at_install")
class TestLifecycle(WebhookCase):
    def test_user_with_subscriptions_can_be_deleted_and_nothing_leaves(self):
        for active in (True, False):
            user = new_test_user(self.env, f"leaver.{active}", groups="base.group_user")
            subscription = self.subscribe(user_id=user.id, event_type="create")
            subscription.active = active
            self.commit()
            user.unlink()
            self.assertFalse(subscription.user_id)
            self.assertIn("was deleted", subscription.sync_error or "")
            self.commit()
            self.assertEqual(
                subscription.health, "misconfigured" if active else "inactive"
            )
            if active:
                self.assertTrue(self.sidecar.last("subscription.update")["paused"])
                self.Partner.create({"name": "A"})
                row = self.rows(subscription)
                self.assertEqual(row.status, "failed")
                self.assertIn("no user", row.error_message)
            with self.assertRaisesRegex(ValidationError, "^user_id: choose"):
                subscription.write({"user_id": False})
            subscription.user_id = self.admin
            self.assertFalse(subscription.sync_error)

    def test_event_of_a_user_who_is_deleted_with_it_stands_in_the_log(self):
        subscription = self.subscribe("res.partner.category", event_type="create")
        user = new_test_user(self.env, "guest", groups="base.group_partner_manager")
        self.commit()
        known = self.rows(subscription)
        self.env["res.partner.category"].with_user(user).create({"name": "A"})
        user.unlink()
        row = self.rows(subscription) - known
        self.assertEqual((len(row), row.status, row.user_id.id), (1, "pending", False))

    def test_company_that_goes_ends_its_subscriptions_and_takes_their_log_along(self):
        company = self.env["res.company"].create({"name": "Short-lived"})
        self.admin.company_ids |= company
        subscription = self.subscribe(company_id=company.id, event_type="create")
        self.Partner.create({"name": "B", "company_id": company.id}).company_id = False
        self.assertTrue(self.rows(subscription))
        company.unlink()
        subscription.invalidate_recordset()
        self.assertFalse(subscription.active)
        self.assertFalse(
            self.Delivery.search([("subscription_id", "=", subscription.id)])
        )
        self.Partner.create({"name": "A", "company_id": self.env.company.id})
        self.assertFalse(self.rows(subscription))

    def test_reference_to_what_is_gone_costs_the_others_nothing(self):
        action = self.env["ir.actions.act_window"].search([], limit=1)
        menus = self.env["ir.ui.menu"].create(
            [{"name": name, "action": f"{action._name},{action.id}"} for name in "ab"]
        )
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE ir_ui_menu SET action = 'ir.actions.act_window,999999' WHERE id = %s",
            [menus[0].id],
        )
        self.env.invalidate_all()
        subscription = self.subscribe("ir.ui.menu", enrich_fields="name\naction")
        menus.write({"sequence": 7})
        (event,) = self.events(subscription)
        first, second = event["records"]
        self.assertEqual(first, {"id": menus[0].id, "name": "a"})
        self.assertEqual(second["action"]["id"], action.id)

    def test_one_empty_value_in_the_place_of_another_is_no_change(self):
        for name, value in (
            ("partner_latitude", 0.0),
            ("color", 0),
            ("is_company", False),
            ("ref", ""),
            ("comment", False),
            ("lang", False),
        ):
            partner = self.Partner.create({"name": "A"})
            self.env.flush_all()
            self.env.cr.execute(
                f"UPDATE res_partner SET {name} = NULL WHERE id = %s", [partner.id]
            )
            self.env.invalidate_all()
            subscription = self.subscribe(event_type="write", watched=[name])
            partner.write({name: value})
            self.assertFalse(self.rows(subscription), name)

    def test_company_of_a_model_that_has_it_from_another(self):
        """`res.users.company_id` is a column; a bank account's is not."""
        other = self.env["res.company"].create({"name": "Other"})
        self.admin.company_ids |= other
        partners = self.Partner.create(
            [{"name": c.name, "company_id": c.id} for c in (self.env.company, other)]
        )
        subscription = self.subscribe(
            "res.partner.bank", company_id=other.id, event_type="create"
        )
        banks = self.env["res.partner.bank"].create(
            [{"acc_number": str(p.id), "partner_id": p.id} for p in partners]
        )
        self.assertFalse(
            banks._fields["company_id"].column_type and not banks[0].company_id
        )
        self.assertEqual(self.fired(subscription), [("create", banks[1].ids)])

    def test_links_that_are_records_are_watched_there(self):
        with self.assertRaisesRegex(ValidationError, "records of mail.notification"):
            self.subscribe("mail.message", watched=["notified_partner_ids"])

    def test_what_cannot_be_compared_makes_no_other_model_late(self):
        """A column, a table of links, and a table that are gone when it is decided."""
        partner = self.Partner.create({"name": "A"})
        title = self.env["res.partner.industry"].create({"name": "T"})
        group = self.env["res.country.group"].create({"name": "G"})
        well = self.subscribe(event_type="write", watched=["name"])
        unwritten = self.subscribe("res.partner.industry", watched=["full_name"])
        broken = {
            title: self.subscribe("res.partner.industry", watched=["name"]),
            group: self.subscribe("res.country.group", watched=["country_ids"]),
        }
        title.name = "U"
        group.country_ids = self.env.ref("base.be")
        partner.name = "B"
        self.env.flush_all()
        self.env.cr.execute("ALTER TABLE res_partner_industry DROP COLUMN name")
        self.env.cr.execute("DROP TABLE res_country_res_country_group_rel")
        with self.assertLogs("odoo.addons.mcp_webhook.capture.changes", "ERROR") as logs:
            (row,) = self.rows(well)
        self.assertEqual(len(logs.output), 2, "the fault has fired")
        self.assertTrue(row.event)
        self.assertFalse(self.rows(unwritten), "its field was not written")
        for record, subscription in broken.items():
            (row,) = self.rows(subscription)
            self.assertEqual((row.event, row.record_ids), (False, record.ids))

    def test_deletion_that_was_taken_back_where_nothing_can_be_compared(self):
        """As `product.product` does: what cannot be deleted is archived."""
        title = self.env["res.partner.industry"].create({"name": "T"})
        subscription = self.subscribe("res.partner.industry", watched=["full_name"])
        with suppress(ZeroDivisionError), self.cr.savepoint():
            title.unlink()
            raise ZeroDivisionError
        title.full_name = "F"
        self.env.flush_all()
        self.env.cr.execute("ALTER TABLE res_partner_industry DROP COLUMN full_name")
        with self.assertLogs("odoo.addons.mcp_webhook.capture.changes", "ERROR"):
            (row,) = self.rows(subscription)
        self.assertEqual((row.event_type, row.event), ("write", False))

    def test_field_that_the_transaction_stores_no_more(self):
        """Nobody is told of it, and it costs the other watched fields nothing."""
        partner = self.Partner.create({"name": "A"})
        both = self.subscribe(event_type="write", watched=["name", "ref", "category_id"])
        other = self.subscribe(event_type="write", watched=["name"])
        quiet = self.subscribe("res.partner.industry", event_type="write")
        partner.write({"name": "B", "ref": "R"})
        self.env.flush_all()
        fields = self.Partner._fields
        with patch.object(fields["ref"], "store", False):
            for subscription in (both, other):
                (row,) = self.rows(subscription)
                self.assertTrue(row.event)
            self.assertFalse(self.rows(quiet))
        for name in ("ref", "category_id"):
            with self.subTest(name), patch.object(fields[name], "store", False):
                self.assertIn(f"watched_field_ids: {name} no longer", both._fault())
                self.assertFalse(other._fault())
                watchers = self.env["mcp.event.subscription"]._read_watched()
                found = {w.id for w in watchers["res.partner"]}
                self.assertTrue(other.id in found and both.id not in found)

    def test_deletion_of_none(self):
        self.assertTrue(self.env["mcp.event.subscription"].browse().unlink())

    def test_what_is_enriched_is_as_it_is_at_the_very_end(self):
        """A translation, and links, after an early decision."""
        self.env["res.lang"]._activate_lang("fr_FR")
        self.admin.lang = "fr_FR"
        subscription = self.subscribe(
            "res.partner.category", event_type="create", enrich_fields="name\npartner_ids"
        )
        category = self.env["res.partner.category"].create({"name": "T"})
        partner = self.Partner.create({"name": "A"})
        self.env.cr.flush()
        category.update_field_translations("name", {"fr_FR": "Té"})
        category.partner_ids = partner
        (event,) = self.events(subscription)
        (told,) = event["records"]
        self.assertEqual(told["name"], "Té")
        self.assertEqual([p["id"] for p in told["partner_ids"]], partner.ids)
