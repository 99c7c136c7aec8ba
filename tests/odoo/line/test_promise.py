# ruff: noqa: F811 (fixtures of another file)
"""What Odoo promises when something was copied, put back, taken over or refused: nothing is lost, and nothing else is sent."""

import copy
import shutil
import socketserver
import tempfile
import threading
from pathlib import Path

import pytest
from realodoo import postgres
from realodoo.cache import run, wait_until
from realodoo.sidecar import Sidecar
from realodoo.web import RpcError, Session
from test_faults import PATH, become_production, house, judge  # noqa: F401

SETTINGS, SUBSCRIPTION, DELIVERY = "res.config.settings", "mcp.event.subscription", "mcp.webhook.delivery"


@pytest.fixture
def other_cluster(line):
    """Another PostgreSQL, as on another machine."""
    folder = Path(tempfile.mkdtemp(dir=line.site.folder))
    folder.chmod(0o755)
    cluster = postgres.new_cluster(folder / "pg").start()
    yield cluster
    cluster.stop("immediate")


def restored(house, cluster):
    """A dump of the house's database, restored into another cluster under the same name."""
    dump = house.site.folder / f"{house.name}.sql"
    source = ["-h", "127.0.0.1", "-U", "odoo", "-p", house.site.cluster.port]
    run([cluster.bin / "pg_dump", *source, "-f", dump, house.name])
    cluster._client("createdb", "-T", "template0", house.name)
    cluster._client("psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", house.name, "-f", dump)
    site = copy.copy(house.site)
    site.cluster = cluster
    return site


def own_folder(house):
    """A data folder of another host: the filestore has been copied, the binding has not."""
    data = house.site.folder / f"{house.name}-data"
    files = house.data / "filestore" / house.name
    if files.is_dir():
        shutil.copytree(files, data / "filestore" / house.name)
    return data


@pytest.mark.parametrize("sidecars", ["production's sidecar", "a fresh sidecar"])
@pytest.mark.parametrize("folder", ["its own data folder", "a copied data folder"])
def test_database_restored_into_another_cluster_under_the_same_name(house, other_cluster, sidecars, folder):
    house.deliver(1)
    house.sidecar.freeze()
    house.session.create("res.partner", name="Waits in the dump")
    house.odoo.stop()
    site = restored(house, other_cluster)
    house.sidecar.thaw()
    house.serve()
    house.settled(2)
    data = house.data
    if folder == "its own data folder":
        data = own_folder(house)
    sidecar = house.sidecar
    if sidecars == "a fresh sidecar":
        (site.folder / "fresh").mkdir(exist_ok=True)
        sidecar = Sidecar(site.folder / "fresh").start()
    there = site.serve(house.name, data, MCP_WEBHOOK_SIDECAR_URL=sidecar.url, MCP_WEBHOOK_SIDECAR_TOKEN=sidecar.token)
    staging = Session(there)
    staging.create("res.partner", name="In the copy")
    for _minute in range(2):
        house.sweep(staging)
    assert "is a copy" in house.banner(staging)
    assert len(house.receiver.on(PATH)) == 2, "production's own two"
    waiting = [row["stage"] for row in house.all_rows(staging) if row["status"] == "pending"]
    assert waiting == ["odoo", "odoo"]
    if sidecar is not house.sidecar:
        assert sidecar.call("subscription.list")["subscriptions"] == [], "no URL and no secret left it"
        become_production(staging)
        wait_until(lambda: house.sweep(staging) or len(house.receiver.on(PATH)) == 4, "what waited in the copy")
    there.stop()
    if sidecar is not house.sidecar:
        sidecar.remove()
    house.deliver(len(house.all_rows()) + 1)  # production does not notice


def test_second_host_with_a_data_folder_of_its_own(house):
    house.deliver(1)
    data = own_folder(house)
    second = house.site.serve(
        house.name, data, MCP_WEBHOOK_SIDECAR_URL=house.sidecar.url, MCP_WEBHOOK_SIDECAR_TOKEN=house.sidecar.token
    )
    there = Session(second)
    wizard = there.create(SETTINGS)
    with pytest.raises(RpcError, match="does not know this host"):
        there.call(SETTINGS, "action_mcp_webhook_test_connection", [wizard])

    def confirmed():
        house.sweep()
        try:
            return there.call(SETTINGS, "action_mcp_webhook_test_connection", [wizard])
        except RpcError:
            return None

    wait_until(confirmed, "the first host to confirm the second")
    there.create("res.partner", name="Saved there")
    house.settled(2)
    second.stop()


