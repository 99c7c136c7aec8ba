# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Events for who reads them, instead of being posted to: of the log that everybody sees,
with the reader's rights of this moment.

A cursor is a snapshot of the database: what has been committed since is new, in whichever
order transactions got their ids and came to their ends, so that nothing is passed over.
"""

import base64
import json
import re

from odoo import api, fields, models
from odoo.tools import SQL

from ..tools import limits, payload, validation

SHOWN, MOST = 20, 100  # events in one answer
# How many rows others may have written between a row's getting its id and its commit.
OVERTAKEN = 100_000
CURSOR = re.compile(r"(\d+:\d+:[\d,]*) (\d+:\d+:[\d,]*) (\d+) (\d+)")
TRIGGERS = ("event", "backfill", "action")


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    in_session = fields.Boolean(
        "Read Through MCP",
        tracking=True,
        help="Without a webhook URL: its events are kept, and read by the program that "
        "subscribed, whenever it is there.",
    )

    @api.model
    def get_recent_events(self, subscription_id=None, limit=SHOWN):
        """The newest events of the caller's subscriptions, the newest first.

        :return: `{"events", "cursor"}`: the cursor of now, for :meth:`poll_events`
        """
        own = self._for_caller()._to_read(subscription_id)
        limit = check_number(self.env, "limit", limit, 1, MOST)
        domain = [
            ("subscription_id", "in", own.ids),
            ("trigger", "in", TRIGGERS),
            ("attempt", "=", 1),
        ]
        rows = self.env["mcp.webhook.delivery"].sudo().search(domain, limit=limit)
        return {"events": self._events_of(rows), "cursor": self._cursor_of_now()}

    @api.model
    def poll_events(self, cursor=None, subscription_id=None, limit=SHOWN):
        """What happened since a cursor, the oldest first.

        :param cursor: of an earlier answer; none: from now on
        :return: `{"events", "cursor", "more", "truncated"}`
        """
        own = self._for_caller()._to_read(subscription_id)
        limit = check_number(self.env, "limit", limit, 1, MOST)
        now = self._cursor_of_now()
        answer = {"events": [], "cursor": now, "more": False, "truncated": False}
        if cursor is None:
            return answer
        seen, until, after, base = self._read_cursor(cursor)
        if self._is_of_another_database(until):
            return {**answer, "truncated": True}
        is_new_page = after == base
        if is_new_page:
            until, newest = self._snapshot(), self._newest_row()
        else:
            newest = after
        found = self.env.execute_query(
            SQL(
                """SELECT id, made_in FROM mcp_webhook_delivery
                    WHERE subscription_id = ANY(%(own)s) AND attempt = 1
                      AND trigger = ANY(%(triggers)s)
                      AND id > %(from)s
                      AND made_in IS NOT NULL
                      AND NOT pg_visible_in_snapshot(made_in::xid8, %(seen)s::pg_snapshot)
                      AND pg_visible_in_snapshot(made_in::xid8, %(until)s::pg_snapshot)
                 ORDER BY id
                    LIMIT %(limit)s""",
                **{
                    "own": own.ids,
                    "triggers": list(TRIGGERS),
                    "from": base - OVERTAKEN if is_new_page else after,
                    "seen": seen,
                    "until": until,
                    "limit": limit + 1,
                },
            )
        )
        more = len(found) > limit
        rows = [row[0] for row in found[:limit]]
        if more:
            # the rest of what lies between the two snapshots comes before anything newer
            answer["cursor"] = _cursor(seen, until, rows[-1], base)
        else:
            answer["cursor"] = _cursor(until, until, newest, newest)
        deliveries = self.env["mcp.webhook.delivery"].sudo().browse(rows)
        return {**answer, "events": self._events_of(deliveries), "more": more}

    @api.model
    def wait_for_event(self, cursor=None, subscription_id=None, limit=SHOWN, timeout_s=0):
        """As :meth:`poll_events`; who waits is the MCP server, which looks again and
        again: a call that stays here would hold one of Odoo's processes."""
        check_number(self.env, "timeout_s", timeout_s, 0, 50)
        return self.poll_events(cursor, subscription_id, limit)

    # -- whose, and since when -----------------------------------------------------------

    @api.model
    def _to_read(self, subscription_id):
        """Those whose events are the caller's: read with the caller's rights."""
        if subscription_id is not None:
            one = self._own(subscription_id)
            if one.user_id != self.env.user:
                validation.refuse(
                    "subscription_id",
                    self.env._(
                        "its events are read with the rights of %s; expected one of your "
                        "own. Example: see list_subscriptions.",
                        one.user_id.name,
                    ),
                )
            return one
        everything = self.sudo().with_context(active_test=False)
        return everything.search([("user_id", "=", self.env.uid)])

    def _snapshot(self):
        self.env.cr.execute("SELECT pg_current_snapshot()::text")
        return self.env.cr.fetchone()[0]

    def _newest_row(self):
        self.env.cr.execute("SELECT COALESCE(max(id), 0) FROM mcp_webhook_delivery")
        return self.env.cr.fetchone()[0]

    def _cursor_of_now(self):
        self.env.flush_all()
        snapshot, newest = self._snapshot(), self._newest_row()
        return _cursor(snapshot, snapshot, newest, newest)

    def _is_of_another_database(self, snapshot):
        """A transaction that this one has not come to yet: the database was put back."""
        self.env.cr.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
        return int(snapshot.split(":")[1]) > int(self.env.cr.fetchone()[0])

    def _read_cursor(self, cursor):
        limits.check(self.env, "cursor", cursor, limits.WORDS)
        try:
            text = base64.urlsafe_b64decode(cursor.encode()).decode()
        except (AttributeError, ValueError):
            text = ""
        found = CURSOR.fullmatch(text)
        if not found or not all(_is_snapshot(found[n]) for n in (1, 2)):
            validation.refuse(
                "cursor",
                self.env._(
                    "expected what an earlier answer gave as cursor, as it was. Example: "
                    "leave it out to begin now."
                ),
            )
        return found[1], found[2], min(int(found[3]), 2**31), min(int(found[4]), 2**31)

    # -- what is told --------------------------------------------------------------------

    @api.model
    def _events_of(self, rows):
        """Records that the reader may not read any more are left out, and an event of
        which nothing is left."""
        events = []
        for row in rows:
            ids, records = self._readable_now(row)
            if ids:
                events.append(
                    {
                        "event_id": row.event_uuid,
                        "subscription_id": row.subscription_id.id,
                        "subscription": row.subscription_name or "",
                        "model": row.model_name,
                        "event_type": row.event_type,
                        "record_ids": ids,
                        "user_id": row.user_id.id or None,
                        "timestamp": payload.timestamp(row.create_date),
                        "records": records,
                    }
                )
        return events

    def _readable_now(self, row):
        """`(ids, values)`: present values; of what was deleted those that were kept."""
        model = self.env.get(row.model_name)
        ids = row.record_ids or []
        if model is None or not ids or not model.has_access("read"):
            return [], []
        if row.event_type == "unlink":
            kept = json.loads(row.event).get("records", []) if row.event else []
            return ids, kept
        records = model.with_context(active_test=False).browse(ids).exists()
        records = records._filtered_access("read")
        tree = payload.path_tree(row.subscription_id.enrich_fields)
        if not records or not tree:
            return records.ids, []
        told = row.subscription_id._in_time(
            lambda: payload.describe(records, tree, payload.Budget(), is_cut=True)
        )
        return records.ids, [json.loads(t) for t in told.values() if isinstance(t, str)]


def _is_snapshot(text):
    """One that PostgreSQL takes: `xmin:xmax:xip,xip`, in order, of 64 bits."""
    xmin, xmax, running = text.split(":")
    numbers = [int(xmin), *map(int, filter(None, running.split(","))), int(xmax)]
    in_order = numbers == sorted(numbers) and len(set(numbers[1:-1])) == len(numbers) - 2
    return 0 < numbers[0] and numbers[-1] < 2**63 and in_order and not text.endswith(",")


def _cursor(seen, until, after, base):
    text = f"{seen} {until} {after} {base}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def check_number(env, label, value, least, most):
    """:raise ValidationError: it is no whole number within the two"""
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not least <= value <= most
    ):
        validation.refuse(
            label,
            env._(
                "expected a whole number from %(least)s to %(most)s. Example: %(most)s.",
                least=least,
                most=most,
            ),
        )
    return value
