"""What an AI does: subscribe over the JSON-2 API with a user's API key, within that user's rights."""

import json

import pytest
from realodoo.web import RpcError, json2
from test_readme import snippets

MODEL = "mcp.event.subscription"


@pytest.fixture(scope="module")
def keys(line):
    """API keys of a manager and of an internal user without rights on sales."""
    code = "\n".join(
        [
            "import datetime",
            "from odoo import fields",
            "user = env['res.users'].create({'name': 'Clerk', 'login': 'clerk', 'group_ids': [(6, 0, [env.ref('base.group_user').id])]})",
            "until = fields.Datetime.now() + datetime.timedelta(days=1)",
            "for who in (env.ref('base.user_admin'), user):",
            "    print('KEY', env(user=who.id)['res.users.apikeys']._generate('rpc', 'line', until))",
            "env.cr.commit()",
        ]
    )
    manager, clerk = [text.split()[-1] for text in line.shell(code).splitlines() if "KEY" in text]
    return {"manager": manager, "clerk": clerk}


def call(line, key, method, /, **params):
    return json2(line.odoo, key, MODEL, method, **params)


def test_manager_subscribes_and_the_event_arrives(line, keys):
    path = "/ai/manager"
    made = call(
        line,
        keys["manager"],
        "subscribe_events",
        model="res.partner",
        event_type="create",
        domain=[["ref", "=", "ai"]],
        webhook_url=line.receiver.url + path,
        webhook_payload_template={"text": "New: {{ record.name }}"},
        enrich_fields=["name"],
    )
    assert set(made) == {"id", "uuid", "name", "state", "message"}
    assert made["state"] == "active"
    line.session.create("res.partner", name="Made by hand", ref="ai")
    line.session.create("res.partner", name="Not meant")
    assert line.receiver.wait(path)[0].json == {"text": "New: Made by hand"}
    line.wait_rows(made["id"], "success")
    assert len(line.receiver.on(path)) == 1
    call(line, keys["manager"], "update_subscription", subscription_id=made["id"], event_type="write")
    assert call(line, keys["manager"], "unsubscribe_events", subscription_id=made["id"]) is not None
    assert line.session.read(MODEL, [("id", "=", made["id"])], "name", context={"active_test": False}) == []


def test_the_readmes_example_is_taken_as_it_stands(line, keys):
    (example,) = snippets("json")
    made = call(line, keys["manager"], "subscribe_events", **json.loads(example))
    assert made["state"] == "active", made
    (seen,) = line.session.read(MODEL, [("id", "=", made["id"])], "model_name", "event_type", "sync_error", "sync_pending")
    assert (seen["model_name"], seen["event_type"]) == ("sale.order", "write")
    assert not seen["sync_error"] and not seen["sync_pending"], "the sidecar took its URL and its template"


def test_user_outside_the_allowed_hosts_waits_and_sends_nothing(line, keys):
    path = "/ai/clerk"
    made = call(
        line, keys["clerk"], "subscribe_events", model="res.partner", event_type="create", webhook_url=line.receiver.url + path
    )
    assert made["state"] == "waiting_approval"
    subscription, watched = line.subscribe("res.partner", "create")
    line.session.create("res.partner", name="Unapproved")
    line.wait_rows(subscription, "success")
    assert line.receiver.on(path) == [], "nothing is sent before the approval"
    (seen,) = line.session.read(MODEL, [("id", "=", made["id"])], "content_digest")
    line.session.call(MODEL, "action_approve", [made["id"]], context={"mcp_webhook_seen": seen["content_digest"]})
    line.session.create("res.partner", name="Approved")
    line.receiver.wait(path)
    assert len(line.receiver.on(path)) == 1 and len(line.receiver.on(watched)) == 2


@pytest.mark.parametrize(
    ("params", "begins"),
    [
        ({"model": "res.partnerr"}, "model"),
        ({"model": "res.partner", "event_type": "delete"}, "event_type"),
        ({"model": "res.partner", "domain": "[('name', '=', uid)]"}, "domain"),
        ({"model": "res.partner", "domain": [["nope", "=", 1]]}, "domain"),
        ({"model": "res.partner", "event_type": "write", "fields": ["nope"]}, "fields"),
        ({"model": "res.partner", "enrich_fields": ["image_1920"]}, "enrich_fields"),
        ({"model": "res.partner", "enrich_fields": ["a.b.c.d.e"]}, "enrich_fields"),
        ({"model": "res.partner", "webhook_url": "ftp://example.com"}, "webhook_url"),
        ({"model": "res.partner", "webhook_url": "https://example.com", "webhook_payload_template": "{"}, "webhook_payload_template"),
    ],
)
def test_bad_input_gets_an_error_that_can_be_acted_on(line, keys, params, begins):
    before = line.session.call(MODEL, "search_count", [], context={"active_test": False})
    with pytest.raises(RpcError) as caught:
        call(line, keys["manager"], "subscribe_events", **params)
    assert caught.value.status == 422
    assert caught.value.message.startswith(begins), caught.value.message
    assert "xample" in caught.value.message, caught.value.message
    assert line.session.call(MODEL, "search_count", [], context={"active_test": False}) == before


def test_model_without_rights_is_refused(line, keys):
    with pytest.raises(RpcError) as caught:
        call(line, keys["clerk"], "subscribe_events", model="ir.cron")
    assert caught.value.status in (403, 422)
    with pytest.raises(RpcError) as caught:
        call(line, keys["clerk"], "subscribe_events", model="sale.order")
    assert caught.value.status == 403
