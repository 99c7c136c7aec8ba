# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A server action that sends records: for automation rules, buttons and menus."""

import logging

from odoo import api, fields, models
from odoo.exceptions import ValidationError

_logger = logging.getLogger(__name__)


class IrActionsServer(models.Model):
    _inherit = "ir.actions.server"

    state = fields.Selection(
        selection_add=[("mcp_webhook", "Send with MCP Webhook")],
        ondelete={"mcp_webhook": "cascade"},
    )
    mcp_webhook_subscription_id = fields.Many2one(
        "mcp.event.subscription",
        string="Event Subscription",
        domain="[('model_name', '=', model_name)]",
        ondelete="set null",
        help="Its address, secret, fields and template are used, and its user and filter "
        "determine what is sent.",
    )

    @api.constrains("state", "model_id", "mcp_webhook_subscription_id")
    def _check_mcp_webhook(self):
        for action in self:
            subscription = action.mcp_webhook_subscription_id
            if action.state != "mcp_webhook" or not subscription:
                continue
            if subscription.model_name != action.model_id.model:
                raise ValidationError(
                    self.env._(
                        "mcp_webhook_subscription_id: expected a subscription of %s.",
                        action.model_id.model,
                    )
                )

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            self._check_chosen(vals)
        return super().create(vals_list)

    def write(self, vals):
        self._check_chosen(vals)
        return super().write(vals)

    def _check_chosen(self, vals):
        """Whoever may not see a subscription lets nothing leave through it. Before the
        constraint, which runs as superuser."""
        chosen = vals.get("mcp_webhook_subscription_id")
        if chosen and not self.env.su:
            self.env["mcp.event.subscription"].browse(chosen).check_access("read")

    def _run_action_mcp_webhook_multi(self, eval_context=None):
        """Put the records down; they are sent once this transaction has committed.

        Whatever is wrong, nothing is raised, nor a warning of Odoo's kept on the action,
        for that would be raised here: somebody saves.
        """
        records = (eval_context or {}).get("records")
        if records is not None and self._unharmed(lambda: self._put_down(records)):
            self._unharmed(self.env["mcp.event.subscription"]._call_sweep)
        return False

    def _put_down(self, records):
        """:return: whether anything of them may be sent"""
        # who runs it need not know of subscriptions: an administrator chose this one
        subscription = self.sudo().mcp_webhook_subscription_id
        fits = records._name == subscription.model_name and records.ids
        if not fits or not subscription._sends_on_demand():
            return False
        subscription._put_down(records.ids, "action")
        return True

    def _unharmed(self, work):
        """What `work` returns, or None where it fails: all is then as before it."""
        try:
            # without a flush: what others have yet to write may fail, and not for us
            with self.env.cr.savepoint(flush=False):
                return work()
        except Exception:
            _logger.exception(
                "Server action %s: its webhook events are not sent", self.id
            )
            return None
