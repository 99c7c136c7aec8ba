"""Approve or reject, and a template that asks for what is not sent."""

from playwright.sync_api import expect
from screens import (  # noqa: F401
    SUBSCRIPTIONS,
    choose,
    chromium,
    editor,
    find,
    go,
    open_subscription,
    page,
    save,
    select,
    shot,
    type_into_editor,
)


def test_request_is_an_activity_and_is_rejected_with_a_reason(line, page, people, unheard):
    made = people["employee"].json2(
        "mcp.event.subscription", "subscribe_events", model="res.partner", webhook_url=line.receiver.url + "/asked"
    )
    page.reload()
    page.click(".o-mail-ActivityMenu, .o_menu_systray i[aria-label=Activities]")
    expect(page.locator(".o-mail-ActivityMenu, .o-dropdown--menu").last).to_contain_text("Event Subscription")
    shot(page, "approval_activity")
    open_subscription(page, line, made["id"])
    expect(page.locator(".o_statusbar_status .o_arrow_button_current")).to_have_text("Waits for Approval")
    page.click("button[name=action_reject]")
    page.fill(".modal div[name=reason] textarea", "Use the channel of your team")
    shot(page, "approval_reject")
    page.click(".modal button[name=action_reject]")
    expect(page.locator(".o_statusbar_status .o_arrow_button_current")).to_have_text("Rejected")
    expect(page.locator(".alert-danger div[name=health_reason]").first).to_contain_text("Use the channel of your team")
    shot(page, "approval_rejected")
    go(page, line, SUBSCRIPTIONS, ".o_list_view")
    find(page, "Waits for Approval")
    expect(page.locator(".o_data_row")).to_have_count(0)


def test_template_asks_for_what_is_sent_or_says_so(line, page):
    line.session.create("res.partner", name="Sample for a template")
    go(page, line, f"{SUBSCRIPTIONS}/new")
    choose(page, "model_id", "Contact")
    page.fill("div[name=webhook_url] input", line.receiver.url + "/names")
    page.fill("div[name=enrich_fields] textarea", "email")
    select(page, "template_choice", "Slack")
    expect(page.locator("div[name=enrich_fields] textarea")).to_have_value("email\ndisplay_name")
    expect(page.locator("div[name=template_warning]")).to_be_hidden()
    own = '{"text": "Hello {{ record.nam }}"}'
    type_into_editor(page, "payload_template", own)
    page.locator("div[name=enrich_fields] textarea").click()
    expect(page.locator("div[name=template_warning]")).to_contain_text("asks for nam")
    select(page, "template_choice", "Generic")
    expect(page.locator(".modal, .o_notification").last).to_contain_text("It would be replaced")
    shot(page, "template_is_your_own")
    page.locator(".modal .btn-primary, .o_notification_close").last.click()
    assert editor(page, "payload_template") == own
    save(page)
    expect(page.locator("div[name=template_warning]")).to_contain_text("asks for nam")
    subscription = line.session.call("mcp.event.subscription", "search", [], order="id desc", limit=1)
    line.session.write("mcp.event.subscription", subscription, domain="[('name', '=', 'nobody has this name')]")
    page.reload()
    expect(page.locator("div[name=preview_note]")).to_contain_text("does not match the filter")
    page.locator("div[name=preview_note]").scroll_into_view_if_needed()
    shot(page, "template_names")
