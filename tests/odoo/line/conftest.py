"""One Odoo, one sidecar, one receiver for all tests of the line that a worker runs; each test has its own subscriptions and paths."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from realodoo.attacks import Attacks
from realodoo.cache import wait_until
from realodoo.odoo import Site
from realodoo.receiver import Receiver
from realodoo.sidecar import Sidecar
from realodoo.web import Session, json2

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Line:
    """Everything from a change in Odoo to an endpoint."""

    def __init__(self, site):
        self.site = site
        self.receiver = Receiver()
        self.sidecar = Sidecar(site.folder).start()
        data = site.database("line")
        site.install("line", data)
        self.odoo = site.serve(
            "line",
            data,
            MCP_WEBHOOK_SIDECAR_URL=self.sidecar.url,
            MCP_WEBHOOK_SIDECAR_TOKEN=self.sidecar.token,
        )
        self.session = Session(self.odoo)
        self._mcp = None

    @property
    def mcp(self):
        """The MCP server: a process of its own, which knows of this Odoo."""
        if self._mcp is None:
            settings = {"MCP_LISTEN": "127.0.0.1:0", "ODOO_URL": self.odoo.url, "ODOO_DATABASE": self.odoo.database}
            self._mcp = Sidecar(self.site.folder / "mcp")
            self._mcp.start(**{f"MCP_WEBHOOKD_{name}": value for name, value in settings.items()})
        return self._mcp

    def stop(self):
        """Ends what the site does not end."""
        self.odoo.stop()
        self.sidecar.stop()
        if self._mcp is not None:
            self._mcp.stop()
        self.receiver.stop()

    def login(self):
        """A new session: the old one went with the server."""
        self.session = Session(self.odoo)
        return self.session

    def model(self, name):
        """The id of an ``ir.model``."""
        return self._id("ir.model", [("model", "=", name)])

    def _id(self, model, domain):
        return self.session.call(model, "search", domain, limit=1)[0]

    def subscribe(self, model, event_type="all", **values):
        """A subscription to a path of its own, and that path."""
        path = values.pop("path", f"/{uuid.uuid4().hex}")
        url = values.pop("url", self.receiver.url + path)
        values.setdefault("webhook_secret", SECRET)
        record = self.session.create(
            "mcp.event.subscription",
            model_id=self.model(model),
            event_type=event_type,
            webhook_url=url,
            **values,
        )
        return record, path

    def rows(self, subscription, *domain):
        """The delivery rows of a subscription, oldest first."""
        fields = [
            "event_uuid", "attempt", "status", "stage", "trigger", "response_code", "payload", "response_body",
            "error_kind", "error_message", "record_ids", "event_type", "advice",
        ]
        return self.session.read(
            "mcp.webhook.delivery", [("subscription_id", "=", subscription), *domain], *fields, order="id"
        )

    def wait_rows(self, subscription, status, count=1, seconds=30):
        """Waits until so many rows have a status, and answers them."""
        def found():
            rows = self.rows(subscription, ("status", "=", status))
            return len(rows) >= count and rows
        return wait_until(found, f"{count} rows with status {status}", seconds)

    def badge(self, subscription):
        """The subscription's mirror fields."""
        fields = ["last_delivery", "last_delivery_status", "failure_count", "pending_count", "sync_error"]
        return self.session.call("mcp.event.subscription", "read", [subscription], fields)[0]

    def sweep(self):
        """Runs the cron that guarantees, now instead of within a minute."""
        for cron in self.session.read("ir.cron", [("cron_name", "ilike", "webhook")], "id", context={"active_test": False}):
            self.session.call("ir.cron", "method_direct_trigger", [cron["id"]])

    def shell(self, code):
        """Runs Python inside Odoo, in a process of its own."""
        # Any process of Odoo tells the sidecar where to knock: it must name the one that serves.
        options = ("--no-http", f"--http-port={self.odoo.port}", "--log-level=error")
        command = self.site.command(self.site.cluster, self.odoo.data, "shell", "-d", "line", *options)
        done = subprocess.run(
            [str(part) for part in command], input=code, text=True, capture_output=True, check=False,
            env=self.site.environment(MCP_WEBHOOK_SIDECAR_URL=self.sidecar.url, MCP_WEBHOOK_SIDECAR_TOKEN=self.sidecar.token),
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


@pytest.fixture(scope="session")
def line():
    """The line, for the whole run. Its logs are shown when something failed."""
    with Site() as site:
        line = Line(site)
        try:
            yield line
        finally:
            line.stop()
            shots = os.environ.get("LINE_LOGS")
            if shots:
                folder = Path(shots)
                folder.mkdir(parents=True, exist_ok=True)
                logs = [line.odoo.log, line.sidecar.log]
                for log in logs:
                    (folder / log.name).write_text(log.read_text())


@pytest.fixture(scope="session")
def attacks():
    """What was tried of an attacker's, for the table of attacks."""
    attacks = Attacks()
    yield attacks
    attacks.write(f"line-{os.environ.get('PYTEST_XDIST_WORKER', 'all')}")


# Who comes to Odoo's doors, and with which rights. The manager is no administrator of the system.
PEOPLE = {
    "manager": "base.group_user,mcp_webhook.group_manager,base.group_allow_export",
    "administrator": "base.group_system,mcp_webhook.group_manager,base.group_allow_export",
    "employee": "base.group_user,base.group_allow_export",
    "visitor": "base.group_portal",
}
MAKE_PEOPLE = """
import datetime
until = datetime.datetime.now() + datetime.timedelta(days=1)
for name, groups in PEOPLE.items():
    ids = [env.ref(group).id for group in groups.split(',')]
    user = env['res.users'].create({'name': f'door-{name}', 'login': f'door-{name}', 'password': f'door-{name}', 'group_ids': [(6, 0, ids)]})
    print('KEY', name, env(user=user.id)['res.users.apikeys'].sudo()._generate('rpc', 'line', until))
env.cr.commit()
"""


class Person:
    """A user with both ways in: a session of the web client, and an API key."""

    def __init__(self, line, name, key):
        self.line, self.name, self.key = line, name, key
        self.login()

    def login(self):
        """A new session: the old one goes with the server."""
        self.session = Session(self.line.odoo, f"door-{self.name}", f"door-{self.name}")

    @property
    def partner(self):
        """The id of the user's own partner."""
        return self.line.session.read("res.users", [("id", "=", self.session.uid)], "partner_id")[0]["partner_id"][0]

    def call(self, model, method, *args, **kwargs):
        """As the web client calls."""
        return self.session.call(model, method, *args, **kwargs)

    def json2(self, model, method, /, **params):
        """As a program with an API key calls."""
        return json2(self.line.odoo, self.key, model, method, **params)


@pytest.fixture(scope="session")
def people(line):
    """Those who come to Odoo's doors, by name."""
    told = line.shell(f"PEOPLE = {PEOPLE!r}\n{MAKE_PEOPLE}")
    keys = [text.split()[-2:] for text in told.splitlines() if "KEY " in text]
    return {name: Person(line, name, key) for name, key in keys}


@pytest.fixture
def unheard(line):
    """Nobody was told of anything within the hour: other tests may have used up what a reader is told."""
    line.shell("env['mcp.webhook.told'].sudo().search([]).unlink()\nenv.cr.commit()")


@pytest.fixture(autouse=True)
def clean(line):
    """Each test ends without subscriptions, so that the next one sees only its own."""
    yield
    session = line.login()
    ids = session.call("mcp.event.subscription", "search", [], context={"active_test": False})
    if ids:
        session.unlink("mcp.event.subscription", ids)


@pytest.fixture(scope="session")
def template(line):
    """A database with the addon, to copy from: installing it takes longer than a test."""
    name = "template_faults"
    line.site.install(name, line.site.database(name))
    return name
