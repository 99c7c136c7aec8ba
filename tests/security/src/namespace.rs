//! Runs a test inside a network namespace in which every address is local.

use std::{fs, future::Future, process::Command};

/// Tells the test that it is inside.
const INSIDE: &str = "MCP_WEBHOOKD_TEST_BED";

/// What happens between the namespace's birth and the test: every IPv4 and IPv6 address becomes local, and names come
/// from the test's own server alone.
const PREPARE: &str = r#"
set -e
PATH="$PATH:/usr/sbin:/sbin"
ip link set lo up
ip route add local 0.0.0.0/0 dev lo
ip -6 route add local ::/0 dev lo
mount --bind "$1/resolv.conf" /etc/resolv.conf
mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf
shift
exec "$@"
"#;

/// Runs `test`, which is the whole of the test called `name`, in a namespace of its own.
///
/// The test's program starts itself again inside, for this one test. Nothing can leave the namespace: it has no
/// interface but loopback.
pub fn inside<F: Future<Output = ()>>(name: &str, test: impl FnOnce() -> F) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(test());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    write("resolv.conf", "nameserver 127.0.0.1\n");
    write("nsswitch.conf", "hosts: files dns\n");
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount"]);
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["sh", "-c", PREPARE, "sh"]).arg(folder.path());
    command.arg(std::env::current_exe().expect("this program"));
    command.args(["--exact", name, "--nocapture", "--include-ignored"]).env(INSIDE, "1");
    let status = command.status().expect("unshare (Debian package util-linux) could not be run");
    assert!(
        status.success(),
        "the test failed inside its network namespace, or there was none ({status}). It needs root, or user \
         namespaces that anyone may make, and `ip` (Debian package iproute2, which `just test` installs)"
    );
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id could not be run");
    id.stdout.trim_ascii() == b"0"
}
