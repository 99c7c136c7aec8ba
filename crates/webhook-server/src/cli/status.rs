//! `status`: how the running sidecar is.

use std::{collections::BTreeMap, io::Write};

use anyhow::Result;
use clap::Args;
use webhook_api::{
    admin::{GetStatus, Status},
    field::SubmissionStatus,
};
use webhook_log::Waiting;

use super::{
    Trouble,
    client::Client,
    output::{self, cell, cell_or_dash, coloured, time},
};
use crate::config::Config;

#[derive(Debug, Args)]
pub struct Options {
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Prints it; fails with the code of an unsound check when nothing is accepted or sent.
pub async fn run(config: &Config, options: &Options) -> Result<()> {
    let client = Client::new(config)?;
    let status = client.call(&GetStatus {}).await?;
    if options.json {
        output::json(&status)?
    } else {
        print(&client, &status)?
    }
    if status.reasons.iter().any(|reason| reason.stops_work) {
        let message = "something is in the way; do what is said behind `in the way`";
        return Err(Trouble::Unsound(message.to_owned()).into());
    }
    Ok(())
}

fn print(client: &Client, status: &Status) -> Result<()> {
    let mut out = output::stdout();
    let mut line = |name: &str, text: String| writeln!(out, "{name:<16}{text}");
    line("sidecar", format!("{} version {}", client.url(), cell(&status.version)))?;
    line("running for", duration(status.uptime_s))?;
    let database = status.database.as_ref().map(|database| output::clean(&database.name));
    line("database", database.unwrap_or_else(|| "none has attached yet".to_owned()))?;
    line("Odoo pulled", time(status.last_pull_at))?;
    line("subscriptions", cell(status.subscriptions))?;
    for state in Waiting::ALL {
        let found = status.backlog.get(state.as_str());
        let oldest = found.and_then(|found| found.oldest);
        let oldest = oldest.map_or_else(String::new, |at| format!(", oldest {}", time(Some(at))));
        line(state.as_str(), format!("{}{oldest}", cell_or_dash(found.map(|found| found.count))))?;
    }
    line("since the start", counts(status))?;
    let megabytes = status.store_bytes.unwrap_or(0) as f64 / 1e6;
    let commit = status.commits.mean_ms;
    let commit = commit.map_or_else(|| "none yet".to_owned(), |ms| format!("{ms:.1} ms on average"));
    line("delivery log", format!("{megabytes:.1} MB, a commit takes {commit}"))?;
    if status.reasons.is_empty() {
        line("in the way", coloured("ok", 0))?;
    }
    for reason in &status.reasons {
        let word = if reason.stops_work { "FAIL" } else { "warn" };
        line("in the way", format!("{} {}", coloured(word, 0), cell(&reason.message)))?;
    }
    Ok(())
}

fn counts(status: &Status) -> String {
    let of = |counts: &BTreeMap<String, u64>, word: &str| counts.get(word).copied();
    let succeeded = of(&status.attempts, "success").unwrap_or(0);
    let ended: u64 = status.attempts.values().sum();
    let accepted = cell_or_dash(of(&status.events, SubmissionStatus::Accepted.as_str()));
    format!("{accepted} events accepted, {succeeded} attempts succeeded, {} failed", ended - succeeded)
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {} s", seconds % 60),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} days {hours} h"),
    }
}
