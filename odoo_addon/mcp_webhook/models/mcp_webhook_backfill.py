# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Many records sent on demand, at a pace, with what has been done of it."""

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain

from .. import payload
from .mcp_webhook_outbox import in_own_transaction

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
        self.env.ref("mcp_webhook.ir_cron_sweep").sudo()._trigger()

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
        self.filtered(lambda b: b.state in from_states).sudo().state = to

    # -- step by step --------------------------------------------------------------------

    @classmethod
    def _continue(cls, registry):
        """A minute's worth of each that runs; called once a minute."""
        name = cls._name

        def running(env):
            return env[name].search([("state", "=", "running")], order="id").ids

        for id_ in in_own_transaction(registry, running):
            in_own_transaction(registry, lambda env, i=id_: env[name].browse(i)._step())

    def _step(self):
        """The next records of this one; `last_id` and their rows go in together."""
        self.ensure_one()
        # whoever pauses it, or another process, waits or comes first
        self.env.cr.execute(
            "SELECT state FROM mcp_webhook_backfill WHERE id = %s FOR UPDATE", [self.id]
        )
        if self.env.cr.fetchone() != ("running",):
            return
        subscription = self.subscription_id
        if not subscription._sends_on_demand():
            self.state = "paused"
            return
        try:
            ids = self._left(self.pace)
        except UserError:
            self.state = "paused"  # its filter is not one any more, or too slow
            return
        if ids:
            subscription.with_user(self.user_id).sudo()._put_down(ids, "backfill")
            self.write({"last_id": ids[-1], "done": self.done + len(ids)})
        if len(ids) < self.pace:
            self.state = "done"

    def _left(self, limit):
        """Ids of the next records, of those that the subscription's user may read.

        :raise UserError: that cannot be said now
        """
        model = self.subscription_id._reader()
        if model is None or not model.has_access("read"):
            return []
        left = Domain("id", ">", self.last_id) & Domain("id", "<=", self.highest_id)
        domain = self.subscription_id._domain_on_demand(self.domain)
        found = model.with_context(active_test=False)
        return self.subscription_id._in_time(
            lambda: found.search(left & domain, order="id", limit=limit).ids
        )


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    def _domain_on_demand(self, text):
        """Its own filter, and what somebody chose.

        :raise UserError: one of the two cannot be read
        """
        try:
            chosen = Domain(payload.parse_domain(text))
            return Domain(payload.parse_domain(self.domain)) & chosen
        except (payload.BrokenSubscription, ValueError) as error:
            raise UserError(
                self.env._("Choose the records by a valid filter.")
            ) from error
