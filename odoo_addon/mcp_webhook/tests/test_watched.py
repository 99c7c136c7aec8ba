# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from .common import WebhookCase


@tagged("post_install", "-at_install")
class TestWatchedFields(WebhookCase):
    def setUp(self):
        super().setUp()
        self.partner = self.Partner.create({"name": "A", "ref": "1"})

    def watching(self, *names, **values):
        return self.subscribe(event_type="write", watched=names, **values)

    def test_other_value_fires(self):
        subscription = self.watching("name")
        self.partner.write({"name": "B"})
        self.assertEqual(self.fired(subscription), [("write", self.partner.ids)])

    def test_equal_value_does_not_fire(self):
        subscription = self.watching("name")
        self.partner.write({"name": "A"})
        self.assertFalse(self.rows(subscription))

    def test_other_field_does_not_fire(self):
        subscription = self.watching("name")
        self.partner.write({"ref": "2"})
        self.assertFalse(self.rows(subscription))

    def test_value_that_returns_does_not_fire(self):
        subscription = self.watching("name")
        self.partner.write({"name": "B"})
        self.partner.write({"name": "A"})
        self.assertFalse(self.rows(subscription))

    def test_only_the_records_that_changed_are_in_the_event(self):
        subscription = self.watching("name")
        other = self.Partner.create({"name": "X"})
        self.commit()
        (self.partner + other).write({"name": "X"})
        self.assertEqual(self.fired(subscription), [("write", self.partner.ids)])

    def test_relations_compare_by_members(self):
        tags = self.env["res.partner.category"].create([{"name": "s"}, {"name": "t"}])
        self.partner.category_id = tags
        subscription = self.watching("category_id", "parent_id")
        self.partner.write({"category_id": [(6, 0, tags[::-1].ids)]})
        self.assertFalse(self.rows(subscription))
        self.partner.write({"category_id": [(3, tags[0].id)]})
        self.assertEqual(len(self.rows(subscription)), 1)

    def test_stored_computed_field_fires_through_another_record(self):
        child = self.Partner.create({"name": "C", "parent_id": self.partner.id})
        subscription = self.watching("complete_name")
        self.partner.write({"name": "Renamed"})
        (event,) = self.events(subscription)
        self.assertEqual(event["record_ids"], sorted((self.partner + child).ids))

    def test_recomputation_alone_does_not_fire_without_watched_fields(self):
        self.Partner.create({"name": "C", "parent_id": self.partner.id})
        subscription = self.subscribe(event_type="write")
        self.partner.write({"name": "Renamed"})
        self.assertEqual(self.fired(subscription), [("write", self.partner.ids)])

    def test_equal_write_fires_without_watched_fields(self):
        subscription = self.subscribe(event_type="write")
        self.partner.write({"name": "A"})
        self.assertEqual(self.fired(subscription), [("write", self.partner.ids)])

    def test_watched_fields_do_not_concern_creation_and_deletion(self):
        subscription = self.subscribe(watched=["ref"])
        self.Partner.create({"name": "N"})
        self.partner.unlink()
        types = [type_ for type_, _ids in self.fired(subscription)]
        self.assertCountEqual(types, ["create", "unlink"])

    def test_translated_field_is_compared_as_stored(self):
        tag = self.env["res.partner.category"].create({"name": "Tag"})
        subscription = self.subscribe(
            "res.partner.category", event_type="write", watched=["name"]
        )
        tag.write({"name": "Tag"})
        self.assertFalse(self.rows(subscription))
        tag.write({"name": "Other"})
        self.assertEqual(self.fired(subscription), [("write", tag.ids)])

    def test_company_dependent_field_is_compared_as_stored(self):
        subscription = self.watching("barcode")
        self.partner.write({"barcode": "123"})
        self.assertEqual(self.fired(subscription), [("write", self.partner.ids)])

    def test_missing_watched_field_silences_the_subscription_and_says_so(self):
        subscription = self.watching("name")
        self.env.cr.execute(
            "UPDATE mcp_event_subscription SET watched_field_names = 'name,gone'"
        )
        self.env["mcp.event.subscription"]._forget_watched_here()
        self.env.invalidate_all()
        self.partner.write({"name": "B"})
        self.assertFalse(self.rows(subscription))
        self.sweep()
        self.assertIn("gone", subscription.sync_error)
