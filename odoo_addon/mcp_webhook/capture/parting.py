# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What is to be told of records that are about to go, kept until the transaction ends.

It is read before they are gone, and may be large. A little of it waits in memory, the
rest in a table that only this transaction sees and that ends with it; a savepoint takes
its rows back along with the deletion.
"""

import logging

import psycopg2

from odoo.tools import SQL

from ..tools.payload import Broken, CutText
from ..tools.words import _lt

_logger = logging.getLogger(__name__)

HELD_BYTES = 4 * 1024 * 1024  # of all items of a transaction that wait in memory

STORED = object()  # in place of an item: its text is in the table
LOST = Broken(
    "internal",
    _lt("What the records held before their deletion could not be kept until its end."),
)

_TABLE = SQL(
    """CREATE TEMP TABLE IF NOT EXISTS mcp_webhook_parting (
           subscription_id integer, record_id integer, is_cut boolean, item text,
           PRIMARY KEY (subscription_id, record_id)) ON COMMIT DROP"""
)


def keep(judge, journal, touched, subscription_id, items):
    """Keep the items of one subscription. Of what cannot be stored it is still known that
    it matched, and of all others that they did not.

    :param items: `{record id: item}`
    """
    texts = {id_: item for id_, item in items.items() if isinstance(item, str)}
    size = sum(map(len, texts.values()))
    if size and journal.held_bytes + size > HELD_BYTES:
        try:
            judge.end(_insertion(subscription_id, texts))
            what = STORED
        except psycopg2.Error:
            _logger.warning("Deletions are told without values", exc_info=True)
            what = LOST
        items = {**items, **dict.fromkeys(texts, what)}
    else:
        journal.held_bytes += size
    touched.parting.setdefault(subscription_id, {}).update(items)


def kept(judge, touched, subscription_id, ids):
    """`{record id: item}` of some of the records that `keep` was told of."""
    held = touched.parting[subscription_id]
    items = {id_: held[id_] for id_ in ids}
    stored = [id_ for id_, item in items.items() if item is STORED]
    if stored:
        items.update(dict.fromkeys(stored, LOST))
        items.update(_stored(judge, subscription_id, stored))
    return items


def _insertion(subscription_id, texts):
    is_cut = [isinstance(text, CutText) for text in texts.values()]
    return SQL(
        """%s;
        INSERT INTO mcp_webhook_parting (subscription_id, record_id, is_cut, item)
             SELECT %s, * FROM unnest(%s::integer[], %s::boolean[], %s::text[])
        ON CONFLICT (subscription_id, record_id)
          DO UPDATE SET is_cut = EXCLUDED.is_cut, item = EXCLUDED.item""",
        _TABLE,
        subscription_id,
        list(texts),
        is_cut,
        [str(text) for text in texts.values()],
    )


def _stored(judge, subscription_id, ids):
    query = SQL(
        """SELECT record_id, is_cut, item FROM mcp_webhook_parting
            WHERE subscription_id = %s AND record_id = ANY(%s)""",
        subscription_id,
        ids,
    )
    try:
        rows = judge.noted(query)
    except psycopg2.Error:
        judge.end()  # the table went with a savepoint that nobody told us of
        return {}
    return {id_: CutText(item) if is_cut else item for id_, is_cut, item in rows}
