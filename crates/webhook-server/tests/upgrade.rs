//! What a version may not change unnoticed: the store's format, and the API's description.

mod common;

use std::{fs, path::Path};

use common::{Operator, SUBSCRIPTION, root};
use serde_json::{Value, json};

/// Every format keeps its fixture; a new one gets a folder of its own.
const PRESENT: &str = "store/format-3";

fn fixtures() -> std::path::PathBuf {
    root().join("tests/fixtures")
}

/// A data directory as an earlier version left it.
fn restore(operator: &Operator, version: &str) {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new().mode(0o700).create(operator.data()).unwrap();
    for entry in fs::read_dir(fixtures().join("store").join(version)).unwrap() {
        let from = entry.unwrap().path();
        let to = operator.data().join(from.file_name().unwrap());
        fs::copy(&from, &to).unwrap();
        if to.ends_with("log.redb-journal") {
            // Kept without the zeros behind its records.
            fs::OpenOptions::new().write(true).open(&to).unwrap().set_len(16 << 20).unwrap();
        }
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Makes the fixture of the present format, where there is none and `RENEW` is set.
fn make_the_fixture() {
    let mut operator = Operator::with_sidecar();
    operator.subscribe("http://127.0.0.1:9/");
    let failed = operator.submit(1);
    let ended =
        || operator.addon("delivery.get", json!({"event_id": failed}))["attempts"][0]["status"] == "failed";
    while !ended() {}
    operator.addon("subscription.update", json!({"id": SUBSCRIPTION, "paused": true}));
    operator.submit(2);
    operator.addon("system.attach", json!({"database": "u1", "database_name": "prod"}));
    operator.stop();
    let folder = fixtures().join(PRESENT);
    fs::create_dir_all(&folder).unwrap();
    for name in ["log.redb", "key", "token", "admin_token"] {
        fs::copy(operator.data().join(name), folder.join(name)).unwrap();
    }
}

#[test]
fn the_store_of_every_released_format_opens_and_is_sound() {
    if std::env::var_os("RENEW").is_some() && !fixtures().join(PRESENT).exists() {
        make_the_fixture();
    }
    for entry in fs::read_dir(fixtures().join("store")).unwrap() {
        let version = entry.unwrap().file_name().into_string().unwrap();
        let mut operator = Operator::new();
        restore(&operator, &version);
        operator.run(&["verify"]).expect(0, "the delivery log is sound: 2 events, 1 attempts");
        operator.start(&[]);
        let status = operator.run(&["status", "--json"]).expect(0, "").out;
        let status: Value = serde_json::from_str(&status).unwrap();
        assert_eq!(
            (&status["database"]["name"], &status["backlog"]["paused"]["count"]),
            (&json!("prod"), &json!(1)),
            "{version}"
        );
        let shown = operator.run(&["subscriptions", "show", SUBSCRIPTION]).expect(0, "").out;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(
            (&shown["has_secret"], &shown["paused"]),
            (&json!(true), &json!(true)),
            "the secret is read"
        );
        operator.run(&["deliveries", "list", "--status", "failed"]).expect(0, "connect");
        operator.stop();
    }
}

#[test]
fn a_newer_store_is_refused_in_a_sentence_and_not_touched() {
    let operator = Operator::new();
    restore(&operator, "format-2");
    let store = operator.data().join("log.redb");
    const META: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("meta");
    let database = redb::Database::open(&store).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(META).unwrap().insert("format", 99_u32.to_be_bytes().as_slice()).unwrap();
    txn.commit().unwrap();
    drop(database);
    for command in [&["serve"][..], &["verify"]] {
        let code = if command == ["serve"] { 1 } else { 5 };
        operator.run(command).expect(code, "install the newer mcp-webhookd again");
    }
    let database = redb::Database::open(&store).unwrap();
    use redb::{ReadableDatabase, ReadableTable};
    let meta = database.begin_read().unwrap().open_table(META).unwrap();
    assert_eq!(meta.get("format").unwrap().unwrap().value(), 99_u32.to_be_bytes());
    assert!(meta.iter().unwrap().count() >= 3);
}

#[test]
fn the_description_of_the_api_changes_only_on_purpose() {
    let operator = Operator::with_sidecar();
    let described = operator.addon("rpc.discover", json!({}));
    let text = format!("{described:#}\n");
    let path = fixtures().join("openrpc.json");
    if std::env::var_os("RENEW").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(text == kept, "the API changed; if that is meant, renew {} with RENEW=1", shown(&path));
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
