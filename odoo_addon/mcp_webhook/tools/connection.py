# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Connections to the sidecar that carry nothing before the other end has proven itself.

While the sidecar is down anybody on its machine may take its port. So each new connection
begins with a challenge, and the token and what else is secret go only where the answer
shows that the token is known, on that same connection. Kept connections pay once.
"""

import functools
import hashlib
import hmac
import http.client
import io
import os
import secrets
import socket
import time
from urllib.parse import unquote, urlsplit

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
)
from urllib3.exceptions import (
    TimeoutError as LateError,
)

from .words import _lt, detailed

KEPT = 4  # connections of one process to one sidecar, while nobody uses them
PATIENCE = 2.0  # seconds for a proof, where the connection has no limit of its own
MAX_HEALTH_BYTES = 64 * 1024
PREFIX = b"mcp-webhookd:"
UNIX = "unix"
NOT_IT = _lt("What answers there is not the sidecar.")


class SidecarUnreachable(Exception):
    """No usable answer: transport trouble, a 5xx, a refused token. Try again later.

    :ivar reason: the trouble in English (see `words.py`), without token, path or query
    :ivar unsent: True when the call has surely not arrived
    """

    def __init__(self, sentence, detail=None, unsent=False):
        self.reason = detailed(sentence, detail)
        super().__init__(self.reason)
        self.unsent = unsent


class Peer:
    """A sidecar as this process knows it.

    :ivar meetings: how many connections were made: after a new one it may be another
        sidecar, or the same one after a restart
    """

    def __init__(self, url, token, bundle=None):
        self.meetings = 0
        self.token = token
        try:
            self._open(urlsplit(url), bundle)
        except ValueError as error:
            raise SidecarUnreachable(
                _lt(
                    "The sidecar's address is not one; expected http://host:port, "
                    "https://host:port or unix:///path."
                ),
                unsent=True,
            ) from error

    def _open(self, parts, bundle):
        if parts.scheme == UNIX:
            self.label, base = f"{UNIX}:{unquote(parts.path)}", ""
            options = {"path": unquote(parts.path)}
            kind, where = _UnixPool, ("localhost", None)
        else:
            self.label, base = parts.netloc.rpartition("@")[2], parts.path.rstrip("/")
            kind, where = _PlainPool, (parts.hostname or "", parts.port)
            options = {}
            if parts.scheme == "https":
                kind = _SecurePool
                options = {"cert_reqs": "CERT_REQUIRED", "ca_certs": bundle or None}
        self.path = base + "/"
        self.health = base + "/healthz"
        self._pool = kind(*where, maxsize=KEPT, peer=self, **options)

    def post(self, body, **options):
        """urllib3 alone asks neither .netrc, which would replace our token, nor a proxy."""
        try:
            return self._pool.urlopen("POST", self.path, body=body, **options)
        except (HTTPError, OSError, ValueError) as error:
            raise _unreachable(error) from error

    def close(self):
        self._pool.close()


@functools.lru_cache(maxsize=16)
def kept_peer(url, token, bundle):
    """A peer whose connections are used again."""
    return Peer(url, token, bundle)


# Two processes must not speak on one connection.
os.register_at_fork(after_in_child=kept_peer.cache_clear)


class _Proving:
    """Mixed into urllib3's connections: connected means proven."""

    def __init__(self, *args, peer, **kwargs):
        super().__init__(*args, **kwargs)
        self._peer = peer

    def connect(self):
        made = super().connect()
        try:
            _prove(self, self._peer)
        except Exception as error:
            self.close()
            if isinstance(error, SidecarUnreachable):
                raise
            trouble = _unreachable(error)
            trouble.unsent = True
            raise trouble from error
        self._peer.meetings += 1
        return made


class _PlainConnection(_Proving, HTTPConnection):
    pass


class _SecureConnection(_Proving, HTTPSConnection):
    pass


