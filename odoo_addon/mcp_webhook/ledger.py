# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What this transaction has emitted so far, across savepoints.

Odoo runs the precommit hooks at every `cr.savepoint()`, so a transaction may emit
in several batches, and a rollback to a savepoint takes back some of them. The
ledger lives in `cr.postcommit.data`, which savepoints leave alone; it learns of
rollbacks from a transaction-local PostgreSQL setting that holds the number of the
newest batch: PostgreSQL itself turns that back.
"""

SETTING = "mcp_webhook.batch"
LEDGER = "mcp_webhook.ledger"  # the key in cr.postcommit.data


class Ledger:
    """Dictionaries with an undo log per batch.

    :ivar slots: `{(model, record id): Slot}`
    :ivar verdicts: `{(subscription id, record id): Verdict}`
    :ivar rows: `{delivery id: Row}`, this transaction's delivery rows
    :ivar homes: `{(subscription id, record id): delivery id}`
    :ivar newest: `{group: delivery id}`, the row that takes a group's next records
    :ivar paused: ids of subscriptions that were found paused
    """

    def __init__(self):
        self.slots = {}
        self.verdicts = {}
        self.rows = {}
        self.homes = {}
        self.newest = {}
        self.paused = set()
        self._number = 0
        self._undo = []  # [(batch number, [(dict, key, old value)])]

    @classmethod
    def of(cls, cr):
        """The ledger of the cursor's transaction, opened for a new batch."""
        ledger = cr.postcommit.data.get(LEDGER)
        if ledger is None:
            ledger = cr.postcommit.data[LEDGER] = cls()
        ledger._open_batch(cr)
        return ledger

    def put(self, mapping, key, value):
        """Set `mapping[key]`, or remove it when `value` is None; can be undone."""
        old = mapping.get(key)
        if old is None and value is None:
            return
        self._undo[-1][1].append((mapping, key, old))
        _assign(mapping, key, value)

    def mark(self):
        """Where the present batch is."""
        return len(self._undo[-1][1])

    def go_back_to_mark(self, mark):
        """Take back what the present batch has put since then."""
        changes = self._undo[-1][1]
        _take_back(changes[mark:])
        del changes[mark:]

    def _open_batch(self, cr):
        if self._undo:
            cr.execute("SELECT current_setting(%s, true)", [SETTING])
            self._go_back_to(int(cr.fetchone()[0] or 0))
        self._number += 1
        self._undo.append((self._number, []))
        cr.execute("SELECT set_config(%s, %s, true)", [SETTING, str(self._number)])

    def _go_back_to(self, number):
        while self._undo and self._undo[-1][0] > number:
            _take_back(self._undo.pop()[1])


def _take_back(changes):
    for mapping, key, old in reversed(changes):
        _assign(mapping, key, old)


def _assign(mapping, key, value):
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value
