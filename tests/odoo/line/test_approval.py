"""An AI with an employee's API key: what leaves without a manager's word, and what the word is for."""

import json
import re

import pytest
from realodoo.web import RpcError

SUBSCRIPTION = "mcp.event.subscription"
HOSTS = "J. An AI's address, against the allowed hosts"
EDITS = "J. An AI's edits after the approval"
SCOPE = "J. What an AI may ask for"
WAITING = "waiting_approval"


@pytest.fixture
def ai(people):
    """The three calls, with an employee's key."""
    return lambda method, **params: people["employee"].json2(SUBSCRIPTION, method, **params)


@pytest.fixture
def allowed(line):
    """Sets the allowed hosts; afterwards there are none."""
    def allow(hosts):
        line.session.call("ir.config_parameter", "set_param", "mcp_webhook.allowed_hosts", hosts)

    yield allow
    line.login()
    allow("")


def fire(line):
    """A partner is made, and everything that it caused has arrived: the control's delivery is the last."""
    control, path = line.subscribe("res.partner", "create", name="control")
    line.session.create("res.partner", name="Something to tell")
    line.receiver.wait(path)
    line.wait_rows(control, "success")
    line.session.unlink(SUBSCRIPTION, control)


def test_other_hosts_wait(line, ai, allowed, attacks):
    ours = f"127.0.0.1:{line.receiver.port}"
    allowed(f"{ours}/ours")
    cases = {
        "another path": f"http://{ours}/theirs",
        "a path that begins alike": f"http://{ours}/ourselves",
        "dots": f"http://{ours}/ours/../theirs",
        "encoded dots": f"http://{ours}/ours/%2e%2e/theirs",
        "an encoded slash": f"http://{ours}/ours%2f..%2ftheirs",
        "the path as a query": f"http://{ours}/?/ours",
        "the path as a fragment": f"http://{ours}/#/ours",
        "the path as parameters": f"http://{ours}/;/ours",
        "two slashes": f"http://{ours}//ours",
        "capitals in the path": f"http://{ours}/OURS",
        "another port": "http://127.0.0.1:9/ours",
        "another spelling of the host": f"http://localhost:{line.receiver.port}/ours",
        "the host with a dot": f"http://127.0.0.1.:{line.receiver.port}/ours",
        "a name that begins with it": f"http://127.0.0.1.evil.example:{line.receiver.port}/ours",
        "the host as a user name": f"http://{ours}@evil.example/ours",
        "a user name before the host": f"http://x@{ours}/ours",
        "a backslash": f"http://{ours}\\@evil.example/ours",
        "a space": f"http://{ours}/ours /x",
        "a tab in the host": f"http://127.0.0.1\t:{line.receiver.port}/ours",
        "letters that look alike": "https://hooKs.slack.com/services/T1/x",
    }
    for what, address in cases.items():
        try:
            made = ai("subscribe_events", model="res.partner", event_type="create", webhook_url=address)
        except RpcError as error:
            assert error.status == 422, error
            attacks.held(HOSTS, what, "refused: ValidationError")
            continue
        if made["state"] != WAITING:
            attacks.reached(HOSTS, what, f"state {made['state']}")
        attacks.held(HOSTS, what, "waits for a manager")
    before = len(line.receiver.arrivals)
    fire(line)
    assert len(line.receiver.arrivals) == before + 1, "nothing but the control arrived"
    made = ai("subscribe_events", model="res.partner", event_type="create", webhook_url=f"http://{ours}/ours/and/below")
    assert made["state"] == "active"
    fire(line)
    assert line.receiver.wait("/ours/and/below"), "what is allowed goes out at once"


