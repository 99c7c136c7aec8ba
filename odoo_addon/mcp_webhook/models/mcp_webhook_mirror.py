# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Follows the sidecar's feed of changes; heals what went wrong meanwhile.

One row: how far we have read, and of which log. Whoever pulls holds an exclusive
lock on the table, taken as the first statement of a transaction of its own: only so
is the snapshot younger than the previous pull's commit.
"""

import logging
import time

from odoo import api, fields, models

from ..sidecar import SidecarError, SidecarUnreachable
from .mcp_webhook_outbox import MAX_SECONDS, in_own_transaction, own_environment

_logger = logging.getLogger(__name__)

PAGE = 200  # attempts per transaction
LOST = (
    "The sidecar's log was replaced before this attempt ended, so its outcome is unknown."
)


class McpWebhookMirror(models.Model):
    _name = "mcp.webhook.mirror"
    _description = "State of the webhook sidecar's mirror"
    _log_access = False
    _allow_sudo_commands = False

    cursor = fields.Char(help="How far the feed has been read.")
    log_id = fields.Char(help="The sidecar's log that the cursor belongs to.")
    version = fields.Char(help="The sidecar's version.")
    reachable_since = fields.Datetime()
    unreachable_since = fields.Datetime()
    trouble = fields.Char(help="Why the sidecar does not serve us, in words.")

    @api.model
    def _lock(self, seconds=None):
        """Become the one writer. Must be the transaction's first statement.

        :param seconds: how long to wait; None: as long as it takes
        :raise psycopg2.errors.LockNotAvailable: not within `seconds`
        """
        if seconds:
            self.env.cr.execute("SET LOCAL lock_timeout = %s", [f"{seconds}s"])
        self.env.cr.execute("LOCK TABLE mcp_webhook_mirror IN EXCLUSIVE MODE")

    @api.model
    def _row(self):
        """The one row; the caller holds the lock."""
        return self.search([], limit=1) or self.create({})

    @api.model
    def _status(self):
        """What the screens show: the row's fields as a dict, also before the first
        contact."""
        row = self.sudo().search([], limit=1)
        names = ("version", "reachable_since", "unreachable_since", "trouble")
        return {name: row[name] for name in names}

    # -- pulling -----------------------------------------------------------------

    @api.model
    def _pull_quietly(self):
        """Read the feed to its end; trouble is noted, never raised."""
        try:
            self._pull()
        except (SidecarUnreachable, SidecarError) as error:
            self._note_trouble(error)
            return False
        return True

    @api.model
    def _pull(self, again=False):
        """Read the feed to its end, page by page, in transactions of its own.

        A very long feed is left to the next knock or sweep after `MAX_SECONDS`.

        :param again: introduce ourselves even if this process has done so before
        :raise SidecarUnreachable, SidecarError: the feed cannot be read now
        """
        end = time.monotonic() + MAX_SECONDS
        while self._pull_page(again) and time.monotonic() < end:
            again = False

    def _pull_page(self, again):
        def read(env):
            env[self._name]._lock()
            return env[self._name]._read_page(again)

        # again when somebody has edited a subscription meanwhile
        return in_own_transaction(self.pool, read)

    def _read_page(self, again):
        row = self._row()
        access = self.env["mcp.webhook.sidecar"]
        client = access._client()
        met = access._introduce(client, again=again)
        if met and met["log_id"] != row.log_id:
            row._adopt(met["log_id"])
        try:
            answer = self._changes(client, row)
        except SidecarError as error:
            if error.kind == "fenced":
                access._forget_introduction()
            raise
        if answer["attempts"]:
            Delivery = self.env["mcp.webhook.delivery"]
            Delivery._mirror_badges(Delivery._mirror_attempts(answer["attempts"]))
        if row.cursor != answer["cursor"]:
            row.cursor = answer["cursor"]
        row._note_contact(met)
        return bool(answer["more"])

    def _changes(self, client, row):
        """The feed's next page, of the log that is there now."""
        try:
            answer = client.changes(row.cursor or "", PAGE)
        except SidecarError as error:
            if error.kind != "stale_cursor":
                raise
            answer = client.changes("", PAGE)
        if answer["log_id"] != row.log_id:
            # replaced since we introduced ourselves: it does not know us
            access = self.env["mcp.webhook.sidecar"]
            access._introduce(client, again=True)
            row._adopt(answer["log_id"])
            answer = client.changes("", PAGE)
        return answer

    def _adopt(self, log_id):
        """Another log: bring the subscriptions there, and what it cannot know of."""
        self.env["mcp.event.subscription"]._sync_all()
        _logger.info("Following another log of the webhook sidecar")
        self.write({"log_id": log_id, "cursor": False})
        self.env.flush_all()
        self.env.cr.execute(
            """INSERT INTO mcp_webhook_outbox (delivery_id)
                    SELECT id FROM mcp_webhook_delivery
                     WHERE status = 'pending' AND attempt = 1 AND event IS NOT NULL
               ON CONFLICT DO NOTHING"""
        )
        lost = self.env["mcp.webhook.delivery"].search(
            [("status", "=", "pending"), "|", ("attempt", ">", 1), ("event", "=", False)]
        )
        lost._fail("internal", LOST)
        self.env["mcp.webhook.delivery"]._mirror_badges(lost)

    # -- contact -----------------------------------------------------------------

    def _note_contact(self, met):
        values = {}
        if self.unreachable_since or not self.reachable_since:
            values["reachable_since"] = fields.Datetime.now()
            values["unreachable_since"] = False
        if self.trouble:
            values["trouble"] = False
        if met and met.get("version") != self.version:
            values["version"] = met.get("version")
        if values:
            self.write(values)
            self.env["mcp.webhook.delivery"]._announce_contact()

    @api.model
    def _note_trouble(self, error):
        """Keep since when, and why, the sidecar does not serve us."""
        _logger.info("The webhook sidecar does not serve us: %s", error)
        with own_environment(self.pool) as env:
            mirror = env[self._name]
            mirror._lock()
            row = mirror._row()
            values = {} if row.trouble == str(error) else {"trouble": str(error)}
            if not row.unreachable_since:
                values["unreachable_since"] = fields.Datetime.now()
                values["reachable_since"] = False
            if values:
                row.write(values)
                env["mcp.webhook.delivery"]._announce_contact()

    # -- the sweep ---------------------------------------------------------------

    @api.model
    def _sweep(self):
        """Once a minute: submit what waits, read the feed, put right what is not.

        Each step has its own transaction. Trouble with the sidecar is noted and not
        raised: a week of it must not deactivate the cron.
        """
        access = self.env["mcp.webhook.sidecar"]
        try:
            self._pull(again=True)
            in_own_transaction(
                self.pool, lambda env: env["mcp.event.subscription"]._sync_dirty()
            )
            self.pool["mcp.webhook.outbox"]._sweep(self.pool)
            access._note_success()
        except (SidecarUnreachable, SidecarError) as error:
            access._note_failure()
            self._note_trouble(error)
        in_own_transaction(self.pool, _tidy)


def _tidy(env):
    """What needs no sidecar: faults to show, failures to count, badges to refresh."""
    env["mcp.webhook.mirror"]._lock()
    env["mcp.event.subscription"]._flag_faults()
    Delivery = env["mcp.webhook.delivery"]
    Delivery._mirror_badges(Delivery)
    Delivery._mirror_waiting_badges()
