# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""An event whose transaction committed is delivered, or its row says why not and can be
sent again; nothing that one part of the addon meets stops another."""

import logging
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import UserError, ValidationError
from odoo.tests import new_test_user, tagged

from ..models import mcp_webhook_outbox
from ..tools.sidecar import SidecarError
from .common import WebhookCase

# Refusals of `event.submit`: whether the same event is submitted again, or a new one.
REFUSALS = {
    None: False,
    "blocked_address": False,
    "conflict": True,
    "expired": True,
    "inactive": False,
    "invalid_header": False,
    "invalid_secret": False,
    "invalid_template": False,
    "invalid_url": False,
    "limit_exceeded": True,
    "payload_too_large": True,
}


# The sweep's parts, by a method that each calls.
PARTS = {
    "feed": ("mcp.webhook.mirror", "_pull"),
    "subscriptions": ("mcp.event.subscription", "_sync_dirty"),
    "backfills": ("mcp.webhook.backfill", "_continue"),
    "outbox": ("mcp.webhook.outbox", "_forget_finished"),
    "hosts": ("mcp.event.subscription", "_hold_to_allowed_hosts"),
    "faults": ("mcp.event.subscription", "_flag_faults"),
    "badges": ("mcp.webhook.delivery", "_mirror_badges"),
    "counts": ("mcp.webhook.seen", "_keep_highest"),
    "hosts of ours": ("mcp.webhook.binding", "_confirm_hosts"),
}


class PromiseCase(WebhookCase):
    def fails(self, subscription, kind="invalid_url"):
        """A row whose submission was refused."""
        self.sidecar.refusals["*"] = (kind, "no")
        self.Partner.create({"name": "Kept"})
        self.commit()
        self.sweep()
        row = self.rows(subscription)[-1]
        del self.sidecar.refusals["*"]
        self.sidecar.calls.clear()
        return row

    def press(self, rows, button="action_redeliver"):
        with self.enter_registry_test_mode():
            answer = getattr(rows.with_user(self.admin), button)()
        rows.invalidate_recordset()
        return answer["params"]["message"]

    def delivered(self, row):
        """Let the sidecar deliver what it has accepted; the row's status."""
        self.sidecar.attempt(row.event_uuid)
        self.pull()
        row.invalidate_recordset()
        return row.status


