# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Every term is in the template, and every term has its French."""

import ast
import io
import re
import string
from pathlib import Path

import polib

from odoo.exceptions import UserError
from odoo.modules import get_module_path
from odoo.tests import TransactionCase, new_test_user, tagged
from odoo.tools.translate import trans_export

from ..tools.translated import translated
from ..tools.words import _lt, detailed
from .common import WebhookCase

PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[sr]")


def catalogue(name):
    return polib.pofile(f"{get_module_path('mcp_webhook')}/i18n/{name}")


@tagged("post_install", "-at_install")
class TestTranslations(TransactionCase):
    def test_template_is_what_odoo_exports(self):
        buffer = io.BytesIO()
        trans_export(False, ["mcp_webhook"], buffer, "po", self.env)
        exported = {entry.msgid for entry in polib.pofile(buffer.getvalue().decode())}
        kept = {entry.msgid for entry in catalogue("mcp_webhook.pot")}
        self.assertGreater(len(kept), 300)
        # Other installed modules' inherited texts differ from database to database.
        told = "run: python3 tests/odoo/i18n.py"
        self.assertFalse(sorted(exported - kept), told)
        self.assertFalse(sorted(kept - exported), told)

    def test_every_term_has_its_french(self):
        french = {entry.msgid: entry for entry in catalogue("fr.po")}
        for entry in catalogue("mcp_webhook.pot"):
            translated = french.get(entry.msgid)
            self.assertTrue(translated and translated.msgstr, entry.msgid)
            self.assertNotIn("fuzzy", translated.flags, entry.msgid)

    def test_placeholders_and_tags_survive(self):
        for entry in catalogue("fr.po"):
            for pattern in (PLACEHOLDER, re.compile(r"</?\w+"), re.compile(r"{{.*?}}")):
                self.assertEqual(
                    sorted(pattern.findall(entry.msgid)),
                    sorted(pattern.findall(entry.msgstr)),
                    entry.msgid,
                )
            edges = string.whitespace
            self.assertEqual(
                (entry.msgid[0] in edges, entry.msgid[-1] in edges),
                (entry.msgstr[0] in edges, entry.msgstr[-1] in edges),
                entry.msgid,
            )

    def test_screens_speak_french(self):
        self.env["res.lang"]._activate_lang("fr_FR")
        self.env["ir.module.module"].search(
            [("name", "=", "mcp_webhook")]
        )._update_translations(["fr_FR"])
        Subscription = self.env["mcp.event.subscription"].with_context(lang="fr_FR")
        arch = Subscription.get_view(view_type="form")["arch"]
        self.assertIn("Envoyer un événement de test", arch)
        self.assertEqual(
            Subscription.fields_get(["webhook_secret"])["webhook_secret"]["string"],
            "Secret de signature",
        )
        subscription = Subscription.create(
            {
                "model_id": self.env["ir.model"]._get_id("res.partner"),
                "webhook_url": "https://example.com/",
            }
        )
        row = self.env["mcp.webhook.delivery"].create(
            {
                "event_uuid": "x",
                "status": "failed",
                "response_code": 404,
                "subscription_id": subscription.id,
            }
        )
        self.assertIn("rien à cette adresse", row.with_context(lang="fr_FR").advice)


# What is kept or raised before it is known who reads it, and which argument its words are.
KEPT = {"SidecarUnreachable": 0, "BrokenSubscription": 1, "Broken": 1, "_fail": 1}


def is_unmarked(call):
    """Whether the words of this call are a text that the translators do not see."""
    place = KEPT.get(getattr(call.func, "id", None) or getattr(call.func, "attr", None))
    if place is None or len(call.args) <= place:
        return False
    words = call.args[place]
    if isinstance(words, ast.Call) and getattr(words.func, "id", None) == "detailed":
        words = words.args[0]
    return isinstance(words, ast.Constant | ast.JoinedStr | ast.BinOp)


@tagged("post_install", "-at_install")
class TestKeptWords(WebhookCase):
    """An error that was kept is read in its reader's language, not its writer's."""

    def french(self):
        self.env["res.lang"]._activate_lang("fr_FR")
        self.admin.lang = "fr_FR"
        return self.env(user=self.admin, context={"lang": "fr_FR"})

    def test_none_is_unmarked(self):
        folder = Path(get_module_path("mcp_webhook"))
        found, seen = [], 0
        for path in folder.rglob("*.py"):
            if "tests" in path.parts:
                continue
            calls = [
                node
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Call)
            ]
            seen += sum(getattr(call.func, "id", None) in KEPT for call in calls)
            found += [f"{path.name}:{c.lineno}" for c in calls if is_unmarked(c)]
        self.assertGreater(seen, 20)
        self.assertEqual(found, [])

    def test_sentence_and_detail(self):
        env = self.french()
        sentence = _lt("The sidecar cannot be reached.")
        for detail, end in (
            (None, ""),
            ("TimeoutError", " (TimeoutError)"),
            ("odd) (name", " (odd   name)"),
        ):
            text = detailed(sentence, detail)
            self.assertEqual(text, sentence + end)
            self.assertEqual(translated(env, text), "Le sidecar est injoignable." + end)
        for others in ("connection refused (os error 111)", "", "a (b) c\n(d)"):
            self.assertEqual(translated(env, others), others)

    def test_a_row_that_failed_in_odoo(self):
        env = self.french()
        reader = new_test_user(self.env, "reader", groups="base.group_user")
        subscription = self.subscribe(user_id=reader.id, event_type="create")
        reader.active = False
        self.Partner.create({"name": "A"})
        row = self.rows(subscription)[-1]
        self.commit()
        self.assertIn("is archived", row.error_in_words)
        row = row.with_env(env)
        self.assertIn("est archivé", row.error_in_words)
        self.assertIn("(reader", row.error_in_words)
        with self.assertRaisesRegex(UserError, "est archivé"):
            self.in_test_mode(row.action_redeliver)

    def test_a_sidecar_that_is_down(self):
        env = self.french()
        subscription = self.subscribe(event_type="create").with_env(env)
        self.Partner.create({"name": "A"})
        self.commit()
        row = self.rows(subscription).with_env(env)[-1]
        self.sidecar.down = True
        for press in (
            row.action_retry_now,
            subscription.action_send_test,
            self.env["res.config.settings"]
            .with_env(env)
            .create({})
            .action_mcp_webhook_test_connection,
        ):
            with self.assertRaisesRegex(UserError, "Le sidecar n’a pas répondu"):
                self.in_test_mode(press)

    def in_test_mode(self, press):
        with self.enter_registry_test_mode():
            press()
