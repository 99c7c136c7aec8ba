# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Whoever is watched notices nothing.

The same work is done twice, without subscriptions and with some on every model that it
touches, and taken back in between. What the ORM computed and wrote, in which order, what
it read afterwards and what the database then held must be the same.
"""

import re
from contextlib import closing
from unittest.mock import patch

from odoo import Command
from odoo.exceptions import UserError
from odoo.models import BaseModel
from odoo.sql_db import Cursor
from odoo.tests import new_test_user, tagged

from ..tools.validation import records_of_links
from .common import WebhookCase

WRITES = re.compile(r"\s*(INSERT INTO|UPDATE|DELETE FROM)\s+\"?(\w+)", re.IGNORECASE)
OURS = re.compile(r"mcp_")
MODELS = (
    "res.partner",
    "res.partner.category",
    "res.users",
    "res.groups",
    "res.company",
    "res.currency",
    "res.currency.rate",
    "mail.message",
)
TABLES = (
    "res_partner",
    "res_partner_category",
    "res_partner_res_partner_category_rel",
    "res_groups_users_rel",
    "res_users",
    "mail_message",
)
# Clocks and sequences differ from run to run.
VOLATILE = re.compile(
    r"'?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?'?|<[^>]*@[^>]*>"
    r"|\b[0-9a-f]{8}-[0-9a-f-]{27}\b"
)


@tagged("post_install", "-at_install")
class TestUnnoticed(WebhookCase):
    """Each `work_*` is one piece of somebody's work; it returns what its user reads."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.user = new_test_user(
            cls.env, "narrow", groups="base.group_user,base.group_partner_manager"
        )
        cls.A, cls.B, cls.C = cls.env["res.partner.category"].create(
            [{"name": "A"}, {"name": "B"}, {"name": "C"}]
        )
        cls.env["ir.rule"].create(
            {
                "name": "B is not for users",
                "model_id": cls.env["ir.model"]._get_id("res.partner.category"),
                "domain_force": f"[('id', '!=', {cls.B.id})]",
                "groups": [Command.set(cls.env.ref("base.group_user").ids)],
            }
        )
        cls.parent = cls.Partner.create({"name": "Parent", "is_company": True})
        cls.partner = cls.Partner.create(
            {
                "name": "P",
                "parent_id": cls.parent.id,
                "category_id": [Command.set((cls.A + cls.B).ids)],
            }
        )
        cls.other = cls.Partner.create({"name": "Other"})
        cls.env["res.lang"]._activate_lang("fr_FR")

    def run_work(self, work):
        """Everything that an outsider could tell about it."""
        trace = []
        compute, execute = BaseModel._compute_field_value, Cursor.execute

        def computed(records, field):
            if field.store and any(records._ids) and not OURS.match(records._table):
                trace.append(("compute", str(field), records._ids))
            return compute(records, field)

        def executed(cr, query, params=None, *args, **kwargs):
            text = cr._format(query, params)
            found = WRITES.match(text)
            if found and not OURS.match(found[2]):
                trace.append(("write", VOLATILE.sub("?", text)))
            return execute(cr, query, params, *args, **kwargs)

        self.env.invalidate_all()
        self.env.registry.clear_all_caches()
        sequences = self._sequences()
        with closing(self.env.cr.savepoint()):
            with (
                patch.object(BaseModel, "_compute_field_value", computed),
                patch.object(Cursor, "execute", executed),
            ):
                read = work()
                self.env.cr.flush()
            again = work.__name__
            tables = {name: self._dump(name) for name in TABLES}
            rows = self.Delivery.search_count([])
        self._put_back(sequences)
        self.env.cr.precommit.clear()
        self.env.cr.postcommit.clear()
        self.env.invalidate_all()
        return {"trace": trace, "read": read, "tables": tables, "work": again}, rows

    def _sequences(self):
        """They do not go back with a savepoint."""
        self.env.cr.execute("SELECT sequencename, last_value FROM pg_sequences")
        return [row for row in self.env.cr.fetchall() if row[1] is not None]

    def _put_back(self, sequences):
        self.env.cr.execute(
            "SELECT setval(quote_ident(s.name), s.value)"
            "  FROM unnest(%s, %s::bigint[]) AS s(name, value)",
            [list(column) for column in zip(*sequences, strict=True)],
        )

    def _dump(self, table):
        self.env.cr.execute(f'SELECT t::text FROM "{table}" t ORDER BY 1')
        return [VOLATILE.sub("?", row) for (row,) in self.env.cr.fetchall()]

    def subscribe_to_everything(self, variant):
        made = self.env["mcp.event.subscription"]
        for model in MODELS:
            fields = self.env["ir.model.fields"].search(
                [
                    ("model", "=", model),
                    ("store", "=", True),
                    ("ttype", "not in", ("one2many", "binary")),
                ]
            )
            known = self.env[model]._fields
            fields = fields.filtered(
                lambda f, known=known: not records_of_links(self.env, known[f.name])
            )
            watched = fields.mapped("name") if variant == "fields" else ()
            paths = {
                "res.partner": "category_id.name\nparent_id.category_id\ncomplete_name"
                "\nchild_ids.name\ncommercial_partner_id.email",
                "res.users": "partner_id.category_id.name\ngroup_ids",
                "res.partner.category": "partner_ids.name\ndisplay_name",
            }.get(model, "display_name")
            user = self.user if model.startswith("res.partner") else self.admin
            made |= self.subscribe(
                model,
                name=model,
                user_id=user.id,
                watched=watched,
                enrich_fields=paths,
                domain="[('display_name', '!=', 'never')]",
                active=False,
            )
        return made

    def activate(self, subscriptions):
        self.env.cr.execute(
            "UPDATE mcp_event_subscription SET active = id = ANY(%s)",
            [subscriptions.ids],
        )
        self.env.invalidate_all()
        self.env["mcp.event.subscription"]._forget_watched_here()

    def test_nothing_differs(self):
        works = [getattr(self, name) for name in dir(self) if name.startswith("work_")]
        variants = [self.subscribe_to_everything(name) for name in ("any", "fields")]
        self.env.cr.flush()
        without = [self.run_work(work)[0] for work in works]
        for expected, work in zip(without, works, strict=True):
            self.check(expected, self.run_work(work)[0])
        for subscriptions in variants:
            self.activate(subscriptions)
            for expected, work in zip(without, works, strict=True):
                variant = bool(subscriptions.watched_field_ids)
                with self.subTest(work=work.__name__, fields=variant):
                    found, rows = self.run_work(work)
                    self.assertTrue(rows, "nothing was watched")
                    self.check(expected, found)

    def check(self, expected, found):
        for what, value in expected.items():
            message = f"{expected['work']}: {what}"
            if what == "trace":
                for one, other in zip(value, found[what], strict=False):
                    self.assertEqual(other, one, message)
            self.assertEqual(found[what], value, message)

    # -- the work --------------------------------------------------------------------

    def work_remove_all_tags_after_a_savepoint(self):
        self.partner.ref = "1"
        with self.env.cr.savepoint():
            pass
        self.partner.category_id = [Command.clear()]
        return self.partner.category_id.ids

    def work_read_tags_with_few_rights(self):
        self.partner.category_id = [Command.link(self.C.id)]
        self.env.flush_all()
        self.env.invalidate_all()
        with self.env.cr.savepoint():
            self.partner.name = "Q"
        return self.partner.with_user(self.user).category_id.ids

    def work_set_two_values_in_a_row(self):
        """The second depends on what is computed in between, if it is."""
        self.partner.parent_id = False
        self.partner.type = "other"
        self.partner.name = "R"
        self.partner.lang = "fr_FR"
        return self.partner.complete_name, self.partner.commercial_partner_id.id

    def work_delete_what_waits_to_be_computed(self):
        self.other.name = "Newer"
        self.other.parent_id = self.parent
        self.other.unlink()
        return self.other.exists().ids

    def work_delete_an_old_one(self):
        self.partner.name = "Older"
        self.partner.unlink()
        return self.parent.child_ids.ids

    def work_fail_and_go_on(self):
        with self.assertRaises(UserError), self.env.cr.savepoint():
            self.partner.name = "S"
            self.partner.parent_id = self.partner
        self.partner.ref = "2"
        return self.partner.name

    def work_from_the_other_side(self):
        self.A.partner_ids = [Command.link(self.parent.id)]
        self.env.ref("base.group_system").user_ids = [Command.link(self.user.id)]
        return self.parent.category_id.ids, self.user.has_group("base.group_system")

    def work_translate(self):
        self.A.update_field_translations("name", {"fr_FR": "Ah"})
        self.C.with_context(lang="fr_FR").name = "Cé"
        return self.A.name, self.A.with_context(lang="fr_FR").name

    def work_as_another_user(self):
        own = self.partner.with_user(self.user)
        own.write({"comment": "<p>hello</p>", "ref": "3"})
        own.message_post(body="hello")
        return own.category_id.mapped("name"), own.display_name

    def work_move_in_a_tree(self):
        self.C.parent_id = self.A
        self.env.flush_all()
        self.A.parent_id = self.B
        return self.C.parent_path, self.C.display_name

    def work_in_many_savepoints(self):
        for number in range(5):
            with self.env.cr.savepoint():
                self.partner.ref = str(number)
            with closing(self.env.cr.savepoint()):
                self.partner.name = f"never {number}"
        return self.partner.ref, self.partner.name

    def work_users_and_groups(self):
        user = self.env["res.users"].create({"name": "Fresh", "login": "fresh"})
        user.group_ids = [Command.link(self.env.ref("base.group_partner_manager").id)]
        user.partner_id.category_id = self.A
        return user.partner_id.category_id.ids, len(user.group_ids)
