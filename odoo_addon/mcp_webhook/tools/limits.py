# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How much one value may be, judged by counting before anything is parsed, stored or
sent: a text by its bytes and brackets, a structure by walking it until it is too much.

The sidecar has the same limits (`crates/webhook-model/src/limits.rs`); what it could not
take must not get as far as its door.
"""

import json
import re
import unicodedata
from dataclasses import dataclass

from odoo.exceptions import ValidationError

DEPTH = 32  # of JSON and of domains
MAX_CONDITIONS = 200  # of a domain: each costs in every save that it judges
MAX_HEADERS = 32
MAX_HEADER_BYTES = 4096
MAX_PATHS = 200
MAX_PATH_BYTES = 256
PER_USER = 50  # subscriptions that one user's AIs may have
PER_USER_AND_MODEL = 20
PER_USER_BYTES = 512 * 1024  # of templates and filters: the sidecar holds them in memory
PER_USER_VALUES = 8 * 1024  # of their templates, for the same reason
SHOWN = 80  # characters of what was given, in an error

# Characters that are not seen, or turn the direction of what stands beside them; the two
# joiners stay, with which words and pictures are made. As the sidecar's terminal has them.
HIDDEN = frozenset(
    chr(code)
    for first, last in (
        (0xAD, 0xAD),
        (0x61C, 0x61C),
        (0x180E, 0x180E),
        (0x200B, 0x200B),
        (0x200E, 0x200F),
        (0x2028, 0x202E),
        (0x2060, 0x206F),
        (0xFEFF, 0xFEFF),
        (0xFFF9, 0xFFFB),
        (0x1D173, 0x1D17A),
        (0xE0000, 0xE007F),
    )
    for code in range(first, last + 1)
)
# What begins and ends a string of JSON or Python, a comment, and brackets and commas
# between. An end that is missing is the end of the text, so each letter is read once.
TOKEN = re.compile(
    r"'''(?:[^'\\]|\\.|'(?!''))*(?:''')?"
    r'|"""(?:[^"\\]|\\.|"(?!""))*(?:""")?'
    r"|'(?:[^'\\]|\\.)*'?"
    r'|"(?:[^"\\]|\\.)*"?'
    r"|#[^\n]*|[\[({]|[\])}]|,",
    re.DOTALL,
)


@dataclass(frozen=True)
class Limit:
    """Of one field; `values` and `depth` where its text is a structure."""

    bytes: int
    values: int | None = None
    depth: int = DEPTH
    one_line: bool = True


DOMAIN = Limit(64 * 1024, values=5000, one_line=False)
PATHS = Limit(MAX_PATHS * MAX_PATH_BYTES, values=MAX_PATHS + 1, one_line=False)
TEMPLATE = Limit(64 * 1024, values=4 * 1024, one_line=False)
POINTER = Limit(1024)
URL = Limit(2048)
VALUE = Limit(4096, values=1000)
WORD = Limit(256)
WORDS = Limit(4096, one_line=False)

# Every text that somebody can write into a field of ours, by the field's name.
FIELDS = {
    "connection": WORD,
    "domain": DOMAIN,
    "enrich_fields": PATHS,
    "enrich_path": WORD,
    "mcp_webhook_allowed_hosts": Limit(16 * 1024),
    "mcp_webhook_sidecar_token": Limit(4096),
    "mcp_webhook_sidecar_url": URL,
    "mcp_webhook_wake_url": URL,
    "name": WORD,
    "payload_template": TEMPLATE,
    "reason": WORDS,
    "secret": WORD,
    "success_equals": VALUE,
    "success_pointer": POINTER,
    "watched_field_ids": Limit(16 * 1024, values=1000),
    "webhook_headers": Limit(MAX_HEADERS * (MAX_HEADER_BYTES + 256), one_line=False),
    "webhook_secret": WORD,
    "webhook_url": URL,
}
# The parameters of the AI's door.
PARAMETERS = {
    "model": WORD,
    "event_type": WORD,
    "domain": DOMAIN,
    "fields": PATHS,
    "webhook_url": URL,
    "webhook_payload_template": TEMPLATE,
    "enrich_fields": PATHS,
    "in_session": WORD,
    "generate_secret": WORD,
    "include_own_changes": WORD,
}


def check_fields(env, values):
    """:raise ValidationError: naming the first field that brings too much"""
    for name, value in values.items():
        limit = FIELDS.get(name)
        if limit:
            check(env, name, value, limit)


def check_parameters(env, given):
    """:raise ValidationError: naming the first parameter that brings too much"""
    for name, value in given.items():
        limit = PARAMETERS.get(name)
        if limit:
            check(env, name, value, limit)


def check(env, label, value, limit):
    """:raise ValidationError: beginning with `label`"""
    if isinstance(value, str):
        _check_text(env, label, value, limit)
    elif isinstance(value, dict | list | tuple | set | frozenset):
        _check_structure(env, label, value, limit)
    elif value is not None and not (isinstance(value, int) and value.bit_length() < 64):
        # whatever Odoo would make a text of, past these limits
        _refuse(label, env._("expected text. Example: a string."))


def shown(value, most=SHOWN):
    """What an error repeats of a value.

    :param most: characters
    """
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= most else f"{text[:most]}…"


def _check_text(env, label, text, limit):
    size = len(text)
    if size <= limit.bytes:
        size = len(text.encode("utf-8", "surrogatepass"))
    if size > limit.bytes:
        _refuse(
            label,
            env._(
                "%(size)s bytes are too many; expected at most %(most)s. "
                "Example: a shorter text.",
                size=size,
                most=limit.bytes,
            ),
        )
    allowed = "" if limit.one_line else "\t\r\n"
    if any(is_steering(char) and char not in allowed for char in text):
        _refuse(
            label,
            env._(
                "control characters and characters that are not seen or turn the "
                "direction of writing are not allowed, for what is approved must be what "
                "is seen; remove them, or spell them. Example: \\u202e."
            ),
        )
    if limit.values is not None:
        _check_brackets(env, label, text, limit)


def is_steering(char):
    """Whether it does something else than show itself."""
    return char in HIDDEN or unicodedata.category(char) in ("Cc", "Cs")


def spelled(char):
    """As JSON and Python write it."""
    code = ord(char)
    return f"\\u{code:04x}" if code < 0x10000 else json.dumps(char)[1:-1]


def values_of(text):
    """How many values a text may have, by its brackets and commas."""
    return 1 + sum(token[0][0] in "[({," for token in TOKEN.finditer(text or ""))


def _check_brackets(env, label, text, limit):
    depth, values = 0, 1
    for token in TOKEN.finditer(text):
        first = token[0][0]
        if first in "[({":
            depth += 1
            values += 1
        elif first in "])}":
            depth -= 1
        elif first == ",":
            values += 1
        if depth > limit.depth or values > limit.values:
            _refuse_structure(env, label, limit)


def _check_structure(env, label, value, limit):
    """Stops as soon as it is too much, and never follows the recursion of the value."""
    values, size, level = 1, 0, [value]
    for _depth in range(limit.depth + 1):
        below = []
        for container in level:
            values += len(container)
            if limit.values is None or values > limit.values:
                _refuse_structure(env, label, limit)
            members = container
            if isinstance(container, dict):
                members = [*container.keys(), *container.values()]
            for member in members:
                if isinstance(member, str | bytes | bytearray | memoryview):
                    size += len(member)
                elif isinstance(member, int):
                    size += member.bit_length() // 3
                elif isinstance(member, dict | list | tuple | set | frozenset):
                    below.append(member)
            if size > limit.bytes:
                _refuse_structure(env, label, limit)
        if not below:
            return
        level = below
    _refuse_structure(env, label, limit)


def _refuse_structure(env, label, limit):
    if limit.values is None:
        _refuse(label, env._("expected text. Example: a string."))
    _refuse(
        label,
        env._(
            "it is too large; expected at most %(values)s values, nested at most "
            "%(depth)s deep, and %(bytes)s bytes. Example: fewer of them.",
            values=limit.values,
            depth=limit.depth,
            bytes=limit.bytes,
        ),
    )


def _refuse(label, text):
    message = f"{label}: {text}"
    raise ValidationError(message)
