# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A copy of the database calls nobody until an administrator says that it is production."""

import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

from odoo.exceptions import UserError
from odoo.modules.neutralize import get_neutralization_queries
from odoo.sql_db import db_connect
from odoo.tests import tagged

from ..hooks import uninstall_hook
from ..models import mcp_webhook_binding, mcp_webhook_sidecar
from ..tools.sidecar import SidecarUnreachable
from .common import WebhookCase


class BindingCase(WebhookCase):
    def setUp(self):
        super().setUp()
        self.Binding = self.env["mcp.webhook.binding"]
        self.access = self.env["mcp.webhook.sidecar"]
        self.subscription = self.subscribe()

    def stand(self, place=None, host=None):
        """From now on the database lies there, and the host has this secret."""
        model = type(self.Binding)
        if place is not None:
            self.patch(model, "_place", lambda _self: place)
        if host is not None:
            self.patch(model, "_host", lambda _self: host)
        mcp_webhook_sidecar._bound_until.clear()
        mcp_webhook_sidecar._introduced.clear()
        self.sidecar.calls.clear()

    def silence(self):
        with self.enter_registry_test_mode():
            return self.access._silence()


@tagged("post_install", "-at_install")
class TestBinding(BindingCase):
    def test_nothing_that_it_does_calls_a_sidecar(self):
        self.Partner.create({"name": "A"})
        row = self.rows(self.subscription)
        self.commit()
        self.sidecar.attempt(row.event_uuid, status="failed", response_code=500)
        self.pull()
        dialog = self.env["mcp.webhook.redelivery"].create(
            {"subscription_id": self.subscription.id}
        )
        self.stand(place="another/1/place")
        self.Partner.create({"name": "B"})
        self.subscription.timeout_s = 7
        self.commit()
        self.pull()
        self.sweep()
        with self.enter_registry_test_mode():
            for call in (
                row.with_user(self.admin).action_redeliver,
                self.rows(self.subscription)[-1].with_user(self.admin).action_retry_now,
                self.subscription.action_send_test,
                dialog.action_redeliver,
                self.env["res.config.settings"].create({}).action_mcp_webhook_take_over,
                self.env["mcp.event.subscription"]._sync_all,
            ):
                try:
                    call()
                except (UserError, SidecarUnreachable):
                    continue
                self.fail("not refused")
            self.subscription.payload_template = '{"text": "{{ model }}"}'
            uninstall_hook(self.env)
        self.assertEqual(self.sidecar.calls, [])
        self.assertEqual(self.rows(self.subscription)[-1].stage, "odoo")

    def test_each_change_of_the_place_is_a_copy(self):
        cluster, oid, name = self.Binding._place().split("/")
        for place in (
            f"{cluster}1/{oid}/{name}",  # restored into another cluster
            f"{cluster}/{oid}1/{name}",  # dropped and restored under the same name
            f"{cluster}/{oid}1/{name}_copy",  # cloned on the same server
        ):
            with self.subTest(place=place):
                self.stand(place=place)
                self.assertIn("is a copy", self.silence())

    def test_managers_and_administrators_are_told(self):
        self.assertFalse(self.env["res.config.settings"].create({}).mcp_webhook_copy)
        self.stand(place="another/1/place")
        with self.enter_registry_test_mode():
            banner = self.env["mcp.event.subscription"].sidecar_trouble()
            settings = self.env["res.config.settings"].create({})
            self.assertIn("production now", banner)
            self.assertEqual(settings.mcp_webhook_copy, banner)

    def test_one_word_of_an_administrator_makes_it_production(self):
        self.Partner.create({"name": "A"})
        self.stand(place="another/1/place")
        self.commit()
        self.assertEqual(self.sidecar.calls, [])
        with self.enter_registry_test_mode():
            settings = self.env["res.config.settings"].create({})
            settings.action_mcp_webhook_become_production()
        self.assertIs(self.sidecar.last("system.attach").get("take_over"), True)
        self.sweep()
        self.assertEqual(len(self.sidecar.events), 1)
        self.assertIsNone(self.silence())

    def test_new_database_binds_itself(self):
        self.Binding.search([]).unlink()
        self.stand(place="new/1/place", host="h")
        self.assertIsNone(self.silence())
        self.assertTrue(self.Binding.search([("confirmed", "=", True)]))
        self.stand(place="other/1/place")
        self.assertTrue(self.silence())

    def test_host_of_its_own_data_folder_is_confirmed_by_another(self):
        """Only who works on this very database can do that."""
        self.stand(host="second")
        self.assertIn("does not know this host", self.silence())
        with patch.object(type(self.Binding), "_host", lambda _self: "third"):
            self.Binding._confirm_hosts()
        self.assertTrue(self.silence(), "one that is unknown itself confirms nobody")
        known = self.Binding.search([("confirmed", "=", True)], limit=1).host
        with patch.object(type(self.Binding), "_host", lambda _self: known):
            self.sweep()
        self.stand()
        self.assertIsNone(self.silence())

    def test_disk_that_was_copied_without_the_data_folder_is_a_copy(self):
        self.stand(host="elsewhere")
        for _minute in range(3):
            self.sweep()
        self.assertEqual(self.sidecar.calls, [])

    def test_neutralized_copy_stays_one_whatever_it_is_given(self):
        for query in get_neutralization_queries(["mcp_webhook"]):
            self.env.cr.execute(query)
        self.env.invalidate_all()
        self.stand()
        self.assertIn("is a copy", self.silence())

    def test_sidecar_gets_an_instance_that_hosts_share_and_copies_do_not(self):
        instance = self.Binding._instance()
        self.stand(host="second")
        self.assertEqual(self.Binding._instance(), instance)
        self.Binding._become_production()
        self.assertNotEqual(self.Binding._instance(), instance)

    def test_who_is_bound_behind_a_snapshot_says_the_same_at_once(self):
        """The first contact of all may be in a transaction that began before it. Another
        instance in the minute after would be another database to the sidecar."""
        database, place = db_connect(self.env.cr.dbname), "1/2/snapshot"
        self.patch(type(self.Binding), "_place", lambda _self: place)
        self.patch(type(self.Binding), "_host", lambda _self: "h")
        with database.cursor() as first, database.cursor() as second:
            early, late = (
                self.env(cr=cr)["mcp.webhook.binding"] for cr in (first, second)
            )
            self.assertFalse(early._term())
            late._note(confirmed=True)
            second.commit()
            try:
                self.assertEqual(early._instance(), late._instance())
            finally:
                second.execute(
                    "DELETE FROM mcp_webhook_binding WHERE place = %s", [place]
                )
                second.commit()

    def test_older_sidecar_gets_no_instance(self):
        self.sidecar.features.clear()
        self.stand()
        mcp_webhook_sidecar._features.clear()
        self.pull()
        self.assertFalse({"instance", "seen"} & self.sidecar.last("system.attach").keys())

    def test_place_needs_no_rights_of_a_superuser(self):
        """On a connection of its own, as a role that may only connect."""
        with db_connect(self.env.cr.dbname).cursor() as cr:
            cr.execute("CREATE ROLE webhook_plain NOSUPERUSER; SET ROLE webhook_plain")
            place = self.env(cr=cr)["mcp.webhook.binding"]._place()
            cr.rollback()
        self.assertEqual(place, self.Binding._place())
        self.assertRegex(place, r"^\d+/\d+/")


