#!/usr/bin/env python3
"""What the line costs in a real Odoo, as JSON for the report of ``just bench-full``. Usage: bench.py OUT.json"""

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

ROUNDS = 3
WRITES = 40
IMPORTED = 10_000
MIRRORED = 2_000


def seconds(work):
    """How long ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def percentiles(times):
    """The row of a table: times in ms."""
    return {
        "median ms": statistics.median(times) * 1000,
        "p95 ms": statistics.quantiles(times, n=20)[-1] * 1000,
    }


def writes(line):
    """Committed writes over HTTP in every mood of sidecar and endpoint, all moods in each round."""
    session = line.session
    partner = session.create("res.partner", name="Measured")
    subscription, path = line.subscribe("res.partner", "write", active=False)
    gate = threading.Event()

    def watch(active, domain="[]"):
        session.write("mcp.event.subscription", subscription, active=active, domain=domain)

    def hang():
        line.receiver.answers[path] = gate

    def die():
        line.sidecar.kill()

    moods = {
        "bare": lambda: watch(False),
        "watched, not matching": lambda: watch(True, "[('name', '=', 'Nobody')]"),
        "matching, fast endpoint": lambda: watch(True),
        "matching, hanging endpoint": hang,
        "matching, dead sidecar": die,
    }
    found = {mood: [] for mood in moods}
    for number in range(ROUNDS + 1):
        for mood, begin in moods.items():
            cache.say(f"round {number}: {mood}")
            begin()
            refs = [f"{mood} {number}.{n}" for n in range(WRITES)]
            times = [seconds(lambda ref=ref: session.write("res.partner", partner, ref=ref)) for ref in refs]
            found[mood] += times if number else []  # the first round warms up
        gate.set()
        line.sidecar.start()
        line.receiver.answers[path] = 200
        gate = threading.Event()
        line.sweep()
    session.write("mcp.event.subscription", subscription, active=False)
    rows = {mood: percentiles(times) for mood, times in found.items()}
    for mood, times in found.items():
        rows[mood]["mean ms"] = statistics.mean(times) * 1000
        rows[mood]["added at the median, ms"] = rows[mood]["median ms"] - rows["bare"]["median ms"]
    return rows


def imports(line):
    """An import of many rows, with and without a matching subscription."""
    session = line.session
    rows = {}
    for mood in ("without a subscription", "with a matching subscription"):
        cache.say(f"import {mood}")
        if mood.startswith("with a"):
            line.subscribe("res.partner", "create", enrich_fields="name\nref")
        data = [[f"{mood} {number}", str(number)] for number in range(IMPORTED)]
        took = seconds(lambda data=data: session.call("res.partner", "load", ["name", "ref"], data))
        rows[f"{IMPORTED} rows {mood}"] = {"seconds": took, "rows/s": IMPORTED / took}
    first = rows[f"{IMPORTED} rows without a subscription"]["seconds"]
    for row in rows.values():
        row["ratio"] = row["seconds"] / first
    return rows


def mirror(line):
    """How fast a backlog goes out and every attempt comes back, once the sidecar is there again."""
    partner = line.session.create("res.partner", name="Mirrored")
    subscription, _ = line.subscribe("res.partner", "write", domain="[('name', '=', 'Mirrored')]")
    line.sidecar.kill()
    cache.say("mirror: events pile up in Odoo")
    line.shell(
        f"partner = env['res.partner'].browse({partner})\n"
        f"for number in range({MIRRORED}):\n    partner.write({{'ref': str(number)}})\n    env.cr.commit()\n"
    )
    line.sidecar.start()
    cache.say("mirror: they go out")

    def done():
        line.sweep()
        count = line.session.call(
            "mcp.webhook.delivery", "search_count", [("subscription_id", "=", subscription), ("status", "=", "success")]
        )
        return count >= MIRRORED

    took = seconds(lambda: cache.wait_until(done, "all rows", 300))
    return {f"{MIRRORED} rows submitted, delivered and mirrored": {"seconds": took, "rows/s": MIRRORED / took}}


def main(out):
    """Runs all series, each for itself, and writes what they found."""
    from conftest import Line
    from realodoo.odoo import Site

    found = {}
    with Site() as site:
        line = Line(site)
        try:
            for title, series in (("a committed write over HTTP", writes), ("an import", imports), ("the mirror", mirror)):
                found[title] = series(line)
                line.login()
                Path(out).write_text(json.dumps(found, indent=2) + "\n")
        finally:
            line.stop()


if __name__ == "__main__":
    if "--inside" in sys.argv:
        main(sys.argv[1])
    else:
        _, python, _ = fetch.everything()
        Path(sys.argv[1]).parent.mkdir(parents=True, exist_ok=True)
        command = [str(python), __file__, sys.argv[1], "--inside"]
        sys.exit(subprocess.run(command, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"), check=False).returncode)
