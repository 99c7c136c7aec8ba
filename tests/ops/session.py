#!/usr/bin/env python3
"""The first session of a new user: from an empty Debian tree to a first delivery that stands in Odoo, timed.

Debian 13 is bootstrapped and booted; PostgreSQL, Odoo 19 (Debian's package), the sidecar's package and the addon's archive
are installed in it as the guides say; in a browser the addon is installed from the Apps list, connected, and a subscription
made; a contact is created, and its event arrives at `mcp-webhookd listen`; a change while nobody listens fails, and is
delivered again. Nothing is kept from an earlier run.

Needs root, debootstrap, systemd-nspawn, and what `just dist` makes. Writes SESSION.md beside this file and the pictures of
docs/images.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

from daemon import PROJECT, wait_until
from machine import INCLUDE, Machine, debootstrap, need, run
from terminal import STYLE, draw, on_a_terminal
from test_docs import DOCS, blocks

sys.path.insert(0, str(PROJECT / "tests/odoo"))
from realodoo import fetch

RELEASE = "trixie"
DIST, IMAGES = PROJECT / "target/dist", DOCS / "images"
ODOO = "http://127.0.0.1:8069"
SECRET = "0123456789abcdef"
FIRST_OF_OURS = "The addon's archive, checked, and put on the addons path"
MIRRORED = "Its row in Odoo says so"
# What an operator may write by mistake.
MISTAKES = """\
[server]
listen = "0.0.0.0:8170"

[network]
allow_networks = ["127.0.0.1/8"]
allow_htpp = true

[retention]
days = "30"
"""
APT = "apt-get install -y -q --no-install-recommends"
PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


class Transcript:
    """What was done, what it printed, and how long it took."""

    def __init__(self):
        self.began = self.last = time.monotonic()
        self.steps, self.text = [], []

    def step(self, title, body=""):
        """One step is done; it began where the last one ended."""
        now = time.monotonic()
        self.steps.append((title, now - self.last))
        self.text.append(f"\n## {title}\n\n{body}".rstrip() + "\n")
        print(f"{now - self.last:6.1f} s  {title}", flush=True)
        self.last = now

    def own(self):
        """Seconds of what one does who has an Odoo, up to the row in it."""
        titles = [title for title, _ in self.steps]
        first, last = titles.index(FIRST_OF_OURS), titles.index(MIRRORED)
        return sum(seconds for _, seconds in self.steps[first : last + 1])

    def write(self, versions):
        """As a page."""
        rows = "\n".join(f"| {index} | {title} | {seconds:.1f} |" for index, (title, seconds) in enumerate(self.steps, 1))
        head = (
            "# A first session\n\n"
            "From an empty Debian tree to a first delivery that stands in Odoo. Made by `just session`, which did all of it, on"
            f" {datetime.now(timezone.utc):%Y-%m-%d}, on {os.cpu_count()} cores, in a machine of systemd-nspawn that has no"
            " network but its own loopback. Whoever has an Odoo already begins with the addon's archive; from there to the"
            f" row in Odoo it took {self.own():.0f} s, without a person's reading and typing.\n\n{versions}\n\n"
            f"| | step | seconds |\n|---|---|---|\n{rows}\n| | in all | {self.last - self.began:.1f} |\n"
        )
        (Path(__file__).parent / "SESSION.md").write_text(head + "".join(self.text))


def block(*commands):
    """Commands as the page shows them."""
    text = "\n".join(f"# {command}" for command in commands)
    return f"```text\n{text}\n```\n"


class Shell:
    """Types commands in the machine and keeps what was seen."""

    def __init__(self, machine):
        self.machine = machine
        self.seen = []

    def type(self, script, lines=8):
        """Runs a script as root; of what it prints the last lines are kept."""
        printed = self.machine("env", "DEBIAN_FRONTEND=noninteractive", "sh", "-euc", f"exec 2>&1; cd /root\n{script}")
        shown = printed.rstrip().splitlines()
        left_out = ["…"] if len(shown) > lines else []
        self.seen += [f"# {line}" for line in script.strip().splitlines()] + left_out + shown[-lines:]
        return printed

    def on_terminal(self, typed, name=None):
        """The same on a terminal, with a picture of it if that has a name."""
        printed = on_a_terminal(self.machine.inside("sh", "-c", f"cd /root; {typed}"), PATH)
        if name:
            (IMAGES / f"{name}.svg").write_text(draw(typed, printed).replace(">$ ", "># ", 1))
        self.seen += [f"# {typed}", *STYLE.sub("", printed).rstrip().splitlines()]
        return printed

    def block(self):
        """What was seen since the last block."""
        text = "\n".join(line.rstrip() for line in self.seen)
        self.seen = []
        return f"```text\n{text}\n```\n"


class Browser:
    """Chromium on the machine's own loopback. A context manager that answers a page."""

    def __init__(self, machine):
        self.machine = machine

    def __enter__(self):
        from playwright.sync_api import sync_playwright

        self.folder = tempfile.TemporaryDirectory()
        inside = Path(self.folder.name) / "chromium"
        chromium = shlex.join(["nsenter", f"--net=/proc/{self.machine.first}/ns/net", shutil.which("chromium")])
        inside.write_text(f'#!/bin/sh\nexec {chromium} "$@"\n')
        inside.chmod(0o755)
        self.playwright = sync_playwright().start()
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        self.browser = self.playwright.chromium.launch(executable_path=inside, args=arguments)
        page = self.browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(60_000)
        return page

    def __exit__(self, *_exc):
        self.browser.close()
        self.playwright.stop()
        self.folder.cleanup()


