"""The sidecar's binary on a free port with a data directory of its own, for the operator's tests."""

import json
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("MCP_WEBHOOKD", PROJECT / "target/release/mcp-webhookd"))


def wait_until(look, what, seconds=30):
    """Polls until `look` answers something true, and answers that.

    :raises TimeoutError: it did not within `seconds`.
    """
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {seconds} s")
        time.sleep(0.05)
    return found


def get(url):
    """The body of a page, or None while it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()
    except OSError:
        return None


class Daemon:
    """A running sidecar; endpoints on loopback are open to it. A context manager."""

    def __init__(self, binary=BINARY):
        self.binary = binary
        self.folder = tempfile.TemporaryDirectory(prefix="mcp-webhookd-")
        self.data = Path(self.folder.name) / "data"
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_exc):
        self.stop()
        self.folder.cleanup()

    @property
    def environment(self):
        """Settings that point every command at this sidecar."""
        return dict(
            os.environ,
            MCP_WEBHOOKD_NETWORK_ALLOW_HTTP="true",
            MCP_WEBHOOKD_NETWORK_ALLOW_NETWORKS="127.0.0.0/8",
            MCP_WEBHOOKD_SERVER_DATA_DIR=str(self.data),
            PATH=f"{self.binary.parent}:{os.environ['PATH']}",
        )

    def start(self, listen="127.0.0.1:0"):
        """Starts it and waits until it is healthy."""
        self.process = subprocess.Popen(
            [self.binary, "--listen", listen, "serve"], env=self.environment, stderr=subprocess.DEVNULL
        )
        wait_until((self.data / "address").exists, "the start")
        wait_until(lambda: get(f"{self.url}/healthz"), "health")

    def stop(self):
        """Ends it as systemd does."""
        self.process.terminate()
        assert self.process.wait(20) == 0

    @property
    def url(self):
        """Where it listens."""
        return f"http://{(self.data / 'address').read_text().strip()}"

    def call(self, method, params=None, token="token"):
        """A JSON-RPC call; the whole answer."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        headers = {
            "Authorization": f"Bearer {(self.data / token).read_text().split()[0]}",
            "Content-Type": "application/json",
        }
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def command(self, *arguments):
        """Runs a command of the binary; what it printed."""
        ran = subprocess.run(
            [self.binary, *arguments], env=self.environment, capture_output=True, text=True, check=True
        )
        return ran.stdout
