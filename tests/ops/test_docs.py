"""Every command and snippet of the documentation is run.

Blocks marked `sh` run in one shell per page, in order, beside a running sidecar; `sh machine` runs in a Debian machine
(package.py). Signature snippets verify what a real sidecar signed.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import re
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from daemon import BINARY, PROJECT, Daemon, wait_until

DOCS = PROJECT / "docs"
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PAGES = [*DOCS.glob("*.md"), PROJECT / "README.md"]
# Commands that no block holds, and what runs them.
ELSEWHERE = {
    "cargo install just && just demo": "tests/odoo/line/test_demo.py; .ci/run installs just",
    "just test": ".ci/run",
    "cargo install --locked --path crates/webhook-server": "test_from_source",
    "mcp-webhookd serve": "every test here",
}
SUBSCRIPTION = "0190c1de-7b5a-7c3e-9b0a-1f6d2c3b4a59"


def blocks(page, kind):
    """The fenced blocks of one kind, in order."""
    return [text for info, text in BLOCK.findall(page.read_text()) if info == kind]


class Home(Daemon):
    """A sidecar where a user has it, so that the documentation's paths are true."""

    def __init__(self):
        super().__init__()
        self.home = Path(self.folder.name)
        self.data = self.home / ".local/state/mcp-webhookd"

    @property
    def environment(self):
        """As a user's shell has it, with loopback open to endpoints."""
        inherited = {name: value for name, value in super().environment.items() if not name.startswith("XDG_")}
        inherited.pop("MCP_WEBHOOKD_SERVER_DATA_DIR")
        inherited.pop("STATE_DIRECTORY", None)
        return inherited | {"HOME": str(self.home)}

    def shell(self, script, **variables):
        """Runs a script as a user types it; what it printed."""
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.home, env=self.environment | variables, text=True, capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, f"{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}"
        return ran.stdout

    def an_event_that_failed(self):
        """Its id; nobody listens on port 9."""
        wish = {"id": SUBSCRIPTION, "model": "sale.order", "url": "http://127.0.0.1:9/"}
        self.call("subscription.create", wish)
        event = self.call("delivery.test", {"subscription_id": SUBSCRIPTION})["result"]["event_id"]
        self.wait_for(event, "failed")
        return event

    def wait_for(self, event, status):
        """Waits until the newest attempt is in a state."""
        newest = lambda: self.call("delivery.get", {"event_id": event})["result"]["attempts"][-1]["status"]  # noqa: E731
        wait_until(lambda: newest() == status, status)


