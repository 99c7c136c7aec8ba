# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import re

from odoo.exceptions import UserError
from odoo.tests import tagged

from ..models import mcp_event_subscription_deletion as deletion
from .common import WebhookCase


@tagged("post_install", "-at_install")
class TestLongLog(WebhookCase):
    ROWS = 7

    def setUp(self):
        super().setUp()
        self.patch(deletion, "AT_ONCE", 3)
        self.patch(deletion, "BATCH", 3)
        self.subscription = self.subscribe(webhook_secret="a-secret-of-16-letters")
        for number in range(self.ROWS):
            self.Partner.create({"name": str(number)})
            self.commit()
        self.uuid = self.subscription.uuid

    def held(self):
        """How many rows still name it, past the ORM."""
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT count(*) FROM mcp_webhook_delivery WHERE subscription_id = %s",
            [self.subscription.id],
        )
        return self.env.cr.fetchone()[0]

    def test_deletion_touches_no_row_of_the_log(self):
        self.subscription.unlink()
        self.assertEqual(self.held(), self.ROWS)

    def test_it_is_gone_at_once_for_everybody(self):
        subscription = self.subscription
        subscription.unlink()
        everything = subscription.with_context(active_test=False).sudo()
        self.assertFalse(everything.search([("id", "=", subscription.id)]))
        self.assertFalse(subscription.exists())
        self.assertFalse(subscription.sudo().secret_value)
        with self.assertRaises(UserError):
            subscription.with_user(self.admin).write({"active": True})
        self.Partner.create({"name": "Afterwards"})
        self.env.cr.flush()
        self.assertEqual(self.held(), self.ROWS)
        self.commit()
        self.assertEqual(self.sidecar.last("subscription.delete"), {"id": self.uuid})

    def test_the_sweep_lets_go_in_batches_and_then_of_itself(self):
        self.subscription.unlink()
        with self.enter_registry_test_mode():
            held = [self.held()]
            while held[-1]:
                # as another process, which has nothing of it in its cache
                self.env.invalidate_all()
                self.env["mcp.event.subscription"]._let_go_of_some()
                held.append(self.held())
        self.assertEqual(held, [7, 4, 1, 0])
        self.sweep()
        self.env.cr.execute(
            "SELECT 1 FROM mcp_event_subscription WHERE id = %s", [self.subscription.id]
        )
        self.assertFalse(self.env.cr.fetchone())
        rows = self.Delivery.search([("subscription_name", "=", "res.partner all")])
        self.assertEqual(len(rows), self.ROWS)

    def test_rows_that_still_point_to_it_are_rows_of_a_deleted_one(self):
        """In each screen and button, for another process."""
        row = self.rows(self.subscription)[-1]
        self.sidecar.attempt(row.event_uuid, status="failed", response_code=500)
        self.pull()
        self.subscription.unlink()
        self.commit()
        self.env.invalidate_all()
        seen = row.with_user(self.admin)
        self.assertIn("was deleted", seen.advice)
        form = seen.get_view(view_type="form")["arch"]
        names = set(re.findall(r'<field name="(\w+)"', form)) & set(seen._fields)
        self.assertTrue(seen.read(sorted(names)))
        self.assertTrue(seen.web_read({name: {} for name in names}))
        self.sidecar.refusals["delivery.redeliver"] = ("not_found", "no such event")
        for press in (seen.action_redeliver, seen.action_preview):
            self.env.invalidate_all()
            with self.assertRaises(UserError), self.enter_registry_test_mode():
                press()
        self.env.invalidate_all()
        self.sweep()
        self.pull()

    def test_nobody_reads_or_changes_it(self):
        self.subscription.unlink()
        self.env.invalidate_all()
        subscription = self.subscription.with_user(self.admin)
        self.assertEqual(subscription.read(["name"]), [])
        for press in (
            lambda: subscription.name,
            lambda: subscription.write({"name": "Again"}),
            subscription.action_pause,
            subscription.action_send_test,
            lambda: subscription.update_subscription(subscription.id, fields=[]),
        ):
            self.env.invalidate_all()
            self.assertRefused(press)

    def test_archiving_touches_no_row_of_the_log(self):
        self.env.flush_all()
        self.env.cr.execute("SELECT max(xmin::text::bigint) FROM mcp_webhook_delivery")
        before = self.env.cr.fetchone()
        log = self.Delivery.search([]).mapped("advice")
        self.subscription.active = False
        self.commit()
        self.env.cr.execute("SELECT max(xmin::text::bigint) FROM mcp_webhook_delivery")
        self.assertEqual(self.env.cr.fetchone(), before, log)

    def test_what_waits_is_counted_by_an_index_of_what_waits(self):
        query = """EXPLAIN SELECT subscription_id, count(*) FROM mcp_webhook_delivery
                    WHERE subscription_id IN (%s) AND status = 'pending'
                 GROUP BY subscription_id"""
        self.env.cr.execute("SET LOCAL enable_seqscan TO off")
        self.env.cr.execute(query, [self.subscription.id])
        plan = "\n".join(line for (line,) in self.env.cr.fetchall())
        self.assertIn("mcp_webhook_delivery_waiting_idx", plan)
        self.assertEqual(self.subscription.pending_count, self.ROWS)
        self.assertEqual(self.subscription.delivery_count, self.ROWS)
