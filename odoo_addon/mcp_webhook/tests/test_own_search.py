# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Nobody's save runs a stranger's Python, beyond a bounded number of statements of
bounded time: neither a filter's, nor a rule's, nor a field's."""

import psycopg2

from odoo.fields import Domain, Field
from odoo.models import BaseModel
from odoo.sql_db import Cursor
from odoo.tests import new_test_user, tagged
from odoo.tools import SQL, mute_logger

from ..capture import judge
from ..capture.apart import apart
from ..tools.own_search import has_text, searched_by_code
from .common import WebhookCase

# Filters, by model, of which code of a model's own makes SQL, and such as Odoo's ORM does.
OWN = {
    "res.partner": (
        [("message_has_error", "=", True)],
        [("activity_user_id", "=", 1)],
        [("user_ids.message_partner_ids", "in", [1])],
        [("message_partner_ids", "in", [1])],
        [("parent_id.message_is_follower", "=", True)],
        [("user_ids", "any", [("partner_id", "any", [("message_has_error", "=", 1)])])],
        [("message_ids", "!=", False)],
        [("message_ids.subject", "=", "x")],
        [("activity_ids.summary", "=", "x")],
    ),
    "res.users": ([("partner_id.message_ids", "ilike", "x")],),
    "mail.message": ([("needaction", "=", True)], [("parent_id.body", "ilike", "x")]),
}
LIGHT = ("res.groups",)
PLAIN = {
    "res.partner": (
        [],
        [("name", "ilike", "x")],
        [("display_name", "ilike", "x")],
        [("parent_id", "ilike", "x")],
        [("country_id.code", "=", "FR")],
        [("country_id", "ilike", "Fra")],
        [("country_id", "in", [1, False])],
        [("category_id", "in", [1])],
        [("category_id", "child_of", [1])],
        [("id", "child_of", 1)],
        [("parent_id", "child_of", [1])],
        [("child_ids", "any", [("country_id.code", "=", "FR")])],
        [("create_date.month_number", "=", 2)],
        [("properties.x", "=", 2)],
        [("user_id.partner_id.email", "=", "x")],
        [("commercial_partner_id", "!=", False)],
        [("active", "=", False)],
        [("state_id", "ilike", "Ohi")],
        [("category_id", "child_of", "VIP")],
    ),
    "res.users": (
        [("email", "ilike", "x")],
        [("login", "=", "x")],
        [("group_ids.name", "=", "x")],
        [("partner_id.country_id", "=", "France")],
    ),
}


