# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Who is told of a subscription, how often, and what is left behind when it goes."""

import re
from pathlib import Path
from unittest.mock import patch

from odoo.models import LOG_ACCESS_COLUMNS
from odoo.tests import new_test_user, tagged

from ..models import mcp_event_subscription_deletion as deletion
from ..models import mcp_webhook_told as told
from ..models.mcp_event_subscription_readers import TRACES
from .common import WebhookCase

MANAGER = "base.group_user,mcp_webhook.group_manager"
URL = "https://hooks.example.com/x"
SUBSCRIPTION = "mcp.event.subscription"
# What a copy takes over: what leaves and how, and nobody's word, secret or state.
COPIED = """
    company_id count_recomputed dialect domain enrich_fields event_type in_session
    include_own_changes max_attempts
    max_in_flight model_id on_demand one_event_per_record paused payload_template
    secret_overlap_hours success_equals success_not_html success_pointer timeout_s user_id
    watched_field_ids webhook_url
"""


class ToldCase(WebhookCase):
    def setUp(self):
        super().setUp()
        set_param = self.env["ir.config_parameter"].set_param
        set_param("mcp_webhook.allowed_hosts", "hooks.example.com")
        self.manager = new_test_user(self.env, "boss", groups=MANAGER)
        self.clerks = [
            new_test_user(self.env, f"clerk{n}", groups="base.group_user")
            for n in range(5)
        ]

    def asked_by(self, user, **values):
        """A subscription that this user's AI has made."""
        calls = self.env[SUBSCRIPTION].with_user(user)
        made = calls.subscribe_events("res.partner", "create", webhook_url=URL, **values)
        self.commit()
        return self.env[SUBSCRIPTION].browse(made["id"])

    def fails(self, subscription):
        """Its next delivery does, and whoever is to be told is."""
        self.Partner.create({"name": "A"})
        row = self.rows(subscription)[-1]
        self.commit()
        error = {"kind": "timeout", "message": ""}
        self.sidecar.attempt(
            row.event_uuid, status="failed", response_code=None, error=error
        )
        self.pull()

    def notices(self, user):
        notes = self.env["mail.message"].search(
            [("partner_ids", "=", user.partner_id.id)], order="id"
        )
        return notes.mapped("subject")

    def an_hour_passes(self):
        self.env.flush_all()
        self.env.cr.execute("UPDATE mcp_webhook_told SET at = at - interval '1 h'")
        self.env.invalidate_all()
        self.sweep()


