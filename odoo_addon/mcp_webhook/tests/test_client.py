# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The client over real HTTP, against a small server in this process."""

import contextlib
import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import patch

from odoo.tests import BaseCase, TransactionCase, tagged
from odoo.tools import config

from ..models import mcp_webhook_sidecar
from ..tools import sidecar
from ..tools.connection import kept_peer, proof
from ..tools.sidecar import Sidecar, SidecarError, SidecarUnreachable, batches


class Server(ThreadingHTTPServer):
    """Knows its connections; `script(body)` answers `(status, answer)`, or None to
    break off."""

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []
        self.asked = []
        self.connections = []
        self.knows = "the-token"

    def get_request(self):
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def close_connections(self):
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """The proof, as the sidecar's `/healthz` gives it."""
        self.server.asked.append((self.path, self.headers))
        challenge = self.headers["X-MCP-Challenge"]
        given = self.server.knows and proof(self.server.knows, challenge)
        self.send_response(200)
        if given:
            self.send_header("X-MCP-Proof", f"{'0' * 64},{given}")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.headers, body))
        answer = self.server.script(body)
        if answer is None:
            self.close_connection = True
            return
        status, answer = answer
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        try:
            self.wfile.write(text)
        except BrokenPipeError:
            """The client had its own limit and went away: what one test is about."""

    def log_message(self, *_args):
        """Quiet."""


class ClientCase(BaseCase):
    def batch(self, turn=list, error=()):
        """The server answers batches, in an order of its own."""

        def script(calls):
            answers = [
                {"id": call["id"], "error": {"code": 1, "message": "no"}}
                if call["params"]["n"] in error
                else {"id": call["id"], "result": call["params"]["n"]}
                for call in calls
            ]
            return 200, turn(answers)

        self.server.script = script

    def setUp(self):
        super().setUp()
        self.server = self.serve()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.client = Sidecar(self.url, "the-token", ("some-uuid", "somedb"))
        self.startPatcher(patch.dict(sidecar._answered, clear=True))

    def serve(self, made=None):
        server = made or Server()
        server.script = lambda body: (200, {"id": body["id"], "result": {}})
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.close_connections)
        self.addCleanup(server.shutdown)
        return server

    def answer(self, status=200, **members):
        self.server.script = lambda body: (
            status,
            {"jsonrpc": "2.0", "id": body["id"], **members},
        )

    def refusal(self, exception, method="system.info"):
        with self.assertRaises(exception) as caught:
            self.client.call(method)
        self.assertNotIn("the-token", str(caught.exception))
        self.assertNotIn(self.url, str(caught.exception))
        return caught.exception


