"""Passes requests on with an API key: for a judge that cannot send one. Everything else goes through as it came."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Forward:
    """Listens on a free port of loopback."""

    def __init__(self, url, key):
        target = urlsplit(url)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                onward = http.client.HTTPConnection(target.hostname, target.port, timeout=120)
                onward.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in ("connection", "authorization", "content-length"):
                        onward.putheader(name, value)
                onward.putheader("Authorization", f"Bearer {key}")
                onward.putheader("Content-Length", str(len(body)))
                onward.endheaders(body)
                try:
                    self._pass_back(onward.getresponse())
                except OSError:
                    pass  # the judge has hung up
                finally:
                    onward.close()

            def _pass_back(self, answer):
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                        self.send_header(name, value)
                self.send_header("Connection", "close")
                self.end_headers()
                while part := answer.read1(65536):
                    self.wfile.write(part)
                    self.wfile.flush()
                self.close_connection = True

            do_GET = do_POST = do_DELETE = _pass_on

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}{target.path}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        """Ends it."""
        self.server.shutdown()
        self.server.server_close()
