"""The release binary of the sidecar, as an operator starts it."""

import json
import os
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path

from . import cache, postgres
from .cache import Failed, wait_until

BINARY = cache.PROJECT / "target/release/mcp-webhookd"


class Sidecar:
    """A sidecar process on a port of its own, which it keeps over restarts. Endpoints on loopback are open to it."""

    def __init__(self, folder):
        if not BINARY.exists():
            raise Failed("there is no release binary; run: cargo build --release -p webhook-server")
        self.data = Path(folder) / "sidecar"
        self.log = Path(folder) / "sidecar.log"
        Path(folder).mkdir(exist_ok=True)
        self.port = postgres.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self, **environment):
        """Starts it, with more environment variables if given, and waits until it is healthy."""
        settings = {
            "MCP_WEBHOOKD_NETWORK_ALLOW_HTTP": "true",
            "MCP_WEBHOOKD_NETWORK_ALLOW_NETWORKS": "127.0.0.0/8",
        }
        command = [BINARY, "serve", "--data-dir", self.data, "--listen", f"127.0.0.1:{self.port}"]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                env=dict(os.environ, **settings, **environment),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        wait_until(self.is_up, f"the sidecar (its log: {self.log})", 30)
        return self

    def is_up(self):
        """Whether it is healthy."""
        if self.process.poll() is not None:
            raise Failed(f"the sidecar ended by itself:\n{self.log.read_text()[-3000:]}")
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    @property
    def token(self):
        """The addon's token."""
        return (self.data / "token").read_text().strip()

    @property
    def mcp_url(self):
        """Where its MCP server is, if it has one."""
        return f"http://{(self.data / 'mcp_address').read_text().strip()}/mcp"

    def call(self, method, **params):
        """A JSON-RPC call with the administration's token; the result.

        :raises Failed: the answer was an error.
        """
        request = urllib.request.Request(
            self.url,
            json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode(),
            {
                "Authorization": f"Bearer {(self.data / 'admin_token').read_text().strip()}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = json.loads(answer.read())
        if "error" in body:
            raise Failed(f"{method}: {body['error']}")
        return body["result"]

    def attempts(self, event_id):
        """All attempts of one delivery, as the sidecar's own log has them."""
        return self.call("delivery.get", event_id=event_id)["attempts"]

    def kill(self):
        """Ends it at once, as a crash does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def freeze(self):
        """It stands still, but its port is open."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        """It goes on."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        """Ends it as systemd does; answers the exit code."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
        return self.process.returncode if self.process else None

    def wipe(self):
        """Its log is lost; the tokens stay, as they do when an operator moves a broken store away."""
        for path in self.data.glob("log.redb*"):
            path.unlink()

    def verify(self):
        """The whole check of the log, as `mcp-webhookd verify` makes it."""
        return cache.run([BINARY, "verify", "--data-dir", self.data])

    def remove(self):
        """Stops it and removes its data."""
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)
