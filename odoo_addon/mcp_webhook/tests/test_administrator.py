# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the administrator is told: alerts, advice, explanation, preview."""

import json

from odoo.exceptions import UserError
from odoo.tests import new_test_user, tagged

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
    401: "trust",
    403: "trust",
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
        self.assertEqual(len(told), 3)
        self.assertIn("fail", told[0])
        self.assertIn("succeed again", told[1])
        self.assertIn("fail", told[2])
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
        message = self.subscription.message_ids.filtered(
            lambda m: "Deliveries to" in m.body
        )
        self.assertEqual(message.subtype_id, self.env.ref("mail.mt_comment"))

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
        self.subscription.sudo().is_alerting = True
        row.invalidate_recordset()
        self.assertIn("once a minute", row.advice)
        row.next_attempt_at = "2026-01-01 12:00:00"
        self.assertIn("tried again at", row.advice)
        self.subscription.paused = True
        row.invalidate_recordset()
        self.assertIn("paused", row.advice)
        self.env["mcp.webhook.outbox"].create({"delivery_id": row.id})
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

    def test_record_of_another_company(self):
        company = self.env["res.company"].create({"name": "Far"})
        self.admin.company_ids |= company
        self.partner.company_id = self.env.company
        told = self.explain(self.subscribe(company_id=company.id))
        self.assertIn("only for Far", told)

    def test_waiting_for_approval_and_refusals_are_told(self):
        subscription = self.subscribe()
        subscription.write({"approval": "waiting", "sync_error": "webhook_url: no"})
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
