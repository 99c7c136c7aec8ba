# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Follows the sidecar's feed of changes; heals what went wrong meanwhile.

One row: how far we have read, and of which log. A page is asked for without any lock,
for the sidecar may take its time. Whoever writes it then holds an exclusive lock on the
table, taken as the first statement of a transaction of its own: only so is the snapshot
younger than the previous writer's commit. If that one wrote the same page, ours goes.
"""

import logging
import time
from dataclasses import dataclass

import psycopg2

from odoo import api, fields, models

from ..tools.sidecar import SidecarError, SidecarUnreachable
from ..tools.words import _lt
from .mcp_webhook_delivery_exchange import FEATURE as EXCHANGE
from .mcp_webhook_outbox import MAX_SECONDS, in_own_transaction, own_environment

_logger = logging.getLogger(__name__)

PAGE = 200  # attempts per transaction
LOST_AT_ONCE = 1000
LOCK_SECONDS = 10  # that a page waits for the writer before it
LOST = _lt(
    "The sidecar's log was replaced before this attempt ended, so its outcome is unknown."
)


@dataclass(frozen=True)
class Page:
    """A page of the feed; `answer` is None where the log is not the one we follow.

    :ivar state: `(log_id, cursor)` of our row when it was asked for
    :ivar met: the sidecar's answer to an introduction, or None
    """

    log_id: str
    state: tuple
    met: dict | None
    answer: dict | None = None


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
    knock_is_secret = fields.Boolean(help="The sidecar was given a secret to knock with.")
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
        names = (
            "version",
            "reachable_since",
            "unreachable_since",
            "trouble",
            "knock_is_secret",
        )
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
        except psycopg2.errors.LockNotAvailable:
            _logger.info("The mirror is busy; the next knock or the sweep goes on")
            return False
        return True

    @api.model
    def _pull_knocked(self):
        """For a knock; whether it went well is for everybody else to know."""
        access = self.env["mcp.webhook.sidecar"]
        if self._pull_quietly():
            access._note_success()
        else:
            access._note_failure()

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
        """:return: whether there is more to read"""
        name = self._name
        page = in_own_transaction(self.pool, lambda env: env[name]._ask(again))
        if page.answer is not None:
            # again when somebody has edited a subscription meanwhile
            return in_own_transaction(self.pool, lambda env: env[name]._take(page))
        in_own_transaction(
            self.pool, lambda env: env["mcp.event.subscription"]._sync_all()
        )
        in_own_transaction(self.pool, lambda env: env[name]._adopt(page))
        return True

    def _ask(self, again):
        """Read the next :class:`Page`, of whatever log is there now.

        An introduction tells the sidecar what we have seen of its log. Behind each new
        connection it may have begun anew, with an earlier state of the log: then what it
        just said counts only after another introduction.
        """
        row = self.search([], limit=1)
        state = (row.log_id, row.cursor)
        access = self.env["mcp.webhook.sidecar"]
        client = access._client()
        self.env.cr.rollback()  # hold no snapshot while the sidecar is asked
        known = access._introduction()
        again = again or not (known and known.is_fresh())
        cursor, met = state[1] or "", None
        for _turn in range(3):
            met = access._introduce(client, again=again) or met
            if met and met["log_id"] != state[0]:
                return Page(met["log_id"], state, met)
            try:
                knows = EXCHANGE in access._sidecar_features(client)
                answer = client.changes(cursor, PAGE, exchange=knows or None)
            except SidecarError as error:
                if error.kind == "fenced":
                    access._forget_introduction()
                if error.kind != "stale_cursor":
                    raise
                again, cursor = True, ""
                continue
            if answer["log_id"] != state[0]:
                # replaced since we introduced ourselves: it does not know us
                again = access._introduction().log_id != answer["log_id"]
                met = access._introduce(client, again=again) or met
                return Page(met["log_id"] if met else answer["log_id"], state, met)
            if access._introduction().meetings == client.meetings:
                return Page(answer["log_id"], state, met, answer)
            again = True
        raise SidecarUnreachable(_lt("The sidecar does not keep its connections."))

    def _take(self, page):
        """Write a page. :return: whether there is more to read"""
        self._lock(LOCK_SECONDS)
        row = self._row()
        if (row.log_id, row.cursor) != page.state:
            return True  # somebody was faster: go on from there
        if page.answer["attempts"]:
            Delivery = self.env["mcp.webhook.delivery"]
            Delivery._mirror_badges(Delivery._mirror_attempts(page.answer["attempts"]))
        if row.cursor != page.answer["cursor"]:
            row.cursor = page.answer["cursor"]
        row._note_contact(page.met)
        return bool(page.answer["more"])

    def _adopt(self, page):
        """Another log, which has our subscriptions by now: bring it what it cannot have."""
        self._lock(LOCK_SECONDS)
        row = self._row()
        if (row.log_id, row.cursor) != page.state:
            return
        _logger.info("Following another log of the webhook sidecar")
        row.write({"log_id": page.log_id, "cursor": False})
        row._note_contact(page.met)
        self.env.flush_all()
        self.env.cr.execute(
            """INSERT INTO mcp_webhook_outbox (delivery_id)
                    SELECT id FROM mcp_webhook_delivery
                     WHERE status = 'pending' AND attempt = 1
                       AND (event IS NOT NULL OR over_budget
                            OR trigger IN ('backfill', 'action'))
               ON CONFLICT DO NOTHING"""
        )
        Delivery = self.env["mcp.webhook.delivery"]
        gone = [
            ("status", "=", "pending"),
            "|",
            ("attempt", ">", 1),
            "&",
            ("event", "=", False),
            "&",
            ("over_budget", "=", False),
            ("trigger", "not in", ("backfill", "action")),
        ]
        while lost := Delivery.search(gone, limit=LOST_AT_ONCE):
            lost._fail("internal", LOST)
            Delivery._mirror_badges(lost)
            self.env.invalidate_all()

    @api.model
    def _witness(self):
        """What an introduction tells the sidecar of its log: how much we have seen."""
        row = self.search([], limit=1)
        if not row.log_id:
            return {}
        seen = self.env["mcp.webhook.seen"]._highest(row.log_id)
        return {"seen": seen, "cursor": row.cursor or ""}

    # -- contact -----------------------------------------------------------------

    def _note_contact(self, met):
        values = {}
        if self.unreachable_since or not self.reachable_since:
            values["reachable_since"] = fields.Datetime.now()
            values["unreachable_since"] = False
        if self.trouble:
            values["trouble"] = False
        if met:
            self.env["mcp.webhook.seen"]._note(met["log_id"], met.get("accepted_to"))
            if met.get("version") != self.version:
                values["version"] = met.get("version")
                self.env["mcp.event.subscription"]._meet_other_version()
            if met.get("knock_is_secret", False) != self.knock_is_secret:
                values["knock_is_secret"] = not self.knock_is_secret
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
        """Once a minute: read the feed, bring subscriptions, submit what waits, tidy up.

        Each part has its own transactions, and its trouble is its own: it is told where
        it is met and stops no other part, and a week of it does not deactivate the cron.
        Where the sidecar does not answer at all, it is asked once.
        """
        access = self.env["mcp.webhook.sidecar"]
        registry = self.pool
        subscriptions, outbox = "mcp.event.subscription", registry["mcp.webhook.outbox"]
        fine = True
        for part in (
            lambda: self._pull(again=True),
            lambda: registry[subscriptions]._bring(registry),
            lambda: registry["mcp.webhook.backfill"]._continue(registry),
            lambda: outbox._sweep(registry),
        ):
            try:
                fine &= self._alone(part)
            except SidecarUnreachable as error:
                fine = False
                self._alone(lambda e=error: self._note_trouble(e))
                break
        if fine:
            access._note_success()
        else:
            access._note_failure()
        for tidy in TIDYING:
            self._alone(lambda t=tidy: in_own_transaction(registry, _locked(t)))
        self._alone(self.env[subscriptions]._let_go)
        # last: these run code of other models, for as long as that takes
        self._alone(lambda: registry[subscriptions]._flag_faults(registry))
        self._alone(lambda: outbox._build_late(registry))

    def _alone(self, part):
        """Do one part of the sweep.

        :return: whether it went well
        :raise SidecarUnreachable: nothing else that needs the sidecar is worth a try
        """
        try:
            part()
        except SidecarUnreachable:
            raise
        except SidecarError as error:
            self._alone(lambda e=error: self._note_trouble(e))
            return False
        except Exception:
            _logger.exception("A part of the sweep failed; the others go on")
            return False
        return True


def _locked(work):
    def locked(env):
        env["mcp.webhook.mirror"]._lock()
        work(env)

    return locked


def _refresh_badges(env):
    Delivery = env["mcp.webhook.delivery"]
    Delivery._mirror_badges(Delivery)
    Delivery._mirror_waiting_badges()
    env["mcp.event.subscription"]._tell_what_was_not_told()


def _forget_counts(env):
    row = env["mcp.webhook.mirror"]._row()
    env["mcp.webhook.seen"]._keep_highest(row.log_id or None)


# What needs no sidecar, each in a transaction of its own.
TIDYING = (
    lambda env: env["mcp.event.subscription"]._hold_to_allowed_hosts(),
    _refresh_badges,
    _forget_counts,
    lambda env: env["mcp.webhook.binding"]._confirm_hosts(),
)