@tagged("post_install", "-at_install")
class TestFailedInOdoo(PromiseCase):
    def test_each_refused_submission_can_be_sent_again(self):
        for kind, built_again in REFUSALS.items():
            with self.subTest(kind=kind):
                subscription = self.subscribe(enrich_fields="name")
                if kind == "inactive":
                    subscription.active = True
                row = self.fails(subscription, kind)
                if kind == "inactive":  # the sidecar is told again, and the row waits
                    self.assertEqual((row.status, row.stage), ("pending", "odoo"))
                    self.sweep()
                    self.assertEqual(self.delivered(row), "success")
                    continue
                self.assertEqual((row.status, row.failed_in_odoo), ("failed", True))
                self.assertEqual("is built again" in row.advice, built_again, row.advice)
                self.Partner.browse(row.record_ids).name = "Changed"
                self.assertIn("1 sent again", self.press(row))
                (event,) = [
                    e for e in self.sidecar.events.values() if e["id"] == row.event_uuid
                ]
                name = "Changed" if built_again else "Kept"
                self.assertEqual(event["records"][0]["name"], name)
                self.assertEqual(self.delivered(row), "success")
                self.assertFalse(row.error_kind or row.failed_in_odoo)

    def test_what_was_broken_is_built_again_once_it_is_repaired(self):
        user = new_test_user(self.env, "reader", groups="base.group_user")
        broken = {
            "an archived user": lambda s: (
                user.write({"active": False}),
                lambda: user.write({"active": True}),
            ),
            "a domain of another version": lambda s: (
                self.env.cr.execute(
                    "UPDATE mcp_event_subscription SET domain = %s WHERE id = %s",
                    ["[('gone', '=', 1)]", s.id],
                ),
                lambda: s.write({"domain": "[]"}),
            ),
            "a domain that is no list": lambda s: (
                self.env.cr.execute(
                    "UPDATE mcp_event_subscription SET domain = '[(' WHERE id = %s",
                    [s.id],
                ),
                lambda: s.write({"domain": "[]"}),
            ),
        }
        for name, break_it in broken.items():
            with self.subTest(broken=name):
                subscription = self.subscribe(user_id=user.id, enrich_fields="name")
                _none, repair = break_it(subscription)
                self.env.invalidate_all()
                with self.assertLogs("odoo.addons.mcp_webhook", "WARNING"):
                    logging.getLogger("odoo.addons.mcp_webhook").warning("at least this")
                    partner = self.Partner.create({"name": "A"})
                    row = self.rows(subscription)[-1]
                self.assertEqual((row.status, row.failed_in_odoo), ("failed", True))
                self.assertIn("is built again", row.advice)
                self.commit()
                with self.assertRaises(UserError):
                    self.press(row)
                self.assertEqual(row.status, "failed")
                repair()
                self.commit()
                self.assertIn("1 sent again", self.press(row))
                event = self.sidecar.events[row.event_uuid]
                self.assertEqual(event["records"], [{"id": partner.id, "name": "A"}])
                self.assertEqual(self.delivered(row), "success")

    def test_records_that_are_gone_are_said_to_be(self):
        subscription = self.subscribe(domain="[('name', '=', 'Kept')]")
        row = self.fails(subscription, "expired")
        self.Partner.browse(row.record_ids).name = "Other"
        with self.assertRaisesRegex(UserError, "None of the records"):
            self.press(row)
        self.Partner.browse(row.record_ids).unlink()
        with self.assertRaisesRegex(UserError, "None of the records"):
            self.press(row)

    def test_deleted_records_are_sent_from_what_is_kept_or_not_at_all(self):
        subscription = self.subscribe(event_type="unlink", enrich_fields="name")
        for kind in ("invalid_url", "expired", None):
            partner = self.Partner.create({"name": "A"})
            self.commit()
            self.sidecar.refusals["*"] = (kind or "invalid_url", "no")
            partner.unlink()
            self.commit()
            self.sweep()
            self.sidecar.refusals.clear()
            row = self.rows(subscription)[-1]
            if kind is None:
                row.sudo().event = False
            self.assertEqual("cannot be sent again" in row.advice, kind is None)
            if kind is None:
                with self.assertRaisesRegex(UserError, "records are gone"):
                    self.press(row)
                continue
            self.press(row)
            self.assertEqual(self.delivered(row), "success")
            told = self.sidecar.events[row.event_uuid]
            self.assertEqual(told["records"], [{"id": row.record_ids[0], "name": "A"}])

    def test_archived_subscription_is_named(self):
        row = self.fails(self.subscribe())
        row.subscription_id.active = False
        with self.assertRaisesRegex(UserError, "archived, gone"):
            self.press(row)

    def test_what_failed_since_counts_those_that_the_sidecar_never_had(self):
        subscription = self.subscribe()
        row = self.fails(subscription)
        self.sidecar.on_delivery_redeliver_many = lambda **_params: {"count": 2}
        dialog = self.dialog(subscription)
        self.assertEqual(dialog.count, 3)
        with self.enter_registry_test_mode():
            told = dialog.action_redeliver()
        self.assertIn("3", told["params"]["message"])
        self.assertEqual(self.delivered(row), "success")

    def dialog(self, subscription):
        action = subscription.with_user(self.admin).action_redeliver_failures()
        dialog = self.env[action["res_model"]].with_user(self.admin)
        return dialog.browse(action["res_id"])

    def test_what_failed_in_odoo_needs_no_sidecar_that_knows_of_it(self):
        """Nothing is told of the sidecar that it did not say."""
        for trouble, words in (
            ("down", "does not answer"),
            ("not_found", None),
            ("fenced", "take it over"),
        ):
            with self.subTest(trouble=trouble):
                subscription = self.subscribe()
                row = self.fails(subscription)
                self.sidecar.down = trouble == "down"
                if trouble != "down":
                    method = "delivery.redeliver_many"
                    self.sidecar.refusals[method] = (trouble, "no")
                dialog = self.dialog(subscription)
                self.assertEqual(dialog.count, 1)
                self.assertRegex(dialog.trouble or "", words or "^$")
                told = self.press(dialog)
                self.assertIn("1 sent again", told)
                self.assertRegex(told, words or "again")
                self.assertEqual(row.status, "pending")
                self.sidecar.down = False
                self.sidecar.refusals.clear()

    def test_failures_that_the_sidecar_has_forgotten_are_not_counted_as_none(self):
        subscription = self.subscribe()
        self.Partner.create({"name": "A"})
        row = self.rows(subscription)
        self.commit()
        now = fields.Datetime.now().isoformat() + ".000Z"
        self.sidecar.attempt(row.event_uuid, status="failed", finished_at=now)
        self.pull()
        self.sidecar.refusals["delivery.redeliver_many"] = ("not_found", "no")
        dialog = self.dialog(subscription)
        self.assertEqual(dialog.count, 0)
        self.assertIn("does not know this subscription", dialog.trouble)
        with self.assertRaisesRegex(UserError, "does not know this subscription"):
            self.press(dialog)

    def test_advice_says_first_what_would_have_it_refused(self):
        for ended in ("in odoo", "at the endpoint"):
            subscription = self.subscribe()
            if ended == "in odoo":
                row = self.fails(subscription)
            else:
                self.Partner.create({"name": "A"})
                row = self.rows(subscription)
                self.commit()
                self.sidecar.attempt(row.event_uuid, status="failed", response_code=500)
                self.pull()
            for change, words in (
                (lambda s: s.write({"webhook_url": False}), "no webhook URL"),
                (lambda s: s.write({"active": False}), "is archived"),
                (lambda s: s.unlink(), "was deleted"),
            ):
                with self.subTest(ended=ended, words=words):
                    self.assertNotIn(words, row.advice)
                    change(subscription)
                    row.invalidate_recordset()
                    self.assertIn(words, row.advice)

    def test_forgotten_by_the_sidecar_is_built_again_as_a_new_event(self):
        subscription = self.subscribe(enrich_fields="name")
        self.Partner.create({"name": "A"})
        row = self.rows(subscription)
        self.commit()
        self.sidecar.attempt(row.event_uuid, status="failed", response_code=500)
        self.pull()
        self.sidecar.feed.clear()
        self.sidecar.events.clear()
        self.assertIn("1 sent again", self.press(row))
        (new,) = self.rows(subscription) - row
        self.assertNotEqual(new.event_uuid, row.event_uuid)
        self.assertEqual(new.record_ids, row.record_ids)
        self.assertIn(new.event_uuid, self.sidecar.events)


