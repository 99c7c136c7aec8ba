# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One event, its attempts: its state, its records, and what is sent once more."""

from unittest.mock import patch

from odoo.exceptions import AccessError
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger
from odoo.tools.safe_eval import safe_eval

from .common import WebhookCase

# What became of the attempts of an event, the oldest first: the event's state, and how many
# are sent again when this attempt is redelivered alone (by number), and in a selection.
HISTORIES = {
    ("failed",): ("undelivered", {1: 1}, 1),
    ("success",): ("delivered", {1: 1}, 0),
    ("pending",): ("waiting", {}, 0),
    ("failed", "success"): ("delivered", {1: 0, 2: 1}, 0),
    ("failed", "failed"): ("undelivered", {1: 1, 2: 1}, 1),
    ("failed", "pending"): ("waiting", {}, 0),
    ("success", "failed"): ("delivered", {1: 1, 2: 1}, 1),
    ("failed", "success", "failed"): ("delivered", {1: 0, 2: 1, 3: 1}, 1),
    ("failed", "failed", "success"): ("delivered", {1: 0, 2: 0, 3: 1}, 0),
}


class EventCase(WebhookCase):
    def setUp(self):
        super().setUp()
        self.subscription = self.subscribe(event_type="create")

    def event(self, *statuses):
        """Rows of one event whose attempts ended so, the oldest first."""
        self.Partner.create({"name": f"Event of {len(statuses)}"})
        row = self.rows(self.subscription)[-1]
        self.commit()
        for number, status in enumerate(statuses, 1):
            if (number, status) != (1, "pending"):
                values = {"attempt": number, "status": status}
                self.sidecar.attempt(row.event_uuid, **values)
        self.pull()
        self.env.invalidate_all()
        return self.Delivery.search(
            [("event_uuid", "=", row.event_uuid)], order="attempt"
        )

    def press(self, rows, button="action_redeliver"):
        self.sidecar.feed_before = len(self.sidecar.feed)
        with self.enter_registry_test_mode():
            return getattr(rows.with_user(self.admin), button)()

    def sent(self):
        return len(self.sidecar.feed) - self.sidecar.feed_before


@tagged("post_install", "-at_install")
class TestOnceMore(EventCase):
    def test_one_row_sends_nothing_that_was_delivered_since(self):
        for history, (_state, alone, _many) in HISTORIES.items():
            for number, expected in alone.items():
                with self.subTest(history=history, attempt=number):
                    rows = self.event(*history)
                    told = self.press(rows[number - 1])
                    self.assertEqual(self.sent(), expected)
                    skipped = "delivered since" in told["params"]["message"]
                    self.assertEqual(skipped, not expected)

    def test_pressing_again_sends_nothing_once_it_was_delivered(self):
        """Also where the outcome is not yet in Odoo."""
        row = self.event("failed")
        self.press(row)
        newest = self.sidecar.newest(row.event_uuid)
        self.sidecar.feed.append({**newest, "status": "success"})  # not pulled yet
        for _time in range(3):
            self.press(row)
            self.assertEqual(self.sent(), 0)

    def test_selection_asks_with_the_count_first(self):
        everything = self.Delivery
        for history, (_state, _alone, many) in HISTORIES.items():
            with self.subTest(history=history):
                rows = self.event(*history)
                everything |= rows
                self.sidecar.calls.clear()
                dialog = self.dialog(rows)
                self.assertEqual(dialog.count, many)
                self.assertFalse(self.sidecar.calls, "asking sends nothing")
        dialog = self.dialog(everything)
        expected = sum(many for _state, _alone, many in HISTORIES.values())
        self.assertEqual(dialog.count, expected)
        self.press(dialog)
        self.assertEqual(self.sent(), expected)

    def dialog(self, rows):
        action = rows.with_user(self.admin).action_ask_redeliver()
        return self.env[action["res_model"]].browse(action["res_id"])


