"""The log of deliveries in a browser: each view, each button, and what to do about a failure."""

import pytest
from playwright.sync_api import expect
from screens import DELIVERIES, chromium, find, go, notification, page, shot  # noqa: F401


def deliver(line, count=1, answer=200, **values):
    """A subscription and so many rows that ended."""
    subscription, path = line.subscribe("res.partner", "create", **values)
    line.receiver.answers[path] = answer
    for number in range(count):
        line.session.create("res.partner", name=f"Customer {number}")
    rows = line.wait_rows(subscription, "success" if answer < 300 else "failed", count)
    return subscription, path, rows


def open_row(page, line, row):
    go(page, line, f"{DELIVERIES}/{row['id']}")
    expect(page.locator("div[name=status]").first).to_be_visible()


def test_list_shows_attempts_and_filters_them(line, page):
    deliver(line, 2, name="Log of a good one")
    deliver(line, 1, 404, name="Log of a bad one")
    go(page, line, DELIVERIES, ".o_list_view")
    ours = page.locator(".o_data_row", has_text="Log of a")
    expect(ours).to_have_count(4)  # the second change fires both
    shot(page, "deliveries_list")
    find(page, "Failed")
    expect(page.locator(".o_data_row .text-bg-success")).to_have_count(0)
    expect(page.locator(".o_data_row", has_text="Log of a bad one")).to_have_count(1)
    expect(page.locator(".o_data_row", has_text="Log of a bad one")).to_contain_text("404")


def test_list_is_grouped(line, page):
    deliver(line, 2, name="Grouped endpoint")
    go(page, line, DELIVERIES, ".o_list_view")
    find(page, "Subscription")
    expect(page.locator(".o_group_header", has_text="Grouped endpoint (2)")).to_be_visible()
    shot(page, "deliveries_grouped")


def test_nobody_edits_the_log(line, page):
    _, _, rows = deliver(line)
    go(page, line, DELIVERIES, ".o_list_view")
    expect(page.locator(".o_list_button_add")).to_have_count(0)
    open_row(page, line, rows[0])
    expect(page.locator(".o_form_button_create")).to_have_count(0)
    expect(page.locator(".o_form_view input:not([type=hidden]), .o_form_view textarea:not(.ace_text-input)")).to_have_count(0)


def test_form_shows_the_exact_payload_and_response(line, page):
    _, path, rows = deliver(line, enrich_fields="name")
    open_row(page, line, rows[0])
    body = line.receiver.on(path)[0].body.decode()
    expect(page.locator("div[name=payload].font-monospace")).to_have_text(body)
    shot(page, "delivery_payload")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".o_field_CopyClipboardButton button").first.click()
    assert page.evaluate("navigator.clipboard.readText()") == body
    page.click(".nav-link[name=response]")
    expect(page.locator("div[name=response_body].font-monospace")).to_have_text("status 200")
    shot(page, "delivery_response")


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (301, "redirects are never followed"),
        (400, "shape of the payload"),
        (401, "rejected our credentials"),
        (404, "nothing at this address"),
        (429, "Too many requests"),
        (500, "trouble of its own"),
    ],
)
def test_failure_says_what_to_do(line, page, code, advice):
    _, _, rows = deliver(line, 1, code)
    open_row(page, line, rows[0])
    expect(page.locator(".alert-danger div[name=advice]")).to_contain_text(advice)
    expect(page.locator("div[name=response_code]")).to_have_text(str(code))
    shot(page, f"delivery_{code}")


def test_unreachable_endpoint_says_what_to_do(line, page):
    from realodoo.postgres import free_port

    subscription, _ = line.subscribe("res.partner", "create", url=f"http://127.0.0.1:{free_port()}/closed")
    line.session.create("res.partner", name="Nobody there")
    open_row(page, line, line.wait_rows(subscription, "failed")[0])
    expect(page.locator(".alert-danger div[name=advice]")).to_contain_text("Nothing answers at this host")
    shot(page, "delivery_connect")


def test_failed_row_is_redelivered(line, page):
    subscription, path, rows = deliver(line, 1, 500)
    line.receiver.answers[path] = 200
    open_row(page, line, rows[0])
    page.locator("button[name=action_redeliver]:visible").click()
    notification(page, "sent again")
    second = line.wait_rows(subscription, "success")[0]
    assert (second["attempt"], second["trigger"], second["event_uuid"]) == (2, "manual", rows[0]["event_uuid"])
    assert len({arrival.id for arrival in line.receiver.on(path)}) == 1
    open_row(page, line, second)
    expect(page.locator("div[name=attempt_of]")).to_have_text("2 of 2")
    shot(page, "delivery_redelivered")


def test_records_of_the_event_are_one_click_away(line, page):
    _, _, rows = deliver(line)
    open_row(page, line, rows[0])
    page.click("button[name=action_open_records]")
    expect(page.locator(".o_breadcrumb")).to_contain_text("Customer 0")
    expect(page.locator("div[name=name] input, div[name=name] textarea").first).to_have_value("Customer 0")


def test_preview_is_one_click_from_a_refused_payload(line, page):
    _, _, rows = deliver(line, 1, 422, enrich_fields="name")
    open_row(page, line, rows[0])
    page.locator("button[name=action_preview].btn-primary").click()
    expect(page.locator(".modal div[name=payload]")).to_contain_text("Customer 0")
    shot(page, "delivery_preview")


def test_waiting_row_says_where_it_waits(line, page):
    subscription, _ = line.subscribe("res.partner", "create", paused=True)
    line.session.create("res.partner", name="Held back")
    row = line.wait_rows(subscription, "pending")[0]
    open_row(page, line, row)
    expect(page.locator(".o_statusbar_status .o_arrow_button_current")).to_have_text("Waits in the sidecar")
    expect(page.locator(".alert-warning div[name=advice]")).to_contain_text("paused")
    shot(page, "delivery_waiting")


def test_pivot_counts_by_model_and_status(line, page):
    deliver(line, 2)
    deliver(line, 1, 500)
    go(page, line, DELIVERIES, ".o_list_view")
    page.click(".o_switch_view.o_pivot")
    expect(page.locator("div.o_pivot")).to_contain_text("res.partner")
    expect(page.locator("div.o_pivot")).to_contain_text("Failed")
    shot(page, "deliveries_pivot")


def test_graph_shows_days(line, page):
    deliver(line, 2)
    deliver(line, 1, 500)
    go(page, line, DELIVERIES, ".o_list_view")
    page.click(".o_switch_view.o_graph")
    expect(page.locator(".o_graph_canvas_container canvas")).to_be_visible()
    shot(page, "deliveries_graph")