@tagged("post_install", "-at_install")
class TestRefusedConfiguration(PromiseCase):
    def refuse(self, method="subscription.update"):
        self.sidecar.refusals[method] = ("blocked_address", "10.0.0.1 is not public")

    def test_refused_at_save_when_the_sidecar_answers(self):
        self.refuse("subscription.check")
        subscription = self.env["mcp.event.subscription"]
        for values in (
            {"webhook_url": "https://10.0.0.1/x"},
            {"webhook_secret": "short"},
            {"webhook_headers": "Cookie: a"},
            {"payload_template": '{"a": "{{"}'},
            {"dialect": "slack"},
            {"timeout_s": 5},
            {"max_in_flight": 5},
            {"max_attempts": 5},
        ):
            self.sidecar.refusals.clear()
            subscription = self.subscribe()
            self.refuse("subscription.check")
            with self.subTest(values=values):
                with self.assertRaisesRegex(ValidationError, "is not public"):
                    subscription.write(values)
                self.env.invalidate_all()
        self.sidecar.refusals.clear()
        self.assertTrue(subscription.write({"active": False}))

    def test_what_says_nothing_about_it_does_not_refuse_it(self):
        for kind in ("fenced", "store_unavailable", "not_found"):
            self.sidecar.refusals["subscription.check"] = (kind, "no")
            self.assertTrue(self.subscribe(webhook_url="https://example.com/y"))

    def test_events_wait_until_it_is_repaired(self):
        subscription = self.subscribe()
        self.pull()
        self.sidecar.down = True
        subscription.webhook_url = "https://10.0.0.1/x"
        self.commit()
        self.sidecar.down = False
        self.env["mcp.webhook.sidecar"]._note_success()
        self.refuse()
        self.Partner.create({"name": "A"})
        self.commit()
        self.assertFalse(self.sidecar.events, "not by what it was before")
        for _minute in range(3):
            self.sweep()
        row = self.rows(subscription)
        self.assertEqual((row.status, row.stage), ("pending", "odoo"))
        self.assertIn("10.0.0.1 is not public", row.advice)
        self.assertIn("until the subscription is repaired", row.advice)
        self.sidecar.refusals.clear()
        subscription.webhook_url = "https://example.com/hook"
        self.commit()
        self.sweep()
        self.assertEqual(self.delivered(row), "success")

    def test_what_waits_at_the_sidecar_waits_on(self):
        """There it would go out by an older version of the subscription."""
        subscription = self.subscribe()
        for complete in (False, True):
            subscription.paused = False
            self.commit()
            told = []

            def update(told=told, **values):
                told.append(values)
                if len(values) > 2:
                    raise SidecarError(1, "blocked_address", "no", {"field": "url"})

            self.sidecar.on_subscription_update = update
            error = {"message": "no", "data": {"field": "url"}}
            self.sidecar.on_subscription_sync = lambda subscriptions, e=error: {
                "errors": [{"id": s["id"], "error": e} for s in subscriptions]
            }
            subscription.sync_pending = True
            Subscription = self.env["mcp.event.subscription"]
            Subscription._sync_all() if complete else Subscription._sync_dirty()
            self.assertEqual(told[-1], {"id": subscription.uuid, "paused": True})
            self.assertTrue(subscription.is_refused)
            del self.sidecar.on_subscription_update


