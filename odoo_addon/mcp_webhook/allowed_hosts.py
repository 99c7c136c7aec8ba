# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Where users may send events without asking: `host[/path-prefix]`, comma-separated.

Some hosts receive for everybody, and only the path says for whom: an entry without it
would let an AI send to any workspace of the world.
"""

import re
from urllib.parse import urlsplit

from .validation import endpoint, refuse

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

    A prefix ends at a path segment; dot segments and user names are never covered.
    An entry without a port covers any. A shared host without its path covers nothing.
    """
    where = endpoint(url)
    if not where:
        return False
    parts = urlsplit(url)
    path = parts.path or "/"
    lowered = path.lower()
    dotted = any(segment in (".", "..") for segment in path.split("/"))
    if "@" in parts.netloc or dotted or "%2e" in lowered or "%2f" in lowered:
        return False
    if "\\" in url or not url.isascii() or any(ord(char) <= 32 for char in url):
        return False
    host, port = where
    for entry in _entries(allowed_hosts):
        allowed = entry.partition("/")[0].strip("[]").lower()
        if allowed not in (host, f"{host}:{port}", f"{host}]:{port}"):
            continue
        prefix = _prefix(entry)
        covered = not prefix or path == prefix or path.startswith(prefix + "/")
        if covered and not _open_to_everybody(entry):
            return True
    return False


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
