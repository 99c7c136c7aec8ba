"""On a terminal there is colour; elsewhere, and with NO_COLOR, there is none."""

import unittest

from daemon import BINARY
from terminal import STYLE, draw, on_a_terminal
from test_docs import Home


class Terminal(unittest.TestCase):
    """The same command, seen by a person and by a program."""

    def test_colour_is_for_terminals(self):
        with Home() as home:
            home.an_event_that_failed()
            command = [BINARY, "deliveries", "list"]
            seen = on_a_terminal(command, home.environment)
            self.assertIn("\x1b[31mfailed", seen)
            self.assertNotIn("\x1b", home.command("deliveries", "list"))
            self.assertIn("<text", draw("x", seen))
            self.assertEqual(STYLE.sub("", seen).split()[:3], ["EVENT", "TRY", "STATUS"])


if __name__ == "__main__":
    unittest.main()
