"""What the browser tests share: a page of somebody who logged in, pictures of screens, and the usual clicks."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

SHOTS = Path(os.environ.get("LINE_SHOTS", Path(__file__).resolve().parent.parent / "shots"))
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run", "--disable-component-update"]
# How long a screen may take on a busy machine; the tests that measure have limits of their own.
expect.set_options(timeout=20_000)
SUBSCRIPTIONS, DELIVERIES = "event-subscriptions", "webhook-deliveries"


@pytest.fixture(scope="module")
def chromium():
    """One browser for the tests of a file."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def visit(chromium, server, login="admin", password="admin"):
    """A page of a user. An error in the page's console fails the test."""
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(30_000)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{server.url}/web/login")
    page.fill("input[name=login]", login)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_selector(".o_main_navbar")
    yield page
    page.close()
    assert errors == []


@pytest.fixture
def page(line, chromium):
    """The administrator's page."""
    with visit(chromium, line.odoo) as page:
        yield page


def shot(page, name):
    """A picture of the screen, for a person to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", animations="disabled")


def go(page, line, path, view=".o_form_view"):
    """Opens an address of Odoo and waits for its view."""
    page.goto(f"{line.odoo.url}/odoo/{path}")
    page.wait_for_selector(view)


def open_subscription(page, line, subscription):
    """Its form."""
    go(page, line, f"{SUBSCRIPTIONS}/{subscription}")
    expect(page.locator("div[name=model_id] input")).not_to_have_value("")


def choose(page, field, text):
    """Picks a value of a many2one."""
    page.fill(f"div[name={field}] input", text)
    page.locator(".o-autocomplete--dropdown-item", has_text=text).first.click()


def select(page, field, text):
    """Picks a value of a selection."""
    page.click(f"div[name={field}] input")
    page.locator(".o_select_menu_item", has_text=text).first.click()


def save(page):
    """Saves the form. Its look may say "saved" for a moment before it is."""
    with page.expect_response(lambda answer: answer.url.endswith("/web_save")):
        page.click(".o_form_button_save")
    expect(page.locator(".o_form_saved")).to_be_visible()


def notification(page, text):
    """Waits for a message of Odoo's."""
    expect(page.locator(".o_notification", has_text=text).first).to_be_visible()


def act(page, name):
    """An entry of the form's or list's own menu."""
    page.click(".o_cp_action_menus button.dropdown-toggle, .o_control_panel .o_cp_action_menus .fa-cog")
    page.locator(".o-dropdown--menu .o-dropdown-item, .o-dropdown--menu .o_menu_item", has_text=name).first.click()


def find(page, *names):
    """Switches filters and groupings of the search on."""
    page.click(".o_searchview_dropdown_toggler")
    for name in names:
        page.locator(".o_search_bar_menu .o_menu_item").get_by_text(name, exact=True).first.click()
    page.click(".o_searchview_dropdown_toggler")


def editor(page, field):
    """The text in a code editor."""
    return page.locator(f"div[name={field}] .ace_editor").evaluate("element => ace.edit(element).getValue()")


def type_into_editor(page, field, text):
    """Replaces the text in a code editor as a person does."""
    page.locator(f"div[name={field}] .ace_editor").click()
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.keyboard.insert_text(text)
