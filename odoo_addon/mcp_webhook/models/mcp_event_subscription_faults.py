# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Why a subscription does not work, in the language of who reads it: what is kept are the
sidecar's refusal as data, and whether something is wrong here.

What was stored before there was a rule, or before a field, a model or a right was
another, is judged here by the rules of today: it neither falls silent nor is forgotten.
"""

import logging

from odoo import api, fields, models
from odoo.exceptions import ValidationError
from odoo.fields import Domain

from ..tools import validation
from ..tools.watchable import unwatchable
from .mcp_webhook_outbox import in_own_transaction

_logger = logging.getLogger(__name__)

# What the rules below are about.
RULED_FIELDS = frozenset(
    {"domain", "enrich_fields", "event_type", "model_id", "user_id", "watched_field_ids"}
)
# The sidecar's names of fields, where ours differ.
FIELD_NAMES = {
    "url": "webhook_url",
    "secret": "webhook_secret",
    "headers": "webhook_headers",
    "model": "model_id",
    "keep_previous_s": "secret_overlap_hours",
}


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    is_refused = fields.Boolean(
        readonly=True,
        copy=False,
        help="The sidecar does not take it as it is: its events wait in Odoo.",
    )
    refusal = fields.Json(
        readonly=True, copy=False, help="The sidecar's words, and of which field."
    )
    is_faulty = fields.Boolean(
        readonly=True,
        copy=False,
        help="Something of it does not work, for a reason that lies here.",
    )
    sync_error = fields.Text(
        "Why It Does Not Work",
        compute="_compute_sync_error",
        search="_search_sync_error",
    )

    def _after_write(self, vals, before):
        if not RULED_FIELDS.isdisjoint(vals):
            self._flag_fault()
        return super()._after_write(vals, before)

    @api.depends(
        "domain",
        "enrich_fields",
        "is_refused",
        "is_faulty",
        "refusal",
        "model_name",
        "user_id",
        "user_id.active",
        "watched_field_names",
    )
    @api.depends_context("lang")
    def _compute_sync_error(self):
        for subscription in self:
            refusal = subscription.is_refused and subscription.refusal
            subscription.sync_error = (
                subscription._refusal_in_words(refusal)
                if refusal
                else subscription._fault(subscription.is_faulty) or False
            )

    def _search_sync_error(self, operator, value):
        if operator not in ("in", "not in") or set(value) - {False, ""}:
            return NotImplemented
        faulty = Domain("is_refused", "=", True) | Domain("is_faulty", "=", True)
        return ~faulty if operator == "in" else faulty

    # -- what lies here --------------------------------------------------------------

    @classmethod
    def _flag_faults(cls, registry):
        """Keep what is wrong by `_fault`, for lists and filters. It is looked for before
        the lock that the mirror waits for."""
        found = in_own_transaction(
            registry, lambda env: env[cls._name]._newly_found_faults()
        )
        if found:
            in_own_transaction(registry, lambda env: env[cls._name]._note_faults(found))

    @api.model
    def _newly_found_faults(self):
        """`{id: whether it is faulty}` where that is kept otherwise."""
        everything = self.sudo().search(Domain.TRUE)
        faults = {s.id: bool(s._fault(is_thorough=True)) for s in everything}
        return {s.id: faults[s.id] for s in everything if s.is_faulty != faults[s.id]}

    @api.model
    def _note_faults(self, found):
        self.env["mcp.webhook.mirror"]._lock()
        for subscription in self.sudo().browse(found).exists():
            subscription._set_faulty(found[subscription.id])

    def _flag_fault(self):
        for subscription in self.sudo():
            subscription._set_faulty(bool(subscription._fault(is_thorough=True)))

    def _set_faulty(self, faulty):
        if self.is_faulty != faulty:
            self.with_context(tracking_disable=True).is_faulty = faulty

    def _fault(self, is_thorough=False):
        """What does not work, for reasons that the sidecar cannot know, or None.

        :param is_thorough: also ask the database whether it takes the filter
        """
        return self._why_nothing_is_sent(is_thorough) or self._what_is_lacking()

    def _why_nothing_is_sent(self, is_thorough=False):
        """The part of `_fault` that stops the whole subscription."""
        self.ensure_one()
        stored = self.sudo()
        stops = self.env._("Nothing is sent until you correct it.")
        rules = (
            ("user_id", stored._check_reader, stops),
            ("domain", lambda: stored._check_filter(is_thorough, runs_code=False), stops),
        )
        return stored._why_nothing_fires() or stored._first_fault(rules)

    def _what_is_lacking(self):
        """The part of `_fault` with which the rest of it goes on."""
        stored = self.sudo()
        misses = self.env._("Some of its changes are not seen until you correct it.")
        lacks = self.env._("It is left out of what is sent until you correct it.")
        rules = (
            ("watched_field_ids", stored._check_watched_names, misses),
            ("enrich_fields", stored._check_enrich_fields, lacks),
        )
        return stored._first_fault(rules)

    def _why_nothing_fires(self):
        """The model or a watched field is gone, or the user whose rights decide."""
        if not self.user_id:
            return self.env._(
                "user_id: the user was deleted, and so are the rights that decide what may "
                "leave. Nothing is sent until you choose another user."
            )
        if not self.user_id.active:
            return self.env._(
                "user_id: %s is archived, and so are the rights that decide what may "
                "leave. Nothing is sent until you choose another user.",
                self.user_id.name,
            )
        model = self.env.get(self.model_name)
        if model is None:
            return self.env._(
                "model_id: %s is not installed any more. Nothing is sent until you choose "
                "another model, or install its app again.",
                self.model_name or "?",
            )
        if not validation.may_be_watched(model):
            return self.env._(
                "model_id: %s may not be watched. Nothing is sent until you choose "
                "another model.",
                self.model_name,
            )
        names = filter(None, (self.watched_field_names or "").split(","))
        unfit = unwatchable(model, names)
        if not unfit:
            return None
        return self.env._(
            "watched_field_ids: %(names)s no longer exists in %(model)s, or is no longer "
            "stored. Nothing is sent until you correct the watched fields.",
            names=", ".join(unfit),
            model=self.model_name,
        )

    def _first_fault(self, rules):
        """What could not be saved today as it is, and what comes of it."""
        for field, check, consequence in rules:
            try:
                check()
            except ValidationError as error:
                return f"{error.args[0]} {consequence}"
            except Exception as error:
                # a model's own code: it must stop no other subscription's judgement
                _logger.info("%s of subscription %s: %r", field, self.id, error)
                return self.env._(
                    "%(field)s: it cannot be checked (%(error)s).",
                    field=field,
                    error=type(error).__name__,
                )
        return None

    def _check_watched_names(self):
        names = filter(None, (self.watched_field_names or "").split(","))
        validation.check_watched(self.env, "watched_field_ids", names, self.model_name)

    # -- what the sidecar says -------------------------------------------------------

    @api.model
    def _refusal_of(self, error):
        """A `SidecarError` as data, to be kept."""
        return {"kind": error.kind, "message": error.message, **error.data}

    def _refusal_in_words(self, refusal):
        """Under our field's name: the sidecar's own words for who reads English, else what
        its kind means, and those words behind it."""
        text = (refusal.get("message") or "").strip()
        field = (refusal.get("field") or "").split(".")[0]
        ours = FIELD_NAMES.get(field, field)
        for name in (refusal.get("field"), field, ours):
            if name and text.startswith(f"{name}:"):
                text = text[len(name) + 1 :].strip()
        pointer = refusal.get("pointer")
        if pointer and pointer not in text:
            text = self.env._("at %(pointer)s: %(text)s", pointer=pointer, text=text)
        meaning = self._kind_in_words(refusal.get("kind"))
        if meaning and not (self.env.lang or "en").startswith("en"):
            text = f"{meaning} ({text})" if text else meaning
        return f"{ours}: {text}" if ours else text

    def _kind_in_words(self, kind):
        return {
            "invalid_url": self.env._(
                "the sidecar does not take this address; expected https:// and a host."
            ),
            "blocked_address": self.env._(
                "the host is at an internal address, where nothing is sent."
            ),
            "invalid_template": self.env._("the template cannot be used as it is."),
            "invalid_secret": self.env._(
                "expected 16 to 256 visible characters without spaces."
            ),
            "invalid_header": self.env._(
                "a header is not allowed, or is not written as 'Name: value'."
            ),
            "limit_exceeded": self.env._("it is too large for the sidecar."),
            "payload_too_large": self.env._("the payload exceeds 256 KiB."),
            "too_old": self.env._(
                "this sidecar is too old for it. Upgrade the sidecar, or clear the field."
            ),
            "conflict": self.env._("the sidecar has another version of it."),
            "not_found": self.env._("the sidecar does not know it."),
            "inactive": self.env._("the subscription is inactive."),
            "fenced": self.env._("the sidecar belongs to another database."),
            "store_unavailable": self.env._("the sidecar cannot store anything now."),
        }.get(kind)
