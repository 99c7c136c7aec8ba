# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import threading

from odoo.tests import BaseCase, HttpCase, tagged

from ..controllers import wake


@tagged("post_install", "-at_install")
class TestKnocks(BaseCase):
    def setUp(self):
        super().setUp()
        self.patch(wake, "INTERVAL", 0)
        self.knocks = wake.Knocks()
        self.pulls = []

    def test_quiet_knocks_are_all_answered(self):
        for number in range(3):
            self.assertTrue(self.knocks.answer(lambda n=number: self.pulls.append(n)))
        self.assertEqual(self.pulls, [0, 1, 2])

    def test_knocks_during_a_pull_become_one_pull_after_it(self):
        begun, go_on = threading.Event(), threading.Event()

        def slow():
            self.pulls.append("slow")
            begun.set()
            go_on.wait(10)

        first = threading.Thread(target=self.knocks.answer, args=(slow,))
        first.start()
        self.assertTrue(begun.wait(10))
        waiter = threading.Thread(
            target=self.knocks.answer, args=(lambda: self.pulls.append("next"),)
        )
        waiter.start()
        # until the waiter holds its place; then everybody else is turned away
        while self.knocks._waiting.acquire(blocking=False):
            self.knocks._waiting.release()
        self.assertFalse(self.knocks.answer(lambda: self.pulls.append("more")))
        go_on.set()
        first.join(10)
        waiter.join(10)
        self.assertEqual(self.pulls, ["slow", "next"])

    def test_failing_pull_does_not_lock_the_door(self):
        with self.assertRaises(ZeroDivisionError):
            self.knocks.answer(lambda: 1 / 0)
        self.assertTrue(self.knocks.answer(lambda: self.pulls.append(1)))


@tagged("post_install", "-at_install")
class TestWakeRoute(HttpCase):
    def setUp(self):
        super().setUp()
        self.pulls = []
        Mirror = self.registry["mcp.webhook.mirror"]
        self.patch(
            Mirror, "_pull_quietly", lambda mirror: self.pulls.append(mirror._name)
        )

    def test_anybody_may_knock_and_learns_nothing(self):
        response = self.url_open("/mcp_webhook/wake", data={}, method="POST")
        self.assertEqual((response.status_code, response.content), (204, b""))
        self.assertEqual(self.pulls, ["mcp.webhook.mirror"])

    def test_only_post_knocks(self):
        response = self.url_open("/mcp_webhook/wake")
        self.assertEqual(response.status_code, 405)
        self.assertEqual(self.pulls, [])
