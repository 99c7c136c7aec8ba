"""Verifies what arrived with the Standard Webhooks libraries of two other languages, and with plain HMAC."""

import hashlib
import hmac
import json
import os
from pathlib import Path

from .cache import run


def verify(site, arrival, secret):
    """All three signatures of a request.

    :raises Exception: one of them does not hold.
    """
    from standardwebhooks.webhooks import Webhook

    headers = {name.lower(): value for name, value in arrival.headers.items()}
    expected = hmac.new(secret.encode(), arrival.body, hashlib.sha256).hexdigest()
    assert headers["x-mcp-signature"] == f"sha256={expected}", "X-MCP-Signature does not hold"
    Webhook(secret).verify(arrival.body, headers)
    given = json.dumps({"secret": secret, "headers": headers, "body": arrival.body.decode()})
    script = Path(__file__).with_name("verify.js")
    answer = run(["node", script], input=given, env=dict(os.environ, NODE_PATH=str(site.node_modules)))
    assert answer == "verified", answer
