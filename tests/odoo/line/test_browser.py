"""What an administrator does in the browser: make a subscription, see the badge turn, open the failure."""

import os
import shutil
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

SHOTS = Path(os.environ.get("LINE_SHOTS", Path(__file__).resolve().parent.parent / "shots"))
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-component-update"]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(line, browser):
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(60_000)
    page.goto(f"{line.odoo.url}/web/login")
    page.fill("input[name=login]", "admin")
    page.fill("input[name=password]", "admin")
    page.click("button[type=submit]")
    page.wait_for_selector(".o_main_navbar")
    yield page
    page.close()


def shot(page, name):
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def test_subscription_made_on_the_form_turns_green_in_the_list_by_itself(line, page):
    page.goto(f"{line.odoo.url}/odoo/event-subscriptions/new")
    page.fill("div[name=name] input", "Partners to the line")
    page.fill("div[name=model_id] input", "Contact")
    page.locator(".o-autocomplete--dropdown-item", has_text="Contact").first.click()
    page.fill("div[name=webhook_url] input", line.receiver.url + "/browser")
    page.click(".o_form_button_save")
    expect(page.locator(".o_form_saved")).to_be_visible()
    shot(page, "subscription_form")
    page.goto(f"{line.odoo.url}/odoo/event-subscriptions")
    row = page.locator("tr.o_data_row", has_text="Partners to the line")
    expect(row).to_be_visible()
    expect(row.locator(".text-bg-success")).to_have_count(0)
    line.session.create("res.partner", name="Seen in the browser")
    line.receiver.wait("/browser")
    answered = time.monotonic()
    expect(row.locator(".text-bg-success")).to_be_visible(timeout=10_000)
    seconds = time.monotonic() - answered
    print(f"from the endpoint's answer to the badge on the open list: {seconds:.2f} s")
    shot(page, "subscriptions_list")
    assert seconds < 2.5


def test_failed_delivery_says_what_to_do_and_redelivers(line, page):
    subscription, path = line.subscribe("res.partner", "create", name="To a wrong address")
    line.receiver.answers[path] = 404
    line.session.create("res.partner", name="Lost")
    failed = line.wait_rows(subscription, "failed")[0]
    page.goto(f"{line.odoo.url}/odoo/webhook-deliveries/{failed['id']}")
    expect(page.locator(".o_form_view")).to_contain_text("404")
    shot(page, "failed_delivery")
    line.receiver.answers[path] = 200
    page.click("button[name=action_redeliver]")
    line.wait_rows(subscription, "success")
    page.goto(f"{line.odoo.url}/odoo/webhook-deliveries")
    expect(page.locator(".o_data_row .text-bg-success").first).to_be_visible()
    shot(page, "deliveries_list")