@tagged("post_install", "-at_install")
class TestCeiling(ToldCase):
    def churn(self, user, rounds):
        """Subscribe, let it fail, unsubscribe, and again."""
        for _round in range(rounds):
            subscription = self.asked_by(user)
            self.fails(subscription)
            self.env[SUBSCRIPTION].with_user(user).unsubscribe_events(subscription.id)
            self.commit()

    def test_who_subscribes_again_and_again_is_not_heard_more_often(self):
        """A notice goes with its subscription; what was sent by mail, or counted, stays."""
        sent = []
        door = type(self.env["mail.thread"]).message_notify

        def message_notify(here, **given):
            if self.manager.partner_id.id in given["partner_ids"]:
                sent.append(given["subject"])
            return door(here, **given)

        self.patch(type(self.env["mail.thread"]), "message_notify", message_notify)
        self.churn(self.clerks[0], told.PER_OWNER + 3)
        self.assertEqual(len(sent), told.PER_OWNER)
        # somebody else's trouble is told all the same
        self.fails(self.asked_by(self.clerks[1]))
        self.assertEqual(len(sent), told.PER_OWNER + 1)
        self.sweep()
        self.assertEqual(len(sent), told.PER_OWNER + 1, "the hour is not over")
        self.an_hour_passes()
        self.assertEqual(sent[told.PER_OWNER + 1 :], ["Webhooks: 3 more notices"])
        self.an_hour_passes()
        self.assertEqual(len(sent), told.PER_OWNER + 2, "told once")
        self.churn(self.clerks[0], 1)
        self.assertEqual(len(sent), told.PER_OWNER + 3, "another hour")

    def test_requests_for_approval_are_of_the_same_kind(self):
        """Activities, and no mails; who was not asked is asked when there is room."""
        set_param = self.env["ir.config_parameter"].set_param
        set_param("mcp_webhook.allowed_hosts", "")
        mails = self.env["mail.mail"].search_count([])
        made, asked = [], 0
        for number in range(told.PER_OWNER + 3):
            subscription = self.asked_by(self.clerks[0])
            asked += self.manager in subscription.activity_ids.user_id
            if number % 2:
                made.append(subscription)
            else:
                calls = self.env[SUBSCRIPTION].with_user(self.clerks[0])
                calls.unsubscribe_events(subscription.id)
                self.commit()
        self.assertEqual(asked, told.PER_OWNER)
        self.assertFalse(self.notices(self.manager))
        self.assertIn(self.manager, self.asked_by(self.clerks[1]).activity_ids.user_id)
        self.sweep()
        late = made[-1]
        self.assertNotIn(self.manager, late.activity_ids.user_id)
        self.an_hour_passes()
        self.assertIn(self.manager, late.activity_ids.user_id)
        self.assertEqual(self.notices(self.manager), ["Webhooks: 3 more notices"])
        self.sweep()
        for subscription in made:
            theirs = subscription.activity_ids.filtered(
                lambda activity: activity.user_id == self.manager
            )
            self.assertEqual(len(theirs), 1)
        self.assertLessEqual(self.env["mail.mail"].search_count([]), mails + 2)

    def test_many_users_together_are_not_heard_more_often_either(self):
        for clerk in self.clerks:
            for _number in range(told.PER_OWNER):
                self.fails(self.asked_by(clerk))
        self.assertEqual(len(self.notices(self.manager)), told.PER_READER)
        left_out = len(self.clerks) * told.PER_OWNER - told.PER_READER
        self.an_hour_passes()
        self.assertIn(
            f"Webhooks: {left_out} more notices", self.notices(self.manager)[-1]
        )

    def test_nothing_of_all_that_is_an_event(self):
        """Neither notices, nor the one that sums them up, nor what goes with a
        subscription that is deleted."""
        watched = [
            self.subscribe(model)
            for model in ("mail.message", "mail.followers", "mail.notification")
        ]
        self.churn(self.clerks[0], told.PER_OWNER + 1)
        self.an_hour_passes()
        self.assertIn("1 more", self.notices(self.manager)[-1])
        for subscription in watched:
            events = {
                (row.model_name, row.event_type, tuple(row.record_ids))
                for row in self.rows(subscription)
            }
            ours = {
                event
                for event in events
                if not self.env["mail.message"].browse(event[2]).exists()
                or event[0] != "mail.message"
                or self.env["mail.message"].browse(event[2])[:1].model != "res.partner"
            }
            self.assertFalse(ours, subscription.model_name)

    def test_nothing_grows_with_the_time(self):
        self.churn(self.clerks[0], told.PER_OWNER + 1)
        self.an_hour_passes()
        self.an_hour_passes()
        self.assertFalse(self.env["mcp.webhook.told"].search([]))

    def test_a_loop_is_told_through_the_same_door(self):
        subscription = self.asked_by(self.clerks[0])
        self.Partner.create({"name": "A"})
        self.rows(subscription)._end_loop(subscription)
        told_so = " ".join(self.notices(self.manager))
        self.assertIn("its events cause themselves", told_so)
        self.assertTrue(self.env["mcp.webhook.told"].search([]))

    def test_there_is_no_other_door(self):
        """Whatever else would send a notice, a mail or an activity belongs behind it."""
        senders = re.compile(
            r"(?<!def )(?<!super\(\)\.)\b(message_notify|message_post\w*|send_mail"
            r"|activity_schedule\w*|message_subscribe)\("
            r"|[\"']mail\.(mail|activity|notification)[\"']\]"
        )
        folder = Path(told.__file__).parents[1]
        found = {
            path.name
            for part in ("models", "wizards", "capture", "controllers")
            for path in (folder / part).glob("*.py")
            if senders.search(path.read_text())
        }
        self.assertEqual(found, {Path(told.__file__).name})