@tagged("post_install", "-at_install")
class TestMoving(PromiseCase):
    """Everything that waits can be moved."""

    def waiting(self, stage):
        self.subscription = self.subscribe()
        self.pull()
        self.sidecar.down = stage == "odoo"
        self.Partner.create({"name": "A"})
        self.commit()
        self.sidecar.down = False
        row = self.rows(self.subscription)
        self.assertEqual((row.status, row.stage), ("pending", stage))
        self.sidecar.calls.clear()
        return row

    def test_retry_now(self):
        row = self.waiting("odoo")
        self.assertIn("1", self.press(row, "action_retry_now"))
        self.assertEqual(row.stage, "sidecar")
        self.press(row, "action_retry_now")
        called = self.sidecar.last("delivery.retry_now")
        self.assertEqual(called, {"event_id": row.event_uuid})
        self.assertEqual(self.delivered(row), "success")
        with self.assertRaisesRegex(UserError, "None of these"):
            self.press(row, "action_retry_now")

    def test_retry_of_what_waits_for_a_repair_says_so(self):
        row = self.waiting("odoo")
        self.subscription._note_sync({"field": "url", "message": "url: no"})
        with self.assertRaisesRegex(UserError, "url: no"):
            self.press(row, "action_retry_now")

    def test_retry_of_what_is_held_says_who_holds_it(self):
        """Each hold, wherever the delivery waits; nothing is said to be done."""
        user = new_test_user(self.env, "r", groups="base.group_system")
        holds = {
            "paused": lambda held, on: held.write({"paused": on}),
            "approves": lambda held, on: held.write(
                {"approval": "waiting" if on else "approved"}
            ),
            "is archived": lambda _held, on: user.write({"active": not on}),
        }
        for stage in ("odoo", "sidecar"):
            for words, hold in holds.items():
                with self.subTest(stage=stage, hold=words):
                    row = self.waiting(stage)
                    self.subscription.user_id = user
                    hold(self.subscription, True)
                    self.commit()
                    with self.assertRaisesRegex(UserError, words):
                        self.press(row, "action_retry_now")
                    hold(self.subscription, False)
                    self.commit()
                    self.assertIn("1", self.press(row, "action_retry_now"))

    def test_cancel_in_odoo(self):
        row = self.waiting("odoo")
        self.press(row, "action_cancel")
        self.assertEqual((row.status, row.error_kind), ("failed", "cancelled"))
        self.assertIn(self.admin.name, row.error_message)
        self.sweep()
        self.assertFalse(self.sidecar.events)
        self.press(row)
        self.assertEqual(self.delivered(row), "success")

    def test_cancelled_too_late_says_what_became_of_it(self):
        """It was on its way when the row was cancelled: the sidecar's word counts."""
        row = self.waiting("odoo")
        self.press(row, "action_cancel")
        self.assertEqual(self.delivered(row), "success")
        self.assertFalse(row.error_kind)

    def test_cancel_at_the_sidecar(self):
        row = self.waiting("sidecar")
        self.press(row, "action_cancel")
        called = self.sidecar.last("delivery.cancel")
        self.assertEqual(called["event_id"], row.event_uuid)
        self.assertIn(self.admin.name, called["reason"])
        self.sidecar.refusals["delivery.cancel"] = ("conflict", "?")
        with self.assertRaisesRegex(UserError, "under way"):
            self.press(row, "action_cancel")

    def test_older_sidecar_is_named(self):
        row = self.waiting("sidecar")
        self.sidecar.features.clear()
        self.env["mcp.webhook.sidecar"]._forget_features()
        for button in ("action_retry_now", "action_cancel"):
            with self.assertRaisesRegex(UserError, "upgrade"):
                self.press(row, button)

    def test_only_managers(self):
        row = self.waiting("sidecar")
        clerk = new_test_user(self.env, "clerk", groups="base.group_user")
        for button in ("action_retry_now", "action_cancel", "action_redeliver"):
            self.assertRefused(getattr(row.with_user(clerk), button))


