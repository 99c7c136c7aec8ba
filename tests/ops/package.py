#!/usr/bin/env python3
"""The Debian package as a new user has it: a clean Debian tree, install, start, first delivery, upgrade, remove, purge.

Needs root, debootstrap, systemd-nspawn (Debian's systemd-container), and the package (packaging/build deb). The tree is
made once and kept in ~/.cache/mcp-webhookd; each run boots a copy, with systemd. Prints how long each step took.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from daemon import PROJECT, wait_until
from machine import Clock, Machine, debootstrap, need, run

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mcp-webhookd/debian-bookworm.tar"
RELEASE = "bookworm"
SUBSCRIPTION = "0190c1de-7b5a-7c3e-9b0a-1f6d2c3b4a59"
EVENT = "0190c1de-7b5a-7c3e-9b0a-{:012}"
SECRET = "0123456789abcdef"
STATE = "/var/lib/mcp-webhookd"


def tree(folder):
    """The clean tree, made once and kept."""
    if not CACHE.exists():
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        fresh = folder / "fresh"
        debootstrap(RELEASE, fresh)
        run("tar", "-C", fresh, "-cf", CACHE, ".")
        shutil.rmtree(fresh)
    run("tar", "-C", folder, "-xf", CACHE)


def call(machine, method, params):
    """A JSON-RPC call as the documentation has it, with curl and the addon's token."""
    token = machine("head", "-n1", f"{STATE}/token").strip()
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    text = machine(
        "curl", "-fsS", "http://127.0.0.1:8170/", "-H", f"Authorization: Bearer {token}",
        "-H", "Content-Type: application/json", "-d", body,
    )  # fmt: skip
    answer = json.loads(text)
    assert "result" in answer, answer
    return answer["result"]


def attempts(machine, number):
    """The attempts of an event."""
    return call(machine, "delivery.get", {"event_id": EVENT.format(number)})["attempts"]


