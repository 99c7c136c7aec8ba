//! What the tests tried: classes, cases, refused, reached.

use std::{fs, path::Path};

use serde_json::json;

/// One class of attacks and its cases.
#[derive(Debug, Default, Clone)]
pub struct Class {
    name: String,
    cases: Vec<(String, String)>,
    refused: usize,
    reached: usize,
}

impl Class {
    /// A class without cases.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// One case: what was tried, how it was refused (or what came instead), and how many forbidden connections it made.
    pub fn add(&mut self, case: impl Into<String>, how: Result<String, String>, reached: usize) {
        let how = match how {
            Ok(how) => {
                self.refused += 1;
                how
            }
            Err(instead) => format!("**NOT REFUSED**: {instead}"),
        };
        self.cases.push((case.into(), how));
        self.reached += reached;
    }

    /// One case that was refused, or the test would have ended.
    pub fn held_case(&mut self, case: impl Into<String>, how: impl Into<String>) {
        self.add(case, Ok(how.into()), 0);
    }

    /// Whether every case was refused and nothing was reached.
    pub fn held(&self) -> bool {
        self.refused == self.cases.len() && self.reached == 0 && !self.cases.is_empty()
    }
}

/// Writes what one test tried into `target/security`, from where `tests/security/report.py` makes `REPORT.md`.
pub fn write(part: &str, classes: &[Class], controls: &[(String, String)]) {
    let classes: Vec<_> = classes
        .iter()
        .map(|class| {
            json!({"name": class.name, "cases": class.cases, "refused": class.refused, "reached": class.reached})
        })
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/security");
    fs::create_dir_all(&folder).expect("a folder");
    let text = json!({"classes": classes, "controls": controls}).to_string();
    fs::write(folder.join(format!("{part}.json")), text).expect("the part can be written");
}
