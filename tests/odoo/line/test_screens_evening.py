"""An administrator's evening: eleven broken endpoints, repaired one by one on the screens, with every click counted.

The report is tests/odoo/EVENING.md; EVENING_WRITE=1 writes it anew. Otherwise it must say what was done here.
"""

import os
import threading
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
from playwright.sync_api import expect
from realodoo.cache import wait_until
from realodoo.postgres import free_port
from screens import SUBSCRIPTIONS, chromium, find, go, page, shot, type_into_editor  # noqa: F401

REPORT = Path(__file__).resolve().parent.parent / "EVENING.md"
EVENTS = 2
COUNT = "addEventListener('pointerdown', () => sessionStorage.clicks = Number(sessionStorage.clicks || 0) + 1, true)"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SHAPED = '{"content": "{{ record.name }}"}'


def put(page, field, text):
    """Types into a field as a person does, who clicks into it first."""
    box = page.locator(f"div[name={field}] input, div[name={field}] textarea").first
    box.click()
    box.fill(text)


class Broken:
    """One endpoint of the evening: how it is broken, and what mends it.

    :ivar values: of the subscription
    :ivar answer: what its path answers, see `Receiver.answers`
    """

    name, told, repair = "", "", ""
    values: ClassVar[dict] = {}
    answer = 200

    def __init__(self, line):
        self.line = line
        self.right = f"/evening/{type(self).__name__.lower()}"
        self.url = line.receiver.url + self.right
        self.break_()

    def break_(self):
        """Makes it so."""
        self.line.receiver.answers[self.right] = self.answer

    def mend(self, page):
        """What the administrator does on the form."""

    def mend_receiver(self):
        """What the receiver's owner does, whom he has called."""
        self.line.receiver.answers[self.right] = 200


class Moved(Broken):
    """The URL is wrong; the right one is put into the form."""

    repair = "the right URL"

    def mend(self, page):
        put(page, "webhook_url", self.line.receiver.url + self.right)


class Wrong(Moved):
    name, told = "404: a wrong path", "nothing at this address"

    def break_(self):
        self.url = self.line.receiver.url + "/wrong"
        self.line.receiver.answers["/wrong"] = 404


class Redirected(Moved):
    name, told = "302 to a page to log in", "points to another address"

    def break_(self):
        self.url = self.line.receiver.url + "/redirected-from"
        self.line.receiver.answers["/redirected-from"] = 302


class Closed(Moved):
    name, told, repair = "a closed port", "Nothing answers at this host", "the right URL and, for it is another port, the secret"

    def break_(self):
        self.url = f"http://127.0.0.1:{free_port()}/closed"

    def mend(self, page):
        super().mend(page)
        put(page, "webhook_secret", SECRET)


class Named(Closed):
    name, told, repair = "a typing error in the host", "name of the host is not known", "the right URL and, for it is another host, the secret"

    def break_(self):
        self.url = "http://receiver.invalid/named"


class Plain(Moved):
    name, told = "https to a port without TLS", "the port does not speak TLS"

    def break_(self):
        self.url = f"https://127.0.0.1:{self.line.receiver.port}{self.right}"


class Login(Moved):
    name, told = "200 with a page to log in", "not what the subscription takes for a success"
    values: ClassVar[dict] = {"success_not_html": True}

    def break_(self):
        self.url = self.line.receiver.url + "/login-page"
        self.line.receiver.answers["/login-page"] = lambda _arrival: (200, b"<!doctype html><html><body>Log in</body></html>")


class Token(Broken):
    name, told, repair = "401: an old token", "rejected our credentials", "the token in the headers"
    values: ClassVar[dict] = {"webhook_headers": "Authorization: Bearer old"}

    @staticmethod
    def answer(arrival):
        headers = {name.lower(): value for name, value in arrival.headers.items()}
        return (200, b"") if headers.get("authorization") == "Bearer new" else (401, b"token expired")

    def mend(self, page):
        put(page, "webhook_headers", "Authorization: Bearer new")

    def mend_receiver(self):
        pass


class Shape(Broken):
    name, told, repair = "400: another shape", "does not accept the shape", "the template"
    values: ClassVar[dict] = {"payload_template": '{"text": "{{ record.name }}"}', "enrich_fields": "name"}

    @staticmethod
    def answer(arrival):
        return (200, b"") if "content" in arrival.json else (400, b'{"error": "content is missing"}')

    def mend(self, page):
        type_into_editor(page, "payload_template", SHAPED)

    def mend_receiver(self):
        pass


class Slow(Broken):
    name, told, repair = "no answer in time", "did not answer in time", "the timeout, and its owner answers sooner"
    values: ClassVar[dict] = {"timeout_s": 1}

    def break_(self):
        self.hanging = threading.Event()
        self.line.receiver.answers[self.right] = self.hanging

    def mend(self, page):
        put(page, "timeout_s", "20")

    def mend_receiver(self):
        self.hanging.set()
        super().mend_receiver()


