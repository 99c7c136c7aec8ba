//! `deliveries`: what became of events, and another try.

use std::{io::Write, time::Duration};

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use webhook_dispatch::{Clock, SystemClock};
use webhook_model::Millis;

use super::{
    client::Client,
    output::{self, cell, time},
};
use crate::config::Config;

/// How often `tail` asks for what is new.
const TAIL_PACE: Duration = Duration::from_millis(500);
/// Of the table of attempts.
const HEADS: &[&str] = &["EVENT", "TRY", "STATUS", "HTTP", "MS", "WHEN (UTC)", "WHY"];
/// Instead of an empty one.
const NONE: &str =
    "no attempts; an event that is accepted appears with its first one, and old ones go after retention.days";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attempts, newest event first
    List {
        #[command(flatten)]
        filter: Filter,
        /// At most so many
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
        /// One JSON object a line, with payload and answer, for programs
        #[arg(long)]
        json: bool,
    },
    /// All attempts of one event, with what was sent and what came back
    Show {
        /// The event's UUID: `webhook-id` at the endpoint
        event_id: String,
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Attempts as they happen, until Ctrl-C
    Tail {
        #[command(flatten)]
        filter: Filter,
        /// Stop after so many
        #[arg(long, value_name = "N")]
        count: Option<usize>,
        /// One JSON object a line, for programs
        #[arg(long)]
        json: bool,
    },
    /// Send once more: one event, or all failed ones of a subscription
    #[command(
        override_usage = "mcp-webhookd deliveries redeliver EVENT_ID\n       \
                          mcp-webhookd deliveries redeliver --subscription ID --since TIME [--dry-run]",
        after_help = "Examples:\n  mcp-webhookd deliveries redeliver EVENT_ID\n  \
                            mcp-webhookd deliveries redeliver --subscription ID --since 2h --dry-run"
    )]
    Redeliver(Redeliver),
}

#[derive(Debug, Args)]
pub struct Filter {
    /// Only of this subscription (UUID)
    #[arg(long, value_name = "ID")]
    subscription: Option<String>,
    /// Only in this state
    #[arg(long)]
    status: Option<Status>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    Pending,
    Success,
    Failed,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Args)]
pub struct Redeliver {
    /// The event's UUID
    #[arg(required_unless_present = "subscription", conflicts_with = "subscription")]
    event_id: Option<String>,
    /// All failed deliveries of this subscription (UUID)
    #[arg(long, value_name = "ID", requires = "since")]
    subscription: Option<String>,
    /// Those that failed since then: 30m, 2h, 3d, or a time such as 2026-11-23T10:15:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only say how many there are
    #[arg(long, requires = "subscription")]
    dry_run: bool,
}

/// Runs one of them.
pub async fn run(config: &Config, command: &Command) -> Result<()> {
    let client = Client::new(config)?;
    match command {
        Command::List { filter, limit, json } => list(&client, filter, *limit, *json).await,
        Command::Show { event_id, json } => show(&client, event_id, *json).await,
        Command::Tail { filter, count, json } => tail(&client, filter, *count, *json).await,
        Command::Redeliver(wish) => redeliver(&client, wish).await,
    }
}

async fn list(client: &Client, filter: &Filter, limit: usize, json: bool) -> Result<()> {
    let (mut found, mut after) = (Vec::new(), Value::Null);
    while found.len() < limit {
        let mut params = json!({"limit": (limit - found.len()).min(1000), "after": after});
        params["subscription_id"] = json!(filter.subscription);
        params["status"] = json!(filter.status.map(Status::as_str));
        let mut page = client.call("delivery.list", params).await?;
        if let Some(attempts) = page["attempts"].as_array_mut() {
            found.append(attempts);
        }
        after = page["next"].take();
        if after.is_null() {
            break;
        }
    }
    if json {
        return found.iter().try_for_each(output::json_line);
    }
    let rows: Vec<_> = found.iter().map(row).collect();
    output::table(HEADS, &rows, NONE)?;
    if !after.is_null() {
        eprintln!("there are more; give --limit N");
    }
    Ok(())
}

fn row(attempt: &Value) -> Vec<String> {
    let field = |name: &str| cell(&attempt[name]);
    let when =
        if attempt["finished_at"].is_null() { &attempt["created_at"] } else { &attempt["finished_at"] };
    let why = match attempt["error"]["kind"].as_str() {
        Some(kind) => format!("{kind}: {}", cell(&attempt["error"]["message"])),
        None if !attempt["next_attempt_at"].is_null() => {
            format!("to be sent at {}", time(&attempt["next_attempt_at"]))
        }
        None => "-".to_owned(),
    };
    let number = format!("{} {}", field("attempt"), field("trigger"));
    vec![
        field("event_id"),
        number,
        field("status"),
        field("response_code"),
        field("duration_ms"),
        time(when),
        why,
    ]
}

