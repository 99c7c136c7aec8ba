# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Nothing secret goes where nobody has shown that he knows the token."""

import hashlib
import hmac
import os
import socket
import socketserver
import tempfile
import threading

from odoo.tests import tagged

from ..tools.connection import proof
from ..tools.sidecar import Sidecar, SidecarUnreachable
from .test_client import ClientCase, Handler, Server

ONCE = ("delivery.redeliver", "delivery.redeliver_many", "delivery.test")


def answer(*headers, body=b"{}"):
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def claim(text):
    return lambda _challenge: answer(f"X-MCP-Proof: {text}")


# What whoever has taken the port says to a challenge.
IMPOSTORS = {
    "nothing": lambda _c: b"",
    "no HTTP": lambda _c: b"SSH-2.0-OpenSSH_9.6\r\n",
    "no proof": lambda _c: answer(),
    "an empty proof": claim(""),
    "the challenge": lambda c: answer(f"X-MCP-Proof: {c}"),
    "the proof of another token": lambda c: answer(f"X-MCP-Proof: {proof('x' * 43, c)}"),
    "the proof of another challenge": claim(proof("the-token", "a" * 64)),
    "a bare digest": lambda c: answer(
        f"X-MCP-Proof: {hmac.new(b'the-token', c.encode(), hashlib.sha256).hexdigest()}"
    ),
    "half of the proof": lambda c: answer(f"X-MCP-Proof: {proof('the-token', c)[:32]}"),
    "letters beyond ASCII": claim("\u00e9" * 64),
    "many guesses": claim(",".join(["0" * 64] * 900)),
    "a proof in the body": lambda c: answer(body=proof("the-token", c).encode()),
    "a redirect": lambda _c: b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n",
    "an endless answer": lambda c: answer(
        f"X-MCP-Proof: {proof('the-token', c)}", body=b"x" * 200_000
    ),
    "endless headers": lambda _c: b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000,
    "an end after it": lambda c: answer(
        f"X-MCP-Proof: {proof('the-token', c)}", "Connection: close"
    ),
}


class Impostor(socketserver.ThreadingTCPServer):
    """Reads whatever comes, and says `script(challenge)` once."""

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Listening)
        self.heard = []
        self.connections = []
        self.server_port = self.server_address[1]

    def close_connections(self):
        """They end with their threads."""


class Listening(socketserver.StreamRequestHandler):
    def handle(self):
        heard = b""
        while b"\r\n\r\n" not in heard and (more := self.request.recv(65536)):
            heard += more
        self.server.heard.append(heard)
        challenge = heard.partition(b"X-MCP-Challenge: ")[2].partition(b"\r")[0]
        try:
            self.request.sendall(self.server.script(challenge.decode()))
            self.request.shutdown(socket.SHUT_WR)
            while more := self.request.recv(65536):
                self.server.heard.append(more)
        except OSError:
            """It was left alone: what the tests are about."""


