# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the administrator is told: alerts, advice, explanation, preview."""

import csv
import io
import json
from unittest.mock import patch

from odoo.exceptions import UserError, ValidationError
from odoo.tests import Form, new_test_user, tagged
from odoo.tools import SQL, mute_logger

from ..models import mcp_event_subscription_actions, mcp_webhook_delivery
from ..wizards import mcp_webhook_explain
from .common import WebhookCase

ERROR_KINDS = (
    "timeout",
    "dns",
    "connect",
    "tls",
    "blocked_address",
    "redirect",
    "protocol",
    "render",
    "payload_too_large",
    "inactive",
    "internal",
    "expired",
)
CODES = {
    301: "redirect",
    400: "shape",
    401: "rejected",
    403: "rejected",
    404: "address",
    405: "address",
    408: "receiver",
    410: "address",
    413: "too large",
    418: "418",
    422: "shape",
    429: "Too many",
    500: "receiver",
    503: "receiver",
    504: "receiver",
}


@tagged("post_install", "-at_install")
class TestAlerts(WebhookCase):
    def setUp(self):
        super().setUp()
        self.subscription = self.subscribe()

    def end(self, status, **values):
        self.Partner.create({"name": "A"})
        row = self.rows(self.subscription)[-1]
        self.commit()
        self.sidecar.attempt(row.event_uuid, status=status, **values)
        self.pull()

    def told(self):
        bodies = self.subscription.message_ids.sorted("id").mapped("body")
        return [b for b in bodies if "Deliveries to" in b]

    def test_one_post_when_it_starts_failing_and_one_when_it_recovers(self):
        for status in (
            "success",
            "failed",
            "failed",
            "failed",
            "success",
            "success",
            "failed",
        ):
            self.end(status, response_code=200 if status == "success" else 500)
        told = self.told()
        self.assertEqual(len(told), 2)
        self.assertIn("fail", told[0])
        self.assertIn("succeed again", told[1])
        self.assertIn("example.com", told[0])
        self.assertNotIn("/hook", told[0])

    def test_a_backlog_that_waits_does_not_hide_that_it_fails(self):
        self.Partner.create({"name": "A"})
        first = self.rows(self.subscription)[-1]
        self.commit()
        self.Partner.create({"name": "B"})
        self.rows(self.subscription)
        self.commit()
        self.sidecar.attempt(first.event_uuid, status="failed", response_code=500)
        self.pull()
        self.assertEqual(self.subscription.last_delivery_status, "pending")
        self.assertEqual(len(self.told()), 1)

    def test_followers_are_notified(self):
        self.end("failed", response_code=500)
        notes = self.env["mail.message"].search(
            [("message_type", "=", "user_notification"), ("subject", "like", "fail")]
        )
        self.assertEqual(notes.partner_ids, self.admin.partner_id)

    def test_alert_is_not_an_event_itself(self):
        """Else each delivery of an alert would cause the next one."""
        reader = new_test_user(
            self.env, "reader", groups="mcp_webhook.group_manager", email="r@example.com"
        )
        reader.notification_type = "email"
        self.subscription.message_subscribe(reader.partner_id.ids)
        models = ("mail.message", "mail.mail", "mail.notification")
        loops = [self.subscribe(model, name=model) for model in models]
        for status in ("failed", "success", "failed"):
            self.end(status, response_code=500)
        self.assertEqual(len(self.told()), 2)
        ours = self.env["mail.message"].search(
            [
                ("model", "=", "mcp.event.subscription"),
                ("res_id", "=", self.subscription.id),
            ]
        )
        self.assertTrue(ours.notification_ids)
        for loop in loops:
            ids = [i for row in self.rows(loop) for i in row.record_ids]
            told = self.env[loop.name].browse(ids).exists()
            messages = told if loop.name == "mail.message" else told.mail_message_id
            self.assertFalse(messages & ours, loop.name)
        self.assertTrue(self.rows(loops[0]), "a partner's own messages are events")

    def test_banner_tells_since_when_and_how_many_wait(self):
        trouble = self.env["mcp.event.subscription"].sidecar_trouble
        self.sweep()
        self.assertFalse(trouble())
        self.sidecar.down = True
        self.Partner.create({"name": "A"})
        self.commit()
        self.sweep()
        self.assertIn("did not answer in time", trouble())
        self.assertIn("wait in Odoo: 1", trouble())
        self.sidecar.down = False
        self.sweep()
        self.assertFalse(trouble())

    def test_banner_and_watched_models_are_for_managers(self):
        clerk = new_test_user(self.env, "clerk", groups="base.group_user")
        for method in ("sidecar_trouble", "watched_models"):
            with self.assertRaises(UserError):  # AccessError is one too
                getattr(self.env["mcp.event.subscription"].with_user(clerk), method)()
        self.assertIn("res.partner", self.env["mcp.event.subscription"].watched_models())