@pytest.mark.parametrize("entry", ["hooks.slack.com", "hooks.slack.com/services", "discord.com/api/webhooks", "hooks.zapier.com", "webhook.site", "hook.eu1.make.com", "prod-1.logic.azure.com/workflows", "chat.googleapis.com/v1/spaces"])
def test_host_that_receives_for_everybody_is_never_allowed_as_a_whole(line, ai, allowed, attacks, entry):
    """At the settings it is refused with a reason; where it stands in the parameter, it allows nothing."""
    said = attacks.refused(HOSTS, f"allowed hosts: {entry}", lambda: line.session.create("res.config.settings", mcp_webhook_allowed_hosts=entry))
    assert "receives for everybody" in said and f"Example: {entry.partition('/')[0]}/" in said
    allowed(entry)
    made = ai("subscribe_events", model="res.partner", webhook_url=f"https://{entry}/T0123/B0/x")
    assert made["state"] == WAITING
    attacks.held(HOSTS, f"parameter with {entry}", "waits for a manager")


def test_every_edit_asks_again_and_sends_nothing_meanwhile(line, people, ai, attacks):
    first, second = "/approved", "/edited"
    made = ai("subscribe_events", model="res.partner", event_type="create", webhook_url=line.receiver.url + first, enrich_fields=["name"])
    assert made["state"] == WAITING
    edits = {
        "address": {"webhook_url": line.receiver.url + second},
        "values to send": {"enrich_fields": ["name", "email"]},
        "filter": {"domain": [["name", "!=", "nobody"]]},
        "template": {"webhook_payload_template": {"all": "{{ records | json }}"}},
        "event type": {"event_type": "all"},
        "watched fields": {"fields": ["name"]},
        "model": {"model": "res.country"},
        "nothing, in fact": {"event_type": "all"},
    }
    approve = lambda **context: people["manager"].session.call(SUBSCRIPTION, "action_approve", [made["id"]], context=context)  # noqa: E731
    for what, changes in edits.items():
        seen = people["manager"].json2(SUBSCRIPTION, "read", ids=[made["id"]], fields=["content_digest"])[0]["content_digest"]
        approve(mcp_webhook_seen=seen)
        answer = ai("update_subscription", subscription_id=made["id"], **changes)
        if answer["state"] != WAITING:
            attacks.reached(EDITS, what, f"state {answer['state']}")
        fire(line)
        arrived = line.receiver.on(first) + line.receiver.on(second)
        if arrived:
            attacks.reached(EDITS, what, f"{len(arrived)} requests arrived")
        attacks.held(EDITS, what, "asks again; nothing was sent")
        if what != "nothing, in fact":
            said = attacks.refused(EDITS, f"{what}, while a manager looked at what was before", lambda s=seen: approve(mcp_webhook_seen=s))
            assert "changed while you looked" in said
    assert not line.receiver.on(first)


def test_manager_sees_what_would_leave(line, people, ai, attacks):
    line.session.create("res.partner", name="The newest partner")
    made = ai("subscribe_events", model="res.partner", webhook_url=line.receiver.url + "/sample",
              enrich_fields=["name"], webhook_payload_template={"text": "Look: {{ record.name }}"})
    (shown,) = people["manager"].json2(SUBSCRIPTION, "read", ids=[made["id"]], fields=["preview", "approval_request"])
    assert json.loads(shown["preview"])["text"].startswith("Look: ")
    assert re.search("employee wants these events sent to 127.0.0.1", shown["approval_request"])
    attacks.held(EDITS, "an approval without a look", "the form shows the rendered sample, host and user")


