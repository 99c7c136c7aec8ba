"""A real Odoo 19 on a real PostgreSQL: fetched, cached, started and stopped.

Only the standard library is needed to begin; everything else is installed by :mod:`realodoo.fetch`.
"""
