//! The report: faults x rounds x injected x lost x duplicated, as the run saw it.

use std::{fmt::Write, time::Duration};

use anyhow::Result;

use crate::{scenarios::NotPossible, world::Tally};

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

/// The table in Markdown.
pub fn markdown(lines: &[Line], mode: &str, took: Duration) -> String {
    let mut text = format!(
        "# Faults\n\nMade by `just faults` ({mode} run, {} s, version {}). Every fault fired as often as *injected* says; \
         after every round one judge (`src/judge.rs`) compared what the submitter was told, what the endpoints \
         received, the sidecar's log and its feed. *Lost*: acknowledged, and neither delivered nor in the log with a \
         reason. *Repeated*: requests beyond the attempts in the log, as a crash may make them.\n\n\
         | fault | rounds | injected | acknowledged | delivered | failed with a reason | lost | repeated | s | held |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
        took.as_secs(),
        env!("CARGO_PKG_VERSION"),
    );
    for Line { name, took, result } in lines {
        let seconds = took.as_secs();
        let _ = match result {
            Ok(Tally { rounds, injected, verdict: v }) => writeln!(
                text,
                "| {name} | {rounds} | {injected} | {} | {} | {} | {} | {} | {seconds} | yes |",
                v.acknowledged, v.delivered, v.failed, v.lost, v.duplicated
            ),
            Err(error) if error.is::<NotPossible>() => {
                writeln!(text, "| {name} | | | | | | | | {seconds} | not run: {error} |")
            }
            Err(error) => {
                let error: String =
                    format!("{error:#}").replace(['\n', '|'], " ").chars().take(300).collect();
                writeln!(text, "| {name} | | | | | | | | {seconds} | **NO**: {error} |")
            }
        };
    }
    text
}
