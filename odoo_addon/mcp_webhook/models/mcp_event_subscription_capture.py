# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The watched set: which subscriptions look at which model."""

from odoo import api, models, tools
from odoo.fields import Domain

from ..capture import Watch, WatchedBy

# A change of these changes who watches what.
WATCH_FIELDS = frozenset(
    {
        "active",
        "approval",
        "event_type",
        "model_id",
        "model_name",
        "watched_field_ids",
        "watched_field_names",
        "webhook_url",
    }
)


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    @api.model_create_multi
    def create(self, vals_list):
        records = super().create(vals_list)
        records._forget_watched()
        return records

    def write(self, vals):
        result = super().write(vals)
        # the mirror's own fields come by with every delivery: they change nothing here
        if not WATCH_FIELDS.isdisjoint(vals):
            self._forget_watched()
        return result

    def unlink(self):
        result = super().unlink()
        self._forget_watched()
        return result

    def _forget_watched(self):
        """Here now, and once more when the outcome is known: until the commit
        another thread may cache the old set again, after a rollback we hold a wrong
        one."""
        self.env.flush_all()
        registry = self.env.registry
        registry.clear_cache("stable")
        self.env.cr.postcommit.add(lambda: registry.clear_cache("stable"))
        self.env.cr.postrollback.add(lambda: registry.clear_cache("stable"))

    @api.model
    @tools.ormcache(cache="stable")
    def _watched(self):
        """`{model name: Watch}` of the subscriptions that can fire.

        Plain SQL: this is called in the middle of other people's flushes. Without
        one of its watched fields a subscription fires nothing; with an empty set it
        would fire at everything.
        """
        self.env.cr.execute(
            """SELECT id, model_name, event_type, watched_field_names
                 FROM mcp_event_subscription
                WHERE active
                  AND COALESCE(webhook_url, '') != ''
                  AND COALESCE(approval, 'none') != 'waiting'
             ORDER BY id"""
        )
        found = {}
        for id_, model_name, event_type, names in self.env.cr.fetchall():
            if model_name not in self.env:
                continue
            watched = tuple(filter(None, (names or "").split(",")))
            if set(watched) <= self.env[model_name]._fields.keys():
                found.setdefault(model_name, []).append(
                    WatchedBy(id_, event_type, watched)
                )
        return {name: Watch(tuple(watchers)) for name, watchers in found.items()}

    @api.model
    def _flag_faults(self):
        """Say in `sync_error` what is wrong by `_fault`."""
        for subscription in self.sudo().search(Domain.TRUE):
            fault = subscription._fault()
            if fault and subscription.sync_error != fault:
                subscription.sync_error = fault

    def _fault(self):
        """Why it fires nothing, for reasons that the sidecar cannot know, or None: a
        watched field is gone, or the user whose rights decide."""
        self.ensure_one()
        stored = self.sudo()
        if not stored.user_id.active:
            return self.env._(
                "user_id: %s is archived, and so are the rights that decide what may "
                "leave. Nothing is sent until you choose another user.",
                stored.user_id.name,
            )
        model = self.env.get(stored.model_name)
        known = model._fields if model is not None else {}
        names = (stored.watched_field_names or "").split(",")
        missing = [name for name in names if name and name not in known]
        if not missing:
            return None
        return self.env._(
            "watched_field_ids: %(names)s no longer exists in %(model)s. "
            "Nothing is sent until you correct the watched fields.",
            names=", ".join(missing),
            model=stored.model_name,
        )
