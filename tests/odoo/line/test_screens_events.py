"""One event, its attempts: what is shown of them, and what is sent once more."""

from playwright.sync_api import expect
from screens import DELIVERIES, chromium, find, go, notification, page, shot  # noqa: F401


def fail_thrice(line, name):
    """One event with two attempts that failed, and its subscription."""
    subscription, path = line.subscribe("res.partner", "create", name=name)
    line.receiver.answers[path] = lambda _arrival: (400, b'{"error": "no such list"}')
    line.session.create("res.partner", name="Azure Interior")
    row = line.wait_rows(subscription, "failed")[0]
    for count in (2, 3):
        line.session.call("mcp.webhook.delivery", "action_redeliver", [row["id"]])
        line.wait_rows(subscription, "failed", count)
    return subscription, path


def test_event_is_one_row_and_its_form_tells_every_attempt(line, page):
    subscription, path = fail_thrice(line, "Three tries")
    go(page, line, DELIVERIES, ".o_list_view")
    ours = page.locator(".o_data_row", has_text="Three tries")
    expect(ours).to_have_count(1)
    expect(ours).to_contain_text("3 of 3")
    expect(ours).to_contain_text("Azure Interior")
    page.fill(".o_searchview_input", "azure")
    page.locator(".o_searchview_autocomplete .o-dropdown-item, .o_searchview_autocomplete li", has_text="Record").first.click()
    expect(ours).to_have_count(1)
    find(page, "Still Undelivered")
    expect(ours).to_have_count(1)
    shot(page, "events_list")
    ours.locator("td[name=subscription_name]").click()
    expect(page.locator(".alert-danger div[name=answer]")).to_have_text('{"error": "no such list"}')
    attempts = page.locator("div[name=attempt_ids] .o_data_row")
    expect(attempts).to_have_count(3)
    shot(page, "event_attempts")
    attempts.last.locator("button[name=action_open]").click()
    expect(page.locator("div[name=attempt_of]")).to_have_text("1 of 3")
    line.receiver.answers[path] = 200
    line.session.call("mcp.webhook.delivery", "action_redeliver", [line.rows(subscription)[-1]["id"]])
    line.wait_rows(subscription, "success")
    expect(page.locator(".oe_title div[name=event_state]")).to_have_text("Delivered")
    expect(page.locator("button[name=action_redeliver]:visible")).to_have_count(0)
    shot(page, "event_delivered_since")


def test_selection_is_asked_about_first_and_skips_what_was_delivered(line, page):
    subscription, path = line.subscribe("res.partner", "create", name="Selected events")
    line.receiver.answers[path] = 500
    for number in range(3):
        line.session.create("res.partner", name=f"Customer {number}")
    first = line.wait_rows(subscription, "failed", 3)[0]
    line.receiver.answers[path] = 200
    line.session.call("mcp.webhook.delivery", "action_redeliver", [first["id"]])
    line.wait_rows(subscription, "success")
    go(page, line, DELIVERIES, ".o_list_view")
    find(page, "One Row per Event", "Failed")
    ours = page.locator(".o_data_row", has_text="Selected events")
    expect(ours).to_have_count(3)
    page.fill(".o_searchview_input", "Selected events")
    # until it offers something, Enter is for nothing
    page.locator(".o_searchview_autocomplete .o-dropdown-item, .o_searchview_autocomplete li").first.wait_for()
    page.keyboard.press("Enter")
    expect(page.locator(".o_data_row")).to_have_count(3)
    page.locator("thead .o_list_record_selector input").click()
    expect(page.locator(".o_selection_box")).to_contain_text("3")
    page.click("button[name=action_ask_redeliver]")
    shot(page, "deliveries_redeliver_asks")
    expect(page.locator(".modal div[name=count]")).to_have_text("2")
    expect(page.locator(".modal div[name=delivered]")).to_have_text("1")
    page.click(".modal button[name=action_redeliver]")
    notification(page, "2 sent again. 1 skipped")
    line.wait_rows(subscription, "success", 3)
    assert len(line.receiver.on(path)) == 6