class Trouble(Broken):
    name, told, repair = "500: trouble of its own", "trouble of its own", "nothing here: its owner was called"
    answer = 500


class Busy(Broken):
    name, told, repair = "429, and more attempts wait", "press Retry Now", "nothing here: its owner was called"
    answer = 429
    values: ClassVar[dict] = {"max_attempts": 9}


EVENING = (Wrong, Token, Shape, Redirected, Closed, Named, Plain, Login, Slow, Trouble, Busy)


@pytest.fixture
def counted(page):
    """The administrator's page, on which each press of the mouse is counted."""
    page.add_init_script(COUNT)
    return page


def clicks(page):
    """How many there were since this was asked last."""
    return page.evaluate("() => { const n = Number(sessionStorage.clicks || 0); sessionStorage.clicks = 0; return n }")


def delivered(line, subscription):
    """The ids of the events that its endpoint has taken."""
    return [row["event_uuid"] for row in line.rows(subscription, ("status", "=", "success"))]


def repair(page, line, broken, subscription):
    """From the list to a healthy endpoint with nothing lost, and back."""
    row = page.locator(".o_data_row", has_text=broken.name)
    row.locator("td[name=name]").click()
    advice = page.locator("div[name=last_advice]")
    expect(advice).to_contain_text(broken.told)
    shot(page, f"evening_{type(broken).__name__.lower()}")
    broken.mend_receiver()
    broken.mend(page)
    if broken.repair.startswith("the "):
        page.click(".o_form_button_save")
        expect(page.locator(".o_form_saved")).to_be_visible()
    if "max_attempts" in broken.values:
        page.click(".alert-danger button[name=action_retry_waiting]")
    else:
        page.click("button[name=action_redeliver_failures]")
        expect(page.locator(".modal div[name=count]")).to_have_text(str(EVENTS))
        page.click(".modal button[name=action_redeliver]")
    wait_until(lambda: len(delivered(line, subscription)) == EVENTS, f"all of {broken.name}", 60)
    expect(page.locator("div[name=health] .text-bg-success").first).to_be_visible()
    page.click(".o_breadcrumb .o_back_button, .breadcrumb-item a")
    expect(page.locator(".o_list_view")).to_be_visible()
    expect(page.locator(".o_data_row", has_text=broken.name)).to_have_count(0)


def test_eleven_broken_endpoints_are_repaired_one_by_one(line, counted):
    page, evening = counted, {}
    for kind in EVENING:
        broken = kind(line)
        values: ClassVar[dict] = {"name": broken.name, "url": broken.url, **broken.values}
        evening[broken], _ = line.subscribe("res.partner", "create", **values)
    for number in range(EVENTS):
        line.session.create("res.partner", name=f"Evening {number}")
    for broken, subscription in evening.items():
        domain = [("id", "=", subscription), ("health", "in", ("failing", "outage"))]
        wait_until(partial(line.session.read, "mcp.event.subscription", domain, "name"), f"{broken.name} to fail", 60)
    go(page, line, SUBSCRIPTIONS, ".o_list_view")
    find(page, "Failing")
    expect(page.locator(".o_data_row")).to_have_count(len(EVENING))
    shot(page, "evening_list")
    table = [("to the list of what fails", "", "", clicks(page))]
    for broken, subscription in evening.items():
        repair(page, line, broken, subscription)
        table.append((broken.name, f"… {broken.told} …", broken.repair, clicks(page)))
    expect(page.locator(".o_view_nocontent")).to_be_visible()
    shot(page, "evening_over")
    for broken, subscription in evening.items():
        events = delivered(line, subscription)
        assert len(events) == len(set(events)) == EVENTS, f"{broken.name}: once each, and no more"
    report(table)


def report(table):
    """What was done, as the committed report has it."""
    lines = [
        "# The evening",
        "",
        "Eleven broken endpoints with two lost events each, repaired on the screens in Chromium, one by one, from the filter",
        "*Failing* to a healthy endpoint that has both events once, and back to the list. Typing into a field counts as the click",
        "into it. `tests/odoo/line/test_screens_evening.py` does it, and compares this page with what it did.",
        "",
        "| what is broken | what the form advises | what was put right | clicks |",
        "|---|---|---|---|",
        *(f"| {name} | {told} | {repaired} | {count} |" for name, told, repaired, count in table),
        f"| **together** | | | **{sum(row[-1] for row in table)}** |",
    ]
    text = "\n".join(lines) + "\n"
    if os.environ.get("EVENING_WRITE"):
        REPORT.write_text(text)
    assert REPORT.read_text() == text
