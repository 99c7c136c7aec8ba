# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What leaves: which records, which of their values, in which form.

Everything here reads with the rights, companies and language of the
subscription's user.
"""

import ast
import functools
import math
import secrets
import time
import uuid
from dataclasses import dataclass
from datetime import date, datetime

from odoo import models
from odoo.exceptions import AccessError

from .sidecar import compact

MAX_RECORDS = 200  # record ids in one event
MAX_RECORDS_BYTES = 248 * 1024  # of 256 KiB; the rest is for the other fields
MAX_RELATED = 100  # members of an x2many


@dataclass(frozen=True)
class Broken:
    """The subscription cannot be served; the reason goes into a failed row."""

    kind: str  # an error kind of the contract
    message: str


class BrokenSubscription(Exception):
    """Carries a :class:`Broken` out of an evaluation."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.broken = Broken(kind, message)


def reader(subscription):
    """The environment of the subscription's user: rights, companies, language."""
    user = subscription.user_id.sudo()
    if not user:
        raise BrokenSubscription("internal", "The subscription has no user; choose one.")
    active, lang, tz = user._webhook_habits()
    if not active:
        raise BrokenSubscription(
            "internal",
            f"The user {user.name} is archived; choose another user for the subscription.",
        )
    companies = list(user._get_company_ids())
    context = {"lang": lang, "tz": tz, "allowed_company_ids": companies}
    return subscription.env(user=user.id, su=False, context=context)


def matching(subscription, records, asked=None):
    """The records that the subscription's user may read and its domain selects.

    :param asked: a dict shared by several calls, so that equal questions about users
        and their rights are asked once
    """
    asked = {} if asked is None else asked
    user = subscription.user_id
    if user not in asked:
        asked[user] = reader(subscription)
    records = _of_company(subscription, records.with_env(asked[user]))
    if (user, records) not in asked:
        asked[user, records] = records._filtered_access("read")
    try:
        return asked[user, records].filtered_domain(parse_domain(subscription.domain))
    except AccessError as error:
        raise BrokenSubscription(
            "internal",
            "The domain uses something that the subscription's user may not read.",
        ) from error


def describe(records, tree):
    """`{record id: compact JSON}` of the records' enriched fields.

    An object too large for an event is a :class:`Broken` instead.
    """
    texts = {}
    for record in records:
        text = compact(_node(record, tree))
        if len(text.encode()) > MAX_RECORDS_BYTES:
            text = Broken(
                "payload_too_large",
                "enrich_fields: the values of one record exceed 256 KiB; "
                "choose fewer or shorter fields.",
            )
        texts[record.id] = text
    return texts


def path_tree(enrich_fields):
    """`{"partner_id": {"email": {}}}` of dotted paths, one a line."""
    return _path_tree(enrich_fields or "")


@functools.lru_cache(maxsize=1024)
def _path_tree(text):
    tree = {}
    for line in text.splitlines():
        node = tree
        for name in filter(None, line.strip().split(".")):
            node = node.setdefault(name, {})
    return tree


def parse_domain(text):
    """The list behind a Python literal.

    :raise BrokenSubscription: it is not one
    """
    try:
        return list(_literal(text or "[]"))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise BrokenSubscription(
            "internal", "domain: not a Python list; correct it in the subscription."
        ) from error


@functools.lru_cache(maxsize=1024)
def _literal(text):
    return tuple(ast.literal_eval(text))


def chunks(ids, texts):
    """Cut record ids (ascending) into events that fit.

    :param texts: `{id: JSON}`, or `{}` when nothing is enriched
    """
    chunk, size = [], 0
    for id_ in ids:
        more = len(texts.get(id_, "").encode()) + 1
        if chunk and (len(chunk) == MAX_RECORDS or size + more > MAX_RECORDS_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(id_)
        size += more
    if chunk:
        yield chunk


def event_json(event, records_json):
    """The event's text, as stored and submitted.

    :param event: the contract's event without `records`
    :param records_json: JSON texts of the records, in order, or an empty list
    """
    text = compact(event)
    if not records_json:
        return text
    return f'{text[:-1]},"records":[{",".join(records_json)}]}}'


def new_event_id():
    """A UUID of version 7: random, and ordered by time, as indexes like it."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = rest * 4096 // 1_000_000
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64
    return str(uuid.UUID(int=value | 0b10 << 62 | secrets.randbits(62)))


def timestamp(moment):
    """RFC 3339, UTC, milliseconds, of a naive UTC datetime."""
    return moment.isoformat(timespec="milliseconds") + "Z"


def clean(text):
    """Valid Unicode without NUL: what PostgreSQL and JSON both take."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _of_company(subscription, records):
    company = subscription.company_id
    if not company or "company_id" not in records._fields:
        return records
    owners = (company.id, False)
    return records.browse(r.id for r in records.sudo() if r.company_id.id in owners)


def _node(record, tree):
    result = {"id": record.id}
    for name, subtree in tree.items():
        field = record._fields.get(name)
        if field is None or field.type == "binary":
            continue
        if not record._has_field_access(field, "read"):
            continue
        try:
            result[name] = _value(record[name], field, subtree)
        except AccessError:
            continue  # unreadable later than the save: left out, as the contract says
    return result


def _value(value, field, subtree):
    if isinstance(value, models.BaseModel):
        return _related(value, field, subtree)
    if field.type == "boolean":
        return bool(value)
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return clean(value) or None
    if value is False or value is None:
        return None
    if isinstance(value, int):
        return value
    return _plain(value)


def _related(records, field, subtree):
    if field.type in ("many2one", "reference"):
        if not records:
            return {}
        if not records._filtered_access("read"):
            raise AccessError(records.env._("These records may not be read."))
        return _member(records, subtree)
    readable = records._filtered_access("read")[:MAX_RELATED]
    return [_member(record, subtree) for record in readable]


def _member(record, subtree):
    if not subtree:
        return {"id": record.id, "display_name": clean(record.display_name or "")}
    return _node(record, subtree)


def _plain(value):
    """Json and properties fields: whatever of them is JSON."""
    if isinstance(value, dict):
        return {clean(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    return clean(str(value))
