# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    # What was counted when a loop paused it is not counted again once it is resumed.
    loop_after = fields.Integer(readonly=True, copy=False, groups=fields.NO_ACCESS)

    def _loop_subject(self):
        return self.env._("%s: paused, for its events cause themselves", self.name)
