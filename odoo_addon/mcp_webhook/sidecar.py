# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The sidecar's JSON-RPC, as Python calls. Knows nothing of Odoo.

One :class:`Sidecar` is cheap: make it, call it, drop it. Connections outlive it: each
process keeps a few, hands one to one thread at a time, and takes none through a fork.
"""

import functools
import json
import os
import uuid

import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError, TimeoutError

INLINE_TIMEOUT = (0.3, 1.0)  # (connect, read) seconds: somebody waits for a save
PATIENT_TIMEOUT = (2.0, 10.0)  # a cron job, or an administrator pressing a button
MAX_EVENTS = 1000  # the contract's limit for one `event.submit`
MAX_REQUEST_BYTES = 15 * 1024 * 1024  # its limit is 16 MiB; the envelope needs a little
KEPT = 4  # connections of one process to one sidecar, while nobody uses them
# A second call would send a second time.
ONCE = frozenset({"delivery.redeliver", "delivery.redeliver_many", "delivery.test"})


class SidecarError(Exception):
    """The sidecar answered, and its answer is no.

    :ivar code: the JSON-RPC code; negative for protocol faults
    :ivar kind: the contract's error kind, or None for protocol faults
    :ivar data: the rest of what it says (`field`, `detail`, `pointer`, ...)
    """

    def __init__(self, code, kind, message, data=None):
        super().__init__(message)
        self.code = code
        self.kind = kind
        self.message = message
        self.data = data or {}


class SidecarUnreachable(Exception):
    """No usable answer: transport trouble, a 5xx, a refused token. Try again later.

    :ivar reason: the trouble in words, without token, path or query
    """

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class Sidecar:
    """Calls one sidecar.

    :param str url: `http(s)://host:port`
    :param str token: the bearer token
    :param database: `(uuid, name)` of the Odoo database, sent as `X-Odoo-Database`
    :param timeout: `(connect, read)` in seconds, the default for every call
    """

    def __init__(self, url, token, database=None, timeout=PATIENT_TIMEOUT):
        self._url = url
        self._token = token
        self._database = database
        self._timeout = timeout

    # -- the methods of the contract, in its order -------------------------------

    def add(self, subscription):
        return self.call("subscription.create", subscription)

    def get(self, subscription_id):
        return self.call("subscription.get", {"id": subscription_id})

    def update(self, subscription_id, **changes):
        return self.call("subscription.update", {"id": subscription_id, **changes})

    def delete(self, subscription_id):
        return self.call("subscription.delete", {"id": subscription_id})

    def sync(self, subscriptions):
        """Replace the complete set. Returns `{created, updated, deleted, errors}`."""
        return self.call("subscription.sync", {"subscriptions": subscriptions})

    def submit(self, events):
        """Hand over 1 to 1000 events (dicts). Returns one result each, in order."""
        return self.call("event.submit", {"events": events})["results"]

    def attempts(self, event_id):
        return self.call("delivery.get", {"event_id": event_id})["attempts"]

    def changes(self, after, limit=None):
        """Returns `{attempts, cursor, more, log_id}`."""
        return self.call("delivery.changes", _given(after=after, limit=limit))

    def redeliver(self, event_id):
        return self.call("delivery.redeliver", {"event_id": event_id})

    def redeliver_many(self, subscription_id, since, dry_run=False):
        params = {"subscription_id": subscription_id, "since": since}
        return self.call("delivery.redeliver_many", {**params, "dry_run": dry_run})

    def test(self, subscription_id, event=None):
        params = _given(subscription_id=subscription_id, event=event)
        return self.call("delivery.test", params)

    def preview(self, payload_template, event=None, dialect=None):
        params = {"payload_template": payload_template}
        params.update(_given(event=event, dialect=dialect))
        return self.call("template.preview", params)

    def attach(self, wake_url=None, take_over=False):
        """Introduce the database. Returns `{log_id, version}`."""
        database, name = self._database
        params = _given(
            database=database,
            database_name=name,
            wake_url=wake_url,
            take_over=take_over or None,
        )
        return self.call("system.attach", params)

    def info(self):
        return self.call("system.info")

    # -- the transport -----------------------------------------------------------

    def call(self, method, params=None, timeout=None):
        """One JSON-RPC call.

        :raise SidecarError: it answered with an error
        :raise SidecarUnreachable: no usable answer
        """
        call_id = str(uuid.uuid4())
        body = {"jsonrpc": "2.0", "id": call_id, "method": method}
        body["params"] = params or {}
        text = compact(body).encode()
        try:
            response = self._post(text, timeout or self._timeout, method)
        except (HTTPError, ValueError) as error:
            raise SidecarUnreachable(_trouble(error)) from error
        return self._result(response, call_id)

    def _post(self, body, timeout, method):
        options = {
            "body": body,
            "headers": self._headers(),
            "timeout": urllib3.Timeout(connect=timeout[0], read=timeout[1]),
            "retries": False,
            "redirect": False,
        }
        if method in ONCE:
            with _new_pool(os.environ.get("REQUESTS_CA_BUNDLE")) as fresh:
                return fresh.request("POST", self._url, **options)
        pool, path = _kept_pool(self._url, os.environ.get("REQUESTS_CA_BUNDLE"))
        try:
            return pool.urlopen("POST", path, **options)
        except ProtocolError:
            # the sidecar closed a kept connection in the moment we took it up
            return pool.urlopen("POST", path, **options)

    def _headers(self):
        headers = {
            "Authorization": f"Bearer {self._token}".encode(),
            "Content-Type": "application/json",
        }
        if self._database:
            headers["X-Odoo-Database"] = " ".join(self._database).encode()
        return headers

    @staticmethod
    def _result(response, call_id):
        status = response.status
        if status == 401:
            raise SidecarUnreachable("The sidecar refuses the token (HTTP 401).")
        if status == 403:
            raise SidecarUnreachable(
                "The sidecar refuses this host name (HTTP 403); "
                "add it to allowed_hosts in its configuration."
            )
        try:
            answer = json.loads(response.data)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not ("result" in answer or "error" in answer):
            raise SidecarUnreachable(
                f"What answers there is not the sidecar (HTTP {status})."
            )
        if answer.get("error"):
            raise _as_error(answer["error"])
        if status >= 300 or answer.get("id") != call_id:
            raise SidecarUnreachable(f"The sidecar's answer is unusable (HTTP {status}).")
        return answer["result"]


def _trouble(error):
    """In words. The library's own text holds the address: it stays out."""
    # a refused connection is a kind of timeout to urllib3 1.26
    if isinstance(error, TimeoutError) and not isinstance(error, NewConnectionError):
        return "The sidecar did not answer in time."
    return f"The sidecar cannot be reached ({type(error).__name__})."


