# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What Odoo does not clean up by itself when the addon goes."""

import logging

from .tools.sidecar import SidecarError, SidecarUnreachable

_logger = logging.getLogger(__name__)

PARAMETERS = "mcp_webhook.%"
TIMEOUT = (1.0, 3.0)


def uninstall_hook(env):
    """Takes this database's subscriptions out of the sidecar, and its parameters out of
    Odoo. A sidecar that does not answer must not stop an uninstallation."""
    try:
        env["mcp.webhook.sidecar"]._client(TIMEOUT).sync([])
    except (SidecarError, SidecarUnreachable) as error:
        _logger.warning(
            "The sidecar still has the subscriptions of this database: %s", error
        )
    # Nobody is asked for a word any more when the list of hosts goes.
    env.cr.execute("UPDATE mcp_event_subscription SET by_allowed_host = FALSE")
    # The type of the requests for approval cannot go while there is one of them, also done.
    requests = env["mail.activity"].sudo().with_context(active_test=False)
    requests.search([("res_model", "=", "mcp.event.subscription")]).unlink()
    # Saved through the settings, they have no XML id and would stay.
    env["ir.config_parameter"].sudo().search([("key", "=like", PARAMETERS)]).unlink()
