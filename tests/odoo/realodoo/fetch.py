"""Installs what is missing and fetches Odoo 19. Safe to call at every start: what is there is left alone."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import cache
from .cache import Failed, run, say

ODOO_PACKAGES = [
    "odoo-19",
    # The package links to files of these; without jquery every page is an error.
    "libjs-jquery",
    "libjs-underscore",
    "libjs-jquery-form",
    "fonts-font-awesome",
    "fonts-roboto-unhinted",
    "fonts-glyphicons-halflings",
    "fonts-inconsolata",
]
# Debian's package, and the file by which one sees that it is there.
DEBIAN_PACKAGES = {
    "postgresql": lambda: postgres_bin() is not None,
    "chromium": lambda: shutil.which("chromium") is not None,
    "python3-venv": lambda: _has_venv(),
    "ca-certificates": lambda: Path("/etc/ssl/certs/ca-certificates.crt").exists(),
    "nodejs": lambda: shutil.which("node") is not None,
    "npm": lambda: shutil.which("npm") is not None,
}


def postgres_bin():
    """The newest PostgreSQL's folder of programs, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[4]))
    return found[-1].parent if found else None


def _has_venv():
    return subprocess.run([sys.executable, "-c", "import venv, ensurepip"], check=False, capture_output=True).returncode == 0


def _as_root(command):
    if os.getuid() == 0:
        return command
    if shutil.which("sudo"):
        return ["sudo", "-n", *command]
    raise Failed(f"run this as root, then start again: {' '.join(command)}")


def system(packages=None):
    """Installs those of Debian's packages that are missing: names, each with a function that says whether it is there."""
    packages = packages or DEBIAN_PACKAGES
    missing = [name for name, is_there in packages.items() if not is_there()]
    if not missing:
        return
    say(f"installing Debian packages: {', '.join(missing)}")
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run(_as_root(["apt-get", "update", "-q"]), env=env)
    run(_as_root(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]), env=env)
    still = [name for name in missing if not packages[name]()]
    if still:
        raise Failed(f"these Debian packages are installed but do not work: {', '.join(still)}")


def _archive():
    """The address of Debian's main archive, as this machine knows it."""
    listing = run(["apt-get", "indextargets", "--format", "$(REPO_URI)|$(LABEL)", "Created-By: Packages"])
    for line in listing.splitlines():
        address, _, label = line.rpartition("|")
        if label == "Debian":
            return address
    raise Failed("apt knows no Debian archive; check /etc/apt/sources.list")


def download(folder, packages):
    """Packages of Debian's unstable suite, as files in ``folder``; this machine's own sources are not touched."""
    sources = folder / "sid.list"
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources.write_text(f"deb [signed-by={keyring}] {_archive()} sid main\n")
    for name in ("lists/partial", "apt/archives/partial"):
        (folder / name).mkdir(parents=True)
    options = [
        f"Dir::Etc::SourceList={sources}",
        "Dir::Etc::SourceParts=/dev/null",
        f"Dir::State::Lists={folder / 'lists'}",
        f"Dir::Cache={folder / 'apt'}",
        "APT::Sandbox::User=",
    ]
    apt = ["apt-get", *[part for option in options for part in ("-o", option)]]
    run([*apt, "update", "-q"])
    run([*apt, "download", "-q", *packages], cwd=folder)
    for name in ("lists", "apt"):
        shutil.rmtree(folder / name)


def odoo():
    """Odoo 19 from Debian's unstable suite, unpacked."""

    def make(folder):
        say("fetching Odoo 19 (122 MB) from Debian's unstable suite")
        download(folder, ODOO_PACKAGES)
        say("unpacking Odoo 19")
        for package in sorted(folder.glob("*.deb")):
            run(["dpkg", "-x", package, folder / "root"])
            package.unlink()
        # Debian leaves this file out, mail's manifest still lists it, and a tour fails on the error in the console.
        absent = "mail/static/lib/selfie_segmentation/selfie_segmentation.js"
        path = folder / "root/usr/lib/python3/dist-packages/odoo/addons" / absent
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        # The links go to where the files would be installed.
        _repair_links(folder / "root")

    return cache.build(cache.folder() / "odoo", "1", make) / "root"


def _repair_links(root):
    for path in root.rglob("*"):
        if path.is_symlink() and not path.exists():
            target = os.readlink(path)
            inside = root / target.lstrip("/")
            if target.startswith("/") and inside.exists():
                path.unlink()
                path.symlink_to(os.path.relpath(inside, path.parent))


def venv():
    """A virtual environment with what Odoo and the tests need; its python."""
    requirements = cache.HERE / "requirements.txt"
    stamp = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    # one for each list of requirements: another checkout must not lose the one that it runs on
    target = cache.folder() / f"venv-{stamp[:12]}"

    mark = target / ".stamp"
    if not (mark.is_file() and mark.read_text() == stamp):
        # Made in place: a virtual environment cannot be moved. The stamp comes last.
        shutil.rmtree(target, ignore_errors=True)
        say("making a Python environment for Odoo and the tests (about a minute)")
        run([sys.executable, "-m", "venv", target])
        run([target / "bin/python", "-m", "pip", "install", "-q", "-r", requirements])
        mark.write_text(stamp)
    return target / "bin/python"


def node_modules():
    """The Standard Webhooks library of another language, from npm; the folder to give to node."""

    def make(folder):
        say("fetching the Standard Webhooks library for Node")
        run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, "standardwebhooks@1"])

    return cache.build(cache.folder() / "node", "1", make) / "node_modules"


def everything():
    """All of it, one process at a time."""
    with cache.lock("fetch"):
        system()
        root = odoo()
        python = venv()
        modules = node_modules()
    return root, python, modules
