"""What runs in Odoo's own process: the oracle, the witnesses and the judge. Nothing here knows the addon's code, only its
subscriptions and its delivery rows."""
