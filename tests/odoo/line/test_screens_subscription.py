"""The subscription's form in a browser: every group, every button."""

import json
import re

import pytest
from playwright.sync_api import expect
from realodoo.cache import wait_until
from realodoo.signatures import verify
from screens import (  # noqa: F401
    SUBSCRIPTIONS,
    act,
    choose,
    chromium,
    editor,
    go,
    notification,
    open_subscription,
    page,
    save,
    select,
    shot,
    type_into_editor,
)

MODEL = "mcp.event.subscription"


def last(line):
    """The newest subscription, as Odoo has it."""
    return line.session.read(
        MODEL, [], "name", "domain", "watched_field_ids", "enrich_fields", "has_secret", "header_names", "webhook_secret",
        "webhook_headers", "payload_template", "state", "active", "paused", order="id desc", limit=1,
        context={"active_test": False},
    )[0]


def test_trigger_group_says_what_fires(line, page):
    go(page, line, f"{SUBSCRIPTIONS}/new")
    shot(page, "subscription_new")
    choose(page, "model_id", "Contact")
    select(page, "event_type", "Write")
    page.click("div[name=domain] .o_field_domain_dialog_button, div[name=domain] button:has-text('Edit Domain')")
    page.click(".modal .o_domain_selector button:has-text('New Rule'), .modal .o_domain_selector a:has-text('New Rule')")
    shot(page, "subscription_filter")
    page.click(".modal-footer button:has-text('Confirm')")
    expect(page.locator("div[name=domain]")).to_contain_text("record(s)")
    page.fill("div[name=watched_field_ids] input", "Email")
    page.locator(".o-autocomplete--dropdown-item", has_text="Email").first.click()
    page.fill("div[name=webhook_url] input", line.receiver.url + "/trigger")
    save(page)
    shot(page, "subscription_trigger")
    saved = last(line)
    assert saved["name"] == "res.partner write" and saved["domain"] not in (False, "[]")
    watched = line.session.read("ir.model.fields", [("id", "in", saved["watched_field_ids"])], "model")
    assert [field["model"] for field in watched] == ["res.partner"]


def test_watched_fields_are_offered_only_where_writes_fire(line, page):
    go(page, line, f"{SUBSCRIPTIONS}/new")
    choose(page, "model_id", "Contact")
    expect(page.locator("div[name=watched_field_ids]")).to_be_visible()
    select(page, "event_type", "Delete")
    expect(page.locator("div[name=watched_field_ids]")).to_be_hidden()


def test_field_path_is_picked_from_a_related_record(line, page):
    subscription, _ = line.subscribe("res.partner", enrich_fields="name")
    open_subscription(page, line, subscription)
    page.click("div[name=enrich_path] .o_model_field_selector, div[name=enrich_path] input")
    page.fill(".o_model_field_selector_popover input", "Country")
    page.locator(".o_model_field_selector_popover_item", has_text="Country").first.locator(
        ".o_model_field_selector_popover_item_relation"
    ).click()
    page.fill(".o_model_field_selector_popover input", "Country Code")
    shot(page, "subscription_path")
    page.locator(".o_model_field_selector_popover_item_name", has_text="Country Code").first.click()
    expect(page.locator("div[name=enrich_fields] textarea")).to_have_value("name\ncountry_id.code")
    save(page)
    assert last(line)["enrich_fields"] == "name\ncountry_id.code"


def test_generated_secret_can_be_copied_until_saved_and_signs(line, page):
    subscription, path = line.subscribe("res.partner", "create", webhook_secret=False)
    open_subscription(page, line, subscription)
    page.click(".o_mcp_webhook_generate")
    field = page.locator("div[name=webhook_secret] input")
    expect(field).to_have_value(re.compile(r"^whsec_[A-Za-z0-9+/]{43}=$"))
    secret = field.input_value()
    shot(page, "subscription_secret_generated")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click(".o_mcp_webhook_copy")
    notification(page, "Copied")
    assert page.evaluate("navigator.clipboard.readText()") == secret
    with page.expect_response("**/web_save*") as answer:
        save(page)
    assert secret not in answer.value.text(), "the answer to the save tells it"
    expect(page.locator("div[name=webhook_secret] input")).to_have_value("")
    expect(page.locator(".o_form_view")).to_contain_text("A secret is set")
    shot(page, "subscription_secret_set")
    assert last(line)["webhook_secret"] is False and last(line)["has_secret"]
    line.session.create("res.partner", name="Signed")
    verify(line.site, line.receiver.wait(path)[0], secret)


