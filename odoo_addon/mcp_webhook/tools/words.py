# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the addon says where it does not know who will read it. Knows nothing of Odoo.

Rows and errors keep an English sentence and at most one detail behind it in parentheses,
so that the sentence can be found in each reader's language: see `translated.py`.
"""

import re

_SENTENCE = re.compile(r"(?s)(.*?)( \([^()]*\))?")


def _lt(sentence):
    """Marks a sentence for the translators."""
    return sentence


def detailed(sentence, detail):
    """:param detail: a name or a code; None: there is nothing to add"""
    if detail is None:
        return sentence
    return f"{sentence} ({re.sub('[()]', ' ', str(detail)).strip()})"


def parts(text):
    """`(sentence, detail as it stands behind it)` of what :func:`detailed` returned."""
    sentence, detail = _SENTENCE.fullmatch(text).groups()
    return sentence, detail or ""
