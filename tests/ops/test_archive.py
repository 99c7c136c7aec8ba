"""The release archives, as somebody has them who downloaded them: checked, unpacked, run."""

import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

from daemon import PROJECT, Daemon

DIST = PROJECT / "target/dist"


def make():
    """The lines of SHA256SUMS of archives that were just made."""
    subprocess.run([PROJECT / "packaging/build", "archive"], check=True, capture_output=True)
    return (DIST / "SHA256SUMS").read_text().splitlines()


def unpack(line, folder):
    """Unpacks an archive of a line of SHA256SUMS; the one folder that was in it."""
    subprocess.run(["tar", "-xzf", DIST / line.split()[1], "-C", folder], check=True)
    (top,) = Path(folder).iterdir()
    return top


class Archives(unittest.TestCase):
    """What `packaging/build archive` makes."""

    @classmethod
    def setUpClass(cls):
        cls.sums = make()

    def test_the_checksums_hold_and_a_changed_archive_is_found(self):
        check = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
        self.assertEqual(len(self.sums), 2)
        subprocess.run(check, cwd=DIST, check=True)
        with tempfile.TemporaryDirectory() as folder:
            for line in self.sums:
                name = line.split()[1]
                (Path(folder) / name).write_bytes((DIST / name).read_bytes() + b"x")
            (Path(folder) / "SHA256SUMS").write_text("\n".join(self.sums) + "\n")
            told = subprocess.run(check, cwd=folder, capture_output=True, text=True, check=False)
            self.assertEqual((told.returncode, told.stdout.count("FAILED")), (1, 2))

    def test_the_same_sources_make_the_same_archives(self):
        self.assertEqual(make(), self.sums)

    def test_the_binary_in_it_serves_with_the_configuration_in_it(self):
        with tempfile.TemporaryDirectory() as folder:
            top = unpack(self.sums[0], folder)
            binary = top / "mcp-webhookd"
            told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
            self.assertIn(told.split()[1], top.name)
            with Daemon(binary) as daemon:
                self.assertEqual(daemon.call("system.info")["result"]["version"], told.split()[1])
                running = Path(f"/proc/{daemon.process.pid}/exe").resolve()
            self.assertEqual(running, binary.resolve())
            subprocess.run([binary, "--config", top / "config.toml", "check-config"], check=True, capture_output=True)
            for name in ("README.md", "CHANGELOG.md", "LICENSE", "mcp-webhookd.8", "systemd/mcp-webhookd.service"):
                self.assertTrue((top / name).is_file(), name)

    def test_the_addon_in_it_is_the_one_of_the_sources(self):
        with tarfile.open(DIST / self.sums[1].split()[1]) as archive:
            packed = {member.name for member in archive if member.isfile()}
        addon = PROJECT / "odoo_addon/mcp_webhook"
        ours = {path for path in addon.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
        self.assertEqual(packed, {str(path.relative_to(addon.parent)) for path in ours})


if __name__ == "__main__":
    unittest.main()
