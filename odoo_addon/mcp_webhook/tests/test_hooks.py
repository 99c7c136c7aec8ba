# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged
from odoo.tools import mute_logger

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
