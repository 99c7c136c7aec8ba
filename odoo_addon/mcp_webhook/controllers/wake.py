# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The sidecar's knock: the feed has moved.

Nothing else is taken from the request and nothing is told. A sidecar that was given a
secret must show it; whoever else knocks is sent away before anything is asked of anybody.
"""

import hmac
import time
from contextlib import contextmanager

import psycopg2

from odoo import SUPERUSER_ID, http
from odoo.http import request

from ..models.mcp_webhook_outbox import _each_alone

INTERVAL = 0.1  # seconds between the starts of two pulls of a process
PATIENCE = 15  # seconds that a knock waits for the pull before it
RUNNING, WAITING = 0x6D637001, 0x6D637002  # PostgreSQL's advisory locks, of a database

_started = {}  # database name -> monotonic seconds; process-local


def gather(registry, pull):
    """Run `pull()`, unless another knock's pull is yet to begin: that covers this one.

    One pull runs and one knock waits, of all processes on the database together: more
    knocks than that hold no worker.

    :return: whether it ran
    """
    with _statements(registry) as place:
        if not _try(place, WAITING):
            return False
        try:
            with _statements(registry) as running:
                if not _wait(running, RUNNING):
                    return False
                try:
                    _pause(running.dbname)
                    # from here on another knock may wait for its turn
                    _release(place, WAITING)
                    pull()
                    return True
                finally:
                    _release(running, RUNNING)
        finally:
            _release(place, WAITING)


@contextmanager
def _statements(registry):
    """A cursor that holds locks, and no snapshot."""
    with registry.cursor() as cr:
        _each_alone(cr)
        yield cr


def _try(cr, lock):
    cr.execute("SELECT pg_try_advisory_lock(%s)", [lock])
    return cr.fetchone()[0]


def _wait(cr, lock):
    cr.execute("SELECT set_config('lock_timeout', %s, FALSE)", [f"{PATIENCE}s"])
    try:
        cr.execute("SELECT pg_advisory_lock(%s)", [lock], log_exceptions=False)
    except psycopg2.errors.LockNotAvailable:
        return False
    finally:
        if cr._cnx.autocommit:
            cr.execute("RESET lock_timeout")
    return True


def _release(cr, lock):
    """Also when it is not held: that is a notice to nobody."""
    cr.execute("SELECT pg_advisory_unlock(%s)", [lock])


def _pause(name):
    pause = _started.get(name, float("-inf")) + INTERVAL - time.monotonic()
    if pause > 0:
        time.sleep(pause)
    _started[name] = time.monotonic()


class WakeController(http.Controller):
    @http.route(
        "/mcp_webhook/wake",
        type="http",
        auth="none",
        methods=["POST"],
        csrf=False,
        save_session=False,
    )
    def wake(self):
        env = request.env(user=SUPERUSER_ID, su=True, context={})
        mirror, access = env["mcp.webhook.mirror"], env["mcp.webhook.sidecar"]
        if mirror._status()["knock_is_secret"]:
            given = request.httprequest.headers.get("X-MCP-Wake-Secret", "")
            expected = access._wake_secret()
            if not hmac.compare_digest(given.encode(), expected.encode()):
                return request.make_response("", status=403)
        elif access._is_open():
            return request.make_response("", status=204)
        env.cr.rollback()  # hold no snapshot while others are waited for
        gather(mirror.pool, mirror._pull_knocked)
        return request.make_response("", status=204)
