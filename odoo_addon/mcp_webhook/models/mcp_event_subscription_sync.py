# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Subscriptions follow to the sidecar, after the commit and never in its way.

`sync_pending` is set by the transaction that changes a subscription, and taken back
in a transaction of its own once the sidecar has answered. Under REPEATABLE READ that
fails when the subscription changed meanwhile, and then the newer version goes: no
lock is needed. What was deleted is remembered in `mcp.webhook.tombstone`.
"""

import logging
import time

import psycopg2

from odoo import api, models
from odoo.exceptions import ValidationError
from odoo.fields import Domain
from odoo.tools import SQL

from ..tools import limits, validation
from ..tools.sidecar import INLINE_TIMEOUT, SidecarError, SidecarUnreachable
from .mcp_event_subscription_success import SUCCESS_FIELDS
from .mcp_webhook_outbox import MAX_SECONDS, in_own_transaction, own_environment

_logger = logging.getLogger(__name__)

# A change of these is a change for the sidecar. `secret_overlap_hours` is none: it goes
# with the next secret.
SYNCED_FIELDS = frozenset(
    {
        "active",
        "approval",
        "dialect",
        "event_type",
        "headers_value",
        "max_attempts",
        "max_in_flight",
        "model_id",
        "name",
        "paused",
        "payload_template",
        "secret_value",
        "timeout_s",
        "user_id",
        "watched_field_ids",
        "webhook_headers",
        "webhook_secret",
        "webhook_url",
        *SUCCESS_FIELDS,
    }
)
# Refusals that say nothing about the subscription: asked again by the sweep.
NOT_ITS_FAULT = frozenset({"fenced", "store_unavailable"})
ONE_BY_ONE = 20  # more pending ones than this go as one complete set, if it fits
SLICE = 200  # of those that go one by one, in a transaction of the sweep
# What one `subscription.sync` may hold; half of what the sidecar takes, but for the count.
TOGETHER = 5000
TOGETHER_BYTES = 8 * 1024 * 1024
TOGETHER_VALUES = 50_000
MAX_NAME_BYTES = 256
SCHEDULED = "mcp_webhook.sync"  # the key in cr.postcommit.data


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    # -- noticing --------------------------------------------------------------------

    def _after_create(self, vals_list):
        self.sudo().sync_pending = True
        self._sync_after_commit()
        return super()._after_create(vals_list)

    def _after_write(self, vals, before):
        if not SYNCED_FIELDS.isdisjoint(vals):
            self.sudo().sync_pending = True
            self._sync_after_commit()
        return super()._after_write(vals, before)

    def unlink(self):
        uuids = self.sudo().mapped("uuid")
        result = super().unlink()
        self.env["mcp.webhook.tombstone"].sudo().create([{"uuid": u} for u in uuids])
        self._sync_after_commit()
        return result

    def _user_came_or_went(self):
        """Their rights determine what is sent. The form says it at once, the sidecar is
        told when it answers."""
        self._flag_fault()
        self.sync_pending = True
        self._sync_after_commit()

    def _sync_after_commit(self):
        postcommit = self.env.cr.postcommit
        if self and not postcommit.data.get(SCHEDULED):
            postcommit.data[SCHEDULED] = True
            registry = self.env.registry
            postcommit.add(lambda: registry[self._name]._sync_inline(registry))

    @classmethod
    def _sync_inline(cls, registry):
        """Somebody waits: one short try, and never an exception."""
        try:
            for _try in range(3):
                try:
                    with own_environment(registry) as env:
                        env[cls._name]._sync_quickly()
                    return
                except psycopg2.errors.SerializationFailure:
                    continue  # changed meanwhile: send the newer version
        except Exception:
            _logger.exception("Event subscriptions wait for the sweep")

    @api.model
    def _sync_quickly(self):
        access = self.env["mcp.webhook.sidecar"]
        try:
            access._try(lambda c: self._push_pending(c, ONE_BY_ONE), INLINE_TIMEOUT)
        except (SidecarUnreachable, SidecarError) as error:
            _logger.info("Event subscriptions wait for the sweep: %s", error)

    # -- sending ---------------------------------------------------------------------

    @classmethod
    def _bring(cls, registry):
        """Bring to the sidecar what it does not know yet, in transactions of their own;
        after `MAX_SECONDS` the rest waits for the next sweep.

        :raise SidecarUnreachable, SidecarError: the rest stays pending
        """
        end = time.monotonic() + MAX_SECONDS
        more = True
        while more and time.monotonic() < end:
            more = in_own_transaction(registry, lambda env: env[cls._name]._sync_dirty())

    @api.model
    def _sync_dirty(self):
        """As much of it as one transaction holds; free when there is nothing.

        :return: whether there is more
        :raise SidecarUnreachable, SidecarError: the rest stays pending
        """
        if self._pending_sync() or self.env["mcp.webhook.tombstone"].search([], limit=1):
            client = self.env["mcp.webhook.sidecar"]._client()
            return self._push_pending(client, SLICE)
        return False

    @api.model
    def _sync_all(self):
        """Replace the sidecar's set by ours (`subscription.sync`).

        :raise SidecarUnreachable, SidecarError: nothing is known to have changed
        """
        client = self.env["mcp.webhook.sidecar"]._client()
        if self._fits_in_one_call():
            self._push_all(client)
        else:
            self._push_each(client)

    @api.model
    def _pending_sync(self):
        everything = self.sudo().with_context(active_test=False)
        return everything.search([("sync_pending", "=", True)])

    @api.model
    def _push_pending(self, client, most):
        """:param most: how many at once of those that go one by one
        :return: whether there is more
        """
        pending = self._pending_sync()
        tombstones = self.env["mcp.webhook.tombstone"].search(Domain.TRUE)
        count = len(pending) + len(tombstones)
        if not count:
            return False
        self.env["mcp.webhook.sidecar"]._introduce(client)
        if count > ONE_BY_ONE and self._fits_in_one_call():
            self._push_all(client)
            return False
        gone = tombstones[:most]
        for tombstone in gone:
            _delete(client, tombstone.uuid)
            tombstone.unlink()
        for subscription in pending[: most - len(gone)]:
            subscription._push(client)
        return count > most

    @api.model
    def _fits_in_one_call(self):
        """Judged by the stored texts, generously: brackets, commas and colons bound the
        number of values."""
        self.env.flush_all()
        ((count, size, values),) = self.env.execute_query(
            SQL(
                """SELECT count(*),
                          COALESCE(sum(1024 + octet_length(webhook_url)
                                       + octet_length(COALESCE(headers_value, ''))
                                       + octet_length(template)), 0),
                          COALESCE(sum(length(template)
                                       - length(translate(template, '[{,:', ''))), 0)
                     FROM (SELECT *, COALESCE(payload_template, '') AS template
                             FROM mcp_event_subscription) s
                    WHERE webhook_url != '' AND is_gone IS NOT TRUE"""
            )
        )
        return count <= TOGETHER and size <= TOGETHER_BYTES and values <= TOGETHER_VALUES

    @api.model
    def _push_each(self, client):
        """More than one call holds: each alone, then what is not ours goes. That the set is
        complete is said by one whose only entry is refused and names no id, for such a one
        changes and deletes nothing."""
        everything = self.sudo().with_context(active_test=False).search(Domain.TRUE)
        before = {s.id: s.write_date for s in everything}
        for subscription in everything:
            subscription._push(client)
        for uuid in self._without_ours(client.ids() - set(everything.mapped("uuid"))):
            _delete(client, uuid)
        self._mark_newer(before)
        client.sync([{}])
        self.env["mcp.webhook.tombstone"].search(Domain.TRUE).unlink()

    @api.model
    def _without_ours(self, uuids):
        """Those of no subscription as it is stored now. Many have been pushed since this
        transaction began, and what was saved meanwhile has been brought there at once."""
        if not uuids:
            return uuids
        with own_environment(self.env.registry) as env:
            everything = env[self._name].with_context(active_test=False)
            return uuids - set(
                everything.search([("uuid", "in", [*uuids])]).mapped("uuid")
            )

    def _push(self, client):
        """Bring one subscription to the sidecar; its refusal becomes `sync_error`."""
        self.ensure_one()
        features = self.env["mcp.webhook.sidecar"]._sidecar_features(client)
        told = {}
        try:
            if not self.webhook_url:
                _delete(client, self.uuid)
            else:
                values, refusal = self._wire(features)
                if refusal:
                    self._note_sync(refusal)
                    self._hold_there(client)
                    return
                told = _update_or_create(client, values)
        except SidecarError as error:
            if error.kind == "fenced":
                self.env["mcp.webhook.sidecar"]._forget_introduction()
            if error.kind in NOT_ITS_FAULT:
                raise
            self._note_sync(self._refusal_of(error))
            self._hold_there(client)
        else:
            self._note_sync()
            self._note_previous_secret(told)

    @api.model
    def _push_all(self, client):
        everything = self.sudo().with_context(active_test=False).search(Domain.TRUE)
        tombstones = self.env["mcp.webhook.tombstone"].search(Domain.TRUE)
        features = self.env["mcp.webhook.sidecar"]._sidecar_features(client)
        before = {s.id: s.write_date for s in everything}
        wired = {s: s._wire(features) for s in everything.filtered("webhook_url")}
        # an entry that says nothing but its id is refused, and keeps what is stored there
        answer = client.sync([v or {"id": s.uuid} for s, (v, _no) in wired.items()])
        self._mark_newer(before)
        refused = {entry["id"]: entry["error"] for entry in answer["errors"]}
        for subscription in everything:
            _values, refusal = wired.get(subscription, (None, None))
            error = refused.get(subscription.uuid)
            if error and not refusal:
                refusal = {"message": error["message"], **(error.get("data") or {})}
            if refusal:
                subscription._hold_there(client)
            subscription._note_sync(refusal)
        everything._ask_previous_secrets(client)
        tombstones.unlink()

    @api.model
    def _mark_newer(self, before):
        """What was saved since this transaction began has been brought there already, and
        was just replaced or deleted by the older set: the newer is to go once more. None of
        these rows has been written here: whoever is late at one begins anew.

        :param before: `{id: write_date}` as this transaction began
        """
        name = self._name

        def mark(env):
            now = env[name].with_context(active_test=False).search(Domain.TRUE)
            newer = now.filtered(lambda s: before.get(s.id) != s.write_date)
            newer.filtered(lambda s: not s.sync_pending).sync_pending = True

        in_own_transaction(self.env.registry, mark)

    def _hold_there(self, client):
        """What the sidecar has of it goes by an older version: that waits, too."""
        try:
            client.update(self.uuid, paused=True)
        except SidecarError as error:
            if error.kind in NOT_ITS_FAULT:
                raise

    def _is_served(self):
        """Whether the sidecar should know it; False for none."""
        stored = self.sudo()
        return bool(stored.active and stored.webhook_url and not stored.is_gone)

    def _is_held(self):
        """Whether its events wait, whatever its endpoint does; False for none."""
        stored = self.sudo()
        waits = stored.paused or stored.approval == "waiting"
        return bool(stored) and (waits or not stored.user_id.active)

    def _wire(self, features):
        """`(values, None)`, or `(None, refusal)`: what was stored before there were limits,
        and no sidecar could take, must not keep all others from it; nor must what this one
        does not know."""
        try:
            values = self._sidecar_values(features)
            if self.sudo().approval == "waiting":
                # nothing of it is sent, and what nobody has seen takes no room there
                values["payload_template"] = None
            return values, None
        except ValidationError as error:
            return None, {"message": error.args[0]}
        except SidecarError as error:
            return None, self._refusal_of(error)

    def _sidecar_values(self, features):
        """The contract's subscription object, complete: also the secret and headers.

        One that waits for approval, or whose user is archived, is paused: nothing
        leaves, nothing is lost.

        :param features: what this sidecar takes beyond the first version
        :raise SidecarError: it is too old for this subscription
        """
        self.ensure_one()
        stored = self.sudo()
        limits.check(self.env, "webhook_url", stored.webhook_url, limits.URL)
        limits.check(self.env, "webhook_secret", stored.secret_value, limits.WORD)
        name = (stored.name or f"{stored.model_name} {stored.event_type}").encode()
        return {
            "id": stored.uuid,
            "name": name[:MAX_NAME_BYTES].decode(errors="ignore"),
            "model": stored.model_name,
            "event_type": stored.event_type,
            "url": stored.webhook_url,
            "secret": stored.secret_value or None,
            "headers": stored._headers(),
            "payload_template": validation.parse_template(
                self.env, "payload_template", stored.payload_template
            ),
            "dialect": stored.dialect,
            "active": stored.active,
            "paused": stored._is_held(),
            "timeout_s": stored.timeout_s,
            "max_in_flight": stored.max_in_flight,
            "max_attempts": stored.max_attempts,
            **self._newer_values(features),
        }

    # -- the outcome -----------------------------------------------------------------

    def _note_sync(self, refusal=None):
        """:param refusal: why the sidecar does not take it, as data; None: it did"""
        values = {
            "sync_pending": False,
            "refusal": refusal or False,
            "is_refused": bool(refusal),
            "is_faulty": bool(self._fault(is_thorough=True)),
        }
        if not refusal:
            values["is_elsewhere"] = False
        stored = self.sudo()
        changed = {name: v for name, v in values.items() if stored[name] != v}
        if changed:
            self.sudo().with_context(tracking_disable=True).write(changed)


def _update_or_create(client, values):
    """:return: the subscription as the sidecar has it now"""
    changes = {name: value for name, value in values.items() if name != "id"}
    try:
        return client.update(values["id"], **changes)
    except SidecarError as error:
        if error.kind != "not_found":
            raise
        return client.add(values)


def _delete(client, uuid):
    try:
        client.delete(uuid)
    except SidecarError as error:
        if error.kind != "not_found":
            raise
