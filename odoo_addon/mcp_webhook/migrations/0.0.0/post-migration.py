# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Runs at every change of version, after the scripts of the versions between.

What the addon tells the sidecar of a subscription may differ from what the version
before told it, so the sidecar is told of all of them again, by the next sweep.
"""


def migrate(cr, version):
    """:param version: the version before; empty at an installation"""
    if version:
        cr.execute("UPDATE mcp_event_subscription SET sync_pending = TRUE")
