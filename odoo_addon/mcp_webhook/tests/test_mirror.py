# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import uuid
from datetime import datetime, timedelta

from odoo import fields
from odoo.exceptions import UserError
from odoo.tests import new_test_user, tagged

from ..models import mcp_webhook_mirror
from .common import WebhookCase


@tagged("post_install", "-at_install")
class TestMirror(WebhookCase):
    def setUp(self):
        super().setUp()
        self.subscription = self.subscribe()

    def submit(self):
        """One submitted event; returns its row."""
        self.Partner.create({"name": "A"})
        row = self.rows(self.subscription)[-1]
        self.commit()
        return row

    def test_success_reaches_row_and_badge(self):
        row = self.submit()
        self.sidecar.attempt(row.event_uuid)
        self.assertTrue(self.pull())
        self.assertEqual((row.status, row.stage), ("success", "done"))
        self.assertEqual(row.response_code, 200)
        self.assertEqual(row.payload, '{"hello":"world"}')
        self.assertEqual(row.response_body, "ok")
        self.assertEqual(row.duration_ms, 12)
        self.assertEqual(row.finished_at, datetime(2026, 1, 2, 3, 4, 6))
        self.assertFalse(row.sudo().event)
        self.assertEqual(self.subscription.last_delivery_status, "success")
        self.assertEqual(self.subscription.last_delivery, row.finished_at)
        self.assertEqual(self.subscription.failure_count, 0)

    def test_failure_without_an_answer(self):
        row = self.submit()
        error = {"kind": "timeout", "message": "No answer within 10 s."}
        self.sidecar.attempt(
            row.event_uuid,
            status="failed",
            response_code=None,
            response_body=None,
            error=error,
        )
        self.pull()
        self.assertEqual((row.status, row.response_code), ("failed", 0))
        self.assertEqual((row.error_kind, row.error_message), tuple(error.values()))
        self.assertFalse(row.response_body)
        self.assertEqual(self.subscription.last_delivery_status, "failed")
        self.assertEqual(self.subscription.failure_count, 1)

    def test_retry_has_its_own_row(self):
        row = self.submit()
        self.sidecar.attempt(row.event_uuid, status="failed", response_code=503)
        self.sidecar.attempt(
            row.event_uuid,
            attempt=2,
            trigger="retry",
            status="pending",
            response_code=None,
            finished_at=None,
            next_attempt_at="2026-01-02T03:05:06.000Z",
        )
        self.pull()
        second = self.rows(self.subscription, attempt=2)
        self.assertEqual((second.status, second.trigger), ("pending", "retry"))
        self.assertEqual(second.stage, "sidecar")
        self.assertEqual(second.next_attempt_at, datetime(2026, 1, 2, 3, 5, 6))
        self.assertEqual(second.record_ids, row.record_ids)
        self.assertEqual(second.event_type, "create")
        self.assertEqual(second.user_id, row.user_id)
        self.assertEqual(self.subscription.last_delivery_status, "pending")
        self.sidecar.attempt(row.event_uuid, attempt=2, trigger="retry")
        self.pull()
        self.assertEqual(second.status, "success")
        self.assertEqual(self.subscription.last_delivery_status, "success")
        self.assertEqual(self.subscription.failure_count, 1)

    def test_final_row_never_goes_back(self):
        row = self.submit()
        self.sidecar.attempt(row.event_uuid)
        self.pull()
        self.sidecar.attempt(row.event_uuid, status="pending", finished_at=None)
        self.sidecar.attempt(row.event_uuid, status="failed", response_code=500)
        self.pull()
        self.assertEqual((row.status, row.response_code), ("success", 200))
        self.assertEqual(self.subscription.failure_count, 0)

    def test_feed_is_read_once_and_to_its_end(self):
        rows = [self.submit() for _number in range(3)]
        self.patch(mcp_webhook_mirror, "PAGE", 2)
        for row in rows:
            self.sidecar.attempt(row.event_uuid)
        self.pull()
        self.assertEqual({row.status for row in rows}, {"success"})
        self.sidecar.calls.clear()
        self.pull()
        ((method, params),) = self.sidecar.calls
        self.assertEqual((method, params["after"][-2:]), ("delivery.changes", "/3"))

    def test_test_attempt_has_a_row_and_is_not_counted(self):
        self.sidecar.attempt(
            str(uuid.uuid4()),
            subscription_id=self.subscription.uuid,
            trigger="test",
            status="failed",
            response_code=404,
        )
        self.pull()
        row = self.rows(self.subscription)
        self.assertEqual((row.trigger, row.status), ("test", "failed"))
        self.assertEqual(row.model_name, "res.partner")
        self.assertEqual(self.subscription.last_delivery_status, "failed")
        self.assertEqual(self.subscription.failure_count, 0)

    def test_unknown_events_are_left_alone(self):
        before = self.Delivery.search_count([])
        self.sidecar.attempt(str(uuid.uuid4()), subscription_id=str(uuid.uuid4()))
        self.pull()
        self.assertEqual(self.Delivery.search_count([]), before)

    def test_text_that_postgresql_refuses_is_cleaned(self):
        row = self.submit()
        self.sidecar.attempt(row.event_uuid, response_body="a\0b\ud800c")
        self.pull()
        self.assertEqual(row.response_body, "ab?c")

    def test_open_lists_are_told_once_per_batch(self):
        rows = [self.submit() for _number in range(3)]
        for row in rows:
            self.sidecar.attempt(row.event_uuid)
        Bus = self.env["bus.bus"].sudo()
        self.pull()
        Bus.search([]).unlink()
        more = [self.submit() for _number in range(3)]
        for row in more:
            self.sidecar.attempt(row.event_uuid)
        with self.enter_registry_test_mode():
            self.env["mcp.webhook.mirror"]._pull()
        managers = self.env.ref("mcp_webhook.group_manager").all_user_ids
        messages = Bus.search([])
        self.assertEqual(len(messages), len(managers))
        for message in messages:
            self.assertIn("mcp_webhook/delivery", message.message)
            self.assertIn(f'"subscription_ids":[{self.subscription.id}]', message.message)

    def test_open_screens_are_told_of_their_own_companies(self):
        company = self.env["res.company"].create({"name": "B"})
        groups = "base.group_user,mcp_webhook.group_manager"
        theirs = new_test_user(
            self.env,
            "theirs",
            groups=groups,
            company_ids=company.ids,
            company_id=company.id,
        )
        ours = new_test_user(self.env, "ours", groups=groups)
        for owner, heard in (
            (company, {theirs}),
            (self.env.company, {ours}),
            (company.browse(), {theirs, ours}),
        ):
            self.subscription.company_id = owner
            row = self.submit()
            self.sidecar.attempt(row.event_uuid)
            Bus = self.env["bus.bus"].sudo()
            Bus.search([]).unlink()
            with self.enter_registry_test_mode():
                self.env["mcp.webhook.mirror"]._pull()
            told = [("message", "like", f"[{self.subscription.id}]")]
            channels = " ".join(Bus.search(told).mapped("channel"))
            for user in (theirs, ours):
                channel = f'"res.partner",{user.partner_id.id}]'
                with self.subTest(company=owner.name, user=user.login):
                    self.assertEqual(channel in channels, user in heard, channels)

    def test_outcome_that_overtakes_the_answer_ends_the_waiting(self):
        self.sidecar.down = True
        row = self.submit()
        self.assertEqual(row.stage, "odoo")
        self.sidecar.down = False
        self.sidecar.attempt(row.event_uuid, subscription_id=self.subscription.uuid)
        self.pull()
        self.assertEqual(row.stage, "done")
        self.sweep()
        self.assertFalse(self.Outbox.search([]))
        self.assertNotIn("event.submit", self.sidecar.methods()[1:])

    def test_waiting_events_turn_the_badge_at_the_sweep(self):
        self.sidecar.down = True
        self.submit()
        self.assertFalse(self.subscription.last_delivery_status)
        self.sweep()
        self.assertEqual(self.subscription.last_delivery_status, "pending")

    def test_trouble_is_shown_until_it_is_over(self):
        self.pull()
        self.assertTrue(self.Mirror._status()["reachable_since"])
        self.sidecar.down = True
        self.assertFalse(self.pull())
        status = self.Mirror._status()
        self.assertTrue(status["unreachable_since"])
        self.assertEqual(status["trouble"], "The sidecar did not answer in time.")
        self.sidecar.down = False
        self.pull()
        status = self.Mirror._status()
        self.assertFalse(status["unreachable_since"] or status["trouble"])
        self.assertTrue(status["reachable_since"])


