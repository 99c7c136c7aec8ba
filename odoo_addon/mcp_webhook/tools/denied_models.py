# Copyright 2026 mcp-webhookd contributors
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
        "l10n_eg_edi.thumb.drive",
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


# What Odoo's apps and the community's call a credential. Any other key is one of those by
# which records are known elsewhere.
SECRET_NAME = re.compile(
    r"(^|_)(\w*token|secret|password|passwd|pwd|passphrase|passcode|credential"
    r"|(api|app|secret|private|shared|signature|hmac|auth|security|encryption|verification"
    r"|notification|migration|replacement|session|aade|kiosk|pos|server)_?key)s?\d*(_|$)",
    re.IGNORECASE,
)
# Addresses that are keys themselves, and fields whose names do not tell.
SECRET_FIELDS = frozenset(
    {
        "attendance_kiosk_url",
        "invitation_link",
        "invitation_url",
        "self_ordering_url",
        "webhook_url",
        "loyalty.card.code",  # whoever knows it may spend the card
        "product.feed.url",
        "restaurant.table.identifier",
        "spreadsheet.dashboard.share.full_url",
    }
)
# In texts, most of all in the bodies of mails: links that need no further credential.
LINK_SECRET = re.compile(
    r"((?:[?&;]|%3F|%26)"
    r"(?:\w*(?:token|secret|password|passwd|pwd|signature|hash)|\w*(?:api|access|auth)_?key)"
    r"(?:=|%3D))[^&\s\"'<>#]+",
    re.IGNORECASE,
)
TEXTS = frozenset({"char", "text", "html", "json", "serialized", "binary"})


def is_secret(field):
    """True: the field, or the one whose value it shows, is named like a credential; it may
    not leave."""
    if field.type not in TEXTS:
        return False
    names = {field.name, f"{field.model_name}.{field.name}"}
    if SECRET_NAME.search(field.name) or names & SECRET_FIELDS:
        return True
    shown = field.related_field
    return bool(shown) and is_secret(shown)


def tells_a_secret(model):
    """True: the names of its records are credentials."""
    named_by = model._fields.get(model._rec_name or "")
    return named_by is not None and is_secret(named_by)


def without_link_secrets(text):
    """Links in it lead nowhere without a credential of one's own."""
    return LINK_SECRET.sub(r"\1***", text)


def holds_secrets(model_name):
    """True: its records are credentials; nothing of it may leave."""
    return model_name in SECRET_MODELS or any(
        model_name == family or model_name.startswith((f"{family}.", f"{family}_"))
        for family in SECRET_FAMILIES
    )
