# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Where users may send events without asking: `host[/path-prefix]`, comma-separated.

Some hosts receive for everybody, and only the path says for whom: an entry without it
would let an AI send to any workspace of the world.
"""

import re
import unicodedata
from urllib.parse import unquote, urlsplit

from .validation import endpoint, origin, refuse

# Domain, what a path prefix must begin with, and an example.
SHARED = (
    ("slack.com", r"/(services|workflows|triggers)/[^/]+", "/services/T01234567"),
    ("discord.com", r"/api/(v\d+/)?webhooks/[^/]+", "/api/webhooks/123456789"),
    ("discordapp.com", r"/api/(v\d+/)?webhooks/[^/]+", "/api/webhooks/123456789"),
    ("zapier.com", r"/hooks/catch/[^/]+", "/hooks/catch/1234567"),
    ("make.com", r"/[^/]+", "/abcdef0123456789"),
    ("webhook.site", r"/[^/]+", "/01234567-89ab-cdef-0123-456789abcdef"),
    (
        "maker.ifttt.com",
        r"/trigger/[^/]+/(json/)?with/key/[^/]+",
        "/trigger/x/with/key/y",
    ),
    ("chat.googleapis.com", r"/v1/spaces/[^/]+", "/v1/spaces/AAAA0123456"),
    ("api.telegram.org", r"/bot[^/]+", "/bot123456:ABC"),
    ("logic.azure.com", r"/workflows/[^/]+", "/workflows/0123456789abcdef"),
    ("outlook.office.com", r"/webhook/[^/]+", "/webhook/01234567-89ab"),
)

# `%` that begins no escape, or one of a control character or of `#%./;?\\`.
OPENING_ESCAPE = re.compile(
    r"%(?![0-9a-f]{2})|%(?:[01][0-9a-f]|23|25|2e|2f|3b|3f|5c|7f)", re.IGNORECASE
)

ENTRY = re.compile(r"([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?(/[!-~]*)?")


def check_allowed_hosts(env, label, text):
    """Every entry is a host, and a shared one says for whom.

    :raise ValidationError: naming `label`
    """
    for entry in _entries(text):
        if not ENTRY.fullmatch(entry.partition("/")[0].lower() + _prefix(entry)):
            refuse(
                label,
                env._(
                    "%r is not a host; expected host or host/path-prefix, comma-separated, "
                    "without https://. Example: hooks.example.com/odoo.",
                    entry,
                ),
            )
        example = _open_to_everybody(entry)
        if example:
            refuse(
                label,
                env._(
                    "%(host)s receives for everybody, so any user could send to anybody "
                    "there; expected the part of the path that is yours. "
                    "Example: %(host)s%(path)s.",
                    host=entry.partition("/")[0],
                    path=example,
                ),
            )


def is_allowed(url, allowed_hosts):
    """Whether an entry covers the URL.

    A prefix ends at a path segment; below it, nothing that any server could read as a
    way out is covered. An entry without a port covers any. A shared host without its
    path covers nothing.
    """
    where = endpoint(url)
    if not where:
        return False
    parts = urlsplit(url)
    path = parts.path or "/"
    if "@" in parts.netloc or "\\" in url or not url.isascii():
        return False
    if any(ord(char) <= 32 or ord(char) == 127 for char in url):
        return False
    host, port = where
    for entry in _entries(allowed_hosts):
        allowed = entry.partition("/")[0].strip("[]").lower()
        if allowed not in (host, f"{host}:{port}", f"{host}]:{port}"):
            continue
        prefix = _prefix(entry)
        below = path == prefix or path.startswith(prefix + "/")
        covered = not prefix or (below and _stays_below(path))
        if covered and not _open_to_everybody(entry):
            return True
    return False


def receiver(url):
    """Who receives: `(scheme, host, port)`, and on a host that receives for everybody
    whose place it is. A secret never goes on to another one."""
    where = origin(url)
    if not where:
        return None
    path = urlsplit(url).path
    for domain, pattern, _example in SHARED:
        if where[1] == domain or where[1].endswith(f".{domain}"):
            place = re.match(pattern, path) if _stays_below(path) else None
            return (*where, place[0] if place else path)
    return where


def _stays_below(path):
    """Whether no server reads it as a path that leaves its own beginning: not by dots,
    empty segments or parameters, and not by anything that becomes one of these when it
    is decoded once, twice, leniently, or to its compatible form."""
    if ";" in path or "\\" in path or "//" in path or OPENING_ESCAPE.search(path):
        return False
    try:
        decoded = unquote(path, errors="strict")
    except UnicodeDecodeError:
        return False  # overlong, or another encoding
    plain = unicodedata.normalize("NFKC", decoded)
    if any(plain.count(char) > path.count(char) for char in "/.;%\\?#"):
        return False
    foreign = (char for char in decoded + plain if not char.isascii())
    if any(unicodedata.category(char)[0] not in "LMN" for char in foreign):
        return False  # some servers take a sign that looks alike for the sign itself
    return not any(s and not s.strip(" .") for s in plain.split("/"))


def _entries(text):
    return filter(None, (entry.strip() for entry in (text or "").split(",")))


def _prefix(entry):
    """`/services/T1`, or nothing."""
    prefix = entry.partition("/")[2].rstrip("/")
    return f"/{prefix}" if prefix else ""


def _open_to_everybody(entry):
    """An example of what is missing, or None."""
    host = entry.partition("/")[0].partition(":")[0].lower().rstrip(".")
    for domain, pattern, example in SHARED:
        if host == domain or host.endswith(f".{domain}"):
            return None if re.match(pattern, _prefix(entry)) else example
    return None