def test_secret_is_replaced_and_removed(line, page):
    subscription, path = line.subscribe("res.partner", "create")
    open_subscription(page, line, subscription)
    page.fill("div[name=webhook_secret] input", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    save(page)
    line.session.create("res.partner", name="Signed anew")
    verify(line.site, line.receiver.wait(path)[0], "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    page.click("button[name=action_remove_secret]")
    shot(page, "subscription_secret_remove")
    page.click(".modal-footer .btn-primary")
    expect(page.locator(".o_form_view")).not_to_contain_text("A secret is set")
    line.session.create("res.partner", name="Not signed")
    assert "webhook-signature" not in {name.lower() for name in line.receiver.wait(path, 2)[1].headers}


def test_what_counts_as_a_success_is_said_in_its_group(line, page):
    subscription, path = line.subscribe("res.partner", "create")
    line.receiver.answers[path] = lambda _arrival: (200, b'{"ok": false}')
    open_subscription(page, line, subscription)
    expect(page.locator("div[name=success_equals]")).to_be_hidden()
    page.check("div[name=success_not_html] input")
    page.fill("div[name=success_pointer] input", "/ok")
    page.keyboard.press("Tab")
    page.fill("div[name=success_equals] input", "true")
    page.fill("div[name=secret_overlap_hours] input", "24")
    page.fill("div[name=webhook_secret] input", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    save(page)
    wait_until(lambda: line.session.read(MODEL, [("id", "=", subscription)], "overlap_notice")[0]["overlap_notice"], "two secrets")
    page.reload()
    expect(page.locator("div[name=overlap_notice]")).to_contain_text("The previous secret signs as well until")
    page.locator("div[name=success_equals]").scroll_into_view_if_needed()
    shot(page, "subscription_success")
    line.session.create("res.partner", name="Not taken")
    row = line.wait_rows(subscription, "failed")[0]
    go(page, line, f"webhook-deliveries/{row['id']}")
    expect(page.locator("div[name=advice]")).to_contain_text('the value at /ok is true). Its answer: {"ok": false}')
    shot(page, "delivery_rejected")


def test_headers_are_named_and_never_shown(line, page):
    subscription, path = line.subscribe("res.partner", "create")
    open_subscription(page, line, subscription)
    page.fill("div[name=webhook_headers] textarea", "Authorization: Bearer canary-7")
    with page.expect_response("**/web_save*") as answer:
        save(page)
    assert "canary-7" not in answer.value.text()
    expect(page.locator("div[name=header_names]")).to_have_text("Authorization")
    expect(page.locator("div[name=webhook_headers] textarea")).to_have_value("")
    shot(page, "subscription_headers")
    line.session.create("res.partner", name="With a header")
    assert line.receiver.wait(path)[0].headers["authorization"] == "Bearer canary-7"
    page.click("button[name=action_remove_headers]")
    page.click(".modal-footer .btn-primary")
    expect(page.locator("div[name=header_names]")).to_be_hidden()


def test_preview_lives_while_the_template_is_typed(line, page):
    line.session.create("res.partner", name="Zoe in the preview")
    subscription, _ = line.subscribe("res.partner", enrich_fields="name")
    open_subscription(page, line, subscription)
    type_into_editor(page, "payload_template", '{"text": "Hello {{ record.name }}"}')
    page.locator("div[name=enrich_fields] textarea").click()
    expect(page.locator("div[name=preview]")).to_contain_text("Hello Zoe in the preview")
    shot(page, "subscription_preview_live")
    type_into_editor(page, "payload_template", '{"text": "{{ record.name "}')
    page.locator("div[name=enrich_fields] textarea").click()
    expect(page.locator("div[name=preview_error]")).to_contain_text("payload_template")
    shot(page, "subscription_preview_error")


def test_preview_of_another_record(line, page):
    line.session.create("res.partner", name="Not this one")
    subscription, _ = line.subscribe("res.partner", enrich_fields="name")
    open_subscription(page, line, subscription)
    expect(page.locator("div[name=preview]")).to_contain_text("Not this one")
    page.fill("div[name=preview_res_id] input", "OdooBot")
    page.locator(".o-autocomplete--dropdown-item").first.click()
    expect(page.locator("div[name=preview]")).not_to_contain_text("Not this one")


@pytest.mark.parametrize(
    ("title", "part"),
    [
        ("Slack", "mrkdwn"), ("Microsoft Teams", "AdaptiveCard"), ("Discord", "allowed_mentions"),
        ("Google Chat", '"text"'), ("Generic", '"ids"'), ("n8n", '"record":'),
    ],
)
def test_ready_made_template_is_previewed_and_arrives(line, page, title, part):
    line.session.create("res.partner", name="Ready Made")
    subscription, path = line.subscribe("res.partner", "create")
    open_subscription(page, line, subscription)
    select(page, "template_choice", title)
    expect(page.locator("div[name=preview]")).to_contain_text(part)
    expect(page.locator("div[name=preview_error]")).to_be_hidden()
    shot(page, f"subscription_template_{title.split()[-1].lower()}")
    save(page)
    assert part in last(line)["payload_template"] and part in editor(page, "payload_template")
    line.session.create("res.partner", name="Through a template")
    body = line.receiver.wait(path)[0].body.decode()
    assert "Through a template" in body and part.strip('"') in body


def test_test_event_is_sent_marked_and_logged(line, page):
    partner = line.session.create("res.partner", name="The sample")
    subscription, path = line.subscribe("res.partner", enrich_fields="name")
    open_subscription(page, line, subscription)
    page.click("button[name=action_send_test]")
    notification(page, "on its way")
    shot(page, "subscription_test_sent")
    body = line.receiver.wait(path)[0].json
    assert body["test"] is True and body["records"][0]["name"] == "The sample"
    row = line.wait_rows(subscription, "success")[0]
    assert (row["trigger"], row["record_ids"]) == ("test", [partner])
    expect(page.locator("div[name=last_delivery_status] .text-bg-success")).to_be_visible()


def test_pause_keeps_the_backlog_and_resume_sends_it(line, page):
    subscription, path = line.subscribe("res.partner", "create")
    open_subscription(page, line, subscription)
    page.click("button[name=action_pause]")
    expect(page.locator(".o_statusbar_status .o_arrow_button_current")).to_have_text("Paused")
    for number in range(3):
        line.session.create("res.partner", name=f"Waiting {number}")
    wait_until(lambda: line.badge(subscription)["pending_count"] == 3, "three events to wait")
    expect(page.locator("div[name=pending_count]")).to_have_text("3")
    shot(page, "subscription_paused")
    assert line.receiver.on(path) == []
    page.click("button[name=action_resume]")
    expect(page.locator(".o_statusbar_status .o_arrow_button_current")).to_have_text("Active")
    assert len(line.receiver.wait(path, 3)) == 3


def test_deactivating_asks_where_something_waits(line, page):
    subscription, path = line.subscribe("res.partner", "create", paused=True)
    line.session.create("res.partner", name="Waits")
    wait_until(lambda: line.badge(subscription)["pending_count"] == 1, "an event to wait")
    open_subscription(page, line, subscription)
    page.locator("button[name=action_toggle_active]", has_text="Active").click()
    expect(page.locator(".modal div[name=count]")).to_have_text("1")
    shot(page, "subscription_deactivate")
    assert last(line)["active"]
    page.locator(".modal button[name=action_go_on]", has_text="Deactivate").click()
    wait_until(lambda: not last(line)["active"], "the subscription to be inactive")
    assert line.receiver.on(path) == []


def test_smart_button_switches_active(line, page):
    subscription, _ = line.subscribe("res.partner")
    open_subscription(page, line, subscription)
    page.locator("button[name=action_toggle_active]", has_text="Active").click()
    expect(page.locator(".o_statusbar_status .o_arrow_button_current")).to_have_text("Inactive")
    shot(page, "subscription_inactive")
    assert last(line)["state"] == "inactive"
    page.locator("button[name=action_toggle_active]", has_text="Inactive").click()
    expect(page.locator(".o_statusbar_status .o_arrow_button_current")).to_have_text("Active")
    assert last(line)["state"] == "active"


def test_failing_subscription_says_what_to_do_and_is_reset(line, page):
    subscription, path = line.subscribe("res.partner", "create", name="To a wrong address")
    line.receiver.answers[path] = 404
    open_subscription(page, line, subscription)
    line.session.create("res.partner", name="Lost")
    line.wait_rows(subscription, "failed")
    expect(page.locator("div[name=last_advice]")).to_contain_text("nothing at this address")
    expect(page.locator("div[name=failure_count]")).to_have_text("1")
    shot(page, "subscription_failing")
    page.click("button[name=action_reset_failure_count]")
    expect(page.locator("div[name=failure_count]")).to_have_text("0")
    page.click("button[name=action_open_last_failure]")
    expect(page.locator(".o_form_view")).to_contain_text("404")


def test_everything_that_failed_is_sent_again_with_the_count_first(line, page):
    subscription, path = line.subscribe("res.partner", "create")
    line.receiver.answers[path] = 500
    for number in range(3):
        line.session.create("res.partner", name=f"Failing {number}")
    line.wait_rows(subscription, "failed", 3)
    line.receiver.answers[path] = 200
    open_subscription(page, line, subscription)
    page.click("button[name=action_redeliver_failures]")
    expect(page.locator(".modal div[name=count]")).to_have_text("3")
    shot(page, "redelivery_dialog")
    page.click(".modal button[name=action_redeliver]")
    notification(page, "3 sent again")
    line.wait_rows(subscription, "success", 3)


def test_followers_get_one_message_when_it_fails_and_one_when_it_recovers(line, page):
    subscription, path = line.subscribe("res.partner", "create")
    line.receiver.answers[path] = 500
    open_subscription(page, line, subscription)
    for number in range(3):
        line.session.create("res.partner", name=f"Failing {number}")
    line.wait_rows(subscription, "failed", 3)
    line.receiver.answers[path] = 200
    line.session.create("res.partner", name="Succeeding")
    line.wait_rows(subscription, "success")
    page.reload()
    messages = page.locator(".o-mail-Message")
    expect(messages.filter(has_text="500. Open Deliveries")).to_have_count(1)
    expect(messages.filter(has_text="succeed again")).to_have_count(1)
    shot(page, "subscription_alerts")


def test_preview_button_shows_a_real_record(line, page):
    line.session.create("res.partner", name="Seen in the dialog")
    subscription, _ = line.subscribe("res.partner", enrich_fields="name")
    open_subscription(page, line, subscription)
    page.click("button[name=action_preview]")
    expect(page.locator(".modal div[name=payload]")).to_contain_text("Seen in the dialog")
    shot(page, "preview_dialog")
    page.click(".modal-footer button")


def test_why_it_did_not_fire_is_told_condition_by_condition(line, page):
    line.session.create("res.partner", name="Does not match", email="a@example.com")
    subscription, _ = line.subscribe(
        "res.partner", "write", domain="[('name', '=', 'Never'), ('active', '=', True)]",
        watched_field_ids=[(6, 0, [line._id("ir.model.fields", [("model", "=", "res.partner"), ("name", "=", "email")])])],
    )
    open_subscription(page, line, subscription)
    page.click("button[name=action_explain]")
    told = page.locator(".modal div[name=explanation]")
    expect(told).to_contain_text("It does not fire: Filter")
    for words in ("Webhook URL", "State", "Rights of the user", "Never", "Only changes fire", "Watched fields", "Last change"):
        expect(told).to_contain_text(words)
    shot(page, "explain_dialog")


def test_deliveries_button_needs_an_address(line, page):
    subscription, _ = line.subscribe("res.partner", "create")
    line.session.create("res.partner", name="Delivered")
    line.wait_rows(subscription, "success")
    open_subscription(page, line, subscription)
    expect(page.locator("button[name=action_open_deliveries]")).to_contain_text("1")
    page.click("button[name=action_open_deliveries]")
    expect(page.locator(".o_list_view .o_data_row")).to_have_count(1)
    without = line.session.create(MODEL, model_id=line.model("res.partner"))
    open_subscription(page, line, without)
    expect(page.locator("button[name=action_open_deliveries]")).to_be_hidden()


def test_copy_leaves_the_secret_behind(line, page):
    subscription, _ = line.subscribe("res.partner", name="The original", webhook_headers="X-A: b")
    open_subscription(page, line, subscription)
    act(page, "Duplicate")
    expect(page.locator("div[name=name] input, div[name=name] textarea")).to_have_value("The original (copy)")
    shot(page, "subscription_copy")
    copied = last(line)
    assert (copied["has_secret"], copied["header_names"]) == (False, False)


def test_archive_and_restore(line, page):
    subscription, _ = line.subscribe("res.partner")
    open_subscription(page, line, subscription)
    act(page, "Archive")
    page.click(".modal-footer .btn-primary")
    expect(page.locator(".o_statusbar_status .o_arrow_button_current")).to_have_text("Inactive")
    assert not last(line)["active"]
    act(page, "Unarchive")
    expect(page.locator(".o_statusbar_status .o_arrow_button_current")).to_have_text("Active")
    assert last(line)["active"]


def test_wrong_input_is_refused_in_words(line, page):
    subscription, _ = line.subscribe("res.partner")
    open_subscription(page, line, subscription)
    page.fill("div[name=webhook_url] input", "ftp://example.com/x")
    page.click(".o_form_button_save")
    expect(page.locator(".modal, .o_notification").first).to_contain_text("webhook_url")
    shot(page, "subscription_refused")


def test_blocked_address_is_told_on_the_form(line, page):
    """It was saved while the sidecar could not say so."""
    line.sidecar.kill()
    subscription, _ = line.subscribe("res.partner", url="http://169.254.169.254/latest")
    line.sidecar.start()
    wait_until(lambda: line.sweep() or line.badge(subscription)["sync_error"], "the sidecar's refusal")
    open_subscription(page, line, subscription)
    expect(page.locator("div[name=sync_error]")).to_contain_text("webhook_url")
    shot(page, "subscription_blocked")


def test_renamed_field_is_told_on_the_form_and_goes_with_its_repair(line, page):
    (model,) = line.session.read("ir.model", [("model", "=", "res.partner")], "id")
    field = line.session.create("ir.model.fields", name="x_before", ttype="char", model_id=model["id"], state="manual")
    subscription, _ = line.subscribe("res.partner", "write", enrich_fields="name\nx_before")
    try:
        line.session.write("ir.model.fields", [field], name="x_after")
        line.sweep()
        go(page, line, SUBSCRIPTIONS, ".o_list_view")
        expect(page.locator(".o_data_row", has_text="x_before")).to_contain_text("Misconfigured")
        shot(page, "subscription_renamed_list")
        open_subscription(page, line, subscription)
        expect(page.locator(".alert-danger", has_text="Misconfigured")).to_contain_text("left out of what is sent")
        shot(page, "subscription_renamed")
        line.session.write(MODEL, [subscription], enrich_fields="name\nx_after")
        open_subscription(page, line, subscription)
        expect(page.locator(".alert-danger", has_text="Misconfigured")).to_have_count(0)
    finally:
        line.session.write(MODEL, [subscription], enrich_fields="name")
        line.session.call("ir.model.fields", "unlink", [field])


def test_chatter_tells_changes_and_no_secret(line, page):
    subscription, _ = line.subscribe("res.partner", url=line.receiver.url + "/services/canary-path")
    open_subscription(page, line, subscription)
    page.fill("div[name=webhook_secret] input", "canary-secret-0123456789")
    page.fill("div[name=timeout_s] input", "20")
    save(page)
    chatter = page.locator(".o-mail-Chatter")
    expect(chatter).to_contain_text("20")
    expect(chatter).to_contain_text("Signing secret replaced")
    expect(chatter).not_to_contain_text("canary")
    shot(page, "subscription_chatter")


def test_manager_approves_what_a_user_subscribed(line, page):
    code = """
import json
user = env['res.users'].search([('login', '=', 'asker')]) or env['res.users'].create(
    {'name': 'Asker', 'login': 'asker', 'group_ids': [(6, 0, [env.ref('base.group_user').id])]})
answer = env(user=user.id)['mcp.event.subscription'].subscribe_events(
    'res.partner', 'create', webhook_url='%s', enrich_fields=['name'])
env.cr.commit()
print('ANSWER', json.dumps(answer))
"""
    path = "/approval"
    told = line.shell(code % (line.receiver.url + path))
    made = json.loads(next(text for text in told.splitlines() if text.startswith("ANSWER"))[7:])
    assert made["state"] == "waiting_approval"
    line.session.create("res.partner", name="Before the approval")
    open_subscription(page, line, made["id"])
    expect(page.locator(".o_form_view .alert-warning").first).to_contain_text("Asker")
    expect(page.locator("div[name=preview]")).to_contain_text("Before the approval")
    shot(page, "subscription_approval")
    page.click("button[name=action_approve]")
    expect(page.locator("button[name=action_approve]")).to_be_hidden()
    assert line.receiver.on(path) == []
    line.session.create("res.partner", name="After the approval")
    assert line.receiver.wait(path)[0].json["records"][0]["name"] == "After the approval"


def test_new_endpoint_is_proposed_three_attempts_and_one_is_a_click_away(line, page):
    go(page, line, SUBSCRIPTIONS, ".o_list_view")
    page.click(".o_list_button_add")
    attempts = page.locator("div[name=max_attempts] input")
    expect(attempts).to_have_value("3")
    again = page.locator("div[name=retries] input")
    again.click()
    expect(attempts).to_have_value("1")
    again.click()
    expect(attempts).to_have_value("3")


def test_address_that_is_not_allowed_is_refused_and_nothing_leaves(line, page):
    """Of a subscription that works; and where it could not be asked, what happens until the repair (A1, A2)."""
    subscription, path = line.subscribe("res.partner", "create", name="Works")
    open_subscription(page, line, subscription)
    page.fill("div[name=webhook_url] input", "https://169.254.169.254/latest")
    page.click(".o_form_button_save")
    expect(page.locator(".modal, .o_notification").first).to_contain_text("webhook_url")
    shot(page, "address_refused")
    line.session.create("res.partner", name="Goes where it went")
    assert len(line.receiver.wait(path)) == 1
    line.sidecar.kill()
    line.session.write(MODEL, [subscription], webhook_url="https://169.254.169.254/latest")
    line.session.create("res.partner", name="Waits for the repair")
    line.sidecar.start()
    wait_until(lambda: line.sweep() or line.badge(subscription)["sync_error"], "the sidecar's refusal")
    (waiting,) = line.rows(subscription, ("status", "=", "pending"))
    assert "until the subscription is repaired" in waiting["advice"]
    page.reload()
    expect(page.locator("div[name=health] .text-bg-danger").first).to_have_text("Misconfigured")
    arrived = lambda: {arrival.id for arrival in line.receiver.on(path)}  # noqa: E731 - one may come twice: the sidecar was killed
    assert len(arrived()) == 1
    page.fill("div[name=webhook_url] input", line.receiver.url + path)
    save(page)
    wait_until(lambda: line.sweep() or len(arrived()) == 2, "what waited")
    line.wait_rows(subscription, "success", 2)


def test_no_screen_fails_in_debug_mode(line, page):
    """Its scripts are loaded by themselves then (A5); an error in the console fails the test."""
    subscription, _ = line.subscribe("res.partner", "create", name="Debugged")
    for address in (SUBSCRIPTIONS, f"{SUBSCRIPTIONS}/{subscription}", "webhook-deliveries", "webhook-statistics"):
        for mode in ("1", "assets"):
            page.goto(f"{line.odoo.url}/odoo/{address}?debug={mode}")
            expect(page.locator(".o_list_view, .o_form_view, .o_pivot, .o_kanban_view").first).to_be_visible(timeout=60_000)
    expect(page.locator(".o_error_dialog")).to_have_count(0)


def test_copy_is_inactive_and_deliveries_stay_those_of_the_subscription(line, page):
    """A6; and A12: loaded anew, the list is the same list."""
    subscription, _ = line.subscribe("res.partner", "create", name="To be copied")
    line.subscribe("res.partner", "create", name="Another")
    line.session.create("res.partner", name="Told to two")
    line.wait_rows(subscription, "success")
    open_subscription(page, line, subscription)
    page.click("button[name=action_open_deliveries]")
    expect(page.locator(".o_list_view .o_data_row")).to_have_count(1)
    page.reload()
    expect(page.locator(".o_list_view .o_data_row")).to_have_count(1)
    open_subscription(page, line, subscription)
    act(page, "Duplicate")
    expect(page.locator(".o_statusbar_status .o_arrow_button_current")).to_have_text("Inactive")
