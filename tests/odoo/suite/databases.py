"""The modules whose tests judge, and the databases that they run on."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from realodoo.odoo import ADDONS, Site

# The usual database already has what the sample tests.
SAMPLE = ("base", "mail", "contacts", "product", "sale", "project")
SHARE = 10  # one class in so many of them: minutes
WHOLE = (
    "base", "mail", "contacts", "crm", "product", "sale", "stock", "account", "purchase", "project", "mrp", "hr",
    "test_orm", "test_mail",
)
INSTALLED = (
    "rpc", "base_automation", "base_import", "contacts", "crm", "sale_management", "stock", "account", "purchase",
    "project", "mrp", "hr", "test_orm", "test_mail",
)


def site(whole, addons=None):
    """A PostgreSQL with the database to copy from; made once, kept between runs. ``addons``: where the addon is taken from."""
    running = Site(modules=",".join(INSTALLED)) if whole else Site()
    running.addons = Path(addons).resolve() if addons else ADDONS
    return running
