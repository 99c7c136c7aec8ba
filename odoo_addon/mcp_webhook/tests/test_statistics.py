# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How endpoints do: measures of pivots, and what the systray shows."""

from odoo.tests import new_test_user, tagged

from .common import WebhookCase

MEASURES = (
    "event_count:sum",
    "success_rate:avg",
    "failed_count:sum",
    "latency_p50:avg",
    "latency_p95:avg",
)


@tagged("post_install", "-at_install")
class TestMeasures(WebhookCase):
    def make(self, host, *rows):
        """:param rows: `(event, status, code, error kind, ms)`"""
        attempts = {}
        for event, status, code, kind, took in rows:
            attempts[event] = attempts.get(event, 0) + 1
            self.Delivery.create(
                {
                    "endpoint_host": host,
                    "event_uuid": f"{host} {event}",
                    "attempt": attempts[event],
                    "status": status,
                    "response_code": code,
                    "error_kind": kind,
                    "duration_ms": took,
                }
            )

    def test_each_measure_is_that_of_its_group(self):
        many = [(n, "success", 200, False, n) for n in range(1, 101)]
        self.make("even.example.com", *many)
        self.make(
            "odd.example.com",
            (1, "failed", 500, "http_status", 40),
            (1, "success", 200, False, 20),
            (2, "failed", 0, "timeout", 1000),
            (3, "failed", 0, "dns", 0),
            (4, "pending", 0, False, 0),
        )
        self.make("new.example.com", (1, "pending", 0, False, 0))
        groups = self.Delivery._read_group(
            [("endpoint_host", "like", "example.com")],
            ["endpoint_host"],
            MEASURES,
            order="endpoint_host",
        )
        self.assertEqual(
            groups,
            [
                ("even.example.com", 100, 100.0, 0, 50, 95),
                ("new.example.com", 1, False, 0, False, False),
                # of 40, 20 and 1000; DNS asked nobody
                ("odd.example.com", 4, 25.0, 3, 40, 904),
            ],
        )
        (whole,) = self.Delivery._read_group(
            [("endpoint_host", "in", ("even.example.com", "odd.example.com"))],
            [],
            MEASURES,
        )
        self.assertEqual(whole[0], 104)
        self.assertAlmostEqual(whole[1], 100 * 101 / 104)

    def test_odoo_s_views_offer_them(self):
        offered = self.Delivery.fields_get(attributes=["aggregator", "type"])
        for measure in MEASURES:
            name, aggregator = measure.split(":")
            self.assertEqual(offered[name]["aggregator"], aggregator)
        found = self.Delivery.formatted_read_group(
            [], ["endpoint_host"], ["__count", *MEASURES], order="failed_count:sum desc"
        )
        self.assertIsInstance(found, list)


@tagged("post_install", "-at_install")
class TestSystray(WebhookCase):
    def test_what_is_in_trouble_is_shown_with_its_reason(self):
        failing = self.subscribe(name="Failing")
        self.subscribe(name="Healthy")
        self.subscribe(name="Paused", paused=True)
        refused = self.subscribe(name="Refused")
        failing.failing_since = "2026-01-02 03:04:05"
        refused._note_sync({"kind": "invalid_url", "field": "url", "message": "no"})
        self.env.flush_all()
        told = {
            one["name"]: one
            for one in self.env["mcp.event.subscription"].failing_endpoints()
        }
        self.assertEqual(set(told) & {"Healthy", "Paused"}, set())
        self.assertEqual(told["Failing"]["since"], "2026-01-02 03:04:05")
        self.assertIn("Since", told["Failing"]["reason"])
        self.assertIn("webhook_url: no", told["Refused"]["reason"])

    def test_managers_hear_when_it_turns(self):
        subscription = self.subscribe(event_type="create")
        heard = []
        groups = type(self.env["res.groups"])
        send = groups._bus_send

        def listen(records, kind, *args, **kwargs):
            heard.append(kind)
            return send(records, kind, *args, **kwargs)

        self.patch(groups, "_bus_send", listen)
        for status, turns in (
            ("failed", True),
            ("failed", False),
            ("success", True),
            ("success", False),
        ):
            heard.clear()
            self.Partner.create({"name": status})
            row = self.rows(subscription)[-1]
            self.commit()
            self.sidecar.attempt(row.event_uuid, status=status, response_code=404)
            self.pull()
            self.assertEqual("mcp_webhook/health" in heard, turns, status)

    def test_only_managers_are_asked_to_ask(self):
        clerk = new_test_user(self.env, "clerk", groups="base.group_user")
        self.assertRefused(
            self.env["mcp.event.subscription"].with_user(clerk).failing_endpoints
        )