@tagged("post_install", "-at_install")
class TestNewLog(WebhookCase):
    """The sidecar lost its data, or is another one."""

    def setUp(self):
        super().setUp()
        self.subscription = self.subscribe()
        self.pull()

    def replace_sidecar(self):
        self.sidecar = type(self.sidecar)()

    def check_healed(self, row):
        self.assertIn("subscription.sync", self.sidecar.methods())
        self.sweep()
        self.assertEqual(list(self.sidecar.events), [row.event_uuid])
        self.sidecar.attempt(row.event_uuid)
        self.pull()
        self.assertEqual(row.status, "success")

    def test_pending_first_attempts_are_submitted_again(self):
        self.Partner.create({"name": "A"})
        row = self.rows(self.subscription)
        self.commit()
        self.assertFalse(self.Outbox.search([]))
        self.replace_sidecar()
        self.pull()
        self.assertEqual(self.Outbox.search([]).delivery_id, row)
        self.check_healed(row)

    def test_sweep_alone_heals(self):
        self.Partner.create({"name": "A"})
        row = self.rows(self.subscription)
        self.commit()
        self.replace_sidecar()
        self.sweep()
        self.check_healed(row)

    def test_introduction_alone_tells_the_other_log(self):
        self.replace_sidecar()
        with self.enter_registry_test_mode():
            self.env["mcp.webhook.mirror"]._pull(again=True)
        self.assertEqual(
            self.sidecar.methods()[:2], ["system.attach", "subscription.sync"]
        )

    def test_pending_later_attempts_fail_as_internal(self):
        self.Partner.create({"name": "A"})
        row = self.rows(self.subscription)
        self.commit()
        self.sidecar.attempt(row.event_uuid, status="failed", response_code=500)
        self.sidecar.attempt(
            row.event_uuid, attempt=2, trigger="retry", status="pending", finished_at=None
        )
        self.pull()
        self.replace_sidecar()
        self.pull()
        second = self.rows(self.subscription, attempt=2)
        self.assertEqual((second.status, second.error_kind), ("failed", "internal"))
        self.assertIn("log was replaced", second.error_message)
        self.assertEqual(self.subscription.failure_count, 2)


