"""What a committed write costs the user, with the sidecar and the endpoint in every mood. A report, not a verdict."""

import statistics
import threading
import time

ROUNDS = 40


def timed(line, partner):
    """The median and the 95th percentile of committed writes, in ms."""
    times = []
    for number in range(ROUNDS):
        started = time.perf_counter()
        line.session.write("res.partner", partner, ref=str(number))
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


def test_cost_of_a_commit(line, capsys):
    partner = line.session.create("res.partner", name="Measured")
    figures = {"bare": timed(line, partner)}
    subscription, path = line.subscribe("res.partner", "write", domain="[('name', '=', 'Nobody')]")
    figures["watched, not matching"] = timed(line, partner)
    line.session.write("mcp.event.subscription", subscription, domain="[('name', '=', 'Measured')]")
    figures["matching, fast endpoint"] = timed(line, partner)
    line.wait_rows(subscription, "success", count=ROUNDS)
    gate = threading.Event()
    line.receiver.answers[path] = gate
    figures["matching, hanging endpoint"] = timed(line, partner)
    line.sidecar.freeze()
    figures["matching, frozen sidecar"] = timed(line, partner)
    line.sidecar.thaw()
    line.sidecar.kill()
    figures["matching, dead sidecar"] = timed(line, partner)
    gate.set()
    line.receiver.answers[path] = 200
    line.sidecar.start()
    bare = figures["bare"][0]
    with capsys.disabled():
        print(f"\n{'a committed write over HTTP':32} {'median':>9} {'p95':>9} {'ratio':>6}")
        for name, (median, p95) in figures.items():
            print(f"{name:32} {median:6.1f} ms {p95:6.1f} ms {median / bare:6.2f}")
    # Nothing of it was lost: every one of the 160 matching writes ends as a row that succeeded.
    from realodoo.cache import wait_until

    wait_until(
        lambda: line.sweep() or len(line.rows(subscription, ("status", "=", "success"))) >= 4 * ROUNDS, "all rows", 120
    )
