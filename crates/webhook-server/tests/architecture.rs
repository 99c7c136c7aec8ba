//! `ARCHITECTURE.md` says which crate may use which; the manifests must say the same.

use std::{collections::BTreeMap, collections::BTreeSet, fs, path::Path};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn in_manifests() -> BTreeMap<String, BTreeSet<String>> {
    let crates = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let read = |folder: std::path::PathBuf| {
        let text = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let manifest: toml::Value = toml::from_str(&text).unwrap();
        let name = manifest["package"]["name"].as_str().unwrap().to_owned();
        let uses = manifest["dependencies"].as_table().unwrap().keys();
        (name, uses.filter(|name| name.starts_with("webhook-")).cloned().collect())
    };
    crates.map(read).collect()
}

fn in_table() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    text.lines()
        .filter(|line| line.starts_with("| `webhook-"))
        .map(|line| line.split('|').collect::<Vec<_>>())
        .filter(|cells| !cells[2].contains("all of them"))
        .map(|cells| (names(cells[1]).remove(0), names(cells[2]).into_iter().collect()))
        .collect()
}

#[test]
fn the_table_of_crates_is_true() {
    assert_eq!(in_table(), in_manifests());
    assert_eq!(in_table().len(), 6);
}

#[test]
fn it_stays_short() {
    let lines = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap().lines().count();
    assert!(lines <= 120, "{lines} lines");
}
