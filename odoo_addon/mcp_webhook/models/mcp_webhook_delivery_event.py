# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One event, its attempts: what became of the event, told on each of its rows.

Nothing of it is stored: rows are read far more rarely than they are written.
"""

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL

FIELDS = ("attempt", "event_uuid", "status")


class McpWebhookDelivery(models.Model):
    _inherit = "mcp.webhook.delivery"  # pylint: disable=consider-merging-classes-inherited

    event_state = fields.Selection(
        [
            ("delivered", "Delivered"),
            ("waiting", "Waiting"),
            ("undelivered", "Not Delivered"),
        ],
        compute="_compute_event",
        search="_search_event_state",
        help="Delivered: one of its attempts was a success. Waiting: its newest attempt is "
        "pending.",
    )
    is_newest = fields.Boolean(
        "Newest Attempt", compute="_compute_event", search="_search_is_newest"
    )
    attempt_count = fields.Integer("Attempts", compute="_compute_event")
    attempt_of = fields.Char("Try", compute="_compute_event")
    attempt_ids = fields.Many2many(
        "mcp.webhook.delivery", string="All Attempts", compute="_compute_attempt_ids"
    )

    @api.depends(*FIELDS)
    @api.depends_context("lang")
    def _compute_event(self):
        events = self._events()
        for delivery in self:
            # a row that is not stored yet is an event of its own
            known = events.get(delivery.event_uuid, {})
            most = max(known.get("attempt", 0), delivery.attempt)
            delivery.event_state = _state(
                known.get("taken", delivery.status == "success"),
                known.get("status", delivery.status),
            )
            delivery.is_newest = delivery.attempt == most
            delivery.attempt_count = most
            delivery.attempt_of = self.env._(
                "%(number)s of %(most)s", number=delivery.attempt, most=most
            )

    def _events(self):
        """`{event uuid: {attempt, status, taken}}`: its newest attempt, and whether the
        endpoint has taken it with any."""
        self.flush_model(FIELDS)
        found = self.env.execute_query_dict(
            SQL(
                """SELECT event_uuid, max(attempt) AS attempt,
                          (array_agg(status ORDER BY attempt DESC))[1] AS status,
                          bool_or(status = 'success') AS taken
                     FROM mcp_webhook_delivery
                    WHERE event_uuid = ANY(%s)
                 GROUP BY event_uuid""",
                self.mapped("event_uuid"),
            )
        )
        return {row.pop("event_uuid"): row for row in found}

    @api.depends("event_uuid")
    def _compute_attempt_ids(self):
        rows = self.search([("event_uuid", "in", self.mapped("event_uuid"))])
        attempts = rows.sorted("attempt", reverse=True).grouped("event_uuid")
        for delivery in self:
            delivery.attempt_ids = attempts.get(delivery.event_uuid, delivery)

    # -- searching -----------------------------------------------------------------------

    def _search_is_newest(self, operator, value):
        if operator != "in":
            return NotImplemented
        wanted = {bool(one) for one in value}
        is_older = "newer.attempt > %(this)s.attempt"
        domains = {
            True: self._siblings("NOT EXISTS", is_older),
            False: self._siblings("EXISTS", is_older),
        }
        return Domain.OR(domains[one] for one in wanted)

    def _search_event_state(self, operator, value):
        if operator != "in":
            return NotImplemented
        taken = self._siblings("EXISTS", "newer.status = 'success'")
        not_taken = self._siblings("NOT EXISTS", "newer.status = 'success'")
        waits = self._siblings("EXISTS", "newer.status = 'pending'")
        waits_not = self._siblings("NOT EXISTS", "newer.status = 'pending'")
        domains = {
            "delivered": taken,
            "waiting": not_taken & waits,
            "undelivered": not_taken & waits_not,
        }
        return Domain.OR(domains[state] for state in value if state in domains)

    def _siblings(self, exists, condition):
        """Rows whose event has, or has not, an attempt of which that is so.

        :param condition: SQL of ours about `newer`; `%(this)s` is the row itself
        """
        self.flush_model(FIELDS)

        def to_sql(_model, alias, _query):
            return SQL(
                f"{exists} (SELECT FROM mcp_webhook_delivery newer "
                f"WHERE newer.event_uuid = %(this)s.event_uuid AND {condition})",
                this=SQL.identifier(alias),
            )

        return Domain.custom(to_sql=to_sql)

    # -- buttons -------------------------------------------------------------------------

    def action_open(self):
        """This attempt's own form."""
        self.ensure_one()
        self.check_access("read")
        return {
            "type": "ir.actions.act_window",
            "res_model": self._name,
            "res_id": self.id,
            "views": [(False, "form")],
        }


def _state(taken, newest):
    if taken:
        return "delivered"
    return "waiting" if newest == "pending" else "undelivered"
