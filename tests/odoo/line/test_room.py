"""What many subscriptions cost others: counted by calls at the same time, told of again and again, more than a call holds."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from realodoo.cache import wait_until
from realodoo.web import RpcError

SUBSCRIPTION = "mcp.event.subscription"
KIND = "M. Many subscriptions of one user"
PER_MODEL, AT_ONCE = 20, 8  # what a user's AIs may have on one model; calls
PER_OWNER, ROUNDS = 4, 7  # notices of an hour about what one user has subscribed; tries


@pytest.fixture
def open_host(line):
    """Where the receiver is, an AI may send."""
    line.session.call("ir.config_parameter", "set_param", "mcp_webhook.allowed_hosts", "127.0.0.1")
    yield
    line.session.call("ir.config_parameter", "set_param", "mcp_webhook.allowed_hosts", "")


def test_calls_at_the_same_time_find_no_more_room_than_one_after_the_other(line, people, attacks):
    employee = people["employee"]
    for door in ("JSON-2", "the web client's"):
        def subscribe(_number=0, door=door):
            try:
                if door == "JSON-2":
                    employee.json2(SUBSCRIPTION, "subscribe_events", model="res.partner")
                else:
                    employee.call(SUBSCRIPTION, "subscribe_events", "res.partner")
            except RpcError:
                return 0
            return 1

        assert sum(map(subscribe, range(PER_MODEL - 2))) == PER_MODEL - 2
        with ThreadPoolExecutor(AT_ONCE) as pool:
            taken = sum(pool.map(subscribe, range(AT_ONCE)))
        made = line.session.read(SUBSCRIPTION, [("create_uid", "=", employee.session.uid)], "id")
        case = f"{AT_ONCE} calls at once through {door}, with room for 2"
        if len(made) > PER_MODEL:
            attacks.reached(KIND, case, f"{len(made)} subscriptions")
        assert len(made) == PER_MODEL and taken == 2, (len(made), taken)
        attacks.held(KIND, case, "2 were made")
        line.session.unlink(SUBSCRIPTION, [one["id"] for one in made])


def test_who_subscribes_again_and_again_is_not_heard_more_often(line, people, attacks, open_host, unheard):
    employee, manager = people["employee"], people["manager"]
    heard = 0
    for number in range(ROUNDS):
        path = f"/churn/{number}"
        line.receiver.answers[path] = 500
        made = employee.json2(
            SUBSCRIPTION, "subscribe_events", model="res.partner", event_type="create",
            domain=[["ref", "=", path]], webhook_url=line.receiver.url + path,
        )
        assert made["state"] == "active", made
        line.session.create("res.partner", name="Churn", ref=path)
        line.wait_rows(made["id"], "failed")
        wait_until(lambda i=made["id"]: line.badge(i)["failure_count"], "the failure is counted")
        heard += line.session.call("mail.message", "search_count", [
            ("model", "=", SUBSCRIPTION), ("res_id", "=", made["id"]), ("partner_ids", "=", manager.partner),
        ])
        employee.json2(SUBSCRIPTION, "unsubscribe_events", subscription_id=made["id"])
    case = f"subscribe, fail, unsubscribe, {ROUNDS} times in an hour"
    if heard > PER_OWNER:
        attacks.reached(KIND, case, f"{heard} notices to a manager")
    assert heard == PER_OWNER
    attacks.held(KIND, case, f"a manager was told {heard} times")


def test_more_than_one_call_holds_keeps_nobody_from_the_sidecar(line, attacks):
    template = json.dumps({"text": "x" * 60_000})
    values = {
        "model_id": line.model("res.country"), "event_type": "create", "webhook_url": "https://hooks.example.com/x",
        "payload_template": template,
    }
    ids = []
    for _batch in range(3):
        ids += line.session.call(SUBSCRIPTION, "create", [values] * 100)
    own, path = line.subscribe("res.partner", "create", domain="[('ref', '=', 'beside')]")
    uuids = {one["uuid"] for one in line.session.read(SUBSCRIPTION, [("id", "in", [*ids, own])], "uuid")}
    line.sweep()
    waits = line.session.read(SUBSCRIPTION, [("id", "in", [*ids, own]), ("sync_pending", "=", True)], "id")
    case = "300 templates of 60 KB, more than a call of the sidecar takes"
    if waits or not uuids <= at_the_sidecar(line):
        attacks.reached(KIND, case, f"{len(waits)} subscriptions wait")
    line.session.create("res.partner", name="Beside", ref="beside")
    line.receiver.wait(path)
    attacks.held(KIND, case, "each reached it, and deliveries went on")
    foreign = str(uuid.uuid4())
    line.sidecar.call(
        "subscription.create", id=foreign, model="res.partner", url="https://hooks.example.com/x"
    )
    line.shell("env['mcp.event.subscription']._sync_all()\nenv.cr.commit()")
    known = at_the_sidecar(line)
    assert uuids <= known and foreign not in known
    attacks.held(KIND, "the complete set, anew", "the same, and what was not Odoo's is gone")


def at_the_sidecar(line):
    """The ids of all subscriptions there."""
    found, after = set(), None
    while True:
        page = line.sidecar.call("subscription.list", after=after, limit=1000)
        found |= {one["id"] for one in page["subscriptions"]}
        after = page["next"]
        if not after:
            return found
