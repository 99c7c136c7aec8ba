"""The demo of the README runs to its end."""

import os
import subprocess
import sys
from pathlib import Path


def test_demo_shows_a_delivery_and_ends_cleanly():
    script = Path(__file__).resolve().parent.parent / "demo.py"
    done = subprocess.run(
        [sys.executable, script], env=dict(os.environ, DEMO_ONCE="1"), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for expected in ("signature verified", "its row in Odoo: success", "ended"):
        assert expected in done.stderr, done.stderr
