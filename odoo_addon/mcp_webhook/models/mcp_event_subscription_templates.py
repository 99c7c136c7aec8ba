# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Fill the template editor, and the fields to send, with a click."""

from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..tools import validation
from ..tools.payload_templates import TEMPLATES, template_text


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    template_choice = fields.Selection(
        [
            ("slack", "Slack"),
            ("teams", "Microsoft Teams"),
            ("discord", "Discord"),
            ("google_chat", "Google Chat"),
            ("generic", "Generic"),
            ("automation", "n8n, Zapier, Make"),
        ],
        string="Start From",
        store=False,
        help="Fills an empty template, and adds the fields that it needs.",
    )
    enrich_path = fields.Char(
        "Add a Field", store=False, help="Pick a field, also of a related record."
    )

    @api.onchange("template_choice")
    def _onchange_template_choice(self):
        """What somebody has written stays until he takes it away himself."""
        if not self.template_choice:
            return None
        if self._is_written_by_hand():
            self.template_choice = False
            return {
                "warning": {
                    "title": self.env._("The template is your own"),
                    "message": self.env._(
                        "It would be replaced. Empty it (or copy it elsewhere) first, then "
                        "choose what to start from."
                    ),
                }
            }
        self.payload_template = template_text(self.template_choice)
        self.dialect = TEMPLATES[self.template_choice][0]
        paths = validation.paths_of(self.enrich_fields)
        missing = self._names_without_a_value()
        if not paths and not missing:
            missing = ["display_name"]  # `records` without values would be ids only
        self.enrich_fields = "\n".join([*paths, *missing])
        return None

    def _is_written_by_hand(self):
        try:
            written = validation.parse_template(
                self.env, "payload_template", self.payload_template
            )
        except ValidationError:
            return True
        return written is not None and written not in (v for _d, v in TEMPLATES.values())

    @api.onchange("enrich_path")
    def _onchange_enrich_path(self):
        if not self.enrich_path:
            return
        paths = validation.paths_of(self.enrich_fields)
        if self.enrich_path not in paths:
            validation.check_path(
                self.env, "enrich_fields", self.enrich_path, self.model_name
            )
            self.enrich_fields = "\n".join([*paths, self.enrich_path])
        self.enrich_path = False
