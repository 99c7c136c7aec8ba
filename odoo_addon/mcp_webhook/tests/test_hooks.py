# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged
from odoo.tools import convert_file, mute_logger

from ..hooks import uninstall_hook
from .common import WebhookCase


@tagged("post_install", "-at_install")
class TestUninstall(WebhookCase):
    def parameters(self):
        domain = [("key", "=like", "mcp_webhook.%")]
        return self.env["ir.config_parameter"].search_count(domain)

    def test_subscriptions_and_parameters_go(self):
        self.assertTrue(self.parameters())
        uninstall_hook(self.env)
        self.assertFalse(self.parameters())
        self.assertIn(("subscription.sync", {"subscriptions": []}), self.sidecar.calls)

    def test_requests_go_so_that_their_type_can(self):
        subscription = self.subscribe()
        for is_done in (False, True):
            subscription.sudo().approval = "waiting"
            subscription._ask_managers()
            requests = subscription._requests()
            self.assertTrue(requests)
            if is_done:
                requests[:1].with_user(requests[:1].user_id).action_feedback()
        uninstall_hook(self.env)
        kind = self.env.ref("mcp_webhook.activity_approval")
        kind.unlink()
        self.env.flush_all()
        self.assertFalse(kind.exists())

    @mute_logger("odoo.addons.mcp_webhook.hooks")
    def test_dead_sidecar_does_not_stop_it(self):
        self.sidecar.down = True
        uninstall_hook(self.env)
        self.assertFalse(self.parameters())


@tagged("post_install", "-at_install")
class TestDemonstration(WebhookCase):
    def test_demo_data_load_and_can_send_nothing(self):
        everything = self.env["mcp.event.subscription"].with_context(active_test=False)
        before = everything.search([])
        file = "demo/mcp_webhook_demo.xml"
        convert_file(self.env, "mcp_webhook", file, {}, mode="init", noupdate=True)
        made = everything.search([]) - before
        self.assertEqual(len(made), 2)
        self.assertFalse(any(made.mapped("active")))
        self.assertFalse(any(made.mapped("webhook_url")))
        self.assertFalse(any(made.mapped("sync_error")))
        self.Partner.create({"name": "A", "is_company": True}).street = "B"
        self.env.cr.flush()
        self.assertFalse(made.delivery_ids)
