"""A client of the MCP server that knows the protocol's two eras and nothing of the server: no library stands between."""

import json
import os
import urllib.error
import urllib.request

MODERN, LEGACY = "2026-07-28", "2025-06-18"
META = "io.modelcontextprotocol/"


class McpError(Exception):
    """The server answered with an error of the protocol, or of HTTP."""

    def __init__(self, status, error):
        super().__init__(f"{status}: {error}")
        self.status, self.error = status, error


class ToolError(Exception):
    """A tool said no; the text is what a model reads."""

    def __init__(self, text, structured):
        super().__init__(text)
        self.text, self.structured = text, structured


class McpClient:
    """One connection of an API key. ``era``: ``MODERN`` (each request for itself) or ``LEGACY`` (with a session)."""

    def __init__(self, url, key, era=MODERN, headers=None):
        self.url, self.key, self.era = url, key, era
        self.headers = headers or {}
        self.session = None
        self.number = 0
        self.said = []
        self.server = self._begin()
        self.tools = {tool["name"]: tool for tool in self.call("tools/list")["tools"]}

    def _begin(self):
        if self.era == MODERN:
            return self.call("server/discover")
        about = {
            "protocolVersion": self.era,
            "capabilities": {},
            "clientInfo": {"name": "story", "version": "1"},
        }
        answer = self.call("initialize", **about)
        self._post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer

    def _post(self, message, params=None, timeout=90):
        headers = {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **self.headers,
        }
        if self.era == MODERN:
            headers["MCP-Protocol-Version"] = MODERN
            headers["Mcp-Method"] = message["method"]
            name = (params or {}).get("name") or (params or {}).get("uri")
            if name and message["method"] in (
                "tools/call",
                "resources/read",
                "prompts/get",
            ):
                headers["Mcp-Name"] = name
        elif self.session:
            headers |= {"Mcp-Session-Id": self.session, "MCP-Protocol-Version": self.era}
        request = urllib.request.Request(self.url, json.dumps(message).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                self.session = answer.headers.get("Mcp-Session-Id") or self.session
                return self._read(answer, message.get("id"))
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            try:
                body = json.loads(said)
            except ValueError:
                raise McpError(error.code, said) from None
            raise McpError(error.code, body.get("error")) from None

    @staticmethod
    def _read(answer, number):
        kind = answer.headers.get("Content-Type", "")
        if number is None:
            return None
        if "event-stream" not in kind:
            return json.loads(answer.read())
        for line in answer:
            text = line.decode().strip()
            if text.startswith("data:") and text[5:].strip():
                message = json.loads(text[5:])
                if message.get("id") == number:
                    return message
        raise McpError(200, "the stream ended without an answer")

    def call(self, method, /, **params):
        """A request of the protocol; its result.

        :raises McpError: the answer is an error
        """
        self.number += 1
        if self.era == MODERN:
            params["_meta"] = {
                f"{META}protocolVersion": MODERN,
                f"{META}clientCapabilities": {},
                f"{META}clientInfo": {"name": "story", "version": "1"},
            }
        message = {
            "jsonrpc": "2.0",
            "id": self.number,
            "method": method,
            "params": params,
        }
        answer = self._post(message, params)
        if "error" in answer:
            raise McpError(200, answer["error"])
        return answer["result"]

    def tool(self, name, /, **arguments):
        """What a tool returns, as data.

        :raises ToolError: what it says instead
        """
        result = self.call("tools/call", name=name, arguments=arguments)
        self.said.append((name, arguments, result))
        if result.get("isError"):
            raise ToolError(result["content"][0]["text"], result.get("structuredContent"))
        structured = result["structuredContent"]
        assert json.loads(result["content"][0]["text"]) == structured, "both say the same"
        return structured

    def write_transcript(self, receiver):
        """What was said, as a page of the documentation: where ``MCP_TRANSCRIPT`` names the file."""
        place = os.environ.get("MCP_TRANSCRIPT")
        if not place or self.era != MODERN:
            return
        lines = ["# A conversation, as the test had it", ""]
        lines += ["Made by `tests/odoo/line/test_mcp.py`: each tool call of its story, and what came back.", ""]
        later = [one[:2] for one in self.said[1:]] + [None]
        for (name, arguments, result), after in zip(self.said, later, strict=True):
            if (name, arguments) == after:
                continue  # asked again until it was over
            told = result.get("structuredContent") or result["content"][0]["text"]
            for title, value in ((name, arguments), ("answer", told)):
                text = json.dumps(value, indent=2, ensure_ascii=False)
                text = text.replace(receiver, "https://hooks.example.com")
                text = text.replace(receiver.partition("//")[2], "hooks.example.com")
                shown = text.splitlines()
                if len(shown) > 40:
                    shown = [*shown[:40], "…"]
                lines += [f"**{title}**" if title == "answer" else f"## {title}", "", "```json", *shown, "```", ""]
        with open(place, "w") as page:
            page.write("\n".join(lines))
