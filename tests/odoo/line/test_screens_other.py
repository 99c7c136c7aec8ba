"""The list of subscriptions, the record's own menu, the settings, the banner, and that open screens live."""

import time

import pytest
from playwright.sync_api import expect
from realodoo.cache import wait_until
from screens import (  # noqa: F401
    DELIVERIES,
    SUBSCRIPTIONS,
    chromium,
    find,
    go,
    notification,
    open_subscription,
    page,
    save,
    shot,
    visit,
)

MODEL = "mcp.event.subscription"


def test_list_shows_how_each_subscription_is(line, page):
    good, _ = line.subscribe("res.partner", "create", name="Works")
    bad, path = line.subscribe("res.partner", "create", name="Fails")
    line.subscribe("res.partner", "create", name="Paused", paused=True)
    line.subscribe("res.partner", "create", name="Archived", active=False)
    line.receiver.answers[path] = 404
    line.session.create("res.partner", name="Told")
    line.wait_rows(good, "success")
    line.wait_rows(bad, "failed")
    go(page, line, SUBSCRIPTIONS, ".o_list_view")
    expect(page.locator(".o_data_row", has_text="Works").locator(".text-bg-success")).to_be_visible()
    expect(page.locator(".o_data_row", has_text="Fails").locator(".text-bg-danger")).to_be_visible()
    for name in ("Paused", "Archived"):
        expect(page.locator(".o_data_row", has_text=name)).to_be_visible()
    shot(page, "subscriptions_list")
    find(page, "Failing")
    expect(page.locator(".o_data_row")).to_have_count(1)
    expect(page.locator(".o_data_row")).to_contain_text("Fails")


@pytest.mark.parametrize(
    ("filter_name", "expected"), [("Never Delivered", "Quiet"), ("Mine", "Quiet"), ("Paused", "Held"), ("Inactive", "Archived")]
)
def test_search_filters(line, page, filter_name, expected):
    line.subscribe("res.partner", "create", name="Quiet")
    line.subscribe("res.partner", "create", name="Held", paused=True)
    line.subscribe("res.partner", "create", name="Archived", active=False)
    go(page, line, SUBSCRIPTIONS, ".o_list_view")
    find(page, filter_name)
    expect(page.locator(".o_data_row", has_text=expected)).to_be_visible()


@pytest.mark.parametrize("group", ["Model", "User", "Endpoint", "State"])
def test_group_by(line, page, group):
    line.subscribe("res.partner", "create", name="Grouped")
    go(page, line, SUBSCRIPTIONS, ".o_list_view")
    find(page, group)
    expect(page.locator(".o_group_header")).to_have_count(1)


def test_selection_is_paused_resumed_and_reset(line, page):
    ids = [line.subscribe("res.partner", "create", name=f"Selected {number}")[0] for number in range(2)]

    def states():
        return {row["state"] for row in line.session.read(MODEL, [("id", "in", ids)], "state")}

    for button, state in (("action_pause", "paused"), ("action_resume", "active")):
        # A list of its own each time: one that the news of the pause is just turning lets go of what is selected.
        go(page, line, SUBSCRIPTIONS, ".o_list_view")
        page.locator("thead .o_list_record_selector input").click()
        page.click(f".o_control_panel button[name={button}]")
        wait_until(lambda s=state: states() == {s}, state)
        expect(page.locator("thead .o_list_record_selector input")).not_to_be_checked()


def test_deliveries_of_a_record_are_in_its_own_menu(line, page):
    subscription, _ = line.subscribe("res.partner", "create")
    partner = line.session.create("res.partner", name="Has a menu")
    line.session.create("res.partner", name="Another")
    line.wait_rows(subscription, "success", 2)
    go(page, line, f"contacts/{partner}")
    page.click(".o_cp_action_menus button.dropdown-toggle, .o_control_panel .o_cp_action_menus .fa-cog")
    shot(page, "record_menu")
    page.click(".o_mcp_webhook_deliveries")
    expect(page.locator(".o_list_view .o_data_row")).to_have_count(1)
    shot(page, "record_deliveries")


