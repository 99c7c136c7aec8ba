"""What an AI does through the MCP server, in both eras of the protocol: a client that knows only the list of tools."""

import contextlib
import json
import threading
import uuid
import xmlrpc.client

import psycopg2
import pytest
from mcp_judges import judges
from realodoo.cache import wait_until
from realodoo.mcp import LEGACY, MODERN, McpClient, McpError, ToolError
from realodoo.sidecar import BINARY

MODEL = "mcp.event.subscription"
ERAS = pytest.mark.parametrize("era", [MODERN, LEGACY])
TOOLS = {
    "subscribe_events",
    "update_subscription",
    "unsubscribe_events",
    "list_subscriptions",
    "list_models",
    "describe_model",
    "preview_payload",
    "send_test_event",
    "list_deliveries",
    "explain_delivery",
    "explain_no_event",
    "redeliver",
    "retry_now",
    "get_recent_events",
    "poll_events",
    "wait_for_event",
}


@pytest.fixture(scope="module")
def seller(line):
    """An API key of the administrator who also sells."""
    code = (
        "import datetime\n"
        "until = datetime.datetime.now() + datetime.timedelta(days=1)\n"
        "user = env.ref('base.user_admin')\n"
        "print('KEY', env(user=user.id)['res.users.apikeys'].sudo()._generate('rpc', 'assistant', until))\n"
        "env.cr.commit()\n"
    )
    return next(text.split()[-1] for text in line.shell(code).splitlines() if "KEY" in text)


@pytest.fixture(scope="module")
def clients(line, people):
    """Makes a client of a person, in an era."""
    return lambda who, era=MODERN, **headers: McpClient(
        line.mcp.mcp_url, people[who].key, era, headers
    )


def slack(arrival):
    """Takes what Slack takes: an object with a text."""
    try:
        body = arrival.json
    except ValueError:
        return 400, b"invalid_payload"
    return (
        (200, b"ok") if isinstance(body, dict) and body.get("text") else (400, b"no_text")
    )


def order(line, **values):
    """A quotation with one line."""
    partner = line.session.create("res.partner", name="Azure Interior")
    product = line.session.create("product.product", name="Desk", list_price=100)
    lines = [[0, 0, {"product_id": product, "product_uom_qty": 1}]]
    return line.session.create(
        "sale.order", partner_id=partner, order_line=lines, **values
    )


def finished(client, subscription):
    """The newest delivery of a subscription, once it is over."""

    def found():
        rows = client.tool("list_deliveries", subscription_id=subscription)["deliveries"]
        return rows and rows[0]["status"] != "pending" and rows[0]

    return wait_until(found, "a delivery that is over", 30)


