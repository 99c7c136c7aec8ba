# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What an API key has made: its own changes do not wake it, and a secret that it asked for
is for a manager's eyes alone."""

import base64
import secrets

from odoo import api, fields, models

from ..tools import limits, validation

SECRET_BYTES = 32


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    key_id = fields.Integer(
        readonly=True, copy=False, aggregator=None, groups=fields.NO_ACCESS
    )
    include_own_changes = fields.Boolean(
        tracking=True,
        help="What was made with an API key does not fire at changes that come with this "
        "same key, or a program would answer itself for ever. With this, it does.",
    )
    has_generated_secret = fields.Boolean(
        readonly=True,
        copy=False,
        help="The signing secret was made here, and its receiver must be given it.",
    )

    def _generate_secret(self):
        """A new signing secret; who asked for it never sees it."""
        self.ensure_one()
        key = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        self.webhook_secret = f"whsec_{key}"
        self.sudo().has_generated_secret = True

    def _forget_generated_secrets(self):
        """What somebody types is not ours to show."""
        self.filtered("has_generated_secret").sudo().has_generated_secret = False

    def action_show_secret(self):
        """For whoever must give it to the receiver."""
        self.ensure_one()
        self.check_access("write")
        return self._dialog("mcp.webhook.secret", self.env._("Generated Secret"), {})

    @api.model
    def _own_key_values(self):
        return {"key_id": self.env["mcp.webhook.connection"]._key_id()}

    def _check_connection_room(self):
        """The connection's own limit, where a manager has set one."""
        connection = self.env["mcp.webhook.connection"].sudo()
        connection = connection.search(
            [("user_id", "=", self.env.uid), ("key_id", "=", self.sudo().key_id)]
        )
        most = connection.max_subscriptions
        if most and len(connection._subscriptions()) > most:
            validation.refuse(
                "model",
                self.env._(
                    "with this one the connection would have more than %(most)s "
                    "subscriptions. Remove one that you do not need first. "
                    "Example: unsubscribe_events(%(id)s).",
                    most=most,
                    id=(connection._subscriptions() - self)[:1].id,
                ),
            )


def check_flag(env, label, value):
    """:raise ValidationError: it is neither true nor false"""
    limits.check(env, label, value, limits.WORD)
    if value is not None and not isinstance(value, bool):
        validation.refuse(label, env._("expected true or false. Example: true."))
    return bool(value)