@tagged("post_install", "-at_install")
class TestAdvice(WebhookCase):
    def setUp(self):
        super().setUp()
        self.subscription = self.subscribe()

    def row(self, **values):
        return self.Delivery.create(
            {
                **self.Delivery._subscription_values(self.subscription),
                "event_uuid": f"e{self.Delivery.search_count([])}",
                "status": "failed",
                **values,
            }
        )

    def test_each_kind_of_error_has_its_own_advice(self):
        fallback = self.row(error_kind="unheard_of").advice
        texts = {kind: self.row(error_kind=kind).advice for kind in ERROR_KINDS}
        self.assertEqual(len(set(texts.values())), len(ERROR_KINDS))
        self.assertNotIn(fallback, texts.values())

    def test_each_code_has_advice(self):
        for code, words in CODES.items():
            row = self.row(response_code=code, error_kind="http_status")
            self.assertIn(words, row.advice, code)

    def test_what_waits_says_for_what(self):
        row = self.row(status="pending")
        self.assertIn("on its way: the endpoint has not answered", row.advice)
        self.subscription.sudo().failing_since = "2026-01-01 12:00:00"
        row.invalidate_recordset()
        self.assertIn("once a minute", row.advice)
        row.next_attempt_at = "2026-01-01 12:00:00"
        self.assertIn("tried again at", row.advice)
        self.subscription.paused = True
        row.invalidate_recordset()
        self.assertIn("paused", row.advice)
        self.env["mcp.webhook.outbox"].create({"delivery_id": row.id})
        row.invalidate_recordset()
        self.assertIn("built within a minute", row.advice)
        row.event = "{}"
        row.invalidate_recordset()
        self.assertIn("waits in Odoo", row.advice)

    def test_preview_is_offered_where_the_template_is_at_fault(self):
        self.assertTrue(self.row(response_code=422).is_template_fault)
        self.assertTrue(self.row(error_kind="render").is_template_fault)
        self.assertFalse(self.row(response_code=404).is_template_fault)

    def test_records_open_where_they_exist(self):
        partner = self.Partner.create({"name": "A"})
        action = self.row(record_ids=[partner.id]).action_open_records()
        self.assertEqual(action["res_id"], partner.id)
        with self.assertRaisesRegex(UserError, "exists any more"):
            self.row(record_ids=[2**30]).action_open_records()
        with self.assertRaisesRegex(UserError, "not installed"):
            self.row(model_name="no.such.model").action_open_records()

    def test_export_is_defused(self):
        for start in ("=", "+", "-", "@", "\t", "\r", "\n"):
            text = f"{start}cmd|'/C calc'!A0"
            row = self.row(response_body=text, error_message=text, payload=text)
            names = ["response_body", "error_message", "payload"]
            self.assertEqual(row.export_data(names)["datas"], [[f"'{text}"] * 3])
        for between in ("\n", "\r\n", ";", "\t", ";\ufeff ", "\n\u200b"):
            text = f"Order 7{between}=1+1;y"
            row = self.row(response_body=text)
            ((told,),) = row.export_data(["response_body"])["datas"]
            for separator in ";\t,":  # as a spreadsheet of any country reads the file
                lines = csv.reader(io.StringIO(f"'a',{told}"), delimiter=separator)
                cells = [cell.strip() for line in lines for cell in line]
                self.assertFalse(
                    [c for c in cells if c.startswith("=")], (between, cells)
                )
        harmless = self.row(response_body="a=b", duration_ms=-1)
        self.assertEqual(
            harmless.export_data(["response_body", "duration_ms"])["datas"], [["a=b", -1]]
        )

    def test_long_lists_of_records_stay_short(self):
        self.assertEqual(self.row(record_ids=[1, 2]).record_list, "1, 2")
        row = self.row(record_ids=list(range(1, 201)))
        self.assertEqual(row.record_list, "1, 2, 3, 4, 5 and 195 more")

    def test_attempt_is_told_of_how_many(self):
        first = self.row(event_uuid="same", attempt=1)
        second = self.row(event_uuid="same", attempt=2)
        self.assertEqual((first.attempt_of, second.attempt_of), ("1 of 2", "2 of 2"))