@tagged("post_install", "-at_install")
class TestEvents(EventCase):
    def test_state_of_the_event_is_told_and_found_on_each_row(self):
        for history, (state, _alone, _many) in HISTORIES.items():
            with self.subTest(history=history):
                rows = self.event(*history)
                self.assertEqual(len(rows), len(history))
                self.assertEqual(set(rows.mapped("event_state")), {state})
                newest = rows.filtered("is_newest")
                self.assertEqual(newest, rows[-1])
                self.assertEqual(set(rows.mapped("attempt_count")), {len(history)})
                self.assertEqual(rows[0].attempt_ids, rows)
                mine = [("event_uuid", "=", rows[0].event_uuid)]
                for name, value, expected in (
                    ("event_state", state, rows),
                    ("is_newest", True, newest),
                    ("is_newest", False, rows - newest),
                ):
                    for operator, found in (("=", expected), ("!=", rows - expected)):
                        got = self.Delivery.search([*mine, (name, operator, value)])
                        self.assertEqual(got, found, (name, operator, value))

    def test_still_undelivered_is_a_filter(self):
        expected = self.Delivery
        for history, (state, _alone, _many) in HISTORIES.items():
            rows = self.event(*history)
            expected |= rows[-1] if state != "delivered" else self.Delivery
        search = self.env.ref("mcp_webhook.mcp_webhook_delivery_view_search")
        (node,) = search._get_combined_arch().xpath("//filter[@name='undelivered']")
        domain = [("subscription_id", "=", self.subscription.id)]
        domain += safe_eval(node.get("domain"))
        self.assertEqual(self.Delivery.search(domain), expected.sorted("id", True))

    def test_answer_stands_where_it_says_why(self):
        for status, body, shown in (
            ("failed", '{"error": "no such list"}', '{"error": "no such list"}'),
            ("failed", "<html><style>p{}</style><p>Log&nbsp;in</p></html>", "Log in"),
            ("failed", "<", "<"),
            ("failed", "<?xml version='1.0' encoding='UTF-8'?><e>No</e>", "No"),
            ("failed", "x" * 1000, "x" * 300 + "…"),
            ("failed", False, False),
            ("success", "ok", False),
        ):
            row = self.Delivery.create(
                {
                    "event_uuid": f"answer {status} {body}",
                    "status": status,
                    "response_body": body,
                    "response_code": 400,
                    "error_kind": "http_status",
                }
            )
            self.assertEqual(row.answer, shown)


@tagged("post_install", "-at_install")
class TestRecords(EventCase):
    def row(self, ids, model="res.partner"):
        count = self.Delivery.search_count([])
        values = {"event_uuid": f"r{count}", "model_name": model, "record_ids": ids}
        return self.Delivery.create({**values, "status": "success"})

    def setUp(self):
        super().setUp()
        self.manager = new_test_user(
            self.env, "manager", groups="base.group_user,mcp_webhook.group_manager"
        )
        self.far = self.env["res.company"].create({"name": "Far"})
        self.here = self.Partner.create({"name": "Nearby Ltd"})
        self.hidden = self.Partner.create(
            {"name": "Hidden Ltd", "company_id": self.far.id}
        )

    def test_names_are_those_that_the_reader_may_see(self):
        gone = self.Partner.create({"name": "Gone"})
        gone_id = gone.id
        gone.unlink()
        archived = self.Partner.create({"name": "Archived", "active": False})
        rule = self.env["ir.rule"].search([], limit=1)
        for ids, model, expected in (
            (self.here.ids, "res.partner", "Nearby Ltd"),
            (archived.ids, "res.partner", "Archived"),
            (self.hidden.ids, "res.partner", str(self.hidden.id)),
            ([gone_id], "res.partner", str(gone_id)),
            (rule.ids, "ir.rule", str(rule.id)),
            ([7], "no.such.model", "7"),
            ([], "res.partner", ""),
            (
                [self.here.id, *range(2**30, 2**30 + 6)],
                "res.partner",
                "Nearby Ltd, 1073741824, 1073741825, 1073741826, 1073741827 and 2 more",
            ),
        ):
            row = self.row(ids, model).with_user(self.manager)
            self.env.invalidate_all()
            self.assertEqual(row.record_names, expected, (ids, model))

    def test_search_finds_by_name_or_id_what_the_reader_may_read(self):
        rows = {
            "here": self.row(self.here.ids),
            "hidden": self.row(self.hidden.ids),
            "other": self.row(self.here.ids, "res.users"),
        }
        mine = [("id", "in", [row.id for row in rows.values()])]
        for text, found in (
            ("nearby", {"here"}),
            ("hidden", set()),
            ("ltd", {"here"}),
            (str(self.hidden.id), {"hidden"}),
            (str(self.here.id), {"here", "other"}),
            ("nobody of that name", set()),
        ):
            got = self.Delivery.with_user(self.manager).search(
                [*mine, ("record_names", "ilike", text)]
            )
            expected = {rows[name].id for name in found}
            self.assertEqual(set(got.ids), expected, text)

    def test_a_model_whose_search_fails_closes_no_search(self):
        """Whatever fails in it; the others are found."""
        self.row(self.here.ids)
        other = self.env["res.country"].create({"name": "Alphaland", "code": "QQ"})
        mine = self.row(other.ids, model="res.country")

        def by_sql(model, *args, **kwargs):
            model.env.cr.execute("SELECT 1/0")

        def in_python(model, *args, **kwargs):
            raise KeyError("x")

        Partner = type(self.here)
        for broken in (by_sql, in_python):
            with (
                self.subTest(broken=broken.__name__),
                patch.object(Partner, "name_search", broken),
                mute_logger("odoo.sql_db"),
            ):
                found = self.Delivery.search([("record_names", "ilike", "Alphaland")])
                self.assertEqual(found, mine)

    def test_a_model_whose_names_fail_closes_nothing(self):
        def fail(_records):
            raise ValueError("no names today")

        self.patch(type(self.Partner), "_compute_display_name", fail)
        self.env.invalidate_all()
        self.assertEqual(self.row(self.here.ids).record_names, str(self.here.id))

    def test_payload_and_answer_are_searched(self):
        search = self.env.ref("mcp_webhook.mcp_webhook_delivery_view_search")
        arch = search._get_combined_arch()
        for name in ("record_names", "payload", "response_body"):
            self.assertEqual(len(arch.xpath(f"//field[@name='{name}']")), 1, name)


