#!/usr/bin/env python3
"""What the line costs in a real Odoo, as JSON for the report of ``just bench-full``. Usage: bench.py OUT.json [SERIES…]

PostgreSQL's commits wait for the disk. Odoo, PostgreSQL, sidecar, receiver and this driver share the machine's cores, so
writes are measured at a pace (what the caller waits for) and back to back (then the work that follows a write, such as
the mirror's, competes with the next one). Moods take turns in short blocks, so that drift meets all of them alike.
"""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "line")]

from realodoo import cache, fetch

BLOCK, ROUNDS = 8, 12  # measured writes of a mood in a row, and how often it has its turn
PACE = 0.05  # s from one write's begin to the next
QUIET = 0.3  # s after a change of mood: what the last one left behind comes to its end
FROZEN = 31  # s of writes to a frozen sidecar: one turn of the breaker
IMPORTED, BATCH = 10_000, 2_000  # rows, and rows a request, as the web client sends them
MIRRORED = 2_000
SWEEPS = 60  # in which the log of a deleted subscription lets go of it, at the most
LOGGED = 500_000  # deliveries of a subscription: as many as the log may hold
AGE = 6  # s after which the sweep takes the youngest rows, too


def seconds(work):
    """How long ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def table(found, bare="bare"):
    """Rows of a table from times in s: in ms, and what they add to the bare ones."""
    def row(times):
        first = found[bare]
        return {
            "writes": len(times),
            "median ms": statistics.median(times) * 1000,
            "p95 ms": statistics.quantiles(times, n=20)[-1] * 1000,
            "mean ms": statistics.mean(times) * 1000,
            "added at the median, ms": (statistics.median(times) - statistics.median(first)) * 1000,
            "added on average, ms": (statistics.mean(times) - statistics.mean(first)) * 1000,
            "ratio of medians": statistics.median(times) / statistics.median(first),
        }
    return {mood: row(times) for mood, times in found.items()}


class Writes:
    """Committed writes over HTTP to one partner, in every mood of sidecar and endpoint."""

    def __init__(self, line):
        self.line = line
        self.partner = line.session.create("res.partner", name="Measured")
        self.subscription, self.fast = line.subscribe("res.partner", "write", active=False)
        self.hanging = "/hanging"
        self.gate = line.receiver.answers[self.hanging] = threading.Event()
        self.number = 0
        self.alive = {
            "bare": lambda: self.watch(False),
            "watched, not matching": lambda: self.watch(True, domain="[('name', '=', 'Nobody')]"),
            "matching, fast endpoint": lambda: self.watch(True),
            "matching, hanging endpoint": lambda: self.watch(True, path=self.hanging),
        }
        self.dead = {"bare": self.alive["bare"], "matching, dead sidecar": self.alive["matching, fast endpoint"]}

    def watch(self, active, domain="[]", path=None):
        """Changes the mood; the secret goes with a change of address only, and both have the same."""
        url = self.line.receiver.url + (path or self.fast)
        self.line.session.write("mcp.event.subscription", self.subscription, active=active, domain=domain, webhook_url=url)

    def write(self):
        """One write; its time in s."""
        self.number += 1
        return seconds(lambda: self.line.session.write("res.partner", self.partner, ref=str(self.number)))

    def block(self, count, pace):
        """So many writes, the first of which is for the caches; their times."""
        times = []
        for _ in range(count + 1):
            times.append(self.write())
            time.sleep(max(0, pace - times[-1]))
        return times[1:]

    def turns(self, what, moods, pace, rounds=ROUNDS):
        """All moods in each round; the first round warms up."""
        found = {mood: [] for mood in moods}
        for number in range(rounds + 1):
            cache.say(f"{what}: round {number} of {rounds}")
            for mood, begin in moods.items():
                begin()
                time.sleep(QUIET)
                found[mood] += self.block(BLOCK, pace) if number else self.block(2, pace) and []
        return found

    def end(self):
        """The hanging endpoint answers, nothing is watched any more."""
        self.gate.set()
        self.watch(False)


def writes(line, what):
    """The moods of a living sidecar at a pace and back to back, then those of a dead and of a frozen one."""
    writes = Writes(line)
    paced = writes.turns(f"{what}, 20 a second", writes.alive, PACE)
    hasty = writes.turns(f"{what}, back to back", writes.alive, 0)
    writes.gate.set()
    line.sidecar.kill()
    dead = writes.turns(f"{what}, dead sidecar", writes.dead, PACE)
    line.sidecar.start()
    line.sweep()
    writes.watch(True)
    frozen = {"bare": dead["bare"], "matching, frozen sidecar": freeze(writes)}
    writes.end()
    line.sweep()
    return {
        f"a committed write over HTTP, {what}, 20 a second": table(paced),
        f"the same, {what}, back to back": table(hasty),
        f"the same, {what}, 20 a second, while the sidecar is dead": table(dead),
        f"the same, {what}, 20 a second, while the sidecar hangs": table(frozen),
    }


def freeze(writes):
    """Writes from the moment the sidecar stands still, over one turn of the breaker, the slow one included."""
    cache.say(f"a frozen sidecar, {FROZEN} s")
    line, times, end = writes.line, [], time.monotonic() + FROZEN
    line.sidecar.freeze()
    try:
        while time.monotonic() < end:
            times.append(writes.write())
            time.sleep(max(0, PACE - times[-1]))
    finally:
        line.sidecar.thaw()
    return times


def workers(line):
    """The same at a pace with a server of two worker processes, where the mirror has a process of its own."""
    serve(line, "--workers=2", "--limit-time-real=600")
    line.login()
    writes = Writes(line)
    for _ in range(20):
        writes.write()
    found = writes.turns("two workers", writes.alive, PACE)
    writes.end()
    serve(line)
    return {"a committed write over HTTP, two workers, 20 a second": table(found)}


def threads(line):
    """The writes with a threaded server, Odoo's default."""
    return writes(line, "threaded server")