@tagged("post_install", "-at_install")
class TestHostSecret(BindingCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.startPatcher(
            patch.dict(mcp_webhook_binding.config._runtime_options, data_dir=folder.name)
        )
        self.startPatcher(patch.dict(mcp_webhook_binding._digests, clear=True))

    def test_file_is_for_odoo_alone_and_is_kept(self):
        digest = self.Binding._host()
        (path,) = self.folder.rglob("*.binding")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertNotIn(digest, path.read_text())
        mcp_webhook_binding._digests.clear()
        self.assertEqual(self.Binding._host(), digest)

    def test_many_workers_make_one_secret(self):
        path = self.folder / "w" / "x.binding"
        with ThreadPoolExecutor(16) as pool:
            found = set(pool.map(mcp_webhook_binding._secret, [path] * 64))
        self.assertEqual(len(found), 1)
        self.assertEqual([p.name for p in path.parent.iterdir()], ["x.binding"])

    def test_folder_that_takes_nothing_is_said_once(self):
        self.folder.joinpath("mcp_webhook").write_text("in the way")
        with self.assertLogs("odoo.addons.mcp_webhook", "WARNING") as logs:
            self.assertEqual(self.Binding._host(), "-")
            self.assertEqual(self.Binding._host(), "-")
        self.assertEqual(len(logs.output), 1)
