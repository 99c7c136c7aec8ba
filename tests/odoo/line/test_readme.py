"""What the README shows to receivers and to an AI is true: its own snippets, with what a real line sends."""

import json
import os
import re
import runpy
import subprocess
from pathlib import Path

import pytest
from conftest import SECRET

README = (Path(__file__).resolve().parents[3] / "README.md").read_text()


def snippets(language):
    """The README's blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def arrival(line):
    """A request that an endpoint got: its headers and its body."""
    _, path = line.subscribe("res.partner", "create")
    line.session.create("res.partner", name="Seen by the README")
    arrived = line.receiver.wait(path)[0]
    return {name.lower(): value for name, value in arrived.headers.items()}, arrived.body


@pytest.mark.parametrize("snippet", snippets("python"), ids=["library", "plain"])
def test_python_accepts_what_was_sent_and_nothing_else(arrival, snippet, tmp_path):
    headers, body = arrival
    headers["X-MCP-Signature"] = headers["x-mcp-signature"]  # frameworks' headers have no case; this dictionary has
    handler = tmp_path / "handler.py"
    handler.write_text(snippet)
    given = {"headers": headers, "secret": SECRET}
    runpy.run_path(handler, {**given, "body": body})
    with pytest.raises(Exception):  # noqa: B017  each library has its own
        runpy.run_path(handler, {**given, "body": body.replace(b"res.partner", b"res.users")})


def test_node_accepts_what_was_sent_and_nothing_else(line, arrival):
    headers, body = arrival
    (snippet,) = snippets("js")
    script = "const { headers, body } = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n" + snippet

    def run(text):
        given = json.dumps({"headers": headers, "body": text})
        environment = dict(os.environ, NODE_PATH=str(line.site.node_modules))
        return subprocess.run(["node", "-e", script], input=given, text=True, capture_output=True, env=environment, check=False)

    held = run(body.decode())
    assert held.returncode == 0, held.stderr
    refused = run(body.decode().replace("res.partner", "res.users"))
    assert refused.returncode != 0
    assert "No matching signature" in refused.stderr
