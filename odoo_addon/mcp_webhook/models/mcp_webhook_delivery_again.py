# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The buttons of a delivery: once more, now, not at all."""

import json
from dataclasses import dataclass, field

from odoo import api, models
from odoo.exceptions import UserError

from ..tools.payload import BrokenSubscription
from ..tools.sidecar import MAX_IDS, SidecarError, SidecarUnreachable
from ..tools.translated import translated
from ..tools.words import _lt, detailed
from .mcp_webhook_outbox import in_own_transaction

AT_ONCE = 200  # rows in one transaction
MANY = "delivery.redeliver_many.event_ids"


@dataclass
class Outcome:
    """What became of a selection; `refused` are reasons, one for each event."""

    sent: int = 0
    skipped: int = 0
    refused: list = field(default_factory=list)


class McpWebhookDelivery(models.Model):
    _inherit = "mcp.webhook.delivery"  # pylint: disable=consider-merging-classes-inherited

    # -- once more -------------------------------------------------------------------

    def action_redeliver(self):
        """Send the events of the finished rows once more, each event once.

        What was delivered since is skipped; only a single row that is a success itself is
        sent again. An event that the sidecar has goes out from there; one that ended in
        Odoo is submitted again, or built again where nothing is left to submit.
        """
        self._check_manager()
        return self._redeliver()

    def _redeliver(self):
        finished = self._finished()
        if not finished:
            raise UserError(self.env._("These deliveries are pending: wait for them."))
        # what the sidecar has delivered a moment ago counts, too
        self.env["mcp.webhook.mirror"].sudo()._pull_quietly()
        alone = len(self) == 1
        outcome = Outcome()
        rows = finished
        if not (alone and self.status == "success"):
            delivered = self.browse(
                in_own_transaction(
                    self.pool, lambda env: finished.with_env(env)._delivered_since().ids
                )
            )
            outcome.skipped = len(delivered)
            rows -= delivered
        here = rows.filtered("failed_in_odoo")
        here._send_from_odoo(outcome)
        (rows - here)._send_from_sidecar(outcome, alone)
        self.env["mcp.webhook.mirror"].sudo()._pull_quietly()
        if outcome.refused and not outcome.sent and not outcome.skipped:
            raise UserError("\n".join(self._reasons(outcome.refused)))
        return self._redelivered(outcome.sent, outcome.refused, outcome.skipped)

    def action_ask_redeliver(self):
        """The count first, for a selection."""
        self._check_manager()
        dialog = self.env["mcp.webhook.again"].create(
            {"delivery_ids": [(6, 0, self.ids)]}
        )
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Redeliver"),
            "res_model": dialog._name,
            "res_id": dialog.id,
            "views": [(False, "form")],
            "target": "new",
        }

    def _finished(self):
        """The newest finished row of each event."""
        done = self.filtered(lambda delivery: delivery.status != "pending")
        return done._one_of_each_event()

    def _delivered_since(self):
        """Those whose event the endpoint has taken, with this attempt or a later one."""
        taken = {
            row.event_uuid: row.attempt
            for row in self.search(
                [
                    ("event_uuid", "in", self.mapped("event_uuid")),
                    ("status", "=", "success"),
                ],
                order="attempt",
            )
        }
        return self.filtered(lambda row: taken.get(row.event_uuid, 0) >= row.attempt)

    def _one_of_each_event(self):
        newest = {delivery.event_uuid: delivery.id for delivery in self.sorted("attempt")}
        return self.browse(newest.values())

    # -- from Odoo -------------------------------------------------------------------

    def _send_from_odoo(self, outcome):
        """The sidecar has never had these events."""
        for start in range(0, len(self), AT_ONCE):
            rows = self[start : start + AT_ONCE]
            sent, refused = in_own_transaction(
                self.pool, lambda env, r=rows: r.with_env(env)._wait_again()
            )
            outcome.sent += sent
            outcome.refused += refused
        if self:
            self.invalidate_recordset()
            self._submit_now(self.subscription_id)

    def _wait_again(self):
        """Rows that ended in Odoo wait for the sidecar again.

        :return: how many, and why others do not
        """
        self.env["mcp.webhook.mirror"]._lock()
        refused, waiting = [], self.browse()
        for delivery in self.exists().filtered("failed_in_odoo"):
            try:
                event = delivery._event_to_submit()
            except BrokenSubscription as error:
                refused.append(error.broken.message)
                continue
            delivery.write(
                {
                    "event": event,
                    "event_uuid": json.loads(event)["id"],
                    "status": "pending",
                    "failed_in_odoo": False,
                    "error_kind": False,
                    "error_message": False,
                    "finished_at": False,
                }
            )
            waiting |= delivery
        self.env["mcp.webhook.outbox"].create(
            [{"delivery_id": delivery.id} for delivery in waiting]
        )
        self._mirror_badges(waiting)
        return len(waiting), refused

    @api.model
    def _submit_now(self, subscriptions):
        outbox = self.pool["mcp.webhook.outbox"]
        outbox._submit_after_commit(self.pool, subscriptions.ids, ())

    # -- from the sidecar ------------------------------------------------------------

    def _send_from_sidecar(self, outcome, alone):
        if not self:
            return
        access = self.env["mcp.webhook.sidecar"].sudo()
        try:
            client = access._client()
            access._introduce(client)
            if alone or MANY not in access._sidecar_features(client):
                self._redeliver_each(client, outcome)
            else:
                self._redeliver_many(client, outcome)
        except SidecarUnreachable as error:
            if outcome.sent or outcome.skipped:
                outcome.refused.append(error.reason)
                return
            raise UserError(
                self.env._(
                    "Nothing was sent again. %(reason)s",
                    reason=translated(self.env, error.reason),
                )
            ) from error
        except SidecarError as error:
            raise UserError(self._refusal(error)) from error

    def _redeliver_each(self, client, outcome):
        forgotten = self.browse()
        for delivery in self:
            try:
                client.redeliver(delivery.event_uuid)
                outcome.sent += 1
            except SidecarError as error:
                if error.kind == "not_found":
                    forgotten |= delivery
                else:
                    outcome.refused.append(self._refusal(error))
        forgotten._build_anew(outcome)

    def _redeliver_many(self, client, outcome):
        """One call for each subscription and 1000 events."""
        for subscription, rows in self.grouped("subscription_id").items():
            if not subscription:
                gone = SidecarError(1, "inactive", "")
                outcome.refused += [self._refusal(gone)] * len(rows)
                continue
            for start in range(0, len(rows), MAX_IDS):
                part = rows[start : start + MAX_IDS]
                try:
                    answer = client.redeliver_many(
                        subscription.uuid, event_ids=part.mapped("event_uuid")
                    )
                except SidecarError as error:
                    outcome.refused += [self._refusal(error)] * len(part)
                    continue
                outcome.sent += answer["count"]
                outcome.skipped += answer["skipped"]
                if answer["count"] + answer["skipped"] < len(part):
                    part._build_what_is_missing(outcome)

    def _build_what_is_missing(self, outcome):
        """The sidecar no longer has all of these: the feed says which it sends again."""
        self.env["mcp.webhook.mirror"].sudo()._pull_quietly()
        before = {delivery.event_uuid: delivery.attempt for delivery in self}
        # of what the pull has committed our own transaction sees nothing
        taken = in_own_transaction(
            self.pool,
            lambda env: {
                row.event_uuid
                for row in env[self._name].search([("event_uuid", "in", list(before))])
                if row.status != "failed" or row.attempt > before[row.event_uuid]
            },
        )
        self.filtered(lambda row: row.event_uuid not in taken)._build_anew(outcome)

    def _build_anew(self, outcome):
        """New events of the same records, where the sidecar has forgotten the old ones."""
        for start in range(0, len(self), AT_ONCE):
            rows = self[start : start + AT_ONCE]
            made, refused = in_own_transaction(
                self.pool, lambda env, r=rows: r.with_env(env)._insert_anew()
            )
            outcome.sent += made
            outcome.refused += refused
        if self:
            self._submit_now(self.subscription_id)

    def _insert_anew(self):
        """:return: how many new rows, and why others have none"""
        made, refused = [], []
        for delivery in self:
            try:
                made.append(delivery._new_row())
            except BrokenSubscription as error:
                refused.append(error.broken.message)
        self._insert(made)
        return len(made), refused

    # -- now, or not at all ----------------------------------------------------------

    def action_retry_now(self):
        """What waits is tried at once, wherever it waits."""
        self._check_manager()
        return self._retry_now()

    def _retry_now(self):
        waiting = self._waiting_ones()
        in_odoo = waiting.filtered(lambda delivery: delivery.stage == "odoo")
        held = waiting.filtered(lambda delivery: delivery.subscription_id._is_held())
        refused = []
        if in_odoo:
            self.env["mcp.webhook.sidecar"]._note_success()
            self._sync_now(refused)
            self.pool["mcp.webhook.outbox"]._build_late(self.pool)
            self._submit_now(in_odoo.subscription_id)
        moved = (waiting - in_odoo - held)._ask_each("delivery.retry_now", refused)
        unsure = in_odoo | held
        # of what was committed meanwhile our own transaction sees nothing
        advice = in_own_transaction(
            self.pool, lambda env: unsure.with_env(env)._advice_of_those_not_moved(self)
        )
        return self._moved(moved + len(unsure) - len(advice), refused + advice)

    def _advice_of_those_not_moved(self, reader):
        rows = self.exists().filtered(
            lambda delivery: (
                delivery.status == "pending"
                and (delivery.stage == "odoo" or delivery.subscription_id._is_held())
            )
        )
        return [row.advice for row in rows.with_context(lang=reader.env.lang)]

    def action_cancel(self):
        """What waits is not sent; it stays in the log as failed."""
        self._check_manager()
        waiting = self._waiting_ones()
        reason = detailed(_lt("Somebody cancelled it."), self.env.user.name)
        in_odoo = waiting.filtered(lambda delivery: delivery.stage == "odoo")
        refused = []
        cancelled = self.browse()
        if in_odoo:
            ids = in_own_transaction(
                self.pool, lambda env: in_odoo.with_env(env)._cancel_in_odoo(reason)
            )
            cancelled = self.browse(ids)
        rest = waiting - cancelled
        moved = rest._ask_each("delivery.cancel", refused, reason=reason)
        return self._moved(moved + len(cancelled), refused)

    def _waiting_ones(self):
        waiting = self.filtered(lambda delivery: delivery.status == "pending")
        if not waiting:
            raise UserError(self.env._("None of these deliveries is waiting."))
        return waiting

    def _cancel_in_odoo(self, reason):
        """Rows whose event the sidecar has not accepted; should it have it nevertheless,
        what it tells of them counts."""
        self.env["mcp.webhook.mirror"]._lock()
        outbox = self.env["mcp.webhook.outbox"]
        entries = outbox.search([("delivery_id", "in", self.ids)])
        rows = entries.delivery_id.filtered(lambda delivery: delivery.status == "pending")
        entries.unlink()
        rows._fail("cancelled", reason, in_odoo=True)
        self._mirror_badges(rows)
        return rows.ids

    @api.model
    def _sync_now(self, refused):
        try:
            self.pool["mcp.event.subscription"]._bring(self.pool)
        except SidecarUnreachable as error:
            refused.append(error.reason)
        except SidecarError as error:
            refused.append(self._refusal(error))

    def _ask_each(self, method, refused, **params):
        """:return: how many of these pending deliveries the sidecar moved"""
        moved = 0
        if not self:
            return moved
        access = self.env["mcp.webhook.sidecar"].sudo()
        try:
            client = access._client()
            access._introduce(client)
            if method not in access._sidecar_features(client):
                raise UserError(
                    self.env._("This version of the sidecar cannot do that: upgrade it.")
                )
            each = [{"event_id": row.event_uuid, **params} for row in self]
            for answer in client.call_many(method, each):
                if isinstance(answer, SidecarError):
                    refused.append(self._move_refusal(answer))
                else:
                    moved += 1
        except SidecarUnreachable as error:
            refused.append(error.reason)
        self.env["mcp.webhook.mirror"].sudo()._pull_quietly()
        return moved

    def _move_refusal(self, error):
        texts = {
            "not_found": self.env._("It is not waiting any more."),
            "conflict": self.env._("It is under way just now."),
        }
        return texts.get(error.kind) or self._refusal(error)

    def _moved(self, count, refused):
        if not count and refused:
            raise UserError("\n".join(self._reasons(refused)))
        message = self.env._("Done for %(count)s deliveries.", count=count)
        return self._notification(message, refused)

    # -- words -----------------------------------------------------------------------

    def _check_manager(self):
        self.check_access("read")
        if not self.env.user.has_group("mcp_webhook.group_manager"):
            raise UserError(self.env._("Only a webhook manager can do this."))

    def _redelivered(self, count, refused, skipped=0):
        message = self.env._("%(count)s sent again.", count=count)
        if skipped:
            message += " " + self.env._(
                "%(count)s skipped: delivered since.", count=skipped
            )
        return self._notification(message, refused)

    def _reasons(self, refused):
        return list(dict.fromkeys(translated(self.env, reason) for reason in refused))

    def _notification(self, message, refused):
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "warning" if refused else "success",
                "message": " ".join([message, *self._reasons(refused)]),
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    def _refusal(self, error):
        """The sidecar's no, in words that help."""
        texts = {
            "not_found": self.env._(
                "The sidecar no longer holds this event (it is older than the "
                "retention, or the sidecar's log was replaced)."
            ),
            "conflict": self.env._("An attempt of this event is pending already."),
            "inactive": self.env._(
                "The subscription is archived or gone: restore it, then redeliver."
            ),
            "fenced": self.env._(
                "The sidecar belongs to another database: take it over in the settings."
            ),
        }
        return texts.get(error.kind) or error.message