def serve(line, *options):
    """Another server of the same database in the place of the running one."""
    line.odoo.stop()
    secrets = {"MCP_WEBHOOK_SIDECAR_URL": line.sidecar.url, "MCP_WEBHOOK_SIDECAR_TOKEN": line.sidecar.token}
    line.odoo = line.site.serve("line", line.odoo.data, *options, **secrets)


def imports(line):
    """A CSV import with and without a matching subscription, in turn."""
    subscription, _ = line.subscribe("res.partner", "create", enrich_fields="name\nref", active=False)
    found = {"without a subscription": [], "with a matching subscription": []}
    for number in range(2):
        for mood, times in found.items():
            cache.say(f"import of {IMPORTED} rows {mood}, {number + 1} of 2")
            line.session.write("mcp.event.subscription", subscription, active=mood.startswith("with a"))
            rows = "".join(f"{mood} {number} {row},{row}\n" for row in range(IMPORTED))
            times.append(seconds(lambda text=f"name,ref\n{rows}": imported(line, text)))
    line.session.write("mcp.event.subscription", subscription, active=False)
    first = min(found["without a subscription"])
    return {
        f"a CSV import of {IMPORTED} rows, the better of two": {
            mood: {"seconds": min(times), "rows/s": IMPORTED / min(times), "ratio": min(times) / first}
            for mood, times in found.items()
        }
    }


def imported(line, text):
    """The import of a file, in the requests that the web client makes."""
    session = line.session
    wizard = session.create("base_import.import", res_model="res.partner", file=text, file_type="text/csv", file_name="a.csv")
    options = {"has_headers": True, "quoting": '"', "separator": ",", "encoding": "utf-8", "limit": BATCH}
    options |= {"float_thousand_separator": ",", "float_decimal_separator": ".", "date_format": "", "datetime_format": ""}
    done, skip = 0, 0
    while done < IMPORTED:
        columns = ["name", "ref"]
        answer = session.call(
            "base_import.import", "execute_import", [wizard], columns, columns, dict(options, skip=skip)
        )
        if not answer.get("ids"):
            raise cache.Failed(f"the import stopped after {done} rows: {answer['messages']}")
        done += len(answer["ids"])
        skip = answer.get("nextrow") or 0


