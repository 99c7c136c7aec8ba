# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The four doors through which the ORM changes records.

Ordinary inheritance, at the bottom of every model: registry classes are not
patched, because any automation rule edited in the same process removes patches.
"""

from odoo import api, models

from .. import capture
from ..emit import parting_words


class Base(models.AbstractModel):
    _inherit = "base"

    @api.model_create_multi
    def create(self, vals_list):
        records = super().create(vals_list)
        if records and capture.watch_for(self) is not None:
            capture.note_created(records)
        return records

    def write(self, vals):
        watch = capture.watch_for(self) if self and vals else None
        if watch is None:
            return super().write(vals)
        names = watch.fields.intersection(vals)
        real = self.browse(filter(None, self._ids))
        if names and real:
            capture.note_before(real, names)
        result = super().write(vals)
        capture.note_written(real)
        return result

    def unlink(self):
        watch = capture.watch_for(self) if self else None
        if watch is None:
            return super().unlink()
        env, name, ids = self.env, self._name, self._ids
        parting = parting_words(self, watch)
        result = super().unlink()
        capture.note_unlinked(env, name, ids, parting)
        return result

    def _compute_field_value(self, field):
        watch = capture.watch_for(self) if field.store else None
        if watch is not None and watch.fields:
            computed = {f.name for f in self.pool.field_computed[field] if f.store}
            names = watch.fields & computed
            real = self.browse(filter(None, self._ids))
            if names and real:
                capture.note_before(real, names)
        return super()._compute_field_value(field)
