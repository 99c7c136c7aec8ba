# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models

from .mcp_event_subscription import MANAGER


class IrHttp(models.AbstractModel):
    _inherit = "ir.http"

    def session_info(self):
        """The client asks for failing endpoints only where somebody may see them."""
        info = super().session_info()
        info["mcp_webhook_manager"] = self.env.user.has_group(MANAGER)
        return info