@tagged("post_install", "-at_install")
class TestReaders(ToldCase):
    def test_who_is_told_and_who_is_not(self):
        """Each follows it, by whichever way they came to."""
        other = self.env["res.company"].create({"name": "Other"})
        there = {"company_id": other.id, "company_ids": [(6, 0, other.ids)]}
        portal = new_test_user(self.env, "portal", groups="base.group_portal")
        gone = new_test_user(self.env, "gone", groups=MANAGER)
        demoted = new_test_user(self.env, "demoted", groups=MANAGER)
        followers = {
            "a manager": (self.manager, True),
            "a manager of another company": (
                new_test_user(self.env, "far", groups=MANAGER, **there),
                False,
            ),
            "a manager who left": (gone, False),
            "who was a manager": (demoted, False),
            "an employee": (self.clerks[1], False),
            "a portal user": (portal, False),
            "whose AI asked for it": (self.clerks[0], True),
        }
        mailbox = self.Partner.create({"name": "Ops", "email": "ops@example.com"})
        subscription = self.asked_by(self.clerks[0])
        subscription.company_id = self.env.company
        partners = mailbox.union(*(user.partner_id for user, _t in followers.values()))
        subscription.message_subscribe(partners.ids)
        gone.active = False
        demoted.group_ids = [(6, 0, self.env.ref("base.group_user").ids)]
        self.commit()
        self.fails(subscription)
        for who, (user, is_told) in followers.items():
            self.assertEqual(bool(self.notices(user)), is_told, who)
        note = self.env["mail.message"].search(
            [("partner_ids", "=", mailbox.id)], limit=1
        )
        self.assertTrue(note, "a mailbox that a manager has put there")

    def test_managers_of_another_company_are_not_told_where_nobody_follows(self):
        other = self.env["res.company"].create({"name": "Other"})
        there = {"company_id": other.id, "company_ids": [(6, 0, other.ids)]}
        far = new_test_user(self.env, "far", groups=MANAGER, **there)
        subscription = self.asked_by(self.clerks[0])
        subscription.company_id = self.env.company
        self.fails(subscription)
        self.assertTrue(self.notices(self.manager))
        self.assertFalse(self.notices(far))

    def test_it_is_not_told_to_whom_it_was_once(self):
        subscription = self.asked_by(self.clerks[0])
        subscription.user_id = self.clerks[1]
        self.commit()
        self.fails(subscription)
        self.assertFalse(self.notices(self.clerks[0]), "it is not theirs any more")
        self.assertFalse(self.notices(self.clerks[1]), "nobody asked them")

    def test_whose_rights_decide_does_not_follow_and_gets_no_mail(self):
        by_hand = self.env[SUBSCRIPTION].with_user(self.manager)
        subscription = by_hand.create(
            {"model_id": self.env["ir.model"]._get_id("res.partner"), "webhook_url": URL}
        )
        followers = subscription.message_follower_ids.partner_id
        self.assertEqual(followers, self.manager.partner_id)
        for turn in range(4):
            subscription.user_id = self.clerks[turn % 2]
        followers = subscription.message_follower_ids.partner_id
        self.assertEqual(followers, self.manager.partner_id)
        for clerk in self.clerks[:2]:
            self.assertFalse(self.notices(clerk))
        self.assertFalse(self.asked_by(self.clerks[0]).message_follower_ids)

    def test_nobody_learns_a_name_by_a_notice_to_themselves(self):
        """Odoo's own door, on the model that all threads have in common, and on ours."""
        other = self.env["res.company"].create({"name": "Other"})
        there = {"company_id": other.id, "company_ids": [(6, 0, other.ids)]}
        far = new_test_user(self.env, "far", groups=MANAGER, **there)
        subscription = self.subscribe(name="Secret", company_id=self.env.company.id)
        self.Partner.create({"name": "A"})
        row = self.rows(subscription)
        for user in (self.clerks[0], far, self.manager):
            user.notification_type = "inbox"  # a mail's header would ask for more
            for record in (subscription, row):
                self.env.invalidate_all()

                def notify(door, u=user, **given):
                    given.update(subject="?", body="?", partner_ids=u.partner_id.ids)
                    return door.with_user(u).message_notify(**given).record_name

                def by_number(r=record):
                    return notify(self.env["mail.thread"], model=r._name, res_id=r.id)

                def on_itself(u=user):
                    # what Odoo would read of the record, and be refused for
                    return notify(
                        subscription,
                        record_alias_domain_id=False,
                        record_company_id=u.company_id.id,
                        reply_to="a@example.com",
                    )

                for call in (by_number, on_itself):
                    if user == self.manager:
                        self.assertTrue(call())
                    else:
                        self.assertRefused(call)

    def test_what_managers_write_is_for_managers(self):
        subscription = self.asked_by(self.clerks[0])
        named, follower = self.clerks[2:4]
        subscription.message_subscribe((follower | self.manager).partner_id.ids)
        message = subscription.message_post(
            body="Look at this",
            message_type="comment",
            subtype_xmlid="mail.mt_comment",
            partner_ids=named.partner_id.ids,
        )
        heard = message.notification_ids.res_partner_id
        self.assertEqual(heard, (named | self.manager).partner_id)


