# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A delivery for a program, and by which transaction it was made."""

import json

from odoo import fields, models
from odoo.exceptions import UserError

from ..tools import validation
from ..tools.payload import timestamp
from .mcp_webhook_outbox import in_own_transaction


class McpWebhookDelivery(models.Model):
    _inherit = "mcp.webhook.delivery"  # pylint: disable=consider-merging-classes-inherited

    # The transaction that made the row: what a reader's cursor goes by.
    made_in = fields.Char(readonly=True, copy=False, groups=fields.NO_ACCESS)

    def init(self):
        """The database says it, for rows come past the ORM, and a save has no time for
        another statement."""
        result = super().init()
        self.env.cr.execute(
            """ALTER TABLE mcp_webhook_delivery
                ALTER COLUMN made_in SET DEFAULT pg_current_xact_id()::text"""
        )
        return result

    def _done(self, work):
        """What a button does, told as data."""
        try:
            params = work()["params"]
        except UserError as error:
            validation.refuse(
                "delivery_id",
                self.env._(
                    "%s Expected a delivery for which this can be done. "
                    "Example: see list_deliveries.",
                    error.args[0],
                ),
            )
        newest = in_own_transaction(
            self.pool,
            lambda env: (
                env[self._name]
                .search(
                    [("event_uuid", "=", self.event_uuid)], order="attempt desc", limit=1
                )
                ._as_data()
            ),
        )
        return {"message": params["message"], "delivery": newest}

    def _as_data(self):
        """As data."""
        self.ensure_one()

        def moment(when):
            return timestamp(when) if when else None

        return {
            "delivery_id": self.id,
            "event_id": self.event_uuid or "",
            "subscription_id": self.subscription_id.id or None,
            "subscription": self.subscription_name or "",
            "endpoint": self.endpoint_host or None,
            "attempt": self.attempt,
            "trigger": self.trigger,
            "status": self.status,
            "model": self.model_name or "",
            "event_type": self.event_type or None,
            "record_ids": self.record_ids or [],
            "response_code": self.response_code or None,
            "error_kind": self.error_kind or None,
            "duration_ms": self.duration_ms,
            "created_at": moment(self.create_date),
            "finished_at": moment(self.finished_at),
            "next_attempt_at": moment(self.next_attempt_at),
        }


def json_or_text(text):
    """What is JSON as such; other text as it is."""
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return text
