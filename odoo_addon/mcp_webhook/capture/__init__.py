# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What happens in a transaction, and what becomes an event of it.

`models/base.py` notes in a :mod:`journal` what the ORM is asked to do. When the
transaction ends (:mod:`cursor`), :mod:`decide` compares the journal with what the
database then holds, lets :mod:`judge` filter and describe the records in an ORM
transaction of its own (:mod:`apart`), and stores the delivery rows.
"""