def mirror(line):
    """How fast a backlog goes out and every attempt comes back, once the sidecar is there again."""
    partner = line.session.create("res.partner", name="Mirrored")
    subscription, _ = line.subscribe("res.partner", "write", domain="[('name', '=', 'Mirrored')]")
    line.sidecar.kill()
    cache.say(f"mirror: {MIRRORED} events pile up in Odoo")
    line.shell(
        f"partner = env['res.partner'].browse({partner})\n"
        f"for number in range({MIRRORED}):\n    partner.write({{'ref': str(number)}})\n    env.cr.commit()\n"
    )
    line.sidecar.start()
    time.sleep(AGE)
    cache.say("mirror: they go out")
    where = [("subscription_id", "=", subscription), ("status", "=", "success")]

    def done():
        return line.session.call("mcp.webhook.delivery", "search_count", where) >= MIRRORED

    def out_and_back():
        for _ in range(MIRRORED // 1000):
            line.sweep()
        cache.wait_until(done, "all rows", 300)

    took = seconds(out_and_back)
    line.session.write("mcp.event.subscription", subscription, active=False)
    return {
        "the line, from Odoo's outbox to the outcome": {
            f"{MIRRORED} rows submitted, delivered and mirrored": {"seconds": took, "rows/s": MIRRORED / took}
        }
    }


def alone(line):
    """What one process measures of itself, while no server runs: see bench_shell.py."""
    cache.say("one process alone: an unwatched model, stages of a write, the sidecar's commit, the mirror")
    line.odoo.stop()
    os.environ["BENCH_RECEIVER"] = line.receiver.url
    out = line.shell((HERE / "bench_shell.py").read_text())
    serve(line)
    return json.loads(next(text for text in out.splitlines() if "RESULT" in text).partition("RESULT")[2])


FILL = """
env.cr.execute(
    '''INSERT INTO mcp_webhook_delivery (subscription_id, subscription_name, event_uuid, model_name, event_type, attempt,
            trigger, status, record_ids, create_date, write_date)
       SELECT %s, 'Long', gen_random_uuid()::text, 'res.country', 'write', 1, 'event', 'success', '[1]', now(), now()
         FROM generate_series(1, %s)''', [{subscription}, {rows}])
env.cr.commit()
env.cr.execute("ANALYZE mcp_webhook_delivery")
env.cr.commit()
"""


def deletion(line):
    """A subscription with a long log is deleted; others save and fire while the log lets go of it."""
    writes = Writes(line)
    writes.alive["matching, fast endpoint"]()
    subscription, _ = line.subscribe("res.country", "write")
    cache.say(f"deletion: {LOGGED} rows")
    line.shell(FILL.format(subscription=subscription, rows=LOGGED))
    for _ in range(BLOCK):
        writes.write()
    before = writes.block(BLOCK * 4, PACE)
    took = seconds(lambda: line.session.call("mcp.event.subscription", "unlink", [subscription]))
    where = [("subscription_name", "=", "Long"), ("subscription_id", "!=", False)]
    during = []

    def let_go():
        for _ in range(SWEEPS):
            line.sweep()
            if not line.session.call("mcp.webhook.delivery", "search_count", where):
                return

    worker = threading.Thread(target=let_go)
    began = time.monotonic()
    worker.start()
    while worker.is_alive():
        during += writes.block(BLOCK, PACE)
    lasted = time.monotonic() - began
    writes.end()
    if left := line.session.call("mcp.webhook.delivery", "search_count", where):
        raise cache.Failed(f"{left} deliveries still point to the deleted subscription after {SWEEPS} sweeps")
    return {
        f"a subscription with {LOGGED} deliveries is deleted": {
            "over HTTP": {"seconds": took},
            "its deliveries let go of it, in the background": {"seconds": lasted, "rows/s": LOGGED / lasted},
        },
        "a committed write that fires, 20 a second, the deletion's background work": table(
            {"before it": before, "meanwhile": during}, bare="before it"
        ),
    }


SERIES = {series.__name__: series for series in (alone, threads, workers, imports, mirror, deletion)}


def main(out, chosen):
    """Runs the series, and writes what they found after each of them."""
    from conftest import Line
    from realodoo.odoo import Site

    found = {}
    with Site(durable=True) as site:
        line = Line(site)
        try:
            for number, name in enumerate(chosen, 1):
                cache.say(f"series {number} of {len(chosen)}: {name}")
                found |= SERIES[name](line)
                line.login()
                Path(out).write_text(json.dumps(found, indent=2) + "\n")
        finally:
            line.stop()
    cache.say(f"written to {out}")


if __name__ == "__main__":
    if "--inside" in sys.argv:
        main(sys.argv[1], sys.argv[3:] or list(SERIES))
    else:
        _, python, _ = fetch.everything()
        Path(sys.argv[1]).parent.mkdir(parents=True, exist_ok=True)
        command = [str(python), __file__, sys.argv[1], "--inside", *sys.argv[2:]]
        sys.exit(subprocess.run(command, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"), check=False).returncode)
