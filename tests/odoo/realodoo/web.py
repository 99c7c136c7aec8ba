"""Odoo over HTTP, as its own web client and as a program with an API key call it."""

import json
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar


class RpcError(Exception):
    """Odoo answered with an error; ``body`` is all that it said."""

    def __init__(self, status, name, message, body=""):
        super().__init__(f"{status} {name}: {message}")
        self.status, self.name, self.message, self.body = status, name, message, body


class Session:
    """A user who logged in."""

    def __init__(self, server, login="admin", password="admin"):
        self.server = server
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        answer = self._post(
            "/web/session/authenticate", {"db": server.database, "login": login, "password": password}
        )
        self.uid = answer["uid"]

    def _post(self, path, params):
        request = urllib.request.Request(
            self.server.url + path,
            json.dumps({"jsonrpc": "2.0", "method": "call", "id": 1, "params": params}).encode(),
            {"Content-Type": "application/json"},
        )
        with self.opener.open(request, timeout=120) as answer:
            body = json.loads(answer.read())
        if "error" in body:
            data = body["error"].get("data", {})
            raise RpcError(200, data.get("name"), data.get("message") or data.get("debug"), json.dumps(body))
        return body.get("result")

    def get(self, path, **params):
        """What a page answers, as bytes."""
        with self.opener.open(f"{self.server.url}{path}?{urllib.parse.urlencode(params)}", timeout=120) as answer:
            return answer.read()

    def call(self, model, method, *args, **kwargs):
        """Calls a method of a model."""
        return self._post(
            f"/web/dataset/call_kw/{model}/{method}",
            {"model": model, "method": method, "args": list(args), "kwargs": kwargs},
        )

    def create(self, model, **values):
        """Creates one record; its id."""
        return self.call(model, "create", values)

    def write(self, model, ids, **values):
        """Changes records."""
        return self.call(model, "write", ids if isinstance(ids, list) else [ids], values)

    def unlink(self, model, ids):
        """Deletes records."""
        return self.call(model, "unlink", ids if isinstance(ids, list) else [ids])

    def read(self, model, domain, *fields, **kwargs):
        """Reads fields of the records of a domain."""
        return self.call(model, "search_read", domain, list(fields), **kwargs)


def json2(server, key, model, method, /, **params):
    """A call of the JSON-2 API with an API key.

    :raises RpcError: with the HTTP status and Odoo's message.
    """
    request = urllib.request.Request(
        f"{server.url}/json/2/{model}/{method}",
        json.dumps(params).encode(),
        {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "X-Odoo-Database": server.database,
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        said = error.read()
        try:
            body = json.loads(said)
        except ValueError:
            body = {"message": said.decode(errors="replace")}  # a page of the web server's own
        raise RpcError(error.code, body.get("name"), body.get("message"), json.dumps(body)) from None
