#!/usr/bin/env python3
"""Write the software bill of materials of the sidecar, CycloneDX 1.5 in JSON.

What is in the binary: the packages that the normal dependencies of `webhook-server`
reach on Linux, as `Cargo.lock` has them.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = "webhook-server"


def main():
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    command += ["--filter-platform", "x86_64-unknown-linux-gnu"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    uses = {
        node["id"]: [d["pkg"] for d in node["deps"] if any(kind["kind"] is None for kind in d["dep_kinds"])]
        for node in metadata["resolve"]["nodes"]
    }
    root = next(key for key, package in packages.items() if package["name"] == BINARY)
    reached, waiting = set(), [root]
    while waiting:
        key = waiting.pop()
        if key not in reached:
            reached.add(key)
            waiting += uses[key]
    ordered = sorted(reached - {root}, key=lambda key: (packages[key]["name"], packages[key]["version"]))
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(packages[root], "application")},
        "components": [component(packages[key], "library") for key in ordered],
        "dependencies": [
            {"ref": url(packages[key]), "dependsOn": sorted(url(packages[used]) for used in uses[key])}
            for key in [root, *ordered]
        ],
    }
    json.dump(bill, sys.stdout, indent=1)
    print()


def component(package, kind):
    """One package as CycloneDX has it."""
    made = {"type": kind, "bom-ref": url(package), "name": package["name"], "version": package["version"]}
    made["purl"] = url(package)
    if package.get("license"):
        # Old manifests write "MIT/Apache-2.0" for OR.
        made["licenses"] = [{"expression": package["license"].replace(" / ", "/").replace("/", " OR ")}]
    return made


def url(package):
    """The package URL (purl)."""
    return f"pkg:cargo/{package['name']}@{package['version']}"


if __name__ == "__main__":
    main()
