"""One run of Odoo's tests: a database, an Odoo process, and the lines that it wrote."""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from realodoo.cache import Failed, say
from realodoo.postgres import free_port

MAIN = Path(__file__).resolve().parent / "inside/main.py"
# Nobody listens there: a subscription is saved, its events wait.
# No sidecar; and what depends on the order of a set is the same in each run.
ENVIRONMENT = {
    "MCP_WEBHOOK_SIDECAR_URL": "http://127.0.0.1:9",
    "MCP_WEBHOOK_SIDECAR_TOKEN": "none",
    "PYTHONHASHSEED": "0",
}


@dataclass(frozen=True)
class Mode:
    """How Odoo runs its tests."""

    name: str
    addon: bool = True
    watch: str = ""  # see inside/watch.py
    oracle: bool = True


MODES = {
    mode.name: mode
    for mode in (
        Mode("bare", addon=False),
        Mode("baseline"),
        Mode("watched", watch="some"),
        Mode("fields", watch="fields"),
        Mode("both", watch="both"),
        # The cost, without triggers and witnesses.
        Mode("baseline-cost", oracle=False),
        Mode("watched-cost", watch="some", oracle=False),
    )
}


@dataclass
class Run:
    """What came of it."""

    mode: Mode
    tests: dict = field(default_factory=dict)  # test: its line
    classes: list = field(default_factory=list)  # lines of classes that could not be set up
    head: dict = field(default_factory=dict)
    total: dict = field(default_factory=dict)


def run(site, mode, modules, share=1, classes=(), minutes=120):
    """Runs the tests of ``modules``.

    :raises Failed: the process ended before the tests did
    """
    number = 1 + sum(1 for _ in site.folder.glob("task-*.json"))
    database, output = f"run_{number}", site.folder / f"result-{number}.jsonl"
    data = _database(site, database, mode.addon)
    task = site.folder / f"task-{number}.json"
    task.write_text(
        json.dumps(
            {
                "modules": modules, "share": share, "classes": list(classes), "watch": mode.watch,
                "oracle": mode.oracle, "output": str(output),
            }
        )
    )
    log = site.folder / f"odoo-{mode.name}-{number}.log"
    command = _command(site, database, data, task)
    say(f"{mode.name}: Odoo's tests of {', '.join(modules)}" + (f", of {len(classes)} classes" if classes else ""))
    with log.open("w") as out:
        process = subprocess.Popen(
            command, env=site.environment(**ENVIRONMENT), stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=site.folder
        )
        try:
            process.wait(minutes * 60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    site.cluster.dropdb(database)
    done = read(mode, output)
    if not done.total:
        raise Failed(f"{mode.name}: Odoo ended after {len(done.tests)} tests, before the last one:\n{log.read_text()[-3000:]}")
    say(f"{mode.name}: {len(done.tests)} tests in {done.total['seconds']:.0f} s, {done.total['queries']} queries")
    return done


def _database(site, name, addon):
    """A copy of the database to copy from, with or without the addon, which is installed once."""
    if not addon:
        return site.database(name)
    prepared = "with_addon"
    if not (site.folder / prepared).exists():
        say("installing the addon")
        site.install(prepared, site.database(prepared), addons=site.addons)
        (site.folder / prepared).touch()
    site.cluster.createdb(name, prepared)
    data = site.folder / "data"
    shutil.copytree(data / "filestore" / prepared, data / "filestore" / name, dirs_exist_ok=True)
    return data


def _command(site, database, data, task):
    python, *rest = site.command(
        site.cluster, data, "-d", database, "--test-enable", "--stop-after-init", "--http-interface=127.0.0.1",
        f"--http-port={free_port()}", f"--gevent-port={free_port()}", "--max-cron-threads=0", "--log-level=warn",
        "--limit-time-cpu=36000", "--limit-time-real=36000", addons=site.addons,
    )
    at = rest.index(site.root / "usr/bin/odoo")
    return [str(part) for part in (python, *rest[:at], MAIN, task, *rest[at + 1 :])]


def read(mode, output):
    """The lines of a run, as far as it came."""
    done = Run(mode)
    for text in output.read_text().splitlines() if output.exists() else ():
        line = json.loads(text)
        if "test" in line:
            done.tests[line["test"]] = line
        elif "class" in line:
            done.classes.append(line)
        elif "total" in line:
            done.total = line
        else:
            done.head = line
    return done
