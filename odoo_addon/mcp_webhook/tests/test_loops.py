# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What causes itself stops, and nothing else does."""

import threading
from contextlib import contextmanager
from unittest.mock import patch

from odoo.tests import BaseCase, tagged

from ..models import mcp_webhook_delivery_loop as delivery_loop
from ..models import mcp_webhook_outbox_loop as loop
from ..tools.origin import origin
from .common import WebhookCase

PERSON, PROGRAM = (None, False), (None, True)


@contextmanager
def called_by(who):
    """:param who: what `origin` returns in the meantime"""
    with (
        patch.object(loop, "origin", lambda: who),
        patch.object(delivery_loop, "origin", lambda: who),
    ):
        yield


@tagged("post_install", "-at_install")
class TestLoops(WebhookCase):
    def setUp(self):
        super().setUp()
        self.partner = self.Partner.create({"name": "A"})
        self.subscription = self.subscribe(event_type="write", watched=["name"])
        self.count = 0

    def change(self, origin=PROGRAM, record=None):
        """One change, committed, by whom `origin` says; the event's id, or None."""
        self.count += 1
        known = self.rows(self.subscription)
        with called_by(origin):
            (record or self.partner).name = f"Name {self.count}"
            self.commit()
        return (self.rows(self.subscription) - known).event_uuid

    def failed(self):
        return self.rows(self.subscription, status="failed")

    def assertPaused(self, is_late=False):
        """:param is_late: found before its event was built, so it has none yet"""
        self.assertTrue(self.subscription.paused)
        (row,) = self.failed()
        self.assertEqual(row.error_kind, "loop")
        self.assertIn(f"(res.partner {self.partner.id})", row.error_message)
        self.assertIn("resume", row.advice)
        self.assertTrue(row.event or is_late, "it can be redelivered")
        self.assertFalse(self.Outbox.search([("delivery_id", "=", row.id)]))
        self.assertNotIn(row.event_uuid, self.sidecar.events, "it never left")

    def test_same_record_by_programs_again_and_again(self):
        for _event in range(loop.PER_RECORD):
            self.change()
        self.assertFalse(self.subscription.paused)
        self.change()
        self.assertPaused()
        after = self.change()
        row = self.rows(self.subscription, event_uuid=after)
        self.assertEqual(row.status, "pending", "what comes after waits")
        self.assertEqual(len(self.failed()), 1)

    def test_a_resumed_one_starts_to_count_anew(self):
        for _event in range(loop.PER_RECORD + 1):
            self.change()
        self.assertPaused()
        self.subscription.action_resume()
        for _event in range(loop.PER_RECORD):
            self.change()
        self.assertFalse(self.subscription.paused)
        self.change()
        self.assertTrue(self.subscription.paused)

    def test_people_and_other_records_and_old_events_are_no_loop(self):
        others = self.Partner.create([{"name": "B"} for _ in range(loop.PER_RECORD)])
        self.commit()
        for record in others:
            self.change(record=record)
        for _event in range(loop.PER_RECORD + 2):
            self.change(PERSON)
        for _event in range(loop.PER_RECORD):
            self.change()
        self.env.cr.execute(
            "UPDATE mcp_webhook_delivery SET create_date = create_date - interval '1 h'"
        )
        self.change()
        self.assertFalse(self.subscription.paused)

    def test_rate_is_a_parameter(self):
        set_param = self.env["ir.config_parameter"].set_param
        set_param("mcp_webhook.loop_events", "3")
        for _event in range(4):
            self.change()
        self.assertPaused()
        for odd in ("²", "9" * 5000, "-1", "x"):
            set_param("mcp_webhook.loop_events", odd)
            self.assertEqual(
                self.env["mcp.webhook.outbox"]._loop_events(), loop.PER_RECORD
            )
        set_param("mcp_webhook.loop_events", "0")
        self.subscription.action_resume()
        for _event in range(loop.PER_RECORD + 2):
            self.change()
        self.assertFalse(self.subscription.paused)

    def test_a_mark_that_comes_back(self):
        """Also where each event is about another record, as with creation."""
        cause = None
        for _event in range(loop.HOPS):
            cause = self.change((cause, False))
        self.assertFalse(self.subscription.paused)
        self.change((cause, False))
        self.assertPaused()

    def test_a_chain_through_two_subscriptions(self):
        other = self.subscribe(event_type="write", watched=["ref"])
        cause = None
        for _event in range(loop.HOPS):
            cause = self.change((cause, False))
            known = self.rows(other)
            with called_by((cause, False)):
                self.partner.ref = f"Ref {self.count}"
                self.commit()
            cause = (self.rows(other) - known).event_uuid
        self.assertFalse(self.subscription.paused | other.paused)
        self.change((cause, False))
        self.assertPaused()

    def test_a_chain_through_many_subscriptions(self):
        """Or through one that is deleted and made again before it is recognised."""
        ring = [self.subscription]
        ring += [self.subscribe(event_type="write", watched=["name"]) for _n in range(11)]
        cause, hops = None, 0
        while not any(s.paused for s in ring) and hops < loop.LONGEST + 20:
            turn = ring[hops % len(ring)]
            known = self.rows(turn)
            self.change((cause, False))
            cause = (self.rows(turn) - known).event_uuid
            hops += 1
        self.assertEqual(hops, loop.LONGEST)
        (row,) = self.Delivery.search([("error_kind", "=", "loop")])[:1]
        paused = row.subscription_id
        self.assertTrue(paused.paused)
        paused.action_resume()
        self.change((cause, False))
        self.assertFalse(paused.paused, "what was counted is not counted again")

    def test_a_chain_through_ones_that_are_made_again(self):
        cause = None
        for _event in range(loop.LONGEST - 1):
            cause = self.change((cause, False))
            if _event % loop.HOPS == 0:
                self.subscription.unlink()
                self.subscription = self.subscribe(event_type="write", watched=["name"])
        self.assertFalse(self.subscription.paused)
        self.change((cause, False))
        self.assertPaused()

    def test_marks_of_no_event_of_ours_are_nothing(self):
        unknown = "01890000-0000-7000-8000-000000000000"
        for _event in range(loop.HOPS + 2):
            self.change((unknown, False))
        self.assertFalse(self.subscription.paused)

    def test_one_event_with_many_answers_is_no_loop(self):
        """A receiver that needs many writes for one event comes to an end."""
        cause = self.change()
        for _event in range(loop.HOPS + 2):
            self.change((cause, False))
        self.assertFalse(self.subscription.paused)

    def test_sweep_looks_too(self):
        self.sidecar.down = True
        for _event in range(loop.PER_RECORD + 1):
            with patch.object(self.registry["mcp.webhook.outbox"], "_break_loops"):
                self.change()
        self.assertFalse(self.subscription.paused)
        self.sidecar.down = False
        self.sweep()
        self.assertPaused()

    def test_what_is_built_late_is_looked_at_before_it_leaves(self):
        """By a server action, and where the save had no time for it."""
        for trigger in ("action", "event"):
            with self.subTest(trigger=trigger):
                self.subscription = self.subscribe(on_demand=True, event_type="write")
                self.put_down(loop.PER_RECORD, trigger)
                self.sweep()
                self.assertFalse(self.subscription.paused)
                self.subscription = self.subscribe(on_demand=True, event_type="write")
                self.put_down(loop.PER_RECORD + 1, trigger)
                self.sweep()
                self.assertPaused(is_late=True)

    def test_a_mark_that_comes_back_to_what_is_built_late(self):
        cause = None
        for hop in range(loop.HOPS + 1):
            self.assertFalse(self.subscription.paused, hop)
            known = self.rows(self.subscription)
            self.put_down(1, "action", (cause, False))
            self.sweep()
            cause = (self.rows(self.subscription) - known).event_uuid
        self.assertPaused(is_late=True)

    def put_down(self, count, trigger, origin=PROGRAM):
        """Rows without an event yet."""
        with called_by(origin):
            for _event in range(count):
                self.subscription._put_down(self.partner.ids, trigger)
            self.commit()


@tagged("post_install", "-at_install")
class TestOrigin(BaseCase):
    def test_paths_of_programs_and_of_people(self):
        """As the thread knows them: a language before them is gone by then."""
        doors = ("json/2/res.partner/write", "jsonrpc", "xmlrpc/2/object", "web/hook/x")
        paths = {f"/{door}": True for door in doors}
        for path in (
            "/web/dataset/call_kw/res.partner/write",
            "/web/dataset/call_button/mcp.event.subscription/action_approve",
            "/odoo/event-subscriptions/7",
            "/mail/message/post",
            "/mcp_webhook/wake",
            "/en/shop/json",
            "",
        ):
            paths[path] = False
        thread = threading.current_thread()
        self.addCleanup(setattr, thread, "url", getattr(thread, "url", None))
        for path, is_program in paths.items():
            for query in ("", "?next=/json/2"):
                thread.url = f"http://127.0.0.1:8069{path}{query}"
                self.assertEqual(origin(), (None, is_program), path + query)
