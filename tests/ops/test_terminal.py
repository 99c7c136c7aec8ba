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

    def test_no_color_is_obeyed_by_commands_and_by_the_log(self):
        with Home() as home:
            home.an_event_that_failed()
            self.assertNotIn("\x1b", on_a_terminal([BINARY, "deliveries", "list"], home.environment, NO_COLOR="1"))
            taken = home.url.removeprefix("http://")
            for number, colour in enumerate([{}, {"NO_COLOR": "1"}]):
                # It makes its token, and then finds its port taken.
                command = [BINARY, "--data-dir", home.home / f"other{number}", "--listen", taken, "serve"]
                seen = on_a_terminal(command, home.environment, **colour)
                self.assertIn("made a bearer token", seen)
                self.assertEqual("\x1b" in seen, not colour, seen)

    def test_long_work_shows_how_far_it_is(self):
        with Home() as home:
            home.an_event_that_failed()
            home.stop()
            for command, shown in [(["verify"], "/1 events, "), (["backup", home.home / "copy.redb"], "rows copied, ")]:
                self.assertIn(shown, on_a_terminal([BINARY, *command], home.environment))
            home.start()


if __name__ == "__main__":
    unittest.main()
