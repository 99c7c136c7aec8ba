# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Whether this database is the one that it says it is, or a copy of it.

A dump, a clone or a copied disk carries everything that is in the database. So it is
bound to what they do not carry: *where* it lies (PostgreSQL's system identifier, the
database's oid and name), and a secret in a file of Odoo's data folder, of which the
database knows the digest. Where no row here fits both, this is a copy: it calls no
sidecar until an administrator says in the settings that it is production now.

Several hosts may have data folders of their own. A host whose file is unknown asks by a
row, and one that is bound confirms it at its next sweep: only who works on this very
database can see the row, so a copy finds nobody to confirm it.
"""

import contextlib
import hashlib
import logging
import os
import secrets
from pathlib import Path

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL, config

from .mcp_webhook_outbox import in_own_transaction

_logger = logging.getLogger(__name__)

FOLDER = "mcp_webhook"  # in the data folder
_digests = {}  # database uuid -> digest of this host's file, once read


class McpWebhookBinding(models.Model):
    _name = "mcp.webhook.binding"
    _description = "Where this database sends webhooks from"
    _log_access = False
    _allow_sudo_commands = False

    place = fields.Char(required=True, help="Where the database lies.")
    host = fields.Char(required=True, help="Digest of the secret in the data folder.")
    confirmed = fields.Boolean()
    term = fields.Char(help="Changes each time that an administrator says so.")

    _place_uniq = models.Constraint("unique(place, host)")

    @api.model
    def _check(self):
        """Bind what is new; ask to be confirmed where only the host is unknown.

        :return: None when this database may speak, else "copy" or "host"
        """
        trouble = self._trouble()
        if trouble in ("new", "host"):
            confirmed = trouble == "new"
            in_own_transaction(
                self.pool, lambda env: env[self._name]._note(confirmed=confirmed)
            )
            self.invalidate_model(flush=False)
            trouble = None if confirmed else trouble
        return trouble

    @api.model
    def _trouble(self):
        """As `_check`, but "new" where nothing has ever been bound; writes nothing."""
        place, host = self._place(), self._host()
        rows = self.env.execute_query(
            SQL("SELECT place, host, confirmed FROM mcp_webhook_binding")
        )
        if not rows:
            return "new"
        here = [known for where, known, confirmed in rows if confirmed and where == place]
        if not here:
            return "copy"
        return None if host in here else "host"

    @api.model
    def _instance(self):
        """What the sidecar tells databases of one uuid and name apart by. The same on
        every host, and another one after each word of an administrator."""
        term = self._term()
        if not term:
            # bound a moment ago, behind the snapshot of this transaction
            term = in_own_transaction(self.pool, lambda env: env[self._name]._term())
        return hashlib.sha256(f"{self._place()} {term}".encode()).hexdigest()

    @api.model
    def _term(self):
        row = self.sudo().search(
            [("place", "=", self._place()), ("confirmed", "=", True)], limit=1
        )
        return row.term

    @api.model
    def _confirm_hosts(self):
        """A bound host vouches for those that ask from this same database."""
        if self._trouble() is None:
            waiting = self.search(
                [("place", "=", self._place()), ("confirmed", "=", False)]
            )
            waiting.confirmed = True

    @api.model
    def _become_production(self):
        """An administrator's word: whatever was bound before is elsewhere."""
        self.search(Domain.TRUE).unlink()
        self._note(confirmed=True)
        _logger.info("This database is production now: it sends webhooks from here")

    @api.model
    def _note(self, confirmed):
        self.env.cr.execute(
            """INSERT INTO mcp_webhook_binding (place, host, confirmed, term)
                    VALUES (%s, %s, %s, COALESCE(
                        (SELECT min(term) FROM mcp_webhook_binding
                          WHERE place = %s AND confirmed), %s))
               ON CONFLICT DO NOTHING""",
            [
                self._place(),
                self._host(),
                confirmed,
                self._place(),
                secrets.token_hex(16),
            ],
        )

    # -- where, and which host ---------------------------------------------------------

    @api.model
    def _place(self):
        """Of the cluster, where the role may ask for it, and of the database in it."""
        (row,) = self.env.execute_query(
            SQL(
                """SELECT oid, datname, has_function_privilege(
                            'pg_catalog.pg_control_system()', 'execute')
                     FROM pg_database WHERE datname = current_database()"""
            )
        )
        oid, name, may_ask = row
        cluster = "?"
        if may_ask:
            ask = SQL("SELECT system_identifier FROM pg_control_system()")
            ((cluster,),) = self.env.execute_query(ask)
        return f"{cluster}/{oid}/{name}"

    @api.model
    def _host(self):
        """The digest of this host's secret; "" where the data folder takes none."""
        uuid = self.env["ir.config_parameter"].sudo().get_param("database.uuid") or ""
        if uuid not in _digests:
            name = hashlib.sha256(uuid.encode()).hexdigest()[:32]
            try:
                secret = _secret(Path(config["data_dir"]) / FOLDER / f"{name}.binding")
            except OSError as error:
                _logger.warning(
                    "The data folder takes no binding secret (%s): copies of this "
                    "database are recognised by the cluster alone",
                    type(error).__name__,
                )
                secret = b""
            _digests[uuid] = secret and hashlib.sha256(secret).hexdigest()
        return _digests[uuid] or "-"


def _secret(path):
    """The file's content, made by whoever comes first.

    :raise OSError: there is no such place
    """
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    draft = path.with_suffix(f".{secrets.token_hex(8)}")
    made = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(made, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
    return path.read_bytes()
