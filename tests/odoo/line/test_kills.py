"""What was committed is delivered, whoever dies when."""

import subprocess

from realodoo.cache import wait_until


def test_sidecar_killed_between_acceptance_and_delivery(line):
    import threading

    gate = threading.Event()
    subscription, path = line.subscribe("res.partner", "create")
    line.receiver.answers[path] = gate
    line.session.create("res.partner", name="Survivor")
    first = line.receiver.wait(path)[0]
    row = line.rows(subscription)[0]
    assert [a["status"] for a in line.sidecar.attempts(row["event_uuid"])] == ["pending"]
    line.sidecar.kill()
    line.receiver.answers[path] = 200
    gate.set()
    line.sidecar.start()
    second = line.receiver.wait(path, 2)[1]
    assert second.id == first.id and second.body == first.body
    line.sweep()
    rows = line.wait_rows(subscription, "success")
    assert [(r["attempt"], r["event_uuid"]) for r in rows] == [(1, row["event_uuid"])]


def test_changes_while_the_sidecar_is_down_wait_in_odoo(line):
    subscription, path = line.subscribe("res.partner", "create")
    line.sidecar.kill()
    for number in range(5):
        line.session.create("res.partner", name=f"Offline {number}")
    rows = line.rows(subscription)
    assert [(r["status"], r["stage"]) for r in rows] == [("pending", "odoo")] * 5
    line.sidecar.start()
    wait_until(lambda: line.sweep() or len(line.receiver.on(path)) >= 5, "the sweep")
    line.wait_rows(subscription, "success", count=5)
    ids = [a.id for a in line.receiver.on(path)]
    assert sorted(ids) == sorted(r["event_uuid"] for r in rows), "each once, and nothing else"


def test_odoo_killed_between_commit_and_submission(line):
    subscription, path = line.subscribe("res.partner", "create")
    line.sidecar.freeze()
    code = "\n".join(
        [
            "import os",
            "env['res.partner'].create({'name': 'Orphan'})",
            "env.cr.flush()",
            "env.cr._cnx.commit()",
            "os._exit(9)",
        ]
    )
    command = line.site.command(line.site.cluster, line.odoo.data, "shell", "-d", "line", "--no-http", "--log-level=error")
    done = subprocess.run(
        [str(part) for part in command], input=code, text=True, capture_output=True, check=False, env=line.site.environment()
    )
    assert done.returncode == 9, f"the process should have died behind the commit: {done.stderr[-2000:]}"
    line.sidecar.thaw()
    assert [r["stage"] for r in line.rows(subscription)] == ["odoo"], "committed, and not submitted"
    wait_until(lambda: line.sweep() or line.receiver.on(path), "the sweep")
    line.wait_rows(subscription, "success")
    assert len(line.receiver.on(path)) == 1


def test_odoo_server_killed_with_rows_waiting(line):
    subscription, path = line.subscribe("res.partner", "create")
    line.sidecar.kill()
    line.session.create("res.partner", name="Waiting through two deaths")
    line.odoo.kill()
    line.sidecar.start()
    line.odoo.start()
    line.login()
    wait_until(lambda: line.sweep() or line.receiver.on(path), "the sweep")
    line.wait_rows(subscription, "success")
    assert len(line.receiver.on(path)) == 1


def test_wiped_sidecar_is_filled_again(line):
    subscription, path = line.subscribe("res.partner", "create")
    line.session.create("res.partner", name="Before")
    line.wait_rows(subscription, "success")
    old = line.sidecar.call("system.info")["log_id"]
    line.sidecar.stop()
    line.sidecar.wipe()
    line.sidecar.start()
    assert line.sidecar.call("system.info")["log_id"] != old, "the fault fired"
    assert line.sidecar.call("subscription.list")["subscriptions"] == []
    wait_until(lambda: line.sweep() or line.sidecar.call("subscription.list")["subscriptions"], "subscription.sync")
    line.session.create("res.partner", name="After")
    line.wait_rows(subscription, "success", count=2)
    assert line.receiver.on(path)[-1].headers["webhook-signature"], "the secret came along"


def test_log_is_sound_after_all_that(line):
    line.sidecar.stop()
    assert "is sound" in line.sidecar.verify()
    line.sidecar.start()