def test_record_of_a_model_that_nobody_watches_has_no_entry(line, page):
    line.subscribe("sale.order")
    partner = line.session.create("res.partner", name="Not watched")
    go(page, line, f"contacts/{partner}")
    page.click(".o_cp_action_menus button.dropdown-toggle, .o_control_panel .o_cp_action_menus .fa-cog")
    expect(page.locator(".o-dropdown--menu", has_text="Duplicate")).to_be_visible()
    expect(page.locator(".o_mcp_webhook_deliveries")).to_have_count(0)


def settings(page, line):
    go(page, line, "settings", ".o_setting_container, .settings")
    page.click(".settings_tab .tab[data-key=mcp_webhook]")
    expect(page.locator("button[name=action_mcp_webhook_test_connection]")).to_be_visible()


def save_settings(page):
    """Odoo loads the page anew after that."""
    page.keyboard.press("Tab")
    expect(page.get_by_text("Unsaved changes")).to_be_visible()
    with page.expect_event("load"):
        page.click(".o_form_button_save")


def save_token(page, line, token):
    settings(page, line)
    page.fill("div[name=mcp_webhook_sidecar_token] input", token)
    save_settings(page)
    settings(page, line)


def test_settings_test_the_connection(line, page):
    settings(page, line)
    page.click("button[name=action_mcp_webhook_test_connection]")
    notification(page, "Connected: version")
    shot(page, "settings_connected")


def test_settings_say_what_a_wrong_token_means_and_never_show_it(line, page):
    settings(page, line)
    try:
        save_token(page, line, "canary-wrong-token")
        expect(page.locator("div[name=mcp_webhook_sidecar_token] input")).to_have_value("")
        assert "canary-wrong-token" not in page.content()
        page.click("button[name=action_mcp_webhook_test_connection]")
        expect(page.locator(".modal")).to_contain_text("token")
        shot(page, "settings_wrong_token")
    finally:
        save_token(page, line, line.sidecar.token)
    page.click("button[name=action_mcp_webhook_test_connection]")
    notification(page, "Connected: version")
    line.session.call("ir.config_parameter", "set_param", "mcp_webhook.sidecar_token", "")


def test_settings_keep_hosts_and_retention(line, page):
    settings(page, line)
    page.fill("div[name=mcp_webhook_allowed_hosts] input", "hooks.slack.com/services/T01234567")
    page.fill("div[name=mcp_webhook_retention_days] input", "14")
    save_settings(page)
    wait_until(
        lambda: line.session.call("ir.config_parameter", "get_param", "mcp_webhook.retention_days") == "14", "the retention"
    )
    settings(page, line)
    expect(page.locator("div[name=mcp_webhook_allowed_hosts] input")).to_have_value("hooks.slack.com/services/T01234567")
    shot(page, "settings_saved")
    page.fill("div[name=mcp_webhook_retention_days] input", "0")
    page.click(".o_form_button_save")
    expect(page.locator(".modal, .o_notification").first).to_contain_text("1 to 30 days")
    line.session.call("ir.config_parameter", "set_param", "mcp_webhook.retention_days", "30")
    line.session.call("ir.config_parameter", "set_param", "mcp_webhook.allowed_hosts", "")


def test_banner_tells_that_the_sidecar_is_away_and_goes_when_it_is_back(line, page):
    subscription, path = line.subscribe("res.partner", "create", name="Served again")
    go(page, line, SUBSCRIPTIONS, ".o_list_view")
    banner = page.locator(".o_mcp_webhook_banner")
    expect(banner).to_have_count(0)
    line.sidecar.kill()
    try:
        line.session.create("res.partner", name="Waits in Odoo")
        line.sweep()
        expect(banner).to_contain_text("Events that wait in Odoo: 1; none is lost")
        shot(page, "banner_list")
        open_subscription(page, line, subscription)
        expect(page.locator("div[name=sidecar_banner]")).to_contain_text("none is lost")
        shot(page, "banner_form")
        go(page, line, DELIVERIES, ".o_list_view")
        expect(banner).to_be_visible()
    finally:
        line.sidecar.start()
    wait_until(lambda: line.sweep() or line.receiver.on(path), "the event that waited")
    expect(banner).to_have_count(0)


