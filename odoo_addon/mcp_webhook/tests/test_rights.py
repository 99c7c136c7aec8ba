# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Who may see and change what; a secret through every door."""

from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import new_test_user, tagged

from ..models.mcp_webhook_connection import TOOLS
from .common import WebhookCase

SECRET = "canary-0123456789abcdef"
HEADERS = "X-Api-Key: canary-header-value"
URL = "https://hooks.example.com/services/canary-path"


@tagged("post_install", "-at_install")
class TestRights(WebhookCase):
    def setUp(self):
        super().setUp()
        self.manager = new_test_user(
            self.env,
            "manager",
            groups="base.group_user,mcp_webhook.group_manager,base.group_allow_export",
        )
        self.clerk = new_test_user(self.env, "clerk", groups="base.group_user")
        self.portal = new_test_user(self.env, "visitor", groups="base.group_portal")
        self.subscription = self.subscribe(
            webhook_url=URL, webhook_secret=SECRET, webhook_headers=HEADERS
        )

    def test_secret_through_every_door(self):
        record = self.subscription.with_user(self.manager)
        self.assertTrue(record.has_secret)
        self.assertIn("x-api-key", (record.header_names or "").lower())
        names = list(record.fields_get())
        seen = [
            record.read(names),
            record.copy_data(),
            record.message_ids.mapped("body"),
            record.sudo().message_ids.tracking_value_ids.read(),
        ]
        for name in names:
            if "." not in name:
                seen.append(record.export_data([name])["datas"])
        self.assertNotIn("canary-0123", str(seen))
        self.assertNotIn("canary-header", str(seen))

    def test_chatter_shows_the_host_and_never_the_url(self):
        self.subscription.webhook_url = "https://other.example.com/canary-path"
        self.env.flush_all()
        self.env.cr.precommit.run()
        told = str(self.subscription.message_ids.mapped("body"))
        told += str(self.subscription.message_ids.tracking_value_ids.read())
        self.assertNotIn("canary-path", told)

    def test_another_host_clears_secret_and_headers(self):
        self.subscription.webhook_url = "https://hooks.example.com/another-path"
        self.assertTrue(self.subscription.has_secret)
        self.subscription.webhook_url = "https://evil.example.com/"
        self.assertFalse(self.subscription.has_secret)
        self.assertFalse(self.subscription.header_names)

    def test_another_port_or_scheme_clears_them_too(self):
        for url in (
            "https://hooks.example.com:8443/services/canary-path",
            "http://hooks.example.com/services/canary-path",
            "http://hooks.example.com:443/services/canary-path",
            False,
        ):
            subscription = self.subscribe(
                webhook_url=URL, webhook_secret=SECRET, webhook_headers=HEADERS
            )
            subscription.webhook_url = url
            kept = (subscription.has_secret, subscription.header_names)
            self.assertEqual(kept, (False, False), url)

    def test_another_host_keeps_what_is_given_with_it(self):
        self.subscription.write(
            {"webhook_url": "https://new.example.com/", "webhook_secret": f"{SECRET}-new"}
        )
        self.assertTrue(self.subscription.has_secret)
        self.assertFalse(self.subscription.header_names)

    def test_user_s_edit_to_another_host_takes_no_secret_along(self):
        calls = self.env["mcp.event.subscription"].with_user(self.clerk)
        made = calls.subscribe_events("res.partner", webhook_url=URL)
        own = self.env["mcp.event.subscription"].browse(made["id"])
        own.with_user(self.manager).write(
            {"webhook_secret": SECRET, "webhook_headers": HEADERS}
        )
        calls.update_subscription(own.id, webhook_url="https://evil.example.com/")
        self.assertEqual(own.approval, "waiting")
        self.assertFalse(own.has_secret)
        self.assertFalse(own.header_names)

    def test_nobody_who_is_no_manager_writes_even_the_own_one(self):
        self.subscription.user_id = self.clerk
        for user in (self.clerk, self.portal):
            own = self.subscription.with_user(user)
            for call in (
                lambda own=own: own.write({"timeout_s": 5}),
                lambda own=own: own.write({"user_id": self.manager.id}),
                lambda own=own: own.create({"model_id": self.subscription.model_id.id}),
                lambda own=own: own.copy(),
                lambda own=own: own.unlink(),
                lambda own=own: own.action_approve(),
                lambda own=own: own.action_pause(),
                lambda own=own: own.action_reset_failure_count(),
                lambda own=own: own.action_send_test(),
                lambda own=own: own.action_preview(),
                lambda own=own: own.action_explain(),
                lambda own=own: own.action_remove_secret(),
                lambda own=own: own.action_redeliver_failures(),
                lambda own=own: own.export_data(["name"]),
            ):
                self.assertRefused(call)
        self.assertNotIn("delivery.test", self.sidecar.methods())

    def test_manager_may_set_another_user(self):
        self.subscription.with_user(self.manager).user_id = self.clerk
        self.assertEqual(self.subscription.user_id, self.clerk)

    def test_only_managers_see_subscriptions_and_deliveries(self):
        for user in (self.clerk, self.portal):
            for model in ("mcp.event.subscription", "mcp.webhook.delivery"):
                with self.assertRaises(AccessError):
                    self.env[model].with_user(user).search_read([], ["id"])
        self.assertTrue(self.subscription.with_user(self.manager).name)

    def test_mirror_fields_are_refused_over_rpc(self):
        record = self.subscription.with_user(self.manager)
        for values in (
            {"failure_count": 99},
            {"last_delivery_status": "success"},
            {"approval": "approved"},
            {"sync_error": "x"},
        ):
            with self.assertRaises(UserError):  # AccessError is one too
                record.write(values)

    def test_nobody_writes_the_log(self):
        Delivery = self.env["mcp.webhook.delivery"].with_user(self.manager)
        with self.assertRaises(AccessError):
            Delivery.create({"event_uuid": "x", "attempt": 1})
        self.Partner.create({"name": "A"})
        row = self.rows(self.subscription)
        for user in (self.manager, self.admin, self.clerk, self.portal):
            mine = row.with_user(user)
            self.assertRefused(lambda mine=mine: mine.write({"status": "success"}))
            self.assertRefused(lambda mine=mine: mine.unlink())
            self.assertRefused(lambda mine=mine: mine.copy({"event_uuid": "y"}))

    def test_machinery_is_nobody_s(self):
        machinery = ("outbox", "mirror", "tombstone", "binding", "room", "seen", "told")
        for model in machinery:
            for user in (self.manager, self.admin):
                records = self.env[f"mcp.webhook.{model}"].with_user(user)
                for operation in ("read", "write", "create", "unlink"):
                    self.assertFalse(records.has_access(operation), (model, operation))

    def test_public_methods_are_the_known_ones(self):
        """Each can be called over RPC: a new one belongs here once its rights are held."""
        known = {
            "mcp.event.subscription": {
                "action_approve",
                "action_explain",
                "action_open_backfills",
                "action_open_deliveries",
                "action_open_last_failure",
                "action_pause",
                "action_preview",
                "action_discard_waiting",
                "action_end_previous_secret",
                "action_retry_waiting",
                "action_redeliver_failures",
                "action_reject",
                "action_remove_headers",
                "action_remove_secret",
                "action_replace_secret",
                "action_reset_failure_count",
                "action_resume",
                "action_send_now",
                "action_send_test",
                "action_show_secret",
                "action_toggle_active",
                "failing_endpoints",
                "sidecar_trouble",
                "watched_models",
                *TOOLS,
            },
            "mcp.webhook.connection": {"action_open_calls", "call_tool"},
            "mcp.webhook.call": set(),
            "mcp.webhook.secret": {"action_noted"},
            "mcp.webhook.delivery": {
                "action_ask_redeliver",
                "action_cancel",
                "action_deliveries_of_record",
                "action_open",
                "action_open_records",
                "action_preview",
                "action_redeliver",
                "action_retry_now",
            },
            "mcp.webhook.again": {"action_redeliver"},
            "mcp.webhook.backfill": {
                "action_cancel",
                "action_open_deliveries",
                "action_pause",
                "action_resume",
            },
            "mcp.webhook.rotation": {
                "action_end",
                "action_look",
                "action_switch",
                "action_test",
            },
            "mcp.webhook.send": {"action_send"},
            "mcp.webhook.redelivery": {"action_redeliver"},
            "mcp.webhook.rejection": {"action_reject"},
            "mcp.webhook.waiting": {"action_go_on"},
            "mcp.webhook.binding": set(),
            "mcp.webhook.dialog": set(),
            "mcp.webhook.explain": set(),
            "mcp.webhook.export": set(),
            "mcp.webhook.mirror": set(),
            "mcp.webhook.outbox": set(),
            "mcp.webhook.preview": set(),
            "mcp.webhook.room": set(),
            "mcp.webhook.seen": set(),
            "mcp.webhook.sidecar": set(),
            "mcp.webhook.told": set(),
            "mcp.webhook.tombstone": set(),
        }
        usual = set(dir(self.env["mail.thread"])) | set(dir(self.Partner))
        ours = {
            name
            for name in self.env.registry
            if name.startswith(("mcp.event", "mcp.webhook"))
        }
        self.assertEqual(ours, set(known))
        for name, methods in known.items():
            model = type(self.env[name])
            public = {
                attribute
                for attribute in dir(model)
                if not attribute.startswith("_")
                and attribute not in usual
                and callable(getattr(model, attribute))
            }
            self.assertEqual(public, methods, name)

    def test_outsiders_cannot_subscribe(self):
        with self.assertRaises(AccessError):
            self.env["mcp.event.subscription"].with_user(self.portal).subscribe_events(
                "res.partner"
            )

    def test_what_is_saved_is_checked_and_named(self):
        for values in (
            {"domain": "[('nope', '=', 1)]"},
            {"domain": "[('create_uid', '=', uid)]"},
            {"enrich_fields": "image_1920"},
            {"enrich_fields": "parent_id.parent_id.parent_id.parent_id.name"},
            {"webhook_url": "ftp://example.com"},
            {"payload_template": "{"},
        ):
            (name,) = values
            with self.assertRaises(ValidationError) as caught, self.cr.savepoint():
                self.subscription.write(values)
            self.assertTrue(str(caught.exception), name)
