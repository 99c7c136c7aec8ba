"""Every text of every model of ours in what leaves for a spreadsheet, through Odoo's own controllers: read by a library that says which cells are live."""

import csv
import io
import json

import openpyxl
import pytest

SUBSCRIPTION, DELIVERY = "mcp.event.subscription", "mcp.webhook.delivery"
KIND = "E. Live cells in exports, groups and pivots"
LIVE = (
    "=1+1", "+1+1", "-1+1", "@SUM(1+1)", "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "\u200b=1+1", "\ufeff=1+1", "\u00a0=1+1", "{=1+1}", "{ =1+1}",
    "\uff1d1+1", "|calc", "%0A=1", "external:c:\\x.xlsx", "internal:Sheet2!A1", "=HYPERLINK(\"http://evil.example\")", "a\u202eb\u009bc\u2066d\u001be",
)
STEERING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069") | {chr(code) for code in (*range(9), 11, 12, *range(14, 32), *range(127, 160))}

# Past the ORM: what is stored may be older than any check.
PLANT = """
import json, uuid
model = env['ir.model']._get('res.partner')
found = {}
for number, word in enumerate(LIVE):
    subscription = env[SUBSCRIPTION].create({'model_id': model.id, 'active': False})
    row = env[DELIVERY].create({'subscription_id': subscription.id, 'event_uuid': str(uuid.uuid4()), 'status': 'failed'})
    env.flush_all()
    for record in (subscription, row):
        names = [n for n, f in record._fields.items() if f.store and f.type in ('char', 'text', 'html') and n not in ('uuid', 'domain')]
        sets = ', '.join(f'"{name}" = %s' for name in names)
        values = [f'{word} {number}' if name == 'event_uuid' else f'{word}: x' if name == 'headers_value' else word for name in names]
        env.cr.execute(f'UPDATE {record._table} SET {sets} WHERE id = %s', [*values, record.id])
        found.setdefault(record._name, []).append(record.id)
    env.cr.execute("INSERT INTO ir_model_data (module, name, model, res_id) VALUES ('__export__', %s, %s, %s)", [f'live_{number}', SUBSCRIPTION, subscription.id])
env.invalidate_all()
env.cr.commit()
print('PLANTED', json.dumps(found))
"""


@pytest.fixture
def planted(line):
    """Ids by model: one record for each live word, in all of its texts."""
    told = line.shell(f"LIVE, SUBSCRIPTION, DELIVERY = {LIVE!r}, {SUBSCRIPTION!r}, {DELIVERY!r}\n{PLANT}")
    yield json.loads(next(text for text in told.splitlines() if text.startswith("PLANTED ")).partition(" ")[2])
    line.shell(f"env[{DELIVERY!r}].search([]).unlink()\nenv.cr.commit()")


def judge(content):
    """`(texts, live ones)` of a sheet or of comma-separated values."""
    if content[:2] != b"PK":
        texts = [cell for row in csv.reader(io.StringIO(content.decode())) for cell in row]
        return texts, [text for text in texts if is_live(text)]
    cells = [cell for row in openpyxl.load_workbook(io.BytesIO(content)).active.iter_rows() for cell in row]
    live = [str(cell.value) for cell in cells if cell.data_type == "f" or (cell.hyperlink and "://" not in str(cell.value))]
    texts = [cell.value for cell in cells if isinstance(cell.value, str)]
    return texts, live + [text for text in texts if is_live(text)]


def is_live(text):
    first = text.lstrip(" \u200b\ufeff\u00a0")
    return first[:1] in tuple("=+-@|%\t\r\n\uff1d") or first.startswith(("{=", "{ =", "external:", "internal:")) or not STEERING.isdisjoint(text)


def check(attacks, what, content):
    texts, live = judge(content)
    assert any("1+1" in text for text in texts), f"{what}: they are in it"
    if live:
        attacks.reached(KIND, what, f"{live[:3]}")
    attacks.held(KIND, what, f"{len(texts)} cells, none live")


@pytest.mark.parametrize("model", [SUBSCRIPTION, DELIVERY])
def test_no_cell_of_an_export_is_live(people, planted, attacks, model):
    manager = people["manager"]
    described = manager.call(model, "fields_get", [], ["type", "store", "exportable", "groupable"])
    names = [name for name, field in described.items() if field["type"] in ("char", "text", "html", "many2one", "json") and field.get("exportable", True)]
    names = [name for name in names if not name.startswith(("preview", "message_", "activity_", "write_uid", "create_uid"))]
    fields = [{"name": name, "label": name, "type": described[name]["type"]} for name in names]
    asked = {"model": model, "fields": fields, "ids": planted[model], "domain": [], "context": {"active_test": False}}
    for form in ("csv", "xlsx"):
        for compatible in (False, True):
            data = json.dumps({**asked, "import_compat": compatible})
            check(attacks, f"{model}: {form}{', for import' if compatible else ''}", manager.session.get(f"/web/export/{form}", data=data))
    groups = [name for name in names if described[name]["type"] in ("char", "text", "many2one") and described[name].get("groupable") and described[name]["store"]]
    assert "response_body" in groups or model == SUBSCRIPTION
    for name in groups:
        for groupby in ([name], [name, "create_date:month"], ["create_date:month", name]):
            data = json.dumps({**asked, "import_compat": False, "groupby": groupby})
            check(attacks, f"{model}: xlsx grouped by {' and '.join(groupby)}", manager.session.get("/web/export/xlsx", data=data))


def test_no_head_of_a_pivot_is_live(people, planted, attacks):
    """The table comes from the browser, as it was shown there."""
    manager = people["manager"]
    for model in (SUBSCRIPTION, DELIVERY):
        table = {
            "title": "Pivot", "model": model, "measure_count": 1, "origin_count": 1,
            "col_group_headers": [[{"title": word, "width": 1, "height": 1} for word in LIVE]],
            "measure_headers": [{"title": word, "width": 1, "height": 1, "is_bold": False} for word in LIVE],
            "rows": [{"title": word, "indent": indent, "values": [{"value": word, "is_bold": False}]} for word in LIVE for indent in (0, 1)],
        }
        check(attacks, f"{model}: pivot", manager.session.get("/web/pivot/export_xlsx", data=json.dumps(table)))
