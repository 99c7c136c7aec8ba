# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from contextlib import closing, suppress

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_INERROR

from odoo.sql_db import Savepoint
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

from ..capture.watch import SKIP, UNSEEN
from .common import WebhookCase


@tagged("post_install", "-at_install")
class TestCapture(WebhookCase):
    def test_records_created_together_make_one_event(self):
        subscription = self.subscribe()
        partners = self.Partner.create([{"name": "A"}, {"name": "B"}])
        (event,) = self.events(subscription)
        self.assertEqual(event["event_type"], "create")
        self.assertEqual(event["record_ids"], sorted(partners.ids))
        self.assertEqual(event["model"], "res.partner")
        self.assertEqual(event["subscription_id"], subscription.uuid)
        self.assertEqual(event["user_id"], self.env.uid)
        self.assertRegex(event["timestamp"], r"^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$")
        self.assertNotIn("records", event)

    def test_event_says_who_made_the_first_change(self):
        partner = self.Partner.create({"name": "A"})
        subscription = self.subscribe()
        partner.with_user(self.admin).write({"name": "B"})
        partner.write({"name": "C"})
        self.assertEqual(self.events(subscription)[0]["user_id"], self.admin.id)

    def test_create_then_write_is_a_creation(self):
        subscription = self.subscribe()
        partner = self.Partner.create({"name": "A"})
        partner.write({"name": "B"})
        self.assertEqual(self.fired(subscription), [("create", partner.ids)])

    def test_two_writes_are_one_event(self):
        partner = self.Partner.create({"name": "A"})
        subscription = self.subscribe()
        partner.write({"name": "B"})
        partner.write({"ref": "7"})
        self.assertEqual(self.fired(subscription), [("write", partner.ids)])

    def test_create_then_unlink_is_nothing(self):
        subscription = self.subscribe()
        self.Partner.create({"name": "A"}).unlink()
        self.assertEqual(self.fired(subscription), [])

    def test_write_then_unlink_is_a_deletion(self):
        partner = self.Partner.create({"name": "A"})
        subscription = self.subscribe()
        partner.write({"name": "B"})
        ids = partner.ids
        partner.unlink()
        self.assertEqual(self.fired(subscription), [("unlink", ids)])

    def test_each_event_type_has_its_own_event(self):
        kept, gone = self.Partner.create([{"name": "A"}, {"name": "B"}])
        subscription = self.subscribe()
        kept.write({"name": "C"})
        gone_ids = gone.ids
        gone.unlink()
        new = self.Partner.create({"name": "D"})
        self.assertCountEqual(
            self.fired(subscription),
            [("write", kept.ids), ("unlink", gone_ids), ("create", new.ids)],
        )

    def test_subscription_hears_only_of_its_event_type(self):
        partner = self.Partner.create({"name": "A"})
        for event_type in ("create", "write", "unlink"):
            subscription = self.subscribe(event_type=event_type)
            new = self.Partner.create({"name": "N"})
            partner.write({"ref": event_type})
            self.env.cr.flush()
            old = self.Partner.create({"name": "O"})
            self.commit()
            old.unlink()
            types = {type_ for type_, _ids in self.fired(subscription)}
            self.assertEqual(types, {event_type})
            self.assertTrue(new.exists())

    def test_silent_subscriptions_make_no_rows(self):
        for values in (
            {"webhook_url": False},
            {"active": False},
            {"approval": "waiting"},
        ):
            subscription = self.subscribe(**values)
            self.Partner.create({"name": "A"})
            self.assertFalse(self.rows(subscription), values)

    def test_change_of_the_subscription_counts_from_then_on(self):
        subscription = self.subscribe(active=False)
        subscription.active = True
        self.Partner.create({"name": "A"})
        self.assertEqual(len(self.rows(subscription)), 1)
        self.commit()
        subscription.active = False
        self.Partner.create({"name": "A"})
        self.assertEqual(len(self.rows(subscription)), 1)

    def test_more_than_200_records_make_further_events(self):
        subscription = self.subscribe()
        partners = self.Partner.create([{"name": str(n)} for n in range(401)])
        events = self.events(subscription)
        self.assertEqual([len(e["record_ids"]) for e in events], [200, 200, 1])
        ids = [id_ for event in events for id_ in event["record_ids"]]
        self.assertEqual(ids, sorted(partners.ids))
        self.assertEqual(len({e["id"] for e in events}), 3)

    def test_write_of_nothing_is_nothing(self):
        partner = self.Partner.create({"name": "A"})
        subscription = self.subscribe()
        partner.write({})
        self.Partner.browse().write({"name": "B"})
        self.assertFalse(self.rows(subscription))

    def test_delegated_write_is_an_event_of_the_parent_record(self):
        subscription = self.subscribe()
        self.admin.write({"name": "Administrator II"})
        self.assertEqual(self.fired(subscription), [("write", self.admin.partner_id.ids)])

    def test_context_of_a_caller_cannot_switch_capture_off(self):
        subscription = self.subscribe()
        Partner = self.Partner.with_user(self.admin).with_context(mcp_webhook_skip=True)
        Partner.create({"name": "A"})
        self.assertEqual(len(self.rows(subscription)), 1)

    def test_nothing_that_a_caller_can_send_switches_capture_off(self):
        """Also where a model writes as superuser, with the caller's context."""
        subscription = self.subscribe("res.users")
        user = new_test_user(self.env, "writer", groups="base.group_user")
        self.commit()
        for value in (True, 1, "true", {}, str(UNSEEN)):
            own = user.with_user(user).with_context(**{SKIP: value})
            own.write({"tz": "Europe/Paris"})
            own.sudo().write({"signature": str(value)})
            self.assertEqual(self.fired(subscription)[-1], ("write", user.ids))
            self.commit()

    def test_own_code_keeps_changes_out_of_sight(self):
        subscription = self.subscribe()
        self.Partner.with_context(**{SKIP: UNSEEN}).create({"name": "A"})
        self.assertFalse(self.rows(subscription))

    def test_looping_models_are_never_watched(self):
        subscription = self.subscribe()
        self.env.cr.execute(
            "UPDATE mcp_event_subscription SET model_name = 'mcp.webhook.delivery'"
        )
        self.env["mcp.event.subscription"]._forget_watched_here()
        self.Delivery.create({"event_uuid": "x"})
        self.assertFalse(self.rows(subscription))


