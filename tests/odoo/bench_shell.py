"""The part of the bench that runs inside Odoo's shell, one process and nobody else: what callers wait for, by stages.

Fed to the shell by bench.py, with ``env`` from the shell; prints one line of JSON after ``RESULT``.
"""

import json
import os
import statistics
import time
import uuid
from contextlib import contextmanager

from odoo.models import BaseModel

from odoo.addons.mcp_webhook.models.base import Base
from odoo.addons.mcp_webhook.tools.payload import timestamp

env = globals()["env"]
URL = os.environ["BENCH_RECEIVER"]
SUBSCRIPTIONS, PULLED = 20, 100  # the mirror's backlog: so many rows each
DOORS = [name for name in vars(Base) if hasattr(BaseModel, name) and callable(vars(Base)[name])]


def timed(work):
    """How long ``work`` takes, in s."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def subscribe(model, **values):
    """A subscription to a path that answers 200."""
    values = {"event_type": "write", "webhook_url": f"{URL}/shell", "webhook_secret": "0123456789abcdef", **values}
    made = env["mcp.event.subscription"].create({"model_id": env["ir.model"]._get_id(model), "user_id": 2, **values})
    env.cr.commit()
    return made


@contextmanager
def without_addon():
    """The addon's overrides are not there: Python finds what is behind them."""
    kept = {name: Base.__dict__[name] for name in DOORS}
    for name in DOORS:
        delattr(Base, name)
    try:
        yield
    finally:
        for name, door in kept.items():
            setattr(Base, name, door)


def unwatched():
    """What the addon adds to a model that nobody watches, in us a call; another model is watched."""
    subscribe("res.country")
    partner = env["res.partner"].create({"name": "Unwatched"})
    numbers = iter(range(10**9))

    def write():
        partner.write({"ref": str(next(numbers))})

    def write_and_flush():
        write()
        env.flush_all()

    def create_and_flush():
        env["res.partner"].create({"name": str(next(numbers))})
        env.flush_all()

    def block(work, calls):
        return timed(lambda: [work() for _ in range(calls)]) / calls * 1e6

    rows = {}
    for work, calls, rounds in ((write, 200, 60), (write_and_flush, 100, 60), (create_and_flush, 10, 40)):
        block(work, calls)
        present, absent = [], []
        for _ in range(rounds):
            present.append(block(work, calls))
            with without_addon():
                absent.append(block(work, calls))
        added = statistics.median(a - b for a, b in zip(present, absent, strict=True))
        rows[work.__name__.replace("_", " ")] = {
            "with the addon, us": statistics.median(present),
            "without, us": statistics.median(absent),
            "added, us": added,
        }
    env.cr.rollback()
    return rows


def stages():
    """A matching write, one every 50 ms, stage by stage, beside a bare one; medians in ms."""
    partner = env["res.partner"].create({"name": "Staged"})
    subscription = subscribe("res.partner", active=False)
    found = {}
    for number in range(12):
        for row, active in (("bare", False), ("matching", True)):
            subscription.active = active
            env.cr.commit()
            for turn in range(9):
                partner.write({"ref": f"{row} {number} {turn}"})
                cr, times = env.cr, {}
                times["decision and flush ms"] = timed(cr.flush) * 1000
                # what `commit` does, in its order, with a look at the clock in between
                times["commit ms"] = timed(cr._cnx.commit) * 1000
                times["submission after commit ms"] = timed(cr.postcommit.run) * 1000
                cr.commit()
                env.invalidate_all()
                time.sleep(0.05)
                if turn:
                    found.setdefault(row, []).append(times)
    subscription.active = False
    env.cr.commit()
    return {
        row: {name: statistics.median(t[name] for t in times) for name in times[0]} for row, times in found.items()
    }


def sidecar():
    """The sidecar as the addon calls it, every 50 ms: an empty call, and an event that is on disk before the answer."""
    client = env["mcp.webhook.sidecar"]._client()
    subscription = subscribe("res.partner", active=True, paused=True)

    def submit():
        moment = timestamp(env.cr.now())
        event = {"id": str(uuid.uuid4()), "subscription_id": subscription.uuid, "model": "res.partner"}
        event |= {"event_type": "write", "record_ids": [1], "user_id": 2, "timestamp": moment}
        assert client.submit([event])[0]["status"] == "accepted"

    times = {"empty call": [], "submission of one event": []}
    for _ in range(60):
        for row, work in zip(times, (client.info, submit), strict=True):
            time.sleep(0.05)
            times[row].append(timed(work) * 1000)
    subscription.active = False
    env.cr.commit()
    rows = {row: {"median ms": statistics.median(each)} for row, each in times.items()}
    commit = rows["submission of one event"]["median ms"] - rows["empty call"]["median ms"]
    return {**rows, "difference: one sidecar commit": {"median ms": commit}}


def pull():
    """Finished attempts that wait in the feed become rows; nobody knocks and nothing else runs."""
    env["mcp.webhook.mirror"]._pull_quietly()
    made = env["mcp.event.subscription"].browse()
    for _ in range(SUBSCRIPTIONS):
        made |= subscribe("res.partner", max_in_flight=64)
    partner = env["res.partner"].create({"name": "Pulled"})
    for number in range(PULLED):
        partner.write({"ref": str(number)})
        env.cr.commit()
    client = env["mcp.webhook.sidecar"]._client()
    end = time.monotonic() + 60
    # the paused event of the series before stays pending only until its subscription was archived
    while client.info()["pending"] and time.monotonic() < end:
        time.sleep(0.05)
    took = timed(env["mcp.webhook.mirror"]._pull_quietly)
    env.cr.rollback()
    count = env["mcp.webhook.delivery"].search_count(
        [("subscription_id", "in", made.ids), ("status", "=", "success")]
    )
    made.active = False
    env.cr.commit()
    return {f"{count} outcomes read from the feed": {"seconds": took, "rows/s": count / took}}


def measure():
    """All series, by the titles of their tables."""
    return {
        "an unwatched model, in one process": unwatched(),
        "a committed write by stages, in one process, 20 a second": stages(),
        "the sidecar, called by the addon": sidecar(),
        "the mirror alone": pull(),
    }


print("RESULT" + json.dumps(measure()))
