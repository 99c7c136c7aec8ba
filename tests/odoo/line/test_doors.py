"""Odoo's doors, tried over its real protocols: what outsiders reach, what a manager can read back, what an AI may open."""

import json

import pytest
from realodoo.web import RpcError, json2

SUBSCRIPTION, DELIVERY = "mcp.event.subscription", "mcp.webhook.delivery"
MACHINERY = tuple(f"mcp.webhook.{name}" for name in ("outbox", "mirror", "tombstone", "binding", "room", "seen", "told", "preview", "explain", "redelivery"))
OUTSIDERS = "I. Odoo: who is no manager"
SECRETS = "I. Odoo: every public method, asked for secrets"
WRITING = "I. Odoo: what a manager may not write"
COMPANIES = "I. Odoo: managers of another company"
SECRET, HEADER, PATH, NAME = "canary-door-secret-71a0", "canary-door-header-71a1", "canary-door-path-71a2", "canary-door-name-71a3"
SEALED = (SECRET, HEADER)
LAST = ("action_remove_headers", "action_remove_secret", "unlink", "unsubscribe_events")  # they end what the others look at
HIDDEN = ("secret_value", "headers_value", "webhook_secret", "webhook_headers")

# The public methods of a model, as Odoo itself decides it, with the names of their parameters.
LIST_METHODS = """
import inspect, json
found = {}
for model in MODELS:
    cls = type(env[model])
    for name in dir(cls):
        method = getattr(cls, name)
        if name.startswith('_') or not callable(method) or isinstance(method, type) or getattr(method, '_api_private', False):
            continue
        parameters = list(inspect.signature(method).parameters.values())
        names = [p.name for p in parameters if p.name != 'self' and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        found.setdefault(model, {})[name] = [bool(getattr(method, '_api_model', False)), names]
print('METHODS', json.dumps(found))
"""


@pytest.fixture
def planted(line):
    """A subscription with secrets and one of its deliveries: ids."""
    subscription, path = line.subscribe(
        "res.partner", "create", name=NAME, path=f"/{PATH}", webhook_secret=SECRET,
        webhook_headers=f"X-Api-Key: {HEADER}", enrich_fields="name", payload_template=json.dumps({"t": PATH}),
    )
    line.session.create("res.partner", name="Seen through doors")
    line.receiver.wait(path)
    (row,) = line.wait_rows(subscription, "success")
    return {SUBSCRIPTION: subscription, DELIVERY: row["id"], "partner": row["record_ids"][0]}


def doors(model, id_):
    """`(what, method, arguments, named arguments)`: the ways to a model's records."""
    domain = [("id", "=", id_)]
    return [
        ("search_read", [domain, ["display_name"]], {}),
        ("search", [domain], {}),
        ("search_count", [domain], {}),
        ("read", [[id_], ["display_name"]], {}),
        ("web_read", [[id_], {"display_name": {}}], {}),
        ("web_search_read", [domain, {"display_name": {}}], {}),
        ("formatted_read_group", [domain, ["create_uid"], ["__count"]], {}),
        ("web_read_group", [domain, ["create_uid"]], {}),
        ("read_progress_bar", [domain, "create_uid", {"field": "id", "colors": {}}], {}),
        ("name_search", ["", domain], {}),
        ("web_name_search", ["", {"display_name": {}}, domain], {}),
        ("export_data", [[id_], ["display_name"]], {}),
        ("copy", [[id_]], {}),
        ("copy_data", [[id_]], {}),
        ("create", [{}], {}),
        ("web_save", [[], {}, {}], {}),
        ("write", [[id_], {"id": id_}], {}),
        ("web_save", [[id_], {"display_name": "x"}, {}], {}),
        ("unlink", [[id_]], {}),
        ("load", [["id"], [["x"]]], {}),
        ("onchange", [[id_], {}, [], {"display_name": {}}], {}),
        ("get_metadata", [[id_]], {}),
        ("search_read", [domain, ["display_name"]], {"context": {"uid": 1, "su": True, "allowed_company_ids": [1]}}),
    ]


