"""Where downloads are kept between runs, and how to say what is going on."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PROJECT = HERE.parent.parent
STARTED = time.monotonic()


def folder():
    """The cache: ``$MCP_WEBHOOKD_CACHE``, else ``$XDG_CACHE_HOME/mcp-webhookd``, else ``~/.cache/mcp-webhookd``."""
    chosen = os.environ.get("MCP_WEBHOOKD_CACHE")
    if not chosen:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        chosen = Path(home) / "mcp-webhookd"
    path = Path(chosen)
    path.mkdir(parents=True, exist_ok=True)
    return path


def scratch():
    """A place that an unprivileged user can reach too: PostgreSQL refuses to run as root."""
    path = Path("/var/tmp") / f"mcp-webhookd-{os.getuid()}"
    path.mkdir(mode=0o755, exist_ok=True)
    return path


def say(text):
    """Tells the user what is being done, with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED:6.1f}s] {text}", file=sys.stderr, flush=True)


def below_floor(**ran):
    """What is wrong when fewer tests ran than floor.txt demands: tests were lost. Raise its numbers when tests are added."""
    lines = (HERE / "floor.txt").read_text().splitlines()
    floor = dict(line.split() for line in lines if line and not line.startswith("#"))
    return [f"{count} {name} ran, at least {floor[name]} must" for name, count in ran.items() if count < int(floor[name])]


class Failed(Exception):
    """A step did not work; the message says which and what to do."""


def run(command, quiet=True, **options):
    """Runs a command; its output is shown only when it fails (or ``quiet`` is off).

    :raises Failed: with the command and the end of its output.
    """
    command = [str(part) for part in command]
    if not quiet:
        if subprocess.run(command, check=False, **options).returncode:
            raise Failed(f"{' '.join(command)} failed")
        return ""
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **options
    )
    if done.returncode:
        raise Failed(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}")
    return done.stdout


@contextmanager
def lock(name):
    """One process at a time does what is inside; others wait."""
    with (folder() / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build(target, stamp, make):
    """Makes the folder ``target`` with ``make(unfinished)`` unless it is there with this ``stamp``.

    An interrupted build leaves nothing that a later run could take for a whole one.
    """
    mark = target / ".stamp"
    if mark.is_file() and mark.read_text() == stamp:
        return target
    unfinished = target.with_name(target.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    unfinished.mkdir(parents=True)
    make(unfinished)
    (unfinished / ".stamp").write_text(stamp)
    unfinished.rename(target)
    return target


def wait_until(condition, what, seconds=60):
    """Asks ``condition()`` until it is true, and answers it.

    :raises Failed: it did not come true within ``seconds``.
    """
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)  # between two looks; nobody waits for a time, only for the condition