@pytest.mark.parametrize("held", ["paused", "endpoint down"])
def test_sidecar_put_back_to_an_earlier_state(house, judge, held):
    kept = house.site.folder / f"{house.name}-kept"
    house.deliver(1)
    house.sidecar.stop()
    shutil.copytree(house.sidecar.data, kept)
    house.sidecar.start()
    house.sweep()
    gate = threading.Event()
    if held == "paused":
        house.session.write(SUBSCRIPTION, house.subscription, paused=True)
    else:
        house.receiver.answers[PATH] = gate
    house.session.write(SUBSCRIPTION, house.subscription, payload_template='{"now": "{{ record.name }}"}')
    for number in range(20):
        house.session.create("res.partner", name=f"Between {number}")
    wait_until(lambda: all(r["stage"] != "odoo" for r in house.all_rows()), "20 events at the sidecar")
    assert len(house.all_rows()) == 21
    house.crash()
    shutil.rmtree(house.sidecar.data)
    kept.rename(house.sidecar.data)
    house.receiver.answers[PATH] = 200
    gate.set()
    before = len(house.receiver.on(PATH))
    old = (house.sidecar.data / "token").read_text()
    house.sidecar.start()
    assert house.sidecar.token == old.strip()
    house.session.write(SUBSCRIPTION, house.subscription, paused=False)
    rows = house.settled(21)
    assert {(row["status"], row["error_kind"]) for row in rows} == {("success", False)}
    after = house.receiver.on(PATH)[before:]
    assert {arrival.json["now"] for arrival in after} >= {f"Between {n}" for n in range(20)}, "by today's template"
    house.judge(judge)


class Squatter(socketserver.ThreadingTCPServer):
    """Has taken the sidecar's port, keeps what it hears, and answers as a healthy sidecar would, but for the proof."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port):
        self.heard = []
        super().__init__(("127.0.0.1", port), Squatting)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Squatting(socketserver.BaseRequestHandler):
    def handle(self):
        while heard := self.request.recv(65536):
            self.server.heard.append(heard)
            body = b'{"status":"ok","result":{"log_id":"another","version":"9"}}'
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nX-MCP-Proof: {'0' * 64}\r\n\r\n"
            self.request.sendall(head.encode() + body)


def test_who_takes_the_port_gets_no_token(house):
    house.deliver(1)
    token = house.sidecar.token
    house.crash()
    squatter = Squatter(house.sidecar.port)
    house.session.create("res.partner", name="Waits for the real one")
    house.session.write(SUBSCRIPTION, house.subscription, webhook_secret="0123456789-canary-secret")
    house.sweep()
    wizard = house.session.create(SETTINGS)
    with pytest.raises(RpcError, match="did not prove"):
        house.session.call(SETTINGS, "action_mcp_webhook_test_connection", [wizard])
    with pytest.raises(RpcError, match="did not prove"):
        house.session.call(SUBSCRIPTION, "action_send_test", [house.subscription])
    assert "did not prove" in house.banner()
    heard = b"".join(squatter.heard)
    assert heard.count(b"GET /healthz") == len(squatter.heard) > 2, "the fault fired"
    for secret in (token, "canary", house.uuid, house.receiver.url, "POST", "Authorization"):
        assert secret.encode() not in heard, secret
    squatter.shutdown()
    squatter.server_close()
    house.sidecar.start()
    house.settled(2)
    assert len(house.receiver.on(PATH)) == 2


def test_refused_configuration_waits_for_its_repair(house):
    house.deliver(1)
    house.crash()
    house.session.write(SUBSCRIPTION, house.subscription, webhook_url="https://10.0.0.1/hook")
    house.sidecar.start()
    house.session.create("res.partner", name="Waits for the repair")
    for _minute in range(2):
        house.sweep()
    waiting = house.all_rows()[-1]
    assert (waiting["status"], waiting["stage"]) == ("pending", "odoo")
    advice = house.session.read(DELIVERY, [("status", "=", "pending")], "advice")[0]["advice"]
    assert "10.0.0.1" in advice and "repaired" in advice
    assert len(house.receiver.on(PATH)) == 1, "not to the address of before"
    house.session.write(
        SUBSCRIPTION, house.subscription, webhook_url=house.receiver.url + PATH, webhook_secret="0123456789-abcdef"
    )
    house.settled(2)
    assert len(house.receiver.on(PATH)) == 2


def test_archived_user_s_failed_row_is_built_again(house):
    house.deliver(1)
    user = house.session.create("res.users", name="Reader", login="reader")
    house.session.write(SUBSCRIPTION, house.subscription, user_id=user)
    house.session.write("res.users", user, active=False)
    house.session.create("res.partner", name="Nobody may read it now")
    row = house.session.read(DELIVERY, [("status", "=", "failed")], "advice", "error_message")[0]
    assert "archived" in row["error_message"] and "built again" in row["advice"]
    with pytest.raises(RpcError, match="archived"):
        house.session.call(DELIVERY, "action_redeliver", [row["id"]])
    house.session.write("res.users", user, active=True)
    house.sweep()
    house.session.call(DELIVERY, "action_redeliver", [row["id"]])
    house.settled(2)
    assert house.receiver.on(PATH)[-1].json["records"][0]["name"] == "Nobody may read it now"


def test_no_lock_is_held_while_the_sidecar_hangs(house):
    house.deliver(1)
    house.sidecar.freeze()
    sweep = threading.Thread(target=house.sweep)
    sweep.start()
    tried = 0
    while sweep.is_alive():
        for table in ("mirror", "outbox", "delivery"):
            house.site.cluster.sql(house.name, f"SET lock_timeout = '3s'; BEGIN; LOCK TABLE mcp_webhook_{table} IN EXCLUSIVE MODE; ROLLBACK")
        tried += 1
    sweep.join()
    house.sidecar.thaw()
    assert tried > 1, "the fault fired"
    assert "did not answer" in house.banner()


def test_a_long_transaction_keeps_no_old_set_of_subscriptions_for_others(line):
    """A subscription is made while somebody's import runs: the import's snapshot is older, and others' are not."""
    told = line.shell(
        """
from odoo import api, SUPERUSER_ID

def begin():
    cr = env.registry.cursor()
    return cr, api.Environment(cr, SUPERUSER_ID, {})

def count(subscription):
    with env.registry.cursor() as cr:
        cr.execute("SELECT count(*) FROM mcp_webhook_delivery WHERE subscription_id = %s", [subscription.id])
        return cr.fetchone()[0]

env.cr.commit()
old, import_ = begin()
import_["res.country"].search([], limit=1)
new, manager = begin()
values = {"model_id": manager["ir.model"]._get_id("res.country"), "webhook_url": "http://127.0.0.1:9/", "user_id": 2}
subscription = manager["mcp.event.subscription"].create(values)
new.commit()
env.registry.signal_changes()
import_["res.country"].search([], limit=1).write({"vat_label": "old"})
old.commit()
other, theirs = begin()
theirs["res.country"].search([], limit=1, offset=1).write({"vat_label": "new"})
other.commit()
print("told of", count(subscription))
subscription.with_env(manager).active = False
new.commit()
"""
    )
    assert "told of 1" in told


