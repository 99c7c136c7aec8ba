"""Holds what comes from elsewhere against deny.toml: licences, bans and sources of every package in Cargo.lock.

The same rules as `cargo deny check licenses bans sources`, which takes minutes to build on a fresh machine; `just deny`
runs that as well, and looks for known vulnerabilities where their database can be reached.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

PROJECT = pathlib.Path(__file__).resolve().parents[2]
# As `cargo metadata` writes sources that deny.toml writes without a prefix.
REGISTRY = "registry+"


def main():
    rules = tomllib.loads((PROJECT / "deny.toml").read_text())
    command = ["cargo", "metadata", "--locked", "--all-features", "--format-version=1"]
    packages = json.loads(subprocess.run(command, cwd=PROJECT, check=True, capture_output=True).stdout)["packages"]
    faults = [fault for package in packages for fault in faults_of(package, rules)]
    if not any(package["source"] for package in packages):
        faults.append("no package comes from elsewhere: nothing was looked at")
    print("Packages held against deny.toml:")
    print(f"{len(packages)} passed, {len(faults)} failed")
    sys.exit("\n".join(faults) or None)


def faults_of(package, rules):
    """What is wrong with one package, in sentences."""
    name = f"{package['name']} {package['version']}"
    if package["name"] in {ban["crate"] for ban in rules["bans"]["deny"]}:
        yield f"{name} is banned"
    source = package["source"]
    if source and source.removeprefix(REGISTRY) not in rules["sources"]["allow-registry"]:
        yield f"{name} is from {source}"
    if not package["license"]:
        yield f"{name} names no licence"
    elif not satisfied(package["license"], set(rules["licenses"]["allow"])):
        yield f"{name} is under {package['license']}"
    for dependency in package["dependencies"] if not source else ():
        if dependency["req"] == "*" and not dependency.get("path"):
            yield f"{name} takes any version of {dependency['name']}"


def satisfied(expression, allowed):
    """Whether an SPDX expression can be met: any part of an OR, every part of an AND. `/` is an old OR."""
    tokens = re.findall(r"\(|\)|[^\s()/]+", expression.replace("/", " OR ").replace(" WITH ", "\0"))

    def any_of():
        met = all_of()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            met = all_of() or met
        return met

    def all_of():
        met = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            met = one() and met
        return met

    def one():
        token = tokens.pop(0)
        if token != "(":
            return token.replace("\0", " WITH ") in allowed
        met = any_of()
        tokens.pop(0)
        return met

    return any_of()


if __name__ == "__main__":
    main()
