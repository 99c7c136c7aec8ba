//! `event.submit`: durable before the answer, each event for itself.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use webhook_log::{Acceptance, Submission};
use webhook_model::{Invalid, InvalidKind, SubscriptionId, json as strict, limits};

use super::{
    Answer, Params, Service,
    error::RpcError,
    fields::{self, Fields},
    wire,
};

/// So many ids of a call are logged.
const LOGGED_IDS: usize = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submit<'a> {
    #[serde(borrow)]
    events: &'a RawValue,
}

/// `event.submit`
pub async fn submit(service: &Service, params: Params<'_>) -> Answer {
    let started = Instant::now();
    let call: Submit<'_> = serde_json::from_str(params.text).map_err(|e| RpcError::malformed(&e))?;
    let events = super::items(call.events, "events")?;
    if events.is_empty() || events.len() > limits::EVENTS_PER_CALL {
        let message = format!("expected 1 to {} events, got {}", limits::EVENTS_PER_CALL, events.len());
        return Err(Invalid::new(InvalidKind::LimitExceeded, "events", message).into());
    }
    let read: Vec<Result<Submission, RpcError>> = events.iter().map(|text| read_event(text.get())).collect();
    let good: Vec<Submission> = read.iter().filter_map(|event| event.as_ref().ok().cloned()).collect();
    let now = service.now();
    // Enqueued before the first await: a caller that hangs up cannot lose what it handed in.
    let accepted = service.log.accept(good, now, service.oldest_event(now));
    let accepted = accepted.await?;
    let accepted_to = accepted.accepted_to.to_string();
    let mut accepted = accepted.each.into_iter();
    let results: Vec<Value> = events
        .iter()
        .zip(read)
        .map(|(text, event)| match event {
            Ok(submission) => result(json!(submission.event_id), accepted.next()),
            Err(error) => json!({"event_id": told_id(text.get()), "status": "rejected", "error": error}),
        })
        .collect();
    service.count_submitted(&results);
    log_submit(&results, started.elapsed());
    Ok(json!({"results": results, "accepted_to": accepted_to}).into())
}

/// `event.read`
pub async fn read(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let owner: SubscriptionId = fields.required("subscription_id", fields::ID, fields::id)?;
    let after =
        fields.optional("after", "the `cursor` of a page, or \"\"", fields::string)?.unwrap_or_default();
    let limit = super::limit(&mut fields)?;
    fields.finish()?;
    if service.log.subscriptions().get(owner).is_none() {
        return Err(RpcError::not_found("subscription_id", "subscription"));
    }
    let (mut events, mut bytes) = (Vec::new(), 0);
    let take = |body: &[u8]| {
        // Its text was JSON when it came; what is not any more is left out.
        let Ok(text) = serde_json::from_slice::<Box<RawValue>>(body) else { return true };
        bytes += body.len() + 1;
        let fits = bytes <= limits::LIST_ANSWER_BYTES || events.is_empty();
        events.extend(fits.then_some(text));
        fits
    };
    let found = service.log.read(|snapshot| snapshot.read_events(owner, &after, limit, take))?;
    let found = found.map_err(RpcError::of_cursor)?;
    let events: Vec<&RawValue> = events.iter().map(|text| &**text).collect();
    super::raw(&json!({"cursor": found.cursor, "more": found.more}), "events", &events)
}

/// One line per call: ids, counts, time. Never what an event holds.
fn log_submit(results: &[Value], duration: Duration) {
    let of = |wanted: &'static str| results.iter().filter(move |result| result["status"] == wanted);
    let ids: Vec<&str> = results.iter().take(LOGGED_IDS).filter_map(|r| r["event_id"].as_str()).collect();
    let mut errors: Vec<&str> = of("rejected").filter_map(|r| r["error"]["data"]["kind"].as_str()).collect();
    errors.sort_unstable();
    errors.dedup();
    tracing::info!(
        event_ids = ids.join(","),
        accepted = of("accepted").count(),
        duplicate = of("duplicate").count(),
        rejected = of("rejected").count(),
        error_kinds = errors.join(","),
        duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        "events submitted"
    );
}

fn read_event(text: &str) -> Result<Submission, RpcError> {
    if text.len() > limits::EVENT_BYTES {
        return Err(wire::too_large(text.len()).into());
    }
    let value = strict::parse(text).map_err(|error| RpcError::malformed(&error))?;
    Ok(wire::event(value, None)?.into_submission()?)
}

/// An event's id alone; nothing else of it is held.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
}

/// The id of an event that could not be read otherwise, as far as there is one, so that the caller can tell which.
fn told_id(text: &str) -> Value {
    let named: Option<Named<'_>> = serde_json::from_str(text).ok();
    named.filter(|named| named.id.len() <= 64).map_or(Value::Null, |named| json!(named.id.to_lowercase()))
}

fn result(event_id: Value, acceptance: Option<Acceptance>) -> Value {
    match acceptance {
        Some(Acceptance::Accepted) => json!({"event_id": event_id, "status": "accepted"}),
        Some(Acceptance::Duplicate) => json!({"event_id": event_id, "status": "duplicate"}),
        Some(Acceptance::Rejected(rejection)) => {
            json!({"event_id": event_id, "status": "rejected", "error": RpcError::from(rejection)})
        }
        None => {
            json!({"event_id": event_id, "status": "rejected", "error": RpcError::from(webhook_log::Unavailable)})
        }
    }
}