def test_a_lock_on_what_only_we_read_fails_no_save_and_loses_no_event(line):
    """As an upgrade of another module takes it, for longer than a statement of ours may last."""
    told = line.shell(
        """
from odoo import api, SUPERUSER_ID
import threading

def begin():
    cr = env.registry.cursor()
    return cr, api.Environment(cr, SUPERUSER_ID, {})

WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT INTO mcp_webhook_delivery%' AND datname = current_database() AND pid != pg_backend_pid()"

def release_once_we_wait(locks):
    # a foreign key of the log's own row waits for it, as any row of Odoo's would
    with env.registry.cursor() as look:
        while True:
            look.execute(WAITS)
            if look.fetchone()[0]:
                break
            look.rollback()
    locks.rollback()
    locks.close()

cr, mine = begin()
env.registry["mcp.webhook.outbox"]._submit_quietly = lambda *_args: None  # it would wait for the locks, and we for it
values = {"webhook_url": "http://127.0.0.1:9/", "user_id": 2, "domain": "[('name', '!=', 'x')]"}
Subscription = mine["mcp.event.subscription"]
made = Subscription.browse()
for model in ("res.country", "res.partner.category"):
    made |= Subscription.create({"model_id": mine["ir.model"]._get_id(model), **values})
tag = mine["res.partner.category"].create({"name": "Leaving"})
cr.commit()
cr.execute("SELECT max(id) FROM mcp_webhook_delivery")
(last,) = cr.fetchone()
cr.commit()
for table in ("res_company", "res_partner"):
    locks, _other = begin()
    locks.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    release = threading.Thread(target=release_once_we_wait, args=[locks])
    if table == "res_company":
        release.start()
    mine["res.country"].search([], limit=1).write({"vat_label": table})
    if table == "res_company":
        tag.unlink()
    cr.commit()
    if table == "res_company":
        release.join()
    else:
        locks.rollback()
cr.execute("SELECT event_type, status, event IS NULL FROM mcp_webhook_delivery WHERE id > %s ORDER BY id", [last])
print("rows", cr.fetchall())
made.active = False
cr.commit()
"""
    )
    assert "rows [('write', 'pending', True), ('unlink', 'failed', True), ('write', 'pending', True)]" in told