@pytest.mark.parametrize("who", ["employee", "visitor"])
def test_who_is_no_manager_finds_every_door_shut(line, people, planted, attacks, who):
    person = people[who]
    for model in (SUBSCRIPTION, DELIVERY):
        for number, (method, args, kwargs) in enumerate(doors(model, planted[model]), start=1):
            case = f"{who}: {model}.{method}{' with a context' if kwargs else ''} ({number})"
            attacks.refused(OUTSIDERS, case, lambda m=model, n=method, a=args, k=kwargs: person.call(m, n, *a, **k))
    for model in MACHINERY:
        calls = [lambda m=model, n=n, a=a, k=k: person.call(m, n, *a, **k) for n, a, k in doors(model, 1) if n != "get_metadata"]
        attacks.refused(OUTSIDERS, f"{who}: every door of {model}", *calls)
    follow = lambda partner: person.call(SUBSCRIPTION, "message_subscribe", [planted[SUBSCRIPTION]], [partner])  # noqa: E731
    attacks.refused(OUTSIDERS, f"{who}: message_subscribe of another", lambda: follow(1))
    assert follow(person.partner) is False
    attacks.held(OUTSIDERS, f"{who}: message_subscribe of oneself", "answered False")
    attacks.refused(OUTSIDERS, f"{who}: name_create", lambda: person.call(SUBSCRIPTION, "name_create", "x"))
    for method in ("action_approve", "action_send_test", "action_preview", "action_explain", "action_remove_secret",
                   "action_pause", "action_toggle_active", "action_archive", "action_redeliver_failures", "message_post",
                   "message_get_followers"):
        attacks.refused(OUTSIDERS, f"{who}: {method}", lambda m=method: person.call(SUBSCRIPTION, m, [planted[SUBSCRIPTION]]))
    for method, args in (("action_redeliver", [[planted[DELIVERY]]]), ("action_preview", [[planted[DELIVERY]]]),
                         ("action_deliveries_of_record", ["res.partner", planted["partner"]])):
        attacks.refused(OUTSIDERS, f"{who}: {method} of a delivery", lambda m=method, a=args: person.call(DELIVERY, m, *a))


@pytest.mark.parametrize("who", ["employee", "visitor"])
def test_around_the_doors(line, people, planted, attacks, who):
    """Models of Odoo's own that speak about others' records."""
    person, id_ = people[who], planted[SUBSCRIPTION]
    about = [("model", "=", SUBSCRIPTION), ("res_id", "=", id_)]
    asked = {
        "its messages": ("mail.message", "search_read", [about, ["body", "subject"]], {}),
        "its messages' tracking": ("mail.tracking.value", "search_read", [[("mail_message_id.model", "=", SUBSCRIPTION)], []], {}),
        "its followers": ("mail.followers", "search_read", [[("res_model", "=", SUBSCRIPTION)], []], {}),
        "its attachments": ("ir.attachment", "search_read", [[("res_model", "=", SUBSCRIPTION)], []], {}),
        "the parameters": ("ir.config_parameter", "search_read", [[("key", "like", "mcp_webhook")], ["value"]], {}),
        "the settings": ("res.config.settings", "default_get", [["mcp_webhook_sidecar_url", "mcp_webhook_allowed_hosts"]], {}),
        "a filter on it": ("ir.filters", "create", [{"name": who, "model_id": SUBSCRIPTION, "domain": f"[('secret_value', '=like', '{SECRET}%')]"}], {}),
        "a template about it": (
            "mail.template", "create",
            [{"name": who, "model_id": line.model(SUBSCRIPTION), "body_html": "<t t-out='object.sudo().secret_value'/>"}], {},
        ),
        "an action on it": ("ir.actions.server", "create", [{"name": who, "model_id": line.model(SUBSCRIPTION), "state": "code", "code": "1"}], {}),
        "a partner's subscriptions": ("res.partner", "search_read", [[("message_ids.model", "=", SUBSCRIPTION)], ["name"]], {}),
    }
    for what, (model, method, args, kwargs) in asked.items():
        case = f"{who}: {what}"
        said = attacks.sealed(
            OUTSIDERS, case, (*SEALED, PATH, line.sidecar.token), lambda m=model, n=method, a=args, k=kwargs: person.call(m, n, *a, **k)
        )
        assert '"body": "' not in said, case
        assert "mcp_webhook" not in said or "the settings" not in what or "AccessError" in said, f"{case}: {said}"


