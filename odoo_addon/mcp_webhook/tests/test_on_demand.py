# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Records sent on demand: by a server action, and at a pace."""

from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import new_test_user, tagged
from odoo.tools import SQL, mute_logger

from .common import WebhookCase


class DemandCase(WebhookCase):
    def setUp(self):
        super().setUp()
        self.clerk = new_test_user(
            self.env, "clerk", groups="base.group_user,base.group_partner_manager"
        )
        self.subscription = self.subscribe(
            on_demand=True, enrich_fields="name", domain="[('ref', '!=', 'no')]"
        )

    def sent(self):
        """`[(record ids, names)]` of the events that the sidecar has."""
        return [
            (event["record_ids"], [record["name"] for record in event["records"]])
            for event in self.sidecar.events.values()
            if event["subscription_id"] == self.subscription.uuid
        ]


@tagged("post_install", "-at_install")
class TestServerAction(DemandCase):
    def action(self, subscription=None, **values):
        return self.env["ir.actions.server"].create(
            {
                "name": "Tell them",
                "model_id": self.env["ir.model"]._get_id("res.partner"),
                "state": "mcp_webhook",
                "mcp_webhook_subscription_id": (subscription or self.subscription).id,
                **values,
            }
        )

    def run_on(self, records, action=None, user=None):
        action = action or self.action()
        context = {"active_model": records._name, "active_ids": records.ids}
        context["active_id"] = records[:1].id
        action.with_user(user or self.clerk).with_context(**context).run()

    def test_what_it_sends_is_what_the_transaction_leaves_behind(self):
        partner = self.Partner.create({"name": "Before"})
        self.run_on(partner)
        partner.name = "After"
        (row,) = self.rows(self.subscription)
        self.assertEqual(
            (row.trigger, row.status, row.stage), ("action", "pending", "odoo")
        )
        self.assertEqual((row.user_id, row.event_type), (self.clerk, "write"))
        self.assertIn("is built within a minute", row.advice)
        self.commit()
        self.sweep()
        self.assertEqual(self.sent(), [(partner.ids, ["After"])])
        (row,) = self.rows(self.subscription)
        self.assertEqual((row.trigger, row.user_id), ("action", self.clerk))
        self.sidecar.attempt(row.event_uuid)
        self.pull()
        self.assertEqual((row.status, row.trigger), ("success", "action"))

    def test_the_filter_and_the_user_of_the_subscription_decide(self):
        company = self.env["res.company"].create({"name": "Far"})
        fits, unfit, far = self.Partner.create(
            [
                {"name": "Fits"},
                {"name": "Unfit", "ref": "no"},
                {"name": "Far", "company_id": company.id},
            ]
        )
        self.run_on(fits + unfit + far, user=self.env.user)
        self.commit()
        self.sweep()
        self.assertEqual(self.sent(), [(fits.ids, ["Fits"])])
        self.assertEqual(len(self.rows(self.subscription)), 1)

    def test_it_never_makes_a_save_fail(self):
        partner = self.Partner.create({"name": "A"})
        action = self.action()
        for what, spoil in (
            ("inactive", lambda: self.subscription.write({"active": False})),
            ("waiting", lambda: self.subscription.sudo().write({"approval": "waiting"})),
            ("without a URL", lambda: self.subscription.write({"webhook_url": False})),
            ("deleted", lambda: self.subscription.unlink()),
        ):
            with self.subTest(what=what), self.cr.savepoint() as savepoint:
                spoil()
                self.run_on(partner, action)
                self.assertFalse(self.rows(self.subscription), what)
                savepoint.rollback()
            self.env.invalidate_all()
        self.run_on(self.Partner, action)
        self.assertFalse(self.rows(self.subscription))

    def test_nothing_of_ours_fails_a_save(self):
        def raising(*_args, **_kwargs):
            raise ZeroDivisionError

        failing = SQL("SELECT 1 / 0")
        partner = self.Partner.create({"name": "A"})
        action = self.action()
        models = {name: type(self.env[name]) for name in ("ir.cron", self.Delivery._name)}
        for what, is_put_down, spoilt in (
            ("code", False, (models[self.Delivery._name], "_insert", raising)),
            (
                "database",
                False,
                (models[self.Delivery._name], "_insertion", lambda *_args: failing),
            ),
            ("trigger", True, (models["ir.cron"], "_trigger", raising)),
            ("no cron", True, None),
        ):
            with self.subTest(what=what), self.cr.savepoint() as savepoint:
                self.env.cr.postcommit.clear()
                partner.name = f"Saved {what}"
                if spoilt:
                    with (
                        patch.object(*spoilt),
                        mute_logger("odoo.addons.mcp_webhook.models.ir_actions_server"),
                        mute_logger("odoo.sql_db"),
                    ):
                        self.run_on(partner, action)
                else:
                    self.env.ref("mcp_webhook.ir_cron_sweep").unlink()
                    self.run_on(partner, action)
                self.env.flush_all()
                self.env.invalidate_all()
                self.assertEqual(partner.name, f"Saved {what}")
                self.assertEqual(bool(self.rows(self.subscription)), is_put_down)
                savepoint.rollback()
            self.env.invalidate_all()

    def test_sweep_is_called_once_in_a_transaction(self):
        action = self.action()
        cron = self.env.ref("mcp_webhook.ir_cron_sweep")
        triggers = self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)])
        for _transaction in range(2):
            for _call in range(3):
                self.run_on(self.Partner.create({"name": "A"}), action)
            found = self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)])
            self.assertEqual(len(found - triggers), 1)
            triggers = found
            self.env.cr.postcommit.clear()  # as at the end of a transaction
        self.assertEqual(len(self.rows(self.subscription)), 6)

    def test_sweep_is_called_again_when_a_savepoint_took_the_call_back(self):
        action = self.action()
        cron = self.env.ref("mcp_webhook.ir_cron_sweep")
        triggers = self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)])
        self.env.cr.postcommit.clear()
        for kept in (False, True, True):
            with self.cr.savepoint() as savepoint:
                self.run_on(self.Partner.create({"name": "A"}), action)
                if not kept:
                    savepoint.rollback()
        found = self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)])
        self.assertEqual(len(found - triggers), 1)

    def test_what_is_deleted_before_it_is_built_owes_nobody_an_event(self):
        partner = self.Partner.create({"name": "Short-lived"})
        self.run_on(partner)
        partner.unlink()
        self.commit()
        self.sweep()
        self.assertFalse(self.sent())
        self.assertFalse(self.rows(self.subscription))

    def test_who_may_not_see_a_subscription_lets_nothing_leave_through_it(self):
        settings = new_test_user(self.env, "settings", groups="base.group_system")
        action = self.action(mcp_webhook_subscription_id=False)
        self.assertFalse(action.warning, "Odoo would raise it in somebody's save")
        with self.assertRaises(AccessError):
            action.with_user(settings).mcp_webhook_subscription_id = self.subscription
            self.env.flush_all()

    def test_model_of_the_action_is_that_of_the_subscription(self):
        with self.assertRaisesRegex(ValidationError, "expected a subscription of"):
            self.action(self.subscribe("res.country"))


