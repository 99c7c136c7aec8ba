# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Kept sentences, in their reader's language."""

from odoo.tools.translate import get_translation

from .words import parts


def translated(env, text):
    """:param text: what `words.detailed` made; anything else stays as it is"""
    lang = env.lang or "en_US"
    whole = get_translation("mcp_webhook", lang, text, ())
    if whole != text:
        return whole
    sentence, detail = parts(text)
    return get_translation("mcp_webhook", lang, sentence, ()) + detail
