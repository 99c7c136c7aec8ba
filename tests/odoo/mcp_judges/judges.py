"""Judges of the MCP server that nobody here wrote, in versions that are pinned: fetched once, kept in the cache."""

import os
import subprocess
import sys

from realodoo import cache
from realodoo.cache import Failed, run, say

PYTHON = ["mcp==2.3.0"]
NODE = [
    "node@22.23.3",
    "@modelcontextprotocol/client@2.4.0",
    "@modelcontextprotocol/inspector@2.12.0",
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
]
HERE = cache.HERE / "mcp_judges"


def python():
    """The interpreter of an environment with the official Python SDK."""
    target = cache.folder() / "mcp-python-1"
    mark = target / ".done"
    with cache.lock("mcp-python"):
        if not mark.is_file():
            say("fetching the official Python SDK of MCP")
            run([sys.executable, "-m", "venv", "--clear", target])
            run([target / "bin/python", "-m", "pip", "install", "-q", *PYTHON])
            mark.touch()
    return target / "bin/python"


def programs():
    """The folder with node 22 and what runs on it."""

    def make(folder):
        say("fetching Node 22, the TypeScript SDK, the Inspector and the conformance suite")
        run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, *NODE])

    with cache.lock("mcp-node"):
        return cache.build(cache.folder() / "mcp-node", "1", make) / "node_modules"


def sdk(address, mode, line, key):
    """The Python SDK's story; what it printed."""
    environment = dict(os.environ, ODOO_API_KEY=key)
    if address.startswith("stdio:"):
        environment |= {"MCP_WEBHOOKD_ODOO_URL": line.odoo.url, "MCP_WEBHOOKD_ODOO_DATABASE": line.odoo.database}
    command = [python(), HERE / "sdk.py", address, mode, line.odoo.url, line.odoo.database]
    return judge(command, environment)


def judge(command, environment=None, cwd=None, timeout=300):
    """What a judge printed.

    :raises Failed: it was not content
    """
    command = [str(part) for part in command]
    done = subprocess.run(
        command, env=environment, cwd=cwd, check=False, capture_output=True, text=True, timeout=timeout
    )
    if done.returncode:
        raise Failed(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout
