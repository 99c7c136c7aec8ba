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
