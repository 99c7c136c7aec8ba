# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Who may see and change what; a secret through every door."""

from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import new_test_user, tagged

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
