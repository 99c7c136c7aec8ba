//! `event.submit`: durable before the answer, each event for itself.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use webhook_log::{Acceptance, Submission};
use webhook_model::{Invalid, InvalidKind, json as strict, limits};

use super::{Answer, Params, Service, error::RpcError, wire};

/// So many ids of a call are logged.
const LOGGED_IDS: usize = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submit<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// `event.submit`
pub async fn submit(service: &Service, params: Params<'_>) -> Answer {
    let started = Instant::now();
    let call: Submit<'_> = serde_json::from_str(params.text).map_err(|e| RpcError::malformed(&e))?;
    if call.events.is_empty() || call.events.len() > limits::EVENTS_PER_CALL {
        let message = format!("expected 1 to {} events, got {}", limits::EVENTS_PER_CALL, call.events.len());
        return Err(Invalid::new(InvalidKind::LimitExceeded, "events", message).into());
    }
    let read: Vec<Result<Submission, RpcError>> =
        call.events.iter().map(|text| read_event(text.get())).collect();
    let good: Vec<Submission> = read.iter().filter_map(|event| event.as_ref().ok().cloned()).collect();
    let now = service.now();
    // Enqueued before the first await: a caller that hangs up cannot lose what it handed in.
    let accepted = service.log.accept(good, now, service.oldest_event(now));
    let mut accepted = accepted.await?.into_iter();
    let results: Vec<Value> = call
        .events
        .iter()
        .zip(read)
        .map(|(text, event)| match event {
            Ok(submission) => result(json!(submission.event_id), accepted.next()),
            Err(error) => json!({"event_id": told_id(text.get()), "status": "rejected", "error": error}),
        })
        .collect();
    service.count_submitted(&results);
    log_submit(&results, started.elapsed());
    Ok(json!({"results": results}).into())
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

/// The id of an event that could not be read otherwise, as far as there is one, so that the caller can tell which.
fn told_id(text: &str) -> Value {
    let loose: Option<Value> = serde_json::from_str(text).ok();
    let id = loose.as_ref().and_then(|event| event.get("id")).and_then(Value::as_str);
    id.filter(|id| id.len() <= 64).map_or(Value::Null, |id| json!(id.to_lowercase()))
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
