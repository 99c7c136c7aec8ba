"""Secrets with names that are easy to find, planted in a real Odoo and a real sidecar; every failure provoked; everything
that shows or keeps something searched."""

import base64
import io
import json
import subprocess
import threading
import urllib.request
import zipfile

import pytest
from realodoo.cache import wait_until
from realodoo.postgres import free_port
from realodoo.receiver import Receiver
from realodoo.web import RpcError

SUBSCRIPTION, DELIVERY = "mcp.event.subscription", "mcp.webhook.delivery"
KIND = "F. Secrets, looked for in a real Odoo"
SECRET = "canary-secret-5b1d"
HEADER = "canary-header-5b1e"
PATH = "canary-path-5b1f"
QUERY = "canary-query-5b20"
TEMPLATE = "canary-template-5b21"
TOKEN = "canary-wrong-token-5b22"
RESPONSE = "canary-response-5b23"
SEALED = (SECRET, HEADER, TOKEN)
CANARIES = (*SEALED, PATH, QUERY, TEMPLATE, RESPONSE)
# Where each of them belongs. Everywhere else it is a leak.
HOMES = {
    f"mcp_event_subscription.secret_value {SECRET}",
    f"mcp_event_subscription.headers_value {HEADER}",
    f"mcp_event_subscription.webhook_url {PATH}",
    f"mcp_event_subscription.webhook_url {QUERY}",
    f"mcp_event_subscription.payload_template {TEMPLATE}",
    f"mcp_webhook_delivery.payload {TEMPLATE}",
    f"mcp_webhook_delivery.response_body {RESPONSE}",
    f"mcp_webhook_delivery.response_body {TEMPLATE}",  # an endpoint that repeats the payload
    f"ir_config_parameter.value {TOKEN}",
}
STORED = ("secret_value", "headers_value")
TYPED = ("webhook_secret", "webhook_headers")


def echo(arrival):
    """Everything that the endpoint was given, and what it knows, in the shapes that it likes."""
    known = SECRET.encode()
    shapes = [known, base64.b64encode(known), known.hex().encode(), json.dumps(dict(arrival.headers)).encode(), arrival.body]
    return 500, RESPONSE.encode() + b" " + b"\n".join(shapes)


@pytest.fixture
def endpoints(line, tmp_path):
    """`{error kind: URL}`: one endpoint for each way in which an attempt ends."""
    pem = tmp_path / "self-signed.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={PATH}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", pem, "-out", tmp_path / "certificate"],
        check=True, capture_output=True,
    )
    with pem.open("a") as whole:
        whole.write((tmp_path / "certificate").read_text())
    untrusted = Receiver(certificate=pem)
    gate = threading.Event()
    answers = {"success": 200, "http_status": echo, "redirect": 302, "timeout": gate, "payload_too_large": 200}
    for kind, answer in answers.items():
        line.receiver.answers[f"/{PATH}/{kind}"] = answer
    urls = dict.fromkeys(answers, line.receiver.url)
    urls["tls"] = untrusted.url
    urls["protocol"] = untrusted.url.replace("https", "http")
    urls["connect"] = f"http://127.0.0.1:{free_port()}"
    yield urls
    gate.set()
    untrusted.stop()


@pytest.fixture
def talkative(line):
    """The sidecar says all that it can say. Afterwards all is as it was."""
    line.sidecar.stop()
    line.sidecar.start(RUST_LOG="trace", RUST_BACKTRACE="1")
    yield
    line.sidecar.stop()
    line.sidecar.start()
    session = line.login()
    typed = session.call("ir.config_parameter", "search", [("key", "=", "mcp_webhook.sidecar_token")])
    session.unlink("ir.config_parameter", typed)
    session.call("res.config.settings", "action_mcp_webhook_test_connection", [session.create("res.config.settings")])


def url(base, what):
    return f"{base}/{PATH}/{what}?token={QUERY}"


def plant(line, base, what, **more):
    """A subscription that carries every canary."""
    values = {
        "webhook_url": url(base, what),
        "webhook_secret": SECRET,
        "webhook_headers": f"X-Api-Key: {HEADER}\nAuthorization: Bearer {HEADER}",
        "payload_template": json.dumps({"text": f"{TEMPLATE} {{{{ record.name }}}}"}),
        "enrich_fields": "name",
        "timeout_s": 1,
        "name": what,
        "event_type": "create",
        "model_id": line.model("res.partner"),
        **more,
    }
    return line.session.create(SUBSCRIPTION, **values)


