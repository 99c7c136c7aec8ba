# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How the sidecar's attempts become rows, and rows the subscriptions' badges.

Everything here runs in the mirror's own transaction, under its lock: one writer.
"""

from datetime import datetime, timezone

from odoo import api, fields, models
from odoo.tools import SQL

from ..tools.payload import clean
from .mcp_webhook_delivery_exchange import told_exchange

FINAL = ("success", "failed")
COUNTED_AT_ONCE = 5000  # failures; the rest by the next pull or sweep
# what attempts of one event share; the sidecar does not repeat it
SHARED = (
    "subscription_id",
    "subscription_name",
    "endpoint_host",
    "company_id",
    "model_name",
    "event_type",
    "user_id",
)


class McpWebhookDelivery(models.Model):
    _inherit = "mcp.webhook.delivery"  # pylint: disable=consider-merging-classes-inherited

    @api.model
    def _mirror_attempts(self, attempts):
        """Create or update the rows of these attempts (the contract's objects).

        Monotonic: what the sidecar has ended never changes again. Attempts of unknown
        events and unknown subscriptions are not ours and left alone.

        :return: the rows that changed
        """
        known = self._known_rows({a["event_id"] for a in attempts})
        subscriptions = self._known_subscriptions(attempts)
        touched = self.browse()
        for attempt in attempts:
            siblings = known.setdefault(attempt["event_id"], {})
            row = siblings.get(attempt["attempt"])
            values = _attempt_values(attempt)
            if row is not None:
                if row.status in FINAL and not row.failed_in_odoo:
                    continue
                if values["trigger"] == "event":
                    del values["trigger"]  # what made the event is known here
                row.write(values)
            else:
                subscription = subscriptions.get(attempt["subscription_id"])
                first = next(iter(siblings.values()), None)
                if first is None and subscription is None:
                    continue
                values.update(self._shared_values(first, subscription))
                values["event_uuid"] = attempt["event_id"]
                values["attempt"] = attempt["attempt"]
                row = siblings[attempt["attempt"]] = self.create(values)
            touched |= row
        return touched

    @api.model
    def _note_test(self, subscription, event):
        """The row of a test that was just submitted, made or completed."""
        values = {
            "event_type": event["event_type"],
            "record_ids": event["record_ids"],
            "user_id": event["user_id"],
        }
        row = self.search([("event_uuid", "=", event["id"])])
        if row:
            row.write(values)
            return
        values.update(self._subscription_values(subscription))
        row = self.create({**values, "event_uuid": event["id"], "trigger": "test"})
        self._mirror_badges(row)

    def _known_rows(self, event_uuids):
        """`{event uuid: {attempt: row}}`"""
        known = {}
        for row in self.search(
            [("event_uuid", "in", list(event_uuids))], order="attempt"
        ):
            known.setdefault(row.event_uuid, {})[row.attempt] = row
        return known

    def _known_subscriptions(self, attempts):
        uuids = list({attempt["subscription_id"] for attempt in attempts})
        Subscription = self.env["mcp.event.subscription"].with_context(active_test=False)
        return {s.uuid: s for s in Subscription.search([("uuid", "in", uuids)])}

    def _shared_values(self, sibling, subscription):
        if sibling:
            values = {name: sibling[name] for name in SHARED}
            for name in ("subscription_id", "company_id", "user_id"):
                values[name] = values[name].id
            return {**values, "record_ids": sibling.record_ids}
        values = self._subscription_values(subscription)
        if subscription.event_type != "all":
            values["event_type"] = subscription.event_type
        return values

    def _fail(self, kind, message, in_odoo=False):
        """Pending rows end here.

        :param in_odoo: the sidecar never had the event, so it stays with the row
        """
        values = {
            "status": "failed",
            "error_kind": kind,
            "error_message": clean(message or ""),
            "finished_at": fields.Datetime.now(),
            "next_attempt_at": False,
            "failed_in_odoo": in_odoo,
        }
        if not in_odoo:
            values["event"] = False
        self.filtered(lambda row: row.status == "pending").write(values)

    # -- badges ------------------------------------------------------------------

    @api.model
    def _mirror_badges(self, rows):
        """One write per touched subscription, one message for the open lists.

        Failures are counted here, once each, whoever found them: the mirror, a
        refused submission, or a business transaction with a broken subscription.
        """
        self.env.flush_all()
        uncounted = [("status", "=", "failed"), ("counted", "=", False)]
        failed = self.sudo().search(uncounted, order="id", limit=COUNTED_AT_ONCE)
        subscriptions = (rows | failed).subscription_id
        news = self._newest_states(subscriptions)
        counts = failed.filtered(lambda row: row.trigger != "test").grouped(
            "subscription_id"
        )
        for subscription in subscriptions.sorted("id"):
            values = dict(news.get(subscription.id, {}))
            count = len(counts.get(subscription, ()))
            if count:
                values["failure_count"] = subscription.failure_count + count
            changed = {k: v for k, v in values.items() if subscription[k] != v}
            if changed:
                subscription.with_context(tracking_disable=True).write(changed)
        subscriptions._note_endings()
        failed.counted = True
        self._announce(rows | failed, subscriptions)

    def _newest_states(self, subscriptions):
        """`{subscription id: {last_delivery, last_delivery_status}}`: how the newest row
        is, and when the one ended that ended last."""
        if not subscriptions:
            return {}
        found = self.env.execute_query(
            SQL(
                """SELECT s.id, newest.status, final.finished_at
                     FROM unnest(%s) AS s(id)
                     JOIN LATERAL (SELECT status FROM mcp_webhook_delivery
                                    WHERE subscription_id = s.id
                                 ORDER BY id DESC LIMIT 1) newest ON TRUE
                LEFT JOIN LATERAL (SELECT finished_at FROM mcp_webhook_delivery
                                    WHERE subscription_id = s.id
                                      AND finished_at IS NOT NULL
                                 ORDER BY finished_at DESC, id DESC
                                    LIMIT 1) final ON TRUE""",
                subscriptions.ids,
            )
        )
        return {
            id_: {"last_delivery_status": status, "last_delivery": finished_at or False}
            for id_, status, finished_at in found
        }

    @api.model
    def _mirror_waiting_badges(self):
        """Subscriptions whose newest row waits, while nothing else moves."""
        found = self.env.execute_query(
            SQL("""SELECT DISTINCT d.subscription_id
                     FROM mcp_webhook_delivery d
                     JOIN mcp_event_subscription s ON s.id = d.subscription_id
                    WHERE d.status = 'pending'
                      AND s.last_delivery_status IS DISTINCT FROM 'pending'""")
        )
        subscriptions = self.env["mcp.event.subscription"].browse(r[0] for r in found)
        for id_, values in self._newest_states(subscriptions).items():
            subscription = subscriptions.browse(id_)
            if subscription.last_delivery_status != values["last_delivery_status"]:
                subscription.with_context(tracking_disable=True).write(values)

    def _announce(self, rows, subscriptions):
        if rows or subscriptions:
            # what an attempt ended as is told on the other attempts' screens, too
            again = rows.filtered(lambda row: row.attempt > 1).mapped("event_uuid")
            siblings = self.search([("event_uuid", "in", again)]) if again else rows
            self._send_to_managers(rows | siblings, subscriptions)

    @api.model
    def _announce_paused(self, subscription_ids):
        """No outcome will soon tell open screens of what a pause holds back."""
        if subscription_ids:
            paused = self.env["mcp.event.subscription"].browse(subscription_ids)
            self._send_to_managers(self.browse(), paused)

    def _send_to_managers(self, rows, subscriptions):
        """To each what is of their companies, for ids tell, too."""
        managers = self.env.ref("mcp_webhook.group_manager", raise_if_not_found=False)
        for user in managers.sudo().all_user_ids if managers else ():
            own = {False, *user.company_ids.ids}
            seen = [
                [record.id for record in records.sudo() if record.company_id.id in own]
                for records in (subscriptions, rows)
            ]
            if any(seen) or not (subscriptions or rows):
                names = ("subscription_ids", "delivery_ids")
                user._bus_send(
                    "mcp_webhook/delivery", dict(zip(names, seen, strict=True))
                )

    @api.model
    def _announce_contact(self):
        """The sidecar came or went: open screens look again."""
        self._send_to_managers(self.browse(), self.env["mcp.event.subscription"])


def _attempt_values(attempt):
    """The row's values for one attempt of the feed."""
    error = attempt.get("error") or {}
    values = {
        "failed_in_odoo": False,
        "trigger": attempt["trigger"],
        "status": attempt["status"],
        "response_code": attempt.get("response_code") or 0,
        "payload": _text(attempt.get("payload")),
        "response_body": _text(attempt.get("response_body")),
        "response_truncated": bool(attempt.get("response_truncated")),
        "error_kind": _text(error.get("kind")),
        "error_message": _text(error.get("message")),
        "duration_ms": attempt.get("duration_ms") or 0,
        "finished_at": moment(attempt.get("finished_at")),
        "next_attempt_at": moment(attempt.get("next_attempt_at")),
        "exchange": told_exchange(attempt),
    }
    if attempt["status"] in FINAL:
        values["event"] = False
    return values


def _text(value):
    return clean(value) if value else False


def moment(text):
    """A naive UTC datetime of an RFC 3339 text, or False."""
    if not text:
        return False
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return at.astimezone(timezone.utc).replace(tzinfo=None, microsecond=0)
