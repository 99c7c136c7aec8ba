# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Where the sidecar is, who we are to it, and whether it is worth a try now."""

import os
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from odoo import api, models
from odoo.http import db_filter
from odoo.tools import config
from odoo.tools.misc import hmac

from ..tools.sidecar import PATIENT_TIMEOUT, Sidecar, SidecarUnreachable
from ..tools.words import _lt

DEFAULT_URL = "http://127.0.0.1:8170"
WAKE_PATH = "/mcp_webhook/wake"
LOOPBACK = "127.0.0.1"
BREAKER_SECONDS = 30
BOUND_SECONDS = 5  # so long a process takes its own word for it, while somebody waits
FRESH_SECONDS = 10  # a sidecar that started holds what is pending so long


@dataclass(frozen=True)
class Introduction:
    """What this process knows of its last `system.attach`."""

    log_id: str
    meetings: tuple
    at: float

    def is_fresh(self):
        return time.monotonic() < self.at + FRESH_SECONDS


# Process-local on purpose: each process finds out for itself, nothing to share.
_open_until = {}  # database name -> monotonic seconds
_introduced = {}  # (database name, sidecar url) -> Introduction
_features = {}  # (database name, sidecar url) -> (meetings, features)
_bound_until = {}  # database name -> monotonic seconds


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
        """Where the sidecar knocks: over loopback when it lives there, too, and a request
        to that host finds this database."""
        configured = self._parameter("wake_url")
        if configured:
            return configured
        parts = urlsplit(self._url().split(",")[0].strip())
        host = "localhost" if parts.scheme == "unix" else parts.hostname or ""
        is_local = host in ("localhost", "::1") or host.startswith("127.")
        if is_local and self._is_found_at(LOOPBACK):
            return f"http://{LOOPBACK}:{config['http_port']}{WAKE_PATH}"
        get_param = self.env["ir.config_parameter"].sudo().get_param
        return get_param("web.base.url", "").rstrip("/") + WAKE_PATH

    @api.model
    def _is_found_at(self, host):
        """Whether the server's `dbfilter` leads requests to this host to this database."""
        return bool(db_filter([self.env.cr.dbname], host=host))

    @api.model
    def _is_deaf(self):
        """Whether no knock can arrive, as far as this can be known from here."""
        host = urlsplit(self._wake_url()).hostname or ""
        return not (self._parameter("wake_url") or self._is_found_at(host))

    @api.model
    def _wake_secret(self):
        """What the sidecar shows when it knocks. Derived, so that nothing is stored, and
        every process of every host says the same."""
        return hmac(self.sudo().env, "mcp_webhook.wake", self.env.cr.dbname)

    @api.model
    def _client(self, timeout=PATIENT_TIMEOUT):
        """A :class:`Sidecar` for this database.

        :raise SidecarUnreachable: nothing is configured, or this is a copy
        """
        trouble = self._silence()
        if trouble:
            raise SidecarUnreachable(trouble, unsent=True)
        token = self._token()
        if not token:
            raise SidecarUnreachable(_lt("No token for the sidecar is configured."))
        return Sidecar(self._url(), token, self._database(), timeout)

    # -- a copy calls nobody -----------------------------------------------------------

    @api.model
    def _silence(self):
        """Why this database must not call any sidecar, or None."""
        get_param = self.env["ir.config_parameter"].sudo().get_param
        if get_param("database.is_neutralized"):
            return self.env._(
                "This database is a neutralized copy: it sends no webhooks."
            )
        name = self.env.cr.dbname
        if time.monotonic() < _bound_until.get(name, 0):
            return None
        trouble = self.env["mcp.webhook.binding"].sudo()._check()
        if trouble is None:
            _bound_until[name] = time.monotonic() + BOUND_SECONDS
            return None
        if trouble == "host":
            return self.env._(
                "This database does not know this host yet (its data folder is new). "
                "Another host of the same database confirms it within minutes. If there "
                "is none, an administrator must say in the settings, under MCP Server, "
                "that this database is production now."
            )
        return self.env._(
            "This database is a copy, or has moved: it lies elsewhere than when it last "
            "sent webhooks. It sends nothing until an administrator says in the settings, "
            "under MCP Server, that it is production now."
        )

    @api.model
    def _become_production(self):
        """An administrator's word, see `mcp.webhook.binding`."""
        self.env["mcp.webhook.binding"].sudo()._become_production()
        _bound_until.pop(self.env.cr.dbname, None)
        self._forget_introduction()

    # -- introductions -----------------------------------------------------------------

    @api.model
    def _introduce(self, client, take_over=False, again=False):
        """`system.attach`, once per process and connection, or whenever `again`.

        :return: the sidecar's answer, or None when it already knows us
        """
        known = self._introduction()
        if known and known.meetings == client.meetings and not (again or take_over):
            return None
        self._forget_introduction()
        known = self._known_of_it(client)
        answer = client.attach(wake_url=self._wake_url(), take_over=take_over, **known)
        answer["knock_is_secret"] = "wake_secret" in known
        _introduced[self._address()] = Introduction(
            answer["log_id"], client.meetings, time.monotonic()
        )
        return answer

    @api.model
    def _known_of_it(self, client):
        """What an attaching database says of itself and of the log, as far as this
        sidecar takes it."""
        features = self._sidecar_features(client)
        known = {}
        if "system.attach.instance" in features:
            known["instance"] = self.env["mcp.webhook.binding"].sudo()._instance()
        if "system.attach.seen" in features:
            known.update(self.env["mcp.webhook.mirror"].sudo()._witness())
        if "system.attach.wake_secret" in features:
            known["wake_secret"] = self._wake_secret()
        return known

    @api.model
    def _sidecar_features(self, client):
        """What this sidecar takes beyond the first version of the interface. Asked anew
        after each new connection: it may have been replaced by another version."""
        kept = _features.get(self._address())
        if kept and kept[0] == client.meetings:
            return kept[1]
        features = frozenset(client.info().get("features") or ())
        _features[self._address()] = (client.meetings, features)
        return features

    @api.model
    def _introduction(self):
        """The :class:`Introduction` of this process, or None."""
        return _introduced.get(self._address())

    @api.model
    def _forget_introduction(self):
        """Attach again before the next call: it answered as if to a stranger."""
        _introduced.pop(self._address(), None)

    @api.model
    def _forget_features(self):
        _features.pop(self._address(), None)

    @api.model
    def _address(self):
        return self.env.cr.dbname, self._url()

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
            raise SidecarUnreachable(_lt("The sidecar did not answer a moment ago."))
        try:
            client = self._client(timeout)
            result = work(client)
        except SidecarUnreachable:
            self._note_failure()
            raise
        self._note_success()
        return result
