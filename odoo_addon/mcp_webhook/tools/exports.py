# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Texts on their way into a spreadsheet: endpoints, records and subscriptions carry other
people's words, and a cell must show them, not run them."""

import re
import unicodedata

from .limits import is_steering, spelled

OURS = ("mcp.event.", "mcp.webhook.")
# What some spreadsheet takes for a formula, a command, or a link to a file; also in full
# width, and behind anything that it does not show.
LIVE = re.compile(
    r"[=+\-@|%＝＋－＠｜％]|\{\s*=|(?:internal|external|file|ftp):", re.IGNORECASE
)
STARTS = ("\t", "\r", "\n")
# Where a spreadsheet may begin another cell, whatever separates the columns of its file.
NEXT = re.compile(r"([\t\r\n;])")
KEPT = frozenset("\t\r\n")


def is_ours(model_name):
    return isinstance(model_name, str) and model_name.startswith(OURS)


def defused(cell):
    """The text as text: an apostrophe before what would be live, and each character that
    steers a terminal, is not seen, or turns the direction of writing spelled out."""
    if not isinstance(cell, str):
        return cell
    quote = "'" if cell.startswith(STARTS) else ""
    return quote + "".join(map(_defused, NEXT.split(cell)))


def _defused(part):
    first = next((i for i, char in enumerate(part) if not _is_blank(char)), len(part))
    quote = "'" if LIVE.match(part, first) else ""
    return quote + "".join(map(_spelled, part))


def defused_all(value):
    """The same through a structure of JSON."""
    if isinstance(value, dict):
        return {key: defused_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(defused_all, value))
    return defused(value)


def _is_blank(char):
    return char.isspace() or unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")


def _spelled(char):
    return spelled(char) if is_steering(char) and char not in KEPT else char
