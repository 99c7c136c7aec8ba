# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Whether an endpoint fails, from how its attempts ended. Knows nothing of Odoo.

One event that is refused among many that are taken is not a failing endpoint, and a badge
that turned with each of them would tell nobody anything. So it takes more to turn than to
stay: see :func:`failing_since`.
"""

from dataclasses import dataclass
from datetime import timedelta

WINDOW = 20  # attempts that are looked at
RUN = 3  # failures in a row
MANY = 5  # failures among the window
CALM = 10  # successes in a row that end a flapping
RARE = timedelta(hours=1)  # with no success for so long, one failure is enough
DOWN = 5  # in a row without an answer, as the sidecar has it
AWAY = frozenset({"timeout", "dns", "connect", "tls", "protocol"})
OVERLOADED = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Ended:
    """One attempt that ended, as far as it speaks of the endpoint."""

    at: object
    ok: bool
    kind: str | None = None
    code: int = 0

    @property
    def is_away(self):
        return not self.ok and (self.kind in AWAY or self.code in OVERLOADED)


def failing_since(since, ended):
    """Since when it fails, or None.

    It begins with three failures in a row, five of the last twenty, or one where nothing
    has succeeded in the hour before. It ends with the first success after an unbroken
    failure; where others were among the last twenty, with ten in a row.

    :param since: what this function returned last
    :param ended: at most `WINDOW` of :class:`Ended`, the newest first
    """
    if not ended:
        return since
    run = _run(ended, lambda one: one.ok == ended[0].ok)
    if not ended[0].ok:
        return since or (ended[run - 1].at if _begins(ended, run) else None)
    if since is None:
        return None
    before = _run(ended[run:], lambda one: not one.ok)
    others = sum(not one.ok for one in ended[run + before :])
    return since if others >= RUN and run < CALM else None


def is_down(ended):
    """Nothing answers there: what waits follows one probe at a time."""
    return _run(ended, lambda one: one.is_away) >= DOWN


def _begins(ended, run):
    many = sum(not one.ok for one in ended) >= MANY
    before = ended[run].at if run < len(ended) else None
    rare = before is None or before < ended[run - 1].at - RARE
    return run >= RUN or many or rare


def _run(ended, belongs):
    for count, one in enumerate(ended):
        if not belongs(one):
            return count
    return len(ended)
