"""Every query of the dashboard and of the alert rules, run by a real Prometheus that scrapes a real sidecar."""

import json
import shutil
import socket
import subprocess
import tempfile
import unittest
import urllib.parse
import uuid
from datetime import datetime, timezone
from pathlib import Path

from daemon import PROJECT, Daemon, get, wait_until

RULES = PROJECT / "packaging/prometheus/alerts.yml"
DASHBOARD = PROJECT / "packaging/grafana/mcp-webhookd.json"
# Queries about a state that a healthy sidecar is not in answer nothing; all others must answer something.
MAY_BE_EMPTY = ("success", "seconds ago", "changes")


def free_port():
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prometheus:
    """Debian's Prometheus, scraping one sidecar every second. A context manager."""

    def __init__(self, target):
        self.folder = tempfile.TemporaryDirectory(prefix="prometheus-")
        self.url = f"http://127.0.0.1:{free_port()}"
        config = Path(self.folder.name) / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: [{RULES}]\n"
            "scrape_configs:\n"
            f"  - {{job_name: mcp-webhookd, static_configs: [{{targets: ['{target}']}}]}}\n"
        )
        self.command = [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder.name}/data",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        ]

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: get(f"{self.url}/-/ready"), "Prometheus")
        return self

    def __exit__(self, *_exc):
        self.process.terminate()
        self.process.wait(20)
        self.folder.cleanup()

    def query(self, expression):
        """The answer to an instant query.

        :raises AssertionError: Prometheus refuses it.
        """
        text = get(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        assert text, f"refused: {expression}"
        return json.loads(text)["data"]["result"]

    def rules(self):
        """Every rule, as Prometheus evaluated it."""
        groups = json.loads(get(f"{self.url}/api/v1/rules"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


def deliver(sidecar):
    """One attempt that fails, so that every counter has moved."""
    subscription = str(uuid.uuid4())
    endpoint = f"http://127.0.0.1:{free_port()}/"
    sidecar.call("subscription.create", {"id": subscription, "model": "a", "url": endpoint})
    event = {
        "id": str(uuid.uuid4()),
        "subscription_id": subscription,
        "model": "a",
        "event_type": "write",
        "record_ids": [1],
        "timestamp": datetime.now(timezone.utc).isoformat(),
    }
    sidecar.call("event.submit", {"events": [event]})
    sidecar.call("delivery.changes", {"after": ""})


def dashboard_queries():
    """(legend, expression) of every target, with the dashboard's variables filled in."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "5s").replace("$instance", ".*")
            yield target["legendFormat"], expression


class Queries(unittest.TestCase):
    """Real queries against real metrics."""

    def setUp(self):
        self.assertTrue(shutil.which("prometheus"), "install Debian's package prometheus")

    def test_every_query_answers_and_no_alert_is_broken(self):
        with Daemon() as sidecar, Prometheus(sidecar.url.removeprefix("http://")) as prometheus:
            moved = 'sum(mcp_webhookd_attempts_total{outcome="connect"}) > 0'
            deliver(sidecar)
            wait_until(lambda: prometheus.query(moved), "the first attempt in Prometheus")
            # A rate needs two scrapes.
            wait_until(
                lambda: prometheus.query("rate(mcp_webhookd_commit_seconds_count[5s])"), "a second scrape"
            )
            queries = list(dashboard_queries())
            self.assertGreater(len(queries), 12)
            for legend, expression in queries:
                found = prometheus.query(expression)
                if legend not in MAY_BE_EMPTY and "rate(" not in expression:
                    self.assertTrue(found, expression)
            rules = wait_until(
                lambda: (found := prometheus.rules()) and all(r["health"] != "unknown" for r in found) and found,
                "the rules",
            )
            broken = [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"]
            self.assertEqual(broken, [])
            self.assertEqual(len(rules), RULES.read_text().count("- alert:"))
            firing = [rule["name"] for rule in rules if rule["state"] == "firing"]
            self.assertEqual(firing, [], "a healthy sidecar raises no alarm")

    def test_every_metric_that_a_query_names_exists(self):
        with Daemon() as sidecar:
            deliver(sidecar)
            page = get(f"{sidecar.url}/metrics")
            text = RULES.read_text() + DASHBOARD.read_text()
            import re

            named = set(re.findall(r"mcp_webhookd_\w+", text))
            served = {line.split("{")[0].split(" ")[0] for line in page.splitlines() if line[:1] != "#"}
            self.assertEqual(named - served, set())

    def test_promtool_finds_nothing(self):
        subprocess.run(["promtool", "check", "rules", RULES], check=True, capture_output=True)
        with Daemon() as sidecar:
            deliver(sidecar)
            page = get(f"{sidecar.url}/metrics")
            checked = subprocess.run(
                ["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False
            )
            self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
