# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The watched set: which subscriptions look at which model."""

from odoo import api, models, tools

from ..capture.watch import WatchedBy, is_rebuilt, watches
from ..tools.validation import may_be_watched
from ..tools.watchable import unwatchable

# A change of these changes who watches what.
WATCH_FIELDS = frozenset(
    {
        "active",
        "approval",
        "company_id",
        "count_recomputed",
        "event_type",
        "in_session",
        "include_own_changes",
        "key_id",
        "model_id",
        "model_name",
        "on_demand",
        "watched_field_ids",
        "watched_field_names",
        "webhook_url",
    }
)


KEPT = "_mcp_webhook_watched"  # an attribute of the registry
CHANGES = "_mcp_webhook_changes"  # another: the newest transactions that changed it
CHANGED = "mcp_webhook.changed"  # the key in cr.postcommit.data
CONCURRENT = 16  # changes that are remembered
CACHE = "stable"  # the cache whose clearing tells other processes


def _forget(registry, change=None):
    """:param change: the transaction that changed who watches what, and has committed"""
    if change:
        # before the set goes: who reads it from now on must see the change
        known = getattr(registry, CHANGES, ())
        setattr(registry, CHANGES, (*known, change)[-CONCURRENT:])
    setattr(registry, KEPT, None)
    registry.clear_cache(CACHE)


class McpEventSubscription(models.Model):
    _inherit = "mcp.event.subscription"  # pylint: disable=consider-merging-classes-inherited

    def _after_create(self, vals_list):
        self._forget_watched()
        return super()._after_create(vals_list)

    def _after_write(self, vals, before):
        # the mirror's own fields come by with every delivery: they change nothing here
        if not WATCH_FIELDS.isdisjoint(vals):
            self._forget_watched()
        return super()._after_write(vals, before)

    def unlink(self):
        result = super().unlink()
        self._forget_watched()
        return result

    def _forget_watched(self):
        """Here now, and once more when the outcome is known: until the commit
        another thread may keep the old set again, after a rollback we hold a wrong
        one."""
        self.env.flush_all()
        self._forget_watched_here()
        self.env.cr.postcommit.data[CHANGED] = True
        registry = self.env.registry
        self.env.cr.execute("SELECT pg_current_xact_id()::text")
        (change,) = self.env.cr.fetchone()
        self.env.cr.postcommit.add(lambda: _forget(registry, change))
        self.env.cr.postrollback.add(lambda: _forget(registry))

    @api.model
    def _forget_watched_here(self):
        _forget(self.env.registry)

    @api.model
    def _watched(self):
        """`{model name: Watch}` of the subscriptions that can fire.

        Kept with the registry, not in one of its caches: these are cleared for many
        reasons, and then every user's next write would ask again. Another process's
        change shows in the number of the cache that it cleared.
        """
        registry = self.env.registry
        if CHANGED in self.env.cr.postcommit.data:
            # what this transaction sees is not yet so for others, and may never be
            return watches(registry, self._read_watched())
        number = registry.cache_sequences.get(CACHE)
        kept = getattr(registry, KEPT, None)
        if kept is None or (kept[0] != number and not is_rebuilt(registry)):
            kept = number, watches(registry, self._read_watched())
            if not is_rebuilt(registry) and self._sees_all_changes(number):
                setattr(registry, KEPT, kept)
        return kept[1]

    @api.model
    def _sees_all_changes(self, number):
        """Whether this transaction's snapshot is as new as what the process knows of: the
        set that a long import reads may be older than the others' transactions."""
        self.env.cr.execute(
            """SELECT COALESCE(%(number)s <= (SELECT max(id) FROM orm_signaling_stable),
                               %(number)s IS NULL)
                  AND NOT EXISTS (
                      SELECT FROM unnest(%(changes)s::text[]) AS change
                       WHERE NOT pg_visible_in_snapshot(
                                 change::xid8, pg_current_snapshot())
                         AND change::xid8 IS DISTINCT FROM pg_current_xact_id_if_assigned())
            """,
            {"number": number, "changes": list(getattr(self.pool, CHANGES, ()))},
        )
        return self.env.cr.fetchone()[0]

    @api.model
    @tools.ormcache("company_ids")
    def _company_paths(self, company_ids):
        """`{id: parent path}`: a company never gets another place among the others."""
        self.env.cr.execute(
            "SELECT id, parent_path FROM res_company WHERE id = ANY(%s)",
            [list(company_ids)],
        )
        return dict(self.env.cr.fetchall())

    @api.model
    def _read_watched(self):
        """Plain SQL: this is called in the middle of other people's flushes. Without
        one of its watched fields a subscription fires nothing; with an empty set it
        would fire at everything.
        """
        self.env.cr.execute(
            """SELECT id, uuid, model_name, event_type, watched_field_names, company_id,
                      (to_jsonb(s) ->> 'count_recomputed')::boolean,
                      CASE WHEN (to_jsonb(s) ->> 'include_own_changes')::boolean
                           THEN NULL
                           ELSE NULLIF((to_jsonb(s) ->> 'key_id')::integer, 0) END
                 FROM mcp_event_subscription s
                WHERE active
                  AND (COALESCE(webhook_url, '') != ''
                       OR (to_jsonb(s) ->> 'in_session')::boolean)
                  AND COALESCE(approval, 'none') != 'waiting'
                  AND (to_jsonb(s) ->> 'on_demand')::boolean IS NOT TRUE
             ORDER BY id"""
        )
        found = {}
        for (
            id_,
            uuid,
            model_name,
            event_type,
            names,
            company,
            recomputed,
            key_id,
        ) in self.env.cr.fetchall():
            model = self.env.get(model_name)
            if model is None or not may_be_watched(model):
                continue
            fields = model._fields
            watched = tuple(filter(None, (names or "").split(",")))
            if not unwatchable(model, watched):
                by_company = {name for name in watched if fields[name].company_dependent}
                watcher = WatchedBy(
                    id_,
                    uuid,
                    event_type,
                    watched,
                    company,
                    frozenset(by_company),
                    bool(recomputed),
                    key_id,
                )
                found.setdefault(model_name, []).append(watcher)
        return found
