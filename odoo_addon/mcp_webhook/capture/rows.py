# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Delivery rows of items."""

from odoo import fields

from ..tools import payload
from ..tools.payload import Broken, CutText
from .judge import LATE, OWED


def rows_of(setting, model_name, kind, items, user_of, now):
    """Values of the rows that carry these records.

    :param items: `{record id: item}`, see :mod:`judge`
    :param user_of: a function of record ids
    :param now: the transaction's time
    """
    texts, others = {}, {}
    for id_ in sorted(items):
        item = items[id_]
        if isinstance(item, str):
            texts[id_] = item
        else:
            others.setdefault(item, []).append(id_)
    for item, ids in others.items():
        for start in range(0, len(ids), payload.MAX_RECORDS):
            some = ids[start : start + payload.MAX_RECORDS]
            row = _row(setting, model_name, kind, some, user_of(some))
            is_late = item is LATE or item is OWED
            yield row | (_waiting(item is OWED) if is_late else failed(item))
    most = 1 if setting.one_event_per_record else payload.MAX_RECORDS
    for some in payload.chunks(texts, texts, most):
        row = _row(setting, model_name, kind, some, user_of(some))
        told = [texts[id_] for id_ in some]
        row["event"] = event_text(setting.uuid, row, told, now)
        row["over_budget"] = any(isinstance(text, CutText) for text in told)
        if setting.in_session:
            # nothing is sent: its events are there to be read
            row |= {"status": "success", "finished_at": now}
        yield row


def event_text(subscription_uuid, row, texts, now):
    """The event of a row, as it is submitted."""
    event = {
        "id": row["event_uuid"],
        "subscription_id": subscription_uuid,
        "model": row["model_name"],
        "event_type": row["event_type"],
        "record_ids": row["record_ids"],
        "user_id": row["user_id"],
        "timestamp": payload.timestamp(now),
    }
    return payload.event_json(event, [text for text in texts if text])


def _row(setting, model_name, kind, ids, user_id):
    return {
        "subscription_id": setting.id,
        "subscription_name": setting.name,
        "endpoint_host": setting.endpoint_host,
        "company_id": setting.company_id,
        "model_name": model_name,
        "event_uuid": payload.new_event_id(),
        "event_type": kind,
        "record_ids": list(ids),
        "user_id": user_id,
    }


def _waiting(is_owed):
    return {"over_budget": True, "matched": is_owed}


def failed(broken: Broken):
    """Columns of a row that ends in Odoo."""
    return {
        "status": "failed",
        "error_kind": broken.kind,
        "error_message": broken.message,
        "finished_at": fields.Datetime.now(),
    }