def deliver(machine, number):
    """A receiver, an event, and the attempt that says that it arrived."""
    listen = ["mcp-webhookd", "listen", "--port", "9000", "--count", "1", "--secret", SECRET]
    receiver = subprocess.Popen(
        machine.inside(*listen), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    receiver.stderr.readline()
    event = {
        "id": EVENT.format(number),
        "subscription_id": SUBSCRIPTION,
        "model": "sale.order",
        "event_type": "write",
        "record_ids": [number],
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    call(machine, "event.submit", {"events": [event]})
    printed = receiver.communicate(timeout=20)[0]
    assert "signature: valid" in printed, printed
    wait_until(lambda: attempts(machine, number)[-1]["status"] == "success", "the delivery")


def check_files(machine):
    """What the package promises to leave behind."""
    for path in (
        "usr/share/man/man8/mcp-webhookd.8.gz",
        "usr/share/bash-completion/completions/mcp-webhookd",
        "etc/mcp-webhookd/config.toml",
    ):
        assert (machine.root / path).exists(), path
    assert oct((machine.root / "etc/mcp-webhookd/config.toml").stat().st_mode)[-3:] == "640"
    listed = machine("dpkg", "--listfiles", "mcp-webhookd").split()
    units = sorted(Path(path).name for path in listed if path.endswith(".service"))
    assert units == ["mcp-webhookd.service", "mcp-webhookd@.service"], units
    for unit in ("mcp-webhookd.service", "mcp-webhookd@sales.service"):
        machine("systemd-analyze", "verify", "--man=no", unit)
    exposure = machine("systemd-analyze", "security", "--no-pager", "mcp-webhookd").splitlines()[-1]
    print(f"          {exposure.strip()}")
    assert machine("systemctl", "is-enabled", "mcp-webhookd").strip() == "enabled", "it starts at boot"


def healthy(machine, port=8170):
    """Waits until the service says that it is."""
    get = machine.inside("curl", "-fsS", f"http://127.0.0.1:{port}/healthz")
    wait_until(lambda: subprocess.run(get, capture_output=True, check=False).returncode == 0, "health")


def edit_and_reload(machine):
    """The operator's way to open loopback to endpoints: the file, then a reload."""
    config = machine.root / "etc/mcp-webhookd/config.toml"
    text = config.read_text().replace("#allow_http = false", "allow_http = true")
    config.write_text(text.replace("#allow_networks = []", 'allow_networks = ["127.0.0.0/8"]'))
    before = machine.show("MainPID")
    machine("systemctl", "reload", "mcp-webhookd")
    wish = {"id": SUBSCRIPTION, "model": "sale.order", "url": "http://127.0.0.1:9000/", "secret": SECRET}
    wait_until(lambda: "reloaded" in machine("journalctl", "--unit=mcp-webhookd"), "the reload")
    call(machine, "subscription.create", wish)
    assert machine.show("MainPID") == before, "a reload is no restart"


def freeze(machine):
    """A daemon that stands still is restarted by the watchdog."""
    folder = machine.root / "etc/systemd/system/mcp-webhookd.service.d"
    folder.mkdir()
    (folder / "watchdog.conf").write_text("[Service]\nWatchdogSec=2\n")
    machine("systemctl", "daemon-reload")
    machine("systemctl", "restart", "mcp-webhookd")
    before = machine.show("MainPID")
    machine("systemctl", "kill", "--signal=STOP", "mcp-webhookd")
    wait_until(lambda: machine.show("MainPID") not in ("0", before), "the restart by the watchdog")
    assert machine.show("NRestarts") == "1"
    healthy(machine)


def second_instance(machine):
    """Another database has another instance, with its own data and port."""
    assert "127.0.0.1:8171" in machine.follow_the_guide(2)
    healthy(machine, 8171)


def close_private_networks(machine):
    """The drop-in of the guide is taken by systemd, and loopback stays open."""
    machine.follow_the_guide(3)
    healthy(machine)
    assert "10.0.0.0/8" in machine.show("IPAddressDeny"), machine.show("IPAddressDeny")
    machine("rm", "/etc/systemd/system/mcp-webhookd.service.d/network.conf")
    machine("systemctl", "daemon-reload")


def restore(machine):
    """A backup, restored; the log has a new identity and the same deliveries."""
    before = call(machine, "system.info", {})["log_id"]
    machine.follow_the_guide(4)
    healthy(machine)
    assert call(machine, "system.info", {})["log_id"] != before
    assert attempts(machine, 1)[0]["status"] == "success"


def newer(package, folder):
    """The same package with a higher version: what an upgrade gets."""
    tree = folder / "newer"
    run("dpkg-deb", "--raw-extract", package, tree)
    control = tree / "DEBIAN/control"
    lines = [f"{line}.1" if line.startswith("Version:") else line for line in control.read_text().splitlines()]
    control.write_text("\n".join(lines) + "\n")
    result = folder / "mcp-webhookd-newer.deb"
    run("dpkg-deb", "--root-owner-group", "--build", tree, result)
    return result


def live_through(machine, package, clock):
    """From the installation to the purge."""
    shutil.copy(package, machine.root / "root")
    assert "running for" in machine.follow_the_guide(0)
    assert len(machine.follow_the_guide(1).strip()) == 43, "the token"
    healthy(machine)
    clock.step("installed and started by systemd, healthy")
    check_files(machine)
    clock.step("unit files verified")
    edit_and_reload(machine)
    deliver(machine, 1)
    clock.step("configuration reloaded; first delivery, signature verified")
    print(machine("mcp-webhookctl", "status"), end="")
    print(machine("mcp-webhookctl", "doctor"), end="")
    freeze(machine)
    clock.step("stood still, and was restarted by the watchdog")
    second_instance(machine)
    clock.step("a second instance, with its own port and data")
    close_private_networks(machine)
    clock.step("private networks closed by a drop-in")
    restore(machine)
    clock.step("backed up and restored")
    before, sales = machine.show("MainPID"), machine.show("MainPID", "mcp-webhookd@sales")
    with tempfile.TemporaryDirectory() as scratch:
        machine.install(newer(package, Path(scratch)))
    wait_until(lambda: machine.show("MainPID") not in ("0", before), "the restart after the upgrade")
    healthy(machine)
    assert machine.show("MainPID", "mcp-webhookd@sales") not in ("0", sales), "its instances run the new version too"
    healthy(machine, 8171)
    assert attempts(machine, 1)[0]["status"] == "success", "the log survived"
    deliver(machine, 2)
    clock.step("upgraded; log, token and changed configuration are still there")
    machine("dpkg", "--remove", "mcp-webhookd")
    assert (machine.root / STATE[1:] / "log.redb").exists(), "removal keeps the log"
    for unit in ("mcp-webhookd", "mcp-webhookd@sales"):
        assert machine.show("ActiveState", unit) == "inactive", f"removal stops {unit}"
    machine("dpkg", "--purge", "mcp-webhookd")
    for folder in (STATE, f"{STATE}-instances"):
        assert not (machine.root / folder[1:]).exists(), f"purge removes {folder}"
    clock.step("removed (the log stays) and purged (it goes)")


def main():
    """The whole day; exit code 1 with the reason when something is not as promised."""
    need("debootstrap", "systemd-nspawn")
    packages = sorted((PROJECT / "target/dist").glob("mcp-webhookd_*.deb"), key=lambda path: path.stat().st_mtime)
    if not packages:
        sys.exit("package: there is no package; run: packaging/build deb")
    clock = Clock()
    with Machine(tree) as machine:
        clock.step("a clean Debian machine, booted")
        live_through(machine, packages[-1], clock)
    print(f"{time.monotonic() - clock.began:6.1f} s  in all")


if __name__ == "__main__":
    main()