@ERAS
def test_story_of_a_slack_message_for_confirmed_orders(line, seller, era):
    path = f"/slack/{uuid.uuid4().hex}"
    line.receiver.answers[path] = slack
    client = McpClient(line.mcp.mcp_url, seller, era)
    assert set(client.tools) == TOOLS
    models = client.tool("list_models", search="sales order")["models"]
    assert "sale.order" in [model["model"] for model in models]
    fields = {
        f["name"]: f
        for f in client.tool("describe_model", model="sale.order", search="stat")["fields"]
    }
    assert fields["state"]["values"]["sale"] and fields["state"]["can_be_watched"]
    quotation = order(line)
    wrong = {"message": "Order {{ record.name }} is confirmed"}
    seen = client.tool(
        "preview_payload",
        model="sale.order",
        event_type="write",
        webhook_payload_template=wrong,
        enrich_fields=["name"],
        record_id=quotation,
    )
    name = line.session.read("sale.order", [("id", "=", quotation)], "name")[0]["name"]
    assert seen["payload"] == {"message": f"Order {name} is confirmed"}
    made = client.tool(
        "subscribe_events",
        model="sale.order",
        event_type="write",
        fields=["state"],
        domain=[["state", "=", "sale"]],
        webhook_url=line.receiver.url + path,
        webhook_payload_template=wrong,
        enrich_fields=["name"],
    )
    assert made["state"] == "active"
    line.session.call("sale.order", "action_confirm", [quotation])
    failed = finished(client, made["id"])
    assert (failed["status"], failed["response_code"]) == ("failed", 400)
    told = client.tool("explain_delivery", delivery_id=failed["delivery_id"])
    assert (
        told["answered"]["body"] == "no_text"
        and told["answered"]["untrusted"]
        and told["advice"]
    )
    assert told["sent"] == {"message": f"Order {name} is confirmed"}
    client.tool(
        "update_subscription",
        subscription_id=made["id"],
        webhook_payload_template={"text": "Order {{ record.name }} is confirmed"},
    )
    client.tool("redeliver", delivery_id=failed["delivery_id"])
    again = finished(client, made["id"])
    assert (again["status"], again["attempt"]) == ("success", 2)
    assert line.receiver.on(path)[-1].json == {"text": f"Order {name} is confirmed"}
    why = client.tool(
        "explain_no_event", subscription_id=made["id"], record_id=order(line)
    )
    assert not why["fires"] and "state" in json.dumps(why["conditions"])
    client.write_transcript(line.receiver.url)
    client.tool("unsubscribe_events", subscription_id=made["id"])
    assert made["id"] not in [
        s["id"] for s in client.tool("list_subscriptions")["subscriptions"]
    ]
    rows = line.session.read(
        "mcp.webhook.call", [("client", "=", "story 1")], "tool", "outcome", limit=50
    )
    assert {"subscribe_events", "explain_delivery", "redeliver"} <= {
        row["tool"] for row in rows
    }


@ERAS
def test_without_rights_it_is_refused_with_words(line, clients, era):
    client = clients("employee", era)
    for name, arguments in (
        ("describe_model", {"model": "sale.order"}),
        ("preview_payload", {"model": "sale.order"}),
        ("subscribe_events", {"model": "sale.order", "webhook_url": line.receiver.url}),
    ):
        with pytest.raises(ToolError) as caught:
            client.tool(name, **arguments)
        assert caught.value.structured["error"]["kind"] == "denied", caught.value.text
        assert "Sales Order" in caught.value.text
    waiting = client.tool(
        "subscribe_events", model="res.partner", webhook_url=line.receiver.url + "/waits"
    )
    assert (
        waiting["state"] == "waiting_approval"
        and "MCP Server > Event Subscriptions" in waiting["message"]
    )
    with pytest.raises(ToolError, match="waits for approval"):
        client.tool("send_test_event", subscription_id=waiting["id"])
    with pytest.raises(ToolError, match="^event_type: ") as caught:
        client.tool("subscribe_events", model="res.partner", event_type="delete")
    assert caught.value.structured["error"]["example"] == "write"
    with pytest.raises(ToolError, match="^domain: ") as caught:
        client.tool("subscribe_events", model="res.partner", domain=[["nope", "=", 1]])
    assert caught.value.structured["error"]["parameter"] == "domain"


