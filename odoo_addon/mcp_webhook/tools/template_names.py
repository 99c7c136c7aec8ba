# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Which values of the records a payload template asks for. Knows nothing of Odoo.

A path that leads nowhere is empty when the template is filled, without a word: whoever
mistypes a field would see it only at the receiver.
"""

import re

# The template may be a stranger's: each letter is read once, whatever is left open.
CLOSING = {"{{": "}}", "{%": "%}"}
OPENING = re.compile(r"{{|{%")
QUOTED = re.compile(r'"(?:\\.|[^"\\])*(?:"|$)', re.DOTALL)
LOOP = re.compile(r"for\s+(\w+)\s+in\s+([\w.?]+)")
ALIAS = re.compile(r"with\s+([\w.?]+)\s+as\s+(\w+)")
PATH = re.compile(r"(?<![\w.])([A-Za-z_]\w*)((?:\??\.\w+)*)")
ROOTS = {"record": (), "records": ()}  # where the paths of a record begin
MOST_NAMES = 500  # of a template that are looked at
MOST_PARTS = 20  # of a path; no field to send has so many


def texts_of(value):
    """All strings in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item)


def names_in(template):
    """Dotted paths, below a record, that a template asks for, in order; at most
    `MOST_NAMES`.

    :param template: a JSON value
    """
    found = {}
    for text in texts_of(template):
        for path in _paths(text):
            if path:
                found[".".join(path)] = True
            if len(found) == MOST_NAMES:
                return list(found)
    return list(found)


def _tags(text):
    """What stands between braces."""
    at = 0
    while opening := OPENING.search(text, at):
        at = text.find(CLOSING[opening[0]], opening.end())
        if at < 0:
            return
        yield text[opening.end() : at]


def _paths(text):
    names = dict(ROOTS)
    for tag in _tags(text):
        inside = QUOTED.sub("", tag).strip().removeprefix("-").lstrip()
        loop, alias = LOOP.match(inside), ALIAS.match(inside)
        if loop or alias:
            name, source = loop.groups() if loop else reversed(alias.groups())
            names[name] = _resolved(source, names)
        for root, rest in PATH.findall(inside):
            path = _resolved(root + rest, names)
            if path is not None:
                yield path


def _resolved(source, names):
    """The path below a record, without the numbers that choose one of several; None: it is
    of something else."""
    root, *rest = source.replace("?", "").split(".")
    begin = names.get(root)
    if begin is None:
        return None
    return (*begin, *(part for part in rest if not part.isdigit()))[:MOST_PARTS]