def test_who_may_say_the_word(line, people, ai, attacks):
    made = ai("subscribe_events", model="res.partner", webhook_url=line.receiver.url + "/word")
    own = {"subscription_id": made["id"]}
    attacks.refused(EDITS, "the employee approves", lambda: people["employee"].json2(SUBSCRIPTION, "action_approve", ids=[made["id"]]))
    for name, value in {"approval": "approved", "user_id": 2, "active": True, "paused": False, "company_id": False, "connection": "",
                        "webhook_secret": "x" * 20, "webhook_headers": "X-A: b", "payload_template": "{}", "dialect": "plain",
                        "max_attempts": 20, "context": {"default_approval": "none"}}.items():
        if name != "context":
            attacks.refused(EDITS, f"update_subscription with {name}", lambda n=name, v=value: ai("update_subscription", **own, **{n: v}))
    for context in ({"default_approval": "approved"}, {"default_user_id": 2}, {"default_paused": False, "default_connection": ""},
                    {"uid": 2, "su": True}, {"mcp_webhook_seen": False}, {"active_test": False, "install_mode": True}):
        answer = ai("subscribe_events", model="res.partner", webhook_url=line.receiver.url + "/word", context=context)
        (stored,) = line.session.read(SUBSCRIPTION, [("id", "=", answer["id"])], "approval", "user_id")
        assert (answer["state"], stored["approval"], stored["user_id"][1]) == (WAITING, "waiting", "door-employee")
        attacks.held(EDITS, f"subscribe_events under the context {json.dumps(context)}", "waits for a manager")
    theirs, _path = line.subscribe("res.partner", name="another's")
    for method, params in (("update_subscription", {"event_type": "all"}), ("unsubscribe_events", {})):
        attacks.refused(EDITS, f"{method} of another's subscription", lambda m=method, p=params: ai(m, subscription_id=theirs, **p))
    fire(line)
    assert not line.receiver.on("/word")


def test_scope_is_the_user_s_own(line, ai, attacks):
    asked = {
        "a model without rights": {"model": "sale.order"},
        "parameters": {"model": "ir.config_parameter"},
        "scheduled actions": {"model": "ir.cron"},
        "subscriptions": {"model": SUBSCRIPTION},
        "deliveries": {"model": "mcp.webhook.delivery"},
        "messages on the bus": {"model": "bus.bus"},
        "a transient model": {"model": "res.config.settings"},
        "an abstract model": {"model": "mail.thread"},
        "no model": {"model": "no.such.model"},
        "a field of a group": {"model": "res.users", "enrich_fields": ["presence_ids"]},
        "a field of a group, by a path": {"model": "res.partner", "enrich_fields": ["user_ids.presence_ids.status"]},
        "a filter on a field of a group": {"model": "res.partner", "domain": [["user_ids.presence_ids.status", "=", "online"]]},
        "pictures": {"model": "res.partner", "enrich_fields": ["image_1920"]},
        "a path without end": {"model": "res.partner", "enrich_fields": ["parent_id." * 9 + "name"]},
        "code in a filter": {"model": "res.partner", "domain": "[('id', '=', __import__('os').getpid())]"},
        "a call in a filter": {"model": "res.partner", "domain": "[('id', 'in', self.search([]).ids)]"},
        "NUL in a filter": {"model": "res.partner", "domain": "[('name', '=', 'a\\x00')]"},
        "a filter of ten thousand brackets": {"model": "res.partner", "domain": "[" * 10000},
        "the environment in a template": {"model": "res.partner", "webhook_payload_template": {"a": "{{ env }}"}},
        "the secret in a template": {"model": "res.partner", "webhook_payload_template": {"a": "{{ secret }}"}},
        "an include in a template": {"model": "res.partner", "webhook_payload_template": {"a": '{% include "x" %}'}},
        "a nested template": {"model": "res.partner", "webhook_payload_template": {"a": "{% if model %}" * 3000}},
    }
    before = line.session.call(SUBSCRIPTION, "search_count", [], context={"active_test": False})
    for what, params in asked.items():
        attacks.refused(SCOPE, what, lambda p=params: ai("subscribe_events", webhook_url=line.receiver.url + "/scope", **p))
    assert line.session.call(SUBSCRIPTION, "search_count", [], context={"active_test": False}) == before


def test_an_ai_cannot_ask_the_network(line, ai, attacks):
    """Neither what is said nor a row tells an employee whether something listens there."""
    for address in ("http://10.0.0.1/x", "http://169.254.169.254/latest"):
        said = attacks.refused(
            SCOPE, f"subscribe_events to {address}", lambda a=address: ai("subscribe_events", model="res.partner", webhook_url=a)
        )
        assert "webhook_url:" in said
    for address in ("http://127.0.0.1:1/x", line.receiver.url + "/probe"):
        made = ai("subscribe_events", model="res.partner", event_type="create", webhook_url=address)
        assert (made["state"], set(made)) == (WAITING, {"id", "uuid", "name", "state", "message"})
        for method in ("action_send_test", "action_preview", "read"):
            attacks.refused(SCOPE, f"{method} as a probe of {address}", lambda m=method, i=made["id"]: ai(m, ids=[i]))
    fire(line)
    assert not line.receiver.on("/probe")


