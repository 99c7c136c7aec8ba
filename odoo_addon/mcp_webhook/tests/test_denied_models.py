# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import re
from types import SimpleNamespace
from unittest.mock import patch

from odoo.exceptions import ValidationError
from odoo.tests import tagged

from ..tools import denied_models
from ..tools.denied_models import (
    SECRET_FIELDS,
    SECRET_MODELS,
    holds_secrets,
    is_secret,
    tells_a_secret,
    without_link_secrets,
)
from ..tools.validation import may_be_watched
from .common import WebhookCase

REFUSED = (
    "ir.config_parameter",
    "ir.mail_server",
    "fetchmail.server",
    "res.users.apikeys",
    "auth_totp.device",
    "auth.passkey.key",
    "iap.account",
    "payment.provider",
    "payment.token",
)
ALLOWED = ("res.partner", "res.users", "res.company", "res.groups", "ir.attachment")
# A stored text with such a name, in a model that is not on the list, must be looked at.
SUSPICIOUS = re.compile(r"(^|_)(password|passwd|secret|secret_key|api_key|private_key)$")
LOOKED_AT = {
    "mcp.event.subscription",  # nobody watches it
    "res.users",  # the password is a hash, and restricted to nobody
}


@tagged("post_install", "-at_install")
class TestDeniedModels(WebhookCase):
    def refused(self, model, **values):
        try:
            with self.cr.savepoint():
                self.subscribe(model, **values)
        except ValidationError as error:
            return str(error)
        return None

    def test_models_that_hold_secrets_are_refused_and_not_offered(self):
        field = self.env["mcp.event.subscription"]._fields["model_id"]
        domain = field.domain(self.env["mcp.event.subscription"])
        offered = self.env["ir.model"].search(domain).mapped("model")
        for name in REFUSED:
            self.assertTrue(holds_secrets(name), name)
            if name in self.env:
                self.assertRegex(self.refused(name), "^model_id: .*credentials")
                self.assertNotIn(name, offered)
        for name in ALLOWED:
            self.assertTrue(may_be_watched(self.env[name]), name)
            self.assertIn(name, offered)
        self.assertFalse(holds_secrets("payment.transaction"))

    def test_groups_of_a_user_may_be_watched(self):
        self.assertIsNone(self.refused("res.users", watched=["group_ids"]))

    def test_no_path_and_no_filter_leads_into_them(self):
        told = self.refused("res.users", enrich_fields="api_key_ids.name")
        self.assertRegex(told, "^enrich_fields: ")
        for domain in (
            "[('api_key_ids.name', '=like', 'a%')]",
            "[('api_key_ids', 'any', [('name', '=like', 'a%')])]",
        ):
            self.assertRegex(self.refused("res.users", domain=domain), "^domain: ")

    def test_fields_that_are_named_like_credentials_stay_at_home(self):
        """In a model that may be watched: at save, in a filter, and stored before."""
        action = self.env["ir.actions.server"].create(
            {
                "name": "A",
                "model_id": self.env["ir.model"]._get_id("res.partner"),
                "state": "webhook",
                "webhook_url": "https://example.com/canary",
            }
        )
        told = self.refused("ir.actions.server", enrich_fields="webhook_url")
        self.assertRegex(told, "^enrich_fields: .*credential")
        domain = "[('webhook_url', '=like', 'https://example.com/c%')]"
        told = self.refused("ir.actions.server", domain=domain)
        self.assertRegex(told, "^domain: ")
        subscription = self.subscribe("ir.actions.server", enrich_fields="name")
        self.env.cr.execute(
            "UPDATE mcp_event_subscription SET enrich_fields = %s WHERE id = %s",
            ["name\nwebhook_url", subscription.id],
        )
        subscription.invalidate_recordset()
        action.name = "B"
        (event,) = self.events(subscription)
        self.assertEqual(event["records"], [{"id": action.id, "name": "B"}])

    def test_what_is_named_like_a_credential(self):
        def field(name, type_="char", model="res.partner", shown=None):
            return SimpleNamespace(
                name=name, type=type_, model_name=model, related_field=shown
            )

        for name in (
            "access_token",
            "access_tokens",
            "invite_token",
            "authtoken",
            "google_calendar_rtoken",
            "adyen_api_key",
            "apikey2",
            "l10n_hu_edi_signature_key",
            "viva_com_webhook_verification_key",
            "mp_webhook_secret_key",
            "dpopay_bearer_token",
            "glory_password",
            "password2",
            "ftp_pwd",
            "client_secret",
            "credential_identifier",
            "x_studio_API_Key",
            "webhook_url",
            "attendance_kiosk_url",
        ):
            self.assertTrue(is_secret(field(name)), name)
            self.assertTrue(is_secret(field("x_a", shown=field(name))), f"shown: {name}")
        for name in (
            "name",
            "keyword",
            "tokenize_note",
            "secretary",
            "passport_id",
            "key",
            "external_key",
            "document_key",
            "avatar_cache_key",
            "website_form_key",
            "google_analytics_key",
            "license_key",
            "identifier",
            "url",
        ):
            self.assertFalse(is_secret(field(name)), name)
        self.assertFalse(is_secret(field("token_id", "many2one")))
        self.assertTrue(is_secret(field("identifier", model="restaurant.table")))

    def test_whose_credentials_they_are_may_leave(self):
        """As before: the name of a record that holds some, and nothing behind it."""
        server = self.env["ir.mail_server"].create({"name": "S", "smtp_host": "h"})
        mail = self.env["mail.mail"].create({"mail_server_id": server.id})
        subscription = self.subscribe("mail.mail", enrich_fields="mail_server_id")
        mail.email_to = "a@example.com"
        (event,) = self.events(subscription)
        self.assertEqual(event["records"][0]["mail_server_id"]["id"], server.id)
        told = self.refused("mail.mail", enrich_fields="mail_server_id.smtp_host")
        self.assertRegex(told, "^enrich_fields: .*credentials")

    def test_names_of_records_that_are_credentials(self):
        """As of gift cards, whose name is the code that spends them."""
        bank = self.env["res.bank"].create({"name": "CANARY"})
        account = {"acc_number": "1", "bank_id": bank.id, "partner_id": self.env.uid}
        secret = SECRET_FIELDS | {"res.bank.name"}
        with patch.object(denied_models, "SECRET_FIELDS", secret):
            self.assertTrue(tells_a_secret(bank))
            for path in ("bank_id.display_name", "bank_id.name"):
                told = self.refused("res.partner.bank", enrich_fields=path)
                self.assertRegex(told, "^enrich_fields: .*credential")
            for domain in (
                "[('bank_id', 'ilike', 'C')]",
                "[('bank_id', 'in', ['CANARY'])]",
                "[('bank_id.display_name', '=like', 'C%')]",
                "[('bank_id', 'any', [('name', '=like', 'C%')])]",
                "[('partner_id.bank_ids.bank_id', 'ilike', 'C')]",
            ):
                told = self.refused("res.partner.bank", domain=domain)
                self.assertRegex(told or domain, "^domain: ")
            subscription = self.subscribe(
                "res.partner.bank",
                enrich_fields="bank_id\nacc_number",
                domain=f"['|', ('bank_id', '=', {bank.id}), ('bank_id', '=', False)]",
            )
            made = self.env["res.partner.bank"].create(account)
            (event,) = self.events(subscription)
        told = {"id": made.id, "bank_id": {"id": bank.id}, "acc_number": "1"}
        self.assertEqual(event["records"], [told])

    def test_links_in_texts_lead_nowhere_without_a_credential(self):
        for text, told in (
            ("?token=abc", "?token=***"),
            (
                "/web/signup?db=x&amp;token=a-b_c&amp;x=1",
                "/web/signup?db=x&amp;token=***&amp;x=1",
            ),
            (
                '<a href="/my?access_token=abc">Go</a>',
                '<a href="/my?access_token=***">Go</a>',
            ),
            (
                "?redirect=%2Fmy%3Faccess_token%3Dabc",
                "?redirect=%2Fmy%3Faccess_token%3D***",
            ),
            (
                "https://a.example/?a=1&API_KEY=k#f",
                "https://a.example/?a=1&API_KEY=***#f",
            ),
            ("?signature=s&invite_hash=h", "?signature=***&invite_hash=***"),
        ):
            self.assertEqual(without_link_secrets(text), told)
        for text in (
            "token=abc",
            "a token? yes = no",
            "/odoo/contacts?view=list&id=3",
            "/shop?keyword=token&search=secret",
        ):
            self.assertEqual(without_link_secrets(text), text)
        partner = self.env["res.partner"].create({"name": "P"})
        subscription = self.subscribe(enrich_fields="comment\nwebsite")
        partner.comment = '<p><a href="/web/signup?token=CANARY">Join</a></p>'
        partner.website = "https://a.example/?access_token=CANARY"
        (event,) = self.events(subscription)
        self.assertNotIn("CANARY", str(event))
        self.assertIn("Join", str(event))

    def test_every_stored_field_that_is_named_like_a_secret_was_looked_at(self):
        found = {
            name
            for name, model in self.env.registry.items()
            for field in model._fields.values()
            if may_be_watched(model)
            and SUSPICIOUS.search(field.name)
            and field.type in ("char", "text")
            and field.store
            and not field.groups
        }
        self.assertFalse(found - LOOKED_AT)

    def test_one_that_was_made_before_says_so_and_fires_nothing(self):
        subscription = self.subscribe()
        self.env.cr.execute(
            "UPDATE mcp_event_subscription SET model_name = %s WHERE id = %s",
            [min(SECRET_MODELS & set(self.env.registry)), subscription.id],
        )
        subscription.invalidate_recordset()
        self.sweep()
        self.assertEqual(subscription.health, "misconfigured")
        self.assertRegex(subscription.sync_error, "^model_id: .* may not be watched")
