# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A subscription, a scripted sidecar, and what a commit does short of committing."""

import json
import uuid
from contextlib import closing
from unittest.mock import patch

from odoo.exceptions import AccessError, UserError
from odoo.tests import TransactionCase

from ..models import mcp_webhook_sidecar
from ..tools.sidecar import Sidecar, SidecarError, SidecarUnreachable

FEATURES = (
    "delivery.cancel",
    "delivery.changes.exchange",
    "delivery.redeliver_many.event_ids",
    "delivery.retry_now",
    "delivery.test.new_secret",
    "dialect.google_chat",
    "event.submit.accepted_to",
    "healthz.proof",
    "subscription.check",
    "subscription.keep_previous_s",
    "subscription.keep_previous_s.end",
    "subscription.success",
    "system.attach.instance",
    "system.attach.seen",
)


class ScriptedSidecar:
    """Answers calls from memory, as the contract says.

    :ivar calls: `[(method, params)]`, all that were made
    :ivar events: `{event id: event}`, accepted ones
    :ivar feed: attempts that `delivery.changes` hands out, in order
    :ivar features: what `system.info` names
    :ivar refusals: `{event id or method: (kind, message)}`
    :ivar down: when set, nothing answers
    """

    def __init__(self):
        self.calls = []
        self.events = {}
        self.feed = []
        self.refusals = {}
        self.log_id = str(uuid.uuid4())
        self.features = set(FEATURES)
        self.accepted_to = 0
        self.down = False
        self.requests = 0

    def methods(self):
        return [method for method, _params in self.calls]

    def last(self, method):
        """The parameters of the newest call of a method."""
        return [params for name, params in self.calls if name == method][-1]

    def answer(self, method, params):
        params = params or {}
        self.calls.append((method, params))
        if self.down:
            raise SidecarUnreachable("The sidecar did not answer in time.")
        if method in self.refusals:
            kind, message = self.refusals[method]
            raise SidecarError(1, kind, message)
        handler = getattr(self, "on_" + method.replace(".", "_"), None)
        return handler(**params) if handler else {}

    def answer_many(self, method, each):
        """One request, as far as `requests` counts them."""
        self.requests += 1
        answers = []
        for params in each:
            try:
                answers.append(self.answer(method, params))
            except SidecarError as error:
                answers.append(error)
        return answers

    def on_system_attach(self, **_params):
        return {"log_id": self.log_id, "version": "1.0.0", **self.count()}

    def count(self):
        if "event.submit.accepted_to" not in self.features:
            return {}
        return {"accepted_to": str(self.accepted_to)}

    def on_system_info(self):
        return {
            "version": "1.0.0",
            "log_id": self.log_id,
            "uptime_s": 1,
            "pending": 0,
            "retention_days": 30,
            "features": sorted(self.features),
        }

    def on_subscription_sync(self, subscriptions):
        return {"created": len(subscriptions), "updated": 0, "deleted": 0, "errors": []}

    def on_subscription_list(self, after=None, limit=100):
        return {"subscriptions": [], "next": None}

    def on_event_submit(self, events):
        return {"results": [self._accept(event) for event in events], **self.count()}

    def _accept(self, event):
        refusal = self.refusals.get(event["id"]) or self.refusals.get("*")
        if refusal:
            error = {"code": 1, "message": refusal[1], "data": {"kind": refusal[0]}}
            return {"event_id": event["id"], "status": "rejected", "error": error}
        status = "duplicate" if event["id"] in self.events else "accepted"
        self.events[event["id"]] = event
        self.accepted_to += 1
        return {"event_id": event["id"], "status": status}

    def on_delivery_changes(self, after, limit=100, exchange=False):
        if after and not after.startswith(self.log_id):
            raise SidecarError(1, "stale_cursor", "The cursor is of another log.")
        start = int(after.rsplit("/")[-1]) if after else 0
        attempts = self.feed[start : start + limit]
        end = start + len(attempts)
        return {
            "attempts": attempts,
            "cursor": f"{self.log_id}/{end}",
            "more": end < len(self.feed),
            "log_id": self.log_id,
        }

    def on_template_preview(self, **_params):
        return {"payload": '{"text":"preview"}'}

    def newest(self, event_id):
        known = [a for a in self.feed if a["event_id"] == event_id]
        if not known:
            raise SidecarError(1, "not_found", "no such event")
        return max(known, key=lambda attempt: attempt["attempt"])

    def on_delivery_redeliver_many(self, subscription_id, event_ids, dry_run=False):
        count = skipped = 0
        for event_id in event_ids:
            try:
                status = self.newest(event_id)["status"]
            except SidecarError:
                continue
            skipped += status == "success"
            if status == "failed":
                self.on_delivery_redeliver(event_id)
                count += 1
        return {"count": count, "skipped": skipped}

    def on_delivery_redeliver(self, event_id):
        last = self.newest(event_id)["attempt"]
        self.attempt(event_id, attempt=last + 1, trigger="manual", status="pending")
        return self.feed[-1]

    def attempt(self, event_id, **values):
        """Append an attempt to the feed; a success unless `values` say otherwise."""
        event = self.events.get(event_id, {})
        self.feed.append(
            {
                "event_id": event_id,
                "subscription_id": event.get("subscription_id"),
                "attempt": 1,
                "trigger": "event",
                "status": "success",
                "response_code": 200,
                "payload": '{"hello":"world"}',
                "response_body": "ok",
                "response_truncated": False,
                "error": None,
                "created_at": "2026-01-02T03:04:05.678Z",
                "finished_at": "2026-01-02T03:04:06.789Z",
                "duration_ms": 12,
                "next_attempt_at": None,
                **values,
            }
        )


