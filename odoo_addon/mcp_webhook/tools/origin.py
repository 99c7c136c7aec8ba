# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Who calls: a person through the browser, or a program, with which API key, and in
answer to which event."""

import re
import threading
from urllib.parse import urlsplit

from odoo.http import request

MARK = "webhook-id"  # the request header that comes back
EVENT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
BEARER = re.compile(r"bearer\s+(\S+)", re.IGNORECASE)
INDEX = 8  # characters of an API key by which Odoo looks it up
KEY = "mcp_webhook_key"  # an attribute of the thread
PROGRAMS = ("/json", "/xmlrpc", "/web/hook")  # beginnings of the paths of programs' doors


def origin():
    """`(event id that came back or None, whether a program calls)`

    XML-RPC and JSON-RPC hide the request from what they call: the thread knows its URL.
    """
    mark = request.httprequest.headers.get(MARK, "") if request else ""
    path = urlsplit(getattr(threading.current_thread(), "url", None) or "").path
    return mark if EVENT_ID.fullmatch(mark) else None, path.startswith(PROGRAMS)


def remember_key(password):
    """What XML-RPC and JSON-RPC were given as a password; of this request of the thread."""
    thread = threading.current_thread()
    setattr(thread, KEY, (getattr(thread, "perf_t0", None), password[:INDEX]))


def api_key():
    """`(user id, index of an API key)` of this request; `(None, None)`: no key came."""
    thread = threading.current_thread()
    if request:
        given = BEARER.match(request.httprequest.headers.get("Authorization", ""))
        return (request.env.uid, given[1][:INDEX]) if given else (None, None)
    begun, index = getattr(thread, KEY, (None, None))
    if begun is None or begun != getattr(thread, "perf_t0", None):
        return None, None
    return getattr(thread, "uid", None), index
