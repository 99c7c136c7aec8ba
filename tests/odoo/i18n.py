#!/usr/bin/env python3
"""Lets Odoo export the addon's terms, and brings the French catalogue up to date with them; says what is untranslated."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from realodoo import cache, fetch

FOLDER = cache.PROJECT / "odoo_addon/mcp_webhook/i18n"


def export(path):
    """Odoo's own export of a fresh installation."""
    from realodoo.odoo import Site

    with Site() as site:
        data = site.database("i18n")
        site.install("i18n", data)
        settings = site.folder / "i18n.conf"  # this command of Odoo's takes the rest from a file only
        addons = site.command(site.cluster, data)[-1].removeprefix("--addons-path=")
        lines = ["[options]", "db_host = 127.0.0.1", f"db_port = {site.cluster.port}", "db_user = odoo"]
        settings.write_text("\n".join([*lines, f"data_dir = {data}", f"addons_path = {addons}"]))
        program = [*site.command(site.cluster, data)[:4], "i18n", "export"]
        cache.run([*program, "-c", settings, "-d", "i18n", "-l", "pot", "-o", path, "mcp_webhook"], env=site.environment())


def main():
    """Exit code 1 when a term has no French."""
    _, python, _ = fetch.everything()
    if Path(sys.prefix).resolve() != Path(python).parent.parent.resolve():
        os.execv(python, [str(python), *sys.argv])
    import polib

    export(FOLDER / "mcp_webhook.pot")
    template = polib.pofile(str(FOLDER / "mcp_webhook.pot"))
    path = FOLDER / "fr.po"
    french = polib.pofile(str(path)) if path.is_file() else polib.POFile()
    french.metadata = {**template.metadata, "Language": "fr", "Plural-Forms": "nplurals=2; plural=(n > 1);"}
    french.merge(template)
    for entry in french.obsolete_entries():
        french.remove(entry)
    french.save(str(path))
    missing = [entry.msgid for entry in french if not entry.msgstr or entry.fuzzy]
    for term in missing:
        print(f"no French: {term!r}")
    return 1 if missing else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except cache.Failed as failure:
        sys.exit(f"i18n: {failure}")