@tagged("post_install", "-at_install")
class TestProof(ClientCase):
    def test_no_impostor_hears_a_secret(self):
        impostor = self.serve(Impostor())
        url = f"http://127.0.0.1:{impostor.server_port}"
        for name, script in IMPOSTORS.items():
            for method in ("event.submit", "subscription.sync", *ONCE):
                with self.subTest(impostor=name, method=method):
                    impostor.script = script
                    impostor.heard.clear()
                    client = Sidecar(url, "the-token", ("some-uuid", "somedb"))
                    with self.assertRaises(SidecarUnreachable) as caught:
                        client.call(method, {"secret": "the-canary"})
                    heard = b"".join(impostor.heard)
                    self.assertTrue(heard.startswith(b"GET /healthz HTTP/1.1\r\n"))
                    for secret in (b"the-token", b"the-canary", b"some-uuid", b"POST"):
                        self.assertNotIn(secret, heard)
                    self.assertNotIn("the-token", caught.exception.reason)

    def test_who_drips_is_left(self):
        over = threading.Event()
        self.addCleanup(over.set)

        class Dripping(Listening):
            def handle(self):
                while not over.wait(0.01):
                    try:
                        self.request.sendall(b"H")
                    except OSError:
                        return

        impostor = self.serve(Impostor())
        impostor.RequestHandlerClass = Dripping
        url = f"http://127.0.0.1:{impostor.server_port}"
        with self.assertRaisesRegex(SidecarUnreachable, "in time"):
            Sidecar(url, "the-token", timeout=(0.1, 5)).info()

    def test_words_say_which_of_the_two(self):
        self.server.knows = None
        with self.assertRaisesRegex(
            SidecarUnreachable, "older version, upgrade it first"
        ):
            self.client.info()
        self.server.knows = "another-token"
        with self.assertRaisesRegex(SidecarUnreachable, "file 'token'"):
            self.client.info()
        self.assertEqual(self.server.seen, [])

    def test_each_connection_proves_itself_once(self):
        for _call in range(3):
            self.client.info()
        self.assertEqual(len(self.server.asked), 1)
        self.server.close_connections()
        self.client.info()
        self.assertEqual(len(self.server.asked), 2)
        challenges = {headers["X-MCP-Challenge"] for _path, headers in self.server.asked}
        self.assertEqual({len(text) for text in challenges}, {64})
        self.assertEqual(len(challenges), 2)

    def test_who_takes_the_port_later_must_prove_it_too(self):
        self.client.info()
        self.server.close_connections()
        self.server.knows = None
        self.server.seen.clear()
        with self.assertRaises(SidecarUnreachable):
            self.client.info()
        self.assertEqual(self.server.seen, [])

    def test_another_token_is_proven_anew(self):
        self.client.info()
        with self.assertRaises(SidecarUnreachable):
            Sidecar(self.url, "newer-token").info()
        self.server.knows = "newer-token"
        Sidecar(self.url, "newer-token").info()
        self.assertEqual(len(self.server.seen), 2)

    def test_path_before_the_sidecar_is_kept(self):
        Sidecar(self.url + "/hooks/", "the-token").info()
        self.assertEqual(self.server.asked[0][0], "/hooks/healthz")

    def test_meetings_tell_a_new_connection(self):
        before = self.client.meetings
        self.client.info()
        met = self.client.meetings
        self.assertNotEqual(met, before)
        self.client.info()
        self.assertEqual(self.client.meetings, met)
        self.server.close_connections()
        self.client.info()
        self.assertNotEqual(self.client.meetings, met)

    def test_what_is_no_address_is_said(self):
        for url in ("http://", "http://127.0.0.1:x", "unix:", ""):
            with self.assertRaises(SidecarUnreachable):
                Sidecar(url, "the-token").info()


class UnixServer(Server):
    address_family = socket.AF_UNIX

    def __init__(self, path):
        self.path = path
        super().__init__()

    def server_bind(self):
        self.server_address = self.path
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", 0

    def get_request(self):
        connection, _address = super().get_request()
        return connection, ("local", 0)


@tagged("post_install", "-at_install")
class TestAddresses(ClientCase):
    def test_unix_socket(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(os.rmdir, folder)
        path = os.path.join(folder, "a b.sock")
        self.addCleanup(os.unlink, path)
        server = self.serve(UnixServer(path))
        url = "unix://" + path.replace(" ", "%20")
        for _call in range(2):
            Sidecar(url, "the-token").info()
        self.assertEqual((len(server.asked), len(server.seen)), (1, 2))
        server.knows = None
        with self.assertRaisesRegex(SidecarUnreachable, "gave no proof"):
            Sidecar(url, "the-token").redeliver("x")

    def test_next_one_answers_where_one_does_not(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            dead = f"http://127.0.0.1:{unused.getsockname()[1]}"
        for method in ("event.submit", *ONCE):
            both = Sidecar(f"{dead}, {self.url}", "the-token")
            both.call(method)
        self.assertEqual(len(self.server.seen), 4)
        impostor = self.serve(Impostor())
        impostor.script = IMPOSTORS["no proof"]
        taken = f"http://127.0.0.1:{impostor.server_port}"
        Sidecar(f"{taken},{self.url}", "the-token").redeliver("x")
        self.assertEqual(len(self.server.seen), 5)

    def test_what_may_have_been_sent_is_not_sent_by_another(self):
        other = self.serve()
        self.server.script = lambda _body: None
        both = f"{self.url},http://127.0.0.1:{other.server_port}"
        for method in ONCE:
            with self.assertRaises(SidecarUnreachable):
                Sidecar(both, "the-token").call(method)
        self.assertEqual(other.seen, [])
        Sidecar(both, "the-token").info()
        self.assertEqual(len(other.seen), 1)


assert Handler  # the server's own
