#!/usr/bin/env python3
"""All judges of the MCP server against a real Odoo. Usage: run.py [--report [FILE]]"""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "line"), str(HERE)]

from realodoo import cache, fetch

# The line needs what only its own environment has.
PYTHON = str(fetch.everything()[1])
if sys.executable != PYTHON:
    os.execv(PYTHON, [PYTHON, *sys.argv])

import conftest
import judges
from forward import Forward
from realodoo.cache import Failed, say
from realodoo.mcp import LEGACY, MODERN, McpClient, ToolError
from realodoo.odoo import Site
from realodoo.sidecar import BINARY

MAKE_KEYS = """
import datetime
until = datetime.datetime.now() + datetime.timedelta(days=1)
for number in range(12):
    user = env.ref('base.user_admin')
    print('KEY', env(user=user.id)['res.users.apikeys'].sudo()._generate('rpc', f'judge {number}', until))
env.cr.commit()
"""


class Run:
    """The rows of the report."""

    def __init__(self, line):
        self.line, self.rows = line, []
        told = line.shell(MAKE_KEYS)
        # a judge each: nobody uses up another's calls of a minute
        self.keys = iter([text.split()[-1] for text in told.splitlines() if "KEY" in text])

    def check(self, name, work):
        """One judge, and what he says."""
        begun = time.monotonic()
        try:
            told, is_well = work(), True
        except (Failed, AssertionError, OSError) as error:
            told, is_well = f"{type(error).__name__}: {error}", False
        say(f"{'ok  ' if is_well else 'FAULT'} {name}: {told[:300] if is_well else told}")
        self.rows.append((name, is_well, told, time.monotonic() - begun))

    def python_sdk(self):
        """HTTP and stdio, both eras."""
        for address in (self.line.mcp.mcp_url, f"stdio:{BINARY}"):
            for mode in (MODERN, "legacy"):
                name = f"Python SDK 2.3.0, {'stdio' if address.startswith('stdio') else 'HTTP'}, {mode}"
                self.check(name, lambda a=address, m=mode: judges.sdk(a, m, self.line, next(self.keys)))

    def node(self):
        """Everything that runs on Node."""
        modules = judges.programs()
        key = next(self.keys)
        environment = dict(os.environ, ODOO_API_KEY=key, PATH=f"{modules / '.bin'}:{os.environ['PATH']}")
        url = self.line.mcp.mcp_url
        script = shutil.copy(HERE / "sdk.mjs", modules.parent / "sdk.mjs")
        self.check("TypeScript SDK 2.4.0, both eras", lambda: judges.judge(["node", script, url], environment))
        call = ["--method", "tools/call", "--tool-name", "list_models", "--tool-arg", "search=partner"]
        for era in ("modern", "legacy"):
            command = ["mcp-inspector", "--cli", "--server-url", url, "--transport", "http"]
            command += ["--header", f"Authorization: Bearer {key}", "--format", "json", "--protocol-era", era]
            listed = [*command, "--method", "tools/list", "--strict"]
            self.check(
                f"Inspector 2.12.0, {era}, tools/list --strict",
                lambda c=listed: f"{len(json.loads(judges.judge(c, environment))['result']['tools'])} tools",
            )
            self.check(
                f"Inspector 2.12.0, {era}, tools/call",
                lambda c=command: f"{len(judges.judge([*c, *call], environment))} bytes",
            )
        self.check("Conformance suite 0.2.0-alpha.12, 2026-07-28", lambda: self.conformance(environment))

    def conformance(self, environment):
        """Its summary, which may fail only where it is explained."""
        forward = Forward(self.line.mcp.mcp_url, next(self.keys))
        try:
            told = judges.judge(
                ["conformance", "server", "--url", forward.url, "--requirements", MODERN]
                + ["--expected-failures", str(HERE / "expected-failures.yaml")],
                environment,
            )
        finally:
            forward.stop()
        return told[told.index("=== SUMMARY ===") :]

    def many(self):
        """1,000 subscriptions, by pages."""
        model = self.line.model("res.partner")
        values = [{"model_id": model, "event_type": "create", "name": f"many {n}"} for n in range(1000)]
        made = set(self.line.session.call("mcp.event.subscription", "create", values))

        def walk(era):
            client = McpClient(self.line.mcp.mcp_url, next(self.keys), era)
            seen, after, begun = set(), 0, time.monotonic()
            while after is not None:
                page = client.tool("list_subscriptions", after=after, limit=200)
                seen |= {one["id"] for one in page["subscriptions"]}
                after = page["next"]
            assert made <= seen, f"{len(made - seen)} are missing"
            return f"{len(seen)} subscriptions by pages of 200 in {time.monotonic() - begun:.1f} s"

        for era in (MODERN, LEGACY):
            self.check(f"1,000 subscriptions, {era}", lambda e=era: walk(e))
        self.line.session.unlink("mcp.event.subscription", list(made))

    def slow(self):
        """An Odoo that does not answer."""
        client = McpClient(self.line.mcp.mcp_url, next(self.keys))

        def ask():
            self.line.odoo.process.send_signal(signal.SIGSTOP)
            try:
                client.tool("list_models")
            except ToolError as error:
                assert error.structured["error"]["kind"] == "slow", error
                return error.text
            finally:
                self.line.odoo.process.send_signal(signal.SIGCONT)
            raise Failed("it answered")

        self.check("Odoo stands still", ask)
        self.check("Odoo goes on", lambda: f"{len(client.tool('list_models')['models'])} models")

    def report(self, file):
        """What was seen, for the repository."""
        lines = ["# The MCP server before its judges", ""]
        lines += ["Written by `just test-mcp --report`: a real Odoo 19, the program itself, and judges that nobody here wrote.", ""]
        for name, is_well, told, seconds in self.rows:
            lines += [f"## {name}: {'content' if is_well else 'NOT CONTENT'}", "", "```", told.strip(), "```", ""]
            lines += [f"{seconds:.0f} s", ""]
        lines += ["What the conformance suite may find, and why: `expected-failures.yaml`.", ""]
        Path(file).write_text("\n".join(lines))


def main():
    """The exit code: 0 only if all were content."""
    with Site() as site:
        line = conftest.Line(site)
        try:
            run = Run(line)
            run.python_sdk()
            run.node()
            run.many()
            run.slow()
        finally:
            line.stop()
    if "--report" in sys.argv:
        after = sys.argv[sys.argv.index("--report") + 1 :]
        run.report(after[0] if after else HERE / "REPORT.md")
    return 0 if all(is_well for _name, is_well, _told, _seconds in run.rows) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except cache.Failed as failure:
        sys.exit(f"MCP judges: {failure}")
