# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Who wants which events, and where to."""

import re
import uuid

from odoo import api, fields, models
from odoo.exceptions import AccessError, ValidationError
from odoo.fields import Domain

from ..tools import allowed_hosts, validation

MANAGER = "mcp_webhook.group_manager"
PROPOSED_ATTEMPTS = 3
AUTOMATIC_NAME = re.compile(r"[a-z0-9_.]+ (create|write|unlink|all)")

COPIED_NAME = 200  # bytes: with "(copy)" in any language the name fits its limit

ASKS_ITSELF = "mcp_webhook_asks_itself"  # in the context: through the AI's door
WRITE_ONLY = frozenset({"webhook_secret", "webhook_headers"})

# Kept by the program: refused over RPC in create and write, also as a default.
KEPT_FIELDS = frozenset(
    {
        "uuid",
        "model_name",
        "endpoint_host",
        "has_secret",
        "header_names",
        "secret_value",
        "headers_value",
        "watched_field_names",
        "last_delivery",
        "last_delivery_status",
        "failure_count",
        "pending_count",
        "approval",
        "by_allowed_host",
        "rejection",
        "is_rejected",
        "secret_by_id",
        "headers_by_id",
        "connection",
        "key_id",
        "has_generated_secret",
        "sync_error",
        "sync_pending",
        "is_alerting",
        "alerted_at",
        "failing_since",
        "health",
        "is_down",
        "is_faulty",
        "is_elsewhere",
        "is_gone",
        "is_refused",
        "refusal",
        "loop_after",
        "previous_secret_until",
        "delivery_ids",
    }
)


