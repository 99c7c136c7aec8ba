# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The door of MCP: a connection is a user with an API key. It has a switch and limits, and
each of its calls leaves a row. What a call may do is for the tool's own method to say, with
the caller's rights."""

import inspect
import logging
import re
import time

import psycopg2

from odoo import api, fields, models, tools
from odoo.exceptions import AccessError, UserError

from ..tools import limits, validation
from ..tools.origin import api_key
from .mcp_webhook_outbox import in_own_transaction

_logger = logging.getLogger(__name__)

OFF = "mcp_off"  # parameters
CALLS = "mcp_calls_per_minute"
EVENTS = "mcp_events_per_minute"
DEFAULT_CALLS, DEFAULT_EVENTS = 120, 2000
NAMED = re.compile(r"([a-z_]{1,40}): ")  # how a message names its parameter
# What may be called, by the name that the protocol knows it by; the methods are those of
# the subscription.
TOOLS = (
    "subscribe_events",
    "update_subscription",
    "unsubscribe_events",
    "list_subscriptions",
    "list_models",
    "describe_model",
    "preview_payload",
    "send_test_event",
    "list_deliveries",
    "explain_delivery",
    "explain_no_event",
    "redeliver",
    "retry_now",
    "get_recent_events",
    "poll_events",
    "wait_for_event",
)


class OverLimit(UserError):
    """It calls too often; later it may again."""


