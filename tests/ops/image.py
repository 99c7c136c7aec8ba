#!/usr/bin/env python3
"""The Dockerfile, built and run where there is neither a registry nor an engine: by Debian's buildah, in a chroot.

The images that it begins from are made here under their names: `debian:bookworm-slim` is a tree of debootstrap, and
`rust:1-bookworm` the same with a `cargo` that hands out the release binary of this machine. So everything of the Dockerfile
is done but the compilation. Needs root, debootstrap, buildah, docker-compose, and target/release/mcp-webhookd.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import yaml
from daemon import BINARY, PROJECT, get, wait_until
from machine import Clock, need, run
from package import tree
from test_packaging import composed
from test_prometheus import free_port

TOKEN = "a-token-as-the-first-lines-of-compose-make-it"
CARGO = """#!/bin/sh
[ "$*" = "build --release --locked -p webhook-server" ] || { echo "not the command of the Dockerfile: $*"; exit 1; }
test -f Cargo.lock && test -f crates/webhook-server/Cargo.toml || { echo "the sources are not there"; exit 1; }
install -D /usr/local/lib/mcp-webhookd target/release/mcp-webhookd
"""


class Store:
    """Images and containers in a folder of their own."""

    def __init__(self, folder):
        self.options = ["--root", folder / "root", "--runroot", folder / "run", "--storage-driver", "vfs"]

    def command(self, verb, *arguments):
        """Of buildah."""
        return [str(part) for part in ("buildah", *self.options, verb, *arguments)]

    def __call__(self, verb, *arguments):
        return run(*self.command(verb, *arguments)).strip()

    def base(self, name, folder):
        """An image of a tree."""
        container = self("from", "scratch")
        self("add", "--quiet", container, folder, "/")
        self("commit", "--quiet", "--format", "docker", container, f"docker.io/library/{name}")
        self("rm", container)


def build(store, folder):
    """The Dockerfile's image; what it says of itself."""
    debian = folder / "debian"
    debian.mkdir()
    tree(debian)
    store.base("debian:bookworm-slim", debian)
    (debian / "usr/local/bin/cargo").write_text(CARGO)
    (debian / "usr/local/bin/cargo").chmod(0o755)
    shutil.copy(BINARY, debian / "usr/local/lib/mcp-webhookd")
    store.base("rust:1-bookworm", debian)
    shutil.rmtree(debian)
    store("bud", "--pull-never", "--isolation", "chroot", "--format", "docker", "--tag", "mcp-webhookd", PROJECT)
    return json.loads(store("inspect", "--type", "image", "mcp-webhookd"))["Docker"]["config"]


def last_child(process):
    """The end of a chain of processes, each the only child of the one before."""
    lists = Path(f"/proc/{process}/task").glob("*/children")
    children = [child for of_a_thread in lists for child in of_a_thread.read_text().split()]
    return last_child(int(children[0])) if children else process


def call(port, method):
    """A JSON-RPC call as Odoo makes it in the network of the compose file; the result."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}})
    headers = {"Host": f"sidecar:{port}", "Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", body.encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())["result"]


def serve(store, clock):
    """A container serves as the compose file starts it, is healthy by the image's check, and ends on SIGTERM."""
    container = store("from", "--pull-never", "mcp-webhookd")
    in_it = ["--isolation", "chroot", container, "--"]
    assert store("run", *in_it, "id", "-un") == "mcp-webhookd"
    service = yaml.safe_load(composed(SIDECAR_TOKEN=TOKEN, POSTGRES_PASSWORD="-").stdout)["services"]["sidecar"]
    port = free_port()
    environment = service["environment"] | {"MCP_WEBHOOKD_SERVER_LISTEN": f"0.0.0.0:{port}"}
    options = [f"--env={name}={value}" for name, value in environment.items()]
    entrypoint = [part.replace("$$", "$") for part in service["entrypoint"]]
    process = subprocess.Popen(store.command("run", *options, *in_it, *entrypoint), stderr=subprocess.DEVNULL)
    wait_until(lambda: get(f"http://127.0.0.1:{port}/healthz"), "health")
    assert call(port, "system.info")["pending"] == 0
    clock.step("a container serves as compose.yaml starts it, as a user of its own, with the token of .env")
    status = json.loads(store("run", *in_it, "mcp-webhookd", "status", "--json"))
    assert status["reasons"] == [], status
    clock.step("the image's health check says yes")
    os.kill(last_child(process.pid), signal.SIGTERM)
    assert process.wait(20) == 0, process.returncode
    clock.step("SIGTERM ends it")


def main():
    """Exit code 1 with the reason when something is not as the Dockerfile says."""
    need("debootstrap", "buildah", "docker-compose")
    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="mcp-webhookd-image-", dir="/var/tmp") as scratch:
        store = Store(Path(scratch))
        config = build(store, Path(scratch))
        told = {name: config[name] for name in ("User", "Entrypoint", "Cmd", "StopSignal")}
        assert told == {
            "User": "mcp-webhookd", "Entrypoint": ["mcp-webhookd"], "Cmd": ["serve"], "StopSignal": "SIGTERM",
        }, told  # fmt: skip
        assert config["Healthcheck"]["Test"] == ["CMD", "mcp-webhookd", "status", "--json"], config
        clock.step("the Dockerfile built: packages, user, files")
        serve(store, clock)


if __name__ == "__main__":
    sys.exit(main())
