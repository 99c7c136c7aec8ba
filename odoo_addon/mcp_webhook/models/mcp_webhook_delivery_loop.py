# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What is kept of an event against loops, and how one ends."""

from odoo import fields, models

from ..capture.watch import SKIP, UNSEEN
from ..tools.origin import origin
from ..tools.translated import translated
from ..tools.words import _lt, detailed

KIND = "loop"


class McpWebhookDelivery(models.Model):
    _inherit = "mcp.webhook.delivery"  # pylint: disable=consider-merging-classes-inherited

    cause_uuid = fields.Char(
        "Caused by Event",
        readonly=True,
        copy=False,
        help="The change came with the webhook-id of this event: its receiver made it.",
    )
    by_program = fields.Boolean(readonly=True, copy=False, groups=fields.NO_ACCESS)

    def _insert_values(self, row):
        cause, by_program = origin()
        return super()._insert_values(
            {"cause_uuid": cause, "by_program": by_program, **row}
        )

    def _end_loop(self, subscription):
        """This event fails, what comes after it waits, and both are said."""
        self.ensure_one()
        newest = self.sudo().search([], order="id desc", limit=1)
        unseen = subscription.with_context(**{SKIP: UNSEEN})
        unseen.write({"paused": True, "loop_after": newest.id})
        sentence = _lt(
            "Not sent, and the subscription is paused: its events cause themselves. One "
            "record fires it again and again: what receives the events seems to write what "
            "it is told of. What came after waits. Let the receiver write only what "
            "differs, or watch fields that it does not write; then resume."
        )
        record = f"{self.model_name} {self.record_ids[0]}"
        message = detailed(sentence, record)
        self._fail(KIND, message, in_odoo=True)
        self.env["mcp.webhook.outbox"].search([("delivery_id", "=", self.id)]).unlink()
        unseen._tell(lambda here: (here._loop_subject(), translated(here.env, message)))
        self._mirror_badges(self)
