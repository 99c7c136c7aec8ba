# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a save waits for is counted in statements."""

from unittest.mock import patch

from odoo import Command
from odoo.tests import new_test_user, tagged

from ..capture.cursor import Listening
from .common import WebhookCase


@tagged("post_install", "-at_install")
class TestStatements(WebhookCase):
    def setUp(self):
        super().setUp()
        self.user = new_test_user(self.env, "member", groups="base.group_user")
        self.partner = self.Partner.create({"name": "P"})
        self.company = self.env["res.company"].create({"name": "C"})

    def decided(self):
        """Texts of the statements of the transaction's decision."""
        self.env.flush_all()
        texts = []
        execute = Listening.execute

        def noted(cr, query, *args, **kwargs):
            texts.append(query if isinstance(query, str) else query.code)
            return execute(cr, query, *args, **kwargs)

        with patch.object(Listening, "execute", noted):
            self.env.cr.flush()
        self.commit()
        return texts

    def test_relations_are_compared_in_one_statement(self):
        tag = self.env["res.partner.category"].create({"name": "T"})
        group = self.env["res.groups"].create({"name": "G"})
        changes = (
            lambda command: self.partner.write({"category_id": [command(tag.id)]}),
            lambda command: self.user.write({"group_ids": [command(group.id)]}),
            lambda command: self.user.write({"company_ids": [command(self.company.id)]}),
        )
        self.subscribe(event_type="write", watched=["category_id"])
        self.subscribe(
            "res.users", event_type="write", watched=["group_ids", "company_ids"]
        )
        for some in (changes[:1], changes):
            for change in some:
                change(Command.link)
            texts = [t for t in self.decided() if "_rel" in t and " = ANY(" in t]
            self.assertEqual(len(texts), 1, texts)
            for change in some:
                change(Command.unlink)
            self.commit()

    def test_what_rules_ask_of_the_user_is_known(self):
        """Where its companies stand, and its contact: both would be asked each time."""
        rule = {
            "name": "R",
            "model_id": self.env["ir.model"]._get_id("res.bank"),
            "domain_force": "[('create_uid.company_id', 'parent_of', company_ids)]",
        }
        self.env["ir.rule"].create(rule)
        self.user.write({"company_ids": [Command.link(self.company.id)]})
        bank = self.env["res.bank"].create({"name": "B"})
        self.subscribe("res.bank", user_id=self.user.id)
        for name in ("warm", "C"):
            bank.name = name
            texts = self.decided()
        self.assertTrue(any("mcp_webhook_delivery" in text for text in texts))
        asked = [t for t in texts if t.lstrip("( ").startswith('SELECT "res_company"')]
        self.assertFalse(asked)