def test_an_employee_s_change_is_seen_whatever_the_context_says(line, people, planted, attacks):
    contexts = [
        {"mcp_webhook_skip": True}, {"mcp_webhook.skip": True}, {"tracking_disable": True, "mail_notrack": True},
        {"install_mode": True, "module": "base"}, {"active_test": False, "su": True, "uid": 1}, {"import_file": True, "prefetch_fields": False},
    ]
    for context in contexts:
        before = len(line.rows(planted[SUBSCRIPTION]))
        people["administrator"].json2("res.partner", "create", vals_list=[{"name": "Not unseen"}], context=context)
        assert len(line.wait_rows(planted[SUBSCRIPTION], "success", before + 1)) == before + 1
        attacks.held(OUTSIDERS, f"a change under the context {json.dumps(context)}", "was captured and sent")


def arguments(names, ids, field):
    """Something for each parameter that asks for `field` wherever a field can be asked for."""
    like = [(field, "=like", "canary%")]
    known = {
        "fields": [field], "fields_to_export": [field], "allfields": [field], "field_names": [field], "field_name": field,
        "specification": {field: {}}, "fields_spec": {field: {}}, "unfold_read_specification": {field: {}},
        "domain": like if field in HIDDEN[:2] else [], "groupby": [field], "group_by": field, "grouping_sets": [[field]],
        "aggregates": [f"{field}:max"], "having": [], "order": f"{field} desc", "orderby": field, "values": {field: "x"},
        "vals": {"paused": False}, "default": {"name": "a copy"}, "full_name": field, "operation": "read", "name": "x",
        "data": [["x"]], "views": [[False, "form"]], "progress_bar": {"field": field, "colors": {}},
        "spec": {field: {}}, "subscription_id": ids[0], "model_name": "res.partner", "record_id": 1, "model": "res.partner",
        "help_message": "", "user": 1, "access_uid": 1, "vals_list": [], "langs": ["en_US"], "view_type": "form", "view_id": False,
    }
    return {name: known[name] for name in names if name in known}


def test_no_public_method_gives_a_secret_back(line, people, planted, attacks):
    told = line.shell(f"MODELS = {[SUBSCRIPTION, DELIVERY, *MACHINERY, 'mcp.webhook.sidecar']!r}\n{LIST_METHODS}")
    methods = json.loads(next(text for text in told.splitlines() if text.startswith("METHODS ")).partition(" ")[2])
    assert "read" in methods[SUBSCRIPTION] and "action_redeliver" in methods[DELIVERY]
    people["manager"].json2(SUBSCRIPTION, "message_subscribe", ids=[planted[SUBSCRIPTION]], partner_ids=[people["manager"].partner])
    for model in (SUBSCRIPTION, DELIVERY):
        known, id_ = methods.pop(model), planted[model]
        fields = HIDDEN if model == SUBSCRIPTION else [f"subscription_id.{name}" for name in HIDDEN]
        for method in sorted(known, key=lambda name: (name in LAST, name)):
            calls = [c for who in ("manager", "administrator") for c in tries(people[who], model, method, known[method], id_, fields)]
            attacks.sealed(SECRETS, f"manager, administrator: {model}.{method}", SEALED, *calls)
            calls = [c for who in ("employee", "visitor") for c in tries(people[who], model, method, known[method], id_, fields[:1])]
            attacks.sealed(SECRETS, f"employee, visitor: {model}.{method}", (*SEALED, PATH, NAME, "door-manager"), *calls)
    for model, known in methods.items():
        calls = [c for name in known for c in tries(people["administrator"], model, name, known[name], 1, ["delivery_id.event"])]
        attacks.sealed(SECRETS, f"administrator: every method of {model}", SEALED, *calls)


