# Copyright 2026 mcp-webhookd contributors
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
from odoo.exceptions import AccessError, MissingError
from odoo.tools import split_every

from .denied_models import (
    holds_secrets,
    is_secret,
    tells_a_secret,
    without_link_secrets,
)
from .sidecar import compact
from .words import _lt, detailed

MAX_RECORDS = 200  # record ids in one event
MAX_RECORDS_BYTES = 248 * 1024  # of 256 KiB; the rest is for the other fields
MAX_RELATED = 100  # members of an x2many
# What the enriched records of one event may cost while somebody waits.
MAX_VALUES = 20_000
MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Broken:
    """The subscription cannot be served; the reason goes into a failed row."""

    kind: str  # an error kind of the contract
    message: str  # see `words.py`


class BrokenSubscription(Exception):
    """Carries a :class:`Broken` out of an evaluation."""

    def __init__(self, kind, sentence, detail=None):
        self.broken = Broken(kind, detailed(sentence, detail))
        super().__init__(self.broken.message)


class OverBudget(Exception):
    """More values or bytes than somebody who waits has time for."""


class CutText(str):
    """The JSON of a record that is told without what exceeded the budget."""

    __slots__ = ()


class Budget:
    """What the records of one event may cost.

    :param times: the budget of a save, so many times
    :param meter: a function that counts SQL statements; no computed field is free of them
    :param statements: how many more there may be
    """

    def __init__(self, times=1, meter=None, statements=0):
        self._values = MAX_VALUES * times
        self._bytes = MAX_BYTES * times
        self._meter = meter
        self._last = meter and meter() + statements

    def spend(self, value=None):
        """:raise OverBudget: this value is too much"""
        self._values -= 1
        if isinstance(value, str):
            self._bytes -= len(value)
        if self._values < 0 or self._bytes < 0:
            raise OverBudget
        if self._meter and self._meter() > self._last:
            raise OverBudget


def describe(records, tree, budget, is_cut=False):
    """`{record id: compact JSON}` of the records' enriched fields.

    An object too large for an event is a :class:`Broken` instead.

    :param is_cut: what exceeds the budget is left out
    :raise OverBudget: it is exceeded, and nothing may be left out
    """
    texts = {}
    for record in records:
        node, is_whole = {"id": record.id}, True
        try:
            _fill(node, record, tree, budget)
        except OverBudget:
            if not is_cut:
                raise
            is_whole = False
        text = compact(node)
        if len(text.encode()) > MAX_RECORDS_BYTES:
            text = Broken(
                "payload_too_large",
                _lt(
                    "enrich_fields: the values of one record exceed 256 KiB; choose fewer "
                    "or shorter fields."
                ),
            )
        texts[record.id] = text if is_whole else CutText(text)
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
            "internal",
            _lt("domain: not a Python list; correct it in the subscription."),
        ) from error


@functools.lru_cache(maxsize=1024)
def _literal(text):
    return tuple(ast.literal_eval(text))


def chunks(ids, texts, most=MAX_RECORDS):
    """Cut record ids (ascending) into events that fit.

    :param texts: `{id: JSON}`, or `{}` when nothing is enriched
    :param most: records in one event
    """
    chunk, size = [], 0
    for id_ in ids:
        more = len(texts.get(id_, "").encode()) + 1
        if chunk and (len(chunk) == most or size + more > MAX_RECORDS_BYTES):
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


def told(text):
    """A value of Odoo's, as it may leave."""
    return clean(without_link_secrets(text))


def _fill(node, record, tree, budget):
    """Put the values of a record's fields into its JSON object."""
    for name, subtree in tree.items():
        field = record._fields.get(name)
        if field is None or field.type == "binary" or is_secret(field):
            continue
        if name == "display_name" and tells_a_secret(record):
            continue
        if not record._has_field_access(field, "read"):
            continue
        try:
            value = record[name]
            if isinstance(value, models.BaseModel):
                if subtree and holds_secrets(value._name):
                    continue
                _fill_related(node, name, value, field, subtree, budget)
            elif field.type == "properties":
                node[name] = _properties(record, field, budget)
            else:
                node[name] = _value(value, field, budget)
        except (AccessError, MissingError):  # also a reference to what is gone
            node.pop(name, None)  # unreadable later than the save, as the contract says


def _value(value, field, budget):
    budget.spend(value)
    if field.type == "boolean":
        return bool(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds") + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return told(value) or None
    if value is False or value is None:
        return None
    if isinstance(value, int):
        return value
    return _plain(value, budget)


def _fill_related(node, name, records, field, subtree, budget):
    """Members are put into place as they are read: what a cut leaves is still whole."""
    if field.type in ("many2one", "reference", "many2one_reference"):
        node[name] = {}
        if records:
            if not records._filtered_access("read"):
                raise AccessError(records.env._("These records may not be read."))
            _fill_member(node[name], records, subtree, budget)
        return
    node[name] = []
    for record in _readable(records, budget):
        member = {}
        node[name].append(member)
        _fill_member(member, record, subtree, budget)


def _readable(records, budget):
    """The first members that may be read, a few at a time: there may be millions."""
    found = 0
    for some in split_every(MAX_RELATED, records._ids):
        budget.spend()
        for record in records.browse(some)._filtered_access("read"):
            if found == MAX_RELATED:
                return
            found += 1
            yield record


def _fill_member(member, record, subtree, budget):
    budget.spend()
    member["id"] = record.id
    if subtree:
        _fill(member, record, subtree, budget)
    elif not tells_a_secret(record):
        name = told(record.display_name or "")
        budget.spend(name)
        member["display_name"] = name


def _properties(record, field, budget):
    """`{name: value}`; relations as their fields are."""
    values = field.convert_to_read(record[field.name]._values, record, False)
    result = {}
    for definition in values or []:
        name, value = definition.get("name"), definition.get("value")
        budget.spend(value)
        if not name or definition.get("type") == "separator":
            continue
        comodel = record.env.get(definition.get("comodel") or "")
        if comodel is not None:
            many = definition["type"] == "many2many"
            result[name] = _property_relation(comodel, value, many, budget)
        elif value is False and definition.get("type") != "boolean":
            result[name] = None
        else:
            result[name] = _plain(value, budget)
    return result


def _property_relation(comodel, value, many, budget):
    ids = value if isinstance(value, list | tuple) else [value] if value else []
    ids = [id_ for id_ in ids if isinstance(id_, int)]
    members = []
    for record in _readable(comodel.browse(ids).exists(), budget):
        members.append({})
        _fill_member(members[-1], record, {}, budget)
    if many:
        return members
    return members[0] if members else {}


def _plain(value, budget):
    """Json fields: whatever of them is JSON."""
    budget.spend(value)
    if isinstance(value, dict):
        return {clean(str(key)): _plain(item, budget) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, budget) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    return told(str(value))