def provoke(line, endpoints):
    """Every way in which a delivery ends."""
    long = json.dumps({"text": TEMPLATE + "{{ record.name }}" * 3000})
    made = {}
    for what, base in endpoints.items():
        more = {"payload_template": long} if what == "payload_too_large" else {}
        made[what] = plant(line, base, what, **more)
    line.session.create("res.partner", name="A partner with a name of a hundred letters or so" + "." * 60)
    for what, subscription in made.items():
        status = "success" if what == "success" else "failed"
        (row,) = line.wait_rows(subscription, status)
        assert (row["error_kind"] or "success") == what, "the failure was provoked"
    return made


def refused_texts(line, person):
    """What is refused while it is saved: names, and calls."""
    create = lambda **values: lambda: plant(line, line.receiver.url, "refused", **values)  # noqa: E731
    subscribe = lambda **values: lambda: person.json2(SUBSCRIPTION, "subscribe_events", model="res.partner", **values)  # noqa: E731
    return {
        "a template that does not compile": create(payload_template=json.dumps({"text": f"{TEMPLATE} {{{{ nope"})),
        "a template that is no JSON": create(payload_template=f'{{"{TEMPLATE}'),
        "a template that asks for the secret": create(payload_template=json.dumps({"text": f"{TEMPLATE} {{{{ secret }}}}"})),
        "an address that is none": create(webhook_url=f"ftp://x/{PATH}?{QUERY}"),
        "headers that are none": create(webhook_headers=HEADER),
        "a header twice": create(webhook_headers=f"X-A: {HEADER}\nx-a: {HEADER}"),
        "the copy's own column": create(secret_value=SECRET),
        "a field that is none": create(webhook_secrets=SECRET, headers=HEADER),
        "an AI's template": subscribe(webhook_payload_template={"text": f"{TEMPLATE} {{% if"}),
        "an AI's address": subscribe(webhook_url=f"gopher://x/{PATH}?{QUERY}"),
        "an AI's parameter": subscribe(webhook_secret=SECRET),
    }


def refused_by_sidecar(line):
    """What the sidecar refuses, at the save and when Odoo had to store it: `{what: words}`."""
    rows = {
        "an address that is not public": {"webhook_url": url("http://10.1.2.3", "x")},
        "a user name in the address": {"webhook_url": url(f"http://user:{QUERY}@127.0.0.1", "x")},
        "a fragment in the address": {"webhook_url": url("http://127.0.0.1", "x") + f"#{QUERY}"},
        "a header of the sender's own": {"webhook_headers": f"Host: {HEADER}"},
        "a header that is not ASCII": {"webhook_headers": f"X-A: {HEADER} é"},
        "a secret that is not base64": {"webhook_secret": f"whsec_{SECRET}!"},
        "a secret with a space": {"webhook_secret": f"{SECRET} {SECRET}"},
    }
    said = {}
    for what, values in rows.items():
        with pytest.raises(RpcError) as refusal:
            plant(line, line.receiver.url, "refused", **values)
        said[f"{what}, at the save"] = str(refusal.value)
    line.sidecar.kill()
    made = {what: plant(line, line.receiver.url, "refused", **values) for what, values in rows.items()}
    line.sidecar.start()
    wait_until(lambda: line.sweep() or all(line.badge(id_)["sync_error"] for id_ in made.values()), "the refusals")
    return said | {what: line.badge(id_)["sync_error"] for what, id_ in made.items()}


def without_sidecar(line, subscription):
    """What is said while it is down, and while the token is wrong; then all is well again."""
    settings = line.session.create("res.config.settings", mcp_webhook_sidecar_token=TOKEN)
    presses = {
        "a test event": lambda: line.session.call(SUBSCRIPTION, "action_send_test", [subscription]),
        "the connection's test": lambda: line.session.call(
            "res.config.settings", "action_mcp_webhook_test_connection", [settings]
        ),
        "the answer to the settings": lambda: line.session.call("res.config.settings", "read", [settings]),
        "a preview": lambda: line.session.call(SUBSCRIPTION, "web_read", [subscription], {"preview": {}, "preview_error": {}}),
        "a save": lambda: line.session.write(SUBSCRIPTION, subscription, webhook_secret=SECRET, webhook_headers=f"X-B: {HEADER}"),
        "a change of a record": lambda: line.session.create("res.partner", name="Nobody takes it"),
        "the banner": lambda: line.session.call(SUBSCRIPTION, "sidecar_trouble"),
        "the sweep": line.sweep,
    }
    yield from (("with a wrong token", what, press) for what, press in presses.items())
    line.sidecar.stop()
    yield from (("without the sidecar", what, press) for what, press in presses.items())
    line.sidecar.start(RUST_LOG="trace", RUST_BACKTRACE="1")


