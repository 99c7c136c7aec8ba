# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What counts as a success, where a 2xx code alone is not enough: some receivers answer 200
and say in the text that they did not take it, or show a page to log in."""

from odoo import api, fields, models

from ..tools import limits, validation

# A change of these changes what is recorded, not what leaves, where to, or with whose
# credentials: no manager has to approve it anew. The AI's door does not offer them.
SUCCESS_FIELDS = ("success_not_html", "success_pointer", "success_equals")


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    success_not_html = fields.Boolean(
        "No Web Page",
        tracking=True,
        help="An answer that is a web page counts as a failure: it is mostly a page to "
        "log in, or an error in a friendly wording.",
    )
    success_pointer = fields.Char(
        "Answer Has",
        tracking=True,
        help="The place of a value in the endpoint's answer, which must be JSON: /ok is "
        "ok in the outermost object, /result/0/id is id of the first item in result. The "
        "value must be there; without one the delivery counts as failed.",
    )
    success_equals = fields.Char(
        "With the Value",
        tracking=True,
        help='What must stand there, as JSON: true, 0, or a text in quotation marks ("ok").'
        " Empty: any value.",
    )

    @api.constrains("success_pointer", "success_equals")
    def _check_success(self):
        for subscription in self:
            pointer = subscription.success_pointer
            validation.check_pointer(self.env, "success_pointer", pointer)
            if subscription._success_value() and not pointer:
                validation.refuse(
                    "success_equals",
                    self.env._(
                        "it says which value, but not where in the answer; expected a "
                        "place in success_pointer, too. Example: /ok."
                    ),
                )

    def _success_value(self):
        """`[value]`, for null is a value, too; empty where any will do."""
        text = (self.success_equals or "").strip()
        if not text:
            return []
        value = validation.parse_json(
            self.env,
            "success_equals",
            text,
            limits.VALUE,
            self.env._('true, 0, or "ok" with its quotation marks'),
        )
        return [value]

    def _success(self):
        """The contract's `success`, or None where any 2xx answer is one."""
        self.ensure_one()
        success = {}
        if self.success_not_html:
            success["not_html"] = True
        if self.success_pointer:
            success["pointer"] = self.success_pointer
        for value in self._success_value():
            success["equals"] = value
        return success or None

    def _success_in_words(self):
        """What it asks of an answer, or False."""
        conditions = []
        if self.success_not_html:
            conditions.append(self.env._("it is no web page"))
        if self.success_pointer and self.success_equals:
            conditions.append(
                self.env._(
                    "the value at %(place)s is %(value)s",
                    place=limits.shown(self.success_pointer),
                    value=limits.shown(self.success_equals),
                )
            )
        elif self.success_pointer:
            conditions.append(
                self.env._("there is a value at %s", limits.shown(self.success_pointer))
            )
        return "; ".join(conditions) or False
