# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Path and headers of an attempt, as the sidecar has told them; for managers alone.

What a subscriber set as a header, and what an endpoint repeats of a secret, the sidecar has
left out. A path can be a secret of its own (Slack's is).
"""

from urllib.parse import urlsplit

from odoo import api, fields, models

from ..tools import limits
from ..tools.payload import clean
from .mcp_event_subscription import MANAGER

FEATURE = "delivery.changes.exchange"


class McpWebhookDelivery(models.Model):
    _inherit = "mcp.webhook.delivery"  # pylint: disable=consider-merging-classes-inherited

    exchange = fields.Json(readonly=True, copy=False, groups=fields.NO_ACCESS)
    request_headers = fields.Text(
        compute="_compute_exchange", compute_sudo=True, groups=MANAGER
    )
    response_headers = fields.Text(
        compute="_compute_exchange", compute_sudo=True, groups=MANAGER
    )
    endpoint_path = fields.Char(
        "Path",
        compute="_compute_exchange",
        compute_sudo=True,
        groups=MANAGER,
        help="Without its query.",
    )

    @api.depends("exchange")
    def _compute_exchange(self):
        for delivery in self:
            told = delivery.exchange or {}
            delivery.endpoint_path = told.get("path")
            for name in ("request_headers", "response_headers"):
                pairs = told.get(name) or ()
                delivery[name] = "\n".join(f"{key}: {value}" for key, value in pairs)

    def _points_to(self):
        """Where a redirect points, for its advice: host and path."""
        told = self.sudo().exchange or {}
        pairs = told.get("response_headers") or ()
        target = next((value for key, value in pairs if key == "location"), "")
        try:
            parts = urlsplit(target)
        except ValueError:
            return ""
        shown = parts._replace(query="", fragment="", netloc=parts.netloc.split("@")[-1])
        return limits.shown(shown.geturl())


def told_exchange(attempt):
    """The row's value for one attempt of the feed."""
    told = attempt.get("exchange")
    if not told:
        return False
    pairs = ("request_headers", "response_headers")
    return {
        "path": clean(told["path"]),
        **{
            name: [[clean(text) for text in pair] for pair in told[name]]
            for name in pairs
        },
    }
