# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The number of a user's subscriptions, counted by calls at the same time."""

import threading

import psycopg2

from odoo import api
from odoo.sql_db import db_connect
from odoo.tests import get_db_name, tagged

from ..tools import limits
from .common import WebhookCase

SUBSCRIPTION = "mcp.event.subscription"


@tagged("post_install", "-at_install")
class TestRoomAtOnce(WebhookCase):
    """With real transactions, of a user that is committed and deleted at the end."""

    def setUp(self):
        super().setUp()
        self.sidecar.down = True
        with self.transaction() as env:
            clerk = env["res.users"].create({"name": "Room", "login": "room-of-one"})
            self.clerk = clerk.id
            self.env_commit(env)
        self.addCleanup(self.forget)

    def transaction(self, uid=api.SUPERUSER_ID):
        return Transaction(uid)

    def env_commit(self, env):
        """Nothing is sent by it."""
        env.cr.postcommit.clear()
        env.cr.commit()

    def forget(self):
        with self.transaction() as env:
            made = env[SUBSCRIPTION].with_context(active_test=False)
            made.search([("create_uid", "=", self.clerk)]).unlink()
            env.flush_all()
            env.cr.execute("DELETE FROM mcp_webhook_tombstone")
            env["res.users"].browse(self.clerk).unlink()
            self.env_commit(env)

    def subscribe_at_once(self, env):
        env[SUBSCRIPTION].subscribe_events("res.partner")
        env.flush_all()

    def fill(self):
        """All but one."""
        with self.transaction(self.clerk) as env:
            for _number in range(limits.PER_USER_AND_MODEL - 1):
                self.subscribe_at_once(env)
            self.env_commit(env)

    def test_two_at_once_do_not_both_find_room(self):
        self.fill()
        first, second = self.transaction(self.clerk), self.transaction(self.clerk)
        with first as one, second as other:
            other["res.users"].search_count([])  # both see the same
            self.subscribe_at_once(one)
            ended = []
            waits = threading.Thread(target=lambda: ended.append(self.outcome(other)))
            waits.start()
            self.env_commit(one)
            waits.join()
        self.assertEqual(ended, ["begins anew"])
        with self.transaction(self.clerk) as env:
            self.assertIn("more than", self.outcome(env), "and then finds none")

    def outcome(self, env):
        try:
            self.subscribe_at_once(env)
        except psycopg2.errors.SerializationFailure:
            return "begins anew"
        except Exception as error:
            return str(error)
        return "there was room"

    def test_no_save_waits_for_it(self):
        """What others, or the user, save meanwhile."""
        self.fill()
        with self.transaction(self.clerk) as one:
            self.subscribe_at_once(one)
            for uid in (self.clerk, api.SUPERUSER_ID):
                with self.transaction(uid) as env:
                    env.cr.execute("SET LOCAL lock_timeout = '1s'")
                    env["res.users"].browse(uid).partner_id.sudo().comment = "Saved"
                    env["res.users"].browse(uid).sudo().signature = "Saved"
                    env["res.users"].browse(self.clerk).sudo().name = "Room for one"
                    env["mcp.webhook.room"].browse(1).env.flush_all()
                    env.cr.rollback()


class Transaction:
    """One of its own, of a real cursor; what is not committed is rolled back."""

    def __init__(self, uid):
        self.uid = uid

    def __enter__(self):
        self.cr = db_connect(get_db_name()).cursor()
        return api.Environment(self.cr, self.uid, {})

    def __exit__(self, *_exception):
        self.cr.postcommit.clear()
        self.cr.rollback()
        self.cr.close()
