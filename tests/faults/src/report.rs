//! The report: faults x rounds x injected x lost x duplicated, as the run saw it.

use std::{fmt::Write, time::Duration};

use anyhow::Result;

use crate::{
    scenarios::{NotPossible, TABLE},
    world::Tally,
};

/// One scenario that ran.
#[derive(Debug)]
pub struct Line {
    /// The scenario.
    pub name: &'static str,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub result: Result<Tally>,
}

/// The table in Markdown, in the order of [`TABLE`]. Of scenarios that did not run now it keeps the line that an
/// older report has.
pub fn markdown(lines: &[Line], older: &str) -> String {
    let mut text = format!(
        "# Faults\n\nMade by `just faults` with version {}; `just faults FILTER` makes the lines of some anew. Every \
         fault fired as often as *injected* says; after every round one judge (`src/judge.rs`) compared what the \
         submitter was told, what the endpoints received, the sidecar's log and its feed. *Lost*: acknowledged, and \
         neither delivered nor in the log with a reason. *Repeated*: requests beyond the attempts in the log, as a \
         crash may make them.\n\n\
         | fault | rounds | injected | acknowledged | delivered | failed with a reason | lost | repeated | s | held |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
        env!("CARGO_PKG_VERSION"),
    );
    for scenario in TABLE {
        let start = format!("| {} |", scenario.name);
        match lines.iter().find(|line| line.name == scenario.name) {
            Some(line) => text.push_str(&row(line)),
            None => older.lines().filter(|line| line.starts_with(&start)).for_each(|line| {
                let _ = writeln!(text, "{line}");
            }),
        }
    }
    text
}

fn row(Line { name, took, result }: &Line) -> String {
    let seconds = took.as_secs();
    match result {
        Ok(Tally { rounds, injected, verdict: v }) => format!(
            "| {name} | {rounds} | {injected} | {} | {} | {} | {} | {} | {seconds} | yes |\n",
            v.acknowledged, v.delivered, v.failed, v.lost, v.duplicated
        ),
        Err(error) if error.is::<NotPossible>() => {
            format!("| {name} | | | | | | | | {seconds} | not run: {error} |\n")
        }
        Err(error) => {
            let error: String = format!("{error:#}").replace(['\n', '|'], " ").chars().take(300).collect();
            format!("| {name} | | | | | | | | {seconds} | **NO**: {error} |\n")
        }
    }
}
