# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One state of the endpoint, and all that is said comes from it."""

from datetime import datetime, timedelta

from odoo.tests import BaseCase, new_test_user, tagged

from ..models import mcp_event_subscription_alerts
from ..tools import trend
from .common import WebhookCase

START = datetime(2026, 1, 1)
TIMEOUT = {"kind": "timeout", "message": "No answer within 10 s."}
REFUSED = {"kind": "http_status", "message": "500"}


def play(story, minutes=1):
    """`[failing?]` after each letter of a story: S a success, F a failure."""
    since, ended, states = None, [], []
    for number, letter in enumerate(story):
        at = START + timedelta(minutes=minutes * number)
        ended.insert(0, trend.Ended(at, letter == "S", None, 500))
        since = trend.failing_since(since, ended[: trend.WINDOW])
        states.append(bool(since))
    return states


def turns(states):
    return sum(a != b for a, b in zip([False, *states], states, strict=False))


@tagged("post_install", "-at_install")
class TestTrend(BaseCase):
    def test_one_refused_event_in_twenty_never_turns_it(self):
        self.assertEqual(turns(play(("S" * 19 + "F") * 50)), 0)

    def test_whatever_happens_it_turns_at_most_once_in_three(self):
        for story in ("SF" * 100, "SSF" * 70, "SFF" * 70, "SSSSF" * 40, "FFFS" * 50):
            states = play(story)
            self.assertLessEqual(turns(states), 2 + len(story) // 12, story)

    def test_half_of_them_is_failing(self):
        self.assertTrue(all(play("SF" * 50)[20:]))

    def test_outage_is_seen_by_the_third_and_ends_with_the_first_success(self):
        states = play("SSSFFFFFS")
        self.assertEqual(states, [False] * 5 + [True] * 3 + [False])

    def test_the_only_event_of_a_day_is_enough_both_ways(self):
        self.assertEqual(play("SFS", minutes=1440), [False, True, False])
        self.assertEqual(play("F"), [True])

    def test_it_says_since_when(self):
        ended = [trend.Ended(START + timedelta(seconds=n), n == 0) for n in (3, 2, 1, 0)]
        since = trend.failing_since(None, ended)
        self.assertEqual(since, START + timedelta(seconds=1))

    def test_down_is_five_without_an_answer(self):
        for kind, code, down in (
            ("timeout", 0, True),
            ("http_status", 503, True),
            ("http_status", 500, False),
            ("render", 0, False),
        ):
            ended = [trend.Ended(START, False, kind, code)] * 5
            self.assertEqual(trend.is_down(ended), down, kind)
            self.assertFalse(trend.is_down(ended[:4]))


@tagged("post_install", "-at_install")
class TestHealth(WebhookCase):
    def setUp(self):
        super().setUp()
        self.subscription = self.subscribe()
        self.number = 0

    def end(self, status="failed", error=TIMEOUT, **values):
        """One event, and how its attempt ended, a minute after the one before."""
        self.Partner.create({"name": "A"})
        row = self.rows(self.subscription)[-1]
        self.commit()
        self.number += 1
        values.setdefault("finished_at", f"2026-01-02T03:{self.number:02}:00.000Z")
        if status == "failed":
            values = {"response_code": None, "error": error, **values}
        self.sidecar.attempt(row.event_uuid, status=status, **values)
        self.pull()
        return row

    def fire(self):
        """An event that waits."""
        self.Partner.create({"name": "A"})
        row = self.rows(self.subscription)[-1]
        self.commit()
        self.sweep()
        return row

    def told(self):
        bodies = self.subscription.message_ids.sorted("id").mapped("body")
        return [body for body in bodies if "Deliveries to" in body]

    def found(self, *states):
        everything = self.env["mcp.event.subscription"].with_context(active_test=False)
        return self.subscription in everything.search([("health", "in", states)])

    def test_each_state_with_its_reason_in_the_list_and_the_filter(self):
        subscription = self.subscription
        archived = new_test_user(self.env, "gone", groups="base.group_user")

        def user_leaves():
            subscription.user_id = archived
            archived.active = False

        states = (
            ("healthy", "Nothing has been delivered", lambda: None),
            ("failing", "did not answer in time", lambda: self.end()),
            ("healthy", None, lambda: self.end("success")),
            ("outage", "about once a minute", lambda: [self.end() for _n in range(5)]),
            ("paused", "Somebody paused", lambda: subscription.action_pause()),
            ("misconfigured", "is archived", user_leaves),
            (
                "approval",
                "manager",
                lambda: subscription.sudo().write({"approval": "waiting"}),
            ),
            (
                "inactive",
                "Nothing is recorded",
                lambda: subscription.write({"active": 0}),
            ),
        )
        for state, words, change in states:
            change()
            self.env.flush_all()
            self.assertEqual(subscription.health, state)
            reason = subscription.health_reason
            self.assertIn(words, reason) if words else self.assertFalse(reason)
            self.assertTrue(self.found(state))
            others = {name for name, _label in subscription._fields["health"].selection}
            self.assertFalse(self.found(*others - {state}))

    def test_a_next_event_that_waits_does_not_hide_that_it_fails(self):
        """429, closed port, DNS, TLS, under traffic and with retries."""
        self.subscription.max_attempts = 5
        for error, code in (
            (TIMEOUT, None),
            ({"kind": "connect", "message": ""}, None),
            ({"kind": "http_status", "message": ""}, 429),
        ):
            row = self.end(error=error, response_code=code)
            self.retry_waits(row)
            self.fire()
            self.assertEqual(self.subscription.last_delivery_status, "pending")
            self.assertEqual(self.subscription.health, "failing", error)
            self.assertTrue(self.subscription.last_advice)
            self.assertTrue(self.found("failing", "outage"))

    def retry_waits(self, row):
        self.sidecar.attempt(
            row.event_uuid,
            attempt=2,
            trigger="retry",
            status="pending",
            finished_at=None,
            next_attempt_at="2099-01-02T03:05:06.000Z",
        )
        self.pull()

    def test_outage_says_when_the_next_attempt_is_due(self):
        for _number in range(5):
            row = self.end()
        self.retry_waits(row)
        self.assertEqual(self.subscription.health, "outage")
        self.assertIn("2099", self.subscription.health_reason)

    def test_what_people_ended_says_nothing_of_the_endpoint(self):
        self.end("success")
        for kind in ("cancelled", "inactive"):
            for _number in range(5):
                self.end(error={"kind": kind, "message": ""})
        self.assertEqual(self.subscription.health, "healthy")
        self.assertFalse(self.told())

    def test_flapping_is_told_once_an_hour_at_most(self):
        for _round in range(6):
            for _number in range(3):
                self.end()
            self.end("success")
        self.assertEqual(len(self.told()), 2)
        for _number in range(3):
            self.end()
        self.assertTrue(self.subscription.failing_since)
        self.assertEqual(len(self.told()), 2)
        self.subscription.alerted_at -= mcp_event_subscription_alerts.QUIET
        self.sweep()
        self.assertEqual(len(self.told()), 3)
        self.assertIn("fail", self.told()[2])

    def test_each_follower_is_told_in_his_language(self):
        self.env["res.lang"]._activate_lang("fr_FR")
        self.env["ir.module.module"].search(
            [("name", "=", "mcp_webhook")]
        )._update_translations(["fr_FR"])
        readers = {
            lang: new_test_user(
                self.env, lang, groups="mcp_webhook.group_manager", lang=lang
            ).partner_id
            for lang in ("fr_FR", "en_US")
        }
        for partner in readers.values():
            self.subscription.message_subscribe(partner.ids)
        self.end()
        notes = self.env["mail.message"].search(
            [("model", "=", "mcp.event.subscription"), ("message_type", "!=", "comment")]
        )
        for lang, word in (("fr_FR", "échouent"), ("en_US", "fail")):
            theirs = notes.filtered(lambda m, r=readers[lang]: r in m.partner_ids)
            self.assertEqual(len(theirs), 1, lang)
            self.assertIn(word, theirs.body, lang)
            self.assertIn(self.subscription.name, theirs.subject)

    def test_managers_are_told_where_no_manager_follows(self):
        manager = new_test_user(self.env, "boss", groups="mcp_webhook.group_manager")
        followers = self.subscription.message_follower_ids
        followers.unlink()
        self.end()
        notes = self.env["mail.message"].search(
            [("partner_ids", "=", manager.partner_id.id)]
        )
        self.assertTrue(notes.filtered(lambda m: "fail" in m.body))

    def test_refusal_is_told_in_the_reader_s_language_by_its_kind(self):
        self.env["res.lang"]._activate_lang("fr_FR")
        self.env["ir.module.module"].search(
            [("name", "=", "mcp_webhook")]
        )._update_translations(["fr_FR"])
        self.pull()
        self.sidecar.refusals["subscription.update"] = ("blocked_address", "link-local")
        self.subscription.timeout_s = 11
        self.commit()
        self.assertEqual(self.subscription.health, "misconfigured")
        self.sweep()
        french = self.subscription.with_context(lang="fr_FR").sync_error
        self.assertIn("adresse interne", french)
        self.assertIn("link-local", self.subscription.sync_error)
        found = self.env["mcp.event.subscription"].search([("sync_error", "!=", False)])
        self.assertIn(self.subscription, found)

    def test_model_that_is_not_installed_any_more(self):
        self.env.cr.execute(
            "UPDATE mcp_event_subscription SET model_name = 'x.gone' WHERE id = %s",
            [self.subscription.id],
        )
        self.subscription.invalidate_recordset()
        self.sweep()
        self.assertEqual(self.subscription.health, "misconfigured")
        self.assertIn("not installed", self.subscription.health_reason)