@tagged("post_install", "-at_install")
class TestBackfill(DemandCase):
    def setUp(self):
        super().setUp()
        self.partners = self.Partner.create(
            [{"name": f"B{number}", "comment": "backfill"} for number in range(5)]
        )
        self.unfit = self.Partner.create(
            {"name": "Unfit", "comment": "backfill", "ref": "no"}
        )
        self.commit()

    def dialog(self, **values):
        action = self.subscription.with_user(self.admin).action_send_now()
        dialog = self.env[action["res_model"]].browse(action["res_id"])
        dialog = dialog.with_user(self.admin)
        dialog.write({"domain": "[('comment', 'ilike', 'backfill')]", **values})
        return dialog

    def begin(self, **values):
        action = self.dialog(**values).action_send()
        return self.env[action["res_model"]].browse(action["res_id"])

    def test_count_comes_first_and_sends_nothing(self):
        dialog = self.dialog()
        self.assertEqual((dialog.count, dialog.trouble), (5, False))
        self.assertFalse(self.rows(self.subscription))
        dialog.domain = "[('no_such_field', '=', 1)]"
        self.assertEqual(dialog.count, 0)
        self.assertIn("no_such_field", dialog.trouble)

    def test_it_goes_on_at_its_pace_and_says_how_far_it_is(self):
        backfill = self.begin(pace=2)
        late = self.Partner.create({"name": "Late", "comment": "backfill"})
        self.commit()
        for done, progress, state in (
            (2, 40, "running"),
            (4, 80, "running"),
            (5, 100, "done"),
            (5, 100, "done"),
        ):
            self.sweep()
            self.sweep()  # as somebody's server action makes it: the minute is not over
            backfill.invalidate_recordset()
            told = (backfill.done, backfill.progress, backfill.state)
            self.assertEqual(told, (done, progress, state))
            self.pass_a_minute(backfill)
        ids = [id_ for ids, _names in self.sent() for id_ in ids]
        self.assertEqual(ids, self.partners.ids)
        self.assertNotIn(late.id, ids)
        rows = self.rows(self.subscription)
        self.assertEqual(set(rows.mapped("trigger")), {"backfill"})
        self.assertEqual(rows.user_id, self.admin)

    def pass_a_minute(self, backfill):
        backfill.stepped_at -= timedelta(minutes=1)
        self.env.flush_all()

    def test_steps_are_a_minute_apart_and_call_no_sweep(self):
        backfill = self.begin(pace=1)
        self.commit()
        self.env["ir.cron.trigger"].search([]).unlink()
        self.sweep()
        backfill.invalidate_recordset()
        self.assertFalse(self.env["ir.cron.trigger"].search([]))
        for seconds, done in ((59, 1), (60, 2)):
            backfill.stepped_at = fields.Datetime.now() - timedelta(seconds=seconds)
            self.sweep()
            backfill.invalidate_recordset()
            self.assertEqual(backfill.done, done)

    def test_what_stops_it_pauses_it_and_is_said(self):
        """And the backfills after it go on."""
        gone = "[('no_such_field', '=', 1)]"
        forbid = {"perm_read": False}
        access = self.env["ir.model.access"]
        of_partners = access.search([("model_id.model", "=", "res.partner")])
        rows = {
            "subscription": "UPDATE mcp_event_subscription SET",
            "backfill": "UPDATE mcp_webhook_backfill SET",
        }
        model = self.env["res.partner"].__class__

        def break_code():
            def broken(*_args, **_kwargs):
                raise ZeroDivisionError

            self.startPatcher(patch.object(model, "search", broken))

        for what, words, spoil in (
            ("user archived", "archived", lambda: self.reader.write({"active": False})),
            ("no right", "may not read", lambda: of_partners.write(forbid)),
            (
                "model gone",
                "not installed",
                lambda: self.cr.execute(
                    f"{rows['subscription']} model_name = 'x.gone' WHERE id = %s",
                    [self.subscription.id],
                ),
            ),
            (
                "field of its filter gone",
                "no_such_field",
                lambda: self.cr.execute(
                    f"{rows['subscription']} domain = %s WHERE id = %s",
                    [gone, self.subscription.id],
                ),
            ),
            (
                "field of the chosen filter gone",
                "no_such_field",
                lambda: self.cr.execute(f"{rows['backfill']} domain = %s", [gone]),
            ),
            ("archived", "inactive", lambda: self.subscription.write({"active": False})),
            (
                "no URL",
                "webhook URL",
                lambda: self.subscription.write({"webhook_url": False}),
            ),
            ("code", "ZeroDivisionError", break_code),
        ):
            with self.subTest(what=what), self.cr.savepoint() as savepoint:
                self.reader = new_test_user(self.env, "reader", groups="base.group_user")
                self.subscription.user_id = self.reader
                backfill = self.begin(pace=2)
                self.commit()
                self.env.flush_all()
                spoil()
                self.env.flush_all()
                self.env.invalidate_all()
                with mute_logger("odoo.addons.mcp_webhook.models.mcp_webhook_backfill"):
                    self.sweep()
                self.env.invalidate_all()
                self.assertEqual((backfill.done, backfill.state), (0, "paused"))
                self.assertIn(words, backfill.pause_reason)
                backfill.with_user(self.admin).action_resume()
                self.assertFalse(backfill.pause_reason)
                savepoint.rollback()
            self.env.invalidate_all()

    def test_one_that_fails_stops_no_other(self):
        first, second = self.begin(), self.begin()
        self.commit()
        step = type(first)._step

        def failing(backfill):
            if backfill.id == first.id:
                backfill.env.cr.execute("SELECT 1 / 0", log_exceptions=False)
            step(backfill)

        with (
            patch.object(type(first), "_step", failing),
            mute_logger("odoo.addons.mcp_webhook.models.mcp_webhook_backfill"),
        ):
            self.sweep()
        self.env.invalidate_all()
        self.assertEqual((first.state, second.state), ("paused", "done"))
        self.assertIn("DivisionByZero", first.pause_reason)

    def test_pressed_twice_it_sends_once(self):
        dialog = self.dialog()
        self.assertEqual(dialog.action_send(), dialog.action_send())
        self.assertEqual(len(self.subscription.backfill_ids), 1)

    def test_count_is_of_the_company_of_the_subscription(self):
        companies = self.env.company + self.env["res.company"].create({"name": "Far"})
        self.admin.company_ids |= companies
        for partner, company in zip(self.partners[:2], companies, strict=True):
            partner.company_id = company
        self.subscription.company_id = companies[0]
        self.assertEqual(self.dialog().count, 4)

    def test_it_can_be_paused_resumed_and_cancelled(self):
        backfill = self.begin(pace=2).with_user(self.admin)
        self.commit()
        backfill.action_pause()
        self.sweep()
        self.assertEqual(backfill.done, 0)
        backfill.action_resume()
        self.sweep()
        backfill.invalidate_recordset()
        self.assertEqual(backfill.done, 2)
        backfill.action_cancel()
        self.pass_a_minute(backfill.sudo())
        self.sweep()
        backfill.invalidate_recordset()
        self.assertEqual((backfill.done, backfill.state), (2, "cancelled"))
        backfill.action_resume()
        self.assertEqual(backfill.state, "cancelled")

    def test_it_waits_where_nothing_could_be_sent(self):
        backfill = self.begin()
        self.subscription.active = False
        self.commit()
        self.sweep()
        backfill.invalidate_recordset()
        self.assertEqual((backfill.done, backfill.state), (0, "paused"))

    def test_what_cannot_begin_says_why(self):
        for values, words in (
            ({"pace": 0}, "pace: expected"),
            ({"domain": "[('ref', '=', 'nobody')]"}, "No record matches"),
        ):
            with self.assertRaisesRegex(UserError, words):
                self.dialog(**values).action_send()
        for values, words in (
            ({"webhook_url": False}, "Set a webhook URL"),
            ({"event_type": "unlink"}, "tells of deletions"),
            ({"active": False}, "inactive"),
        ):
            with self.cr.savepoint() as savepoint:
                self.subscription.write(values)
                with self.assertRaisesRegex(UserError, words):
                    self.subscription.action_send_now()
                savepoint.rollback()
            self.env.invalidate_all()


@tagged("post_install", "-at_install")
class TestOnlyOnDemand(DemandCase):
    def test_changes_fire_nothing(self):
        self.Partner.create({"name": "A"}).name = "B"
        self.assertFalse(self.rows(self.subscription))
        self.subscription.on_demand = False
        self.commit()
        partner = self.Partner.create({"name": "C"})
        self.assertEqual(self.fired(self.subscription), [("create", partner.ids)])
        explain = {"subscription_id": self.subscription.id, "res_id": partner.id}
        self.subscription.on_demand = True
        told = self.env["mcp.webhook.explain"].create(explain).explanation
        self.assertIn("Only Send Now and server actions fire it", told)