class McpWebhookConnection(models.Model):
    _name = "mcp.webhook.connection"
    _description = "MCP Connection"
    _order = "id desc"
    _allow_sudo_commands = False

    name = fields.Char(
        "API Key", readonly=True, help="As its owner named it when making it."
    )
    user_id = fields.Many2one(
        "res.users", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", readonly=True, ondelete="set null")
    key_id = fields.Integer(readonly=True, aggregator=None, groups=fields.NO_ACCESS)
    is_open = fields.Boolean(
        "May Call", default=True, help="Off: every call of it is refused, with words."
    )
    calls_per_minute = fields.Integer(
        aggregator=None, help="0: as many as the settings allow."
    )
    max_subscriptions = fields.Integer(
        aggregator=None,
        help="That it may have at a time. 0: as many as its user may have.",
    )
    call_ids = fields.One2many("mcp.webhook.call", "connection_id", readonly=True)
    call_count = fields.Integer("Calls", compute="_compute_calls")
    last_call = fields.Datetime(compute="_compute_calls")
    subscription_count = fields.Integer(
        "Subscriptions", compute="_compute_subscription_count"
    )

    _key_uniq = models.Constraint("unique(user_id, key_id)")
    _limits_range = models.Constraint(
        "CHECK (calls_per_minute BETWEEN 0 AND 100000"
        " AND max_subscriptions BETWEEN 0 AND 100000)",
        "calls_per_minute, max_subscriptions: expected 0 to 100000. Example: 60.",
    )

    @api.depends("call_ids")
    def _compute_calls(self):
        counted = self.env["mcp.webhook.call"]._read_group(
            [("connection_id", "in", self.ids)],
            ["connection_id"],
            ["__count", "create_date:max"],
        )
        found = {connection.id: (n, last) for connection, n, last in counted}
        for connection in self:
            connection.call_count, connection.last_call = found.get(
                connection.id, (0, False)
            )

    def _compute_subscription_count(self):
        for connection in self:
            connection.subscription_count = len(connection._subscriptions())

    def _subscriptions(self):
        stored = self.sudo()
        everything = self.env["mcp.event.subscription"].sudo()
        everything = everything.with_context(active_test=False)
        return everything.search(
            [("key_id", "=", stored.key_id), ("create_uid", "=", stored.user_id.id)]
        )

    def action_open_calls(self):
        self.ensure_one()
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "mcp_webhook.mcp_webhook_call_action"
        )
        action["domain"] = [("connection_id", "=", self.id)]
        return action

    # -- which key ---------------------------------------------------------------------

    @api.model
    def _key_id(self):
        """The id of the API key that this request came with; 0 for none."""
        uid, index = api_key()
        return self._key_by(uid, index) if uid and index else 0

    @api.model
    @tools.ormcache("uid", "index")
    def _key_by(self, uid, index):
        self.env.cr.execute(
            """SELECT id FROM res_users_apikeys WHERE user_id = %s AND index = %s
             ORDER BY id LIMIT 1""",
            [uid, index],
        )
        found = self.env.cr.fetchone()
        return found[0] if found else 0

    # -- a call ------------------------------------------------------------------------

    @api.model
    def call_tool(self, tool, arguments=None, client=None, is_waiting=False):
        """Call a tool as this user, within the limits of the connection.

        :param tool: one of the tools' names
        :param arguments: an object, by the tool's parameters
        :param client: how the program calls itself
        :param is_waiting: one of many looks of a call that waits: one that finds nothing
            leaves no row
        :return: what the tool returns
        :raise UserError: beginning with the parameter's name
        """
        begun = time.monotonic()
        if not self.env.user._is_internal():
            raise AccessError(self.env._("Only internal users can use the MCP server."))
        gate = self._pass_gate()
        note = {"connection_id": gate["id"], "tool": self._tool_name(tool)}
        note["client"] = client_name(client)
        try:
            self._check_gate(gate)
            result = self._call(tool, arguments)
        except (psycopg2.OperationalError, psycopg2.errors.SerializationFailure):
            raise  # Odoo tries again
        except Exception as error:
            outcome, parameter = outcome_of(error)
            self._note(begun, outcome=outcome, parameter=parameter, **note)
            raise
        count = len(result.get("events", ())) if isinstance(result, dict) else 0
        if count or not is_waiting:
            self._note(begun, outcome="done", events=count, **note)
        return result

    @api.model
    def _tool_name(self, tool):
        return tool if tool in TOOLS else "?"

    @api.model
    def _call(self, tool, arguments):
        expected = self.env._("expected one of %s.", ", ".join(TOOLS))
        if tool not in TOOLS:
            validation.refuse("tool", f"{expected} Example: list_models.")
        if not isinstance(arguments or {}, dict):
            validation.refuse(
                "arguments",
                self.env._('expected an object. Example: {"model": "res.partner"}.'),
            )
        # without the caller's context, which could smuggle in default values
        method = getattr(self.env["mcp.event.subscription"]._for_caller(), tool)
        names = inspect.signature(method).parameters
        for name in arguments or {}:
            is_known = name in names and names[name].kind != inspect.Parameter.VAR_KEYWORD
            if not is_known and tool != "update_subscription":
                validation.refuse(
                    limits.shown(name),
                    self.env._(
                        "no such parameter; expected some of %(names)s. "
                        "Example: leave it out.",
                        names=", ".join(names) or "-",
                    ),
                )
        for name, parameter in names.items():
            is_missing = parameter.default is parameter.empty and name not in (
                arguments or {}
            )
            if is_missing and parameter.kind != inspect.Parameter.VAR_KEYWORD:
                validation.refuse(
                    name,
                    self.env._(
                        "it is missing; expected a value. Example: see the tool's schema."
                    ),
                )
        return method(**(arguments or {}))

    @api.model
    def _pass_gate(self):
        """The connection as it is now, and how busy it was in the last minute; in a
        transaction of its own, which other calls of it do not collide with."""
        key_id, uid = self._key_id(), self.env.uid

        def look(env):
            env.cr.execute(
                """INSERT INTO mcp_webhook_connection
                          (user_id, key_id, company_id, name, is_open, create_date)
                   SELECT u.id, %(key)s, u.company_id,
                          (SELECT name FROM res_users_apikeys WHERE id = %(key)s), TRUE,
                          now() AT TIME ZONE 'UTC'
                     FROM res_users u
                    WHERE u.id = %(uid)s
                      AND NOT EXISTS (SELECT FROM mcp_webhook_connection
                                       WHERE user_id = %(uid)s AND key_id = %(key)s)
                   ON CONFLICT DO NOTHING""",
                {"key": key_id, "uid": uid},
            )
            env.cr.execute(
                """SELECT c.id, c.is_open, c.calls_per_minute, count(l.id) AS calls,
                          COALESCE(sum(l.events), 0) AS events
                     FROM mcp_webhook_connection c
                LEFT JOIN mcp_webhook_call l
                       ON l.connection_id = c.id AND l.outcome != 'limited'
                      AND l.create_date > (now() AT TIME ZONE 'UTC') - interval '1 minute'
                    WHERE c.user_id = %(uid)s AND c.key_id = %(key)s
                 GROUP BY c.id""",
                {"key": key_id, "uid": uid},
            )
            return env.cr.dictfetchone()

        return in_own_transaction(self.pool, look)

    @api.model
    def _check_gate(self, gate):
        access = self.env["mcp.webhook.sidecar"].sudo()
        if access._parameter(OFF):
            raise AccessError(
                self.env._("An administrator has switched off MCP for this database.")
            )
        if not gate["is_open"]:
            raise AccessError(
                self.env._(
                    "A webhook manager has switched off this connection in Odoo (MCP "
                    "Server > Connections)."
                )
            )
        most = gate["calls_per_minute"] or self._limit(CALLS, DEFAULT_CALLS)
        if gate["calls"] >= most:
            raise OverLimit(
                self.env._(
                    "More than %s calls in a minute: wait a minute, then go on. To wait "
                    "for events, call wait_for_event instead of asking again and again.",
                    most,
                )
            )
        most = self._limit(EVENTS, DEFAULT_EVENTS)
        if gate["events"] >= most:
            raise OverLimit(
                self.env._(
                    "More than %s events in a minute: wait a minute, then go on with the "
                    "same cursor; nothing is lost.",
                    most,
                )
            )

    @api.model
    def _limit(self, name, default):
        value = self.env["mcp.webhook.sidecar"].sudo()._parameter(name)
        return int(value) if re.fullmatch("[1-9][0-9]{0,6}", value) else default

    @api.model
    def _note(self, begun, **values):
        """In a transaction of its own: a call that fails leaves its row as well."""
        values |= {
            "user_id": self.env.uid,
            "company_id": self.env.user.company_id.id,
            "duration_ms": int((time.monotonic() - begun) * 1000),
        }
        in_own_transaction(
            self.pool, lambda env: env["mcp.webhook.call"].create(dict(values))
        )
        _logger.info(
            "MCP call %s by user %s: %s in %s ms",
            values["tool"],
            self.env.uid,
            values["outcome"],
            values["duration_ms"],
        )


def client_name(client):
    """What a program calls itself, cut, and without what would steer a reader."""
    if not isinstance(client, str):
        return False
    return "".join(c for c in client[:80] if not limits.is_steering(c)) or False


def outcome_of(error):
    """`(outcome, name of the parameter)` of a call that failed."""
    if isinstance(error, OverLimit):
        return "limited", False
    if isinstance(error, AccessError):
        return "denied", False
    if isinstance(error, UserError):
        named = NAMED.match(str(error))
        return "refused", named[1] if named else False
    return "failed", False
