"""How endpoints do, at a glance: the statistics, and the systray."""

from playwright.sync_api import expect
from screens import chromium, go, page, shot  # noqa: F401


def test_statistics_and_systray_tell_which_endpoint_is_in_trouble(line, page):
    good, _ = line.subscribe("res.partner", "create", name="Answers")
    bad, path = line.subscribe("res.partner", "create", name="Refuses")
    line.receiver.answers[path] = 404
    line.session.create("res.partner", name="Counted")
    line.wait_rows(good, "success")
    line.wait_rows(bad, "failed")
    go(page, line, "webhook-statistics", ".o_pivot")
    for text in (line.receiver.url.split("//")[1], "Success Rate (%)", "Failed Attempts", "Latency p95 (ms)"):
        expect(page.locator("div.o_pivot")).to_contain_text(text)
    shot(page, "statistics")
    page.click(".o_switch_view.o_graph")
    expect(page.locator(".o_graph_canvas_container canvas")).to_be_visible()
    shot(page, "statistics_graph")
    page.click(".o_menu_systray i[aria-label=Messages]")
    failure = page.locator(".o-mail-NotificationItem", has_text="Webhook Failure: Refuses")
    expect(failure).to_contain_text("the endpoint answered 404")
    shot(page, "systray")
    line.receiver.answers[path] = 200
    line.session.create("res.partner", name="Answers again")
    expect(failure).to_have_count(0)


def test_phone_shows_cards(line, page):
    subscription, path = line.subscribe("res.partner", "create", name="On a phone")
    line.receiver.answers[path] = 404
    line.session.create("res.partner", name="Seen on a phone")
    line.wait_rows(subscription, "failed")
    page.set_viewport_size({"width": 390, "height": 844})
    for address, text in (("event-subscriptions", "Failing"), ("webhook-deliveries", "Seen on a phone")):
        go(page, line, address, ".o_kanban_view")
        card = page.locator(".o_kanban_record", has_text="On a phone").first
        expect(card).to_contain_text(text)
        expect(card.locator(".text-bg-danger")).to_be_in_viewport()
        shot(page, f"phone_{address}")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
