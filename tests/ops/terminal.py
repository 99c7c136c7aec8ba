#!/usr/bin/env python3
"""What an operator sees, as pictures: runs commands on a terminal and draws what they print, in target/terminal/*.svg.

    python3 tests/ops/terminal.py
"""

import html
import os
import pty
import re
import subprocess
import sys

from daemon import BINARY, PROJECT
from test_docs import SUBSCRIPTION, Home

STYLE = re.compile(r"\x1b\[([\d;]*)m")
COLOURS = {"31": "#e06c75", "32": "#98c379", "33": "#e5c07b"}
LINE, CHARACTER = 18, 8.43  # pixels
WIDTH = 120  # characters


def on_a_terminal(command, environment, **more):
    """What a command prints on a terminal of 140 columns; `more` goes into its environment."""
    leader, follower = pty.openpty()
    environment = environment | {"TERM": "xterm-256color", "COLUMNS": "140"}
    environment.pop("NO_COLOR", None)
    environment |= more
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    chunks = []
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        chunks.append(chunk)
    process.wait()
    os.close(leader)
    return b"".join(chunks).decode().replace("\r\n", "\n")


def draw_line(text, y):
    """One line as SVG; styles are those that the commands use: bold and three colours."""
    spans, colour, weight, column = [], "#d0d0d0", "normal", 0
    for index, part in enumerate(STYLE.split(text)):
        if index % 2:
            for code in part.split(";"):
                if code in ("", "0"):
                    colour, weight = "#d0d0d0", "normal"
                elif code == "1":
                    weight = "bold"
                elif code in COLOURS:
                    colour = COLOURS[code]
        elif part:
            x = 12 + column * CHARACTER
            spans.append(
                f'<text x="{x:.1f}" y="{y}" fill="{colour}" font-weight="{weight}" xml:space="preserve">'
                f"{html.escape(part)}</text>"
            )
            column += len(part)
    return "".join(spans)


def fold(line):
    """A long line in parts, as a terminal shows it; those with styles are those of tables, and stay whole."""
    if STYLE.search(line) or len(line) <= WIDTH:
        return [line]
    return [line[start : start + WIDTH] for start in range(0, len(line), WIDTH)]


def draw(prompt, printed):
    """A terminal as SVG."""
    lines = [part for line in [f"$ {prompt}", *printed.rstrip("\n").split("\n")] for part in fold(line)]
    width = 24 + CHARACTER * max(len(STYLE.sub("", line)) for line in lines)
    height = 20 + LINE * len(lines)
    drawn = "\n".join(draw_line(line, 24 + LINE * index) for index, line in enumerate(lines))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        'font-family="DejaVu Sans Mono, monospace" font-size="14">'
        f'<rect width="100%" height="100%" rx="6" fill="#1e1e1e"/>\n{drawn}\n</svg>\n'
    )


def pictures():
    """(name, what was typed, what it printed) of each command."""
    with Home() as home:
        event = home.an_event_that_failed()
        commands = {
            "help": "mcp-webhookd --help",
            "status": "mcp-webhookd status",
            "doctor": "mcp-webhookd doctor --url http://127.0.0.1:9/",
            "subscriptions": "mcp-webhookd subscriptions list",
            "deliveries": "mcp-webhookd deliveries list",
            "show": f"mcp-webhookd deliveries show {event}",
            "redeliver": f"mcp-webhookd deliveries redeliver --subscription {SUBSCRIPTION} --since 2h --dry-run",
            "verify": "mcp-webhookd verify",
        }
        for name, typed in commands.items():
            command = [BINARY, *typed.split()[1:]]
            yield name, typed, on_a_terminal(command, home.environment)


def main():
    """Draws all of them."""
    folder = PROJECT / "target/terminal"
    folder.mkdir(parents=True, exist_ok=True)
    for name, typed, printed in pictures():
        (folder / f"{name}.svg").write_text(draw(typed, printed))
        print(folder / f"{name}.svg")


if __name__ == "__main__":
    sys.exit(main())
