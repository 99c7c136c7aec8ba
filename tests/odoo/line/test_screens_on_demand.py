"""Records sent on demand: from the subscription's form, and by a server action of Odoo's own."""

from playwright.sync_api import expect
from realodoo.cache import wait_until
from screens import choose, chromium, go, open_subscription, page, save, shot  # noqa: F401


def test_records_are_counted_sent_and_marked(line, page):
    partners = [line.session.create("res.partner", name=f"Backlog {number}", comment="on demand") for number in range(3)]
    subscription, path = line.subscribe(
        "res.partner", name="On demand only", on_demand=True, domain="[('comment', 'ilike', 'on demand')]", enrich_fields="name"
    )
    open_subscription(page, line, subscription)
    page.click("button[name=action_send_now]")
    expect(page.locator(".modal div[name=count]")).to_have_text("3")
    shot(page, "send_now")
    page.click(".modal button[name=action_send]")
    expect(page.locator(".o_form_view div[name=total]")).to_have_text("3")
    line.wait_rows(subscription, "success")
    page.reload()
    expect(page.locator(".o_statusbar_status .o_arrow_button_current")).to_have_text("Done")
    shot(page, "send_now_done")
    (row,) = line.rows(subscription)
    assert (row["trigger"], row["record_ids"]) == ("backfill", partners)
    go(page, line, "action-base.action_server_action/new")
    page.fill("div[name=name] input, div[name=name] textarea", "Tell the receiver")
    choose(page, "model_id", "Contact")
    page.locator("div[name=state]").get_by_text("Send with MCP Webhook").click()
    choose(page, "mcp_webhook_subscription_id", "On demand only")
    shot(page, "server_action")
    save(page)
    action = line.session.call("ir.actions.server", "search", [("state", "=", "mcp_webhook")])
    chosen = {"active_model": "res.partner", "active_id": partners[0], "active_ids": partners[:1]}
    line.session.call("ir.actions.server", "run", action, context=chosen)
    wait_until(lambda: len(line.receiver.on(path)) == 2, "the request of the action")
    assert line.receiver.on(path)[1].json["records"][0]["name"] == "Backlog 0"


def test_secret_is_replaced_while_both_sign(line, page):
    subscription, path = line.subscribe("res.partner", "create", name="Replaced secret")
    line.session.create("res.partner", name="A sample")
    line.wait_rows(subscription, "success")
    open_subscription(page, line, subscription)
    page.click("button[name=action_replace_secret]")
    page.click(".modal .o_mcp_webhook_generate")
    shot(page, "secret_generated")
    page.click(".modal button[name=action_switch]")
    expect(page.locator(".modal div[name=told]")).to_contain_text("Both secrets sign until")
    page.click(".modal button[name=action_test]")
    line.wait_rows(subscription, "success", 2)
    page.click(".modal button[name=action_look]")
    expect(page.locator(".modal div[name=told]")).to_contain_text("The test that the new one alone signed was taken")
    expect(page.locator(".modal .o_arrow_button_current")).to_have_text("New One Taken")
    shot(page, "secret_tested")
    headers = {name.lower(): value for name, value in line.receiver.on(path)[-1].headers.items()}
    assert len(headers["webhook-signature"].split()) == 1
    line.session.create("res.partner", name="Signed by both")
    line.wait_rows(subscription, "success", 3)
    headers = {name.lower(): value for name, value in line.receiver.on(path)[-1].headers.items()}
    assert len(headers["webhook-signature"].split()) == 2
    page.click(".modal button[name=action_end]:visible")
    expect(page.locator(".modal .o_arrow_button_current")).to_have_text("Old One Ended")
    shot(page, "secret_ended")
    line.session.create("res.partner", name="Signed by the new one")
    line.wait_rows(subscription, "success", 4)
    headers = {name.lower(): value for name, value in line.receiver.on(path)[-1].headers.items()}
    assert len(headers["webhook-signature"].split()) == 1
