# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a subscription may say: each check names the field, what was expected, and
an example, so that a person and a language model can both act on it.

Every function takes `label`, the name under which the caller knows the field, and
raises a `ValidationError` whose text begins with it. Values of secrets, headers and
URLs never appear in a text.
"""

import ast
import difflib
import json
import re
from urllib.parse import urlsplit

import psycopg2

from odoo import fields
from odoo.exceptions import AccessError, ValidationError
from odoo.fields import Domain
from odoo.models import BaseModel
from odoo.tools import SQL

from . import limits
from .denied_models import holds_secrets, is_secret, tells_a_secret
from .meter import Meter, metered
from .own_search import has_text, searched_by_code
from .sidecar import compact
from .watchable import is_denied, is_watchable

MAX_DOTS = 3  # in an enrich path
TRIED_STATEMENTS = 200  # with which a filter is looked at, by whatever code it runs
TRIED_MS = 2_000  # that the database may take to look at a filter
EVENT_TYPES = ("create", "write", "unlink", "all")
DEFAULT_PORTS = {"http": 80, "https": 443}
POINTER = re.compile(r"(/([^~]|~[01])*)?")  # RFC 6901; `/` and `~` are written ~1 and ~0
# What a host is made of: it is shown, mailed and exported.
HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*)|[0-9a-f:]+:[0-9a-f:.]*")


def refuse(label, text):
    message = f"{label}: {text}"
    raise ValidationError(message)


def check_text(env, label, text):
    """PostgreSQL and JSON both take it."""
    if text and "\0" in text:
        refuse(label, env._("NUL characters are not allowed; remove them."))


# -- model and event type ------------------------------------------------------------


def may_be_watched(model):
    """Whether this model (a class of the registry, or a recordset) is one to watch."""
    stored = model._auto and not model._abstract and not model._transient
    return stored and not is_denied(model._name) and not holds_secrets(model._name)


def check_model(env, label, name):
    """The model exists, has a table of its own, and may be watched."""
    limits.check(env, label, name, limits.WORD)
    model = env.get(name) if isinstance(name, str) else None
    if model is None:
        close = difflib.get_close_matches(limits.shown(name), list(env.registry), 3)
        refuse(
            label,
            env._(
                "expected the technical name of an installed model, got %(name)r. "
                "%(hint)sExample: 'res.partner'.",
                name=limits.shown(name),
                hint=env._("Did you mean %s? ", ", ".join(close)) if close else "",
            ),
        )
    if holds_secrets(name):
        refuse(
            label,
            env._(
                "%s holds credentials, which never leave; expected a business model. "
                "Example: 'res.partner'.",
                name,
            ),
        )
    if not may_be_watched(model):
        refuse(
            label,
            env._(
                "%s cannot be watched (it is not stored, or watching it would make "
                "each delivery cause the next one); expected a business model. "
                "Example: 'res.partner'.",
                name,
            ),
        )


def check_event_type(env, label, value):
    if not isinstance(value, str) or value not in EVENT_TYPES:
        refuse(
            label,
            env._(
                "expected one of %(types)s, got %(value)r. Example: 'write'.",
                types=", ".join(EVENT_TYPES),
                value=limits.shown(value),
            ),
        )


# -- domain --------------------------------------------------------------------------


def check_domain(env, label, text, model_name, user, is_thorough=True, runs_code=True):
    """A Python literal list that is a valid domain of the model for this user.

    :param is_thorough: also ask the database, which finds out what a value of another
        type is
    :param runs_code: also let the models' own code search; else what needs it is taken
    """
    limits.check(env, label, text, limits.DOMAIN)
    try:
        value = ast.literal_eval((text or "[]").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, list):
        refuse(
            label,
            env._(
                "expected a Python list of literal conditions, without expressions such "
                "as uid or context_today(). Example: [('customer_rank', '>', 0)]."
            ),
        )
    if _has_nul(value):
        refuse(label, env._("NUL characters are not allowed; remove them."))
    if _conditions(value) > limits.MAX_CONDITIONS:
        refuse(
            label,
            env._(
                "too many conditions; expected at most %s. "
                "Example: [('id', 'in', [1, 2, 3])] instead of one for each.",
                limits.MAX_CONDITIONS,
            ),
        )
    model = env[model_name].with_user(user)
    try:
        domain = Domain(value)
        check_condition_fields(domain, model)
        if runs_code or not searched_by_code(domain, model):
            with metered(env.cr, Meter(TRIED_MS), TRIED_STATEMENTS):
                domain.validate(model)
                if is_thorough and value:
                    _try_domain(domain, model)
    except AccessError:
        refuse(
            label,
            env._("it uses a field that %s may not read; choose another.", user.name),
        )
    except (
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        IndexError,
        RecursionError,
        psycopg2.Error,
    ) as error:
        reason = limits.shown(error.args[0] if error.args else type(error).__name__)
        refuse(
            label,
            env._(
                "not a valid domain of %(model)s: %(reason)s. "
                "Example: [('create_date', '!=', False)].",
                model=model_name,
                reason=reason,
            ),
        )


def _try_domain(domain, model):
    """The database takes it, too."""
    with model.env.cr.savepoint(flush=False) as savepoint:
        model.env.cr.execute("SET LOCAL statement_timeout = %s", [TRIED_MS])
        query = BaseModel._search(model.sudo().with_context(active_test=False), domain)
        select = SQL("%s LIMIT 0", query.select())
        model.env.cr.execute(SQL("EXPLAIN %s", select), log_exceptions=False)
        savepoint.rollback()


def _conditions(domain):
    """How many conditions and operators, also of domains within."""
    count = len(domain)
    for item in domain:
        inner = item[2] if isinstance(item, list | tuple) and len(item) == 3 else None
        if isinstance(inner, list | tuple) and "any" in str(item[1]):
            count += _conditions(inner)
    return count


def _has_nul(value):
    """Written as an escape, it is in no text yet."""
    if isinstance(value, str):
        return "\0" in value
    return isinstance(value, list | tuple | set) and any(map(_has_nul, value))


def check_condition_fields(domain, model):
    """Every field that is named may be read by the model's user, and is no credential:
    whether a record matches would tell what it holds.

    :raise AccessError: one may not
    :raise ValueError: one cannot be searched
    """
    for condition in domain.iter_conditions():
        current = model
        names, enters = condition.field_expr.split("."), "any" in condition.operator
        for position, name in enumerate(names, start=1):
            field = current._fields.get(name)
            if field is None:
                break  # a property, or a fault that `validate` words better
            if _is_secret(field, current) or not current._has_field_access(field, "read"):
                raise AccessError(name)
            if not field._description_searchable:
                message = f"{name} is computed when it is read and cannot be searched"
                raise ValueError(message)
            if not field.comodel_name:
                break
            leads = len(names) > 1 or enters
            if leads and holds_secrets(field.comodel_name):
                raise AccessError(name)
            current = current.env[field.comodel_name]
            by_name = position == len(names) and not enters and has_text(condition.value)
            if by_name and tells_a_secret(current):
                raise AccessError(name)
        if enters and current is not model:
            check_condition_fields(Domain(condition.value), current)


def _is_secret(field, model):
    return is_secret(field) or (field.name == "display_name" and tells_a_secret(model))


# -- fields and paths ----------------------------------------------------------------


def check_watched(env, label, names, model_name):
    """Names of stored fields of the model, not one2many, not binary."""
    model_fields = env[model_name]._fields
    for name in names:
        field = model_fields.get(name)
        if field is None:
            refuse(label, _unknown_field(env, name, env[model_name]))
        links = records_of_links(env, field)
        if links:
            refuse(
                label,
                env._(
                    "%(name)s cannot be watched: its links are records of %(model)s. "
                    "Expected other fields, or a subscription to that model. "
                    "Example: ['name'].",
                    name=name,
                    model=links,
                ),
            )
        if not is_watchable(field):
            refuse(
                label,
                env._(
                    "%(name)s cannot be watched (%(type)s%(stored)s); expected stored "
                    "fields that are neither one2many nor binary. Example: ['name'].",
                    name=name,
                    type=field.type,
                    stored="" if field.store else env._(", not stored"),
                ),
            )


def records_of_links(env, field):
    """The model whose records a many2many's links are, or None: they come and go by calls
    of their own, of which the field hears nothing."""
    if field.type != "many2many" or not field.store:
        return None
    models = env.registry.values()
    return next((m._name for m in models if m._auto and m._table == field.relation), None)


def paths_of(text):
    """The dotted paths of `enrich_fields`, one a line."""
    return [line.strip() for line in (text or "").splitlines() if line.strip()]


def check_count(env, label, paths):
    if len(paths) > limits.MAX_PATHS:
        refuse(
            label,
            env._(
                "%(count)s are too many; expected at most %(most)s. Example: name.",
                count=len(paths),
                most=limits.MAX_PATHS,
            ),
        )


def check_path(env, label, path, model_name):
    """A dotted path of at most three dots to a field that may leave the house."""
    limits.check(env, label, path, limits.WORD)
    names = path.split(".")
    if len(names) > MAX_DOTS + 1:
        refuse(
            label,
            env._(
                "%(path)s is too deep; expected at most %(dots)s dots. "
                "Example: partner_id.country_id.code.",
                path=path,
                dots=MAX_DOTS,
            ),
        )
    model = env[model_name]
    for position, name in enumerate(names):
        field = model._fields.get(name)
        if field is None:
            refuse(label, _unknown_field(env, name, model, path))
        _check_may_leave(env, label, path, field, model)
        if position == len(names) - 1:
            return
        if not field.comodel_name:
            refuse(
                label,
                env._(
                    "%(path)s: %(name)s is not a relation, nothing can follow it. "
                    "Expected a path along relations. Example: partner_id.email.",
                    path=path,
                    name=name,
                ),
            )
        model = env[field.comodel_name]
        if holds_secrets(model._name):
            refuse(
                label,
                env._(
                    "%(path)s leads into %(model)s, which holds credentials that never "
                    "leave. Expected other fields. Example: name.",
                    path=path,
                    model=model._name,
                ),
            )


def _check_may_leave(env, label, path, field, model):
    if field.type == "binary":
        refuse(
            label,
            env._(
                "%s is binary; files do not travel in events. Expected other fields. "
                "Example: name.",
                path,
            ),
        )
    if field.groups:
        refuse(
            label,
            env._(
                "%(path)s: %(name)s is reserved for certain groups and may not leave. "
                "Expected other fields. Example: name.",
                path=path,
                name=field.name,
            ),
        )

    if _is_secret(field, model):
        refuse(
            label,
            env._(
                "%(path)s: %(name)s is a credential or named like one, and those never "
                "leave. Expected other fields. Example: name.",
                path=path,
                name=field.name,
            ),
        )


def _unknown_field(env, name, model, path=None):
    close = difflib.get_close_matches(name, list(model._fields), 3)
    return env._(
        "%(where)s%(model)s has no field %(name)r. %(hint)sExpected field names. "
        "Example: %(example)s.",
        where=f"{path}: " if path and path != name else "",
        model=model._name,
        name=name,
        hint=env._("Did you mean %s? ", ", ".join(close)) if close else "",
        example=model._rec_name or "create_date",
    )


# -- endpoint ------------------------------------------------------------------------


def check_url(env, label, url):
    """`http` or `https`, with a host. The rest is for the sidecar to say."""
    limits.check(env, label, url, limits.URL)
    where = endpoint(url)
    if not where or not HOST.fullmatch(where[0]):
        refuse(
            label,
            env._(
                "expected an address that begins with https:// and names a host. "
                "Example: https://hooks.example.com/odoo."
            ),
        )


def endpoint(url):
    """`(host, port)` of a URL, or None when it has none. Never the path."""
    try:
        parts = urlsplit(url or "")
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
        host = parts.hostname
    except ValueError:
        return None
    if not (url or "").lower().startswith(("http://", "https://")) or not host:
        return None
    return host, port


def origin(url):
    """`(scheme, host, port)`, or None: where a secret may go on going to."""
    where = endpoint(url)
    return where and (urlsplit(url).scheme, *where)


def endpoint_label(url):
    """What may be shown: the host, and the port where it is not the usual one."""
    where = endpoint(url)
    if not where:
        return False
    host, port = where
    host = f"[{host}]" if ":" in host else host
    usual = DEFAULT_PORTS.get(urlsplit(url).scheme)
    return host if port == usual else f"{host}:{port}"


def parse_headers(env, label, text):
    """`{name: value}` of `Name: value` lines."""
    limits.check(env, label, text, limits.FIELDS["webhook_headers"])
    headers = {}
    seen = set()
    for number, line in enumerate((text or "").splitlines(), start=1):
        if not line.strip():
            continue
        if len(headers) == limits.MAX_HEADERS:
            refuse(
                label,
                env._(
                    "too many headers; expected at most %s, one 'Name: value' a line. "
                    "Example: X-Tenant: acme.",
                    limits.MAX_HEADERS,
                ),
            )
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not (colon and name):
            refuse(
                label,
                env._(
                    "line %s is not a header; expected one 'Name: value' a line. "
                    "Example: X-Tenant: acme.",
                    number,
                ),
            )
        if name.lower() in seen:
            refuse(label, env._("%s is given twice; keep one line.", limits.shown(name)))
        seen.add(name.lower())
        headers[name] = value
    return headers


# -- template ------------------------------------------------------------------------


def parse_template(env, label, text):
    """The JSON value behind a payload template, or None where there is none."""
    if not (text or "").strip():
        return None
    example = '{"text": "{{ model }} {{ event_type }}"}'
    return parse_json(env, label, text, limits.TEMPLATE, example)


# -- JSON ----------------------------------------------------------------------------


def parse_json(env, label, text, limit, example):
    """The value of a JSON text, one that can be sent."""
    limits.check(env, label, text, limit)
    try:
        value = json.loads(text, parse_constant=_not_json)
        compact(value).encode()
    except json.JSONDecodeError as error:
        refuse(
            label,
            env._(
                "not valid JSON at line %(line)s, column %(column)s: %(reason)s. "
                "Example: %(example)s.",
                line=error.lineno,
                column=error.colno,
                reason=error.msg,
                example=example,
            ),
        )
    except (ValueError, RecursionError):
        refuse(
            label,
            env._(
                "not valid JSON: NaN, Infinity, half a character, or nested too deeply."
            ),
        )
    return value


def _not_json(name):
    raise ValueError(name)


def check_pointer(env, label, text):
    """A JSON pointer (RFC 6901), or none."""
    limits.check(env, label, text, limits.POINTER)
    check_text(env, label, text)
    if not POINTER.fullmatch(text or ""):
        refuse(
            label,
            env._(
                "expected the place of a value, each step behind a slash; within a name, "
                "~1 stands for / and ~0 for ~. Example: /ok, or /result/0/id."
            ),
        )


def now_text():
    """The present, as events write times."""
    return fields.Datetime.now().isoformat(timespec="milliseconds") + "Z"
