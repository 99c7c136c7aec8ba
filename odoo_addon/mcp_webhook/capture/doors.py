# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Deletions, seen before anything is gone.

Many models cancel, empty or detach a record in their own `unlink` before the one at the
bottom runs. So models that override `unlink` get a class on top of all others; Odoo
itself rebuilds its registry classes from `_base_classes__`.
"""

import logging

from odoo import models

from ..tools.payload import Broken
from ..tools.words import _lt
from . import journal
from .apart import apart
from .judge import SLICE, Judge
from .parting import keep
from .watch import watch_for

_logger = logging.getLogger(__name__)

UNJUDGED = Broken(
    "internal",
    _lt(
        "The database could not be asked whether the records match while they were being "
        "deleted, and what they held."
    ),
)


def install(registry):
    """Put a door on top of each model that needs one; again does no harm."""
    bottom = registry.models["base"].unlink
    for cls in registry.models.values():
        if cls._abstract or cls._transient or not cls._auto:
            continue
        unlink = _unlink_of(cls)
        if unlink is bottom or hasattr(unlink, "is_door"):
            continue
        rest = (base for base in cls._base_classes__ if not _is_door(base))
        cls._base_classes__ = (_door(cls._name), *rest)
        cls.__bases__ = cls._base_classes__


def _unlink_of(cls):
    """The method of the bases: the class itself may carry another addon's patch."""
    for base in cls.__mro__[1:]:
        if "unlink" in base.__dict__:
            return base.__dict__["unlink"]
    return None


def _is_door(cls):
    return hasattr(cls.__dict__.get("unlink"), "is_door")


def _door(model_name):
    """A class of its own for each model: one class could not stand on top of a model
    and of another that inherits from it."""

    def unlink(self):
        note_leaving(self)
        return super(cls, self).unlink()

    unlink.is_door = True
    content = {"_register": False, "_inherit": (model_name,), "unlink": unlink}
    content["__module__"] = __name__
    cls = models.MetaModel("McpWebhookDoor", (models.AbstractModel,), content)
    return cls


def note_leaving_below(records):
    """At the bottom: those that came through no door."""
    if not records:
        return
    has_door = hasattr(_unlink_of(type(records)), "is_door")
    notes = journal.present(records.env.cr) if has_door else None
    touched = notes.models.get(records._name) if notes else None
    if touched and touched.leaving:
        records = records.browse(i for i in records._ids if i not in touched.leaving)
    note_leaving(records)


def note_leaving(records):
    """Keep what subscriptions will be told of records that are about to go: of them as
    they are stored when it begins, without what this transaction has created."""
    watch = watch_for(records) if records else None
    wanting = watch.wanting("unlink") if watch is not None else ()
    if not wanting:
        return
    notes = journal.present(records.env.cr)
    touched = notes.models.get(records._name) if notes else None
    created = touched.created if touched else ()
    ids = [id_ for id_ in records._ids if id_ and id_ not in created]
    if not ids:
        return
    touched, notes = journal.note_leaving(records.browse(ids))
    env = records.env
    with (
        apart(env.cr, env.registry) as own,
        Judge(own, meters=notes.meters) as judge,
    ):
        for start in range(0, len(ids), SLICE):
            some = ids[start : start + SLICE]
            try:
                _keep_items(judge, notes, touched, records._name, some, wanting)
            except Exception:
                # as in `decide`: the deletion does not care
                _logger.exception("A deletion cannot be judged for its subscriptions")
                unjudged = dict.fromkeys(ids[start:], UNJUDGED)
                for watcher in wanting:
                    known = touched.parting.get(watcher.id, {})
                    touched.parting[watcher.id] = unjudged | known
                return


def _keep_items(judge, notes, touched, model_name, ids, wanting):
    settings = judge.settings(subscription.id for subscription in wanting)
    asked = [(setting, model_name, ids) for setting in settings.values()]
    judge.ask(asked, is_leaving=True)
    for setting in settings.values():
        items = judge.items(setting, model_name, ids, is_leaving=True)
        keep(judge, notes, touched, setting.id, items)
    judge.end()
