# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Where the sidecar is, and what an AI may open."""

from odoo import api, fields, models
from odoo.exceptions import UserError

from ..tools import limits, validation
from ..tools.allowed_hosts import check_allowed_hosts
from ..tools.sidecar import PATIENT_TIMEOUT, SidecarError, SidecarUnreachable
from ..tools.translated import translated
from .mcp_webhook_sidecar import DEFAULT_URL

MAX_RETENTION_DAYS = 3650
OURS = "mcp_webhook_"


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    mcp_webhook_sidecar_url = fields.Char(
        "Sidecar Address", config_parameter="mcp_webhook.sidecar_url"
    )
    mcp_webhook_sidecar_token = fields.Char(
        "Sidecar Token",
        compute="_compute_mcp_webhook_sidecar_token",
        inverse="_inverse_mcp_webhook_sidecar_token",
        help="The content of the file 'token' in the sidecar's data folder. "
        "It can be replaced, never read.",
    )
    mcp_webhook_has_token = fields.Boolean(compute="_compute_mcp_webhook_sidecar_token")
    mcp_webhook_copy = fields.Char(
        compute="_compute_mcp_webhook_copy",
        help="Why this database sends nothing until somebody says that it may.",
    )
    mcp_webhook_wake_url = fields.Char(
        "Wake-up Address",
        config_parameter="mcp_webhook.wake_url",
        help="What the sidecar calls when there is news. Empty: this Odoo on loopback "
        "when the sidecar is there too and the dbfilter of the server leads to this "
        "database there, else the web base URL.",
    )
    mcp_webhook_allowed_hosts = fields.Char(
        "Allowed Hosts",
        config_parameter="mcp_webhook.allowed_hosts",
        help="Comma-separated, host or host/path-prefix. Subscriptions that users make "
        "through an AI to other hosts wait for a manager's approval. Hosts that receive "
        "for everybody need the prefix, for example hooks.slack.com/services/T01234567.",
    )
    mcp_webhook_retention_days = fields.Integer(
        "Keep Deliveries (days)",
        config_parameter="mcp_webhook.retention_days",
        default=30,
        help="At most as long as the sidecar keeps them, or they cannot be sent again.",
    )

    mcp_webhook_mcp_off = fields.Boolean(
        "MCP Is Switched Off",
        config_parameter="mcp_webhook.mcp_off",
        help="Every call through the MCP server is refused, whatever its connection.",
    )
    mcp_webhook_mcp_calls_per_minute = fields.Integer(
        "Calls a Minute",
        config_parameter="mcp_webhook.mcp_calls_per_minute",
        default=120,
        help="Of one connection, where the connection itself has no other number.",
    )

    @api.model
    def default_get(self, fields):
        """Everybody may ask Odoo for the settings' values; ours are for those who may
        change them."""
        values = super().default_get(fields)
        if not self._mcp_webhook_is_for_caller():
            values = {k: v for k, v in values.items() if not k.startswith(OURS)}
        limits.check_fields(self.env, values)
        return values

    @api.model
    def _mcp_webhook_is_for_caller(self):
        return self.env.su or self.has_access("write")

    def onchange(self, values, field_names, fields_spec):
        limits.check_fields(self.env, values)
        return super().onchange(values, field_names, fields_spec)

    @api.depends("mcp_webhook_sidecar_url")
    def _compute_mcp_webhook_sidecar_token(self):
        has_token = self._mcp_webhook_is_for_caller() and bool(
            self.env["mcp.webhook.sidecar"].sudo()._token()
        )
        for settings in self:
            settings.mcp_webhook_sidecar_token = False
            settings.mcp_webhook_has_token = has_token

    @api.depends("mcp_webhook_sidecar_url")
    def _compute_mcp_webhook_copy(self):
        access = self.env["mcp.webhook.sidecar"].sudo()
        told = self._mcp_webhook_is_for_caller() and access._silence()
        self.mcp_webhook_copy = told or False

    def _inverse_mcp_webhook_sidecar_token(self):
        """Straight into the parameter: it never stands in a settings row."""
        for settings in self.filtered("mcp_webhook_sidecar_token"):
            token = settings.mcp_webhook_sidecar_token.strip()
            set_param = self.env["ir.config_parameter"].sudo().set_param
            set_param("mcp_webhook.sidecar_token", token)
        self._mcp_webhook_start_afresh()

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            limits.check_fields(self.env, vals)
        settings = super().create(vals_list)
        settings._forget_typed_token()
        return settings

    def write(self, vals):
        limits.check_fields(self.env, vals)
        result = super().write(vals)
        self._forget_typed_token()
        return result

    def _forget_typed_token(self):
        """The cache keeps what was just written; the answer to a save must not."""
        self.invalidate_recordset(["mcp_webhook_sidecar_token"])

    @api.constrains("mcp_webhook_sidecar_url")
    def _check_mcp_webhook_sidecar_url(self):
        for settings in self:
            urls = (settings.mcp_webhook_sidecar_url or "").split(",")
            if not all(_is_address(url.strip()) for url in urls if url.strip()):
                validation.refuse(
                    "mcp_webhook_sidecar_url",
                    self.env._(
                        "expected the sidecar's address, or several separated by "
                        "commas. Example: %s.",
                        DEFAULT_URL,
                    ),
                )

    @api.constrains("mcp_webhook_allowed_hosts")
    def _check_mcp_webhook_allowed_hosts(self):
        stored = self.env["mcp.webhook.sidecar"]._parameter("allowed_hosts")
        for settings in self:
            # asked only about a change: everybody's settings are saved on this page
            hosts = settings.mcp_webhook_allowed_hosts
            if (hosts or "").strip() != stored:
                check_allowed_hosts(self.env, "mcp_webhook_allowed_hosts", hosts)

    @api.constrains("mcp_webhook_retention_days")
    def _check_mcp_webhook_retention_days(self):
        kept = self.env["mcp.webhook.sidecar"]._parameter("retention_days")
        for settings in self:
            days = settings.mcp_webhook_retention_days
            # asked only about a change: everybody's settings are saved on this page
            most = MAX_RETENTION_DAYS if str(days) == kept else self._most_days()
            if not 1 <= days <= most:
                validation.refuse(
                    "mcp_webhook_retention_days",
                    self.env._("expected 1 to %s days. Example: 30.", most),
                )

    def _most_days(self):
        """What the sidecar has forgotten cannot be sent again, so it says how long; a
        sidecar that is down is no reason not to save."""
        access = self.env["mcp.webhook.sidecar"].sudo()
        try:
            info = access._try(lambda client: client.info())
        except (SidecarUnreachable, SidecarError):
            return MAX_RETENTION_DAYS
        return min(info.get("retention_days") or MAX_RETENTION_DAYS, MAX_RETENTION_DAYS)

    def set_values(self):
        result = super().set_values()
        self._mcp_webhook_start_afresh()
        return result

    def _mcp_webhook_start_afresh(self):
        """Another address or token deserves a try at once."""
        access = self.env["mcp.webhook.sidecar"].sudo()
        access._note_success()
        access._forget_introduction()

    # -- buttons -----------------------------------------------------------------------

    def action_mcp_webhook_test_connection(self):
        """Ask the sidecar how it is, and catch up with it."""
        return self._mcp_webhook_connect(take_over=False)

    def action_mcp_webhook_take_over(self):
        """Make this database the one that the sidecar serves."""
        return self._mcp_webhook_connect(take_over=True)

    def action_mcp_webhook_become_production(self):
        """This database has moved, or takes another's place: from now on it sends."""
        self.check_access("write")
        self.env["mcp.webhook.sidecar"].sudo()._become_production()
        return self._mcp_webhook_connect(take_over=True)

    def _mcp_webhook_connect(self, take_over):
        self.check_access("write")
        access = self.env["mcp.webhook.sidecar"].sudo()
        try:
            client = access._client(PATIENT_TIMEOUT)
            access._introduce(client, take_over=take_over, again=True)
            info = client.info()
        except SidecarUnreachable as error:
            raise UserError(
                self.env._(
                    "%(reason)s\n\nAddress tried: %(address)s\nStart the sidecar with "
                    "'mcp-webhookd serve', and give the token from the file 'token' in "
                    "its data folder.",
                    reason=translated(self.env, error.reason),
                    address=_labels(access._url()),
                )
            ) from error
        except SidecarError as error:
            raise UserError(self._mcp_webhook_refusal(error)) from error
        access._note_success()
        self.env["mcp.webhook.mirror"].sudo()._pull_quietly()
        return self._mcp_webhook_report(info)

    def _mcp_webhook_refusal(self, error):
        if error.kind == "fenced":
            return self.env._(
                "This sidecar serves another database. If this one is its successor, "
                "press Take Over; if this is a copy, give it a sidecar of its own."
            )
        return error.message

    def _mcp_webhook_report(self, info):
        outbox = self.env["mcp.webhook.outbox"].sudo()
        message = self.env._(
            "Connected: version %(version)s. %(pending)s deliveries wait at the sidecar, "
            "%(waiting)s still in Odoo.",
            version=info.get("version"),
            pending=info.get("pending"),
            waiting=outbox.search_count([]),
        )
        is_deaf = self.env["mcp.webhook.sidecar"].sudo()._is_deaf()
        if is_deaf:
            message += " " + self.env._(
                "The server's dbfilter hides this database from the sidecar, so results "
                "arrive only once a minute: give a wake-up address whose host leads to it."
            )
        kind = "warning" if is_deaf else "success"
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {"type": kind, "message": message, "sticky": is_deaf},
        }


def _is_address(url):
    return bool(validation.endpoint(url)) or url.startswith("unix:///")


def _labels(urls):
    """What may be shown of the sidecars' addresses."""
    each = (url.strip() for url in urls.split(","))
    shown = (
        u if u.startswith("unix:///") else validation.endpoint_label(u) for u in each
    )
    return ", ".join(label or "?" for label in shown)
