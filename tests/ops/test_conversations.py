"""The contract's conversations in tests/fixtures/rpc, played by the addon's own client. Rust plays the same ones."""

import importlib
import json
import sys
import time
import types
import unittest
import uuid
from datetime import datetime, timezone

from daemon import PROJECT, Daemon


def load_client():
    """The addon's client, in a package that runs nothing of the addon's own: it must need nothing of Odoo."""
    package = types.ModuleType("client")
    package.__path__ = [str(PROJECT / "odoo_addon/mcp_webhook/tools")]
    sys.modules["client"] = package
    return importlib.import_module("client.sidecar")


def now():
    """The time as the contract writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def with_times(value, start):
    """The parameters with `$now` and `$start` filled in."""
    text = json.dumps(value).replace('"$now"', json.dumps(now())).replace('"$start"', json.dumps(start))
    return json.loads(text)


def is_kind(word, found):
    """Whether a value is of the kind that a word such as `<uuid>` stands for."""
    try:
        return {
            "<any>": lambda: True,
            "<text>": lambda: isinstance(found, str),
            "<number>": lambda: isinstance(found, (int, float)) and not isinstance(found, bool),
            "<uuid>": lambda: bool(uuid.UUID(found)),
            "<time>": lambda: bool(datetime.fromisoformat(found.replace("Z", "+00:00"))),
        }[word]()
    except (ValueError, AttributeError, TypeError):
        return False


def difference(expected, found, path=""):
    """Why a value is not as expected; None when it is."""
    if isinstance(expected, str) and expected.startswith("<") and expected.endswith(">"):
        return None if is_kind(expected, found) else f"{path}: {found!r} is not {expected}"
    if isinstance(expected, dict) and isinstance(found, dict):
        missing = {name for name in expected if expected[name] != "<any>"} - set(found)
        if missing or set(found) - set(expected):
            return f"{path}: missing {missing}, new {set(found) - set(expected)}"
        pairs = [(expected[name], found[name], f"{path}/{name}") for name in found]
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = [(left, right, f"{path}/{index}") for index, (left, right) in enumerate(zip(expected, found, strict=True))]
    else:
        return None if expected == found else f"{path}: {found!r} is not {expected!r}"
    return next((text for pair in pairs if (text := difference(*pair))), None)


class Conversations(unittest.TestCase):
    """The client against the real sidecar."""

    def setUp(self):
        self.module = load_client()

    def play(self, daemon, step, start):
        """One step; the answer as (`result` or `error`, value)."""
        token = (daemon.data / "token").read_text().split()[0]
        client = self.module.Sidecar(daemon.url, token, database=step.get("database"))
        try:
            return "result", client.call(step["method"], with_times(step["params"], start))
        except self.module.SidecarError as error:
            data = {**error.data, "kind": error.kind} if error.kind or error.data else {}
            return "error", {"code": error.code, "message": error.message} | ({"data": data} if data else {})

    def check(self, daemon, step, start):
        """One step goes as written."""
        name = "error" if "error" in step else "result"
        expected = step.get("until", step.get(name))
        end = time.monotonic() + 20
        while True:
            wrong = difference((name, expected)[1], (answer := self.play(daemon, step, start))[1])
            if wrong is None or "until" not in step or time.monotonic() > end:
                break
        self.assertEqual((answer[0], wrong), (name, None), step["method"])

    def test_every_conversation_goes_as_written(self):
        played = 0
        for path in sorted((PROJECT / "tests/fixtures/rpc").glob("*.json")):
            with Daemon() as daemon, self.subTest(path.name):
                start = now()
                for step in json.loads(path.read_text())["steps"]:
                    self.check(daemon, step, start)
                    played += 1
        self.assertGreater(played, 40)

    def test_the_client_knows_no_odoo(self):
        for name in ("sidecar", "connection"):
            text = (PROJECT / f"odoo_addon/mcp_webhook/tools/{name}.py").read_text()
            self.assertNotRegex(text, r"(?m)^\s*(import|from) odoo")

    def test_the_comparison_can_say_no(self):
        for expected, found in [({"a": 1}, {"a": 1, "b": 2}), ({"a": 1}, {}), ([1], [1, 2]), ("<uuid>", "x")]:
            self.assertIsNotNone(difference(expected, found))


if __name__ == "__main__":
    unittest.main()