@functools.lru_cache(maxsize=16)
def _kept_pool(url, bundle):
    """The connections to an address, and the path. A PoolManager would read the address
    anew for each call, while somebody waits for a save."""
    path = urllib3.util.parse_url(url).request_uri
    return _new_pool(bundle).connection_from_url(url), path


os.register_at_fork(after_in_child=_kept_pool.cache_clear)


def _new_pool(bundle):
    """urllib3 alone asks neither .netrc, which would replace our token, nor a proxy."""
    return urllib3.PoolManager(
        maxsize=KEPT, cert_reqs="CERT_REQUIRED", ca_certs=bundle or None
    )


def compact(value):
    """The compact JSON text of `value`; numbers that are not JSON are refused."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def batches(sizes, max_count=MAX_EVENTS, max_bytes=MAX_REQUEST_BYTES):
    """Cut a list into slices that fit one request each.

    :param sizes: bytes of each item, in order
    :return: slices, in order, that cover the list
    """
    cuts, start, total = [], 0, 0
    for index, size in enumerate(sizes):
        if index > start and (index - start == max_count or total + size > max_bytes):
            cuts.append(slice(start, index))
            start, total = index, 0
        total += size + 1
    if start < len(sizes):
        cuts.append(slice(start, len(sizes)))
    return cuts


def _given(**params):
    return {name: value for name, value in params.items() if value is not None}


def _as_error(error):
    data = error.get("data")
    data = dict(data) if isinstance(data, dict) else {}
    return SidecarError(
        error.get("code"), data.pop("kind", None), error.get("message") or "", data
    )
