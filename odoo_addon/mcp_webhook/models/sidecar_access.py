# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Where the sidecar is, who we are to it, and whether it is worth a try now."""

import os
import time
from urllib.parse import urlsplit

from odoo import api, models
from odoo.tools import config

from ..sidecar import PATIENT_TIMEOUT, Sidecar, SidecarUnreachable

DEFAULT_URL = "http://127.0.0.1:8170"
WAKE_PATH = "/mcp_webhook/wake"
BREAKER_SECONDS = 30

# Process-local on purpose: each process finds out for itself, nothing to share.
_open_until = {}  # database name -> monotonic seconds
_introduced = set()  # (database name, sidecar url) this process has attached to


class McpWebhookSidecar(models.AbstractModel):
    _name = "mcp.webhook.sidecar"
    _description = "Access to the webhook sidecar"

    # -- where and who -----------------------------------------------------------

    @api.model
    def _url(self):
        return (
            self._parameter("sidecar_url")
            or os.environ.get("MCP_WEBHOOK_SIDECAR_URL")
            or DEFAULT_URL
        )

    @api.model
    def _token(self):
        return self._parameter("sidecar_token") or os.environ.get(
            "MCP_WEBHOOK_SIDECAR_TOKEN"
        )

    @api.model
    def _database(self):
        """`(uuid, name)`: what `system.attach` binds the sidecar to."""
        get_param = self.env["ir.config_parameter"].sudo().get_param
        return get_param("database.uuid"), self.env.cr.dbname

    @api.model
    def _wake_url(self):
        """Where the sidecar knocks: over loopback when it lives there, too."""
        configured = self._parameter("wake_url")
        if configured:
            return configured
        host = urlsplit(self._url()).hostname or ""
        if host in ("localhost", "::1") or host.startswith("127."):
            return f"http://127.0.0.1:{config['http_port']}{WAKE_PATH}"
        get_param = self.env["ir.config_parameter"].sudo().get_param
        return get_param("web.base.url", "").rstrip("/") + WAKE_PATH

    @api.model
    def _client(self, timeout=PATIENT_TIMEOUT):
        """A :class:`Sidecar` for this database.

        :raise SidecarUnreachable: nothing is configured, or this is a neutralized copy
        """
        get_param = self.env["ir.config_parameter"].sudo().get_param
        if get_param("database.is_neutralized"):
            raise SidecarUnreachable(
                "This database is a neutralized copy: it sends no webhooks."
            )
        token = self._token()
        if not token:
            raise SidecarUnreachable("No token for the sidecar is configured.")
        return Sidecar(self._url(), token, self._database(), timeout)

    @api.model
    def _introduce(self, client, take_over=False, again=False):
        """`system.attach`, once per process, or whenever `again`.

        :return: the sidecar's answer, or None when it already knows us
        """
        key = (self.env.cr.dbname, self._url())
        if key in _introduced and not (again or take_over):
            return None
        _introduced.discard(key)
        answer = client.attach(wake_url=self._wake_url(), take_over=take_over)
        _introduced.add(key)
        return answer

    @api.model
    def _forget_introduction(self):
        """Attach again before the next call: it answered as if to a stranger."""
        _introduced.discard((self.env.cr.dbname, self._url()))

    @api.model
    def _parameter(self, name):
        get_param = self.env["ir.config_parameter"].sudo().get_param
        return (get_param(f"mcp_webhook.{name}") or "").strip()

    # -- the circuit breaker -----------------------------------------------------

    @api.model
    def _is_open(self):
        """True: it failed a moment ago in this process, do not make a user wait."""
        return time.monotonic() < _open_until.get(self.env.cr.dbname, 0)

    @api.model
    def _note_failure(self):
        _open_until[self.env.cr.dbname] = time.monotonic() + BREAKER_SECONDS

    @api.model
    def _note_success(self):
        _open_until.pop(self.env.cr.dbname, None)

    @api.model
    def _try(self, work, timeout=PATIENT_TIMEOUT):
        """Run `work(client)` through the breaker.

        :return: what `work` returns
        :raise SidecarError: it answered with an error (the breaker stays closed)
        :raise SidecarUnreachable: it did not, or it is not worth a try now
        """
        if self._is_open():
            raise SidecarUnreachable("The sidecar did not answer a moment ago.")
        try:
            client = self._client(timeout)
            result = work(client)
        except SidecarUnreachable:
            self._note_failure()
            raise
        self._note_success()
        return result