@tagged("post_install", "-at_install")
class TestExplanation(WebhookCase):
    def setUp(self):
        super().setUp()
        self.partner = self.Partner.create({"name": "A", "ref": "x"})
        self.commit()

    def explain(self, subscription, record=None):
        wizard = self.env["mcp.webhook.explain"].create(
            {"subscription_id": subscription.id, "res_id": (record or self.partner).id}
        )
        return wizard.explanation

    def test_all_well(self):
        self.assertIn(
            "The next change that counts will fire", self.explain(self.subscribe())
        )

    def test_each_condition_is_named(self):
        archived = new_test_user(self.env, "archived", groups="base.group_user")
        cases = [
            ({"webhook_url": False}, "There is none"),
            ({"active": False}, "Inactive: nothing is recorded"),
            ({"domain": "[('ref', '=', 'y'), ('name', '=', 'A')]"}, "('ref', '=', 'y')"),
            ({"event_type": "create"}, "Only creations fire"),
            ({"event_type": "unlink"}, "Only deletions fire"),
            ({"event_type": "write", "watched": ["email"]}, "email"),
            ({"user_id": archived.id}, "archived"),
        ]
        for values, words in cases:
            subscription = self.subscribe(**values)
            if values.get("user_id"):
                archived.active = False
            told = self.explain(subscription)
            told = str(told).replace("&#39;", "'")
            self.assertIn(words, told, values)

    def test_only_the_failing_part_of_the_filter_is_told(self):
        told = str(
            self.explain(self.subscribe(domain="[('ref', '=', 'y'), ('name', '=', 'A')]"))
        )
        self.assertNotIn("name", told.split("does not match")[1].split("</span>")[0])

    def test_record_that_the_user_may_not_read(self):
        company = self.env["res.company"].create({"name": "Far"})
        far = self.Partner.create({"name": "Far away", "company_id": company.id})
        told = self.explain(self.subscribe(), far)
        self.assertIn("may not read the record", told)

    def test_nothing_is_told_of_a_record_that_the_manager_may_not_read(self):
        """Not who changed it, nor when, nor which condition it fails, nor that it is
        there: as of a record that never was."""
        manager = new_test_user(
            self.env, "manager", groups="base.group_user,mcp_webhook.group_manager"
        )
        company = self.env["res.company"].create({"name": "Far"})
        far = self.Partner.create({"name": "Far away", "company_id": company.id})
        self.admin.company_ids |= company
        told = []
        for record_id in (far.id, 2**30):
            subscription = self.subscribe(domain="[('ref', '=', 'secret')]")
            self.env.invalidate_all()
            wizard = (
                self.env["mcp.webhook.explain"]
                .with_user(manager)
                .create({"subscription_id": subscription.id, "res_id": record_id})
            )
            told.append(str(wizard.explanation).replace(str(record_id), "?"))
        self.assertEqual(told[0], told[1])
        self.assertIn("may not read it yourself", told[0])
        self.assertNotIn("secret", told[0])

    def test_nor_that_it_fired(self):
        """The line about deliveries, too: their number, times and outcomes."""
        company = self.env["res.company"].create({"name": "Far"})
        self.admin.company_ids |= company
        manager = new_test_user(
            self.env, "manager", groups="base.group_user,mcp_webhook.group_manager"
        )
        subscription = self.subscribe()
        far = self.Partner.create({"name": "Far away", "company_id": company.id})
        self.assertTrue(self.rows(subscription), "it fires, with the user's rights")
        self.assertIn("It did fire: 1", self.explain(subscription, far))
        self.env.invalidate_all()
        told = []
        for record_id in (far.id, 2**30):
            wizard = self.env["mcp.webhook.explain"].with_user(manager)
            wizard = wizard.create(
                {"subscription_id": subscription.id, "res_id": record_id}
            )
            told.append(str(wizard.explanation).replace(str(record_id), "?"))
        self.assertEqual(told[0], told[1])
        self.assertNotIn("Deliveries", told[0])

    def test_others_deliveries_do_not_hide_its_own(self):
        subscription, other = self.subscribe(), self.subscribe()
        self.patch(mcp_webhook_delivery, "MOST_ROWS", 3)
        self.patch(mcp_webhook_explain, "MOST_ROWS", 3)
        self.partner.name = "First"
        self.commit()
        subscription.active = False
        for number in range(4):
            self.partner.name = f"Name {number}"
            self.commit()
        subscription.active = True
        self.assertIn("It did fire: 1,", self.explain(subscription))
        self.assertIn("It did fire: 3+,", self.explain(other))

    def test_record_of_another_company(self):
        company = self.env["res.company"].create({"name": "Far"})
        self.admin.company_ids |= company
        self.partner.company_id = self.env.company
        told = self.explain(self.subscribe(company_id=company.id))
        self.assertIn("only for Far", told)

    def test_waiting_for_approval_and_refusals_are_told(self):
        subscription = self.subscribe()
        refusal = {"kind": "invalid_url", "field": "url", "message": "url: no"}
        subscription.write({"approval": "waiting"})
        subscription.sudo()._note_sync(refusal)
        told = self.explain(subscription)
        self.assertIn("It waits for approval", told)
        self.assertIn("webhook_url: no", told)

    def test_change_before_the_subscription_and_deliveries_are_told(self):
        subscription = self.subscribe()
        self.assertIn("None of this record yet", self.explain(subscription))
        self.partner.name = "B"
        self.rows(subscription)
        self.assertIn("It did fire: 1", self.explain(subscription))

    def test_deleted_record(self):
        gone = self.Partner.create({"name": "Gone"})
        subscription = self.subscribe()
        gone_id = self.Partner.browse(gone.id)
        gone.unlink()
        self.assertIn("There is no record", self.explain(subscription, gone_id))

    def test_names_of_records_stay_text(self):
        subscription = self.subscribe(
            domain="[('name', '=', '<img src=x onerror=alert(1)>')]"
        )
        self.assertNotIn("<img", self.explain(subscription))


