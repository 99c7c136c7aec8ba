# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Records sent because somebody, or a server action, says so: rows like any other, marked
with what made them. The subscription's user, filter and fields decide as ever.
"""

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import split_every

from ..capture.judge import of_company
from ..tools import payload, validation

CRON = "mcp_webhook.ir_cron_sweep"
CALLED = "mcp_webhook.called_sweep"  # the key in cr.postcommit.data


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    on_demand = fields.Boolean(
        "Only on Demand",
        tracking=True,
        help="No change of a record fires it: only Send Now, and server actions such as "
        "those of automation rules.",
    )
    backfill_ids = fields.One2many(
        "mcp.webhook.backfill", "subscription_id", string="Backfills", readonly=True
    )
    backfill_count = fields.Integer("Sent on Demand", compute="_compute_backfill_count")

    @api.depends("backfill_ids")
    def _compute_backfill_count(self):
        for subscription in self:
            subscription.backfill_count = len(subscription.backfill_ids)

    def action_send_now(self):
        """Which records, how many these are, and how fast."""
        self.ensure_one()
        self.check_access("write")
        self._check_can_send_now()
        return self._dialog("mcp.webhook.send", self.env._("Send Now"), {})

    def action_open_backfills(self):
        self.ensure_one()
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "mcp_webhook.mcp_webhook_backfill_action"
        )
        action["domain"] = [("subscription_id", "=", self.id)]
        return action

    def _check_can_send_now(self):
        reason = self._why_not_on_demand() or self._fault()
        if reason:
            raise UserError(reason)

    def _why_not_on_demand(self):
        """Which of its settings lets nothing be sent on demand, or None."""
        if not self.webhook_url:
            return self.env._("Set a webhook URL before sending.")
        if not self.active:
            return self.env._("It is inactive: activate it first, then send.")
        if self.approval == "waiting":
            return self.env._("It waits for approval: approve it, then send.")
        if self.event_type == "unlink":
            return self.env._(
                "It tells of deletions, and these records exist: nothing to send."
            )
        return None

    def _sends_on_demand(self):
        """Whether a server action has anything to do here; False for none."""
        return bool(
            self._is_served()
            and self.approval != "waiting"
            and self.event_type != "unlink"
        )

    @api.model
    def _call_sweep(self):
        """Once in a transaction; within a minute it comes by itself."""
        known = self.env.cr.postcommit.data
        cron = self.env.ref(CRON, raise_if_not_found=False)
        trigger = self.env["ir.cron.trigger"].sudo().browse(known.get(CALLED, ()))
        # a savepoint may have taken the last one back
        if cron and not trigger.exists():
            known[CALLED] = cron.sudo()._trigger().ids

    def _put_down(self, ids, trigger):
        """Rows without an event yet: it is built after this transaction, of the values that
        it leaves behind.

        :param ids: of records of its model; those that do not match get no event
        :param trigger: `backfill` or `action`
        """
        self.ensure_one()
        shared = self.env["mcp.webhook.delivery"]._subscription_values(self)
        kind = "create" if self.event_type == "create" else "write"
        self.env["mcp.webhook.delivery"]._insert(
            [
                {
                    **shared,
                    "event_uuid": payload.new_event_id(),
                    "event_type": kind,
                    "record_ids": list(some),
                    "user_id": self.env.uid,
                    "trigger": trigger,
                }
                for some in split_every(payload.MAX_RECORDS, sorted(ids))
            ]
        )

    def _ids_on_demand(self, text, within=Domain.TRUE, limit=None):
        """Ids of the records that match its own filter and `text`, and that its user may
        read.

        :raise UserError: that cannot be said, and why
        """
        model = self._reader()
        if model is None or not model.has_access("read"):
            raise UserError(
                self.env._("%s may not read records of this model.", self.user_id.name)
            )
        validation.check_domain(
            self.env, "domain", text or "[]", self.model_name, self.user_id
        )
        try:
            domain = Domain(payload.parse_domain(text)) & within
            domain &= Domain(payload.parse_domain(self.domain))
        except (payload.BrokenSubscription, ValueError) as error:
            raise UserError(
                self.env._("Choose the records by a valid filter.")
            ) from error
        domain &= Domain(of_company(model, self.company_id.id))
        found = model.with_context(active_test=False)
        return self._in_time(lambda: found.search(domain, order="id", limit=limit).ids)
