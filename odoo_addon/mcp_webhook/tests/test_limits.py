# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What one value may be: every text field and every parameter, through every door, at
its limit and above, with the memory that a refusal takes."""

import inspect
import json
import time
import tracemalloc
import xmlrpc.client

from odoo.exceptions import UserError
from odoo.tests import BaseCase, new_test_user, tagged

from ..models import mcp_webhook_delivery_advice
from ..models.mcp_event_subscription import KEPT_FIELDS as KEPT_BY_PROGRAM
from ..tools import denied_models, exports, limits, words
from ..tools.template_names import names_in
from .common import WebhookCase

MODELS = ("mcp.event.subscription", "res.config.settings")
MOST_MEMORY = 64 << 20
MOST_SECONDS = 2  # of a processor, as no call may cost more
MIB = 1 << 20
# Too much of each kind, and what a parser or a walk would make of it.
HUGE = {
    "letters": lambda: "x" * (8 * MIB),
    "objects": lambda: "[" + "{}," * MIB + "{}]",
    "lists": lambda: "[" + "[]," * MIB + "[]]",
    "brackets": lambda: "[" * MIB,
    "minus signs": lambda: "-" * MIB,
    "quotes": lambda: "'" * MIB + '"\\' * MIB,
    "lines": lambda: "a\n" * MIB,
    "dots": lambda: "a." * MIB,
    "colons": lambda: "a: b\n" * MIB,
    "commas": lambda: "a," * MIB,
    "digits": lambda: "1" * MIB,
    "wide letters": lambda: "\U0001f600" * MIB,
}
STRUCTURES = {
    "objects": lambda: [{} for _number in range(MIB)],
    "an object": lambda: {str(number): 0 for number in range(MIB)},
    "names": lambda: ["name"] * MIB,
    "one long name": lambda: ["x" * (8 * MIB)],
    "one long key": lambda: {"x" * (8 * MIB): 1},
    "depth": lambda: nested(400),
    "long numbers": lambda: [10**4290] * 4900,
    "long numbers as keys": lambda: {10**4290 + number: 0 for number in range(4900)},
    "long bytes": lambda: [b"x" * (8 * MIB)],
    "numbers": lambda: [1.5] * MIB,
}
STEERING = (
    *"\0\x1b\x7f\x9b\n\xad\u061c\u180e\u200b\u200e\u200f\u2028\u2029\u202a\u202e",
    *"\u2060\u2066\u2069\ufeff\ufff9\U0001d173\U000e0041",
)
WELL = {  # texts of exactly so many bytes that are right in every other way
    "connection": None,
    "domain": lambda size: f"[('name', '=', '{'x' * (size - 19)}')]",
    "enrich_fields": lambda size: "name" + "\n" * (size - 4),
    "enrich_path": None,
    "mcp_webhook_allowed_hosts": lambda size: "a" * size,
    "mcp_webhook_sidecar_token": lambda size: "t" * size,
    "mcp_webhook_sidecar_url": lambda size: f"http://{'a' * (size - 7)}",
    "mcp_webhook_wake_url": lambda size: f"http://{'a' * (size - 7)}",
    "name": lambda size: "n" * size,
    "payload_template": lambda size: json.dumps("x" * (size - 2)),
    "success_equals": None,  # goes with a pointer only, see `test_success`
    "success_pointer": lambda size: "/" + "p" * (size - 1),
    "webhook_headers": lambda size: "\n" * (size - 4) + "X: y",
    "webhook_secret": lambda size: "s" * size,
    "webhook_url": lambda size: f"https://example.com/{'p' * (size - 20)}",
}


def nested(depth):
    value = []
    for _level in range(depth):
        value = [value]
    return value


@tagged("post_install", "-at_install")
class TestLimits(WebhookCase):
    def setUp(self):
        super().setUp()
        self.clerk = new_test_user(self.env, "clerk", groups="base.group_user")
        self.subscription = self.subscribe()

    def refused(self, begins, call, *args):
        """`call(*args)` names what is too much, and takes next to nothing."""
        tracemalloc.start()
        try:
            with self.assertRaises(UserError) as caught, self.cr.savepoint(flush=False):
                call(*args)
            _now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        text = str(caught.exception)
        self.assertTrue(text.startswith(begins), f"{text[:200]} for {begins}")
        self.assertLess(len(text), 1000)
        self.assertLess(peak, MOST_MEMORY, begins)

    def texts(self, model):
        """The names of text fields that a caller can write."""
        kept = ("uuid", "message_", "activity_", "website_message")
        return [
            name
            for name, field in self.env[model]._fields.items()
            if field.type in ("char", "text", "html", "json", "serialized")
            and (not field.readonly or field.inverse)
            and (model != "res.config.settings" or name.startswith("mcp_webhook_"))
            and not name.startswith(kept)
            and name not in KEPT_BY_PROGRAM
        ]

    def test_every_text_field_has_a_limit(self):
        for name in self.env.registry:
            if name in MODELS or name.startswith(("mcp.event.", "mcp.webhook.")):
                writers = ("mcp.webhook.outbox", "mcp.webhook.mirror")
                if name == "mcp.webhook.delivery" or name.startswith(writers):
                    continue  # nobody writes them
                ours = ("binding", "seen", "sidecar", "tombstone")
                if name.removeprefix("mcp.webhook.") in ours:
                    continue
                for text in self.texts(name):
                    self.assertIn(text, limits.FIELDS, f"{name}.{text}")

    def test_dialogs_hold_their_texts_to_it(self):
        dialogs = [
            name
            for name, model in self.env.registry.items()
            if "mcp.webhook.dialog" in model._inherit and self.texts(name)
        ]
        self.assertTrue(dialogs)
        given = {"subscription_id": self.subscription.id}
        for name in dialogs:
            for text in self.texts(name):
                value = "x" * (limits.FIELDS[text].bytes + 1)
                with self.subTest(dialog=name, field=text):
                    create = self.env[name].create
                    self.refused(f"{text}:", create, {**given, text: value})

    def test_every_parameter_has_a_limit(self):
        Subscription = self.env["mcp.event.subscription"]
        given = inspect.signature(Subscription.subscribe_events).parameters
        self.assertEqual(set(given), set(limits.PARAMETERS))

    def doors(self, model, name):
        """`{door: call}`, each taking the value."""
        records = self.env[model]
        label = {name: {}}
        found = {"onchange": lambda value: records.onchange({name: value}, [name], label)}
        if model == "res.config.settings":  # the stored parameter wins over a default
            found["create"] = lambda value: records.create({name: value})
            return found
        default = f"default_{name}"
        found["default"] = lambda value: records.with_context(
            **{default: value}
        ).default_get([name])
        found["create"] = lambda value: records.create(
            {"model_id": self.subscription.model_id.id, name: value}
        )
        found["write"] = lambda value: self.subscription.write({name: value})
        return found

    def test_above_the_limit_each_field_is_refused_by_name_through_each_door(self):
        for model in MODELS:
            for name in self.texts(model):
                for door, call in self.doors(model, name).items():
                    for what, make in HUGE.items():
                        value = make()
                        with self.subTest(field=name, door=door, what=what):
                            self.refused(f"{name}:", call, value)
                    for what, make in STRUCTURES.items():
                        if door == "default" and what == "depth":
                            continue  # Odoo makes a short text of it
                        value = make()
                        with self.subTest(field=name, door=door, what=what):
                            self.refused(f"{name}:", call, value)

    def test_at_the_limit_each_field_is_taken_and_one_byte_more_is_not(self):
        for model in MODELS:
            for name in self.texts(model):
                if WELL[name] is None:
                    continue
                most = limits.FIELDS[name].bytes
                create = self.doors(model, name)["create"]
                with self.subTest(field=name):
                    self.assertEqual(len(WELL[name](most).encode()), most)
                    create(WELL[name](most))
                    self.refused(f"{name}:", create, WELL[name](most + 1))

    def test_numbers_of_things(self):
        many = {
            "domain": lambda n: "[" + "('id', '=', 1), " * n + "]",
            "enrich_fields": lambda n: "name\n" * n,
            "webhook_headers": lambda n: "".join(
                f"X-{number}: {'v' * 4096}\n" for number in range(n)
            ),
        }
        write = self.subscription.write
        for name, most in (
            ("domain", limits.MAX_CONDITIONS),
            ("enrich_fields", limits.MAX_PATHS),
            ("webhook_headers", limits.MAX_HEADERS),
        ):
            with self.subTest(field=name):
                write({name: many[name](most)})
                more = {name: many[name](most + 1)}
                self.refused(f"{name}:", write, more)
        deep = json.dumps(nested(31))
        self.subscription.payload_template = deep
        self.refused(
            "payload_template:",
            lambda: self.subscription.write({"payload_template": f"[{deep}]"}),
        )

    def test_text_that_hides_its_brackets_is_counted(self):
        for text in (
            "['''a'b''', " + "[" * 40 + "]" * 40 + "]",
            "[# '\n" + "[" * 40 + "]" * 40 + "]",
            "['\\'', " + "[" * 40 + "]" * 40 + "]",
        ):
            self.refused("domain:", lambda t=text: self.subscription.write({"domain": t}))
        harmless = "[('name', '=', '" + "[" * 40 + "')]"
        self.subscription.domain = harmless

    def test_control_and_direction_stay_out_of_names_and_addresses(self):
        for name in ("name", "webhook_url", "webhook_secret"):
            for char in STEERING:
                text = f"https://example.com/{char}x0123456789"
                self.refused(
                    f"{name}:", lambda n=name, t=text: self.subscription.write({n: t})
                )
        for name in ("مرحبا שלום 你好", "می\u200cخواهم", "👩\u200d💻"):
            self.subscription.name = name

    def test_what_a_manager_approves_reads_as_it_is(self):
        """A filter or a template that turns the direction shows another one."""
        turning = "\u202e\u2066\x9b\u200f\u200b\xad\U000e0041"
        for name, text in (
            ("domain", "[('name', '=', '%s')]"),
            ("payload_template", '{"a": "%s"}'),
            ("enrich_fields", "name%s"),
        ):
            for char in turning:
                values = {name: text % char}
                self.refused(f"{name}:", self.subscription.write, values)
        calls = self.env["mcp.event.subscription"].with_user(self.clerk)
        answer = calls.subscribe_events(
            "res.partner",
            domain=[["name", "=", turning]],
            webhook_payload_template={"a": turning},
        )
        made = self.env["mcp.event.subscription"].browse(answer["id"])
        self.assertEqual(json.loads(made.payload_template), {"a": turning})
        self.assertEqual(made.domain, f"[['name', '=', {turning!r}]]")
        shown = made.domain + made.payload_template
        self.assertTrue(shown.replace("\n", "").isascii())
        self.assertTrue(shown.replace("\n", "").isprintable())

    def test_what_is_no_text_is_refused(self):
        """Odoo would make one of it, past the limits."""
        write = self.subscription.write
        for name in ("name", "webhook_url", "domain", "payload_template"):
            for value in (10**4200, 1.5, xmlrpc.client.Binary(b"x\x9b"), object()):
                self.refused(f"{name}:", lambda n=name, v=value: write({n: v}))

    def test_parameters_of_the_ai_s_door(self):
        calls = self.env["mcp.event.subscription"].with_user(self.clerk)
        made = calls.subscribe_events("res.partner")
        for name in limits.PARAMETERS:
            values = [(what, make) for what, make in HUGE.items()]
            values += list(STRUCTURES.items())
            for what, make in values:
                value = make()
                given = {"model": "res.partner", name: value}
                with self.subTest(parameter=name, what=what):
                    self.refused(f"{name}:", lambda g=given: calls.subscribe_events(**g))
                    self.refused(
                        f"{name}:",
                        lambda g={name: value}: calls.update_subscription(
                            made["id"], **g
                        ),
                    )
        unknown = {f"p{number}": 1 for number in range(100_000)}
        self.refused("p0:", lambda: calls.update_subscription(made["id"], **unknown))
        long = {"x" * MIB: 1}
        self.refused("xxx", lambda: calls.update_subscription(made["id"], **long))
        for wrong in (10**4000, -1, 0, 2**31, True, "1", [1] * MIB):
            for call in (calls.unsubscribe_events, calls.update_subscription):
                self.refused("subscription_id:", call, wrong)

    def test_at_the_limit_a_template_is_taken(self):
        calls = self.env["mcp.event.subscription"].with_user(self.clerk)
        many = [0] * 4_000
        answer = calls.subscribe_events("res.partner", webhook_payload_template=many)
        stored = self.env["mcp.event.subscription"].browse(answer["id"])
        self.assertEqual(json.loads(stored.payload_template), many)


@tagged("post_install", "-at_install")
class TestQuarantine(WebhookCase):
    def test_what_was_stored_before_there_were_limits_keeps_no_other_from_the_sidecar(
        self,
    ):
        others = self.subscribe() | self.subscribe()
        for column, value in (
            ("payload_template", "[" + "{}," * 30_000 + "{}]"),
            ("payload_template", "[" * 100 + "]" * 100),
            ("payload_template", "{"),
            ("webhook_url", "https://example.com/" + "x" * 4000),
            ("secret_value", "x" * 400),
            ("headers_value", "no colon"),
        ):
            old = self.subscribe()
            self.env.cr.execute(
                f"UPDATE mcp_event_subscription SET {column} = %s, sync_pending = TRUE "
                "WHERE id = %s",
                [value, old.id],
            )
            self.env.invalidate_all()
            for complete in (True, False):
                self.sidecar.calls.clear()
                others.sync_pending = True
                old.sync_pending = True
                Subscription = self.env["mcp.event.subscription"]
                Subscription._sync_all() if complete else Subscription._sync_dirty()
                bare = {"id": old.uuid}  # what is stored there is kept, and waits
                calls = [
                    (method, [s for s in params["subscriptions"] if s != bare])
                    if method == "subscription.sync"
                    else (method, params)
                    for method, params in self.sidecar.calls
                    if params != {**bare, "paused": True}
                ]
                sent = str(calls)
                for other in others:
                    self.assertIn(other.uuid, sent)
                self.assertNotIn(old.uuid, sent, column)
                self.assertTrue(old.sync_error, column)
                self.assertFalse(old.sync_pending, column)
            self.assertTrue(old.read(), "it can be opened, to be corrected")
            self.sidecar.calls.clear()
            self.env["mcp.event.subscription"]._sync_dirty()
            self.assertNotIn(old.uuid, str(self.sidecar.calls), "not by itself again")
            old.unlink()


@tagged("post_install", "-at_install")
class TestScanned(BaseCase):
    """A stranger's text is read by our own scanners in the process of everybody: at its
    limit, whatever it looks like, in a time that nobody notices."""

    SIZE = limits.TEMPLATE.bytes // 2  # for what grows with the square, this is enough

    def shapes(self):
        parts = ("{{", "{%", "{{ a }}", " ", "-", '"', '\\"', "'", "\\", "a", "a.", "<")
        parts += (
            "?",
            "?.",
            "\n",
            "[",
            "(",
            " (",
            "record.a ",
            "<script ",
            "&token",
            "%3F",
        )
        for part in parts:
            for begin in ("", "{{", "{% for ", '{{ "'):
                for end in ("", "x}}", '"'):
                    yield begin + part * (self.SIZE // len(part)) + end

    def test_each_scanner_reads_each_letter_once(self):
        scanners = {
            "names": names_in,
            "brackets": limits.values_of,
            "export": exports.defused,
            "sentence": words.parts,
            "answer": mcp_webhook_delivery_advice._in_one_line,
            "links": denied_models.without_link_secrets,
        }
        for name, scan in scanners.items():
            slowest = max(self.shapes(), key=lambda text, s=scan: timed(s, text))
            with self.subTest(scanner=name, begins=slowest[:30], ends=slowest[-10:]):
                self.assertLess(timed(scan, slowest), MOST_SECONDS)


def timed(scan, text):
    """Seconds of the processor."""
    begun = time.process_time()
    scan(text)
    return time.process_time() - begun