async fn show(client: &Client, event_id: &str, json: bool) -> Result<()> {
    let found = client.call("delivery.get", json!({"event_id": event_id})).await?;
    let attempts = found["attempts"].as_array().map_or(&[][..], Vec::as_slice);
    if json {
        return attempts.iter().try_for_each(output::json_line);
    }
    let rows: Vec<_> = attempts.iter().map(row).collect();
    output::table(HEADS, &rows, NONE)?;
    let mut out = output::stdout();
    for attempt in attempts {
        for (name, title) in [("payload", "sent"), ("response_body", "answer")] {
            if let Some(text) = attempt[name].as_str().filter(|text| !text.is_empty()) {
                writeln!(out, "\nattempt {}, {title}:\n{}", attempt["attempt"], output::clean(text))?;
            }
        }
    }
    Ok(())
}

/// Follows the feed from its end, as Odoo does; Odoo's own place in it does not move.
async fn tail(client: &Client, filter: &Filter, count: Option<usize>, json: bool) -> Result<()> {
    let mut cursor = client.call("admin.status", json!({})).await?["cursor"].take();
    let wanted = |attempt: &Value| {
        let of = |name: &str, wish: Option<&str>| wish.is_none_or(|wish| attempt[name] == wish);
        of("subscription_id", filter.subscription.as_deref())
            && of("status", filter.status.map(Status::as_str))
    };
    let mut printed = 0;
    if !json {
        eprintln!("waiting for attempts; Ctrl-C ends this");
    }
    loop {
        let mut page = client.call("delivery.changes", json!({"after": cursor})).await?;
        for attempt in page["attempts"].as_array().into_iter().flatten().filter(|attempt| wanted(attempt)) {
            if json {
                output::json_line(attempt)?
            } else {
                print_line(attempt)?
            }
            printed += 1;
            if Some(printed) == count {
                return Ok(());
            }
        }
        cursor = page["cursor"].take();
        if page["more"] != true {
            // Nobody tells the command line what is new: it asks, at a pace that costs nothing.
            tokio::time::sleep(TAIL_PACE).await;
        }
    }
}

fn print_line(attempt: &Value) -> Result<()> {
    let cells = row(attempt);
    let [event, number, status, code, ms, when, why] = &cells[..] else { return Ok(()) };
    let status = output::coloured(status, 7);
    Ok(writeln!(output::stdout(), "{when}  {event}  {number:<8}  {status}  {code:>3}  {ms:>6} ms  {why}")?)
}

async fn redeliver(client: &Client, wish: &Redeliver) -> Result<()> {
    let mut out = output::stdout();
    if let Some(event_id) = &wish.event_id {
        let attempt = client.call("delivery.redeliver", json!({"event_id": event_id})).await?;
        let number = &attempt["attempt"];
        writeln!(
            out,
            "attempt {number} is on its way; see it with: mcp-webhookd deliveries show {event_id}"
        )?;
        return Ok(());
    }
    let since = since(wish.since.as_deref().unwrap_or_default(), SystemClock.now())?;
    let params =
        json!({"subscription_id": wish.subscription, "since": since.to_string(), "dry_run": wish.dry_run});
    let done = client.call("delivery.redeliver_many", params).await?;
    let verb = if wish.dry_run { "would be sent once more" } else { "are sent once more" };
    Ok(writeln!(out, "{} deliveries {verb}", done["count"])?)
}

/// `30m`, `2h`, `3d`, or an RFC 3339 time.
fn since(text: &str, now: Millis) -> Result<Millis> {
    let unit = |unit: char| match unit {
        's' => Some(1000),
        'm' => Some(60_000),
        'h' => Some(3_600_000),
        'd' => Some(86_400_000),
        _ => None,
    };
    let span = text.chars().last().and_then(unit).and_then(|unit: u64| {
        let number: u64 = text[..text.len() - 1].parse().ok()?;
        number.checked_mul(unit)
    });
    match (span, Millis::parse_rfc3339(text)) {
        (Some(span), _) => Ok(Millis(now.0.saturating_sub(span))),
        (None, Some(time)) => Ok(time),
        (None, None) => {
            bail!("--since {text} is not a time; give for example 30m, 2h, 3d or 2026-11-23T10:15:00Z")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_or_a_time() {
        let now = Millis::parse_rfc3339("2026-11-23T10:00:00Z").unwrap();
        let text = |text: &str| since(text, now).map(|at| at.to_string()).ok();
        assert_eq!(text("30m").as_deref(), Some("2026-11-23T09:30:00.000Z"));
        assert_eq!(text("3d").as_deref(), Some("2026-11-20T10:00:00.000Z"));
        assert_eq!(text("2026-11-01T00:00:00+01:00").as_deref(), Some("2026-10-31T23:00:00.000Z"));
        for wrong in ["", "m", "2 h", "5w", "yesterday", "é"] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
    }
}