@tagged("post_install", "-at_install")
class TestDeliveryLog(WebhookCase):
    def setUp(self):
        super().setUp()
        self.subscription = self.subscribe()
        self.partner = self.Partner.create({"name": "A"})
        self.row = self.rows(self.subscription)
        self.commit()
        self.sidecar.attempt(self.row.event_uuid, status="failed", response_code=500)
        self.pull()

    def redeliver(self, rows):
        with self.enter_registry_test_mode():
            return rows.with_user(self.admin).action_redeliver()

    def test_redelivery_shows_its_pending_row_at_once(self):
        self.redeliver(self.row)
        new = self.rows(self.subscription, attempt=2)
        self.assertEqual((new.trigger, new.status), ("manual", "pending"))

    def test_refused_redelivery_says_why(self):
        self.sidecar.refusals["delivery.redeliver"] = ("conflict", "?")
        with self.assertRaisesRegex(UserError, "is pending already"):
            self.redeliver(self.row)

    def test_sidecar_that_is_down_is_named(self):
        self.sidecar.down = True
        with self.assertRaisesRegex(UserError, "did not answer in time"):
            self.redeliver(self.row)

    def test_only_managers_redeliver(self):
        user = new_test_user(self.env, "clerk", groups="base.group_user")
        with self.assertRaises(Exception) as caught:
            self.row.with_user(user).action_redeliver()
        self.assertIn(type(caught.exception).__name__, ("AccessError", "UserError"))
        self.assertNotIn("delivery.redeliver", self.sidecar.methods())

    def test_deliveries_of_a_record_are_found(self):
        self.assertEqual(
            self.Delivery._of_record("res.partner", self.partner.id), self.row
        )
        self.assertFalse(self.Delivery._of_record("res.users", self.partner.id))
        self.assertFalse(self.Delivery._of_record("res.partner", self.partner.id + 1))

    def test_stage_can_be_searched(self):
        self.sidecar.down = True
        self.Partner.create({"name": "B"})
        waiting = self.rows(self.subscription)[-1]
        self.commit()
        mine = [("subscription_id", "=", self.subscription.id)]
        for stage, rows in (("odoo", waiting), ("done", self.row)):
            found = self.Delivery.search([*mine, ("stage", "=", stage)])
            self.assertEqual(found, rows, stage)
        self.assertFalse(self.Delivery.search([*mine, ("stage", "=", "sidecar")]))
        self.assertEqual(self.Delivery.search([*mine, ("stage", "!=", "done")]), waiting)

    def test_retention_spares_what_is_pending(self):
        self.Partner.create({"name": "B"})
        pending = self.rows(self.subscription)[-1]
        old = fields.Datetime.now() - timedelta(days=31)
        self.env.cr.execute("UPDATE mcp_webhook_delivery SET create_date = %s", [old])
        self.Delivery.invalidate_model()
        self.Delivery._gc_deliveries()
        self.assertEqual(self.rows(self.subscription), pending)

    def test_retention_follows_its_parameter(self):
        old = fields.Datetime.now() - timedelta(days=31)
        self.env.cr.execute("UPDATE mcp_webhook_delivery SET create_date = %s", [old])
        self.env["ir.config_parameter"].set_param("mcp_webhook.retention_days", "32")
        self.Delivery._gc_deliveries()
        self.assertTrue(self.row.exists())

    def test_too_many_finished_rows_go_early_oldest_first(self):
        for _ in range(3):
            self.row.copy({"event_uuid": str(uuid.uuid4()), "status": "failed"})
        pending = self.row.copy({"event_uuid": str(uuid.uuid4()), "status": "pending"})
        rows = self.rows(self.subscription)
        self.env["ir.config_parameter"].set_param("mcp_webhook.retention_rows", "2")
        self.Delivery._gc_deliveries()
        self.assertEqual(rows.exists(), rows[-3:])
        self.assertIn(pending, rows.exists())

    def test_log_outlives_its_subscription(self):
        self.subscription.unlink()
        self.row.invalidate_recordset()
        self.assertFalse(self.row.subscription_id)
        self.assertEqual(self.row.subscription_name, "res.partner all")
