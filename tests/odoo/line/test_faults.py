"""What breaks on Odoo's side: its database restarts, is restored, is copied; and the sidecar's data is lost.

The judge of all fault tests (`tests/faults`) decides whether anything was lost or sent twice.
"""

import base64
import hashlib
import hmac
import json
import subprocess
import threading
import zlib

import pytest
from conftest import SECRET
from realodoo import cache
from realodoo.cache import wait_until
from realodoo.receiver import Receiver
from realodoo.sidecar import Sidecar
from realodoo.web import RpcError, Session
from test_lifecycle import Life

PATH = "/life"


class House(Life):
    """A database and a sidecar that may be broken."""

    def __init__(self, site, name, template):  # pylint: disable=super-init-not-called
        self.site, self.name = site, name
        self.receiver = Receiver()
        (site.folder / name).mkdir()
        self.sidecar = Sidecar(site.folder / name).start()
        self.data = site.database(name, template)
        self.serve()
        self.subscription = self.subscribe()
        self.uuid = self.session.read("mcp.event.subscription", [], "uuid")[0]["uuid"]
        self.crashes = []

    def crash(self):
        """The sidecar dies; what arrived so far belongs to the time before."""
        self.sidecar.kill()
        self.crashes.append(len(self.receiver.arrivals))

    def sweep(self, session=None):
        """Runs the crons that guarantee, now instead of within a minute."""
        session = session or self.session
        for cron in session.read("ir.cron", [("cron_name", "ilike", "webhook")], "id", context={"active_test": False}):
            session.call("ir.cron", "method_direct_trigger", [cron["id"]])

    def banner(self, session=None):
        return (session or self.session).call("mcp.event.subscription", "sidecar_trouble") or ""

    def all_rows(self, session=None):
        fields = ["event_uuid", "attempt", "trigger", "status", "stage", "response_code", "error_kind", "record_ids"]
        return (session or self.session).read("mcp.webhook.delivery", [], *fields, order="id")

    def settled(self, count):
        """Waits until so many rows are there and none is pending, sweeping meanwhile; the rows."""
        def found():
            try:
                self.sweep()
                rows = self.all_rows()
            except RpcError:
                return None  # a connection to a database that was restarted
            return len(rows) >= count and not any(row["status"] == "pending" for row in rows) and rows
        return wait_until(found, f"{count} rows that are over")

    def judge(self, judge, events=None):
        """Compares Odoo's rows, the sidecar's log and the requests; `events`: only these."""
        of_interest = (lambda event: event in events) if events is not None else (lambda _: True)
        odoo = [row for row in self.all_rows() if of_interest(row["event_uuid"])]
        log = self.sidecar.call("delivery.list", limit=1000)["attempts"]
        history = {
            "subscriptions": [{"id": self.uuid, "max_in_flight": 4, "max_attempts": 1, "changed": False}],
            "submissions": [
                {"event_id": row["event_uuid"], "subscription_id": self.uuid, "answer": "accepted"}
                for row in odoo
                if row["attempt"] == 1
            ],
            "hits": [
                self.hit(arrival, number)
                for number, arrival in enumerate(self.receiver.arrivals)
                if of_interest(arrival.id)
            ],
            "rows": [
                {
                    "event_id": row["event_id"], "subscription_id": self.uuid, "attempt": row["attempt"],
                    "trigger": row["trigger"], "status": row["status"], "response_code": row["response_code"],
                    "error": row["error"] and row["error"]["kind"],
                }
                for row in reversed(log)
                if of_interest(row["event_id"])
            ],
            "mirror": [
                {
                    "event_id": row["event_uuid"], "subscription_id": self.uuid, "attempt": row["attempt"],
                    "trigger": row["trigger"], "status": row["status"], "response_code": row["response_code"] or None,
                    "error": row["error_kind"] or None,
                }
                for row in odoo
            ],
            "crashes": len(self.crashes),
            "is_drained": True,
        }
        judge(history)

    def hit(self, arrival, number):
        """A request, with whether both signatures hold."""
        headers = {name.lower(): value for name, value in arrival.headers.items()}
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + arrival.body
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        standard = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        plain = hmac.new(SECRET.encode(), arrival.body, hashlib.sha256).hexdigest()
        holds = headers["webhook-signature"] == f"v1,{standard}" and headers["x-mcp-signature"] == f"sha256={plain}"
        return {
            "event_id": arrival.id, "subscription_id": self.uuid, "body": hashlib.sha256(arrival.body).hexdigest(),
            "signed": holds, "answer": 200, "epoch": sum(number >= crash for crash in self.crashes),
        }


