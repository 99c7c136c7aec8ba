//! The README's promise names tests that exist, and the report is of the whole table and held.

use std::{fs, path::Path};

use webhook_faults::scenarios::TABLE;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn every_sentence_of_the_promise_is_linked_to_a_test_that_exists() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let promise = readme.split("## The promise").nth(1).unwrap().split("\n## ").next().unwrap();
    let links: Vec<&str> = promise.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() >= 8, "{links:?}");
    for link in links {
        let (file, heading) = link.split_once('#').unwrap_or((link, ""));
        let text = fs::read_to_string(root().join(file));
        let text = text.unwrap_or_else(|_| panic!("the promise is linked to {link}, which does not exist"));
        let mut headings = text.lines().filter_map(|line| line.strip_prefix('#'));
        let is_it = |line: &str| line.trim_matches(['#', ' ']).to_lowercase().replace(' ', "-") == heading;
        assert!(heading.is_empty() || headings.any(is_it), "{link}: there is no such heading");
    }
}

#[test]
fn the_report_is_of_every_fault_and_each_held() {
    let report = fs::read_to_string(root().join("tests/faults/REPORT.md")).unwrap();
    for scenario in TABLE {
        let start = format!("| {} |", scenario.name);
        let lines: Vec<&str> = report.lines().filter(|line| line.starts_with(&start)).collect();
        assert_eq!(lines.len(), 1, "{} is not in the report; run `just faults`", scenario.name);
        let cells: Vec<&str> = lines[0].split('|').map(str::trim).collect();
        assert_eq!((cells[7], cells[10]), ("0", "yes"), "{}", lines[0]);
        assert!(cells[3].parse::<u64>().unwrap() > 0, "V0: {}", lines[0]);
    }
}