@tagged("post_install", "-at_install")
class TestSelections(PromiseCase):
    def finished(self, subscription, status):
        self.Partner.create({"name": "A"})
        row = self.rows(subscription)[-1]
        self.commit()
        self.sidecar.attempt(row.event_uuid, status=status)
        self.pull()
        return row

    def make(self):
        one, two = self.subscribe(event_type="create"), self.subscribe(name="Two")
        two.active = False
        self.commit()
        rows = self.Delivery
        for status in ("failed", "success", "failed"):
            rows |= self.finished(one, status)
        self.sidecar.calls.clear()
        return rows

    def test_one_call_skips_what_was_delivered_since(self):
        rows = self.make()
        message = self.press(rows)
        self.assertEqual(self.sidecar.methods().count("delivery.redeliver_many"), 1)
        self.assertNotIn("delivery.redeliver", self.sidecar.methods())
        self.assertEqual(message, "2 sent again. 1 skipped: delivered since.")

    def test_older_sidecar_is_asked_one_by_one_and_skips_too(self):
        rows = self.make()
        self.sidecar.features.clear()
        self.env["mcp.webhook.sidecar"]._forget_features()
        self.assertEqual(self.press(rows), "2 sent again. 1 skipped: delivered since.")
        self.assertEqual(self.sidecar.methods().count("delivery.redeliver"), 2)

    def test_one_row_is_sent_again_though_it_was_delivered(self):
        row = self.finished(self.subscribe(), "success")
        self.assertEqual(self.press(row), "1 sent again.")

    def test_what_the_sidecar_has_forgotten_is_built_again(self):
        rows = self.make()
        newest, gone = self.sidecar.newest, rows[0].event_uuid
        self.sidecar.newest = lambda event_id: newest(
            "?" if event_id == gone else event_id
        )
        self.assertEqual(self.press(rows), "2 sent again. 1 skipped: delivered since.")
        new = self.rows(rows.subscription_id) - rows
        self.assertEqual(
            new.filtered(lambda r: r.attempt == 1).record_ids, rows[0].record_ids
        )

    def test_a_selection_that_the_sidecar_has_forgotten_is_one_submission(self):
        subscription = self.subscribe(event_type="create")
        rows = self.Delivery
        for _number in range(3):
            rows |= self.finished(subscription, "failed")
        for is_old in (False, True):
            self.sidecar.feed.clear()
            self.sidecar.calls.clear()
            if is_old:
                self.sidecar.features.clear()
                self.env["mcp.webhook.sidecar"]._forget_features()
            self.assertEqual(self.press(rows), "3 sent again.")
            self.assertEqual(self.sidecar.methods().count("event.submit"), 1)
            sent = self.sidecar.last("event.submit")["events"]
            self.assertEqual(len(sent), 3)

    def test_thousands_are_a_few_calls(self):
        subscription = self.subscribe()
        rows = self.Delivery.create(
            [
                {
                    **self.Delivery._subscription_values(subscription),
                    "event_uuid": f"e{number}",
                    "status": "failed",
                    "record_ids": [1],
                }
                for number in range(2500)
            ]
        )
        self.sidecar.on_delivery_redeliver_many = lambda event_ids, **_p: {
            "count": len(event_ids),
            "skipped": 0,
        }
        self.assertEqual(self.press(rows), "2500 sent again.")
        called = [len(p["event_ids"]) for m, p in self.sidecar.calls if "many" in m]
        self.assertEqual(called, [1000, 1000, 500])


@tagged("post_install", "-at_install")
class TestParts(PromiseCase):
    """One part's trouble is its own."""

    def test_each_part_may_fail_and_stops_no_other(self):
        done = []

        def noting(name):
            return lambda *_args, **_kwargs: done.append(name)

        for failing in PARTS:
            for error in (ValueError("x"), SidecarError(1, "internal", "x"), KeyError()):
                done.clear()
                with self.subTest(failing=failing, error=error):
                    self.run_sweep(failing, error, noting)
                    self.assertEqual(set(done), set(PARTS) - {failing})

    def run_sweep(self, failing, error, noting):
        patches = []
        for name, (model, method) in PARTS.items():
            side = {"side_effect": error} if name == failing else {"new": noting(name)}
            patches.append(patch.object(type(self.env[model]), method, **side))
        try:
            for each in patches:
                each.start()
            level = logging.getLogger("odoo.addons.mcp_webhook").level
            logging.getLogger("odoo.addons.mcp_webhook").setLevel(logging.CRITICAL)
            self.sweep()
        finally:
            logging.getLogger("odoo.addons.mcp_webhook").setLevel(level)
            for each in patches:
                each.stop()