def shot(page, name):
    """A picture for the guide, and the line that shows it."""
    page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")
    return f"![{name}](../../docs/images/{name}.png)\n"


def prepare(folder, transcript):
    """The empty tree, and the downloads: the booted machine has no network but its own loopback."""
    debootstrap(RELEASE, folder)
    typed = f"debootstrap --variant=minbase --include={INCLUDE} {RELEASE} TREE"
    transcript.step(f"An empty tree: debootstrap of Debian {RELEASE}", block(typed))
    with tempfile.TemporaryDirectory() as scratch:
        fetch.download(Path(scratch), ["odoo-19"])
        (package,) = Path(scratch).glob("odoo-19_*.deb")
        shutil.copy(package, folder / "root/odoo-19.deb")
    for result in DIST.iterdir():
        shutil.copy(result, folder / "root")
    fetched = f"{APT} --download-only postgresql /root/odoo-19.deb"
    run("chroot", folder, "sh", "-c", fetched, env=PATH)
    transcript.step(
        "Downloaded: Odoo 19 (the package of Debian's unstable suite), PostgreSQL, what they depend on",
        block("apt-get download odoo-19", f"chroot TREE {fetched}"),
    )


def install(machine, shell, transcript):
    """PostgreSQL, Odoo, the addon's archive and the sidecar's package."""
    shell.type(f"{APT} postgresql ./odoo-19.deb", lines=3)
    transcript.step("PostgreSQL and Odoo 19 from Debian's packages", shell.block())
    shell.type(
        "runuser -u odoo -- odoo -c /etc/odoo/odoo.conf -d shop -i contacts --stop-after-init --no-http --logfile=/dev/null"
    )
    transcript.step("A database with contacts", shell.block())
    shell.type("sha256sum --check SHA256SUMS")
    shell.type("mkdir -p /opt/odoo-addons\ntar -xzf mcp_webhook-*.tar.gz -C /opt/odoo-addons")
    shell.type(
        "sed -i 's|^;addons_path = .*|&,/opt/odoo-addons|; s|^;addons_path|addons_path|' /etc/odoo/odoo.conf\n"
        "systemctl restart odoo"
    )
    health = machine.inside("curl", "-fsS", f"{ODOO}/web/health")
    wait_until(lambda: subprocess.run(health, capture_output=True, check=False).returncode == 0, "Odoo", 60)
    transcript.step(FIRST_OF_OURS, shell.block())
    guide = blocks(DOCS / "operator.md", "sh machine")
    shell.type(guide[0], lines=14)
    token = shell.type(guide[1]).strip()
    shell.seen[-1] = "(43 characters)"
    transcript.step("The sidecar's package: installed, started by systemd, healthy", shell.block())
    (machine.root / "root/try.toml").write_text(MISTAKES)
    shell.on_terminal("mcp-webhookd --config try.toml check-config", "check-config")
    shell.type(
        "sed -i 's|^#allow_http = false|allow_http = true|; s|^#allow_networks = .*|allow_networks = [\"127.0.0.0/8\"]|'"
        " /etc/mcp-webhookd/config.toml\n"
        "mcp-webhookctl check-config\nsystemctl reload mcp-webhookd"
    )
    transcript.step("Mistakes are named; endpoints on loopback allowed, for the receiver of this session", shell.block())
    return token


