# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The sidecar's JSON-RPC, as Python calls. Knows nothing of Odoo.

One :class:`Sidecar` is cheap: make it, call it, drop it. Connections outlive it (see
`connection.py`): each process keeps a few, hands one to one thread at a time, and takes
none through a fork.
"""

import json
import os
import uuid

import urllib3
from urllib3.exceptions import ProtocolError

from .connection import NOT_IT, Peer, SidecarUnreachable, kept_peer
from .words import _lt

INLINE_TIMEOUT = (0.3, 1.0)  # (connect, read) seconds: somebody waits for a save
PATIENT_TIMEOUT = (2.0, 10.0)  # a cron job, or an administrator pressing a button
MAX_EVENTS = 1000  # the contract's limit for one `event.submit`
MAX_REQUEST_BYTES = 15 * 1024 * 1024  # its limit is 16 MiB; the envelope needs a little
MAX_BATCH = 100  # calls in one JSON-RPC batch
MAX_PAGE = 1000  # of a list
MAX_IDS = 1000  # event ids in one `delivery.redeliver_many`
# A second call would send a second time.
ONCE = frozenset({"delivery.redeliver", "delivery.redeliver_many", "delivery.test"})
UNUSABLE = _lt("The sidecar's answer is unusable.")
REFUSED = {
    401: _lt("The sidecar refuses the token."),
    403: _lt(
        "The sidecar refuses this host name; add it to allowed_hosts in its configuration."
    ),
}


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


# Which of several sidecars answered last in this process, by the list of them.
_answered = {}


class Sidecar:
    """Calls one sidecar.

    :param str url: `http(s)://host:port` or `unix:///path`; several sidecars of one log,
        separated by commas, take each other's place
    :param str token: the bearer token
    :param database: `(uuid, name)` of the Odoo database, sent as `X-Odoo-Database`
    :param timeout: `(connect, read)` in seconds, the default for every call
    """

    def __init__(self, url, token, database=None, timeout=PATIENT_TIMEOUT):
        self._url = url
        self._urls = [one.strip() for one in url.split(",") if one.strip()]
        self._token = token
        self._database = database
        self._timeout = timeout

    # -- the methods of the contract, in its order -------------------------------

    def add(self, subscription):
        return self.call("subscription.create", subscription)

    def get(self, subscription_id):
        return self.call("subscription.get", {"id": subscription_id})

    def ids(self):
        """The ids of all subscriptions there, page by page."""
        found, after = set(), None
        while True:
            page = self.call("subscription.list", _given(after=after, limit=MAX_PAGE))
            found.update(known["id"] for known in page["subscriptions"])
            after = page["next"]
            if not after:
                return found

    def update(self, subscription_id, **changes):
        return self.call("subscription.update", {"id": subscription_id, **changes})

    def delete(self, subscription_id):
        return self.call("subscription.delete", {"id": subscription_id})

    def sync(self, subscriptions):
        """Replace the complete set. Returns `{created, updated, deleted, errors}`."""
        return self.call("subscription.sync", {"subscriptions": subscriptions})

    def check(self, subscription):
        """Whether `create` or `update` would take it; nothing is stored."""
        return self.call("subscription.check", subscription)

    def submit(self, events):
        """Hand over 1 to 1000 events (dicts). Returns `{results, accepted_to}`: one result
        each, in order, and the log's count of acceptances."""
        return self.call("event.submit", {"events": events})

    def attempts(self, event_id):
        return self.call("delivery.get", {"event_id": event_id})["attempts"]

    def changes(self, after, limit=None, exchange=None):
        """Returns `{attempts, cursor, more, log_id}`.

        :param exchange: True: with path and headers of each attempt
        """
        wish = _given(after=after, limit=limit, exchange=exchange)
        return self.call("delivery.changes", wish)

    def redeliver(self, event_id):
        return self.call("delivery.redeliver", {"event_id": event_id})

    def redeliver_many(self, subscription_id, since=None, event_ids=None, dry_run=False):
        """Returns `{count, skipped}`; `event_ids` (1 to 1000) instead of `since`."""
        params = {"subscription_id": subscription_id, "dry_run": dry_run}
        params.update(_given(since=since, event_ids=event_ids))
        return self.call("delivery.redeliver_many", params)

    def retry_now(self, event_id):
        return self.call("delivery.retry_now", {"event_id": event_id})

    def cancel(self, event_id, reason=None):
        params = _given(event_id=event_id, reason=reason)
        return self.call("delivery.cancel", params)

    def test(self, subscription_id, event=None):
        params = _given(subscription_id=subscription_id, event=event)
        return self.call("delivery.test", params)

    def preview(self, payload_template, event=None, dialect=None):
        params = {"payload_template": payload_template}
        params.update(_given(event=event, dialect=dialect))
        return self.call("template.preview", params)

    def attach(self, wake_url=None, take_over=False, **known):
        """Introduce the database. Returns `{log_id, version, accepted_to}`.

        :param known: `instance`, `seen`, `cursor`: only what this sidecar takes
        """
        database, name = self._database
        params = _given(
            database=database,
            database_name=name,
            wake_url=wake_url,
            take_over=take_over or None,
            **known,
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
        response = self._reach(text, timeout or self._timeout, method)
        return self._result(response, call_id)

    def call_many(self, method, each):
        """The same method for each of these parameters, a hundred in a request.

        :return: for each the result, or the :class:`SidecarError`
        :raise SidecarUnreachable: no usable answer; earlier requests were answered
        """
        results = []
        for start in range(0, len(each), MAX_BATCH):
            part = each[start : start + MAX_BATCH]
            calls = [
                {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
                for number, params in enumerate(part)
            ]
            response = self._reach(compact(calls).encode(), self._timeout, method)
            results += self._results(response, len(part))
        return results

    @property
    def meetings(self):
        """Changes whenever a connection was made: behind it may be a sidecar that does not
        know us."""
        peers = [kept_peer(url, self._token, _bundle()) for url in self._urls]
        return tuple(peer.meetings for peer in peers)

    def _reach(self, text, timeout, method):
        """Of the sidecar that answered last, or of the next one that does."""
        first = _answered.get(self._url, 0)
        trouble = SidecarUnreachable(_lt("No address of the sidecar is configured."))
        for turn in range(len(self._urls)):
            index = (first + turn) % len(self._urls)
            try:
                response = self._post(self._urls[index], text, timeout, method)
            except SidecarUnreachable as error:
                if method in ONCE and not error.unsent:
                    raise
                trouble = error
                continue
            if index != first:
                _answered[self._url] = index
            return response
        raise trouble

    def _post(self, url, body, timeout, method):
        options = {
            "headers": self._headers(),
            "timeout": urllib3.Timeout(connect=timeout[0], read=timeout[1]),
            "retries": False,
            "redirect": False,
        }
        if method in ONCE:
            fresh = Peer(url, self._token, _bundle())
            try:
                return fresh.post(body, **options)
            finally:
                fresh.close()
        peer = kept_peer(url, self._token, _bundle())
        try:
            return peer.post(body, **options)
        except SidecarUnreachable as error:
            if not isinstance(error.__cause__, ProtocolError):
                raise
            # the sidecar closed a kept connection in the moment we took it up
            return peer.post(body, **options)

    def _headers(self):
        headers = {
            "Authorization": f"Bearer {self._token}".encode(),
            "Content-Type": "application/json",
        }
        if self._database:
            headers["X-Odoo-Database"] = " ".join(self._database).encode()
        return headers

    @classmethod
    def _results(cls, response, count):
        answers = cls._read(response, list)
        by_id = {answer.get("id"): answer for answer in answers}
        if set(by_id) != set(range(count)):
            raise SidecarUnreachable(UNUSABLE, _http(response))
        return [
            _as_error(by_id[number]["error"])
            if by_id[number].get("error")
            else by_id[number].get("result")
            for number in range(count)
        ]

    @classmethod
    def _result(cls, response, call_id):
        answer = cls._read(response, dict)
        if not ("result" in answer or "error" in answer):
            raise SidecarUnreachable(NOT_IT, _http(response))
        if answer.get("error"):
            raise _as_error(answer["error"])
        if response.status >= 300 or answer.get("id") != call_id:
            raise SidecarUnreachable(UNUSABLE, _http(response))
        return answer["result"]

    @staticmethod
    def _read(response, kind):
        if response.status in REFUSED:
            raise SidecarUnreachable(REFUSED[response.status], _http(response))
        try:
            answer = json.loads(response.data)
        except ValueError:
            answer = None
        if not isinstance(answer, kind):
            raise SidecarUnreachable(NOT_IT, _http(response))
        return answer


def _http(response):
    return f"HTTP {response.status}"


def _bundle():
    return os.environ.get("REQUESTS_CA_BUNDLE")


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
