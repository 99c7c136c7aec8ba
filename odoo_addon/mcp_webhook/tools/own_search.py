# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Which filters run a model's own Python before PostgreSQL sees them.

A field's `search` method or a model's `_search` may read, and loop over, as much as it
likes: no limit of a statement holds it. Such filters are not judged in somebody's save.
Searches by a record's name are: how often they ask the database is counted.
"""

from collections.abc import Collection

from odoo.fields import Domain
from odoo.models import BaseModel

HIERARCHY = ("child_of", "parent_of")
CORE = "odoo.orm."  # where the fields are at home whose SQL is known
MOST_NAMES = 4  # names of records that are searched by names of other records
# Modules whose `_search` only rewords the question, or orders what is found.
LIGHT_SEARCHES = frozenset(
    f"odoo.addons.{name}"
    for name in (
        "base.models.res_groups",
        "event.models.mail_template",
        "event_sms.models.sms_template",
        "hr_holidays.models.hr_leave_type",
        "mail.models.mail_blacklist",
        "product.models.product_product",
        "stock.models.stock_quant",
    )
)


def searched_by_code(domain, model):
    """The first condition's field that is searched by code of a model's own, or None: what
    that does, and how long it takes, nobody can say beforehand.

    :param domain: a `Domain`
    :param model: its model, with whatever rights
    """
    for condition in domain.iter_conditions():
        if _is_own(condition, model):
            return condition.field_expr
    return None


def _is_own(condition, model):
    names = condition.field_expr.split(".")
    path = _walk(names, model)
    if path is None:
        return True
    field, holder = path[-1]
    if field is None or len(path) < len(names):
        return False  # a property, a part of a date, or a fault that is worded elsewhere
    operator, value = condition.operator, condition.value
    is_by_name = operator.endswith("like") or has_text(value)
    if field.name == "id":
        is_tree = operator in HIERARCHY
        return is_tree and (_has_own(holder) or (is_by_name and _names_are_own(holder)))
    comodel = holder.env.get(field.comodel_name or "")
    if comodel is None:
        return False
    enters = "any" in operator or operator in HIERARCHY or is_by_name
    if (enters or field.type.endswith("2many")) and _has_own(comodel):
        return True
    if "any" in operator:
        return bool(searched_by_code(Domain(value), comodel))
    return is_by_name and _names_are_own(comodel)


def _walk(names, model, depth=0):
    """`[(field, model)]` along a path, as far as there are fields; None: some code of a
    model's own is on it."""
    path = []
    for position, name in enumerate(names):
        field = model._fields.get(name)
        path.append((field, model))
        if field is None:
            return path
        if _field_is_own(field, model, depth):
            return None
        if position + 1 == len(names) or not field.comodel_name:
            return path
        model = model.env[field.comodel_name]
        if _has_own(model):
            return None
    return path


def _field_is_own(field, model, depth):
    if depth > MOST_NAMES or not type(field).__module__.startswith(CORE):
        return True
    if field.related and (field.inherited or field.search == field._search_related):
        return _walk(field.related.split("."), model, depth + 1) is None
    if field.name == "display_name":
        return bool(field.search) and _names_are_own(model, depth)
    return bool(field.search)


def _has_own(model):
    return any(
        "_search" in cls.__dict__ and cls.__module__ not in LIGHT_SEARCHES
        for cls in type(model).__mro__
        if cls is not BaseModel
    )


def _names_are_own(model, depth=0):
    """Whether what makes up the names of records is searched by code of a model's own."""
    names = model._rec_names_search or ([model._rec_name] if model._rec_name else [])
    return any(_name_is_own(name, model, depth + 1) for name in names)


def _name_is_own(name, model, depth):
    path = _walk(name.split("."), model, depth)
    if path is None:
        return True
    field, holder = path[-1]
    if field is None or not field.relational:
        return False
    comodel = holder.env[field.comodel_name]
    return _has_own(comodel) or _names_are_own(comodel, depth)


def has_text(value):
    """Whether a relation is compared with a name; the ORM has sets of its own."""
    if isinstance(value, str):
        return True
    return isinstance(value, Collection) and any(map(has_text, value))
