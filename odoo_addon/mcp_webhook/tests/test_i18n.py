# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Every term is in the template, and every term has its French."""

import io
import re
import string

import polib

from odoo.modules import get_module_path
from odoo.tests import TransactionCase, tagged
from odoo.tools.translate import trans_export

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
        row = self.env["mcp.webhook.delivery"].create(
            {"event_uuid": "x", "status": "failed", "response_code": 404}
        )
        self.assertIn("rien à cette adresse", row.with_context(lang="fr_FR").advice)