@ERAS
def test_events_are_waited_for_and_none_is_lost_while_away(line, clients, era):
    client = clients("administrator", era)
    made = client.tool(
        "subscribe_events",
        model="res.partner",
        event_type="create",
        domain=[["ref", "=", "mcp"]],
        enrich_fields=["name"],
        in_session=True,
    )
    cursor = client.tool("poll_events", subscription_id=made["id"])["cursor"]
    for number in range(7):
        line.session.create("res.partner", name=f"P{number}", ref="mcp")
    # another connection of the same user goes on where the first one was
    client = clients("administrator", era)
    names = []
    while True:
        page = client.tool(
            "poll_events", subscription_id=made["id"], cursor=cursor, limit=3
        )
        names += [event["records"][0]["name"] for event in page["events"]]
        cursor = page["cursor"]
        if not page["more"]:
            break
    assert names == [f"P{number}" for number in range(7)]
    heard = []
    waiter = threading.Thread(
        target=lambda: heard.append(
            client.tool(
                "wait_for_event", subscription_id=made["id"], cursor=cursor, timeout_s=40
            )
        )
    )
    waiter.start()
    line.session.create("res.partner", name="Late", ref="mcp")
    waiter.join(60)
    assert heard[0]["events"][0]["records"][0]["name"] == "Late"
    nothing = client.tool("wait_for_event", cursor=heard[0]["cursor"], timeout_s=0)
    assert nothing["events"] == []
    uri = f"odoo://subscription/{made['id']}/events"
    read = json.loads(client.call("resources/read", uri=uri)["contents"][0]["text"])
    assert next(event["records"][0]["name"] for event in read["events"]) == "Late"
    assert (
        line.session.read(
            "mcp.webhook.delivery",
            [("subscription_id", "=", made["id"]), ("status", "!=", "success")],
            "id",
        )
        == []
    )


def test_changes_made_with_its_own_key_do_not_wake_a_subscription(line, clients, people):
    client = clients("administrator")
    person = people["administrator"]
    for include in (False, True):
        mark = uuid.uuid4().hex
        made = client.tool(
            "subscribe_events",
            model="res.partner",
            event_type="create",
            domain=[["ref", "=", mark]],
            in_session=True,
            include_own_changes=include,
            enrich_fields=["name"],
        )
        person.json2("res.partner", "create", vals_list=[{"name": "json2", "ref": mark}])
        proxy = xmlrpc.client.ServerProxy(f"{line.odoo.url}/xmlrpc/2/object")
        values = [{"name": "xmlrpc", "ref": mark}]
        proxy.execute_kw(
            line.odoo.database,
            person.session.uid,
            person.key,
            "res.partner",
            "create",
            [values],
        )
        person.call("res.partner", "create", {"name": "by hand", "ref": mark})
        events = client.tool("get_recent_events", subscription_id=made["id"])["events"]
        names = sorted(event["records"][0]["name"] for event in events)
        assert names == (["by hand", "json2", "xmlrpc"] if include else ["by hand"])


def test_whoever_has_no_key_or_a_revoked_one_is_told(line, clients, people):
    for key in ("", "0123456789012345678901234567890123456789"):
        with pytest.raises(McpError) as caught:
            McpClient(line.mcp.mcp_url, key)
        assert caught.value.status == 401
    code = (
        "user = env['res.users'].search([('login', '=', 'door-employee')])\n"
        "import datetime\n"
        "until = datetime.datetime.now() + datetime.timedelta(days=1)\n"
        "print('KEY', env(user=user.id)['res.users.apikeys'].sudo()._generate('rpc', 'short', until))\n"
        "env.cr.commit()\n"
    )
    key = next(
        text.split()[-1] for text in line.shell(code).splitlines() if "KEY" in text
    )
    for era in (MODERN, LEGACY):
        client = McpClient(line.mcp.mcp_url, key, era)
        client.tool("list_models")
    line.shell(
        "env['res.users.apikeys'].sudo().search([('name', '=', 'short')]).unlink()\nenv.cr.commit()"
    )
    with pytest.raises(ToolError, match="does not know this API key") as caught:
        client.tool("list_models")
    assert caught.value.structured["error"]["kind"] == "unknown_key"


def test_a_key_has_so_many_sessions_and_its_newest_go_on(line, people):
    key = people["manager"].key
    opened = [McpClient(line.mcp.mcp_url, key, LEGACY) for _number in range(22)]
    for client in opened[2:]:
        assert client.call("prompts/list")["prompts"]
    for client in opened[:2]:
        with pytest.raises(McpError) as caught:
            client.call("prompts/list")
        assert caught.value.status == 404