def tries(person, model, method, signature, id_, fields):
    """Calls of one method that ask for each of the fields in turn."""
    of_model, names = signature
    target = {} if of_model else {"ids": [id_]}
    given = [arguments(names, [id_], field) for field in fields]
    return [lambda g=g: person.json2(model, method, **target, **g) for g in given]


@pytest.mark.parametrize("name", ["secret_value", "headers_value", "webhook_secret", "webhook_headers"])
def test_no_question_tells_more_than_its_refusal(line, people, planted, attacks, name):
    """A search, an order or a grouping must not be an oracle."""
    manager = people["manager"]
    true = SECRET if "secret" in name else f"X-Api-Key: {HEADER}"
    for model, field in ((SUBSCRIPTION, name), (DELIVERY, f"subscription_id.{name}")):
        for operator in ("=", "=like", "ilike", "in", "<", "any"):
            answers = []
            for value in (true, "nothing-like-it"):
                wanted = [value] if operator == "in" else [("id", ">", 0)] if operator == "any" else value
                try:
                    answers.append(manager.json2(model, "search", domain=[(field, operator, wanted)]))
                except RpcError as error:
                    answers.append(error.name)
            case = f"{model}: {field} {operator} …"
            if answers[0] != answers[1]:
                attacks.reached(SECRETS, case, f"{answers}")
            attacks.held(SECRETS, case, "the same answer for the secret and for another word")


def test_related_field_of_an_administrator(line, people, planted, attacks):
    """A custom field that follows the relation takes the ban along."""
    administrator = people["administrator"]
    field = administrator.call(
        "ir.model.fields", "create",
        {"name": "x_door", "model_id": line.model(DELIVERY), "ttype": "char", "related": "subscription_id.secret_value",
         "field_description": "Door", "readonly": True, "store": False},
    )
    try:
        for method, params in (("read", {"ids": [planted[DELIVERY]], "fields": ["x_door"]}),
                               ("export_data", {"ids": [planted[DELIVERY]], "fields_to_export": ["x_door"]}),
                               ("web_read", {"ids": [planted[DELIVERY]], "specification": {"x_door": {}}}),
                               ("search_read", {"domain": [("x_door", "=like", "canary%")], "fields": ["id"]})):
            attacks.refused(SECRETS, f"administrator: {method} of a custom related field", lambda m=method, p=params: administrator.json2(DELIVERY, m, **p))
    finally:
        administrator.call("ir.model.fields", "unlink", [field])


