# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Whose word it is that a subscription may send: the list of allowed hosts, or a
manager who has seen it. The list's word holds as long as the host stands there."""

import json

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL
from odoo.tools.misc import hmac

from ..tools.allowed_hosts import is_allowed
from ..tools.origin import origin

# What a manager approves: a change of these is a change of what leaves, where to, or
# with whose credentials. What counts as a success is none of it (`SUCCESS_FIELDS`), nor how
# long a secret that was approved goes on signing.
DECISIVE_FIELDS = frozenset(
    {
        "company_id",
        "count_recomputed",
        "dialect",
        "domain",
        "enrich_fields",
        "event_type",
        "headers_value",
        "include_own_changes",
        "model_name",
        "on_demand",
        "payload_template",
        "secret_value",
        "user_id",
        "watched_field_ids",
        "webhook_url",
    }
)
ALLOWED_HOSTS = "mcp_webhook.allowed_hosts"
# Who set a credential, by the field through which it was set.
SEALED_BY = {"webhook_secret": "secret_by_id", "webhook_headers": "headers_by_id"}


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    by_allowed_host = fields.Boolean(
        readonly=True,
        copy=False,
        help="It sends because its host is allowed, not because a manager said so.",
    )
    secret_by_id = fields.Many2one(
        "res.users", readonly=True, copy=False, groups=fields.NO_ACCESS
    )
    headers_by_id = fields.Many2one(
        "res.users", readonly=True, copy=False, groups=fields.NO_ACCESS
    )
    content_digest = fields.Char(compute="_compute_content_digest")
    approval_request = fields.Char(compute="_compute_approval_request")

    def _compute_approval_request(self):
        for subscription in self:
            subscription.approval_request = subscription.approval == "waiting" and (
                self.env._(
                    "%(user)s wants these events sent to %(host)s, and needs your "
                    "approval: the host is not among the allowed ones, or the subscription "
                    "has a secret or headers. Nothing is sent until you approve. Look at "
                    "the filter, the address and the preview below: that is what would "
                    "leave.",
                    user=subscription.user_id.name,
                    host=subscription.endpoint_host,
                )
            )

    def _compute_content_digest(self):
        """What an approval is for: everything that decides what leaves, and where to."""
        for subscription in self:
            subscription.content_digest = subscription._digest()

    def _digest(self):
        """Keyed: who knows the rest must not be able to guess a secret by it."""
        self.ensure_one()
        stored = self.sudo()
        values = [stored[name] for name in sorted(DECISIVE_FIELDS)]
        plain = [v.ids if isinstance(v, models.BaseModel) else v for v in values]
        return hmac(stored.env, "mcp_webhook.approval", json.dumps(plain))

    def _after_create(self, vals_list):
        for subscription, vals in zip(self, vals_list, strict=True):
            subscription._note_who_sealed(vals)
        return super()._after_create(vals_list)

    def _before_write(self, vals):
        # what the AI's door writes, as superuser, is settled there
        by_hand = not self.env.su
        digests = {s: s._digest() for s in self if by_hand and s._has_credentials()}
        return {**super()._before_write(vals), "digests": digests}

    def _after_write(self, vals, before):
        self._note_who_sealed(vals)
        if "webhook_url" in vals and not self.env.su:
            # a manager's own word about the address
            self.filtered("by_allowed_host").sudo().by_allowed_host = False
        for subscription, digest in before["digests"].items():
            changed = subscription._digest() != digest
            if changed and subscription._carries_credentials_of_others():
                subscription._note_approval("waiting", by_list=False)
        return super()._after_write(vals, before)

    def _has_credentials(self):
        stored = self.sudo()
        return bool(stored.secret_value or stored.headers_value)

    def _note_who_sealed(self, vals):
        for given, kept in SEALED_BY.items():
            if given in vals:
                self.sudo()[kept] = self.env.user if vals[given] else False

    def _carries_credentials_of_others(self):
        """Whether what somebody else has set goes along with what this user writes."""
        stored = self.sudo()
        owners = {
            owner or stored.create_uid
            for value, owner in (
                (stored.secret_value, stored.secret_by_id),
                (stored.headers_value, stored.headers_by_id),
            )
            if value
        }
        return not owners <= {self.env.user}

    def action_approve(self):
        """What an AI subscribed for a user may leave from now on.

        The form passes the digest of what it shows. The row is locked before it is
        compared: an edit that commits first makes this transaction begin anew, one that
        comes later asks again.

        :raise UserError: it is not any more what the manager has seen, or nothing was
        """
        self.check_access("write")
        if origin()[1]:
            raise UserError(
                self.env._(
                    "A program cannot approve: open the subscription in Odoo, look at what "
                    "would leave, then approve there."
                )
            )
        seen = self.env.context.get("mcp_webhook_seen")
        self._lock_rows()
        waiting = self.filtered(lambda s: s.approval == "waiting")
        if waiting and not seen:
            raise UserError(
                self.env._(
                    "Nobody has looked at it yet, so nothing is approved: open the "
                    "subscription, look at what would leave, then approve there."
                )
            )
        if any(s._digest() != seen for s in waiting):
            raise UserError(
                self.env._(
                    "It was changed while you looked at it. Nothing is approved: reload "
                    "the page, look again, then approve."
                )
            )
        waiting.sudo().write({"approval": "approved", "by_allowed_host": False})

    def _lock_rows(self):
        self.env.flush_all()
        self.env.execute_query(
            SQL(
                "SELECT id FROM mcp_event_subscription WHERE id = ANY(%s) "
                "ORDER BY id FOR NO KEY UPDATE",
                self.ids,
            )
        )
        self.invalidate_recordset()

    # -- after a call through the AI's door --------------------------------------------

    def _settle_approval(self):
        """Nobody but a manager opens a new way out of the house, or speaks with
        credentials that are not theirs; and a manager's AI approves only what is all
        the manager's own, for nobody has looked at the rest."""
        self.ensure_one()
        manager = self._is_manager()
        foreign = self._carries_credentials_of_others()
        mine = self.create_uid == self.env.user == self.user_id and not foreign
        waits = self.approval == "waiting"
        if manager and mine:
            if waits:
                self._note_approval("approved", by_list=False)
            return
        sealed = self.secret_value or self.headers_value
        if not self.webhook_url:
            self._note_approval("none", by_list=False)
        elif foreign or (sealed and (waits or not manager)) or not self._is_allowed():
            self._note_approval("waiting", by_list=False)
        else:
            self._note_approval("none", by_list=True)

    def _is_allowed(self):
        """As the list is stored now: a cache may be older."""
        stored = self.env["ir.config_parameter"].sudo()
        stored = stored.search_fetch([("key", "=", ALLOWED_HOSTS)], ["value"])
        return is_allowed(self.webhook_url, stored.value)

    def _note_approval(self, approval, by_list):
        if approval == "waiting" != self.approval:
            self._message_log(
                body=self.env._("Waits for a manager's approval: nothing is sent.")
            )
        values = {"approval": approval, "by_allowed_host": by_list}
        changed = {name: v for name, v in values.items() if self[name] != v}
        if changed:
            self.sudo().write(changed)

    # -- as long as the host stands there ----------------------------------------------

    @api.model
    def _hold_to_allowed_hosts(self):
        """What sends because of the list alone waits once its address is not there."""
        everything = self.sudo().with_context(active_test=False)
        for subscription in everything.search([("by_allowed_host", "=", True)]):
            if not subscription._is_allowed():
                subscription._note_approval("waiting", by_list=False)
