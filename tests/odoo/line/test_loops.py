"""An endpoint that writes back what it is told of, through the doors of programs: it is stopped, and what waits is kept."""

import json
import urllib.request
import xmlrpc.client

SUBSCRIPTION = "mcp.event.subscription"
KIND = "L. Loops through an endpoint"


def json2(line, person, record, mark):
    """A write through JSON-2, with the mark that came, or without."""
    headers = {"Authorization": f"Bearer {person.key}", "Content-Type": "application/json", "X-Odoo-Database": line.odoo.database}
    if mark:
        headers["webhook-id"] = mark
    body = {"ids": [record], "vals": {"name": next(NAMES)}}
    request = urllib.request.Request(f"{line.odoo.url}/json/2/res.partner/write", json.dumps(body).encode(), headers)
    urllib.request.urlopen(request, timeout=60).read()


def xml_rpc(line, person, record, _mark):
    """A write through XML-RPC."""
    server = xmlrpc.client.ServerProxy(f"{line.odoo.url}/xmlrpc/2/object")
    server.execute_kw(line.odoo.database, person.session.uid, person.key, "res.partner", "write", [[record], {"name": next(NAMES)}])


def json_rpc(line, person, record, _mark):
    """A write through JSON-RPC."""
    args = [line.odoo.database, person.session.uid, person.key, "res.partner", "write", [[record], {"name": next(NAMES)}]]
    body = {"jsonrpc": "2.0", "id": 1, "method": "call", "params": {"service": "object", "method": "execute_kw", "args": args}}
    request = urllib.request.Request(f"{line.odoo.url}/jsonrpc", json.dumps(body).encode(), {"Content-Type": "application/json"})
    assert "error" not in json.loads(urllib.request.urlopen(request, timeout=60).read())


NAMES = (f"Name {number}" for number in range(10_000))
WAYS = {
    "the mark comes back": (json2, True, 15),
    "JSON-2": (json2, False, 70),
    "XML-RPC": (xml_rpc, False, 70),
    "JSON-RPC": (json_rpc, False, 70),
}


def test_what_comes_back_is_stopped_and_kept(line, people, attacks):
    writer = people["administrator"]
    for what, (write, marks, most) in WAYS.items():
        record = line.session.create("res.partner", name="Seed")
        subscription, path = line.subscribe("res.partner", "write", domain=f"[('id', '=', {record})]")

        def answer(arrival, write=write, record=record, marks=marks):
            write(line, writer, record, marks and arrival.id)
            return 200, b"written back"

        line.receiver.answers[path] = answer
        line.session.write("res.partner", record, name="Begin")
        (row,) = line.wait_rows(subscription, "failed", seconds=120)
        assert row["error_kind"] == "loop" and str(record) in row["error_message"], row
        (stored,) = line.session.call(SUBSCRIPTION, "read", [subscription], ["paused", "failure_count"])
        assert stored["paused"], "it is paused"
        sent = len(line.receiver.on(path))
        if sent > most:
            attacks.reached(KIND, what, f"{sent} events")
        line.wait_rows(subscription, "success", sent)
        line.session.write("res.partner", record, name="While it is paused")
        line.wait_rows(subscription, "pending")
        line.receiver.answers[path] = 200
        line.session.call(SUBSCRIPTION, "action_resume", [subscription])
        line.session.call("mcp.webhook.delivery", "action_redeliver", [row["id"]])
        rows = line.wait_rows(subscription, "success", sent + 2)
        assert not line.rows(subscription, ("status", "=", "pending")), "what waited went out"
        attacks.held(KIND, what, f"paused after {sent} events, the rest waited: {len(rows)} arrived in the end")
