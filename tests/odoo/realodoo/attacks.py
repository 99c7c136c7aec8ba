"""What a run tried against Odoo's doors, for the table that tests/security/report.py makes."""

import json

from . import cache
from .web import RpcError

FOLDER = cache.PROJECT / "target/security"
# How Odoo says no. Anything else, such as a TypeError, would mean that the test knocked at no door.
REFUSALS = ("AccessError", "AccessDenied", "UserError", "ValidationError", "MissingError", "ValueError", "NotFound", "Forbidden")


class Attacks:
    """Classes of attacks, and what became of each case."""

    def __init__(self):
        self.classes = {}

    def held(self, kind, case, how):
        """One case that was refused, as the test has seen."""
        self._note(kind, case, how, True)

    def reached(self, kind, case, what):
        """One case that got through: it goes into the table, and the test fails."""
        self._note(kind, case, f"**NOT REFUSED**: {what}", False)
        raise AssertionError(f"{kind}: {case}: {what}")

    def refused(self, kind, case, *calls):
        """Tries what must be refused, each call by itself; answers the last refusal's text."""
        names = {}
        for call in calls:
            try:
                answer = call()
            except RpcError as error:
                name, text = last_part(error.name), error.message or ""
                assert name in REFUSALS, f"{case}: this is no refusal: {error}"
            else:
                if not refused_import(answer):
                    self.reached(kind, case, f"answered {str(answer)[:100]}")
                name, text = "error in its answer", str(answer)
            names[name] = names.get(name, 0) + 1
        counted = [name if len(calls) == 1 else f"{count} x {name}" for name, count in names.items()]
        self._note(kind, case, f"refused: {', '.join(counted)}", True)
        return text

    def sealed(self, kind, case, canaries, *calls):
        """Tries what may be answered or refused, as long as no canary is in what comes back; answers the last text."""
        refused = 0
        for call in calls:
            try:
                answer = call()
            except RpcError as error:
                answer, refused = f"{error} {error.body}", refused + 1
            text = answer if isinstance(answer, str) else json.dumps(answer, default=str)
            for canary in canaries:
                if canary in text:
                    at = text.index(canary)
                    self.reached(kind, case, f"{canary} in …{text[max(at - 60, 0) : at + 40]}…")
        how = "refused" if refused == len(calls) else "answered, without it"
        self._note(kind, case, how if len(calls) == 1 else f"{len(calls)} tries, {refused} refused, none with it", True)
        return text

    def _note(self, kind, case, how, refused):
        self.classes.setdefault(kind, []).append((case, how, refused))

    def write(self, part):
        """Leaves it where ``just attacks`` looks."""
        if not self.classes:
            return
        classes = [
            {
                "name": name,
                "cases": [(case, how) for case, how, _refused in cases],
                "refused": sum(refused for *_, refused in cases),
                "reached": sum(not refused for *_, refused in cases),
            }
            for name, cases in self.classes.items()
        ]
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / f"{part}.json").write_text(json.dumps({"classes": classes, "controls": []}))


def last_part(name):
    """The class of an exception."""
    return (name or "").rpartition(".")[2]


def refused_import(answer):
    """`load` says no in its answer."""
    return isinstance(answer, dict) and answer.get("ids") is False and bool(answer.get("messages"))
