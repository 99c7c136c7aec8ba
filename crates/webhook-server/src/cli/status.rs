//! `status`: how the running sidecar is.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::{
    Trouble,
    client::Client,
    output::{self, cell, coloured, time},
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
    let status = client.call("admin.status", json!({})).await?;
    if options.json {
        output::json(&status)?
    } else {
        print(&client, &status)?
    }
    match status["reasons"].as_array() {
        Some(reasons) if reasons.iter().any(|reason| reason["stops_work"] == true) => {
            Err(Trouble::Unsound("something is in the way; do what is said behind `in the way`".to_owned())
                .into())
        }
        _ => Ok(()),
    }
}

fn print(client: &Client, status: &Value) -> Result<()> {
    let mut out = output::stdout();
    let mut line = |name: &str, text: String| writeln!(out, "{name:<16}{text}");
    line("sidecar", format!("{} version {}", client.url(), cell(&status["version"])))?;
    line("running for", duration(status["uptime_s"].as_u64().unwrap_or(0)))?;
    let database = status["database"]["name"].as_str();
    line("database", database.map_or_else(|| "none has attached yet".to_owned(), output::clean))?;
    line("Odoo pulled", time(&status["last_pull_at"]))?;
    line("subscriptions", cell(&status["subscriptions"]))?;
    for state in ["due", "retry", "paused"] {
        let found = &status["backlog"][state];
        let oldest = found["oldest"].as_str().map(|_| format!(", oldest {}", time(&found["oldest"])));
        line(state, format!("{}{}", cell(&found["count"]), oldest.unwrap_or_default()))?;
    }
    line("since the start", counts(status))?;
    let megabytes = status["store_bytes"].as_u64().unwrap_or(0) as f64 / 1e6;
    let commit = status["commits"]["mean_ms"].as_f64();
    let commit = commit.map_or_else(|| "none yet".to_owned(), |ms| format!("{ms:.1} ms on average"));
    line("delivery log", format!("{megabytes:.1} MB, a commit takes {commit}"))?;
    let reasons = status["reasons"].as_array().map_or(&[][..], Vec::as_slice);
    if reasons.is_empty() {
        line("in the way", coloured("ok", 0))?;
    }
    for reason in reasons {
        let word = if reason["stops_work"] == true { "FAIL" } else { "warn" };
        line("in the way", format!("{} {}", coloured(word, 0), cell(&reason["message"])))?;
    }
    Ok(())
}

fn counts(status: &Value) -> String {
    let sum = |object: &Value, but: &str| -> u64 {
        let counts = object.as_object().into_iter().flatten().filter(|(name, _)| *name != but);
        counts.filter_map(|(_, count)| count.as_u64()).sum()
    };
    let attempts = &status["attempts"];
    format!(
        "{} events accepted, {} attempts succeeded, {} failed",
        cell(&status["events"]["accepted"]),
        attempts["success"].as_u64().unwrap_or(0),
        sum(attempts, "success")
    )
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {} s", seconds % 60),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} days {hours} h"),
    }
}
