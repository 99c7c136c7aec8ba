# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Fill the template editor, and the fields to send, with a click."""

from odoo import api, fields, models

from .. import validation
from ..payload_templates import TEMPLATES, template_text


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
        help="Replaces the template below by a ready-made one.",
    )
    enrich_path = fields.Char(
        "Add a Field", store=False, help="Pick a field, also of a related record."
    )

    @api.onchange("template_choice")
    def _onchange_template_choice(self):
        if self.template_choice:
            self.payload_template = template_text(self.template_choice)
            self.dialect = TEMPLATES[self.template_choice][0]
            self.enrich_fields = self.enrich_fields or "display_name"

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
