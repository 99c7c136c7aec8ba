# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Column values of any type, read so that equal ones are equal: translations and
company-dependent values as stored, in all languages and for all companies."""

import json
from decimal import Decimal

from odoo.tools import SQL


def values(names):
    """SQL of one text that holds the columns of table `t`."""
    if not names:
        return SQL("NULL")
    each = SQL(", ").join(SQL("to_jsonb(t.%s)", SQL.identifier(name)) for name in names)
    return SQL("to_jsonb(ARRAY[%s])::text", each)


def parsed(text):
    """A list of the values, in order. Numbers keep their digits."""
    return json.loads(text, parse_float=Decimal) if text else []
