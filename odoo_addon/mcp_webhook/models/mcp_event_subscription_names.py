# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Names in a payload template that the fields to send do not give."""

from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..tools import limits, validation
from ..tools.template_names import names_in

OF_EVERY_RELATION = ("id", "display_name")
MOST_TOLD = 5


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    template_warning = fields.Text(compute="_compute_template_warning")

    @api.depends("payload_template", "enrich_fields", "model_id")
    @api.depends_context("lang")
    def _compute_template_warning(self):
        for subscription in self:
            names = subscription._names_without_a_value()
            subscription.template_warning = bool(names) and self.env._(
                "The template asks for %(names)s, which the fields to send do not give: "
                "that stays empty. Add the field, or correct the name.",
                names=limits.shown(", ".join(names[:MOST_TOLD])),
            )

    def _names_without_a_value(self):
        """Paths that the template asks for, and no field to send gives."""
        self.ensure_one()
        paths = validation.paths_of(self.enrich_fields)
        return [
            name for name in self._names_in_template() if not self._gives(paths, name)
        ]

    def _names_in_template(self):
        try:
            label = "payload_template"
            return names_in(
                validation.parse_template(self.env, label, self.payload_template)
            )
        except ValidationError:
            return []  # which is said elsewhere

    def _gives(self, paths, name):
        asked = name.split(".")
        if asked == ["id"]:
            return True
        return any(self._reaches(path.split("."), asked) for path in paths)

    def _reaches(self, given, asked):
        """Whether a value, or the object around it, is where the template looks."""
        both = min(len(given), len(asked))
        if given[:both] == asked[:both]:
            rest = asked[both:]
            return (
                not rest or not self._is_relation(given) or rest[0] in OF_EVERY_RELATION
            )
        # each object on the way has its id
        return asked[-1] == "id" and given[: len(asked) - 1] == asked[:-1]

    def _is_relation(self, path):
        model = self.env.get(self.model_name)
        for name in path:
            field = model is not None and model._fields.get(name)
            if not field or not field.comodel_name:
                return False
            model = self.env.get(field.comodel_name)
        return True
