//! `event.submit`: durable before the answer, each event for itself.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use webhook_api::{
    Caller, Error, Given, Wire,
    event::{Event, EventPage, Events, ReadEvents, SubmitEvents, Submitted, SubmittedEvent},
    field::{Count, SubmissionStatus},
    read,
};
use webhook_log::{Acceptance, Submission, Unavailable};
use webhook_model::{Invalid, InvalidKind, limits};

use super::{
    error::RpcError,
    service::{Service, limit},
    wire,
};

/// Events of so many bytes are accepted in one commit.
const PART_BYTES: usize = 2 << 20;

/// So many ids of a call are logged.
const LOGGED_IDS: usize = 10;

impl Events for Service {
    async fn submit(&self, _: &Caller, call: SubmitEvents<'_>) -> Result<Submitted, RpcError> {
        let started = Instant::now();
        let events = call.events.items("events")?;
        if events.is_empty() || events.len() > limits::EVENTS_PER_CALL {
            let message = format!("expected 1 to {} events, got {}", limits::EVENTS_PER_CALL, events.len());
            return Err(Invalid::new(InvalidKind::LimitExceeded, "events", message).into());
        }
        let (mut results, mut accepted_to) = (Vec::with_capacity(events.len()), Ok(0));
        for part in parts(&events) {
            accepted_to = self.submit_part(part, &mut results).await;
            if accepted_to.is_err() {
                break; // the caller sends all of it again, and is told what was accepted
            }
        }
        self.vitals.count_submitted(results.iter().map(|result| result.status.0));
        log_submit(&results, started.elapsed());
        Ok(Submitted { results, accepted_to: Wire(Count(accepted_to?)) })
    }

    async fn read(&self, _: &Caller, wish: ReadEvents) -> Result<EventPage, RpcError> {
        let owner = wish.subscription_id.0;
        let after = wish.after.get().map_or_else(String::new, |cursor| cursor.0);
        let limit = limit(wish.limit);
        if self.log.subscriptions().get(owner).is_none() {
            return Err(RpcError::not_found("subscription_id", "subscription"));
        }
        let mut page = self.page().await?;
        let take = |body: &[u8]| {
            // Its text was JSON when it came; what is not any more is left out.
            let Ok(text) = serde_json::from_slice(body) else { return true };
            page.take(text)
        };
        let found = self.log.read(|snapshot| snapshot.read_events(owner, &after, limit, take))?;
        let found = found.map_err(RpcError::of_cursor)?;
        Ok(EventPage { events: page.items, cursor: found.cursor, more: found.more })
    }
}

impl Service {
    /// Adds what became of each; returns the log's count.
    async fn submit_part(
        &self,
        events: &[&RawValue],
        results: &mut Vec<SubmittedEvent>,
    ) -> Result<u64, RpcError> {
        let read: Vec<Result<Submission, Error>> = events.iter().map(|text| read_event(text.get())).collect();
        let good: Vec<Submission> = read.iter().filter_map(|event| event.as_ref().ok().cloned()).collect();
        let now = self.vitals.now();
        // Enqueued before the first await: a caller that hangs up cannot lose what was handed in.
        let accepted = self.log.accept(good, now, self.vitals.oldest_event(now));
        let accepted = accepted.await?;
        let accepted_to = accepted.accepted_to;
        let mut accepted = accepted.each.into_iter();
        results.extend(events.iter().zip(read).map(|(text, event)| match event {
            Ok(Submission { event_id, .. }) => result(event_id.to_string(), accepted.next()),
            Err(error) => rejected(told_id(text.get()), error),
        }));
        Ok(accepted_to)
    }
}

/// In their order. What is read and written of one lies several times in memory, so the next one begins when it is on
/// disk; a caller that sends the same again is told what was.
fn parts<'e, 'r>(events: &'e [&'r RawValue]) -> impl Iterator<Item = &'e [&'r RawValue]> {
    let mut bytes = 0;
    events.chunk_by(move |_, next| {
        bytes += next.get().len();
        let fits = bytes <= PART_BYTES;
        bytes *= usize::from(fits);
        fits
    })
}

/// One line per call: ids, counts, time. Never what an event holds.
fn log_submit(results: &[SubmittedEvent], duration: Duration) {
    let of = |wanted| results.iter().filter(move |result| result.status.0 == wanted).count();
    let ids: Vec<&str> = results.iter().take(LOGGED_IDS).filter_map(|r| r.event_id.as_deref()).collect();
    let mut errors: Vec<&str> =
        results.iter().filter_map(|r| r.error.0.as_ref()).map(|error| error.data.kind.0.as_str()).collect();
    errors.sort_unstable();
    errors.dedup();
    tracing::info!(
        event_ids = ids.join(","),
        accepted = of(SubmissionStatus::Accepted),
        duplicate = of(SubmissionStatus::Duplicate),
        rejected = of(SubmissionStatus::Rejected),
        error_kinds = errors.join(","),
        duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        "events submitted"
    );
}

fn read_event(text: &str) -> Result<Submission, Error> {
    if text.len() > limits::EVENT_BYTES {
        return Err(wire::too_large(text.len()).into());
    }
    let event: Event = read::from_text(text, "event")?;
    let at = event.timestamp.0.at;
    Ok(wire::submission(&wire::event(event), at)?)
}

/// An event's id alone; nothing else of it is held.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
}

/// The id of an event that could not be read otherwise, as far as there is one, so that the caller can tell which.
fn told_id(text: &str) -> Option<String> {
    let named: Named<'_> = serde_json::from_str(text).ok()?;
    (named.id.len() <= 64).then(|| named.id.to_lowercase())
}

fn result(event_id: String, acceptance: Option<Acceptance>) -> SubmittedEvent {
    let status = match acceptance {
        Some(Acceptance::Accepted) => SubmissionStatus::Accepted,
        Some(Acceptance::Duplicate) => SubmissionStatus::Duplicate,
        Some(Acceptance::Rejected(rejection)) => {
            return rejected(Some(event_id), RpcError::from(rejection).into());
        }
        None => return rejected(Some(event_id), RpcError::from(Unavailable).into()),
    };
    SubmittedEvent { event_id: Some(event_id), status: Wire(status), error: Given::default() }
}

fn rejected(event_id: Option<String>, error: Error) -> SubmittedEvent {
    SubmittedEvent { event_id, status: Wire(SubmissionStatus::Rejected), error: error.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    #[test]
    fn large_calls_are_accepted_in_parts_in_their_order_and_none_is_left_out() {
        for sizes in [vec![10; 1000], vec![200 << 10; 80], vec![1 << 20, 3, 1 << 20, 5, 2 << 20, 7], vec![1]]
        {
            let events: Vec<Box<RawValue>> =
                sizes.iter().map(|size| to_raw_value(&"x".repeat(*size)).unwrap()).collect();
            let events: Vec<&RawValue> = events.iter().map(|event| &**event).collect();
            let parts: Vec<_> = parts(&events).collect();
            let again: Vec<&RawValue> = parts.concat();
            assert!(
                again.iter().zip(&events).all(|(a, b)| std::ptr::eq(*a, *b)) && again.len() == events.len()
            );
            let bytes = |part: &[&RawValue]| part.iter().map(|event| event.get().len()).sum::<usize>();
            let largest = sizes.iter().max().unwrap() + 2;
            assert!(parts.iter().all(|part| bytes(part) <= PART_BYTES + largest));
            assert!(
                parts.windows(2).all(|two| bytes(two[0]) + bytes(two[1]) > PART_BYTES),
                "no more than needed"
            );
        }
    }
}
