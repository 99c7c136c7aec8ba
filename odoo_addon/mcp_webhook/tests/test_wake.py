# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import threading
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from odoo.sql_db import db_connect
from odoo.tests import BaseCase, HttpCase, get_db_name, tagged

from ..controllers import wake
from ..models import mcp_webhook_sidecar
from .common import WebhookCase


class Database:
    """Real cursors, as another process has them."""

    def cursor(self):
        return db_connect(get_db_name()).cursor()


@tagged("post_install", "-at_install")
class TestKnocks(BaseCase):
    def setUp(self):
        super().setUp()
        self.patch(wake, "INTERVAL", 0)
        self.database = Database()
        self.pulls = []

    @contextmanager
    def held(self, *locks):
        """As if other processes pulled and waited just now."""
        with self.database.cursor() as cr:
            for lock in locks:
                cr.execute("SELECT pg_advisory_lock(%s)", [lock])
            try:
                yield
            finally:
                cr.execute("SELECT pg_advisory_unlock_all()")

    def knock(self, name="pull"):
        return wake.gather(self.database, lambda: self.pulls.append(name))

    def test_quiet_knocks_are_all_answered(self):
        for number in range(3):
            self.assertTrue(self.knock(number))
        self.assertEqual(self.pulls, [0, 1, 2])

    def test_one_runs_one_waits_and_all_others_of_all_processes_go(self):
        with self.held(wake.RUNNING, wake.WAITING):
            self.assertFalse(self.knock())
        self.assertEqual(self.pulls, [])
        self.assertTrue(self.knock())

    def test_knock_during_a_pull_becomes_a_pull_after_it(self):
        begun, go_on = threading.Event(), threading.Event()

        def slow():
            self.pulls.append("slow")
            begun.set()
            go_on.wait(10)

        first = threading.Thread(target=wake.gather, args=(self.database, slow))
        first.start()
        self.assertTrue(begun.wait(10))
        waiter = threading.Thread(target=self.knock, args=("next",))
        waiter.start()
        # until the waiter holds its place; then everybody else is turned away
        with self.database.cursor() as cr:
            while wake._try(cr, wake.WAITING):
                wake._release(cr, wake.WAITING)
        self.assertFalse(self.knock("more"))
        go_on.set()
        first.join(10)
        waiter.join(10)
        self.assertEqual(self.pulls, ["slow", "next"])

    def test_nobody_waits_for_ever(self):
        with patch.object(wake, "PATIENCE", 0.05), self.held(wake.RUNNING):
            self.assertFalse(self.knock())
        self.assertTrue(self.knock())

    def test_failing_pull_does_not_lock_the_door(self):
        with self.assertRaises(ZeroDivisionError):
            wake.gather(self.database, lambda: 1 / 0)
        self.assertTrue(self.knock())


@tagged("post_install", "-at_install")
class TestWakeRoute(HttpCase):
    def setUp(self):
        super().setUp()
        self.pulls = []
        self.startPatcher(patch.dict(mcp_webhook_sidecar._open_until, clear=True))
        Mirror = self.registry["mcp.webhook.mirror"]
        self.patch(
            Mirror, "_pull_knocked", lambda mirror: self.pulls.append(mirror._name)
        )

    def knock(self, **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        response = self.url_open(
            "/mcp_webhook/wake", data={}, method="POST", headers=names
        )
        self.assertEqual(response.content, b"")
        return response.status_code, len(self.pulls)

    def keep_secret(self):
        self.env["mcp.webhook.mirror"]._row().knock_is_secret = True
        self.env.flush_all()

    def test_a_sidecar_without_the_feature_knocks_as_ever(self):
        self.assertEqual(self.knock(), (204, 1))

    def test_who_cannot_prove_it_asks_no_sidecar_that_does_not_answer(self):
        self.env["mcp.webhook.sidecar"]._note_failure()
        self.assertEqual(self.knock(), (204, 0))

    def test_with_a_secret_only_who_knows_it_is_heard(self):
        self.keep_secret()
        secret = self.env["mcp.webhook.sidecar"]._wake_secret()
        for wrong in ({}, {"X_MCP_Wake_Secret": ""}, {"X_MCP_Wake_Secret": "\xe9" * 64}):
            self.assertEqual(self.knock(**wrong), (403, 0), wrong)
        self.env["mcp.webhook.sidecar"]._note_failure()
        self.assertEqual(self.knock(X_MCP_Wake_Secret=secret), (204, 1))

    def test_only_post_knocks(self):
        response = self.url_open("/mcp_webhook/wake")
        self.assertEqual(response.status_code, 405)
        self.assertEqual(self.pulls, [])


@tagged("post_install", "-at_install")
class TestWakeSecret(WebhookCase):
    FEATURE = "system.attach.wake_secret"

    def introduced(self):
        with self.enter_registry_test_mode():
            self.env["mcp.webhook.mirror"]._pull(again=True)
        given = self.sidecar.last("system.attach").get("wake_secret")
        return given, self.Mirror._status()["knock_is_secret"]

    def test_it_is_given_to_a_sidecar_that_takes_it_and_asked_for_since(self):
        self.assertEqual(self.introduced(), (None, False))
        self.sidecar.features.add(self.FEATURE)
        self.env["mcp.webhook.sidecar"]._forget_features()
        secret = self.env["mcp.webhook.sidecar"]._wake_secret()
        self.assertRegex(secret, "^[0-9a-f]{64}$")
        self.assertEqual(self.introduced(), (secret, True))
        self.sidecar.features.remove(self.FEATURE)
        self.env["mcp.webhook.sidecar"]._forget_features()
        self.assertEqual(self.introduced(), (None, False))

    def test_nothing_that_is_kept_hangs_on_odoo_s_own_key(self):
        """What is made with `database.secret` is made when it is needed, so whoever
        replaces the key loses nothing: the next introduction tells the new secret, and
        what a manager looks at must be looked at again."""
        users = {
            path.stem
            for path in Path(mcp_webhook_sidecar.__file__).parent.glob("*.py")
            if "misc import hmac" in path.read_text()
        }
        self.assertEqual(
            users, {"mcp_webhook_sidecar", "mcp_event_subscription_approval"}
        )
        digest = self.env["mcp.event.subscription"]._fields["content_digest"]
        self.assertFalse(digest.store)
        self.sidecar.features.add(self.FEATURE)
        self.env["mcp.webhook.sidecar"]._forget_features()
        before = self.introduced()[0]
        subscription = self.subscribe(webhook_secret="0123456789abcdef")
        seen = subscription.content_digest
        self.env["ir.config_parameter"].set_param("database.secret", "another")
        after = self.introduced()[0]
        self.assertNotEqual(after, before)
        self.assertEqual(after, self.env["mcp.webhook.sidecar"]._wake_secret())
        subscription.invalidate_recordset()
        self.assertNotEqual(subscription.content_digest, seen)
        subscription.timeout_s = 7
        self.commit()
        self.assertEqual(self.sidecar.last("subscription.update")["secret"][:4], "0123")
