"""Odoo 19: databases to copy from, its test runner, and a server as it runs in production."""

import os
import shutil
import signal
import subprocess
import urllib.request
import zlib

from . import cache, fetch, postgres
from .cache import Failed, run, say, wait_until

ADDONS = cache.PROJECT / "odoo_addon"
# What the tests and the demo work on.
MODULES = "mail,rpc,base_setup,base_automation,base_import,contacts,sale_management,project"
TEMPLATE = "template_apps"


class Site:
    """One PostgreSQL and the databases of one run. Use as a context manager: it cleans up after itself.

    ``durable``: PostgreSQL's commits wait for the disk, for measurements.
    ``modules``: installed instead of the usual ones, together with what they install by themselves.
    """

    def __init__(self, durable=False, modules=None):
        self.durable = durable
        self.modules = modules or MODULES
        # Auto-installed modules are left out, for speed.
        self.options = [] if modules else ["--skip-auto-install"]
        self.root, self.python, self.node_modules = fetch.everything()
        self.golden = self._golden()
        self.folder = self.cluster = None
        self.servers = []

    def __enter__(self):
        self.folder, self.cluster = postgres.copy_of(self.golden / "pg", self.durable)
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.stop()
        self.cluster.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _golden(self):
        """A stopped cluster with a database that has the apps installed, made once."""

        def make(folder):
            say(f"making the database to copy from, once, in minutes: Odoo 19 with {self.modules}")
            folder.chmod(0o755)
            cluster = postgres.new_cluster(folder / "pg").start()
            try:
                data = folder / "data"
                self._odoo(cluster, data, "-d", TEMPLATE, "-i", self.modules, *self.options, "--stop-after-init")
            finally:
                cluster.stop()

        name = "golden" if self.modules == MODULES else f"golden-{zlib.crc32(self.modules.encode()):08x}"
        with cache.lock(name):
            return cache.build(cache.scratch() / name, f"1 {self.modules}", make)

    def command(self, cluster, data, *arguments, addons=ADDONS):
        """Odoo's command line, for a cluster and a data folder; ``addons``: where the addon is taken from."""
        return [
            self.python,
            "-W",
            "ignore",
            self.root / "usr/bin/odoo",
            *arguments,
            "--db_host=127.0.0.1",
            f"--db_port={cluster.port}",
            "--db_user=odoo",
            f"--data-dir={data}",
            f"--addons-path={self.root / 'usr/lib/python3/dist-packages/odoo/addons'},{addons}",
        ]

    def environment(self, **more):
        """The environment of an Odoo process."""
        path = self.root / "usr/lib/python3/dist-packages"
        return dict(os.environ, PYTHONPATH=str(path), PYTHONDONTWRITEBYTECODE="1", ODOO_RC="/dev/null", **more)

    def _odoo(self, cluster, data, *arguments, addons=ADDONS):
        return run(self.command(cluster, data, *arguments, addons=addons), env=self.environment())

    def database(self, name, template=TEMPLATE):
        """A new database with the apps; answers its data folder."""
        self.cluster.createdb(name, template)
        data = self.folder / "data"
        source = self.golden / "data/filestore" / template
        if source.is_dir():
            shutil.copytree(source, data / "filestore" / name, dirs_exist_ok=True)
        return data

    def install(self, database, data, module="mcp_webhook", addons=ADDONS):
        """Installs a module into a database."""
        options = ["--skip-auto-install", "--stop-after-init", "--no-http"]
        return self._odoo(self.cluster, data, "-d", database, "-i", module, *options, addons=addons)

    def upgrade(self, database, data, addons=ADDONS, module="mcp_webhook"):
        """Upgrades a module to what is in ``addons``; no server may run on the database."""
        return self._odoo(self.cluster, data, "-d", database, "-u", module, "--stop-after-init", "--no-http", addons=addons)

    def serve(self, database, data, *options, addons=ADDONS, **environment):
        """A server as in production, started and answering."""
        server = Server(self, database, data, options, environment, addons)
        self.servers.append(server)
        return server.start()


class Server:
    """An Odoo server process."""

    def __init__(self, site, database, data, options, environment, addons=ADDONS):
        self.site, self.database, self.data, self.environment = site, database, data, environment
        self.options, self.addons = options, addons
        self.port, self.gevent_port = postgres.free_port(), postgres.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = site.folder / f"odoo-{self.port}.log"
        self.process = None

    def start(self):
        """Starts it and waits until it answers."""
        arguments = [
            "-d",
            self.database,
            f"--db-filter=^{self.database}$",
            "--http-interface=127.0.0.1",
            f"--http-port={self.port}",
            f"--gevent-port={self.gevent_port}",
            "--max-cron-threads=1",
            *self.options,
        ]
        command = self.site.command(self.site.cluster, self.data, *arguments, addons=self.addons)
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                env=self.site.environment(**self.environment),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        wait_until(self.is_up, f"Odoo on port {self.port} (its log: {self.log})", 120)
        return self

    def is_up(self):
        """Whether it answers."""
        if self.process.poll() is not None:
            raise Failed(f"Odoo ended by itself:\n{self.log.read_text()[-3000:]}")
        try:
            with urllib.request.urlopen(f"{self.url}/web/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def kill(self):
        """Ends it at once, as a crash does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Ends it."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