def places_in_the_database(line):
    """`{"table.column canary"}` of every table; bytes are looked through as hexadecimal digits."""
    words = "|".join([*CANARIES, *(canary.encode().hex() for canary in CANARIES), line.sidecar.token])
    query = f"""SELECT DISTINCT e.key || '' '' || found[1] AS f FROM %I.%I r, jsonb_each_text(to_jsonb(r)) AS e,
        regexp_matches(e.value, ''({words})'', ''g'') AS found"""
    found = line.site.cluster.sql(
        line.odoo.database,
        f"""SELECT c.relname || '.' || unnest(xpath('//f/text()', query_to_xml(format('{query}', n.nspname, c.relname), true, false, '')))
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')""",
    )
    return set(found.split("\n")) - {""}


def exports(person, attacks):
    """Both formats of both models: every field that may be exported, and each that may not."""
    for model, route in ((SUBSCRIPTION, ""), (DELIVERY, "subscription_id/")):
        offered = sorted(person.call(model, "fields_get", []))
        wanted = [("every field", offered), *((f"{route}{name}", [route + name]) for name in (*STORED, *TYPED))]
        for what, names in wanted:
            fields = [{"name": name, "label": name} for name in names]
            data = json.dumps({"model": model, "fields": fields, "ids": False, "domain": [], "import_compat": False})
            for form in ("csv", "xlsx"):
                attacks.sealed(KIND, f"export of {model} as {form}: {what}", SEALED, lambda f=form, d=data: export(person, f, d))


def export(person, form, data):
    """The text of an export, or of its refusal."""
    try:
        content = person.session.get(f"/web/export/{form}", data=data)
    except urllib.error.HTTPError as error:
        raise RpcError(error.code, "odoo.http.Forbidden", "", error.read().decode()) from None
    if form == "csv":
        return content.decode()
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        return "".join(parts.read(name).decode() for name in parts.namelist())


def sidecar_s_own(line, attacks):
    """What the sidecar answers, prints and keeps."""
    for path in ("/healthz", "/metrics"):
        with urllib.request.urlopen(line.sidecar.url + path, timeout=30) as answer:
            text = answer.read().decode()
        attacks.sealed(KIND, f"the sidecar's {path}", (*CANARIES, line.sidecar.token), lambda text=text: text)
    for method in ("subscription.list", "delivery.list"):
        attacks.sealed(KIND, f"the sidecar's {method}", SEALED, lambda m=method: line.sidecar.call(m, limit=1000))
    files = [line.sidecar.data / name for name in ("log.redb", "log.redb-journal")]
    store = b"".join(file.read_bytes() for file in files).decode("latin-1")
    assert PATH in store, "the search works"
    attacks.sealed(KIND, "the sidecar's store", (*SEALED, line.sidecar.token), lambda: store)


def test_no_canary_is_ever_seen_again(line, people, endpoints, talkative, attacks):
    manager = people["manager"]
    made = provoke(line, endpoints)
    for what, call in refused_texts(line, manager).items():
        with pytest.raises(RpcError) as caught:
            call()
        attacks.sealed(KIND, f"the refusal of {what}", CANARIES, lambda e=caught.value: f"{e} {e.body}")
    for what, said in refused_by_sidecar(line).items():
        attacks.sealed(KIND, f"why it does not work: {what}", CANARIES, lambda said=said: said)
    for when, what, press in without_sidecar(line, made["success"]):
        attacks.sealed(KIND, f"{when}: {what}", (*SEALED, PATH, QUERY), press)
    line.sweep()

    rows = line.session.read(DELIVERY, [], order="id")
    assert {row["error_kind"] for row in rows} > set(endpoints) - {"success"}
    attacks.sealed(KIND, "every column of the mirror's rows", (*SEALED, PATH, QUERY), lambda: json.dumps(rows))
    exports(manager, attacks)
    found = places_in_the_database(line)
    assert found == HOMES, f"leaked: {found - HOMES}; not found where it belongs: {HOMES - found}"
    for canary in CANARIES:
        homes = ", ".join(sorted(home.split()[0] for home in HOMES if home.endswith(canary))) or "nowhere"
        attacks.held(KIND, f"{canary} in every column of every table of the database", f"only in {homes}")
    files = [path for path in line.odoo.data.rglob("*") if path.is_file()]
    text = "".join(path.read_bytes().decode("latin-1") for path in files)
    attacks.sealed(KIND, "Odoo's filestore and sessions", (*CANARIES, line.sidecar.token), lambda: text)
    sidecar_s_own(line, attacks)
    for log in (line.odoo.log, line.sidecar.log):
        said = log.read_text()
        assert "partner" in said.lower() or "attempt" in said, "the log speaks of it"
        attacks.sealed(KIND, f"the log of {log.stem.partition('-')[0]}", (*CANARIES, line.sidecar.token), lambda said=said: said)
