# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Another thread rebuilds the registry in the middle of a transaction."""

from unittest.mock import patch

from odoo import Command
from odoo.orm import model_classes
from odoo.tests import tagged

from ..models import mcp_event_subscription_capture as capture
from .common import WebhookCase


@tagged("post_install", "-at_install")
class TestRebuilt(WebhookCase):
    def setUp(self):
        super().setUp()
        self.tag = self.env["res.partner.category"].create({"name": "T"})
        self.partner = self.Partner.create({"name": "P"})

    def by_the_other_thread(self, work):
        """With a cursor, caches and pending writes of its own."""
        with self.enter_registry_test_mode(), self.registry.cursor() as cr:
            work(cr)

    def test_what_changed_before_and_after_is_told(self):
        rebuilds = {
            "all": lambda cr: self.registry._setup_models__(cr),
            "some": lambda cr: self.registry._setup_models__(cr, ["res.partner"]),
            "other": lambda cr: self.registry._setup_models__(
                cr, ["res.partner.category"]
            ),
        }
        changes = {
            "here": lambda: self.partner.write(
                {"category_id": [Command.link(self.tag.id)]}
            ),
            "there": lambda: self.tag.write(
                {"partner_ids": [Command.link(self.partner.id)]}
            ),
            "column": lambda: self.partner.write({"ref": "1"}),
            "computed": lambda: self.partner.write({"name": "Q"}),
        }
        watched = {"column": "ref", "computed": "complete_name"}
        for rebuild, work in rebuilds.items():
            for change, do in changes.items():
                for when in ("before", "flushed", "after"):
                    with self.subTest(rebuild=rebuild, change=change, when=when):
                        self.partner.write(
                            {"category_id": False, "ref": "0", "name": "P"}
                        )
                        subscription = self.subscribe(
                            event_type="write",
                            watched=[watched.get(change, "category_id")],
                        )
                        if when == "after":
                            self.partner.color += 1
                            self.by_the_other_thread(work)
                        do()
                        if when == "flushed":
                            self.env.flush_all()
                        if when != "after":
                            self.by_the_other_thread(work)
                        expected = [("write", self.partner.ids)]
                        self.assertEqual(self.fired(subscription), expected)
                        self.commit()
                        subscription.unlink()

    def in_the_middle(self, work):
        """Where fields and relations are not there, and will be again."""
        setup, fields = model_classes.setup_model_classes, self.Partner._fields

        def first_work(env):
            kept = {n: f for n, f in fields.items() if n not in ("category_id", "ref")}
            with patch.object(type(self.Partner), "_fields", kept):
                work()
            setup(env)

        with patch.object(model_classes, "setup_model_classes", first_work):
            self.by_the_other_thread(lambda cr: self.registry._setup_models__(cr))

    def test_a_decision_in_the_middle_is_late_and_right(self):
        self.partner.write({"ref": "0"})
        tagged_ = self.subscribe(event_type="write", watched=["category_id"])
        column = self.subscribe(event_type="write", watched=["ref"])
        unchanged = self.subscribe(event_type="write", watched=["name"])
        self.partner.write({"ref": "1", "name": "Q"})
        self.partner.write({"name": "P"})
        self.tag.partner_ids = self.partner
        self.env.flush_all()
        self.in_the_middle(self.env.cr.flush)
        for subscription in (tagged_, column):
            (row,) = self.rows(subscription)
            self.assertEqual((row.record_ids, row.event), (self.partner.ids, False))
        self.assertFalse(self.rows(unchanged))
        self.commit()
        self.sweep()
        for subscription in (tagged_, column):
            self.assertEqual(self.fired(subscription), [("write", self.partner.ids)])

    def test_who_watches_what_is_not_read_in_the_middle(self):
        subscription = self.subscribe(event_type="write", watched=["category_id"])
        watched = self.env["mcp.event.subscription"]._watched()
        setattr(self.registry, capture.KEPT, (-1, watched))  # others have changed some
        self.in_the_middle(lambda: self.tag.write({"color": 2}))
        self.assertIn("category_id", watched["res.partner"].sides)
        self.tag.partner_ids = self.partner
        self.assertEqual(self.fired(subscription), [("write", self.partner.ids)])