def connect(page, token, transcript):
    """The addon from the Apps list, and the sidecar's token in the settings."""
    page.goto(f"{ODOO}/web/login")
    page.fill("input[name=login]", "admin")
    page.fill("input[name=password]", "admin")
    page.click("button[type=submit]")
    page.wait_for_selector(".o_main_navbar")
    page.goto(f"{ODOO}/odoo/apps?debug=1")
    page.get_by_role("menuitem", name="Update Apps List").click()
    page.get_by_role("button", name="Update", exact=True).click()
    page.locator(".modal").wait_for(state="detached")
    page.goto(f"{ODOO}/odoo/apps?debug=0")
    page.fill(".o_searchview_input", "MCP Webhook")
    page.keyboard.press("Enter")
    card = page.locator(".o_kanban_record", has_text="MCP Webhook").first
    card.wait_for()
    seen = shot(page, "apps")
    card.get_by_role("button", name="Activate").click()
    # Odoo loads itself anew once the addon is there.
    page.wait_for_url(lambda url: "/apps" not in url)
    page.goto(f"{ODOO}/odoo/settings")
    page.click(".settings_tab .tab[data-key=mcp_webhook]")
    transcript.step("In the browser: the addon installed from the Apps list", seen)
    page.fill("div[name=mcp_webhook_sidecar_token] input", token)
    page.keyboard.press("Tab")
    with page.expect_event("load"):  # Odoo loads itself anew with new settings
        page.click("button.o_form_button_save")
    page.goto(f"{ODOO}/odoo/settings")
    page.click(".settings_tab .tab[data-key=mcp_webhook]")
    page.click("button[name=action_mcp_webhook_test_connection]")
    page.locator(".o_notification").first.wait_for()
    transcript.step("The token entered in the settings, and the connection tested", shot(page, "settings"))


def subscribe(page, transcript):
    """A subscription to new contacts."""
    page.goto(f"{ODOO}/odoo/event-subscriptions/new")
    page.fill("div[name=model_id] input", "Contact")
    page.locator(".o-autocomplete--dropdown-item", has_text="Contact").first.click()
    page.fill("div[name=webhook_url] input", "http://127.0.0.1:9000/contacts")
    page.fill("div[name=webhook_secret] input", SECRET)
    page.click(".o_form_button_save")
    page.locator(".o_form_saved").wait_for()
    transcript.step("A subscription to contacts, with a secret", shot(page, "subscription"))


class Receiver:
    """`mcp-webhookd listen` on a terminal, for one request. A context manager; it ends with the signature seen valid."""

    def __init__(self, machine, shell, name=None):
        self.machine, self.printed = machine, []
        listen = f"mcp-webhookd listen --port 9000 --count 1 --secret {SECRET}"
        self.thread = threading.Thread(target=lambda: self.printed.append(shell.on_terminal(listen, name)))

    def __enter__(self):
        self.thread.start()
        probe = self.machine.inside("sh", "-c", "grep -q ' 0100007F:2328 ' /proc/net/tcp")
        wait_until(lambda: subprocess.run(probe, check=False).returncode == 0, "the receiver")

    def __exit__(self, *_exc):
        self.thread.join(60)
        assert self.printed and "signature: valid" in STYLE.sub("", self.printed[0]), self.printed