@tagged("post_install", "-at_install")
class TestPreview(WebhookCase):
    def setUp(self):
        super().setUp()
        self.partner = self.Partner.create({"name": "Sample", "ref": "x"})
        self.commit()

    def asked(self):
        (params,) = [p for name, p in self.sidecar.calls if name == "template.preview"]
        return params

    def preview(self, subscription, res_id=None):
        return self.env["mcp.webhook.preview"].create(
            {"subscription_id": subscription.id, "res_id": res_id}
        )

    def test_sidecar_renders_a_real_event(self):
        subscription = self.subscribe(enrich_fields="name", payload_template='{"a": 1}')
        self.assertEqual(
            json.loads(self.preview(subscription, self.partner.id).payload),
            {"text": "preview"},
        )
        params = self.asked()
        self.assertEqual(params["payload_template"], {"a": 1})
        self.assertEqual(params["event"]["record_ids"], [self.partner.id])
        self.assertEqual(params["event"]["records"][0]["name"], "Sample")

    def test_sample_is_the_newest_that_fires(self):
        self.Partner.create({"name": "Newer, does not match"})
        subscription = self.subscribe(domain="[('ref', '=', 'x')]")
        self.assertEqual(subscription._sample_record(), self.partner)

    @mute_logger("odoo.sql_db")
    def test_a_filter_or_field_that_takes_too_long_holds_up_no_screen(self):
        """A manager looks at what a stranger's AI has asked for: form, preview, test,
        explanation."""
        Country = type(self.env["res.country"])

        def slow_search(model, operator, value):
            return [("id", "in", SQL("(SELECT c.id FROM pg_sleep(600), res_country c)"))]

        def slow_read(records):
            records.env.cr.execute("SELECT pg_sleep(600)")

        self.patch(Country, "_search_display_name", slow_search)
        self.patch(Country, "_compute_display_name", slow_read)
        self.patch(mcp_event_subscription_actions, "LOOKED_MS", 50)
        self.partner.country_id = self.env.ref("base.fr")
        slow = "('country_id.display_name', '=', 'x')"
        by_filter = self.subscribe(domain=f"[{slow}]", enrich_fields="name")
        by_field = self.subscribe(enrich_fields="country_id")
        self.partner.country_id = self.env.ref("base.be")  # pending, and kept
        preview = self.preview(by_filter)
        self.assertTrue(preview.payload)
        self.assertIn("too long", preview.note)
        self.assertIn("too long", self.preview(by_field, self.partner.id).error)
        with self.assertRaisesRegex(UserError, "too long"):
            by_field.action_send_test()
        with Form(by_filter) as form:
            form.preview_res_id = self.partner.id
            self.assertIn("too long", form.preview_note)
        many = f"{slow}, ('ref', '=', 'y')"
        for subscription in (by_filter, self.subscribe(domain=f"[{many}]")):
            wizard = self.env["mcp.webhook.explain"].create(
                {"subscription_id": subscription.id, "res_id": self.partner.id}
            )
            self.assertIn("too long", wizard.explanation)
        self.env.flush_all()
        self.env.invalidate_all()
        self.assertEqual(self.partner.country_id, self.env.ref("base.be"))
        timeout = self.env.execute_query(SQL("SHOW statement_timeout"))
        self.assertEqual(timeout, [("0",)], "as it was")

    def test_code_that_asks_for_ever_holds_up_no_screen(self):
        """Each statement is quick."""

        def ask(records):
            while True:
                records.env.cr.execute("SELECT 1")

        Country = type(self.env["res.country"])
        self.partner.country_id = self.env.ref("base.fr")
        subscription = self.subscribe(enrich_fields="country_id")
        self.env.flush_all()
        self.env.invalidate_all()
        with (
            patch.object(Country, "_compute_display_name", ask),
            self.assertRaisesRegex(UserError, "too long"),
        ):
            subscription._sample_event(self.partner)

    def test_look_at_a_filter_has_an_end(self):
        """At save; each minute it is not asked at all."""

        def ask(model, operator, value):
            while True:
                model.env.cr.execute("SELECT 1")

        domain = "[('country_id.display_name', '=', 'x')]"
        subscription = self.subscribe(domain=domain)
        self.assertFalse(subscription.is_faulty)
        with patch.object(type(self.env["res.country"]), "_search_display_name", ask):
            with self.assertRaisesRegex(ValidationError, "domain: .*too often"):
                self.subscribe(domain=domain)
            self.env["mcp.event.subscription"]._flag_faults(self.env.registry)
        self.assertFalse(subscription.is_faulty, "nobody knows better")

    def test_record_that_the_user_cannot_read_is_not_shown(self):
        company = self.env["res.company"].create({"name": "Far"})
        far = self.Partner.create({"name": "Far away", "company_id": company.id})
        preview = self.preview(self.subscribe(enrich_fields="name"), far.id)
        self.assertFalse(preview.payload)
        self.assertIn("cannot read record", preview.error)

    def test_faults_are_told_in_words(self):
        subscription = self.subscribe()
        self.sidecar.refusals["template.preview"] = ("invalid_template", "no such name")
        self.assertIn("no such name", self.preview(subscription).error)
        self.sidecar.refusals.clear()
        self.sidecar.down = True
        self.assertIn("No preview now", self.preview(subscription).error)

    def test_buttons_open_the_dialogs(self):
        subscription = self.subscribe()
        self.assertEqual(
            subscription.action_preview()["res_model"], "mcp.webhook.preview"
        )
        self.assertEqual(
            subscription.action_explain()["res_model"], "mcp.webhook.explain"
        )
