# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Models whose records are credentials: nobody watches them, and no path or filter leads
into them. A written list, for nothing in Odoo tells a key from a name: most of these
fields are plain texts that a superuser, or an administrator's subscription, may read.
Single credentials in other models are known by what Odoo's and the community's apps call
such fields."""

import re

SECRET_MODELS = frozenset(
    {
        # parameters and accounts of Odoo's own
        "base.automation",  # the address of its webhook is its key
        "certificate.certificate",
        "certificate.key",
        "fetchmail.server",
        "iap.account",
        "ir.config_parameter",
        "ir.mail_server",
        "mail.ice.server",
        "mail.push.device",
        "res.company.ldap",
        "res.users.settings",  # calendars keep their tokens there
        "account_edi_proxy_client.user",
        # the community's
        "fs.storage",
        "keychain.account",
        "storage.backend",
    }
)
# A whole family: the model itself, and all whose names begin so.
SECRET_FAMILIES = (
    "auth.api.key",
    "auth.oauth",
    "auth.passkey",
    "auth.saml",
    "auth_oauth",
    "auth_totp",
    "payment.provider",
    "payment.token",
    "res.users.apikeys",
    "vault",
)


# Parts of a field's name, and ends of it that a customer's own field may well have.
SECRET_NAME = re.compile(
    r"(^|_)(\w?token|secret|password|passwd|passphrase|credentials?|api_?key|private_key)(_|$)"
    r"|^webhook_url$"
)
SECRET_END = re.compile(r"(_key|_pin)$")
TEXTS = frozenset({"char", "text", "html", "json", "binary"})


def is_secret(field):
    """True: the field is named like a credential; its value may not leave."""
    if field.type not in TEXTS:
        return False
    ours = not field.manual and SECRET_END.search(field.name)
    return bool(ours or SECRET_NAME.search(field.name))


def holds_secrets(model_name):
    """True: its records are credentials; nothing of it may leave."""
    return model_name in SECRET_MODELS or any(
        model_name == family or model_name.startswith((f"{family}.", f"{family}_"))
        for family in SECRET_FAMILIES
    )