class _UnixConnection(_Proving, HTTPConnection):
    def __init__(self, *args, path, **kwargs):
        super().__init__(*args, **kwargs)
        self._path = path

    def _new_conn(self):
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(_seconds(self))
            made.connect(self._path)
        except OSError as error:
            made.close()
            raise NewConnectionError(self, type(error).__name__) from error
        return made


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _UnixPool(HTTPConnectionPool):
    ConnectionCls = _UnixConnection


# -- the proof ------------------------------------------------------------------------


def proof(token, challenge):
    """What only who knows the token can say."""
    return hmac.new(
        token.encode(), PREFIX + challenge.encode(), hashlib.sha256
    ).hexdigest()


def _prove(connection, peer):
    """:raise SidecarUnreachable: the other end did not show that it knows the token"""
    challenge = secrets.token_hex(32)
    answer = _ask_health(connection, peer, challenge)
    given = answer.getheader("X-MCP-Proof")
    if given is None:
        raise SidecarUnreachable(
            _lt(
                "What answers there gave no proof that it knows the token, so nothing was "
                "sent to it. If it is a sidecar of an older version, upgrade it first; if "
                "not, another program has taken its place."
            ),
            peer.label,
            unsent=True,
        )
    expected = proof(peer.token, challenge)
    shown = [hmac.compare_digest(expected, p.strip()) for p in given[:8192].split(",")]
    if not any(shown):
        raise SidecarUnreachable(
            _lt(
                "The sidecar did not prove that it knows the token, so nothing was sent to "
                "it. Put the token from the file 'token' in its data folder into the "
                "settings."
            ),
            peer.label,
            unsent=True,
        )
    if answer.will_close:
        raise SidecarUnreachable(
            _lt(
                "What stands before the sidecar ends each connection after one answer; "
                "let it keep them open."
            ),
            peer.label,
            unsent=True,
        )


def _ask_health(connection, peer, challenge):
    """`GET /healthz` on a connection that is not yet anybody's; the answer, read."""
    name = f"[{connection.host}]" if ":" in connection.host else connection.host
    host = name if connection.port is None else f"{name}:{connection.port}"
    request = (
        f"GET {peer.health} HTTP/1.1\r\nHost: {host}\r\nX-MCP-Challenge: {challenge}\r\n"
        "Accept: */*\r\n\r\n"
    )
    seconds = _seconds(connection)
    connection.sock.sendall(request.encode())
    answer = http.client.HTTPResponse(_Hurried(connection.sock, seconds), method="GET")
    answer.begin()
    answer.read(MAX_HEALTH_BYTES)
    if not answer.isclosed():
        raise http.client.HTTPException("the answer is too long")
    connection.sock.settimeout(seconds)
    return answer


class _Hurried(io.RawIOBase):
    """A socket to read from until a moment: who drips must not hold us."""

    def __init__(self, sock, seconds):
        super().__init__()
        self._sock = sock
        self._end = time.monotonic() + seconds

    def makefile(self, _mode):
        return io.BufferedReader(self)

    def readable(self):
        return True

    def readinto(self, buffer):
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._sock.recv_into(buffer)


def _seconds(connection):
    limit = connection.timeout
    return limit if isinstance(limit, int | float) else PATIENCE


# -- trouble in words -----------------------------------------------------------------


def _unreachable(error):
    """The library's own text holds the address: it stays out."""
    if isinstance(error, http.client.HTTPException | ValueError):
        return SidecarUnreachable(NOT_IT)
    unsent = isinstance(error, NewConnectionError | ConnectTimeoutError)
    # a refused connection is a kind of timeout to urllib3 1.26
    is_late = isinstance(error, LateError | TimeoutError)
    if is_late and not isinstance(error, NewConnectionError):
        return SidecarUnreachable(
            _lt("The sidecar did not answer in time."), None, unsent
        )
    sentence, kind = _lt("The sidecar cannot be reached."), type(error).__name__
    return SidecarUnreachable(sentence, kind, unsent)