class Pages(unittest.TestCase):
    """The commands."""

    def test_the_api_page(self):
        with Home() as home:
            script = "\n".join(blocks(DOCS / "api.md", "sh"))
            printed = home.shell(script)
            answers = [json.loads(line) for line in printed.splitlines() if line.startswith('{"jsonrpc"')]
            self.assertGreater(len(answers), 14)
            self.assertEqual([answer for answer in answers if "error" in answer], [])
            self.assertIn("signature: valid", printed)

    def test_the_api_page_names_every_method_and_every_error(self):
        with Home() as home:
            described = home.call("rpc.discover")["result"]["methods"]
        text = (DOCS / "api.md").read_text()
        heads = " ".join(re.findall(r"^## (.*)$", text, re.MULTILINE))
        self.assertEqual([m["name"] for m in described if m["name"] not in heads], [])
        table = dict(re.findall(r"^\| (-?\d+) \| `(\w+)`", text, re.MULTILINE))
        served = {str(error["code"]): error["message"] for error in described[0]["errors"]}
        self.assertEqual(table, served)
        called = set(re.findall(r"rpc ([a-z]+\.[a-z_]+)", "\n".join(blocks(DOCS / "api.md", "sh"))))
        self.assertEqual({m["name"] for m in described} - called, set())

    def test_the_operators_guide(self):
        with Home() as home:
            event = home.an_event_that_failed()
            script = "\n".join(blocks(DOCS / "operator.md", "sh"))
            printed = home.shell(script, EVENT=event, SUBSCRIPTION=SUBSCRIPTION)
            self.assertIn("nobody listens there", printed)
            self.assertIn("res.partner", printed)

    def test_troubleshooting(self):
        with Home() as home:
            event = home.an_event_that_failed()
            script = "\n".join(blocks(DOCS / "troubleshooting.md", "sh"))
            self.assertIn("connect", home.shell(script, EVENT=event, SUBSCRIPTION=SUBSCRIPTION))

    def test_the_commands_for_endpoint_authors(self):
        with Home() as home:
            self.assertIn('"hello": "world"', home.shell("\n".join(blocks(DOCS / "endpoints.md", "sh"))))

    def test_every_kind_of_failure_and_every_alert_is_explained(self):
        with Home() as home:
            metrics = home.shell('curl -sS "http://$(cat ~/.local/state/mcp-webhookd/address)/metrics"')
        kinds = set(re.findall(r'outcome="(\w+)"', metrics)) - {"success"}
        table = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE))
        self.assertEqual(kinds - table, set())
        alerts = re.findall(r"- alert: (\w+)", (PROJECT / "packaging/prometheus/alerts.yml").read_text())
        told = re.findall(r"^\| `(Mcp\w+)`", (DOCS / "operator.md").read_text(), re.MULTILINE)
        self.assertEqual(told, alerts)

    def test_every_block_is_of_a_kind_that_something_runs(self):
        known = {"sh", "sh machine", "json", "toml", "yaml", "python", "js", "php", "go"}
        for page in [*DOCS.glob("*.md")]:
            self.assertEqual({info for info, _ in BLOCK.findall(page.read_text())} - known, set(), page.name)

    def test_configurations_are_taken_as_they_stand(self):
        """Ours by the program; those of AI clients are at least JSON, with the address and the names that are true."""
        page = DOCS / "mcp.md"
        ours = blocks(page, "toml")
        for text in ours:
            with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
                file.write(text.replace("# public_url", "public_url"))
                file.flush()
                command = [BINARY, "--config", file.name, "check-config"]
                asked = subprocess.run(command, capture_output=True, text=True, check=False)
                self.assertEqual(asked.returncode, 0, asked.stderr)
        clients = [json.loads(text) for text in blocks(page, "json")]
        self.assertEqual((len(ours), len(clients)), (1, 3))
        for client in clients:
            (server,) = (client.get("mcpServers") or client["servers"]).values()
            self.assertTrue(server.get("args") == ["mcp"] or server["url"].endswith("/mcp"), server)

    def test_every_other_command_is_run_by_something_else(self):
        """Indented ones."""
        found = set()
        for page in PAGES:
            text = BLOCK.sub("", page.read_text())
            found |= {line.split("  #")[0].strip() for line in re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)}
        self.assertEqual(found, set(ELSEWHERE))

    def test_every_command_that_a_sentence_names_is_there(self):
        recipes = set(re.findall(r"^([a-z-]+)[^:\n]*:(?!=)", (PROJECT / "justfile").read_text(), re.MULTILINE))
        named = {code for page in PAGES for code in re.findall(r"`([^`\n]+)`", BLOCK.sub("", page.read_text()))}
        just = {code.split()[1] for code in named if code.startswith("just ")}
        self.assertGreater(len(just), 2)
        self.assertEqual(just - recipes, set())
        ours = {code for code in named if re.match(r"mcp-webhook(d|ctl) ", code)}
        self.assertGreater(len(ours), 3)
        for code in ours:
            words = [word for word in code.split()[1:] if re.fullmatch(r"--help|[a-z][a-z-]*", word)]
            asked = subprocess.run([BINARY, *words, "--help"], capture_output=True, text=True, check=False)
            self.assertEqual(asked.returncode, 0, f"{code}: {asked.stderr}")
        for path in {code for code in named if re.match(r"(packaging|tests|crates)/", code)}:
            self.assertTrue((PROJECT / path.split()[0]).exists(), path)

    def test_from_source(self):
        command = next(command for command in ELSEWHERE if command.startswith("cargo install --locked"))
        with tempfile.TemporaryDirectory() as folder:
            installed = subprocess.run(
                command.split(), cwd=PROJECT, env=os.environ | {"CARGO_INSTALL_ROOT": folder},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            self.assertEqual(installed.returncode, 0, installed.stderr)
            with Daemon(Path(folder) / "bin/mcp-webhookd") as daemon:
                self.assertIn("in the way", daemon.command("status"))

    def test_every_test_that_security_names_is_there(self):
        """By its file, where the page says it is, or in whichever folder of tests it says nothing of; or by its name."""
        text = (PROJECT / "SECURITY.md").read_text()
        files = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split()
        named = set(re.findall(r"`([\w/.-]+\.(?:py|rs))`", text))
        self.assertGreater(len(named), 20)
        for name in named:
            self.assertTrue(any(f"/{file}".endswith(f"/{name}") for file in files), name)
        for name in re.findall(r"`(\w+(?:_\w+){4,})`", text):
            found = subprocess.run(["git", "grep", "-q", f"fn {name}\\|def {name}"], cwd=PROJECT, check=False)
            self.assertEqual(found.returncode, 0, name)

    def test_every_picture_is_there_and_every_picture_is_shown(self):
        shown = set()
        for page in [*PAGES, PROJECT / "tests/ops/SESSION.md"]:
            links = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text())
            shown |= {(page.parent / link).resolve() for link in links}
        self.assertEqual([path for path in shown if not path.is_file()], [])
        self.assertEqual(set((DOCS / "images").iterdir()) - shown, set())

    def test_every_link_leads_somewhere(self):
        for page in PAGES:
            for link in re.findall(r"\]\(([^)#:]+\.md)(?:#([\w-]+))?\)", page.read_text()):
                target = page.parent / link[0]
                self.assertTrue(target.exists(), f"{page.name}: {link[0]}")
                heads = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
                names = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads} | {""}
                self.assertIn(link[1], names, page.name)


