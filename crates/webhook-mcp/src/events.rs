//! Waiting: for `wait_for_event`, and for clients that want to be told that there is something to read. Odoo is asked
//! again and again, with the caller's key each time, so that no process of Odoo is held and a key that was revoked is
//! noticed.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::{
    odoo::{Odoo, Trouble},
    principal::Principal,
};

/// Between two looks of a call that waits.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks of a stream that stays open.
const PATIENT_LOOK: Duration = Duration::from_secs(2);
/// How long a wait is where nothing is said.
const DEFAULT_WAIT: u64 = 45;
/// All events of the user.
pub(crate) const ALL: &str = "odoo://events";
const OF_ONE: (&str, &str) = ("odoo://subscription/", "/events");
/// How the address of one subscription's events is made.
pub(crate) const TEMPLATE: &str = "odoo://subscription/{subscription_id}/events";

/// Whose events a resource holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    /// Those of all subscriptions of the user.
    All,
    /// Those of one.
    Of(i64),
}

impl Feed {
    /// The feed that this address names.
    pub(crate) fn parse(uri: &str) -> Option<Self> {
        if uri == ALL {
            return Some(Self::All);
        }
        let id = uri.strip_prefix(OF_ONE.0)?.strip_suffix(OF_ONE.1)?;
        let is_plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) && !id.starts_with('0');
        is_plain.then(|| id.parse().ok().map(Self::Of))?
    }

    fn holds(self, event: &Value) -> bool {
        match self {
            Self::All => true,
            Self::Of(id) => event["subscription_id"] == json!(id),
        }
    }

    /// The newest events, to be read.
    pub(crate) fn arguments(self) -> Value {
        match self {
            Self::All => json!({"limit": 50}),
            Self::Of(id) => json!({"subscription_id": id, "limit": 50}),
        }
    }
}

/// Looks until there is an event, or the time is over: then the cursor with which to go on.
pub(crate) async fn wait(
    odoo: &Odoo,
    principal: &Principal,
    mut arguments: Value,
    client: Option<&str>,
) -> Result<Value, Trouble> {
    let seconds = arguments["timeout_s"].as_u64().unwrap_or(DEFAULT_WAIT);
    if seconds > 50 {
        // Odoo says it in the words of its other limits.
        return odoo.call(principal, "wait_for_event", &arguments, client, false).await;
    }
    arguments["timeout_s"] = json!(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        let is_last = Instant::now() + LOOK >= end;
        // A look that fails for a moment is not the end of a wait that has not ended.
        let answer = match odoo.call(principal, "wait_for_event", &arguments, client, !is_last).await {
            Err(Trouble::Unreachable | Trouble::Busy) if !is_last => None,
            answer => Some(answer?),
        };
        if let Some(answer) = answer {
            if is_last || answer["events"].as_array().is_some_and(|events| !events.is_empty()) {
                return Ok(answer);
            }
            arguments["cursor"] = answer["cursor"].clone();
        }
        sleep_until((Instant::now() + LOOK).min(end)).await;
    }
}

/// Tells of each feed in which something happened, from now on, until Odoo refuses the caller or `tell` says that
/// nobody listens.
pub(crate) async fn watch<F>(
    odoo: &Odoo,
    principal: &Principal,
    feeds: Vec<(String, Feed)>,
    client: Option<&str>,
    mut tell: impl FnMut(String) -> F,
) -> Result<(), Trouble>
where
    F: Future<Output = bool>,
{
    let mut arguments = json!({"limit": 100});
    loop {
        match odoo.call(principal, "poll_events", &arguments, client, true).await {
            Ok(answer) => {
                arguments["cursor"] = answer["cursor"].clone();
                let events = answer["events"].as_array().map(Vec::as_slice).unwrap_or_default();
                let moved: BTreeSet<&String> = feeds
                    .iter()
                    .filter(|(_, feed)| events.iter().any(|event| feed.holds(event)))
                    .map(|(uri, _)| uri)
                    .collect();
                for uri in moved {
                    if !tell(uri.clone()).await {
                        return Ok(());
                    }
                }
                if answer["more"] == json!(true) {
                    continue;
                }
            }
            // It is away for a while: what happened meanwhile is behind the cursor.
            Err(Trouble::Unreachable | Trouble::Slow | Trouble::Busy | Trouble::Failed(_)) => {}
            Err(trouble) => return Err(trouble),
        }
        tokio::time::sleep(PATIENT_LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_feeds() {
        for (uri, feed) in [
            ("odoo://events", Some(Feed::All)),
            ("odoo://subscription/7/events", Some(Feed::Of(7))),
            ("odoo://subscription/07/events", None),
            ("odoo://subscription/-7/events", None),
            ("odoo://subscription//events", None),
            ("odoo://subscription/7", None),
            ("odoo://subscription/99999999999999999999/events", None),
        ] {
            assert_eq!(Feed::parse(uri), feed, "{uri}");
        }
    }
}
