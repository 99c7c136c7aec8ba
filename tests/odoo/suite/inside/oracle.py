"""Row triggers on every table, and what they noted."""

from pathlib import Path

SQL_FILE = Path(__file__).with_name("oracle.sql")


def install(cr, relations):
    """Puts the triggers on; ``relations``: names of many2many tables, whose rows are noted whole."""
    cr.execute(SQL_FILE.read_text())
    cr.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname != 'suite_note'"
    )
    tables = [name for (name,) in cr.fetchall()]
    for name in tables:
        kind = "relation" if name in relations else "model"
        cr.execute(
            f'CREATE TRIGGER suite_note AFTER INSERT OR UPDATE OR DELETE ON "{name}" '
            f"FOR EACH ROW EXECUTE FUNCTION suite_note('{kind}')"
        )
    return len(tables)


class Record:
    """What became of one row in one unit."""

    __slots__ = ("columns", "depth", "first", "last")

    def __init__(self, op):
        self.first, self.last, self.depth, self.columns = op, op, 0, {}


class Unit:
    """What one transaction of the addon's did: that of the test's cursor ("0"), or of one that the test opened on top."""

    def __init__(self):
        self.records = {}  # (table, id): Record
        self.pairs = {}  # (table, the relation's row): [first op, last op, all by the ORM]
        # (table, id) that the ORM was asked to create, write, delete (x), translate or compute (k), and the fields that it got.
        self.calls = {op: {} for op in "cwxtk"}
        self.delivered = []  # ids of delivery rows
        self.changes = 0

    def note(self, table, op, rec, depth, orm, old, new, delivery_table):
        """One line of the notes."""
        if op in self.calls:
            for id_ in new["ids"]:
                self.calls[op].setdefault((table, id_), set()).update(new["names"])
            return
        if table == delivery_table and op == "I":
            self.delivered.append(rec)
        self.changes += 1
        if rec is not None:
            self._note_record(table, op, rec, depth, orm, old, new)
        if op != "U" and (old or new):
            row = frozenset((name, value) for name, value in (new or old).items() if isinstance(value, int))
            pair = self.pairs.setdefault((table, row), [op, op, True])
            pair[1] = op
            pair[2] = pair[2] and orm and depth == 1

    def was_given(self, key, name):
        """Whether the ORM was asked for a value of this field, rather than found it in its cache."""
        return any(name in self.calls[op].get(key, ()) for op in "wtk")

    def _note_record(self, table, op, rec, depth, orm, old, new):
        record = self.records.setdefault((table, rec), Record(op))
        record.last, record.depth = op, depth
        if op == "U":
            for name, value in old.items():
                column = record.columns.setdefault(name, [value, None, True])
                column[1] = new[name]
                column[2] = column[2] and orm and depth == 1


def read(connection, xid, delivery_table):
    """`{unit: Unit}` of a transaction that is still open."""
    units = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT unit, tbl, op, rec, depth, orm, old, new FROM suite_note WHERE xid = %s ORDER BY seq", [xid]
        )
        for unit, *note in cursor:
            units.setdefault(unit, Unit()).note(*note, delivery_table)
    return units
