# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A change that was refused, or taken back, is none: what stands at the end counts."""

from contextlib import suppress

from odoo.exceptions import AccessError, ValidationError
from odoo.tests import new_test_user, tagged

from ..capture.cursor import Listening
from .common import WebhookCase


@tagged("post_install", "-at_install")
class TestRefused(WebhookCase):
    """The child is recomputed in the same transaction, so its row alone does not tell
    whether somebody wrote it."""

    def setUp(self):
        super().setUp()
        self.parent = self.Partner.create({"name": "P"})
        self.child = self.Partner.create({"name": "C", "parent_id": self.parent.id})
        self.user = new_test_user(self.env, "member", groups="base.group_user")
        self.subscription = self.subscribe(event_type="write")

    def deaf(self):
        """As at the beginning of a transaction: nobody hears of savepoints yet."""
        self.env.cr.flush()
        self.env.cr.postcommit.clear()
        if isinstance(self.env.cr, Listening):
            self.env.cr.__class__ = type(self.env.cr).__bases__[1]

    def taken_back(self, work, flush=True, inner=False):
        with suppress(ZeroDivisionError), self.env.cr.savepoint(flush=flush):
            work()
            self.env.flush_all()
            if inner:
                self.env.cr.flush()
            raise ZeroDivisionError
        self.env.invalidate_all(flush=False)

    def told(self):
        """Ids, after the child was recomputed."""
        self.parent.name += "+"
        return {id_ for _type, ids in self.fired(self.subscription) for id_ in ids}

    def test_what_a_savepoint_takes_back(self):
        def write():
            self.child.ref = "never"

        def delete():
            self.child.unlink()

        for is_first in (True, False):
            for flush in (True, False):
                for inner in (True, False):
                    for work in (write, delete):
                        case = {
                            "is_first": is_first,
                            "flush": flush,
                            "inner": inner,
                            "work": work.__name__,
                        }
                        with self.subTest(**case):
                            other = self.Partner.create({"name": "O"})
                            self.deaf()
                            if not is_first:
                                other.ref = "1"
                            self.taken_back(work, flush, inner)
                            self.assertNotIn(self.child.id, self.told())
                            self.commit()

    def test_what_is_written_again_counts(self):
        self.deaf()
        self.taken_back(lambda: self.child.write({"ref": "never"}))
        self.child.ref = "ever"
        self.assertIn(self.child.id, self.told())

    def test_what_is_refused_before_anything_is_done(self):
        with suppress(AccessError):
            self.child.with_user(self.user).write({"ref": "1"})
            self.fail("not refused")
        self.assertNotIn(self.child.id, self.told())

    def test_what_stands_although_somebody_complained_counts(self):
        """Caught without a savepoint, Odoo commits it."""
        with suppress(ValidationError):
            self.child.write({"parent_id": self.child.id})
        self.child.invalidate_recordset(flush=False)
        with suppress(ZeroDivisionError):
            self.child.ref = "stands"
            raise ZeroDivisionError
        self.assertEqual(self.told(), set((self.child + self.parent).ids))
        self.assertEqual(self.child.ref, "stands")
