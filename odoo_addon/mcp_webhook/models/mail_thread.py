# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Odoo lets anybody notify themselves of any record by its number, and then shows them the
record's name. The names of ours are for who may read these."""

from odoo import models

from ..tools.exports import is_ours


class MailThread(models.AbstractModel):
    _inherit = "mail.thread"

    def message_notify(self, *, model=False, res_id=False, **kwargs):
        if is_ours(self._name):
            self.check_access("read")
        if is_ours(model) and model in self.env and not self.env.su:
            self.env[model].browse(res_id).check_access("read")
        return super().message_notify(model=model, res_id=res_id, **kwargs)
