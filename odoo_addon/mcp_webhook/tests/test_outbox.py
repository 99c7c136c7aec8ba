# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import SUPERUSER_ID, api
from odoo.modules.neutralize import get_neutralization_queries
from odoo.sql_db import db_connect
from odoo.tests import tagged

from ..models.mcp_webhook_outbox import SWEEP_AFTER, Receipt
from .common import WebhookCase


@tagged("post_install", "-at_install")
class TestSubmission(WebhookCase):
    def submitted(self):
        """Event ids of each `event.submit`, in order."""
        calls = [
            params for method, params in self.sidecar.calls if method == "event.submit"
        ]
        return [[event["id"] for event in params["events"]] for params in calls]

    def waiting(self):
        return self.Outbox.search([]).delivery_id

    def test_commit_submits_and_forgets(self):
        subscription = self.subscribe()
        self.Partner.create({"name": "A"})
        row = self.rows(subscription)
        self.assertEqual((row.status, row.stage), ("pending", "odoo"))
        self.commit()
        self.assertEqual(self.submitted(), [[row.event_uuid]])
        self.assertFalse(self.waiting())
        row.invalidate_recordset()
        self.assertEqual((row.status, row.stage), ("pending", "sidecar"))

    def test_new_row_is_seen_by_whoever_looked_before(self):
        subscription = self.subscribe()
        self.assertEqual(
            (subscription.delivery_ids.ids, subscription.pending_count), ([], 0)
        )
        self.Partner.create({"name": "A"})
        self.env.cr.flush()
        self.assertEqual(len(subscription.delivery_ids), 1)
        self.assertEqual(
            (subscription.pending_count, subscription.delivery_count), (1, 1)
        )

    def test_submitted_event_is_the_contracts(self):
        self.subscribe(enrich_fields="name")
        partner = self.Partner.create({"name": "A"})
        self.commit()
        (event,) = self.sidecar.events.values()
        self.assertEqual(
            list(event),
            [
                "id",
                "subscription_id",
                "model",
                "event_type",
                "record_ids",
                "user_id",
                "timestamp",
                "records",
            ],
        )
        self.assertEqual(event["records"], [{"id": partner.id, "name": "A"}])

    def test_process_introduces_itself_once(self):
        self.subscribe()
        for _number in range(2):
            self.Partner.create({"name": "A"})
            self.commit()
        # the subscription's own sync has done it already
        self.assertEqual(self.sidecar.methods(), ["event.submit"] * 2)

    def test_nothing_to_tell_is_not_told(self):
        self.subscribe(domain="[('ref', '=', 'never')]")
        self.Partner.create({"name": "A"})
        self.commit()
        self.assertEqual(self.sidecar.calls, [])

    def test_sidecar_that_is_down_costs_one_try_and_loses_nothing(self):
        subscription = self.subscribe()
        self.sidecar.down = True
        for _number in range(3):
            self.Partner.create({"name": "A"})
            self.commit()
        self.assertEqual(self.sidecar.methods(), ["event.submit"])
        self.assertEqual(len(self.waiting()), 3)
        self.sidecar.down = False
        self.sweep()
        self.assertFalse(self.waiting())
        rows = self.rows(subscription)
        self.assertEqual(self.submitted()[-1], rows.mapped("event_uuid"))

    def test_sweep_closes_the_breaker(self):
        self.subscribe()
        self.sidecar.down = True
        self.Partner.create({"name": "A"})
        self.commit()
        access = self.env["mcp.webhook.sidecar"]
        self.assertTrue(access._is_open())
        self.sidecar.down = False
        self.sweep()
        self.assertFalse(access._is_open())

    def test_inline_submission_does_not_overtake_what_waits(self):
        subscription = self.subscribe()
        self.sidecar.down = True
        self.Partner.create({"name": "A"})
        self.commit()
        self.sidecar.down = False
        self.env["mcp.webhook.sidecar"]._note_success()
        self.Partner.create({"name": "B"})
        self.commit()
        rows = self.rows(subscription)
        self.assertEqual(len(rows), 2)
        self.assertEqual(self.submitted()[-1], rows.mapped("event_uuid"))

    def test_sweep_leaves_young_rows_to_their_transaction(self):
        self.subscribe()
        self.sidecar.down = True
        self.Partner.create({"name": "A"})
        self.commit()
        self.env.cr.execute(
            "UPDATE mcp_webhook_delivery SET create_date = now() AT TIME ZONE 'UTC'"
        )
        self.assertFalse(self.Outbox._waiting(None, older_than=SWEEP_AFTER))
        self.assertTrue(self.Outbox._waiting(None, older_than=0))

    def test_row_that_somebody_else_forgets_meanwhile_is_no_trouble(self):
        """On connections of its own: only there can two transactions meet."""
        insert = """INSERT INTO mcp_webhook_delivery (event_uuid, attempt, trigger, status)
                         VALUES (gen_random_uuid(), 1, 'event', 'pending') RETURNING id"""
        database = db_connect(self.env.cr.dbname)
        with database.cursor() as other, database.cursor() as ours:
            other.execute(insert)
            (id_,) = other.fetchone()
            self.addCleanup(self.forget_delivery, id_)
            other.execute(
                "INSERT INTO mcp_webhook_outbox (delivery_id) VALUES (%s)", [id_]
            )
            other._cnx.commit()
            ours.execute("SELECT 1")  # the snapshot
            other.execute("DELETE FROM mcp_webhook_outbox WHERE delivery_id = %s", [id_])
            other._cnx.commit()
            outbox = api.Environment(ours, SUPERUSER_ID, {})["mcp.webhook.outbox"]
            receipt = Receipt([], None, None)
            self.assertFalse(outbox._forgotten([id_], receipt))
            ours.execute("SELECT count(*) FROM mcp_webhook_outbox")
            self.assertTrue(outbox._forgotten([id_], receipt))

    def forget_delivery(self, id_):
        with db_connect(self.env.cr.dbname).cursor() as cr:
            cr.execute("DELETE FROM mcp_webhook_delivery WHERE id = %s", [id_])

    def test_duplicate_is_as_good_as_accepted(self):
        subscription = self.subscribe()
        self.Partner.create({"name": "A"})
        event = self.events(subscription)[0]
        self.sidecar.events[event["id"]] = event
        self.commit()
        self.assertFalse(self.waiting())
        self.assertEqual(self.rows(subscription).status, "pending")

    def test_refusal_becomes_a_failed_row(self):
        subscription = self.subscribe()
        self.sidecar.refusals["*"] = ("payload_too_large", "The event has 300 KiB.")
        self.Partner.create({"name": "A"})
        self.commit()
        row = self.rows(subscription)
        self.assertEqual((row.status, row.stage), ("failed", "done"))
        self.assertEqual(row.error_kind, "payload_too_large")
        self.assertEqual(row.error_message, "The event has 300 KiB.")
        self.assertFalse(self.waiting())
        self.assertEqual(subscription.failure_count, 1)
        self.assertEqual(subscription.last_delivery_status, "failed")

    def test_unknown_subscription_waits_for_the_next_sync(self):
        subscription = self.subscribe()
        self.sidecar.refusals["*"] = ("not_found", "No such subscription.")
        self.Partner.create({"name": "A"})
        self.commit()
        self.assertEqual(self.waiting(), self.rows(subscription))
        del self.sidecar.refusals["*"]
        self.sweep()
        self.assertFalse(self.waiting())
        self.assertEqual(self.rows(subscription).status, "pending")

    def test_subscription_still_unknown_after_a_sync_is_told_again(self):
        subscription = self.subscribe()
        self.sidecar.refusals["*"] = ("not_found", "No such subscription.")
        self.Partner.create({"name": "A"})
        self.commit()
        self.sweep()
        self.assertEqual(self.waiting(), self.rows(subscription))
        self.assertTrue(subscription.sync_pending)
        del self.sidecar.refusals["*"]
        self.sweep()
        self.assertFalse(self.waiting())

    def test_fenced_database_keeps_its_events_and_shows_why(self):
        subscription = self.subscribe()
        self.sidecar.refusals["event.submit"] = ("fenced", "Another database owns me.")
        self.Partner.create({"name": "A"})
        self.commit()
        self.sweep()
        self.assertEqual(self.waiting(), self.rows(subscription))
        self.assertEqual(self.Mirror._status()["trouble"], "Another database owns me.")

    def test_neutralized_copy_calls_nobody(self):
        self.subscribe()
        self.env["ir.config_parameter"].set_param("database.is_neutralized", True)
        self.Partner.create({"name": "A"})
        self.commit()
        self.sweep()
        self.assertEqual(self.sidecar.calls, [])
        self.assertEqual(len(self.waiting()), 1)


@tagged("post_install", "-at_install")
class TestNeutralize(WebhookCase):
    def test_neutralized_copy_holds_no_endpoint_and_no_secret(self):
        subscription = self.subscribe(webhook_secret="0123456789abcdef")
        self.sidecar.down = True
        self.Partner.create({"name": "A"})
        self.commit()
        self.env.flush_all()
        for query in get_neutralization_queries(["mcp_webhook"]):
            self.env.cr.execute(query)
        self.env.invalidate_all()
        self.assertFalse(subscription.active)
        self.assertFalse(subscription.webhook_url)
        self.assertFalse(subscription.has_secret)
        self.assertFalse(self.Outbox.search([]))
        self.env["mcp.event.subscription"]._forget_watched_here()
        get_param = self.env["ir.config_parameter"].get_param
        self.assertFalse(get_param("mcp_webhook.sidecar_token"))
        self.Partner.create({"name": "B"})
        self.assertEqual(len(self.rows(subscription)), 1)
