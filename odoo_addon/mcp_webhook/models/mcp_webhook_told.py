# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How much any reader is told in an hour: the one door through which the addon speaks to
people, be it by a notice or by an activity. Kept apart from the subscriptions, so that
deleting one forgets nothing.

Notices come from the mirror's transactions, under its lock; activities from calls of one
user, which wait for each other. Rows are only inserted.
"""

from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from ..capture.watch import SKIP, UNSEEN

HOUR = timedelta(hours=1)
PER_READER = 12  # notices in an hour
PER_OWNER = 4  # of those, about what one user has subscribed


class McpWebhookTold(models.Model):
    _name = "mcp.webhook.told"
    _description = "Notice to a reader in the last hour, or one that was left out"
    _log_access = False
    _allow_sudo_commands = False

    partner_id = fields.Many2one(
        "res.partner", required=True, index=True, ondelete="cascade"
    )
    owner_id = fields.Many2one("res.users", ondelete="cascade")
    at = fields.Datetime(required=True)
    left_out = fields.Boolean()
    about_id = fields.Integer()  # the subscription whose request was left out

    @api.model
    def _tell(self, about, partners, words):
        """Tell those who have not been told enough in this hour; the others learn by
        `_sum_up` how many notices were left out.

        :param about: the subscription
        :param words: makes `(subject, body)`, in the language of the record it is given
        """
        notify(about, self._take_room(about, partners), words)

    @api.model
    def _ask(self, about, users, activity, words, again=False):
        """The same for a request, which is an activity: without a mail.

        :param words: makes its summary
        :param again: they were left out before, and are not counted anew
        :return: the users who were asked
        """
        room = self._take_room(about, users.partner_id, not again, is_request=True)
        asked = users.filtered(lambda user: user.partner_id in room)
        for user in asked:
            here = about.with_context(
                lang=user.lang, mail_activity_quick_update=True, **{SKIP: UNSEEN}
            )
            here.activity_schedule(activity, user_id=user.id, summary=words(here))
        return asked

    def _take_room(self, about, partners, is_counted=True, is_request=False):
        """Those who have not been told enough in this hour; for the rest it is noted that
        they were left out; of one request, which each edit makes anew, once."""
        owner = about.create_uid
        room = partners.filtered(lambda partner: self._has_room(partner, owner))
        self._note(room, owner)
        if is_counted:
            left_out, about_id = partners - room, about.id if is_request else False
            if about_id:
                left_out -= self.search(
                    [
                        ("about_id", "=", about_id),
                        ("partner_id", "in", left_out.ids),
                        ("at", ">", fields.Datetime.now() - HOUR),
                    ]
                ).partner_id
            self._note(left_out, owner, left_out=True, about_id=about_id)
        return room

    @api.model
    def _sum_up(self):
        """Once an hour and reader, what was left out in the hour before."""
        since = fields.Datetime.now() - HOUR
        self.search([("left_out", "=", False), ("at", "<=", since)]).unlink()
        found = self._read_group(
            [("left_out", "=", True)], ["partner_id"], ["__count", "at:min"]
        )
        for partner, count, first in found:
            if first <= since:
                self.search(
                    [("partner_id", "=", partner.id), ("left_out", "=", True)]
                ).unlink()
                self._note(partner, self.env["res.users"])
                notify(
                    self.env["mcp.event.subscription"],
                    partner,
                    lambda here, n=count: _summary(here, n),
                )

    def _has_room(self, partner, owner):
        ((of_all, of_owner),) = self.env.execute_query(
            SQL(
                """SELECT count(*), count(*) FILTER (WHERE owner_id = %s)
                     FROM mcp_webhook_told
                    WHERE partner_id = %s AND left_out IS NOT TRUE AND at > %s""",
                owner.id,
                partner.id,
                fields.Datetime.now() - HOUR,
            )
        )
        return of_all < PER_READER and of_owner < PER_OWNER

    def _note(self, partners, owner, left_out=False, about_id=False):
        self.create(
            [
                {
                    "partner_id": partner.id,
                    "owner_id": owner.id,
                    "at": fields.Datetime.now(),
                    "left_out": left_out,
                    "about_id": about_id,
                }
                for partner in partners
            ]
        )
        self.env.flush_all()


def notify(about, partners, words):
    """In the language of each: one message for all would be in the cron's. Captured, the
    notice of one delivery would be the next one."""
    by_language = partners.grouped(lambda partner: partner.lang or "en_US")
    for language, readers in by_language.items():
        here = about.with_context(lang=language, **{SKIP: UNSEEN})
        subject, body = words(here)
        door = here if here else here.env["mail.thread"]
        door.message_notify(
            partner_ids=readers.ids,
            subject=subject,
            body=body,
            force_email_lang=language,
        )


def _summary(here, count):
    return (
        here.env._("Webhooks: %s more notices", count),
        here.env._(
            "%s more notices about event subscriptions were left out, for there were too "
            "many in an hour. Open Event Subscriptions: the list shows how each is now.",
            count,
        ),
    )