@tagged("post_install", "-at_install")
class TestCopiesAndTraces(ToldCase):
    def test_a_copy_carries_nobody_s_word(self):
        fields = self.env[SUBSCRIPTION]._fields
        copied = {n for n, f in fields.items() if f.copy and f.store and not f.related}
        ours = {n for n in copied if fields[n]._module == "mcp_webhook"}
        ours -= {"name", "active", *LOG_ACCESS_COLUMNS}
        self.assertEqual(sorted(ours), COPIED.split())
        subscription = self.asked_by(self.clerks[0])
        subscription.write({"webhook_secret": "0123456789abcdef"})
        subscription.webhook_headers = "X-Tenant: acme"
        subscription.message_subscribe(self.clerks[1].partner_id.ids)
        copy = subscription.with_user(self.manager).copy()
        self.assertEqual(copy.message_follower_ids.partner_id, self.manager.partner_id)
        self.assertFalse(copy.has_secret or copy.header_names or copy.active)
        self.assertFalse(copy.by_allowed_host or copy.connection)
        self.assertFalse(self.notices(self.clerks[0]) + self.notices(self.clerks[1]))

    def test_deletion_leaves_no_traces(self):
        """With few rows in its log, and with many."""
        for few in (deletion.AT_ONCE, 0):
            subscription = self.asked_by(self.clerks[0])
            subscription.message_subscribe(self.manager.partner_id.ids)
            subscription.message_post(
                body="Look", partner_ids=self.clerks[1].partner_id.ids
            )
            where = {"res_model_id": self.env["ir.model"]._get_id(SUBSCRIPTION)}
            where["res_id"] = subscription.id
            self.env["mail.activity"].create({**where, "user_id": self.manager.id})
            self.fails(subscription)
            found = lambda s=subscription: {  # noqa: E731
                model
                for model, column in TRACES.items()
                if self.env[model]
                .sudo()
                .search([(column, "=", SUBSCRIPTION), ("res_id", "=", s.id)])
            }
            self.assertEqual(found(), TRACES.keys() - {"mail.scheduled.message"})
            with patch.object(deletion, "AT_ONCE", few):
                subscription.with_user(self.manager).unlink()
            self.assertFalse(found(), few)

    def test_who_may_not_delete_takes_nothing_along(self):
        subscription = self.asked_by(self.clerks[0])
        subscription.message_subscribe(self.manager.partner_id.ids)
        self.assertRefused(subscription.with_user(self.clerks[1]).unlink)
        self.assertTrue(subscription.message_follower_ids)
