# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Heads of groups and pivots of our models, on their way into a spreadsheet. The rows
themselves come by `export_data`."""

import json
from collections import OrderedDict

from werkzeug.datastructures import FileStorage

from odoo import http

from odoo.addons.web.controllers.export import ExcelExport
from odoo.addons.web.controllers.pivot import TableExporter

from ..tools.exports import defused, defused_all, is_ours


class WebhookExcelExport(ExcelExport):
    def from_group_data(self, fields, columns_headers, groups):
        if is_ours(groups._model._name):
            _defuse_heads(groups)
        return super().from_group_data(fields, columns_headers, groups)


class WebhookPivotExport(TableExporter):
    @http.route()
    def export_xlsx(self, data, **kw):
        table = json.load(data) if isinstance(data, FileStorage) else json.loads(data)
        if isinstance(table, dict) and is_ours(table.get("model")):
            table = defused_all(table)
        return super().export_xlsx(json.dumps(table), **kw)


def _defuse_heads(node):
    """A head that is a pair shows its second: two heads must not become one."""
    node.children = OrderedDict(
        ((key, defused(_shown(key))), child)
        if isinstance(_shown(key), str)
        else (key, child)
        for key, child in node.children.items()
    )
    for child in node.children.values():
        _defuse_heads(child)


def _shown(key):
    return key[1] if isinstance(key, tuple) and len(key) > 1 else key
