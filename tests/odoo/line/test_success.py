"""What a subscription takes for a success, and how its secret is replaced, at a real endpoint of the real sidecar."""

import json

import pytest
from conftest import SECRET
from realodoo.cache import wait_until
from realodoo.signatures import verify
from realodoo.web import RpcError
from standardwebhooks.webhooks import Webhook

MODEL = "mcp.event.subscription"
NEW = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def test_answer_that_says_no_under_code_200_is_a_failure_with_its_reason(line):
    subscription, path = line.subscribe(
        "res.partner", "create", success_not_html=True, success_pointer="/ok", success_equals="true"
    )
    answers = [{"ok": False, "error": "quota"}, {"ok": True}]
    line.receiver.answers[path] = lambda _arrival: (200, json.dumps(answers[len(line.receiver.on(path)) - 1]).encode())
    line.session.create("res.partner", name="Not taken at first")
    row = line.wait_rows(subscription, "failed")[0]
    assert (row["response_code"], row["error_kind"]) == (200, "rejected")
    assert "the value at /ok" in row["error_message"]
    assert "the value at /ok is true" in row["advice"] and '"error": "quota"' in row["advice"]
    line.session.call("mcp.webhook.delivery", "action_redeliver", [row["id"]])
    assert line.wait_rows(subscription, "success")[0]["event_uuid"] == row["event_uuid"]


def test_replaced_secret_and_the_one_before_both_sign_for_the_hours_that_were_given(line):
    subscription, path = line.subscribe("res.partner", "create")
    with pytest.raises(RpcError, match="secret_overlap_hours: expected 0 to 168"):
        line.session.write(MODEL, subscription, secret_overlap_hours=169)
    line.session.write(MODEL, subscription, secret_overlap_hours=24, webhook_secret=NEW)

    def notice():
        return line.session.read(MODEL, [("id", "=", subscription)], "overlap_notice")[0]["overlap_notice"]

    assert "The previous secret signs as well until" in wait_until(notice, "the sidecar's word until when")
    line.session.create("res.partner", name="Signed twice")
    arrival = line.receiver.wait(path)[0]
    assert [one.split(",")[0] for one in arrival.headers["webhook-signature"].split(" ")] == ["v1", "v1"]
    verify(line.site, arrival, NEW)
    Webhook(SECRET).verify(arrival.body, {name.lower(): value for name, value in arrival.headers.items()})
    line.session.write(MODEL, subscription, secret_overlap_hours=0, webhook_secret=f"{NEW[:-1]}E")
    assert wait_until(lambda: not notice(), "the end of the one before")
    line.session.create("res.partner", name="Signed once")
    assert " " not in line.receiver.wait(path, 2)[1].headers["webhook-signature"]
