"""A Debian machine of its own, booted with systemd: what the tests of the package and the first session run in."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from daemon import wait_until
from test_docs import DOCS, blocks

INCLUDE = "systemd,systemd-sysv,adduser,ca-certificates,curl,procps"
# Newer systemds than the host's want the unified hierarchy; where the host has it, this changes nothing.
HIERARCHY = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}


def run(*command, **options):
    """Runs a command; what it printed. Its own text is the failure's text."""
    ran = subprocess.run([str(part) for part in command], text=True, capture_output=True, check=False, **options)
    if ran.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed ({ran.returncode}):\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def need(*programs):
    """Ends with the command that installs what is missing."""
    packages = {"systemd-nspawn": "systemd-container"}
    missing = [packages.get(program, program) for program in programs if not shutil.which(program)]
    if missing:
        sys.exit(f"run: sudo apt-get install {' '.join(missing)}")
    if os.geteuid() != 0:
        sys.exit("this makes Debian trees and machines; run it as root")


def mirror(release):
    """Where this machine has its own Debian packages from; $DEBIAN_MIRROR goes before it."""
    known = run("apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages")
    own = dict(line.split() for line in known.splitlines() if len(line.split()) == 2)
    return os.environ.get("DEBIAN_MIRROR") or own.get(release) or own.get(codename()) or sys.exit(
        f"this machine's apt does not know Debian {release}; set DEBIAN_MIRROR to the address of a mirror"
    )


def codename():
    """This machine's own release."""
    lines = Path("/etc/os-release").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line).get("VERSION_CODENAME")


def debootstrap(release, folder):
    """An empty Debian tree with systemd."""
    run("debootstrap", "--variant=minbase", f"--include={INCLUDE}", release, folder, mirror(release))


class Machine:
    """A booted Debian tree of its own, with systemd as its first process and no network but loopback.

    A context manager; called, it runs a command inside and answers what that printed.
    """

    def __init__(self, fill):
        """`fill(folder)` makes the tree."""
        self.root = Path(tempfile.mkdtemp(prefix="mcp-webhookd-tree-", dir="/var/tmp"))
        self.fill = fill
        self.nspawn = None
        self.first = None

    def __enter__(self):
        self.root.chmod(0o755)  # it becomes "/"
        self.fill(self.root)
        options = ["--boot", "--register=no", "--keep-unit", "--private-network", "--console=pipe"]
        self.nspawn = subprocess.Popen(
            ["systemd-nspawn", "-D", self.root, *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | HIERARCHY,
        )  # fmt: skip
        children = Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children")
        self.first = wait_until(lambda: children.exists() and children.read_text().split(), "the first process")[0]
        wait_until(lambda: self.state() in ("running", "degraded"), "the boot", 60)
        return self

    def __exit__(self, *_exc):
        self.nspawn.terminate()
        self.nspawn.wait(60)
        shutil.rmtree(self.root)

    def inside(self, *command):
        """The command that runs `command` inside."""
        return ["nsenter", "--target", self.first, "--mount", "--uts", "--ipc", "--net", "--pid", "--", *command]

    def __call__(self, *command):
        return run(*self.inside(*command), env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})

    def state(self):
        """What systemd says of the whole machine."""
        asked = subprocess.run(
            self.inside("systemctl", "is-system-running"), text=True, capture_output=True, check=False
        )
        return asked.stdout.strip()

    def install(self, package):
        """Installs a package file, its dependencies being there."""
        shutil.copy(package, self.root / "root")
        self("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--install", f"/root/{package.name}")

    def follow_the_guide(self, index):
        """Runs one of the operator's guide's blocks for a machine, where the package is."""
        return self("sh", "-euc", f"cd /root\n{blocks(DOCS / 'operator.md', 'sh machine')[index]}")

    def show(self, prop, unit="mcp-webhookd"):
        """One property of a unit."""
        return self("systemctl", "show", "--value", "--property", prop, unit).strip()


class Clock:
    """Prints how long each step took."""

    def __init__(self):
        self.began = self.last = time.monotonic()

    def step(self, text):
        """One step is done."""
        now = time.monotonic()
        print(f"{now - self.last:6.1f} s  {text}", flush=True)
        self.last = now
