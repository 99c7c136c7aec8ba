//! The table that the tests make: classes, cases tried, refused, reached.

use std::{fmt::Write, fs, path::Path};

/// One class of attacks and its cases.
#[derive(Debug, Default)]
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

    /// Whether every case was refused and nothing was reached.
    pub fn held(&self) -> bool {
        self.refused == self.cases.len() && self.reached == 0 && !self.cases.is_empty()
    }
}

/// Writes `REPORT.md` beside the tests; it says the same after every run in which everything held.
pub fn write(classes: &[Class], controls: &[(String, String)]) {
    let mut text = String::from(
        "# What was tried against the sidecar\n\nMade by `tests/guard.rs`: the release binary, with its default policy, in a network namespace in which every\n\
         address is local and has a listener. *Reached* counts connections that arrived at a listener they were not meant for.\n\n\
         | class | cases tried | refused | reached |\n|---|---:|---:|---:|\n",
    );
    for class in classes {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            class.name,
            class.cases.len(),
            class.refused,
            class.reached
        );
    }
    let sum = |count: fn(&Class) -> usize| classes.iter().map(count).sum::<usize>();
    let (tried, refused, reached) = (sum(|c| c.cases.len()), sum(|c| c.refused), sum(|c| c.reached));
    let _ = writeln!(text, "| **all** | **{tried}** | **{refused}** | **{reached}** |");
    text.push_str("\n## Controls: what must be reached, and was\n\n| case | result |\n|---|---|\n");
    put_rows(&mut text, controls);
    for class in classes {
        let _ = write!(text, "\n## {}\n\n| case | result |\n|---|---|\n", class.name);
        put_rows(&mut text, &class.cases);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("REPORT.md");
    if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
        fs::write(&path, text).expect("the report can be written");
    }
}

fn put_rows(text: &mut String, rows: &[(String, String)]) {
    for (case, result) in rows {
        let case: String = case.chars().take(100).collect();
        let _ = writeln!(
            text,
            "| `{}` | {result} |",
            case.escape_debug().to_string().replace('|', "\\|").replace('`', "'")
        );
    }
}
