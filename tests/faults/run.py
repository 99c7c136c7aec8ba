"""Installs what the fault tests need and runs them; arguments as `faults --help` lists them."""

import os
import shutil
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(PROJECT / "tests/odoo"))

from realodoo import cache, fetch  # noqa: E402


def faketime():
    """libfaketime's library, or None."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


PACKAGES = {
    "strace": lambda: shutil.which("strace") is not None,
    "libfaketime": lambda: faketime() is not None,
    "e2fsprogs": lambda: shutil.which("mkfs.ext4", path="/usr/sbin:/sbin") is not None,
}


def main():
    """Ends with the exit code of the tests."""
    try:
        with cache.lock("fetch"):
            fetch.system(PACKAGES)
    except cache.Failed as error:
        sys.exit(f"faults: {error}")
    os.environ["FAKETIME_LIBRARY"] = str(faketime())
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    os.chdir(PROJECT)
    os.execvp("cargo", ["cargo", "run", "-q", "--locked", "-p", "webhook-faults", "--bin", "faults", "--", *sys.argv[1:]])


if __name__ == "__main__":
    main()
