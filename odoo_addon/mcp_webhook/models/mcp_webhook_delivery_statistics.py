# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How endpoints do: measures for Odoo's own pivots and graphs.

Each is computed by PostgreSQL over the rows of its group: neither a rate nor a percentile
of a whole follows from those of its parts.
"""

from odoo import api, fields, models
from odoo.tools import SQL

ANSWERED_LATE = "timeout"  # without an answer, its duration is what somebody waited for


class McpWebhookDelivery(models.Model):
    _inherit = "mcp.webhook.delivery"  # pylint: disable=consider-merging-classes-inherited

    event_count = fields.Integer("Events", compute="_compute_measures")
    failed_count = fields.Integer("Failed Attempts", compute="_compute_measures")
    success_rate = fields.Float(
        "Success Rate (%)",
        compute="_compute_measures",
        aggregator="avg",
        help="Of the attempts that have ended.",
    )
    latency_p50 = fields.Integer(
        "Latency p50 (ms)",
        compute="_compute_measures",
        aggregator="avg",
        help="Half of the requests that were answered, or ran into the time limit, took no "
        "longer.",
    )
    latency_p95 = fields.Integer(
        "Latency p95 (ms)",
        compute="_compute_measures",
        aggregator="avg",
        help="Of 20 requests that were answered, or ran into the time limit, 19 took no "
        "longer.",
    )

    @api.depends("duration_ms", "error_kind", "response_code", "status")
    def _compute_measures(self):
        for delivery in self:
            late = delivery.error_kind == ANSWERED_LATE
            took = delivery.duration_ms if delivery.response_code or late else 0
            delivery.event_count = 1
            delivery.failed_count = delivery.status == "failed"
            delivery.success_rate = 100.0 if delivery.status == "success" else 0.0
            delivery.latency_p50 = delivery.latency_p95 = took

    def _read_group_select(self, aggregate_spec, query):
        measures = {
            "event_count:sum": self._sql_events,
            "failed_count:sum": self._sql_failed,
            "success_rate:avg": self._sql_success_rate,
            "latency_p50:avg": lambda column: self._sql_latency(0.5, column),
            "latency_p95:avg": lambda column: self._sql_latency(0.95, column),
        }
        measure = measures.get(aggregate_spec)
        if measure is None:
            return super()._read_group_select(aggregate_spec, query)
        return measure(lambda name: self._field_to_sql(self._table, name, query))

    def _sql_events(self, column):
        return SQL("COUNT(DISTINCT %s)", column("event_uuid"))

    def _sql_failed(self, column):
        return SQL("COUNT(*) FILTER (WHERE %s = 'failed')", column("status"))

    def _sql_success_rate(self, column):
        """NULL where nothing has ended."""
        status = column("status")
        return SQL(
            "100.0 * COUNT(*) FILTER (WHERE %s = 'success') "
            "/ NULLIF(COUNT(*) FILTER (WHERE %s != 'pending'), 0)",
            status,
            status,
        )

    def _sql_latency(self, part, column):
        return SQL(
            "ROUND(percentile_cont(%s) WITHIN GROUP (ORDER BY %s) "
            "FILTER (WHERE %s != 'pending' AND (%s > 0 OR %s = %s)))::integer",
            part,
            column("duration_ms"),
            column("status"),
            column("response_code"),
            column("error_kind"),
            ANSWERED_LATE,
        )
