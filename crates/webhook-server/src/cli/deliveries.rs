//! `deliveries`: what became of events, and another try.

use std::{io::Write, time::Duration};

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use webhook_api::{
    Given, Json, Wire,
    admin::GetStatus,
    delivery::{self, Attempt, DeliveryChanges, GetDelivery, ListDeliveries, RedeliverMany},
    field::{FeedCursor, Whole},
};
use webhook_dispatch::{Clock, SystemClock};
use webhook_model::{AttemptStatus, Millis, SubscriptionId};

use super::{
    client::{Client, parameter},
    output::{self, cell, cell_or_dash, time},
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

impl From<Status> for AttemptStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::Success => Self::Success,
            Status::Failed => Self::Failed,
        }
    }
}

impl Filter {
    fn subscription(&self) -> Result<Option<Wire<SubscriptionId>>> {
        self.subscription.as_deref().map(|id| parameter("subscription_id", id)).transpose()
    }

    fn status(&self) -> Option<Wire<AttemptStatus>> {
        self.status.map(|status| Wire(status.into()))
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
    let (mut found, mut after) = (Vec::new(), None);
    while found.len() < limit {
        let rest = u64::try_from(limit - found.len()).unwrap_or(u64::MAX);
        let wish = ListDeliveries {
            subscription_id: filter.subscription()?.into(),
            status: filter.status().into(),
            after: after.into(),
            limit: Wire(Whole(rest.min(1000))).into(),
        };
        let mut page = client.call(&wish).await?;
        found.append(&mut page.attempts);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if json {
        return found.iter().try_for_each(output::json_line);
    }
    let rows = found.iter().map(|attempt| Ok(row(&attempt.read()?))).collect::<Result<Vec<_>>>()?;
    output::table(HEADS, &rows, NONE)?;
    if after.is_some() {
        eprintln!("there are more; give --limit N");
    }
    Ok(())
}

fn row(attempt: &Attempt) -> Vec<String> {
    let why = match (&attempt.error, attempt.next_attempt_at) {
        (Some(error), _) => format!("{}: {}", error.kind.0.as_str(), cell(&error.message)),
        (None, Some(at)) => format!("to be sent at {}", time(Some(at))),
        (None, None) => "-".to_owned(),
    };
    vec![
        cell(attempt.event_id.0),
        format!("{} {}", attempt.attempt.0.0, attempt.trigger.0.as_str()),
        attempt.status.0.as_str().to_owned(),
        cell_or_dash(attempt.response_code),
        cell_or_dash(attempt.duration_ms),
        time(Some(attempt.finished_at.unwrap_or(attempt.created_at))),
        why,
    ]
}

async fn show(client: &Client, event_id: &str, json: bool) -> Result<()> {
    let wish = GetDelivery {
        event_id: parameter("event_id", event_id)?,
        after: Given::default(),
        limit: Given::default(),
    };
    let found = client.call(&wish).await?;
    if json {
        return found.attempts.iter().try_for_each(output::json_line);
    }
    let attempts = found.attempts.iter().map(Json::read).collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<_> = attempts.iter().map(row).collect();
    output::table(HEADS, &rows, NONE)?;
    let mut out = output::stdout();
    for attempt in &attempts {
        for (text, title) in [(&attempt.payload, "sent"), (&attempt.response_body, "answer")] {
            if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
                writeln!(out, "\nattempt {}, {title}:\n{}", attempt.attempt.0.0, output::clean(text))?;
            }
        }
    }
    Ok(())
}

/// Follows the feed from its end, as Odoo does; Odoo's own place in it does not move.
async fn tail(client: &Client, filter: &Filter, count: Option<usize>, json: bool) -> Result<()> {
    let mut cursor = client.call(&GetStatus {}).await?.cursor;
    let (subscription, status) = (filter.subscription()?, filter.status());
    let wanted = |attempt: &Attempt| {
        subscription.is_none_or(|wish| attempt.subscription_id == wish)
            && status.is_none_or(|wish| attempt.status == wish)
    };
    let mut printed = 0;
    if !json {
        eprintln!("waiting for attempts; Ctrl-C ends this");
    }
    loop {
        let wish = DeliveryChanges { after: Wire(FeedCursor(cursor)), limit: Given::default() };
        let page = client.call(&wish).await?;
        for attempt in &page.attempts {
            let told = attempt.read()?;
            if !wanted(&told) {
                continue;
            }
            if json {
                output::json_line(attempt)?
            } else {
                print_line(&told)?
            }
            printed += 1;
            if Some(printed) == count {
                return Ok(());
            }
        }
        cursor = page.cursor;
        if !page.more {
            // Nobody tells the command line what is new: it asks, at a pace that costs nothing.
            tokio::time::sleep(TAIL_PACE).await;
        }
    }
}

fn print_line(attempt: &Attempt) -> Result<()> {
    let cells = row(attempt);
    let [event, number, status, code, ms, when, why] = &cells[..] else { return Ok(()) };
    let status = output::coloured(status, 7);
    Ok(writeln!(output::stdout(), "{when}  {event}  {number:<8}  {status}  {code:>3}  {ms:>6} ms  {why}")?)
}

async fn redeliver(client: &Client, wish: &Redeliver) -> Result<()> {
    let mut out = output::stdout();
    if let Some(event_id) = &wish.event_id {
        let call = delivery::Redeliver { event_id: parameter("event_id", event_id)? };
        let number = client.call(&call).await?.attempt.0.0;
        writeln!(
            out,
            "attempt {number} is on its way; see it with: mcp-webhookd deliveries show {event_id}"
        )?;
        return Ok(());
    }
    let since = since(wish.since.as_deref().unwrap_or_default(), SystemClock.now())?;
    let call = RedeliverMany {
        subscription_id: parameter("subscription_id", wish.subscription.as_deref().unwrap_or_default())?,
        since: Wire(since).into(),
        event_ids: Given::default(),
        dry_run: wish.dry_run.into(),
    };
    let done = client.call(&call).await?;
    let verb = if wish.dry_run { "would be sent once more" } else { "are sent once more" };
    Ok(writeln!(out, "{} deliveries {verb}", done.count)?)
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
