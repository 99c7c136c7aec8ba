"""An upgrade keeps everything; an uninstallation leaves nothing, here and at the sidecar."""

import re
import shutil

import pytest
from conftest import SECRET
from realodoo.cache import wait_until
from realodoo.odoo import ADDONS
from realodoo.receiver import Receiver
from realodoo.sidecar import Sidecar
from realodoo.signatures import verify
from realodoo.web import Session

ADDON = "mcp_webhook"
LEFTOVERS = {
    "tables": "SELECT tablename FROM pg_tables WHERE tablename LIKE 'mcp_%'",
    "parameters": "SELECT key FROM ir_config_parameter WHERE key LIKE 'mcp_webhook.%'",
    "crons": "SELECT id FROM ir_act_server WHERE name::text LIKE '%Webhooks: submit%'",
    "models": "SELECT model FROM ir_model WHERE model LIKE 'mcp.%'",
    "external ids": "SELECT name FROM ir_model_data WHERE module = 'mcp_webhook'",
    "menus": "SELECT name FROM ir_ui_menu WHERE name::text LIKE '%MCP Server%'",
    "groups": "SELECT g.id FROM res_groups g JOIN res_groups_privilege p ON p.id = g.privilege_id WHERE p.name::text LIKE '%Webhooks%'",
    "attachments and messages": "SELECT id FROM mail_message WHERE model LIKE 'mcp.%'",
    "settings' columns": "SELECT column_name FROM information_schema.columns WHERE column_name LIKE 'mcp_webhook_%'",
}


OLDER = "19.0.0.9.0"
VERSION = re.compile(r'(?<="version": ")[\d.]+')


def older_version(folder):
    """A folder with the addon as it was before the present version: a lower number, and no scripts."""
    addon = folder / ADDON
    shutil.copytree(ADDONS / ADDON, addon, ignore=shutil.ignore_patterns("__pycache__", "migrations"))
    manifest = addon / "__manifest__.py"
    manifest.write_text(VERSION.sub(OLDER, manifest.read_text()))
    return folder


class Life:
    """A database of its own with a sidecar of its own: one that an uninstallation may empty."""

    def __init__(self, site, name, addons=ADDONS):
        self.site, self.name = site, name
        self.receiver = Receiver()
        (site.folder / name).mkdir()
        self.sidecar = Sidecar(site.folder / name).start()
        self.data = site.database(name)
        site.install(name, self.data, addons=addons)
        self.serve(addons)

    def serve(self, addons=ADDONS):
        self.odoo = self.site.serve(
            self.name, self.data, addons=addons,
            MCP_WEBHOOK_SIDECAR_URL=self.sidecar.url, MCP_WEBHOOK_SIDECAR_TOKEN=self.sidecar.token,
        )
        self.session = Session(self.odoo)

    def subscribe(self):
        model = self.session.call("ir.model", "search", [("model", "=", "res.partner")])[0]
        return self.session.create(
            "mcp.event.subscription", name="Kept", model_id=model, webhook_url=self.receiver.url + "/life", event_type="create",
            webhook_secret=SECRET, webhook_headers="X-Kept: yes", enrich_fields="name",
        )

    def deliver(self, count):
        """One more change, and its row."""
        self.session.create("res.partner", name=f"Partner {count}")
        self.receiver.wait("/life", count)
        return wait_until(
            lambda: len(self.rows()) >= count and self.rows(), f"{count} rows that succeeded"
        )

    def rows(self):
        return self.session.read(
            "mcp.webhook.delivery", [("status", "=", "success")], "event_uuid", "payload", "record_ids", order="id"
        )

    def sweep(self):
        """What the cron does once a minute."""
        cron = self.session.call("ir.model.data", "check_object_reference", ADDON, "ir_cron_sweep")[1]
        self.session.call("ir.cron", "method_direct_trigger", [cron])

    def known_there(self):
        """The subscriptions that the sidecar knows."""
        return [subscription["id"] for subscription in self.sidecar.call("subscription.list")["subscriptions"]]

    def module_state(self):
        return self.site.cluster.sql(self.name, f"SELECT state FROM ir_module_module WHERE name = '{ADDON}'").strip()

    def version(self):
        return self.site.cluster.sql(self.name, f"SELECT latest_version FROM ir_module_module WHERE name = '{ADDON}'").strip()

    def uninstall(self):
        module = self.session.call("ir.module.module", "search", [("name", "=", ADDON)])
        self.session.call("ir.module.module", "button_immediate_uninstall", module)
        wait_until(lambda: self.module_state() == "uninstalled", "the uninstallation")

    def stop(self):
        self.odoo.stop()
        self.sidecar.stop()
        self.receiver.stop()