def contact(page, name):
    """Writes a contact's name: of a new one, or of the one that is open."""
    page.locator("div[name=name] input, div[name=name] textarea").first.fill(name)
    page.click(".o_form_button_save")
    page.locator(".o_form_saved").wait_for()


def newest_row(page, status):
    """Waits until Odoo's list of deliveries begins with a row in that state."""
    page.goto(f"{ODOO}/odoo/webhook-deliveries")
    row = page.locator(".o_data_row").first
    wait_until(lambda: status in row.inner_text(), "the row in Odoo", 60)
    return row


def deliver(machine, page, shell, transcript):
    """A contact is created in the browser; its event arrives at the receiver, and its row in Odoo. Answers its URL."""
    with Receiver(machine, shell, "listen"):
        page.goto(f"{ODOO}/odoo/contacts/new")
        contact(page, "Ada Lovelace")
    page.wait_for_url(re.compile(r"/contacts/\d+$"))
    place = page.url
    transcript.step("A contact is created; its event arrives, signed", shell.block())
    newest_row(page, "Success")
    transcript.step(MIRRORED, shot(page, "delivered"))
    return place


def fail_and_redeliver(machine, page, shell, transcript, place):
    """The receiver is away when the contact at that URL changes; once it is back, the operator sends the event again."""
    page.goto(place)
    contact(page, "Ada King")
    newest_row(page, "Failed").click()
    page.locator(".o_form_view").wait_for()
    failed = shot(page, "failed")
    listed = shell.on_terminal("mcp-webhookctl deliveries list", "deliveries")
    doctor = machine.inside("sh", "-c", "mcp-webhookctl doctor --url http://127.0.0.1:9000/contacts")
    assert subprocess.run(doctor, capture_output=True, check=False).returncode == 5, "nobody listens"
    shell.on_terminal("mcp-webhookctl doctor --url http://127.0.0.1:9000/contacts", "doctor")
    transcript.step("A change while nobody listens fails, and says why", failed + "\n" + shell.block())
    event = STYLE.sub("", listed).splitlines()[1].split()[0]
    with Receiver(machine, shell):
        shell.type(f"mcp-webhookctl deliveries redeliver {event}")
    newest_row(page, "Success")
    shell.on_terminal(f"mcp-webhookctl deliveries show {event}", "show")
    shell.on_terminal("mcp-webhookctl status", "status")
    transcript.step("Once somebody listens it is delivered again, under the same id", shell.block())


def main():
    """The whole session; exit code 1 with the reason when something is not as promised."""
    _, python, _ = fetch.everything()
    if Path(sys.prefix).resolve() != Path(python).parent.parent.resolve():
        os.execv(python, [str(python), *sys.argv])  # the browser's driver is in the tests' own environment
    need("debootstrap", "systemd-nspawn", "chromium")
    if not DIST.exists():
        sys.exit("session: there is no package; run: just dist")
    IMAGES.mkdir(exist_ok=True)
    transcript = Transcript()
    with Machine(lambda folder: prepare(folder, transcript)) as machine:
        transcript.step("Booted, with systemd", block("systemd-nspawn --directory TREE --boot --private-network"))
        shell = Shell(machine)
        token = install(machine, shell, transcript)
        with Browser(machine) as page:
            connect(page, token, transcript)
            subscribe(page, transcript)
            place = deliver(machine, page, shell, transcript)
            fail_and_redeliver(machine, page, shell, transcript, place)
        names = "mcp-webhookd postgresql odoo-19 systemd"
        versions = machine("dpkg-query", "-W", "-f", "${Package} ${Version}, ", *names.split()).rstrip(", ")
    transcript.write(f"Debian {RELEASE}: {versions}.")


if __name__ == "__main__":
    main()