# What follows each snippet: reads {secret, headers, body} from standard input, prints true or false.
DRIVERS = {
    "python": (
        "snippet.py",
        """
import json, sys
d = json.load(sys.stdin)
print(str(verify(d["secret"], d["headers"], base64.b64decode(d["body"]))).lower())
""",
        ["/usr/bin/python3", "snippet.py"],
    ),
    "js": (
        "snippet.js",
        """
const d = JSON.parse(require("fs").readFileSync(0));
console.log(verify(d.secret, d.headers, Buffer.from(d.body, "base64")));
""",
        ["node", "snippet.js"],
    ),
    "php": (
        "snippet.php",
        """
$d = json_decode(stream_get_contents(STDIN), true);
echo var_export(verify($d['secret'], $d['headers'], base64_decode($d['body'])), true);
""",
        ["php", "snippet.php"],
    ),
    "go": (
        "snippet.go",
        """
type data struct {
	Secret, Body string
	Headers      map[string]string
}

func main() {
	var d data
	json.NewDecoder(os.Stdin).Decode(&d)
	h := http.Header{}
	for name, value := range d.Headers {
		h.Set(name, value)
	}
	body, _ := base64.StdEncoding.DecodeString(d.Body)
	fmt.Println(Verify(d.Secret, h, body))
}
""",
        ["./snippet"],
    ),
}


def program(language, snippet):
    """A snippet and what makes it a program."""
    if language == "php":
        snippet = f"<?php\n{snippet}"
    if language == "go":
        snippet = "package main\n" + snippet.replace("import (", 'import (\n"encoding/json"\n"fmt"\n"os"', 1)
    return snippet + DRIVERS[language][1]


def signed(secret, headers, body, seconds):
    """The headers of the same request, signed so many seconds later, as Standard Webhooks says."""
    sent = str(int(headers["webhook-timestamp"]) + seconds)
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    text = f"{headers['webhook-id']}.{sent}.".encode() + body
    signature = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return headers | {"webhook-timestamp": sent, "webhook-signature": f"v1,{signature}"}


class Signatures(unittest.TestCase):
    """The snippets of the endpoint author's guide, against requests that a real sidecar signed."""

    @classmethod
    def setUpClass(cls):
        cls.arrivals = {secret: cls.receive(secret) for secret in (SECRET, "a-plain-secret-as-typed")}

    @staticmethod
    def receive(secret):
        """One delivery: (headers, body) as they arrived."""
        arrived = []

        class Handler(http.server.BaseHTTPRequestHandler):
            """Keeps what comes."""

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                arrived.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_args):
                """Quiet."""

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Home() as home:
            url = f"http://127.0.0.1:{server.server_port}/"
            wish = {"id": SUBSCRIPTION, "model": "sale.order", "url": url, "secret": secret}
            home.call("subscription.create", wish)
            home.call("delivery.test", {"subscription_id": SUBSCRIPTION})
            wait_until(lambda: arrived, "the delivery")
        server.shutdown()
        server.server_close()
        return arrived[0]

    def judge(self, language, folder, secret, headers, body):
        """What the snippet says of a request."""
        given = {"secret": secret, "headers": headers, "body": base64.b64encode(body).decode()}
        command = DRIVERS[language][2]
        ran = subprocess.run(
            command, cwd=folder, input=json.dumps(given), text=True, capture_output=True, check=False
        )
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return ran.stdout.strip() == "true"

    def check(self, language):
        """It says yes to what was signed, and no to anything else."""
        name = DRIVERS[language][0]
        snippets = blocks(DOCS / "endpoints.md", language)
        self.assertEqual(len(snippets), 1)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / name).write_text(program(language, snippets[0]))
            if language == "go":
                environment = dict(os.environ, GOCACHE=f"{folder}/cache", GO111MODULE="off", GOFLAGS="")
                subprocess.run(["go", "build", "-o", "snippet", name], cwd=folder, env=environment, check=True)
            for secret, (headers, body) in self.arrivals.items():
                judge = lambda h=headers, b=body, s=secret: self.judge(language, folder, s, h, b)  # noqa: E731
                self.assertTrue(judge())
                self.assertFalse(judge(b=body + b" "), "a changed body")
                self.assertFalse(judge(s="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"), "another secret")
                self.assertFalse(judge(h=headers | {"webhook-id": SUBSCRIPTION}), "another id")
                self.assertTrue(judge(h=signed(secret, headers, body, 0)), "the test signs as the sidecar does")
                self.assertFalse(judge(h=signed(secret, headers, body, -400)), "an old request")
                self.assertFalse(judge(h=signed(secret, headers, body, 400)), "one of the future")
                bare = {name: value for name, value in headers.items() if name != "webhook-signature"}
                self.assertFalse(judge(h=bare), "no signature")

    def test_python(self):
        self.check("python")

    def test_node(self):
        self.check("js")

    def test_php(self):
        self.check("php")

    def test_go(self):
        self.check("go")


if __name__ == "__main__":
    unittest.main()