@tagged("post_install", "-at_install")
class TestClient(ClientCase):
    def test_many_calls_go_in_batches(self):
        each = [{"n": number} for number in range(250)]
        self.batch(turn=lambda answers: answers[::-1], error={7, 249})
        results = self.client.call_many("delivery.cancel", each)
        for number, result in enumerate(results):
            if number in (7, 249):
                self.assertIsInstance(result, SidecarError)
            else:
                self.assertEqual(result, number)
        self.assertEqual([len(body) for _h, body in self.server.seen], [100, 100, 50])
        for turn in (lambda a: a[1:], lambda a: {"id": None, "result": {}}):
            self.batch(turn=turn)
            with self.assertRaises(SidecarUnreachable):
                self.client.call_many("delivery.cancel", each)

    def test_call_carries_token_database_and_id(self):
        self.answer(result={"version": "1"})
        self.assertEqual(self.client.info(), {"version": "1"})
        ((headers, body),) = self.server.seen
        self.assertEqual(headers["Authorization"], "Bearer the-token")
        self.assertEqual(headers["X-Odoo-Database"], "some-uuid somedb")
        self.assertTrue(body["id"])
        self.assertEqual((body["method"], body["params"]), ("system.info", {}))

    def test_body_is_compact_and_keeps_letters(self):
        self.answer(result={"results": []})
        self.client.submit([{"name": "Ä"}])
        headers, body = self.server.seen[0]
        self.assertEqual(body["params"], {"events": [{"name": "Ä"}]})
        self.assertEqual(
            int(headers["Content-Length"]),
            len(json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()),
        )

    def test_absent_parameters_are_left_out(self):
        self.answer(result={})
        self.client.attach(wake_url=None)
        self.client.attach(wake_url="http://127.0.0.1/mcp_webhook/wake", take_over=True)
        first, second = (body["params"] for _headers, body in self.server.seen)
        self.assertEqual(first, {"database": "some-uuid", "database_name": "somedb"})
        self.assertIs(second["take_over"], True)

    def test_error_answer_has_kind_and_data(self):
        data = {"kind": "invalid_template", "pointer": "/a"}
        self.answer(error={"code": 7, "message": "no", "data": data})
        error = self.refusal(SidecarError)
        self.assertEqual((error.code, error.kind), (7, "invalid_template"))
        self.assertEqual((error.message, error.data), ("no", {"pointer": "/a"}))

    def test_refused_token_is_trouble_in_words(self):
        self.server.script = lambda _body: (401, b"")
        self.assertIn("refuses the token", self.refusal(SidecarUnreachable).reason)

    def test_refused_host_names_the_setting(self):
        self.server.script = lambda _body: (403, b"")
        self.assertIn("allowed_hosts", self.refusal(SidecarUnreachable).reason)

    def test_something_else_that_answers_is_trouble(self):
        for status, text in ((200, b"<html>"), (500, b"{}"), (302, b""), (200, b"[]")):
            self.server.script = lambda _body, s=status, t=text: (s, t)
            self.refusal(SidecarUnreachable)

    def test_answer_to_another_call_is_trouble(self):
        self.server.script = lambda _body: (200, {"id": "other", "result": {}})
        self.refusal(SidecarUnreachable)

    def test_closed_port_is_trouble(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        self.client = Sidecar(f"http://127.0.0.1:{port}", "the-token")
        self.assertIn("cannot be reached", self.refusal(SidecarUnreachable).reason)

    def test_hanging_sidecar_is_left_in_time(self):
        over = threading.Event()
        self.addCleanup(over.set)
        self.server.script = lambda _body: over.wait(10) and (200, b"")
        self.client = Sidecar(self.url, "the-token", timeout=(1, 0.05))
        self.assertIn("in time", self.refusal(SidecarUnreachable).reason)

    def test_connection_is_kept_from_call_to_call(self):
        self.answer(result={})
        for _call in range(3):
            Sidecar(self.url, "the-token").info()
        self.assertEqual(len(self.server.connections), 1)

    def test_connection_that_the_sidecar_closed_is_not_used(self):
        self.answer(result={})
        self.client.info()
        self.server.close_connections()
        self.client.info()
        self.assertEqual(len(self.server.seen), 2)

    def test_connection_that_breaks_in_use_is_made_again_once(self):
        self.server.script = lambda _body: None
        self.refusal(SidecarUnreachable, "event.submit")
        self.assertEqual(len(self.server.seen), 2)

    def test_call_that_sends_is_never_made_twice(self):
        self.server.script = lambda _body: None
        for method in ("delivery.redeliver", "delivery.redeliver_many", "delivery.test"):
            self.server.seen.clear()
            self.refusal(SidecarUnreachable, method)
            self.assertEqual(len(self.server.seen), 1)

    def test_child_process_takes_no_connection_along(self):
        self.answer(result={})
        self.client.info()
        child = os.fork()
        if not child:
            os._exit(kept_peer.cache_info().currsize)
        _pid, status = os.waitpid(child, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)
        self.assertTrue(kept_peer.cache_info().currsize)

    def test_batches_respect_count_and_bytes(self):
        def cut(sizes):
            found = batches(sizes, max_count=3, max_bytes=100)
            return [(s.start, s.stop) for s in found]

        self.assertEqual(cut([]), [])
        self.assertEqual(cut([1] * 7), [(0, 3), (3, 6), (6, 7)])
        self.assertEqual(cut([60, 60, 10]), [(0, 1), (1, 3)])
        self.assertEqual(cut([500, 1]), [(0, 1), (1, 2)])


@tagged("post_install", "-at_install")
class TestAccess(TransactionCase):
    def setUp(self):
        super().setUp()
        self.access = self.env["mcp.webhook.sidecar"]
        self.params = self.env["ir.config_parameter"]

    def test_wake_address_is_loopback_for_a_sidecar_there(self):
        self.params.set_param("mcp_webhook.sidecar_url", "http://127.0.0.1:8170")
        self.assertRegex(
            self.access._wake_url(), r"^http://127\.0\.0\.1:\d+/mcp_webhook/wake$"
        )

    def test_wake_address_of_a_remote_sidecar_is_the_public_one(self):
        self.params.set_param("mcp_webhook.sidecar_url", "https://hooks.example.com")
        self.params.set_param("web.base.url", "https://odoo.example.com")
        self.assertEqual(
            self.access._wake_url(), "https://odoo.example.com/mcp_webhook/wake"
        )

    def test_wake_address_can_be_set(self):
        self.params.set_param("mcp_webhook.wake_url", "http://odoo:8069/mcp_webhook/wake")
        self.assertEqual(self.access._wake_url(), "http://odoo:8069/mcp_webhook/wake")

    def test_wake_address_leads_to_this_database(self):
        """Whatever the server's `dbfilter` makes of the host; else it is said."""
        name = self.env.cr.dbname
        self.params.set_param("mcp_webhook.sidecar_url", "http://127.0.0.1:8170")
        local, port = "http://127.0.0.1", config["http_port"]
        base = f"http://{name}.example.com"
        self.addCleanup(config.__setitem__, "dbfilter", config["dbfilter"])
        for dbfilter, given, expected, is_deaf in (
            ("", None, f"{local}:{port}", False),
            (name, None, f"{local}:{port}", False),
            ("^%d$", None, base, False),
            ("^%h$", None, base, True),
            ("^other$", None, base, True),
            ("^other$", "http://odoo:1", "http://odoo:1", False),
        ):
            with self.subTest(dbfilter=dbfilter, given=given):
                config["dbfilter"] = dbfilter
                self.params.set_param("web.base.url", base)
                given = given and f"{given}/mcp_webhook/wake"
                self.params.set_param("mcp_webhook.wake_url", given)
                self.assertEqual(self.access._wake_url(), f"{expected}/mcp_webhook/wake")
                self.assertEqual(self.access._is_deaf(), is_deaf)

    def test_process_environment_serves_where_nothing_is_set(self):
        self.params.set_param("mcp_webhook.sidecar_url", False)
        self.params.set_param("mcp_webhook.sidecar_token", False)
        environ = mcp_webhook_sidecar.os.environ
        self.addCleanup(environ.pop, "MCP_WEBHOOK_SIDECAR_URL", None)
        environ["MCP_WEBHOOK_SIDECAR_URL"] = "http://127.0.0.1:1"
        self.assertEqual(self.access._url(), "http://127.0.0.1:1")
        self.params.set_param("mcp_webhook.sidecar_url", "http://127.0.0.1:2")
        self.assertEqual(self.access._url(), "http://127.0.0.1:2")

    def test_without_a_token_nobody_is_called(self):
        self.params.set_param("mcp_webhook.sidecar_token", False)
        environ = mcp_webhook_sidecar.os.environ
        kept = environ.pop("MCP_WEBHOOK_SIDECAR_TOKEN", None)
        if kept:
            self.addCleanup(environ.__setitem__, "MCP_WEBHOOK_SIDECAR_TOKEN", kept)
        with self.assertRaisesRegex(SidecarUnreachable, "No token"):
            self.access._client()
