#!/usr/bin/env python3
"""Runs the operator's tests with Debian's Python; missing Debian packages are installed when this is root."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

# What is used, and the package that brings it.
NEEDS = {
    "php": "php-cli",
    "go": "golang-go",
    "node": "nodejs",
    "curl": "curl",
    "systemd-analyze": "systemd",
    "docker-compose": "docker-compose",
}
PYTHON = "/usr/bin/python3"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mcp-webhookd/debian"


def unpack(package):
    """Where a Debian package's programs are. It is not installed: that would start its service on this machine."""
    folder = CACHE / package
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            subprocess.run(["apt-get", "download", "-q", package], cwd=scratch, check=True)
            (file,) = Path(scratch).glob("*.deb")
            subprocess.run(["dpkg", "-x", file, Path(scratch) / "tree"], check=True)
            (Path(scratch) / "tree").rename(folder)
    return folder / "usr/bin"


def missing():
    """Debian packages that are not there."""
    absent = {package for program, package in NEEDS.items() if not subprocess.run(
        ["which", program], capture_output=True, check=False).stdout}  # fmt: skip
    for module in ("requests", "yaml"):
        if subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True, check=False).returncode:
            absent.add(f"python3-{module}")
    return sorted(absent)


def main():
    """Exit code of the tests."""
    if absent := missing():
        if os.geteuid() != 0:
            sys.exit(f"run: sudo apt-get install {' '.join(absent)}")
        subprocess.run(["apt-get", "update", "-q"], check=True)
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *absent]
        subprocess.run(command, check=True, env=environment)
    path = f"{unpack('prometheus')}:{os.environ['PATH']}"
    tests = [PYTHON, "-m", "unittest", "discover", "-v", "-s", str(Path(__file__).parent)]
    return subprocess.run(tests, env=dict(os.environ, PATH=path), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