@pytest.fixture
def life(line, request):
    life = Life(line.site, request.node.name[5:25])
    yield life
    life.stop()


@pytest.fixture
def older_life(line, tmp_path):
    life = Life(line.site, "older_life", older_version(tmp_path))
    yield life
    life.stop()


def test_upgrade_keeps_data_and_delivers_on(older_life):
    life = older_life
    assert life.version() == OLDER
    subscription = life.subscribe()
    life.session.call("ir.config_parameter", "set_param", "mcp_webhook.retention_days", "90")
    rule = life.session.call("ir.model.data", "check_object_reference", ADDON, "rule_delivery_company")[1]
    life.session.write("ir.rule", rule, active=False)
    before = life.deliver(1)
    life.odoo.stop()
    # The sidecar knows a subscription as the version before told it; here, not at all.
    life.sidecar.call("subscription.delete", id=life.known_there()[0])
    printed = life.site.upgrade(life.name, life.data)
    assert f"module {ADDON}: Running migration [0.0.0>] post-migration" in printed
    assert life.version() == VERSION.search((ADDONS / ADDON / "__manifest__.py").read_text())[0] > OLDER
    life.serve()
    # Only the script of the migration tells the addon to bring it again.
    wait_until(lambda: life.sweep() or life.known_there(), "the subscription at the sidecar")
    kept = life.session.read("mcp.event.subscription", [], "name", "has_secret", "header_names", "last_delivery_status")
    assert [(s["name"], s["has_secret"], s["header_names"]) for s in kept] == [("Kept", True, "X-Kept")]
    assert kept[0]["last_delivery_status"] == "success" and kept[0]["id"] == subscription
    assert life.rows() == before
    assert life.session.call("ir.config_parameter", "get_param", "mcp_webhook.retention_days") == "90"
    assert life.session.read("ir.rule", [("id", "=", rule)], "active", context={"active_test": False})[0]["active"] is False
    life.deliver(2)
    arrival = life.receiver.on("/life")[-1]
    verify(life.site, arrival, SECRET)
    assert arrival.headers["x-kept"] == "yes"


def test_uninstallation_leaves_nothing(life):
    life.subscribe()
    life.session.call("ir.config_parameter", "set_param", "mcp_webhook.retention_days", "90")
    life.deliver(1)
    assert len(life.known_there()) == 1
    life.uninstall()
    assert {what: life.site.cluster.sql(life.name, sql) for what, sql in LEFTOVERS.items()} == dict.fromkeys(LEFTOVERS, "")
    assert life.known_there() == []
    life.session.create("res.partner", name="Nobody hears of this")
    assert len(life.receiver.on("/life")) == 1
    assert "Traceback" not in life.odoo.log.read_text()


def test_uninstallation_without_the_sidecar(life):
    life.subscribe()
    life.deliver(1)
    life.sidecar.kill()
    life.uninstall()
    assert life.site.cluster.sql(life.name, LEFTOVERS["tables"]) == ""
    assert "still has the subscriptions" in life.odoo.log.read_text()
    life.sidecar.start()