class WebhookCase(TransactionCase):
    """Subscriptions on partners; every call to the sidecar goes to `self.sidecar`."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.Partner = cls.env["res.partner"]
        cls.Delivery = cls.env["mcp.webhook.delivery"]
        cls.Outbox = cls.env["mcp.webhook.outbox"]
        cls.Mirror = cls.env["mcp.webhook.mirror"]
        cls.admin = cls.env.ref("base.user_admin")
        set_param = cls.env["ir.config_parameter"].set_param
        set_param("mcp_webhook.sidecar_token", "a-token-for-tests")
        set_param("mcp_webhook.sidecar_url", "http://127.0.0.1:8170")
        cls.env["mcp.webhook.binding"]._become_production()

    def setUp(self):
        super().setUp()
        self.sidecar = ScriptedSidecar()
        self.patch(
            Sidecar,
            "call",
            lambda _client, method, params=None, timeout=None: self.sidecar.answer(
                method, params
            ),
        )
        self.patch(
            Sidecar, "call_many", lambda _client, *args: self.sidecar.answer_many(*args)
        )
        self.startPatcher(patch.dict(mcp_webhook_sidecar._open_until, clear=True))
        for kept in ("_introduced", "_features", "_bound_until"):
            self.startPatcher(patch.dict(getattr(mcp_webhook_sidecar, kept), clear=True))
        # what the test before has left with the registry was rolled back since
        self.env["mcp.event.subscription"]._forget_watched_here()
        self.env.cr.postcommit.clear()

    def subscribe(self, model="res.partner", **values):
        """A subscription of the administrator, ready to fire; nothing is captured of
        its making, or of what was before."""
        self.commit()
        watched = values.pop("watched", ())
        model_id = self.env["ir.model"]._get_id(model)
        names = [("model_id", "=", model_id), ("name", "in", list(watched))]
        subscription = self.env["mcp.event.subscription"].create(
            {
                "model_id": model_id,
                "user_id": self.admin.id,
                "webhook_url": "https://example.com/hook",
                "watched_field_ids": [
                    (6, 0, self.env["ir.model.fields"].search(names).ids)
                ],
                **values,
            }
        )
        self.commit()
        self.sidecar.calls.clear()
        return subscription

    def rows(self, subscription, **where):
        """The subscription's delivery rows, oldest first, after the decision."""
        self.env.cr.flush()
        domain = [("subscription_id", "=", subscription.id)]
        domain += [(name, "=", value) for name, value in where.items()]
        return self.Delivery.search(domain, order="id")

    def events(self, subscription):
        """The events of the subscription's rows, as they will be submitted."""
        return [json.loads(row.event) for row in self.rows(subscription) if row.event]

    def fired(self, subscription):
        """`[(event type, record ids)]`"""
        return [(e["event_type"], e["record_ids"]) for e in self.events(subscription)]

    def assertRefused(self, call):
        """Odoo's own `assertRaises` takes one class; here any refusal is as good."""
        try:
            with self.cr.savepoint():
                call()
        except (AccessError, UserError, ValueError):
            return
        self.fail("not refused")

    def commit(self):
        """Everything a commit does but the commit itself."""
        self.env.cr.flush()
        with self.enter_registry_test_mode():
            self.env.cr.postcommit.run()

    def pull(self):
        with self.enter_registry_test_mode():
            return self.env["mcp.webhook.mirror"]._pull_quietly()

    def sweep(self):
        """The minute's sweep, in which every waiting row counts as old enough."""
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE mcp_webhook_delivery SET create_date = create_date - interval '1 h'"
        )
        with self.enter_registry_test_mode():
            self.env["mcp.webhook.mirror"]._sweep()

    def allow_time(self):
        """What is patched within ends with it."""
        return closing(_Patches(self))


class _Patches:
    """Patches of one test that end before it."""

    def __init__(self, case):
        self._case, self._patch = case, case.patch
        self._started = []
        case.patch = self._start

    def _start(self, *args):
        patcher = patch.object(*args)
        patcher.start()
        self._started.append(patcher)

    def close(self):
        for patcher in self._started:
            patcher.stop()
        self._case.patch = self._patch
