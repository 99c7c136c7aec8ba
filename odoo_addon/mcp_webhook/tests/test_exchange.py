# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Subscriptions between databases: Odoo's own export and import, without secrets."""

from odoo.models import MAGIC_COLUMNS
from odoo.tests import new_test_user, tagged

from .common import WebhookCase

SECRET = "canary-0123456789abcdef"
# Not what a subscription is: what it was given here, and what has become of it here.
OF_HERE = {"user_id", "company_id", "paused", "webhook_secret", "webhook_headers"}


@tagged("post_install", "-at_install")
class TestExchange(WebhookCase):
    def setUp(self):
        super().setUp()
        self.manager = new_test_user(
            self.env,
            "manager",
            groups="base.group_user,mcp_webhook.group_manager,base.group_allow_export",
        )
        template = self.env.ref("mcp_webhook.export_subscriptions")
        self.names = template.export_fields.mapped("name")

    def test_what_is_exported_can_be_imported(self):
        given = self.subscribe(
            name="Given",
            event_type="write",
            watched=("email", "name"),
            domain="[('ref', '!=', 'x')]",
            enrich_fields="name\nparent_id.email",
            payload_template='{"text": "{{ record.name }}"}',
            dialect="slack",
            max_attempts=3,
            timeout_s=7,
            one_event_per_record=True,
            success_pointer="/ok",
            success_equals="true",
            webhook_secret=SECRET,
            webhook_headers=f"X-Key: {SECRET}",
        )
        exported = given.with_user(self.manager).export_data(self.names)["datas"]
        self.assertNotIn("canary", str(exported))
        rows = [["" if cell is False else str(cell) for cell in row] for row in exported]
        own = self.env["mcp.event.subscription"].with_user(self.manager)
        loaded = own.load(self.names, rows)
        self.assertFalse(loaded["messages"])
        taken = own.browse(loaded["ids"])
        for name in {name.split("/")[0] for name in self.names}:
            self.assertEqual(taken[name], given[name], name)
        self.assertFalse(taken.has_secret or taken.header_names)
        self.assertEqual(taken.user_id, self.manager)
        self.assertNotEqual(taken.uuid, given.uuid)

    def test_the_list_of_fields_is_complete(self):
        """A field that a person sets travels, or is said to belong here."""
        fields = self.env["mcp.event.subscription"]._fields
        set_by_hand = {
            name
            for name, field in fields.items()
            if field.store
            and not field.readonly
            and name not in MAGIC_COLUMNS
            and field.copy
            and not name.startswith(("message_", "activity_"))
        }
        self.assertEqual(
            {n.split("/")[0] for n in self.names} | OF_HERE, set_by_hand | OF_HERE
        )