TOLD = {
    "path": "/services/T0/B0/path-canary",
    "request_headers": [["webhook-id", "7"], ["x-token", "[secret]"]],
    "response_headers": [["location", "https://u:p@x.example/log\0in?next=canary#a"]],
}


@tagged("post_install", "-at_install")
class TestHeaders(EventCase):
    """Path and headers of an attempt."""

    def refused(self, **values):
        self.Partner.create({"name": "Refused"})
        row = self.rows(self.subscription)[-1]
        self.commit()
        error = {"kind": "redirect", "message": "302"}
        self.sidecar.attempt(
            row.event_uuid, status="failed", response_code=302, error=error, **values
        )
        self.pull()
        self.env.invalidate_all()
        return row

    def test_managers_read_what_was_sent_and_what_came_back(self):
        row = self.refused(exchange=TOLD).with_user(self.admin)
        self.assertTrue(self.sidecar.last("delivery.changes")["exchange"])
        self.assertEqual(row.endpoint_path, TOLD["path"])
        self.assertEqual(row.request_headers, "webhook-id: 7\nx-token: [secret]")
        self.assertIn("location: https://u:p@x.example/login", row.response_headers)
        with self.assertRaises(AccessError):
            row.read(["exchange"])

    def test_nobody_else_is_told_of_them(self):
        row = self.refused(exchange=TOLD)
        clerk = new_test_user(self.env, "clerk", groups="base.group_user")
        for name in ("endpoint_path", "request_headers", "response_headers", "exchange"):
            with self.assertRaises(AccessError):
                row.with_user(clerk).read([name])

    def test_advice_names_where_a_redirect_points(self):
        told = self.refused(exchange=TOLD).advice
        self.assertIn("https://x.example/login,", told)
        self.assertNotIn("canary", told)
        for silent in ({}, {"exchange": {**TOLD, "response_headers": []}}):
            self.assertIn("Put the final address", self.refused(**silent).advice)

    def test_an_older_sidecar_is_not_asked_for_them(self):
        self.sidecar.features.discard("delivery.changes.exchange")
        self.env["mcp.webhook.sidecar"]._forget_features()
        row = self.refused()
        self.assertNotIn("exchange", self.sidecar.last("delivery.changes"))
        self.assertFalse(row.with_user(self.admin).request_headers)
