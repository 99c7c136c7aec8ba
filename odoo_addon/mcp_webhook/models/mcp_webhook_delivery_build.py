# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Events that failed inside Odoo, made again from what their rows keep."""

import json

from odoo import models

from ..capture.apart import apart
from ..capture.judge import Judge
from ..capture.rows import event_text, rows_of
from ..tools import payload
from ..tools.payload import Broken, BrokenSubscription
from ..tools.sidecar import compact
from ..tools.words import _lt

# Refusals after which the same event would be refused again.
STALE = frozenset({"conflict", "expired", "limit_exceeded", "payload_too_large"})


class McpWebhookDelivery(models.Model):
    _inherit = "mcp.webhook.delivery"  # pylint: disable=consider-merging-classes-inherited

    def _is_built_again(self):
        """Whether *Redeliver* takes the records' present values, because the event is gone
        or would be refused again."""
        self.ensure_one()
        return not self.sudo().event or self.error_kind in STALE

    def _event_to_submit(self):
        """The text of this row's event: as it was, else built again.

        :raise BrokenSubscription: there is nothing that could be sent
        """
        self.ensure_one()
        self._check_subscription()
        if not self._is_built_again():
            return self.sudo().event
        if self.event_type == "unlink" and self.sudo().event:
            # of what is gone nothing else can be told, but under another id
            return self._told_anew(json.loads(self.sudo().event))
        return self._build_event(self.event_uuid)

    def _told_anew(self, event):
        event["id"] = payload.new_event_id()
        event["timestamp"] = payload.timestamp(self.env.cr.now())
        return compact(event)

    def _new_row(self):
        """Values of a new row, whose event is of the same records as this one's.

        :raise BrokenSubscription: there is nothing that could be sent
        """
        self.ensure_one()
        self._check_subscription()
        text = self._build_event(payload.new_event_id())
        event = json.loads(text)
        return {
            **self._subscription_values(self.subscription_id),
            "event_uuid": event["id"],
            "event_type": event["event_type"],
            "record_ids": event["record_ids"],
            "user_id": event["user_id"],
            "event": text,
        }

    def _check_subscription(self):
        if not self.subscription_id._is_served():
            self._give_up(
                _lt(
                    "The subscription is archived, gone, or without a webhook URL: "
                    "restore it, then redeliver."
                )
            )

    def _build_event(self, event_uuid):
        """The event's text, of the records' present values as the subscription's user may
        read them. Deleted records have none: of them only a kept event can be sent.

        :raise BrokenSubscription: none of them exists, or matches, any more
        """
        setting, items = self._judged_again()
        for item in items.values():
            if isinstance(item, Broken):
                raise BrokenSubscription(item.kind, item.message)
        if not items:
            self._give_up(
                _lt(
                    "None of the records exists any more, or matches the filter, or may "
                    "be read by the subscription's user: nothing can be sent again."
                )
            )
        ids = sorted(items)
        event = {
            "event_uuid": event_uuid,
            "model_name": self.model_name,
            "event_type": self.event_type,
            "record_ids": ids,
            "user_id": self.user_id.id or None,
        }
        told = [items[id_] for id_ in ids]
        return event_text(setting.uuid, event, told, self.env.cr.now())

    def _judged_again(self):
        """The subscription as it is now, and what it is told of the records that are
        there: `(Setting, {id: item})`."""
        model_name = self.subscription_id.model_name
        if self.event_type == "unlink" or model_name not in self.env:
            self._give_up(
                _lt("The records are gone, so nothing of them can be sent again.")
            )
        ids = list(self.env[model_name].browse(self.record_ids or []).exists()._ids)
        self.env.flush_all()
        subscription_id = self.subscription_id.id
        with (
            apart(self.env.cr, self.env.registry) as own,
            Judge(own, is_patient=True) as judge,
        ):
            setting = judge.settings([subscription_id])[subscription_id]
            return setting, judge.items(setting, model_name, ids)

    def _build_late(self):
        """Give a row that waits without an event its event.

        What can no longer be told of records that it owes stands in the log as failed.
        """
        delivery = self.exists()
        if not delivery or delivery.status != "pending" or delivery.sudo().event:
            return
        try:
            # before the lock, which holds up the mirror: somebody's values take their time
            made = delivery._late_rows()
        except BrokenSubscription as error:
            self.env["mcp.webhook.mirror"]._lock()
            delivery._fail(error.broken.kind, error.broken.message, in_odoo=True)
            delivery._leave_outbox()
            self._mirror_badges(delivery)
            return
        self.env["mcp.webhook.mirror"]._lock()
        delivery.unlink()
        self._insert(made)

    def _late_rows(self):
        if not self.subscription_id.exists():
            self._give_up(_lt("The subscription was deleted before the event was built."))
        setting, items = self._judged_again()
        records = self.env[self.model_name].browse(self.record_ids)
        # what was sent on demand and is gone by then owes nobody an event
        is_owed = self.trigger == "event"
        present = set() if self.sudo().matched else set(records.exists()._ids)
        owed = [id_ for id_ in records._ids if id_ not in items and id_ not in present]
        owed = owed if is_owed else []
        reason = _lt(
            "The records were deleted, or did not match the filter any more, or could not "
            "be read any more, before their event was built."
        )
        items |= dict.fromkeys(owed, Broken("internal", reason))
        user_id, made_at = self.user_id.id, self.create_date
        told = self.model_name, self.event_type, items
        made = list(rows_of(setting, *told, lambda _ids: user_id, made_at))
        kept = {
            "over_budget": self.over_budget,
            "trigger": self.trigger,
            "cause_uuid": self.cause_uuid,
            "by_program": self.sudo().by_program,
            "create_date": made_at,
        }
        for row in made:
            row |= kept
        return made

    def _leave_outbox(self):
        outbox = self.env["mcp.webhook.outbox"]
        outbox.search([("delivery_id", "in", self.ids)]).unlink()

    def _give_up(self, reason):
        raise BrokenSubscription("internal", reason)