class McpEventSubscription(models.Model):
    _name = "mcp.event.subscription"
    _description = "Event Subscription"
    _inherit = ("mcp.webhook.export", "mail.thread", "mail.activity.mixin")
    _order = "name, id"
    _allow_sudo_commands = False

    name = fields.Char(
        compute="_compute_name",
        store=True,
        readonly=False,
        precompute=True,
        tracking=True,
    )
    active = fields.Boolean(default=True, tracking=True)
    uuid = fields.Char(
        "UUID",
        default=lambda self: str(uuid.uuid4()),
        required=True,
        readonly=True,
        copy=False,
        help="Its identity at the sidecar.",
    )
    company_id = fields.Many2one(
        "res.company",
        help="Only records of this company, or of none, fire. Empty: every company "
        "that the user may enter.",
        tracking=True,
    )

    # -- trigger -----------------------------------------------------------------
    model_id = fields.Many2one(
        "ir.model",
        ondelete="set null",
        index=True,
        tracking=True,
        domain=lambda self: self._possible_models(),
        help="Changes of this model's records are events.",
    )
    model_name = fields.Char(
        "Technical Model Name",
        compute="_compute_model_name",
        store=True,
        precompute=True,
        index=True,
    )
    event_type = fields.Selection(
        [
            ("create", "Create"),
            ("write", "Write"),
            ("unlink", "Delete"),
            ("all", "All"),
        ],
        string="Event",
        default="all",
        required=True,
        tracking=True,
    )
    user_id = fields.Many2one(
        "res.users",
        default=lambda self: self.env.user,
        ondelete="set null",
        index=True,
        tracking=True,
        help="Whose rights, companies and language determine what is sent. Records that "
        "this user cannot read fire nothing.",
    )
    connection = fields.Char(
        copy=False,
        readonly=True,
        help="What made this subscription; empty when it was created manually.",
    )
    domain = fields.Char(
        "Filter",
        default="[]",
        tracking=True,
        help="Only records that match fire. Judged on the values at the end of the "
        "transaction; for a deletion on those before it.",
    )
    watched_field_ids = fields.Many2many(
        "ir.model.fields",
        string="Watched Fields",
        domain="[('model_id', '=', model_id), ('store', '=', True),"
        " ('ttype', 'not in', ('one2many', 'binary'))]",
        tracking=True,
        help="A write fires only when one of these fields has another value than "
        "before. Empty: every write fires.",
    )
    watched_field_names = fields.Char(readonly=True, copy=False)
    count_recomputed = fields.Boolean(
        "Recomputation Counts",
        tracking=True,
        help="Without watched fields only what somebody writes fires. With this, so does "
        "a record whose stored values were only recomputed, such as an order's total "
        "when a line changes. A watched field always counts, however it changes.",
    )
    one_event_per_record = fields.Boolean(
        "One Event per Record",
        tracking=True,
        help="Otherwise records that change together in one transaction travel in one "
        "event, up to 200 of them.",
    )
    enrich_fields = fields.Text(
        "Fields to Send",
        tracking=True,
        help="Values that travel with the event: one field, or dotted path with at "
        "most three dots, a line. For example partner_id.email",
    )

    # -- delivery ----------------------------------------------------------------
    webhook_url = fields.Char(
        "Webhook URL",
        help="Where the events go. Empty: nothing is sent, and no delivery is recorded.",
    )
    endpoint_host = fields.Char(
        "Endpoint", compute="_compute_endpoint_host", store=True, tracking=True
    )
    webhook_secret = fields.Char(
        "Signing Secret",
        compute="_compute_write_only",
        inverse="_inverse_webhook_secret",
        copy=False,
        help="Signs each request, so that the receiver knows it is from here. "
        "It can be replaced, never read. 16 characters or more.",
    )
    secret_value = fields.Char(groups=fields.NO_ACCESS, copy=False)
    has_secret = fields.Boolean("Secret Is Set", compute="_compute_has")
    webhook_headers = fields.Text(
        "Headers",
        compute="_compute_write_only",
        inverse="_inverse_webhook_headers",
        copy=False,
        help="Further request headers, one 'Name: value' a line. They can be replaced, "
        "never read.",
    )
    headers_value = fields.Text(groups=fields.NO_ACCESS, copy=False)
    header_names = fields.Char("Headers That Are Set", compute="_compute_has")
    payload_template = fields.Text(
        help="JSON; every text in it is a template. Empty: the standard body.",
    )
    dialect = fields.Selection(
        [
            ("auto", "By the address"),
            ("plain", "Plain"),
            ("slack", "Slack"),
            ("discord", "Discord"),
            ("teams", "Microsoft Teams"),
            ("google_chat", "Google Chat"),
        ],
        string="Escaping",
        default="auto",
        required=True,
        tracking=True,
        help="How values are escaped for the receiver's own mark-up.",
    )
    timeout_s = fields.Integer(
        "Timeout (s)",
        default=10,
        tracking=True,
        help="Seconds for one attempt, 1 to 60.",
    )
    max_in_flight = fields.Integer(
        "Parallel Requests",
        default=4,
        tracking=True,
        help="1 to 64. With 1, events are sent strictly in order.",
    )
    max_attempts = fields.Integer(
        "Attempts",
        default=1,
        tracking=True,
        help="1 to 20. With more than 1, a failure that may pass (timeout, 5xx, ...) "
        "is tried again after 5 s, 20 s, 80 s and so on, up to 6 hours.",
    )
    retries = fields.Boolean(
        "Try Again",
        compute="_compute_retries",
        readonly=False,
        help="Three attempts or more; without it there is one.",
    )
    paused = fields.Boolean(
        tracking=True, help="Events are recorded and wait; none is lost."
    )

    # -- kept by the mirror and the sync -------------------------------------------
    last_delivery = fields.Datetime(readonly=True, copy=False)
    last_delivery_status = fields.Selection(
        [("pending", "Pending"), ("success", "Success"), ("failed", "Failed")],
        string="Last Status",
        readonly=True,
        copy=False,
    )
    failure_count = fields.Integer("Failures", readonly=True, copy=False)
    pending_count = fields.Integer("Waiting", compute="_compute_pending_count")
    delivery_count = fields.Integer("Deliveries", compute="_compute_delivery_count")
    approval = fields.Selection(
        [("none", "Not Needed"), ("waiting", "Waiting"), ("approved", "Approved")],
        default="none",
        readonly=True,
        copy=False,
        tracking=True,
    )
    sync_pending = fields.Boolean(
        readonly=True,
        copy=False,
        help="The sidecar does not know the newest version yet.",
    )
    delivery_ids = fields.One2many(
        "mcp.webhook.delivery", "subscription_id", string="Delivery Rows", readonly=True
    )

    _uuid_unique = models.Constraint("UNIQUE (uuid)", "uuid: it belongs to another one.")
    _timeout_range = models.Constraint(
        "CHECK (timeout_s BETWEEN 1 AND 60)",
        "timeout_s: expected 1 to 60 seconds. Example: 10.",
    )
    _in_flight_range = models.Constraint(
        "CHECK (max_in_flight BETWEEN 1 AND 64)",
        "max_in_flight: expected 1 to 64 requests at a time. Example: 4.",
    )
    _attempts_range = models.Constraint(
        "CHECK (max_attempts BETWEEN 1 AND 20)",
        "max_attempts: expected 1 to 20 attempts. Example: 1.",
    )

    @api.model
    def _possible_models(self):
        """What the form offers; what may be saved is for `validation.check_model`."""
        domain = Domain("transient", "=", False) & Domain("abstract", "=", False)
        models_ = self.env.registry.values()
        refused = [m._name for m in models_ if not validation.may_be_watched(m)]
        return list(domain & Domain("model", "not in", refused))

    # -- computed ------------------------------------------------------------------

    @api.depends("model_id", "event_type")
    def _compute_name(self):
        for subscription in self:
            name = subscription.name
            if name and not AUTOMATIC_NAME.fullmatch(name):
                continue
            if subscription.model_id:
                model = subscription.model_id.sudo().model
                subscription.name = f"{model} {subscription.event_type or 'all'}"
            else:
                subscription.name = name

    @api.depends("model_id")
    def _compute_model_name(self):
        """Keeps the name of a model that is gone: the log goes on telling it."""
        for subscription in self:
            model = subscription.model_id.sudo().model
            subscription.model_name = model or subscription.model_name

    @api.depends("webhook_url")
    def _compute_endpoint_host(self):
        for subscription in self:
            subscription.endpoint_host = validation.endpoint_label(
                subscription.webhook_url
            )

    @api.depends("secret_value", "headers_value")
    def _compute_write_only(self):
        self.webhook_secret = False
        self.webhook_headers = False

    @api.depends("secret_value", "headers_value")
    def _compute_has(self):
        for subscription, stored in zip(self, self.sudo(), strict=True):
            subscription.has_secret = bool(stored.secret_value)
            try:
                headers = stored._headers()
            except ValidationError:
                headers = ["?"]  # older than the rules: its form must open all the same
            subscription.header_names = ", ".join(headers) or False

    def _inverse_webhook_secret(self):
        for subscription in self:
            subscription.sudo().secret_value = subscription.webhook_secret or False

    def _inverse_webhook_headers(self):
        for subscription in self:
            subscription.sudo().headers_value = subscription.webhook_headers or False

    def _headers(self):
        """`{name: value}`, for the sync."""
        self.ensure_one()
        return validation.parse_headers(
            self.env, "webhook_headers", self.sudo().headers_value
        )

    @api.depends("delivery_ids.status")
    def _compute_pending_count(self):
        """Of an index that holds only what waits: every live reload of a list asks."""
        counts = self._count_deliveries([("status", "=", "pending")])
        for subscription in self:
            subscription.pending_count = counts.get(subscription.id, 0)

    @api.depends("delivery_ids")
    def _compute_delivery_count(self):
        counts = self._count_deliveries([])
        for subscription in self:
            subscription.delivery_count = counts.get(subscription.id, 0)

    def _count_deliveries(self, domain):
        counted = self.env["mcp.webhook.delivery"]._read_group(
            [("subscription_id", "in", self.ids), *domain],
            ["subscription_id"],
            ["__count"],
        )
        return {subscription.id: count for subscription, count in counted}

    @api.onchange("model_id")
    def _onchange_model_id(self):
        """What belongs to the old model goes with it."""
        if self._origin and self._origin.model_id == self.model_id:
            return
        self.domain = "[]"
        self.watched_field_ids = False
        self.enrich_fields = False

    # -- create, write, copy -------------------------------------------------------

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            self._check_given(vals)
        kept_defaults = {f"default_{name}" for name in KEPT_FIELDS}
        context = {k: v for k, v in self.env.context.items() if k not in kept_defaults}
        if not self._is_manager():
            # an AI's user does not follow: what managers write there is for managers
            context["mail_create_nosubscribe"] = True
        cleaned = self.with_env(self.env(context=context))
        subscriptions = super(McpEventSubscription, cleaned).create(vals_list)
        subscriptions._remember_watched_names()
        subscriptions._forget_typed_secrets()
        subscriptions._after_create(vals_list)
        return subscriptions.with_env(self.env)

    def _check_given(self, vals):
        """Extended by each part of the model: what may be stored, before anything is."""
        self._refuse_kept(vals)

    def _after_create(self, vals_list):
        """Extended by each part of the model."""

    def _before_write(self, vals):
        """Extended by each part of the model: what it needs to know of before.

        :return: a dict, handed to `_after_write`
        """
        return {}

    def _after_write(self, vals, before):
        """Extended by each part of the model."""

    @api.depends("max_attempts")
    def _compute_retries(self):
        for subscription in self:
            subscription.retries = subscription.max_attempts > 1

    @api.onchange("retries")
    def _onchange_retries(self):
        """One click, either way."""
        if self.retries != (self.max_attempts > 1):
            self.max_attempts = PROPOSED_ATTEMPTS if self.retries else 1

    @api.model
    def default_get(self, fields):
        """What the program keeps takes no default from a caller's context, nor one that a
        user has set for themselves; what an AI subscribes takes none of these at all."""
        values = super().default_get(fields)
        asked = self.env.context.get(ASKS_ITSELF)
        for name in values.keys() & (self._fields.keys() if asked else KEPT_FIELDS):
            own = self._fields[name].default
            if own:
                values[name] = self._fields[name].convert_to_write(own(self), self)
            else:
                del values[name]
        return values

    def write(self, vals):
        self._check_given(vals)
        before = self._before_write(vals)
        moved = self._moved_by(vals)
        if moved:
            moved.sudo().is_elsewhere = True
            forget = {"webhook_secret": False, "webhook_headers": False}
            result = super(McpEventSubscription, self - moved).write(vals)
            result &= super(McpEventSubscription, moved).write({**forget, **vals})
        else:
            result = super().write(vals)
        if "watched_field_ids" in vals:
            self._remember_watched_names()
        if not WRITE_ONLY.isdisjoint(vals):
            self._forget_typed_secrets()
        if "webhook_secret" in vals:
            self._forget_generated_secrets()
        self._log_hidden_changes(vals)
        self._after_write(vals, before)
        return result

    def _moved_by(self, vals):
        """Those of which another receiver would hear: what is secret does not go along."""
        if "webhook_url" not in vals:
            return self.browse()
        where = allowed_hosts.receiver(vals["webhook_url"])
        return self.filtered(
            lambda s: s.webhook_url and allowed_hosts.receiver(s.webhook_url) != where
        )

    def copy_data(self, default=None):
        result = super().copy_data(default)
        for subscription, vals in zip(self, result, strict=True):
            vals["active"] = (default or {}).get("active", False)
            if "name" not in (default or {}):
                name = (subscription.name or "").encode()[:COPIED_NAME]
                vals["name"] = self.env._("%s (copy)", name.decode(errors="ignore"))
        return result

    def _forget_typed_secrets(self):
        """The cache keeps what was just written; the answer to a save must not."""
        self.invalidate_recordset(WRITE_ONLY)

    def _refuse_kept(self, vals):
        kept = KEPT_FIELDS.intersection(vals)
        if kept and not self.env.su:
            raise AccessError(
                self.env._(
                    "%s: kept by the program; it cannot be written.",
                    ", ".join(sorted(kept)),
                )
            )

    def _remember_watched_names(self):
        """An uninstalled field takes its row along; its name must stay, or an empty
        set would fire at every write."""
        for subscription in self.sudo():
            names = ",".join(sorted(subscription.watched_field_ids.mapped("name")))
            if (subscription.watched_field_names or "") != names:
                subscription.watched_field_names = names

    def _rename_watched(self, old, new):
        """One that is gone stays among them."""
        for subscription in self:
            names = set((subscription.watched_field_names or "").split(","))
            subscription.watched_field_names = ",".join(sorted(names - {old} | {new}))

    def _log_hidden_changes(self, vals):
        """The chatter tells that they changed; what they are stays out of it."""
        texts = []
        if "webhook_secret" in vals:
            texts.append(
                self.env._("Signing secret replaced")
                if vals["webhook_secret"]
                else self.env._("Signing secret removed")
            )
        if "webhook_headers" in vals:
            texts.append(self.env._("Headers changed"))
        if "payload_template" in vals:
            texts.append(self.env._("Payload template changed"))
        for subscription in self if texts else ():
            subscription._message_log(body=", ".join(texts))