def test_open_list_turns_without_a_reload(line, page):
    _, path = line.subscribe("res.partner", "create", name="Watched live")
    go(page, line, SUBSCRIPTIONS, ".o_list_view")
    row = page.locator(".o_data_row", has_text="Watched live")
    expect(row).to_be_visible()
    line.session.create("res.partner", name="Live")
    line.receiver.wait(path)
    answered = time.monotonic()
    expect(row.locator(".text-bg-success")).to_be_visible(timeout=10_000)
    seconds = time.monotonic() - answered
    print(f"with a websocket, from the endpoint's answer to the badge: {seconds:.2f} s")
    assert seconds < 2.5


def test_open_list_turns_without_a_websocket(line, chromium):
    """With workers and no proxy in front the websocket is on another port than the page."""
    _, path = line.subscribe("res.partner", "create", name="Polled live")
    server = line.site.serve(
        "line", line.odoo.data, "--workers=2", MCP_WEBHOOK_SIDECAR_URL=line.sidecar.url, MCP_WEBHOOK_SIDECAR_TOKEN=line.sidecar.token
    )
    try:
        with visit(chromium, server) as page:
            page.goto(f"{server.url}/odoo/{SUBSCRIPTIONS}")
            row = page.locator(".o_data_row", has_text="Polled live")
            expect(row).to_be_visible()
            line.session.create("res.partner", name="Live")
            line.receiver.wait(path)
            answered = time.monotonic()
            expect(row.locator(".text-bg-success")).to_be_visible(timeout=10_000)
            seconds = time.monotonic() - answered
            print(f"without a websocket, from the endpoint's answer to the badge: {seconds:.2f} s")
            assert seconds < 5
    finally:
        server.stop()


def test_edit_in_progress_is_not_swept_away_by_news(line, page):
    subscription, _ = line.subscribe("res.partner", "create")
    open_subscription(page, line, subscription)
    page.fill("div[name=timeout_s] input", "33")
    line.session.create("res.partner", name="News")
    line.wait_rows(subscription, "success")
    save(page)
    expect(page.locator("div[name=timeout_s] input")).to_have_value("33")
    expect(page.locator("div[name=last_delivery_status] .text-bg-success")).to_be_visible()


def test_user_who_is_no_manager_has_no_menu(line, chromium):
    line.shell(
        "env['res.users'].create({'name': 'No manager', 'login': 'nomanager', 'password': 'nomanager',"
        " 'group_ids': [(6, 0, [env.ref('base.group_user').id])]})\nenv.cr.commit()"
    )
    with visit(chromium, line.odoo, "nomanager", "nomanager") as page:
        page.click(".o_navbar_apps_menu button")
        expect(page.locator(".o-dropdown--menu, .o_app").first).to_be_visible()
        expect(page.get_by_text("MCP Server")).to_have_count(0)
        page.goto(f"{line.odoo.url}/odoo/{SUBSCRIPTIONS}")
        expect(page.locator(".modal, .o_notification, .o_view_nocontent").first).to_be_visible()
        expect(page.locator(".o_data_row")).to_have_count(0)


def test_screens_speak_french(line, chromium):
    line.shell(
        "env['res.lang']._activate_lang('fr_FR')\n"
        "env['ir.module.module'].search([('state', '=', 'installed')])._update_translations(['fr_FR'])\n"
        "env['res.users'].create({'name': 'Responsable', 'login': 'fr', 'password': 'fr', 'lang': 'fr_FR',"
        " 'group_ids': [(6, 0, [env.ref('mcp_webhook.group_manager').id])]})\nenv.cr.commit()"
    )
    subscription, path = line.subscribe("res.partner", "create", name="En français")
    line.receiver.answers[path] = 404
    line.session.create("res.partner", name="Perdu")
    failed = line.wait_rows(subscription, "failed")[0]
    with visit(chromium, line.odoo, "fr", "fr") as page:
        open_subscription(page, line, subscription)
        expect(page.locator("button[name=action_send_test]")).to_have_text("Envoyer un événement de test")
        expect(page.locator(".o_mcp_webhook_generate")).to_have_text("Générer")
        expect(page.locator("div[name=last_advice]")).to_contain_text("rien à cette adresse")
        shot(page, "french_subscription")
        go(page, line, f"{DELIVERIES}/{failed['id']}")
        expect(page.locator(".alert-danger div[name=advice]")).to_contain_text("rien à cette adresse")
        shot(page, "french_delivery")
