# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Many records sent on demand, at a pace, with what has been done of it."""

import logging
from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY

from .mcp_webhook_outbox import in_own_transaction

_logger = logging.getLogger(__name__)

MINUTE = timedelta(minutes=1)
MAX_PACE = 10_000


class McpWebhookBackfill(models.Model):
    _name = "mcp.webhook.backfill"
    _inherit = "mcp.webhook.export"
    _description = "Records Sent on Demand"
    _order = "id desc"
    _allow_sudo_commands = False

    subscription_id = fields.Many2one(
        "mcp.event.subscription",
        required=True,
        readonly=True,
        ondelete="cascade",
        index=True,
    )
    company_id = fields.Many2one(related="subscription_id.company_id", store=True)
    user_id = fields.Many2one("res.users", "Sent by", readonly=True)
    domain = fields.Char("Records", readonly=True)
    pace = fields.Integer("Records a Minute", readonly=True)
    total = fields.Integer("Records to Send", readonly=True)
    done = fields.Integer("Handed Over", readonly=True)
    progress = fields.Float("Progress (%)", compute="_compute_progress")
    last_id = fields.Integer(readonly=True)
    highest_id = fields.Integer(
        readonly=True, help="Records that are made later are not part of it."
    )
    state = fields.Selection(
        [
            ("running", "Running"),
            ("paused", "Paused"),
            ("done", "Done"),
            ("cancelled", "Cancelled"),
        ],
        default="running",
        required=True,
        readonly=True,
    )
    stepped_at = fields.Datetime("Last Step", readonly=True)
    # empty where somebody has paused it
    pause_reason = fields.Text("Reason", readonly=True)

    @api.depends("subscription_id", "create_date")
    def _compute_display_name(self):
        for backfill in self:
            made = fields.Datetime.to_string(backfill.create_date) or ""
            backfill.display_name = f"{backfill.subscription_id.name or ''} {made}"

    @api.depends("done", "total", "state")
    def _compute_progress(self):
        for backfill in self:
            if backfill.state == "done" or not backfill.total:
                backfill.progress = 100
            else:
                backfill.progress = min(100, 100 * backfill.done / backfill.total)

    # -- buttons -------------------------------------------------------------------------

    def action_pause(self):
        self._turn("running", "paused")

    def action_resume(self):
        self._turn("paused", "running")
        self.subscription_id._call_sweep()

    def action_cancel(self):
        """What was handed over stays on its way."""
        self._turn(("running", "paused"), "cancelled")

    def action_open_deliveries(self):
        self.ensure_one()
        self.check_access("read")
        action = self.subscription_id.action_open_deliveries()
        action["domain"] = [*action["domain"], ("trigger", "=", "backfill")]
        return action

    def _turn(self, from_states, to):
        self.check_access("read")
        self.subscription_id.check_access("write")
        turned = self.filtered(lambda b: b.state in from_states).sudo()
        turned.write({"state": to, "pause_reason": False})

    # -- step by step --------------------------------------------------------------------

    @classmethod
    def _continue(cls, registry):
        """A minute's worth of each that runs and whose minute is over."""
        name = cls._name

        def running(env):
            return env[name].search([("state", "=", "running")], order="id").ids

        for id_ in in_own_transaction(registry, running):
            try:
                cls._continue_one(registry, id_)
            except Exception:
                _logger.exception("Backfill %s waits for the next sweep", id_)

    @classmethod
    def _continue_one(cls, registry, id_):
        name = cls._name
        try:
            in_own_transaction(registry, lambda env: env[name].browse(id_)._step())
        except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
            raise
        except Exception as error:
            # of a filter on what is gone, or of a model's own code: it would be so again
            _logger.warning("Backfill %s pauses", id_, exc_info=True)
            kind = type(error).__name__
            in_own_transaction(
                registry, lambda env: env[name].browse(id_)._pause_after(kind)
            )

    def _step(self):
        """The next records of this one; `last_id` and their rows go in together."""
        here = self._locked()
        now = fields.Datetime.now()
        if not here or (here.stepped_at and now < here.stepped_at + MINUTE):
            return
        here.stepped_at = now
        try:
            ids = here._left(here.pace)
        except UserError as error:
            here._pause_for(error.args[0])
            return
        if ids:
            sender = here.subscription_id.with_user(here.user_id).sudo()
            sender._put_down(ids, "backfill")
            here.write({"last_id": ids[-1], "done": here.done + len(ids)})
        if len(ids) < here.pace:
            here.state = "done"

    def _locked(self):
        """This one, in the language of who sent it, or none where it does not run: whoever
        pauses it, or another process, waits or comes first."""
        self.ensure_one()
        self.env.cr.execute(
            "SELECT state FROM mcp_webhook_backfill WHERE id = %s FOR UPDATE", [self.id]
        )
        if self.env.cr.fetchone() != ("running",):
            return self.browse()
        return self.with_context(lang=self.user_id.lang)

    def _pause_after(self, kind):
        """:param kind: of an exception, by name"""
        here = self._locked()
        here._pause_for(here.env._("It cannot be evaluated: %s", kind))

    def _pause_for(self, reason):
        self.write({"state": "paused", "pause_reason": reason})

    def _left(self, limit):
        """Ids of the next records, of those that the subscription's user may read.

        :raise UserError: nothing can be sent now, and why
        """
        subscription = self.subscription_id
        reason = subscription._why_not_on_demand() or subscription._why_nothing_is_sent()
        if reason:
            raise UserError(reason)
        left = Domain("id", ">", self.last_id) & Domain("id", "<=", self.highest_id)
        return subscription._ids_on_demand(self.domain, left, limit)