def test_credentials_of_a_manager_never_carry_an_employee_s_words(line, people, ai, attacks, allowed):
    """On an allowed host, where an employee needs nobody's word for what is all the employee's own."""
    allowed(f"127.0.0.1:{line.receiver.port}")
    employee, manager = people["employee"], people["manager"]
    given = {"webhook_secret": "manager-secret-0123456789", "webhook_headers": "Authorization: Bearer manager"}
    theirs, _path = line.subscribe("res.partner", "create", path="/managers", user_id=employee.session.uid, **given)
    own = ai("subscribe_events", model="res.partner", event_type="create", webhook_url=line.receiver.url + "/employees")["id"]
    manager.json2(SUBSCRIPTION, "write", ids=[own], vals=given)
    changes = {
        "another path": {"webhook_url": line.receiver.url + "/stolen"}, "a template": {"webhook_payload_template": {"x": "/stolen"}},
        "a filter": {"domain": [["name", "!=", "x"]]}, "values": {"enrich_fields": ["email"]}, "an event type": {"event_type": "all"},
    }
    for what, change in changes.items():
        attacks.refused(EDITS, f"{what} for what a manager made", lambda c=change: ai("update_subscription", subscription_id=theirs, **c))
        if ai("update_subscription", subscription_id=own, **change)["state"] != WAITING:
            attacks.reached(EDITS, f"{what}, sent with a manager's token", "active")
        attacks.held(EDITS, f"{what}, with a manager's token", "waits for a manager")
    attacks.refused(EDITS, "unsubscribe_events of what a manager made", lambda: ai("unsubscribe_events", subscription_id=theirs))
    line.session.write(SUBSCRIPTION, theirs, active=False)
    fire(line)
    assert not line.receiver.on("/stolen") and not line.receiver.on("/employees")


def test_host_that_leaves_the_list_stops_what_runs(line, ai, allowed, attacks):
    """And one whose path changes; what waits at the sidecar waits on."""
    ours = f"127.0.0.1:{line.receiver.port}"
    for number, hosts in enumerate(("", "else.example.com", f"{ours}/other")):
        path = f"/listed/{number}"
        allowed(f"{ours}/listed")
        made = ai("subscribe_events", model="res.partner", event_type="create", webhook_url=line.receiver.url + path)
        assert made["state"] == "active"
        fire(line)
        assert len(line.receiver.wait(path)) == 1
        line.session.call("res.config.settings", "execute", [line.session.create("res.config.settings", mcp_webhook_allowed_hosts=hosts)])
        fire(line)
        if len(line.receiver.on(path)) != 1:
            attacks.reached(HOSTS, f"allowed hosts become {hosts!r}", "it was sent")
        attacks.held(HOSTS, f"allowed hosts become {hosts!r}", "what ran by the list alone waits")


def test_no_call_of_an_employee_weighs_on_the_sidecar(line, ai, attacks):
    """What is too much for it is refused in Odoo: nothing is stored, nothing is pushed."""
    megabyte = 1 << 20
    before = line.session.call(SUBSCRIPTION, "search_count", [], context={"active_test": False})
    made = ai("subscribe_events", model="res.partner", webhook_url=line.receiver.url + "/heavy")["id"]
    heavy = {
        "a template of objects": {"webhook_payload_template": "[" + "{}," * megabyte + "{}]"},
        "a template that is a list": {"webhook_payload_template": [{}] * megabyte},
        "a long text": {"webhook_payload_template": {"x": "y" * megabyte}},
        "a deep template": {"webhook_payload_template": "[" * 10_000},
        "a filter of numbers": {"domain": [["id", "in", list(range(200_000))]]},
        "a filter of brackets": {"domain": "[" * megabyte},
        "a filter of minus signs": {"domain": "-" * megabyte},
        "a long address": {"webhook_url": line.receiver.url + "/" + "x" * megabyte},
        "many fields": {"enrich_fields": ["name"] * megabyte},
        "a long name of a model": {"model": "x" * megabyte},
    }
    for what, params in heavy.items():
        name = next(iter(params))
        said = attacks.refused(SCOPE, f"subscribe_events with {what}", lambda p=params: ai("subscribe_events", **{"model": "res.partner", **p}))
        assert f"{name}:" in said and len(said) < 2000
        attacks.refused(SCOPE, f"update_subscription with {what}", lambda p=params: ai("update_subscription", subscription_id=made, **p))
    assert line.session.call(SUBSCRIPTION, "search_count", [], context={"active_test": False}) == before + 1
    fire(line)