def test_what_a_manager_may_not_write(line, people, planted, attacks):
    manager, id_, row = people["manager"], planted[SUBSCRIPTION], planted[DELIVERY]
    kept = {
        "uuid": "x", "model_name": "res.users", "endpoint_host": "x", "secret_value": "x", "headers_value": "x", "has_secret": False,
        "header_names": "x", "watched_field_names": "x", "last_delivery": "2020-01-01 00:00:00", "last_delivery_status": "success",
        "failure_count": 0, "approval": "approved", "sync_error": False, "sync_pending": False, "is_alerting": False,
        "delivery_ids": [(0, 0, {"event_uuid": "x"})],
    }
    for name, value in kept.items():
        values = {name: value}
        attacks.refused(WRITING, f"write {name}", lambda v=values: manager.json2(SUBSCRIPTION, "write", ids=[id_], vals=v))
        attacks.refused(WRITING, f"web_save {name}", lambda v=values: manager.json2(SUBSCRIPTION, "web_save", ids=[id_], vals=v, specification={}))
        new = {"model_id": line.model("res.partner"), **values}
        attacks.refused(WRITING, f"create with {name}", lambda v=new: manager.json2(SUBSCRIPTION, "create", vals_list=[v]))
        made = manager.json2(
            SUBSCRIPTION, "create", vals_list=[{"model_id": line.model("res.partner")}], context={f"default_{name}": value}
        )
        assert manager.json2(SUBSCRIPTION, "read", ids=made, fields=["approval", "failure_count", "uuid"])[0]["approval"] == "none"
        attacks.held(WRITING, f"default_{name} in a context", "no effect")
    for command in ([(1, row, {"status": "success"})], [(2, row)], [(3, row)], [(5,)], [(6, 0, [])]):
        values = {"delivery_ids": command}
        attacks.refused(WRITING, f"delivery_ids {command[0][:2]}", lambda v=values: manager.json2(SUBSCRIPTION, "write", ids=[id_], vals=v))
    for who in ("manager", "administrator"):
        for method, params in (("write", {"ids": [row], "vals": {"status": "failed"}}), ("unlink", {"ids": [row]}),
                               ("create", {"vals_list": [{"event_uuid": "x"}]}), ("copy", {"ids": [row]}),
                               ("load", {"fields": ["event_uuid"], "data": [["x"]]})):
            attacks.refused(WRITING, f"{who}: {method} of the log", lambda w=who, m=method, p=params: people[w].json2(DELIVERY, m, **p))
    for method in ("_sidecar_values", "_headers", "_insert", "_push_all", "_sync_all", "_note_sync", "_token", "_client", "_pull_quietly", "sudo", "with_env"):
        for model in (SUBSCRIPTION, DELIVERY, "mcp.webhook.sidecar", "mcp.webhook.mirror"):
            attacks.refused(WRITING, f"administrator: {model}.{method}", lambda m=model, n=method: people["administrator"].json2(m, n))


def test_a_manager_of_another_company(line, people, planted, attacks):
    code = f"""
other = env['res.company'].create({{'name': 'Door Company'}})
env['mcp.event.subscription'].browse({planted[SUBSCRIPTION]}).company_id = env.ref('base.main_company')
env['mcp.webhook.delivery'].browse({planted[DELIVERY]}).sudo().company_id = env.ref('base.main_company')
user = env['res.users'].create({{'name': 'foreigner', 'login': 'door-foreigner', 'company_id': other.id, 'company_ids': [(6, 0, other.ids)],
    'group_ids': [(6, 0, [env.ref('base.group_user').id, env.ref('mcp_webhook.group_manager').id])]}})
import datetime
print('KEY', env(user=user.id)['res.users.apikeys'].sudo()._generate('rpc', 'x', datetime.datetime.now() + datetime.timedelta(days=1)))
env.cr.commit()
"""
    key = line.shell(code).split()[-1]
    for model in (SUBSCRIPTION, DELIVERY):
        id_ = planted[model]
        for context in ({}, {"allowed_company_ids": [1]}):
            def call(method, model=model, context=context, **params):
                return json2(line.odoo, key, model, method, **params, context=context)

            what = f"{model}{' with foreign companies in the context' if context else ''}"
            for method, params in (("read", {"fields": ["display_name"]}), ("write", {"vals": {"paused": True}}), ("unlink", {}), ("export_data", {"fields_to_export": ["display_name"]}), ("copy", {})):
                attacks.refused(COMPANIES, f"{what}: {method}", lambda c=call, m=method, p=params, i=id_: c(m, ids=[i], **p))
            if context:
                attacks.refused(COMPANIES, f"{what}: search", lambda c=call, i=id_: c("search", domain=[("id", "=", i)]))
            else:
                assert call("search", domain=[("id", "=", id_)]) == []
                attacks.held(COMPANIES, f"{what}: search", "found nothing")
    for method in ("action_approve", "action_pause", "action_send_test", "action_preview", "action_remove_secret"):
        attacks.refused(COMPANIES, f"{method}", lambda m=method: json2(line.odoo, key, SUBSCRIPTION, m, ids=[planted[SUBSCRIPTION]]))
    for method in ("unsubscribe_events", "update_subscription"):
        attacks.refused(COMPANIES, method, lambda m=method: json2(line.odoo, key, SUBSCRIPTION, m, subscription_id=planted[SUBSCRIPTION]))