@tagged("post_install", "-at_install")
class TestSlices(PromiseCase):
    def test_each_request_is_a_slice_of_bytes(self):
        self.patch(mcp_webhook_outbox, "SLICE_BYTES", 5000)
        subscription = self.subscribe(enrich_fields="name")
        self.sidecar.down = True
        for number in range(12):
            self.Partner.create({"name": f"{number} " + "x" * 1000})
            self.env.cr.flush()
            self.cr.postcommit.clear()
            self.cr.precommit.clear()
        self.sidecar.down = False
        self.env["mcp.webhook.sidecar"]._note_success()
        self.sidecar.calls.clear()
        self.sweep()
        sent = [p["events"] for m, p in self.sidecar.calls if m == "event.submit"]
        self.assertEqual(sum(map(len, sent)), 12)
        self.assertLessEqual(max(map(len, sent)), 5)
        self.assertFalse(self.Outbox.search([]))
        self.assertEqual(len(self.rows(subscription)), 12)


@tagged("post_install", "-at_install")
class TestWitness(PromiseCase):
    """What Odoo has seen of a log tells it when it has been put back."""

    def attach(self):
        with self.enter_registry_test_mode():
            self.Mirror._pull(again=True)
        return self.sidecar.last("system.attach")

    def test_highest_count_of_each_way_is_told(self):
        self.subscribe()
        self.pull()
        self.attach()
        self.assertEqual(self.attach()["seen"], "0")
        for count in (1, 2, 9, 10):  # by number, not by letter
            self.sidecar.accepted_to = count - 1
            self.Partner.create({"name": "A"})
            self.commit()
            self.assertEqual(self.attach()["seen"], str(count))
        self.sidecar.accepted_to = 3  # the log went back, and says less
        self.assertEqual(self.attach()["seen"], "10")
        self.sweep()
        self.assertEqual(self.env["mcp.webhook.seen"].search_count([]), 1)
        self.assertEqual(self.attach()["seen"], "10")
        self.assertTrue(self.attach()["cursor"].startswith(self.sidecar.log_id))

    def test_another_log_is_told_only_of_itself(self):
        self.subscribe()
        self.Partner.create({"name": "A"})
        self.commit()
        self.pull()
        self.sidecar = type(self.sidecar)()
        self.pull()
        self.attach()
        self.assertEqual(self.attach()["seen"], "0")

    def test_log_that_went_back_gets_everything_again(self):
        subscription = self.subscribe()
        self.pull()
        for _number in range(20):
            self.Partner.create({"name": "A"})
            self.commit()
        self.assertFalse(self.Outbox.search([]))
        rows = self.rows(subscription)
        old = self.sidecar.log_id

        def attach(cursor="", seen="", **_params):
            if int(seen or 0) > self.sidecar.accepted_to and cursor.startswith(old):
                self.sidecar.log_id = "renewed"
            return {"log_id": self.sidecar.log_id, "version": "1", **self.sidecar.count()}

        self.sidecar.on_system_attach = attach
        self.sidecar.events.clear()
        self.sidecar.accepted_to = 0
        self.sweep()
        self.assertEqual(set(self.sidecar.events), set(rows.mapped("event_uuid")))
        methods = self.sidecar.methods()
        synced = len(methods) - methods[::-1].index("subscription.sync")
        self.assertIn("event.submit", methods[synced:], "settings before events")

    def test_stale_cursor_introduces_again(self):
        self.subscribe()
        self.pull()
        self.sidecar.calls.clear()
        stale = [True]
        changes = self.sidecar.on_delivery_changes

        def once(after, limit=100, **wished):
            if after and stale.pop():
                raise SidecarError(1, "stale_cursor", "of another past")
            return changes(after, limit, **wished)

        self.sidecar.on_delivery_changes = once
        self.assertTrue(self.pull())
        self.assertEqual(
            self.sidecar.methods(),
            ["delivery.changes", "system.attach", "delivery.changes"],
        )
