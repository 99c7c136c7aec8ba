# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Runs at every change of version, after the scripts of the versions between.

What the addon tells the sidecar of a subscription may differ from what the version
before told it, so the sidecar is told of all of them again, by the next sweep.
"""


def migrate(cr, version):
    """:param version: the version before; empty at an installation"""
    if version:
        cr.execute("UPDATE mcp_event_subscription SET sync_pending = TRUE")
        # made before anybody noted whose word it was: the list's, unless its maker is a
        # manager and needed none
        cr.execute(
            """UPDATE mcp_event_subscription s
                  SET by_allowed_host = COALESCE(s.webhook_url, '') != ''
                      AND s.connection = 'subscribe_events'
                      AND COALESCE(s.approval, 'none') = 'none'
                      AND NOT EXISTS (
                          SELECT FROM res_groups_users_rel r
                            JOIN ir_model_data d ON d.res_id = r.gid
                           WHERE r.uid = s.create_uid
                             AND d.module = 'mcp_webhook' AND d.name = 'group_manager')
                WHERE s.by_allowed_host IS NULL"""
        )
