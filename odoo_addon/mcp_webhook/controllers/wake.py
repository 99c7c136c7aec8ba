# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The sidecar's knock: the feed has moved.

Anybody may knock: nothing is taken from the request and nothing is told. Knocks
that come while one waits are covered by it, so at most two of a process's threads
are ever busy here, ten times a second.
"""

import threading
import time
from collections import defaultdict

from odoo import SUPERUSER_ID, http
from odoo.http import request

INTERVAL = 0.1  # seconds between the starts of two pulls


class Knocks:
    """Turns any number of knocks into pulls that begin after each of them."""

    def __init__(self):
        self._waiting = threading.Lock()
        self._running = threading.Lock()
        self._started = float("-inf")

    def answer(self, pull):
        """Run `pull()` unless another knock's pull is yet to begin.

        :return: whether it ran
        """
        if not self._waiting.acquire(blocking=False):
            return False
        with self._running:
            try:
                pause = self._started + INTERVAL - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
                self._started = time.monotonic()
            finally:
                self._waiting.release()
            pull()
        return True


_knocks = defaultdict(Knocks)  # by database, process-local


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
        _knocks[env.cr.dbname].answer(env["mcp.webhook.mirror"]._pull_quietly)
        return request.make_response("", status=204)
