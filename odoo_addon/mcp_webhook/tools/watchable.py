# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Which models and fields can be watched."""

# Watching these would make each delivery, cron run or message cause the next one.
DENIED_MODELS = frozenset(
    {
        "base",
        "mcp.event.subscription",
        "ir.cron",
        "ir.cron.progress",
        "ir.cron.trigger",
        "ir.logging",
        "ir.profile",
        "res.users.log",
    }
)
DENIED_PREFIXES = ("bus.", "mcp.webhook.", "res.device")


def is_denied(model_name):
    """True: this model must not be watched."""
    return model_name in DENIED_MODELS or model_name.startswith(DENIED_PREFIXES)


def is_watchable(field_):
    """A field whose value before and after a change can be compared."""
    return bool(field_.store) and field_.type not in ("one2many", "binary")


def unwatchable(model, names):
    """Those of the names that cannot be compared (any more), in order."""
    fields = model._fields
    return [n for n in names if n not in fields or not is_watchable(fields[n])]
