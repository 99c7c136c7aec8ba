"""What is checked of the packaging without building it: units, compose file, scripts."""

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml
from daemon import BINARY, PROJECT

UNITS = PROJECT / "packaging/systemd"


class Units(unittest.TestCase):
    """The systemd units."""

    def test_systemd_finds_no_fault_and_the_hardening_holds(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("mcp-webhookd.service", "mcp-webhookd@.service"):
                text = (UNITS / name).read_text().replace("/usr/bin/mcp-webhookd", str(BINARY))
                copy = Path(folder) / name
                copy.write_text(text)
                target = copy if "@" not in name else copy.with_name("mcp-webhookd@sales.service")
                if target != copy:
                    copy.rename(target)
                verified = subprocess.run(
                    ["systemd-analyze", "verify", "--man=no", target], capture_output=True, text=True, check=False
                )
                self.assertEqual((verified.returncode, verified.stderr), (0, ""), name)
                command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", target]
                judged = subprocess.run(command, capture_output=True, text=True, check=False)
                self.assertEqual(judged.returncode, 0, judged.stdout[-300:])

    def test_the_template_differs_only_in_its_instance(self):
        single = (UNITS / "mcp-webhookd.service").read_text().splitlines()
        template = (UNITS / "mcp-webhookd@.service").read_text().splitlines()
        different = {left.split("=")[0] for left, right in zip(single, template, strict=True) if left != right}
        self.assertEqual((len(single), different), (len(template), {"Description", "ExecStart", "StateDirectory", "RuntimeDirectory"}))


def composed(**variables):
    """The compose file as Docker Compose reads it, filled in; the finished process."""
    environment = {"PATH": os.environ["PATH"], **variables}
    command = ["docker-compose", "--file", PROJECT / "compose.yaml", "config"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


class Compose(unittest.TestCase):
    """The compose file, read by Docker Compose itself: its schema, its variables."""

    def test_without_its_secrets_it_says_where_they_are_made(self):
        told = composed()
        self.assertNotEqual(told.returncode, 0)
        self.assertIn("see the first lines of compose.yaml", told.stderr)

    def test_it_names_three_services_that_wait_for_each_other_and_settings_that_exist(self):
        read = composed(SIDECAR_TOKEN="the-token", POSTGRES_PASSWORD="the-password")
        self.assertEqual(read.returncode, 0, read.stderr)
        services = yaml.safe_load(read.stdout)["services"]
        self.assertEqual(services["odoo"]["environment"]["MCP_WEBHOOK_SIDECAR_TOKEN"], "the-token")
        self.assertEqual(services["odoo"]["environment"]["PASSWORD"], "the-password")
        self.assertEqual(services["postgres"]["environment"]["POSTGRES_PASSWORD"], "the-password")
        published = {name for name, service in services.items() if "ports" in service}
        self.assertEqual(published, {"odoo"})
        self.assertIn("127.0.0.1", str(services["odoo"]["ports"]))
        self.assertEqual(set(services), {"postgres", "odoo", "sidecar"})
        self.assertEqual(set(services["odoo"]["depends_on"]), {"postgres", "sidecar"})
        settings = [n for n in services["sidecar"]["environment"] if n.startswith("MCP_WEBHOOKD_")]
        environment = {n: str(services["sidecar"]["environment"][n]) for n in settings}
        checked = subprocess.run([BINARY, "check-config"], env=environment, capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        secrets = re.findall(r"(?:TOKEN|PASSWORD)\S*: (.*)", (PROJECT / "compose.yaml").read_text())
        self.assertTrue(secrets and all(value.startswith("${") for value in secrets), secrets)


class Scripts(unittest.TestCase):
    """The shell scripts parse."""

    def test_shells_read_them(self):
        for name in ("packaging/mcp-webhookctl", "packaging/debian/postinst", "packaging/debian/prerm", "packaging/debian/postrm"):
            subprocess.run(["sh", "-n", PROJECT / name], check=True)
        subprocess.run(["bash", "-n", PROJECT / "packaging/build"], check=True)


if __name__ == "__main__":
    unittest.main()
