# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Who calls: a person through the browser, or a program, and in answer to which event."""

import re
import threading
from urllib.parse import urlsplit

from odoo.http import request

MARK = "webhook-id"  # the request header that comes back
EVENT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PROGRAMS = ("/json", "/xmlrpc", "/web/hook")  # beginnings of the paths of programs' doors


def origin():
    """`(event id that came back or None, whether a program calls)`

    XML-RPC and JSON-RPC hide the request from what they call: the thread knows its URL.
    """
    mark = request.httprequest.headers.get(MARK, "") if request else ""
    path = urlsplit(getattr(threading.current_thread(), "url", None) or "").path
    return mark if EVENT_ID.fullmatch(mark) else None, path.startswith(PROGRAMS)
