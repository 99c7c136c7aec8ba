"""Subscriptions on every persistent model that the addon takes."""

from dataclasses import dataclass, field

from odoo.exceptions import AccessError, UserError, ValidationError

URL = "https://hooks.example.com/suite"
TECHNICAL = ("create_date", "create_uid", "write_date", "write_uid", "parent_path")
SCALARS = ("char", "text", "selection", "integer", "float", "monetary", "boolean")
AT_ONCE = 64
EVERY = 9  # of the models have a subscription with watched fields, too, where every one has one for any field


@dataclass
class Subscription:
    """One that the addon took."""

    id: int
    model: str
    event_type: str
    fields: tuple = ()
    scalars: tuple = ()  # enriched fields whose values can be compared with the row


@dataclass
class Watched:
    """What is watched, and what the addon refused."""

    user_id: int = 0
    subscriptions: list = field(default_factory=list)
    refused: dict = field(default_factory=dict)  # model: the refusal


@dataclass
class _Wanted:
    model: str
    event_type: str
    fields: list = ()
    paths: list = ()
    scalars: tuple = ()

    def values(self, env, user_id):
        found = env["ir.model.fields"].search([("model", "=", self.model), ("name", "in", self.fields)])
        return {
            "name": f"suite {self.model}",
            "model_id": env["ir.model"]._get(self.model).id,
            "event_type": self.event_type,
            "user_id": user_id,
            "webhook_url": URL,
            "watched_field_ids": [(6, 0, found.ids)],
            "enrich_fields": "\n".join(self.paths),
        }


def persistent(env):
    """Models with a table of their own, without the addon's."""
    return [
        name
        for name in sorted(env.registry)
        if not (env[name]._abstract or env[name]._transient or not env[name]._auto)
        and not name.startswith(("mcp.webhook.", "mcp.event."))
    ]


def everything(env, kinds):
    """Watches every model as the administrator.

    :param kinds: `any`: each ``create``, ``write`` and ``unlink``; `fields`: watched fields, in groups, with enrichment;
        `some`: the first, and for some models the second
    """
    user = env.ref("base.user_admin")
    wanted = []
    for number, name in enumerate(persistent(env)):
        if kinds in ("any", "some", "both"):
            wanted.append(_Wanted(name, "all"))
        if kinds in ("fields", "both") or (kinds == "some" and number % EVERY == 0):
            wanted += _with_fields(env[name])
    watched = Watched(user.id)
    for start in range(0, len(wanted), AT_ONCE):
        _subscribe(env, watched, wanted[start : start + AT_ONCE])
    return watched


def _subscribe(env, watched, wanted):
    """Many at once, for each new one makes the addon read all of them; those with a refused one in two halves."""
    try:
        with env.cr.savepoint():
            made = env["mcp.event.subscription"].create([one.values(env, watched.user_id) for one in wanted])
    except (AccessError, UserError, ValidationError) as error:
        if len(wanted) == 1:
            watched.refused.setdefault(wanted[0].model, str(error))
            return
        half = len(wanted) // 2
        _subscribe(env, watched, wanted[:half])
        _subscribe(env, watched, wanted[half:])
        return
    for one, id_ in zip(wanted, made.ids, strict=True):
        watched.subscriptions.append(Subscription(id_, one.model, one.event_type, tuple(one.fields), one.scalars))


def _with_fields(model):
    """Disjoint groups of watched fields, so that no change hides that another one was missed."""
    plain, relations, computed, technical = [], [], [], []
    tables = {other._table for other in model.env.registry.values() if other._auto}
    for name, definition in model._fields.items():
        if not definition.store or definition.type in ("one2many", "binary") or name == "id":
            continue
        if definition.type == "many2many" and definition.relation in tables:
            continue  # its links are records, and refused
        if name in TECHNICAL:
            technical.append(name)
        elif definition.type == "many2many":
            relations.append(name)
        elif definition.compute or definition.related:
            computed.append(name)
        elif definition.column_type:
            plain.append(name)
    paths, scalars = _paths(model)
    groups = [names for names in (plain, relations, computed, technical) if names]
    return [_Wanted(model._name, "write", names, paths, scalars) for names in groups]


def _paths(model):
    """Enrichment: what can be compared with the row, and what lies behind relations."""
    free = [d for d in model._fields.values() if not d.groups and d.name not in TECHNICAL and d.name != "id"]
    scalars = [d.name for d in free if d.type in SCALARS and d.store and not d.translate and not d.company_dependent][:6]
    behind = []
    for kind in ("many2one", "many2many", "one2many"):
        found = [d for d in free if d.type == kind and d.comodel_name in model.env]
        behind += [f"{d.name}.display_name" for d in found[:1]]
    return scalars + behind, tuple(scalars)
