"""PostgreSQL: one golden cluster with the databases to copy from, and a private copy of it for each run."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

from . import cache, fetch
from .cache import run

# Shared memory in its own folder: /dev/shm is everybody's, and in some containers nobody's.
SETTINGS = "-c listen_addresses=127.0.0.1 -c dynamic_shared_memory_type=mmap"
# For tests alone: a run's data does not outlive it.
HASTY = "-c fsync=off -c full_page_writes=off -c synchronous_commit=off"


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _as_owner(command):
    """PostgreSQL refuses root; Debian's package brings a user for it."""
    return ["runuser", "-u", "postgres", "--", *command] if os.getuid() == 0 else command


def _give(path):
    if os.getuid() == 0:
        shutil.chown(path, "postgres")


class Cluster:
    """A running cluster on a free port; everybody on loopback is its superuser ``odoo``.

    ``durable``: a commit waits for the disk, as it does where it matters.
    """

    def __init__(self, data, durable=False):
        self.data = Path(data)
        self.settings = SETTINGS if durable else f"{SETTINGS} {HASTY}"
        self.port = free_port()
        self.bin = fetch.postgres_bin()

    def start(self):
        """Starts it and waits until it answers."""
        options = f"-p {self.port} -k {self.data} {self.settings}"
        log = self.data / "server.log"
        self._control("-w", "-l", log, "-o", options, "start")
        return self

    def stop(self, mode="fast"):
        """Stops it."""
        self._control("-w", "-m", mode, "stop")

    def restart(self):
        """Cuts every connection, as an upgrade of the server does."""
        self.stop()
        self.start()

    def _control(self, *arguments):
        run(_as_owner([self.bin / "pg_ctl", "-D", self.data, *arguments]), cwd="/")

    def createdb(self, name, template):
        """A copy of a database."""
        self._client("createdb", "-T", template, name)

    def dropdb(self, name):
        """Removes a database that nobody uses any more."""
        self._client("dropdb", "--force", name)

    def sql(self, database, statement):
        """Runs a statement; answers the rows as text."""
        return self._client("psql", "-Atq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement)

    def _client(self, program, *arguments):
        return run([self.bin / program, "-h", "127.0.0.1", "-p", self.port, "-U", "odoo", *arguments])


def new_cluster(data):
    """An empty cluster in ``data``."""
    data.mkdir(parents=True, mode=0o700)
    _give(data)
    initdb = [fetch.postgres_bin() / "initdb", "-A", "trust", "-U", "odoo", "-D", data, "-E", "UTF8", "--locale=C.UTF-8"]
    run(_as_owner(initdb), cwd="/")
    return Cluster(data)


def copy_of(golden, durable=False):
    """A started private copy of a stopped cluster, in a folder of its own that the caller removes."""
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=cache.scratch()))
    folder.chmod(0o755)
    run(["cp", "-a", "--reflink=auto", golden, folder / "pg"])
    return folder, Cluster(folder / "pg", durable).start()
