# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What is built after the save has a budget of its own, and nobody's comes in another's
way."""

from contextlib import suppress
from unittest.mock import patch

from odoo.tests import new_test_user, tagged

from ..models import mcp_webhook_outbox as outbox
from .common import WebhookCase


@tagged("post_install", "-at_install")
class TestBuiltLate(WebhookCase):
    def setUp(self):
        super().setUp()
        self.partners = self.Partner.create([{"name": str(n)} for n in range(3)])
        users = [
            new_test_user(self.env, login, groups="base.group_user")
            for login in ("slow", "quick")
        ]
        self.slow, self.quick = (
            self.subscribe(event_type="write", user_id=user.id) for user in users
        )
        self.env["mcp.webhook.outbox"].search([]).unlink()
        outbox._tired.clear()
        for partner in self.partners:
            self.slow._put_down(partner.ids, "action")
        for partner in self.partners:
            self.quick._put_down(partner.ids, "action")
        self.clock = 0.0
        self.built = []

    def late(self, subscription):
        rows = self.Delivery.search([("subscription_id", "=", subscription.id)])
        return rows.filtered(lambda row: not row.sudo().event)

    def sweep_with(self, seconds, dies_at=None):
        """:param seconds: that each event of the slow one takes
        :param dies_at: the process dies when it builds the event with this number"""
        build = type(self.Delivery)._build_late

        def built(row):
            self.built.append(row.subscription_id)
            if len(self.built) == dies_at:
                raise SystemExit
            self.clock += seconds if row.subscription_id == self.slow else 0
            return build(row)

        with (
            patch.object(outbox.time, "monotonic", lambda: self.clock),
            patch.object(type(self.Delivery), "_build_late", built),
            self.enter_registry_test_mode(),
        ):
            self.env.registry["mcp.webhook.outbox"]._build_late(self.env.registry)
        self.env.invalidate_all()

    def test_all_is_built(self):
        self.sweep_with(0)
        self.assertEqual(self.built, [self.slow] * 3 + [self.quick] * 3)
        self.assertFalse(self.late(self.slow) + self.late(self.quick))

    def test_who_is_slow_waits_and_nobody_else(self):
        self.sweep_with(outbox.SHARE_SECONDS + 1)
        self.assertEqual(len(self.late(self.slow)), 2)
        self.assertFalse(self.late(self.quick))

    def test_who_was_slow_comes_last_the_next_time(self):
        self.sweep_with(outbox.MAX_SECONDS + 1)
        self.assertEqual(self.built, [self.slow], "the sweep has an end")
        self.built.clear()
        self.sweep_with(outbox.MAX_SECONDS + 1)
        self.assertEqual(self.built, [self.quick] * 3 + [self.slow])

    def test_what_a_process_dies_of_costs_the_others_one_sweep(self):
        """As by Odoo's own limit of time or memory."""
        with suppress(SystemExit):  # Odoo's `assertRaises` would take back what was done
            self.sweep_with(0, dies_at=1)
        self.assertEqual(self.built, [self.slow])
        self.built.clear()
        self.sweep_with(0)
        self.assertEqual(self.built, [self.slow] * 2 + [self.quick] * 3 + [self.slow])
        self.assertFalse(self.late(self.slow) + self.late(self.quick))

    def test_what_takes_many_statements_is_built_all_the_same(self):
        """The members of each record are asked for one by one."""
        partners = self.Partner.create(
            [
                {"name": str(n), "child_ids": [(0, 0, {"name": "child"})]}
                for n in range(150)
            ]
        )
        paths = "child_ids.name\nuser_ids.name\nbank_ids.acc_number\ncategory_id.name"
        user = new_test_user(self.env, "reader", groups="base.group_user")
        many = self.subscribe(event_type="write", user_id=user.id, enrich_fields=paths)
        many._put_down(partners.ids, "action")
        self.sweep_with(0)
        (row,) = self.Delivery.search([("subscription_id", "=", many.id)])
        self.assertEqual((row.status, row.error_message), ("pending", False))
        self.assertTrue(row.sudo().event)