@tagged("post_install", "-at_install")
class TestSavepoints(WebhookCase):
    """Each `cr.savepoint()` runs the precommit hooks in the middle of things."""

    def test_write_after_a_savepoint_stays_with_the_creation(self):
        subscription = self.subscribe(enrich_fields="name")
        partner = self.Partner.create({"name": "A"})
        with self.env.cr.savepoint():
            partner.write({"name": "B"})
        (event,) = self.events(subscription)
        self.assertEqual(event["event_type"], "create")
        self.assertEqual(event["records"], [{"id": partner.id, "name": "B"}])
        self.assertEqual(len(self.Outbox.search([])), 1)

    def test_unlink_after_a_savepoint_takes_the_creation_back(self):
        subscription = self.subscribe()
        partner = self.Partner.create({"name": "A"})
        with self.env.cr.savepoint():
            partner.unlink()
        self.assertFalse(self.rows(subscription))
        self.assertFalse(self.Outbox.search([]))

    def test_unlink_after_a_savepoint_replaces_the_update(self):
        partner = self.Partner.create({"name": "A"})
        subscription = self.subscribe()
        partner.write({"name": "B"})
        with self.env.cr.savepoint():
            ids = partner.ids
            partner.unlink()
        self.assertEqual(self.fired(subscription), [("unlink", ids)])

    def test_later_records_join_the_same_event(self):
        subscription = self.subscribe()
        first = self.Partner.create({"name": "A"})
        with self.env.cr.savepoint():
            second = self.Partner.create({"name": "B"})
        self.assertEqual(self.fired(subscription), [("create", (first + second).ids)])

    def test_nothing_leaves_of_a_rolled_back_savepoint(self):
        subscription = self.subscribe()
        with closing(self.env.cr.savepoint()):
            self.Partner.create({"name": "A"})
        self.assertFalse(self.rows(subscription))

    def test_batch_within_a_rolled_back_savepoint_is_forgotten(self):
        partner = self.Partner.create({"name": "A"})
        subscription = self.subscribe(enrich_fields="name")
        partner.write({"name": "B"})
        with closing(self.env.cr.savepoint()):
            partner.write({"name": "C"})
            ghost = self.Partner.create({"name": "D"})
            with self.env.cr.savepoint():  # emits what the outer one takes back
                partner.write({"name": "E"})
        self.assertFalse(ghost.exists())
        partner.write({"ref": "7"})
        (event,) = self.events(subscription)
        self.assertEqual(event["records"], [{"id": partner.id, "name": "B"}])
        self.assertEqual(event["record_ids"], partner.ids)

    def test_creation_is_still_one_after_its_deletion_is_rolled_back(self):
        subscription = self.subscribe()
        partner = self.Partner.create({"name": "A"})
        with closing(self.env.cr.savepoint()):
            partner.unlink()
            self.env.cr.flush()
        partner.write({"name": "B"})
        self.assertEqual(self.fired(subscription), [("create", partner.ids)])

    def test_dry_run_of_an_import_sends_nothing(self):
        known = self.Partner.create({"name": "Known"})
        self.env["ir.model.data"].create(
            {
                "name": "known",
                "module": "test",
                "model": "res.partner",
                "res_id": known.id,
            }
        )
        subscription = self.subscribe()
        rows = [["test.known", "Renamed"], ["test.new", "New"]]
        with closing(self.env.cr.savepoint(flush=False)):  # as base_import does it
            result = self.Partner.load(["id", "name"], rows)
        self.env.invalidate_all(flush=False)
        self.assertTrue(result["ids"])
        self.assertFalse(self.rows(subscription))
        result = self.Partner.load(["id", "name"], rows)
        new = self.Partner.search([("name", "=", "New")])
        self.assertCountEqual(
            self.fired(subscription), [("write", known.ids), ("create", new.ids)]
        )

    def test_before_values_outlive_savepoints(self):
        partner = self.Partner.create({"name": "A"})
        subscription = self.subscribe(event_type="write", watched=["name"])
        partner.write({"name": "B"})
        with self.env.cr.savepoint():
            partner.write({"name": "A"})
        self.assertFalse(self.rows(subscription))

    def test_what_was_decided_before_a_savepoint_that_goes_back_is_told_once(self):
        subscription = self.subscribe(enrich_fields="name")
        partner = self.Partner.create({"name": "A"})
        self.env.cr.flush()
        with closing(self.env.cr.savepoint()):
            partner.write({"name": "B"})
            self.env.cr.flush()
        partner.write({"ref": "7"})
        (event,) = self.events(subscription)
        self.assertEqual(event["records"], [{"id": partner.id, "name": "A"}])

    @mute_logger("odoo.sql_db")
    def test_an_aborted_transaction_ends_without_an_error_of_ours(self):
        self.subscribe()
        cr = self.env.cr
        savepoint = Savepoint(cr)  # one that no one listens to
        self.Partner.create({"name": "A"})
        self.env.flush_all()
        with self.assertNoLogs("odoo.addons.mcp_webhook"):
            # without the savepoint that assertRaises would put around it
            with suppress(psycopg2.Error):
                cr.execute("SELECT 1 / 0")
            self.assertEqual(
                cr.connection.info.transaction_status, TRANSACTION_STATUS_INERROR
            )
            cr.flush()
        savepoint.close(rollback=True)
        self.env.invalidate_all(flush=False)
