#!/usr/bin/env python3
"""A whole installation to look at: PostgreSQL, Odoo 19, the sidecar and a receiver page. Ctrl-C ends all of it.

With DEMO_ONCE=1 it ends by itself after the first delivery stood as a success in Odoo.
"""

import html
import json
import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from realodoo import cache, fetch
from realodoo.cache import say, wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<title>What arrived</title><style>
body{{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1b1f24}}
article{{border:1px solid #d0d7de;border-radius:8px;margin:1rem 0;padding:.8rem 1rem}}
pre{{background:#f6f8fa;border-radius:6px;overflow:auto;padding:.7rem;font-size:13px}}
.ok{{color:#1a7f37;font-weight:600}}.no{{color:#cf222e;font-weight:600}}small{{color:#57606a}}
</style><h1>What arrived</h1><p>{count} webhooks, newest first. The page looks again every two seconds.</p>{items}"""
ITEM = """<article><b>{title}</b> <span class="{mark}">{verdict}</span><br><small>webhook-id {id} · {path}</small>
<pre>{body}</pre></article>"""


def main():
    """Starts everything, makes a subscription and a change, and waits."""
    _, python, _ = fetch.everything()
    if Path(sys.prefix).resolve() != Path(python).parent.parent.resolve():
        os.execv(python, [str(python), *sys.argv])  # the receiver page verifies with a library from the environment
    from realodoo.odoo import Site
    from realodoo.receiver import Receiver
    from realodoo.sidecar import Sidecar

    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    with Site() as site:
        receiver = Receiver()
        receiver.pages["/"] = lambda: ("text/html; charset=utf-8", page(receiver).encode())
        say("starting the sidecar")
        sidecar = Sidecar(site.folder).start()
        try:
            run(site, receiver, sidecar, stop)
        finally:
            say("ending everything")
            sidecar.stop()
            receiver.stop()
    say("ended")


def run(site, receiver, sidecar, stop):
    """The demo itself."""
    from realodoo.web import Session

    say("installing the addon into a database of its own")
    data = site.database("demo")
    site.install("demo", data)
    say("starting Odoo 19")
    server = site.serve(
        "demo", data, MCP_WEBHOOK_SIDECAR_URL=sidecar.url, MCP_WEBHOOK_SIDECAR_TOKEN=sidecar.token
    )
    odoo = Session(server)
    say("making a subscription: tell the receiver when a sale order is confirmed")
    subscription = odoo.create(
        "mcp.event.subscription",
        name="Confirmed orders",
        model_id=odoo.call("ir.model", "search", [("model", "=", "sale.order")])[0],
        event_type="write",
        domain="[('state', '=', 'sale')]",
        enrich_fields="name\namount_total\npartner_id.name\norder_line.name",
        webhook_url=f"{receiver.url}/orders",
        webhook_secret=SECRET,
    )
    partner = odoo.create("res.partner", name="Deco Addict")
    product = odoo.create("product.product", name="Four-person desk", list_price=2350)
    order = odoo.create("sale.order", partner_id=partner, order_line=[(0, 0, {"product_id": product})])
    say("confirming a sale order in Odoo")
    odoo.call("sale.order", "action_confirm", [order])
    arrival = receiver.wait("/orders")[0]
    say(f"arrived at the receiver, {verdict(arrival)[1]}: {arrival.body.decode()[:160]}…")
    row = wait_until(
        lambda: odoo.read(
            "mcp.webhook.delivery",
            [("subscription_id", "=", subscription), ("status", "=", "success")],
            "event_uuid", "attempt", "response_code", "duration_ms",
        ),
        "the row in Odoo to turn to success",
    )[0]
    say(f"its row in Odoo: success, HTTP {row['response_code']}, attempt {row['attempt']}, {row['duration_ms']} ms")
    print(
        f"""
  Odoo        {server.url}/odoo/event-subscriptions   login admin, password admin
  Deliveries  {server.url}/odoo/webhook-deliveries
  Receiver    {receiver.url}/
  Sidecar     {sidecar.url}/healthz and /metrics

  Confirm another sale order in Odoo and watch the receiver page. Ctrl-C ends everything.
""",
        flush=True,
    )
    if not os.environ.get("DEMO_ONCE"):
        stop.wait()


def verdict(arrival):
    """Whether the signature holds, as a class and as words."""
    from standardwebhooks.webhooks import Webhook, WebhookVerificationError

    try:
        Webhook(SECRET).verify(arrival.body, {name.lower(): value for name, value in arrival.headers.items()})
    except WebhookVerificationError:
        return "no", "signature missing or wrong"
    return "ok", "signature verified"


def page(receiver):
    """The receiver page."""
    items = []
    for arrival in reversed(receiver.arrivals[-50:]):
        mark, words = verdict(arrival)
        body = arrival.json
        title = f"{body.get('model', 'webhook')} {body.get('event_type', '')}" if isinstance(body, dict) else "webhook"
        text = json.dumps(body, indent=2, ensure_ascii=False)
        items.append(
            ITEM.format(
                title=html.escape(title), mark=mark, verdict=words, id=html.escape(arrival.headers.get("webhook-id", "")),
                path=html.escape(arrival.path), body=html.escape(text),
            )
        )
    return PAGE.format(count=len(receiver.arrivals), items="".join(items) or "<p>Nothing yet.</p>")


if __name__ == "__main__":
    try:
        main()
    except cache.Failed as failure:
        sys.exit(f"demo: {failure}")
