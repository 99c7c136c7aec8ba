# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What one transaction does to many records costs memory for their ids alone."""

import json
import tracemalloc
from contextlib import suppress
from unittest.mock import patch

from odoo.tests import tagged
from odoo.tools import SQL, mute_logger

from ..capture import decide, doors, parting
from .common import WebhookCase

SLICE, TEXT, HELD = 100, 10_000, 500_000
# Of one more record: its ids in the notes and in Odoo's own lists.
PER_RECORD = 2_000


@tagged("post_install", "-at_install")
class TestMemory(WebhookCase):
    def setUp(self):
        super().setUp()
        self.enterContext(patch.object(decide, "SLICE", SLICE))
        self.enterContext(patch.object(doors, "SLICE", SLICE))
        self.enterContext(patch.object(parting, "HELD_BYTES", HELD))
        self.enterContext(patch.object(decide, "BATCH_BYTES", HELD))

    def banks(self, count):
        """Each with a text that no other one has."""
        banks = self.filled(count)
        self.commit()
        return banks

    def filled(self, count):
        banks = self.env["res.bank"].create([{"name": "A"} for _ in range(count)])
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE res_bank SET street = id::text || repeat('x', %s) WHERE id = ANY(%s)",
            [TEXT, banks.ids],
        )
        self.env.invalidate_all()
        return banks

    def peak(self, work, count):
        """Bytes at the most while so many records go through `work`."""
        banks = self.banks(count)
        tracemalloc.start()
        try:
            work(banks)
            self.env.cr.flush()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def test_only_ids_grow_with_the_records(self):
        few, many = 3 * SLICE, 12 * SLICE
        for kind, work in (
            ("create", lambda banks: self.filled(len(banks))),
            ("write", lambda banks: banks.write({"name": "B"})),
            ("unlink", lambda banks: banks.unlink()),
        ):
            with self.subTest(kind):
                self.subscribe("res.bank", event_type=kind, enrich_fields="street")
                grown = self.peak(work, many) - self.peak(work, few)
                self.assertLess(grown, (many - few) * PER_RECORD)
                self.env["mcp.event.subscription"].search([]).active = False

    def test_every_deletion_is_told_whole_in_order_and_once(self):
        subscription = self.subscribe(
            "res.bank", event_type="unlink", enrich_fields="street"
        )
        banks = self.banks(5 * SLICE)
        streets = {bank.id: bank.street for bank in banks}
        banks.unlink()
        self.env.cr.flush()  # a decision in the middle
        more = self.banks(2)
        streets |= {bank.id: bank.street for bank in more}
        more.unlink()
        events = self.events(subscription)
        told = {r["id"]: r["street"] for event in events for r in event["records"]}
        self.assertEqual(told, streets)
        ids = [id_ for event in events for id_ in event["record_ids"]]
        self.assertEqual(ids, sorted(streets))

    def test_a_savepoint_takes_back_what_waits_in_the_table(self):
        subscription = self.subscribe(
            "res.bank", event_type="unlink", enrich_fields="street"
        )
        banks = self.banks(2 * SLICE)
        for _ in range(2):
            with suppress(ZeroDivisionError), self.env.cr.savepoint():
                banks.unlink()
                self.env.cr.flush()
                raise ZeroDivisionError
            self.assertFalse(self.rows(subscription))
        banks.write({"street": "Last"})
        self.env.flush_all()
        banks[:-1].unlink()
        records = [r for event in self.events(subscription) for r in event["records"]]
        self.assertEqual([r["id"] for r in records], banks[:-1].ids)
        self.assertEqual({r["street"] for r in records}, {"Last"})
        self.assertNotIn("failed", self.rows(subscription).mapped("status"))

    def test_a_table_that_is_gone_stands_in_the_log(self):
        subscription = self.subscribe(
            "res.bank", event_type="unlink", enrich_fields="street"
        )
        banks = self.banks(2 * SLICE)
        banks.unlink()
        self.env.cr.execute("DROP TABLE pg_temp.mcp_webhook_parting")
        rows = self.rows(subscription)
        told = {id_ for row in rows for id_ in row.record_ids}
        self.assertEqual(told, set(banks.ids))
        self.assertIn("failed", rows.mapped("status"))
        self.assertTrue(all(json.loads(row.event) for row in rows if row.event))

    def test_what_cannot_be_stored_is_told_without_values_and_nothing_else_is(self):
        """The database's role may make no temporary table."""
        subscription = self.subscribe(
            "res.bank",
            event_type="unlink",
            enrich_fields="street",
            domain="[('name', '=', 'A')]",
        )
        banks = self.banks(2 * SLICE)
        others = banks[::2]
        others.write({"name": "B"})
        self.commit()
        refused = SQL("SELECT 1 / 0 AS no_right_to_make_a_table")
        with (
            patch.object(parting, "_TABLE", refused),
            mute_logger("odoo.addons.mcp_webhook.capture.parting"),
        ):
            banks.unlink()
            rows = self.rows(subscription)
        told = {id_ for row in rows for id_ in row.record_ids}
        self.assertEqual(told, set((banks - others).ids))
        self.assertIn("failed", rows.mapped("status"))