@pytest.fixture(scope="session")
def judge(line):
    """Asks the judge; a violation fails the test with its name."""
    cache.run(["cargo", "build", "-q", "--locked", "-p", "webhook-faults"], cwd=cache.PROJECT)
    program = cache.PROJECT / "target/debug/faults"

    def ask(history):
        path = line.site.folder / "history.json"
        path.write_text(json.dumps(history))
        done = subprocess.run([program, "check", path], text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    return ask


@pytest.fixture
def house(line, template, request):
    name = f"{request.node.originalname[5:25]}_{zlib.crc32(request.node.name.encode()):x}"
    house = House(line.site, name, template)
    yield house
    house.stop()


def test_judge_sees_a_missing_request(house, judge):
    house.deliver(1)
    house.judge(judge)
    house.receiver.arrivals.clear()
    with pytest.raises(AssertionError, match="V4"):
        house.judge(judge)


def test_postgresql_restarted_under_load(house, judge):
    cluster = house.site.cluster
    started = cluster.sql(house.name, "SELECT pg_postmaster_start_time()")
    done, broken = threading.Event(), []

    def users():
        session = Session(house.odoo)
        number = 0
        while not done.is_set():
            number += 1
            try:
                session.create("res.partner", name=f"Restart {number}")
            except (RpcError, OSError) as error:
                broken.append(error)

    user = threading.Thread(target=users)
    user.start()
    house.receiver.wait(PATH, 5)
    cluster.restart()
    wait_until(lambda: broken, "a user who noticed")
    seen = len(house.receiver.on(PATH))
    house.receiver.wait(PATH, seen + 5)
    done.set()
    user.join()
    assert cluster.sql(house.name, "SELECT pg_postmaster_start_time()") != started, "the fault fired"
    committed = cluster.sql(house.name, "SELECT id FROM res_partner WHERE name LIKE 'Restart %' ORDER BY id").split()
    rows = house.settled(len(committed))
    assert sorted(row["record_ids"][0] for row in rows) == [int(partner) for partner in committed], (
        "an event for each partner that is there, and for no other"
    )
    house.judge(judge)


def test_odoo_restored_from_an_old_backup(house, judge):
    cluster, name = house.site.cluster, house.name
    house.deliver(1)
    house.crash()
    house.session.create("res.partner", name="Waits in the backup")
    house.odoo.stop()
    cluster.createdb(f"{name}_backup", name)
    house.serve()
    house.sidecar.start()
    house.settled(2)
    house.deliver(3)
    house.odoo.stop()
    cluster.sql("postgres", f'DROP DATABASE "{name}" WITH (FORCE)')
    cluster.createdb(name, f"{name}_backup")
    house.serve()
    assert len(house.all_rows()) == 2, "the fault fired: what came after the backup is gone"
    house.sweep()
    assert "production now" in house.banner(), "it may as well be a copy: nobody but an administrator can tell"
    assert len(house.all_rows()) == 2
    become_production(house.session)
    rows = house.settled(3)
    assert {row["status"] for row in rows} == {"success"}
    assert len(house.receiver.on(PATH)) == 3, "what waited in the backup was delivered before, and is not sent again"
    house.judge(judge)


def test_sidecar_wiped_with_a_delivery_under_way(house, judge):
    gate = threading.Event()
    house.receiver.answers[PATH] = gate
    house.session.create("res.partner", name="Under way")
    first = house.receiver.wait(PATH)[0]
    old = house.sidecar.call("system.info")["log_id"]
    house.crash()
    house.sidecar.wipe()
    house.receiver.answers[PATH] = 200
    gate.set()
    house.sidecar.start()
    assert house.sidecar.call("system.info")["log_id"] != old, "the fault fired"
    house.settled(1)
    second = house.receiver.wait(PATH, 2)[1]
    assert (second.id, second.body) == (first.id, first.body), "submitted again, unchanged"
    house.judge(judge)


def take_over(session):
    wizard = session.create("res.config.settings")
    session.call("res.config.settings", "action_mcp_webhook_take_over", [wizard])


def become_production(session):
    wizard = session.create("res.config.settings")
    session.call("res.config.settings", "action_mcp_webhook_become_production", [wizard])


def test_copied_database_sends_nothing_until_it_takes_over(house, judge):
    name = f"{house.name}_copy"
    house.deliver(1)
    house.odoo.stop()
    house.site.cluster.createdb(name, house.name)
    house.serve()
    copy = house.site.serve(
        name, house.data, MCP_WEBHOOK_SIDECAR_URL=house.sidecar.url, MCP_WEBHOOK_SIDECAR_TOKEN=house.sidecar.token
    )
    staging = Session(copy)
    staging.create("res.partner", name="In the copy")
    house.sweep(staging)
    assert "is a copy" in house.banner(staging)
    assert [(r["status"], r["stage"]) for r in house.all_rows(staging)][1:] == [("pending", "odoo")], "fenced off"
    house.deliver(2)  # the original does not notice
    assert len(house.receiver.on(PATH)) == 2, "and nothing came from the copy"
    become_production(staging)
    wait_until(lambda: house.sweep(staging) or len(house.receiver.on(PATH)) == 3, "what waited in the copy")
    house.session.create("res.partner", name="In the former production")
    house.sweep()
    assert [r["stage"] for r in house.all_rows() if r["status"] == "pending"] == ["odoo"], "now the original is fenced off"
    take_over(house.session)
    house.settled(4)
    assert len(house.receiver.on(PATH)) == 4
    house.judge(judge)
    copy.stop()


def test_neutralized_copy_keeps_nothing_and_sends_nothing(house):
    cluster, name = house.site.cluster, f"{house.name}_neutral"
    house.deliver(1)
    house.sidecar.freeze()
    house.session.create("res.partner", name="Waits in the outbox")
    house.odoo.stop()
    cluster.createdb(name, house.name)
    assert cluster.sql(name, "SELECT count(*) FROM mcp_webhook_outbox") != "0", "the fault fired: something waits in the copy"
    house.sidecar.thaw()
    house.site._odoo(cluster, house.data, "neutralize", "-d", name)
    kept = "SELECT active, webhook_url, secret_value, headers_value FROM mcp_event_subscription"
    assert cluster.sql(name, kept).strip() == "f|||"
    assert cluster.sql(name, "SELECT count(*) FROM mcp_webhook_outbox").strip() == "0"
    parameters = "SELECT key FROM ir_config_parameter WHERE key IN ('mcp_webhook.sidecar_url', 'mcp_webhook.sidecar_token')"
    assert cluster.sql(name, parameters).strip() == ""
    copy = house.site.serve(
        name, house.data, MCP_WEBHOOK_SIDECAR_URL=house.sidecar.url, MCP_WEBHOOK_SIDECAR_TOKEN=house.sidecar.token
    )
    session = Session(copy)
    before = len(house.all_rows(session))
    session.create("res.partner", name="In the neutralized copy")
    house.sweep(session)
    assert len(house.all_rows(session)) == before
    copy.stop()
    house.serve()
    house.settled(2)
    assert len(house.receiver.on(PATH)) == 2, "the production's two, and nothing from the copy"