@tagged("post_install", "-at_install")
class TestOwnSearch(WebhookCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stranger = new_test_user(cls.env, "stranger", groups="base.group_user")
        cls.partner = cls.Partner.create({"name": "P", "country_id": 75})

    def test_whose_code_makes_sql_of_it(self):
        for filters, is_own in ((OWN, True), (PLAIN, False)):
            for model, domains in filters.items():
                for domain in domains:
                    with self.subTest(model=model, domain=domain):
                        self.assertEqual(
                            bool(searched_by_code(Domain(domain), self.env[model])),
                            is_own,
                        )

    def test_names_in_every_form_are_text(self):
        for value in ("x", ["x"], ("x", 1), {"x"}, [[1, "x"]], frozenset("x")):
            for operator in ("in", "=", "not in"):
                try:
                    domain = Domain([("parent_id", operator, value)])
                    (condition,) = domain.iter_conditions()
                except (TypeError, ValueError):
                    continue
                self.assertTrue(has_text(condition.value), f"{operator} {value}")

    def test_every_plain_filter_runs_nobody_s_code(self):
        """The oracle: which methods Odoo calls on the way to SQL."""
        called = []
        for cls in self.env.registry.models.values():
            if cls._search is not BaseModel._search and cls._name not in LIGHT:
                self.patch(cls, "_search", self.noted(called, cls, "_search"))
        determine = Field.determine_domain

        def determined(field, records, operator, value):
            if not (field.related or field.name == "display_name"):
                called.append(field)
            return determine(field, records, operator, value)

        self.patch(Field, "determine_domain", determined)
        for model in PLAIN.keys() | OWN.keys():  # rights and rules are kept from here on
            BaseModel._search(self.env[model].with_user(self.stranger), [])
        for model, domains in PLAIN.items():
            for domain in domains:
                called.clear()
                BaseModel._search(self.env[model].with_user(self.stranger), domain)
                self.assertFalse(called, f"{model} {domain}")
        for model, domains in OWN.items():
            for domain in domains:
                called.clear()
                try:
                    BaseModel._search(self.env[model].with_user(self.stranger), domain)
                except (KeyError, ValueError) as error:
                    called.append(error)
                self.assertTrue(called, f"{model} {domain}")

    def noted(self, called, cls, name):
        method = getattr(cls, name)

        def note(model, *args, **kwargs):
            called.append((cls._name, name))
            return method(model, *args, **kwargs)

        return note

    def endless(self, statement="SELECT 1", caught=()):
        """Code of a model that reads as long as it may. :return: `[statements made]`"""
        made, execute = [], Cursor.execute

        def run(env):
            while True:
                try:
                    env.cr.execute(SQL(statement))
                except caught:
                    env.cr.execute("ROLLBACK TO SAVEPOINT mcp_webhook")

        def executed(cr, query, *args, **kwargs):
            text = query.code if isinstance(query, SQL) else query
            if statement in text:
                made.append(text)
            return execute(cr, query, *args, **kwargs)

        self.patch(Cursor, "execute", executed)
        return run, made

    def endless_rule(self, run):
        Rule = type(self.env["ir.rule"])
        plain = Rule._compute_domain

        def compute(rules, model_name, mode="read"):
            if model_name == "res.partner" and rules.env.uid == self.stranger.id:
                run(rules.env)
            return plain(rules, model_name, mode)

        self.patch(Rule, "_compute_domain", compute)

    def endless_right(self, run):
        def check(partners, operation):
            if partners and partners.env.uid == self.stranger.id:
                run(partners.env)

        self.patch(type(self.Partner), "_check_access", check)

    def endless_field(self, run):
        Country = type(self.env["res.country"])
        self.patch(Country, "_compute_display_name", lambda c: run(c.env))

    @mute_logger("odoo.sql_db")
    def test_endless_code_ends(self):
        """Whatever of a model runs for the stranger in somebody's save: statements without
        end, quick or slow, also where errors are caught."""
        for what in ("rule", "right", "field"):
            for statement, caught in (
                ("SELECT 1", ()),
                ("SELECT pg_sleep(0.01)", ()),
                ("SELECT pg_sleep(600)", ()),
                ("SELECT pg_sleep(600)", psycopg2.Error),
            ):
                for kind in ("write", "unlink"):
                    with self.subTest(
                        what, statement=statement, caught=caught, kind=kind
                    ):
                        self.ends(what, statement, caught, kind)

    def ends(self, what, statement, caught, kind):
        partner = self.Partner.create({"name": "Q", "country_id": 75})
        values = {"domain": "[('name', '=', 'Q')]", "event_type": kind}
        if what == "field":
            values["enrich_fields"] = "country_id.display_name"
        made = self.subscribe(user_id=self.stranger.id, **values)
        quick = self.subscribe(event_type=kind)
        with self.allow_time():
            self.patch(judge, "STATEMENT_MS", 200)
            self.patch(judge, "RECORD_MS", 0)
            self.patch(judge, "TURN_MS", 0)
            self.patch(judge, "MAX_INNER", 20)
            self.patch(judge, "MAX_STATEMENTS", 20)
            run, statements = self.endless(statement, caught)
            getattr(self, f"endless_{what}")(run)
            if kind == "write":
                partner.ref = "1"
            else:
                partner.unlink()
            rows = self.rows(made)
            told = self.rows(quick)
        self.assertTrue(statements, "it was run")
        self.assertLessEqual(len(statements), 100)
        self.assertEqual(len(rows), 1)
        self.assertEqual(rows.record_ids, partner.ids)
        self.assertTrue(rows.over_budget or rows.status == "failed")
        self.assertEqual(len(told), 1)
        (made + quick).unlink()
        self.commit()

    def test_a_long_save_has_not_more_time_for_strangers_than_it_takes(self):
        """Odoo writes a thousand records in more than a second."""
        ids = self.Partner.create([{"name": "Q"} for _number in range(1000)]).ids
        made = self.subscribe(user_id=self.stranger.id, domain="[('name', '=', 'Q')]")
        meters = {}
        with (
            apart(self.cr, self.env.registry) as own,
            judge.Judge(own, meters=meters) as j,
        ):
            setting = j.settings(made.ids)[made.id]
            j.ask([(setting, "res.partner", ids)])
        self.assertLessEqual(meters[self.stranger.id].milliseconds, 2000)
        self.assertLessEqual(meters[None].milliseconds, 10_000)
