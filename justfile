# Every workflow of the project. CI runs what the README names and nothing else.

# The list of recipes.
default:
    @just --list

# Everything: lints of both languages, Rust, what comes from elsewhere, a sample of all faults, the addon in Odoo's own runner, Odoo's own tests as its judge, the line against a real Odoo, the operator's day.
test: _forget lint-rust lint-addon test-rust supply test-faults test-addon test-odoo-sample test-line test-ops attacks
    @python3 tests/step.py --sum lint-addon rust supply faults addon odoo-sample line ops attacks

# The Rust tests.
test-rust: _release _namespaces
    @if cargo nextest --version >/dev/null 2>&1; then python3 tests/step.py rust cargo nextest run --workspace --locked; else python3 tests/step.py rust cargo test --workspace --locked; fi

# Odoo's own tests with every model watched, against an oracle in PostgreSQL: a sample, in minutes; OPTIONS as its README names them.
test-odoo-sample *OPTIONS:
    @python3 tests/step.py odoo-sample python3 -u tests/odoo/suite/run.py {{OPTIONS}}

# The same, whole: a database with sales, stock, accounting, purchase, CRM, projects, manufacturing, staff; writes tests/odoo/suite/REPORT.md.
test-odoo-suite *OPTIONS:
    python3 tests/odoo/suite/run.py --whole --report tests/odoo/suite/REPORT.md {{OPTIONS}}

# The addon's tests in Odoo's own runner on a real PostgreSQL; TAGS as for --test-tags.
test-addon *TAGS:
    @python3 tests/step.py addon python3 -u tests/odoo/addon_tests.py {{TAGS}}

# The line from Odoo through the sidecar to an endpoint and back, with a normally started Odoo; FILTER as for pytest -k.
test-line *FILTER: _release
    @python3 tests/step.py line python3 -u tests/odoo/line_tests.py {{FILTER}}

# Judges of the MCP server that nobody here wrote, with a real Odoo, in minutes; --report FILE writes what they said.
test-mcp *OPTIONS: _release
    python3 tests/odoo/mcp_judges/run.py {{OPTIONS}}

# An administrator's evening: eleven broken endpoints repaired on the screens, each press counted (tests/odoo/EVENING.md).
evening: _release
    python3 tests/odoo/line_tests.py eleven

# The operator's day: documentation, dashboard and alerts (real Prometheus), the client; installs what it needs from Debian.
test-ops: _release
    @python3 tests/step.py ops python3 -u tests/ops/run.py

# The table of attacks, made of what the tests of this run tried, in target/security; --keep writes tests/security/REPORT.md.
attacks *OPTIONS:
    @python3 tests/step.py attacks python3 tests/security/report.py {{OPTIONS}}

# The Debian package: built, then installed, started, upgraded and removed in a clean Debian machine (root, systemd-nspawn).
package-test:
    packaging/build deb
    python3 tests/ops/package.py

# The container image: built of the Dockerfile by Debian's buildah and run as compose.yaml runs it; no registry is needed (root).
image-test: _release
    python3 tests/ops/image.py

# From an empty Debian tree to a first delivery that stands in Odoo, timed: writes tests/ops/SESSION.md and docs/images (root).
session: dist
    python3 tests/ops/session.py

# What is given to users, in target/dist: the Debian package, and archives with checksums.
dist:
    packaging/build deb
    packaging/build archive

# A sample of every fault, against the release binary.
test-faults *FILTER: _release
    @python3 tests/step.py faults python3 -u tests/faults/run.py --quick {{quote(FILTER)}}

# Every fault, hundreds of rounds; writes tests/faults/REPORT.md. FILTER: a part of a fault's name.
faults *FILTER: _release
    python3 tests/faults/run.py --report tests/faults/REPORT.md {{quote(FILTER)}}

# How fast the sidecar is, in a few minutes: a report in target/bench; OPTIONS as `just bench --help` lists them.
bench *OPTIONS: _release
    cargo run --release --locked -p webhook-bench -- {{OPTIONS}}

# The same, and what takes long: a million pending, logs of one and five million deliveries, instructions, and Odoo.
bench-full *OPTIONS: (bench-odoo)
    cargo run --release --locked -p webhook-bench -- --full --odoo target/bench/odoo.json {{OPTIONS}}

# What a write costs in a real Odoo, about four minutes: target/bench/odoo.json; SERIES: alone, threads, workers, imports, mirror, deletion.
bench-odoo *SERIES: _release
    python3 tests/odoo/bench.py target/bench/odoo.json {{SERIES}}

# What it takes in memory while everybody does his worst, as the package's units run it.
bench-memory *OPTIONS: _release
    MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072 cargo run --release --locked -p webhook-bench -- --only memory {{OPTIONS}}

# Instructions per delivery (needs valgrind): a report, not a gate. A regression shows whatever else the machine does.
bench-counts: _release
    @command -v valgrind >/dev/null || apt-get install --yes --no-install-recommends valgrind
    cargo run --release --locked -p webhook-bench -- --only counts

# A whole installation to look at: Odoo, sidecar, a receiver page. Ctrl-C ends it.
demo: _release
    python3 tests/odoo/demo.py

# Formatting and lints of both languages.
lint: lint-rust lint-addon deny

# The same of the Rust crates alone.
lint-rust:
    @{ cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1 || rustup component add rustfmt clippy
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# The lints of the addon: ruff, pylint-odoo and the OCA's checks, pinned in tests/odoo/requirements.txt.
lint-addon:
    @python3 tests/step.py lint-addon python3 -u tests/odoo/lint.py

# Longer fuzzing of everything that reads hostile input: SECONDS for each target.
fuzz SECONDS="60":
    FUZZ_SECONDS={{SECONDS}} cargo test --release --locked -p webhook-security --test fuzz
    FUZZ_SECONDS={{SECONDS}} cargo test --release --locked -p webhook-log fuzz

# The software bill of materials of the sidecar, CycloneDX in JSON.
sbom:
    @python3 tests/security/sbom.py

# Licences, bans and sources of every package in Cargo.lock against deny.toml, in a second.
supply:
    @python3 tests/step.py supply python3 tests/security/supply.py

# The same by cargo-deny, and known vulnerabilities where their database can be reached (minutes, to install it once).
deny:
    @cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
    cargo deny --locked check licenses bans sources
    @if cargo deny fetch db; then cargo deny --locked check advisories; else echo "known vulnerabilities were NOT checked: their database cannot be reached"; fi

_forget:
    rm -rf target/security target/steps

# What the security tests need for their network namespaces.
_namespaces:
    @PATH="$PATH:/usr/sbin:/sbin"; command -v ip >/dev/null || { apt-get update -q && apt-get install -qy iproute2; } || { echo "install the Debian package iproute2 (command ip)"; exit 1; }

_release:
    cargo build --release --locked -p webhook-server