# Two transactions of one Odoo, interleaved on purpose; both are really committed.
RACE = """
import json, psycopg2
from odoo import api
from odoo.exceptions import UserError
from odoo.sql_db import db_connect

def environment(user):
    return api.Environment(db_connect(env.cr.dbname).cursor(), user, {})

def seen(user):
    found = environment(user)
    digest = found[MODEL].browse(ID).content_digest
    found.cr.close()
    return digest

def approve(found, digest):
    found[MODEL].browse(ID).with_context(mcp_webhook_seen=digest).action_approve()

def edit(found, changes):
    found[MODEL].update_subscription(ID, **changes)

told = {}
for what, changes in EDITS.items():
    for first in ('edit', 'approval'):
        digest = seen(MANAGER)
        manager, clerk = environment(MANAGER), environment(CLERK)
        for found in (manager, clerk):
            found.cr.execute('SELECT 1 FROM mcp_event_subscription')  # both snapshots are taken
        early, late = (clerk, manager) if first == 'edit' else (manager, clerk)
        works = {clerk: lambda e: edit(e, changes), manager: lambda e: approve(e, digest)}
        works[early](early)
        early.cr.flush()
        early.cr.commit()
        try:
            works[late](late)
            late.cr.flush()
            late.cr.commit()
            outcome = 'both went through'
        except psycopg2.errors.SerializationFailure:  # Odoo begins the request anew
            late.cr.rollback()
            late.invalidate_all()
            try:
                works[late](late)
                late.cr.flush()
                late.cr.commit()
                outcome = 'the second began anew'
            except UserError as error:
                late.cr.rollback()
                outcome = 'refused: ' + str(error)
        early.cr.close()
        late.cr.close()
        look = environment(1)
        told[f'{what}, {first} first'] = [outcome, look[MODEL].browse(ID).approval]
        look.cr.close()
        changes = {**changes, 'enrich_fields': ['name', 'ref']} if what == 'values' else changes
print('RACE', json.dumps(told))
"""


def test_approval_and_edit_at_the_same_time(line, people, ai, attacks):
    """Whoever is first, what leaves is what a manager has seen, or nothing."""
    made = ai("subscribe_events", model="res.partner", event_type="create", webhook_url=line.receiver.url + "/race")
    edits = {
        "template": {"webhook_payload_template": {"stolen": "{{ records | json }}"}}, "address": {"webhook_url": line.receiver.url + "/race/2"},
        "watched fields": {"fields": ["email"]}, "filter": {"domain": [["name", "!=", "x"]]}, "values": {"enrich_fields": ["email"]},
    }
    users = {name: people[name].session.uid for name in ("manager", "employee")}
    told = line.shell(f"MODEL, ID, EDITS, MANAGER, CLERK = {SUBSCRIPTION!r}, {made['id']}, {edits!r}, {users['manager']}, {users['employee']}\n{RACE}")
    outcomes = json.loads(next(text for text in told.splitlines() if text.startswith("RACE ")).partition(" ")[2])
    assert len(outcomes) == 2 * len(edits)
    for case, (outcome, approval) in outcomes.items():
        assert outcome != "both went through", case
        if "edit first" in case:
            assert "changed while you looked" in outcome, (case, outcome)
        if approval != "waiting":
            attacks.reached(EDITS, case, f"{outcome}; {approval}")
        attacks.held(EDITS, f"approval and edit at once: {case}", "what nobody saw waits")
