# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The doors through which the ORM changes records: what passes is noted.

Ordinary inheritance, at the bottom of every model: registry classes are not patched,
because any automation rule edited in the same process removes patches. Nothing here
reads, flushes or computes through the ORM.
"""

from odoo import api, models

from ..capture import doors, journal
from ..capture.watch import REBUILT, watch_for


class Base(models.AbstractModel):
    _inherit = "base"

    def _create(self, data_list):
        records = super()._create(data_list)
        watch = watch_for(self)
        if watch is not None:
            journal.note_created(records, watch)
        else:
            journal.stir(records)
        return records

    def write(self, vals):
        watch = watch_for(self) if self and vals else None
        if watch is not None:
            journal.note_pairs(self, watch, vals)
            if watch.sees_changes:
                with journal.writing(self):
                    return super().write(vals)
        journal.stir(self)
        return super().write(vals)

    def _write_multi(self, vals_list):
        watch = watch_for(self) if self else None
        if watch is not None and watch.sees_changes:
            names = {name for vals in vals_list for name in vals}
            if self._log_access:
                names |= {"write_date", "write_uid"}
            journal.note_columns(self, watch, sorted(names))
        else:
            journal.stir(self)
        return super()._write_multi(vals_list)

    def _parent_store_update(self):
        watch = watch_for(self) if self else None
        if watch is not None:
            journal.note_paths(self, watch)
        return super()._parent_store_update()

    def _update_field_translations(self, field_name, translations, *args, **kwargs):
        watch = watch_for(self) if self else None
        if watch is not None and watch.sees_changes:
            journal.note_columns(self, watch, [field_name])
        else:
            journal.stir(self)
        return super()._update_field_translations(
            field_name, translations, *args, **kwargs
        )

    def _compute_field_value(self, field):
        """A computed many2many is written without a `write()`."""
        watch = watch_for(self) if field.store else None
        if watch is not None and watch.sides:
            names = {computed.name for computed in self.pool.field_computed[field]}
            journal.note_pairs(self, watch, names)
        return super()._compute_field_value(field)

    def unlink(self):
        """At the top of the model there is another door; here come what has none."""
        doors.note_leaving_below(self)
        result = super().unlink()
        journal.stir(self)
        return result

    @api.model
    def _unregister_hook(self):
        """Of all models: they are about to be set up anew, for all threads. Automations
        call their own at each edit."""
        if self._name == "mcp.event.subscription":
            setattr(self.pool, REBUILT, True)
        return super()._unregister_hook()

    @api.model
    def _register_hook(self):
        result = super()._register_hook()
        if self._name == "mcp.event.subscription":
            doors.install(self.pool)
            setattr(self.pool, REBUILT, False)
            self._forget_watched_here()
        return result