def test_strange_pages_hosts_and_sessions_are_refused(line, clients, people):
    for headers, status in (
        ({"Origin": "https://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),
    ):
        with pytest.raises(McpError) as caught:
            clients("employee", **headers)
        assert caught.value.status == status
    theirs = clients("administrator", LEGACY)
    mine = clients("employee", LEGACY)
    mine.session = theirs.session
    with pytest.raises(McpError) as caught:
        mine.tool("list_models")
    assert caught.value.status == 404


def test_odoo_down_and_up_again(line, people):
    """A line of its own would cost a minute: this one's Odoo goes and comes."""
    client = McpClient(line.mcp.mcp_url, people["administrator"].key)
    made = client.tool(
        "subscribe_events", model="res.partner", event_type="create", in_session=True
    )
    cursor = client.tool("poll_events")["cursor"]
    line.session.create("res.partner", name="Before")
    line.odoo.stop()
    with pytest.raises(ToolError, match="cannot be reached now") as caught:
        client.tool("list_models")
    assert caught.value.structured["error"]["kind"] == "unreachable"
    line.odoo.start()
    line.login()
    events = client.tool("poll_events", cursor=cursor, subscription_id=made["id"])[
        "events"
    ]
    assert len(events) == 1
    for person in people.values():
        person.login()


def test_prompt_and_guides(clients):
    for era in (MODERN, LEGACY):
        client = clients("employee", era)
        (prompt,) = client.call("prompts/list")["prompts"]
        text = client.call(
            "prompts/get",
            name=prompt["name"],
            arguments={"what": "an order is confirmed"},
        )
        assert "an order is confirmed" in text["messages"][0]["content"]["text"]
        for resource in client.call("resources/list")["resources"]:
            (contents,) = client.call("resources/read", uri=resource["uri"])["contents"]
            assert contents["text"]
        with pytest.raises(McpError) as caught:
            client.call("resources/read", uri="webhook://nope")
        assert caught.value.error["code"] == (-32602 if era == MODERN else -32002)


@pytest.mark.parametrize("transport", ["http", "stdio"])
@pytest.mark.parametrize("mode", [MODERN, "legacy"])
def test_official_python_sdk_as_client(line, seller, transport, mode):
    address = line.mcp.mcp_url if transport == "http" else f"stdio:{BINARY}"
    told = judges.sdk(address, mode, line, seller)
    assert "read from the cursor, none left out" in told


def test_an_event_that_commits_late_is_not_passed_over(line, clients):
    """Ids are given in one order and committed in another: a cursor that went by ids would lose the first."""
    client = clients("administrator")
    made = client.tool("subscribe_events", model="res.partner", event_type="create", in_session=True)
    partner = line.session.create("res.partner", name="Overtaken")
    cursor = client.tool("poll_events", subscription_id=made["id"])["cursor"]
    cluster = f"host=127.0.0.1 port={line.site.cluster.port} user=odoo dbname={line.odoo.database}"
    with contextlib.closing(psycopg2.connect(cluster)) as late, contextlib.closing(psycopg2.connect(cluster)) as early:
        for connection, event in ((late, "late"), (early, "early")):
            connection.cursor().execute(
                """INSERT INTO mcp_webhook_delivery
                          (subscription_id, event_uuid, attempt, trigger, status, model_name, event_type, record_ids, create_date)
                   VALUES (%s, %s, 1, 'event', 'success', 'res.partner', 'create', %s, now() AT TIME ZONE 'UTC')""",
                [made["id"], event, json.dumps([partner])],
            )
        early.commit()
        first = client.tool("poll_events", subscription_id=made["id"], cursor=cursor)
        assert [event["event_id"] for event in first["events"]] == ["early"]
        late.commit()
    second = client.tool("poll_events", subscription_id=made["id"], cursor=first["cursor"])
    assert [event["event_id"] for event in second["events"]] == ["late"]
    third = client.tool("poll_events", subscription_id=made["id"], cursor=second["cursor"])
    assert third["events"] == []
