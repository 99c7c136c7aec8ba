# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What was right when it was saved, and is not any more: it breaks nobody's save, and says
what is wrong."""

from odoo.tests import new_test_user, tagged
from odoo.tools import SQL, mute_logger

from .common import WebhookCase

SILENT = ("odoo.addons.mcp_webhook.capture.judge", "odoo.sql_db")


@tagged("post_install", "-at_install")
class TestStoredBefore(WebhookCase):
    def setUp(self):
        super().setUp()
        self.enterContext(mute_logger(*SILENT))
        self.partner = self.Partner.create({"name": "P"})
        self.Field = self.env["ir.model.fields"]

    def store(self, subscription, **columns):
        """As an older version has left it."""
        for name, value in columns.items():
            self.env.flush_all()
            self.env.cr.execute(
                SQL(
                    "UPDATE mcp_event_subscription SET %s = %s WHERE id = %s",
                    SQL.identifier(name),
                    value,
                    subscription.id,
                )
            )
        self.env.invalidate_all()
        subscription._forget_watched_here()

    def assertSaid(self, subscription, pattern):
        """In the list, on the form, by the next sweep."""
        self.sweep()
        self.assertEqual(subscription.health, "misconfigured", pattern)
        self.assertRegex(subscription.sync_error or "", pattern)

    def assertSound(self, subscription):
        self.assertFalse(subscription.sync_error)
        self.assertNotEqual(subscription.health, "misconfigured")
        self.sweep()
        self.assertNotEqual(subscription.health, "misconfigured")

    def custom(self, name, ttype="char", **values):
        model_id = self.env["ir.model"]._get_id("res.partner")
        field = {"name": name, "ttype": ttype, "model_id": model_id, **values}
        return self.Field.create(field)

    def change(self, **vals):
        """Somebody's save, which must not fail: what comes of it."""
        self.partner.write(vals)
        self.env.cr.flush()

    # -- the rules came later --------------------------------------------------------

    def test_paths_and_filters(self):
        self.env["ir.actions.server"].create(
            {
                "name": "A",
                "model_id": self.env["ir.model"]._get_id("res.partner"),
                "state": "webhook",
                "webhook_url": "https://example.com/canary",
            }
        )
        for model, column, value, what in (
            ("res.partner", "enrich_fields", "name\nx_gone", "x_gone"),
            ("res.partner", "enrich_fields", "image_1920", "image_1920"),
            ("res.partner", "enrich_fields", "name.code", "name"),
            ("res.partner", "enrich_fields", "user_ids.api_key_ids.name", "api_key"),
            ("res.partner", "enrich_fields", "parent_id." * 5 + "name", "deep"),
            ("res.users", "enrich_fields", "password", "password"),
            ("ir.actions.server", "enrich_fields", "webhook_url", "webhook_url"),
            ("res.partner", "domain", "[('x_gone', '=', 1)]", "x_gone"),
            ("res.partner", "domain", "[('country_id.x_gone', '=', 1)]", "x_gone"),
            ("res.partner", "domain", "[('id', '=', 'x')]", "res.partner"),
            ("res.partner", "domain", "nonsense", "Python list"),
            ("res.users", "domain", "[('api_key_ids.name', '=like', 'a%')]", "may not"),
            ("ir.actions.server", "domain", "[('webhook_url', '!=', 'x')]", "may not"),
        ):
            with self.subTest(column=column, value=value):
                subscription = self.subscribe(model)
                self.store(subscription, **{column: value})
                self.assertSaid(subscription, f"(?s)^{column}: .*{what}.* until you ")
                subscription.write({column: False})
                self.assertSound(subscription)
                subscription.unlink()

    def test_a_filter_on_a_credential_tells_nothing_of_it(self):
        action = self.env["ir.actions.server"].create(
            {
                "name": "A",
                "model_id": self.env["ir.model"]._get_id("res.partner"),
                "state": "webhook",
                "webhook_url": "https://example.com/canary",
            }
        )
        for guess in ("https://example.com/c%", "https://example.com/x%"):
            subscription = self.subscribe("ir.actions.server")
            self.store(subscription, domain=f"[('webhook_url', '=like', '{guess}')]")
            action.name = "B"
            row = self.rows(subscription)
            self.assertEqual((row.status, row.error_kind), ("failed", "internal"), guess)

    def test_models_that_may_not_be_watched_any_more(self):
        for model in ("ir.config_parameter", "ir.cron", "base.language.import"):
            with self.subTest(model):
                subscription = self.subscribe()
                self.store(subscription, model_name=model)
                self.env["ir.config_parameter"].set_param("canary", "1")
                self.assertFalse(self.rows(subscription))
                self.assertSaid(subscription, f"^model_id: {model} may not be watched")

    def test_a_user_who_may_not_read_the_model_any_more(self):
        user = new_test_user(self.env, "member", groups="base.group_user")
        subscription = self.subscribe("ir.rule")
        self.store(subscription, user_id=user.id)
        self.assertSaid(subscription, "^user_id: .*ir.rule")
        subscription.user_id = self.admin
        self.assertSound(subscription)

    def test_links_that_are_records(self):
        if "project.task.stage.personal" in self.env:
            subscription = self.subscribe("project.task")
            self.store(subscription, watched_field_names="personal_stage_type_ids")
            self.assertSaid(subscription, "^watched_field_ids: personal_stage_type_ids")

    def test_what_is_only_left_out_stops_nothing(self):
        """No screen says that it does."""
        for column, value, stops in (
            ("enrich_fields", "x_gone", False),
            ("domain", "[('x_gone', '=', 1)]", True),
        ):
            subscription = self.subscribe()
            self.store(subscription, **{column: value})
            self.assertTrue(subscription.sync_error, column)
            why = subscription._why_nothing_is_sent()
            self.assertEqual(bool(why), stops, column)
            wizard = self.env["mcp.webhook.explain"].create(
                {"subscription_id": subscription.id}
            )
            told = [
                v for v, title, _why in wizard._conditions() if title == "Configuration"
            ]
            self.assertEqual(told, ["no" if stops else "note"], column)

    # -- a field is another one ------------------------------------------------------

    def test_a_renamed_field_is_followed_where_it_is_watched_and_said_where_it_is_read(
        self,
    ):
        field = self.custom("x_a")
        watching = self.subscribe(event_type="write", watched=["x_a"])
        sending = self.subscribe(enrich_fields="name\nx_a")
        filtering = self.subscribe(domain="[('x_a', '!=', 'no')]")
        field.name = "x_b"
        self.change(name="Q")
        self.assertFalse(self.rows(watching))
        (event,) = self.events(sending)
        self.assertEqual(event["records"], [{"id": self.partner.id, "name": "Q"}])
        self.assertEqual(self.rows(filtering).status, "failed")
        self.commit()
        self.change(x_b="1")
        self.assertEqual(self.fired(watching), [("write", self.partner.ids)])
        self.assertSaid(sending, "^enrich_fields: .*'x_a'.*x_b.* left out ")
        self.assertSaid(filtering, "^domain: .*x_a.*Nothing is sent until")
        sending.enrich_fields = "name\nx_b"
        filtering.domain = "[('x_b', '!=', 'no')]"
        for subscription in (watching, sending, filtering):
            self.assertSound(subscription)

    def test_renaming_one_brings_back_no_other(self):
        gone, field = self.custom("x_gone"), self.custom("x_a")
        watching = self.subscribe(event_type="write", watched=["x_a", "x_gone"])
        gone.unlink()
        field.name = "x_b"
        self.change(x_b="1")
        self.assertFalse(self.rows(watching))
        self.assertSaid(watching, "^watched_field_ids: x_gone no longer exists")

    def test_a_field_that_is_gone(self):
        field = self.custom("x_a")
        watching = self.subscribe(watched=["x_a"])
        sending = self.subscribe(enrich_fields="x_a")
        filtering = self.subscribe(domain="[('x_a', '!=', 'no')]")
        field.unlink()
        self.change(name="Q")
        self.assertFalse(self.rows(watching))
        self.assertSaid(watching, "^watched_field_ids: x_a no longer exists")
        self.assertSaid(sending, "^enrich_fields: .*'x_a'")
        self.assertSaid(filtering, "^domain: .*x_a")

    def test_a_field_that_is_not_stored_any_more(self):
        field = self.custom(
            "x_a",
            compute="for r in self: r['x_a'] = r.name",
            depends="name",
            readonly=True,
        )
        watching = self.subscribe(watched=["x_a"])
        created = self.subscribe(event_type="create", watched=["x_a"])
        field.store = False
        self.change(name="Q")
        self.Partner.create({"name": "N"})
        for subscription in (watching, created):
            self.assertFalse(self.rows(subscription), "fires nothing, as the form says")
            self.assertSaid(subscription, "^watched_field_ids: x_a .* no longer stored")

    def test_a_field_of_another_type_or_relation(self):
        number = self.custom("x_a")
        country = self.custom("x_country", "many2one", relation="res.country")
        watching = self.subscribe(event_type="write", watched=["x_a"])
        sending = self.subscribe(enrich_fields="x_country.code")
        filtering = self.subscribe(domain="[('x_a', '=', 'text')]")
        (number + country).unlink()
        self.custom("x_a", "integer")
        self.custom("x_country", "many2one", relation="res.currency")
        self.change(x_a=1)
        self.assertSaid(sending, "^enrich_fields: x_country.code: .*'code'")
        self.assertSaid(filtering, "^domain: ")
        self.assertEqual(self.fired(watching), [("write", self.partner.ids)])
