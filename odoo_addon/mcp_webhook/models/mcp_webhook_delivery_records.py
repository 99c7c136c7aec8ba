# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The records of an event, by the names that their reader may see."""

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL

from ..tools import limits

SHOWN = 5  # of the up to 200 records of an event
NAME_LENGTH = 60
MAX_FOUND = 100  # records of one model, in a search
NAMED_MS = 2_000  # that the database may take to find some by name


class McpWebhookDelivery(models.Model):
    _inherit = "mcp.webhook.delivery"  # pylint: disable=consider-merging-classes-inherited

    model_label = fields.Char("Kind of Record", compute="_compute_model_label")
    record_list = fields.Char("Record IDs, Shortened", compute="_compute_record_list")
    record_names = fields.Char(
        "Records",
        compute="_compute_record_names",
        search="_search_record_names",
        help="Of deleted records, and of those that you may not read, the id.",
    )

    @api.depends("model_name")
    @api.depends_context("lang")
    def _compute_model_label(self):
        known = self.env["ir.model"].sudo()
        for name, rows in self.grouped("model_name").items():
            rows.model_label = (known._get(name).name if name else "") or name

    @api.depends("record_ids")
    @api.depends_context("lang")
    def _compute_record_list(self):
        for delivery in self:
            delivery.record_list = delivery._told({})

    @api.depends("model_name", "record_ids")
    @api.depends_context("uid", "lang", "allowed_company_ids")
    def _compute_record_names(self):
        for model_name, rows in self.grouped("model_name").items():
            ids = {id_ for row in rows for id_ in (row.record_ids or [])[:SHOWN]}
            names = rows._names_to_reader(model_name, sorted(ids))
            for row in rows:
                row.record_names = row._told(names)

    def _told(self, names):
        ids = self.record_ids or []
        text = ", ".join(names.get(id_) or str(id_) for id_ in ids[:SHOWN])
        if len(ids) > SHOWN:
            count = len(ids) - SHOWN
            text = self.env._("%(ids)s and %(count)s more", ids=text, count=count)
        return text

    def _readable_model(self, model_name):
        """The model for whoever looks at the log, or None: reading the log gives nobody a
        right to read records."""
        if not model_name or model_name not in self.env:
            return None
        model = self.env[model_name].with_context(active_test=False)
        return model if model.has_access("read") else None

    def _names_to_reader(self, model_name, ids):
        model = self._readable_model(model_name)
        if model is None or not ids:
            return {}
        try:
            with self.env.cr.savepoint():
                return {
                    record.id: limits.shown(record.display_name or "", NAME_LENGTH)
                    for record in model.search([("id", "in", ids)])
                }
        except Exception:
            return {}  # the names of other people's models must not close our log

    def _search_record_names(self, operator, value):
        if operator not in ("in", "ilike", "="):
            return NotImplemented
        texts = value if operator == "in" else [value]
        found = [self._about(None, [int(t)]) for t in map(str, texts) if t.isdecimal()]
        matches = "ilike" if operator == "ilike" else "="
        for (model_name,) in self._read_group([], ["model_name"]):
            model = self._readable_model(model_name)
            if model is None:
                continue
            for text in filter(None, map(str, texts)):
                if ids := self._ids_by_name(model, text, matches):
                    found.append(self._about(model_name, ids))
        return Domain.OR(found)

    @api.model
    def _ids_by_name(self, model, text, operator):
        try:
            with self.env.cr.savepoint() as savepoint:
                self.env.cr.execute("SET LOCAL statement_timeout = %s", [NAMED_MS])
                named = model.name_search(text, operator=operator, limit=MAX_FOUND)
                savepoint.rollback()  # the limit, too
        except Exception:
            return []  # nor must they close its search
        return [id_ for id_, _name in named]

    @api.model
    def _about(self, model_name, ids):
        """Rows whose event is about one of these records; of any model, if None."""

        def to_sql(_model, alias, _query):
            column = SQL.identifier(alias, "record_ids")
            any_of = SQL(" OR ").join(
                SQL("%s @> %s::jsonb", column, str(id_)) for id_ in ids
            )
            if model_name is None:
                return SQL("(%s)", any_of)
            name = SQL.identifier(alias, "model_name")
            return SQL("(%s = %s AND (%s))", name, model_name, any_of)

        return Domain.custom(to_sql=to_sql)
