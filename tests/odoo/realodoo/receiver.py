"""An endpoint that keeps what arrives, and answers as it is told."""

import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .cache import wait_until


class Arrival:
    """One request that arrived."""

    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body
        self.at = time.time()

    @property
    def json(self):
        """The body, read."""
        return json.loads(self.body)

    @property
    def id(self):
        """Its ``webhook-id``."""
        return self.headers["webhook-id"]


class Receiver:
    """A receiver on a free port. Every path is an endpoint of its own.

    ``answers[path]`` is a status, a :class:`threading.Event` for which the answer waits, or a function of the
    :class:`Arrival` that answers ``(status, body)``. With ``certificate``, a PEM file with its key, it speaks TLS.
    """

    def __init__(self, pages=None, certificate=None):
        self.arrivals = []
        self.answers = {}
        self.pages = pages or {}
        self.changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, text = receiver.arrived(Arrival(self.path, dict(self.headers.items()), body))
                self._answer(status, "text/plain", text)

            def do_GET(self):
                page = receiver.pages.get(self.path.partition("?")[0])
                if page is None:
                    return self._answer(404, "text/plain", b"")
                content_type, body = page()
                return self._answer(200, content_type, body)

            def _answer(self, status, content_type, body):
                try:
                    self.send_response(status)
                    self.send_header("content-type", content_type)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # the sender did not wait for the answer: that is its own business

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # the handshake is the connection's own thread's business
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
            self.server.handle_error = lambda *_: None  # who does not trust us hangs up
            self.url = f"https://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def arrived(self, arrival):
        """Keeps a request; answers the status and the body to give."""
        with self.changed:
            self.arrivals.append(arrival)
            self.changed.notify_all()
        answer = self.answers.get(arrival.path.partition("?")[0], 200)
        if isinstance(answer, threading.Event):
            answer.wait(120)
            answer = 200
        if callable(answer):
            return answer(arrival)
        return answer, f"status {answer}".encode()

    def on(self, path):
        """What arrived at a path."""
        with self.changed:
            return [arrival for arrival in self.arrivals if arrival.path.partition("?")[0] == path]

    def wait(self, path, count=1, seconds=30):
        """Waits until so many requests arrived at a path, and answers them."""
        return wait_until(lambda: (found := self.on(path)) and len(found) >= count and found, f"{count} at {path}", seconds)

    def stop(self):
        """Ends it."""
        for answer in self.answers.values():
            if isinstance(answer, threading.Event):
                answer.set()
        self.server.shutdown()
        self.server.server_close()
