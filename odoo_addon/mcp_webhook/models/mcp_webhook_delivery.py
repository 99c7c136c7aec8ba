# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The log of deliveries, one row per attempt."""

from datetime import timedelta

from psycopg2.extras import Json

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL

DEFAULT_RETENTION_DAYS = 30
DEFAULT_RETENTION_ROWS = 500_000  # finished ones; older rows go early
MOST_ROWS = 1000  # of one record that are shown
GC_LIMIT = 10_000  # rows per transaction of the autovacuum
INSERTED = (
    "attempt",
    "by_program",
    "cause_uuid",
    "company_id",
    "create_date",
    "create_uid",
    "endpoint_host",
    "error_kind",
    "error_message",
    "event",
    "event_type",
    "event_uuid",
    "failed_in_odoo",
    "finished_at",
    "matched",
    "model_name",
    "over_budget",
    "record_ids",
    "status",
    "subscription_id",
    "subscription_name",
    "trigger",
    "user_id",
    "write_date",
    "write_uid",
)


class McpWebhookDelivery(models.Model):
    _name = "mcp.webhook.delivery"
    _inherit = "mcp.webhook.export"
    _description = "Webhook Delivery"
    _order = "id desc"
    _allow_sudo_commands = False

    subscription_id = fields.Many2one(
        "mcp.event.subscription", readonly=True, ondelete="set null"
    )
    subscription_name = fields.Char(readonly=True)
    endpoint_host = fields.Char(string="Endpoint", readonly=True)
    company_id = fields.Many2one("res.company", readonly=True, ondelete="cascade")
    event_uuid = fields.Char(string="Event ID", required=True, readonly=True)
    attempt = fields.Integer(default=1, required=True, readonly=True, aggregator=None)
    trigger = fields.Selection(
        [
            ("event", "Event"),
            ("retry", "Retry"),
            ("manual", "Redelivered manually"),
            ("test", "Test"),
            ("backfill", "Sent on demand"),
            ("action", "Server action"),
        ],
        default="event",
        required=True,
        readonly=True,
    )
    status = fields.Selection(
        [("pending", "Pending"), ("success", "Success"), ("failed", "Failed")],
        default="pending",
        required=True,
        readonly=True,
    )
    stage = fields.Selection(
        [
            ("odoo", "Waits in Odoo"),
            ("sidecar", "Waits in the sidecar"),
            ("done", "Done"),
        ],
        compute="_compute_stage",
        search="_search_stage",
        help="Where the delivery waits.",
    )
    model_name = fields.Char(string="Model", readonly=True)
    event_type = fields.Selection(
        [("create", "Create"), ("write", "Write"), ("unlink", "Delete")],
        readonly=True,
    )
    record_ids = fields.Json(string="Record IDs", readonly=True)
    user_id = fields.Many2one(
        "res.users", string="Changed by", readonly=True, ondelete="set null"
    )
    response_code = fields.Integer(
        readonly=True, aggregator=None, help="The HTTP status; 0: no answer."
    )
    payload = fields.Text(
        readonly=True, help="The exact body posted; empty until attempted."
    )
    response_body = fields.Text(readonly=True)
    response_truncated = fields.Boolean(readonly=True)
    error_kind = fields.Char(readonly=True)
    error_message = fields.Text(readonly=True)
    duration_ms = fields.Integer(
        string="Duration (ms)", readonly=True, aggregator="avg", help="The request alone."
    )
    finished_at = fields.Datetime(readonly=True)
    next_attempt_at = fields.Datetime(readonly=True)
    # The event as submitted, kept for another submission until the outcome is known.
    event = fields.Text(readonly=True, copy=False, groups=fields.NO_ACCESS)
    over_budget = fields.Boolean(
        readonly=True,
        copy=False,
        help="The filter or the enriched fields took more than a save has time for: the "
        "event was built after it or, of a deletion, tells only a part.",
    )
    # Of one that is built after the save: its records had passed the filter by then.
    matched = fields.Boolean(readonly=True, copy=False, groups=fields.NO_ACCESS)
    # It ended here: the sidecar has never had the event (or we do not know that it has).
    failed_in_odoo = fields.Boolean(readonly=True, copy=False)
    # Whether `failure_count` of the subscription knows of this failure.
    counted = fields.Boolean(readonly=True, copy=False, groups=fields.NO_ACCESS)

    _attempt_uniq = models.Constraint("unique(event_uuid, attempt)")
    _newest_idx = models.Index("(subscription_id, id DESC)")
    _finished_idx = models.Index("(subscription_id, finished_at DESC)")
    _pending_idx = models.Index("(id) WHERE status = 'pending'")
    _waiting_idx = models.Index("(subscription_id) WHERE status = 'pending'")
    _uncounted_idx = models.Index("(id) WHERE status = 'failed' AND counted IS NOT TRUE")
    _created_idx = models.Index("(create_date)")
    _records_idx = models.Index("USING gin (record_ids jsonb_path_ops)")

    @api.depends("subscription_name", "attempt")
    def _compute_display_name(self):
        for delivery in self:
            name = delivery.subscription_name or delivery.model_name or ""
            delivery.display_name = f"{name} #{delivery.attempt}"

    @api.depends("status")
    def _compute_stage(self):
        outbox = self.env["mcp.webhook.outbox"].sudo()
        waiting = outbox.search([("delivery_id", "in", self.ids)]).delivery_id.ids
        for delivery in self:
            if delivery.status != "pending":
                delivery.stage = "done"
            else:
                delivery.stage = "odoo" if delivery.id in waiting else "sidecar"

    def _search_stage(self, operator, value):
        if operator != "in":
            return NotImplemented
        waiting = self.env["mcp.webhook.outbox"].sudo()._search([])
        in_odoo = Domain("id", "in", waiting.subselect("delivery_id"))
        pending = Domain("status", "=", "pending")
        domains = {
            "odoo": pending & in_odoo,
            "sidecar": pending & ~in_odoo,
            "done": ~pending,
        }
        return Domain.OR(domains[stage] for stage in value if stage in domains)

    # -- arriving ----------------------------------------------------------------

    @api.model
    def _insert(self, rows):
        """Rows of attempt 1, with their outbox rows where they are pending.

        One statement, past the ORM: somebody waits for a save, and two calls of
        `create` would cost as much as everything else of an event together.

        :param rows: dicts of column values, ids for many2one
        :return: their ids, in order
        """
        if not rows:
            return []
        ids = self.env.execute_query(self._insertion(rows))
        # what this transaction may have read of the rows before they were there
        self.env["mcp.event.subscription"].invalidate_model(
            ["delivery_ids", "delivery_count", "pending_count"], flush=False
        )
        return [id_ for (id_,) in ids]

    def _insertion(self, rows):
        """:return: SQL that yields the ids, in order"""
        return SQL(
            """WITH delivery AS (
                    INSERT INTO mcp_webhook_delivery (%s) VALUES %s
                      RETURNING id, status
               ), outbox AS (
                    INSERT INTO mcp_webhook_outbox (delivery_id)
                         SELECT id FROM delivery WHERE status = 'pending'
               )
               SELECT id FROM delivery ORDER BY id""",
            SQL(", ").join(SQL.identifier(name) for name in INSERTED),
            SQL(", ").join(self._insert_values(row) for row in rows),
        )

    def _insert_values(self, row):
        now = self.env.cr.now()
        values = {
            "attempt": 1,
            "trigger": "event",
            "status": "pending",
            "create_uid": self.env.uid,
            "write_uid": self.env.uid,
            "create_date": now,
            "write_date": now,
            "failed_in_odoo": row.get("status") == "failed",
            **row,
            "record_ids": Json(row["record_ids"]),
        }
        return SQL("%s", tuple(values.get(name) or None for name in INSERTED))

    # -- reading -----------------------------------------------------------------

    @api.model
    def _of_record(self, model_name, record_id, subscription=None):
        """The deliveries whose event carries this record, newest first, at most
        `MOST_ROWS`.

        :param subscription: only of this one
        """
        only = SQL()
        if subscription is not None:
            only = SQL("AND subscription_id = %s", subscription.id)
        rows = self.env.execute_query(
            SQL(
                """SELECT id FROM mcp_webhook_delivery
                    WHERE record_ids @> %s::jsonb AND model_name = %s %s
                 ORDER BY id DESC LIMIT %s""",
                str(int(record_id)),
                model_name,
                only,
                MOST_ROWS,
            )
        )
        return self.search([("id", "in", [row[0] for row in rows])])

    @api.model
    def _subscription_values(self, subscription):
        """What a row keeps of its subscription, to be readable without it."""
        return {
            "subscription_id": subscription.id,
            "subscription_name": subscription.name,
            "endpoint_host": subscription.endpoint_host,
            "company_id": subscription.company_id.id,
            "model_name": subscription.model_name,
        }

    # -- retention ---------------------------------------------------------------

    @api.autovacuum
    def _gc_deliveries(self):
        """Delete finished rows that are older than the retention, or too many.

        :return: `(done, remaining)`
        """
        limit = fields.Datetime.now() - timedelta(
            days=self._retention("retention_days", DEFAULT_RETENTION_DAYS)
        )
        finished = Domain("status", "!=", "pending")
        domain = Domain("create_date", "<", limit)
        most = self._retention("retention_rows", DEFAULT_RETENTION_ROWS)
        surplus = self.sudo().search(finished, order="id desc", offset=most, limit=1)
        if surplus:
            domain |= Domain("id", "<=", surplus.id)
        old = self.sudo().search(finished & domain, order="id", limit=GC_LIMIT)
        old.unlink()
        return len(old), len(old) == GC_LIMIT

    def _retention(self, name, default):
        value = self.env["mcp.webhook.sidecar"]._parameter(name)
        return int(value) if value.isdigit() else default
