//! `delivery.*`: what became of events, and another try.

use serde_json::{Value, json, value::RawValue};
use webhook_dispatch::Cancelled;
use webhook_log::{Again, ListQuery, Redelivered, Redelivery, TestEvent};
use webhook_model::{
    Attempt, AttemptStatus, EventFilter, EventId, EventKind, Invalid, InvalidKind, Millis, SubscriptionId,
    limits,
};

use super::{
    Answer, Caller, Params, Service,
    error::{Kind, RpcError},
    fields::{self, Fields},
    wire::{self, Sample, WireAttempt},
};

/// Rows of failed attempts that one commit of `redeliver_many` looks at, so that deliveries go on meanwhile.
const REDELIVER_STEP: usize = 500;

/// How long the reason of a cancellation may be.
const REASON_BYTES: usize = 1000;

/// Serialised attempts, up to the size of an answer.
#[derive(Default)]
struct Page {
    attempts: Vec<Box<RawValue>>,
    bytes: usize,
}

impl Page {
    fn take(&mut self, attempt: &Attempt) -> bool {
        let Ok(text) = serde_json::value::to_raw_value(&WireAttempt::from(attempt)) else { return true };
        self.bytes += text.get().len() + 1;
        if self.bytes > limits::LIST_ANSWER_BYTES && !self.attempts.is_empty() {
            return false;
        }
        self.attempts.push(text);
        true
    }

    fn answer(&self, rest: &Value) -> Answer {
        let attempts: Vec<&RawValue> = self.attempts.iter().map(|text| &**text).collect();
        super::raw(rest, "attempts", &attempts)
    }
}

fn event_id(fields: &mut Fields) -> Result<EventId, Invalid> {
    fields.required("event_id", fields::ID, fields::id)
}

fn subscription_id(fields: &mut Fields) -> Result<SubscriptionId, Invalid> {
    fields.required("subscription_id", fields::ID, fields::id)
}

/// `delivery.get`
pub async fn get(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let id = event_id(&mut fields)?;
    let after = match fields.take("after") {
        None | Some(Value::Null) => 0,
        Some(value) => value
            .as_u64()
            .ok_or_else(|| Invalid::params("after", "expected an attempt's number: the `next` of a page"))?,
    };
    let limit = super::limit(&mut fields)?;
    fields.finish()?;
    let mut page = Page::default();
    let after = u32::try_from(after).unwrap_or(u32::MAX);
    let take = |attempt: &Attempt| page.attempts.len() < limit && page.take(attempt);
    let found = service.log.read(|snapshot| snapshot.attempts_after(id, after, take))?;
    let found = found.ok_or_else(|| RpcError::not_found("event_id", "event"))?;
    page.answer(&json!({"next": found.next}))
}

/// `delivery.list`
pub async fn list(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let subscription_id = match fields.take("subscription_id") {
        None | Some(Value::Null) => None,
        Some(value) => Some(
            fields::id(&value)
                .ok_or_else(|| Invalid::params("subscription_id", format!("expected {}", fields::ID)))?,
        ),
    };
    let status = match fields.take("status") {
        None | Some(Value::Null) => None,
        Some(value) => Some(
            value
                .as_str()
                .and_then(AttemptStatus::parse)
                .ok_or_else(|| Invalid::params("status", "expected pending, success or failed"))?,
        ),
    };
    let after = match fields.take("after") {
        None | Some(Value::Null) => None,
        Some(value) => Some(
            read_place(&value).ok_or_else(|| Invalid::params("after", "expected the `next` of a page"))?,
        ),
    };
    let limit = super::limit(&mut fields)?;
    fields.finish()?;
    let mut page = Page::default();
    let query = ListQuery { subscription_id, status, after, limit };
    let listed = service.log.read(|snapshot| snapshot.list(query, |attempt| page.take(&attempt)))?;
    page.answer(&json!({"next": listed.next.map(|(seq, number)| format!("{seq}.{number}"))}))
}

fn read_place(value: &Value) -> Option<(u64, u32)> {
    let (seq, number) = value.as_str()?.split_once('.')?;
    Some((seq.parse().ok()?, number.parse().ok()?))
}

/// `delivery.changes`
pub async fn changes(service: &Service, caller: &Caller, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let after = fields.required("after", "a cursor, \"\" for the beginning", fields::string)?;
    let limit = super::limit(&mut fields)?;
    fields.finish()?;
    let mut page = Page::default();
    let found =
        service.log.read(|snapshot| snapshot.changes(&after, limit, |attempt| page.take(&attempt)))?;
    let found = found.map_err(RpcError::of_cursor)?;
    if !caller.is_admin {
        service.pulled(&after, &found.cursor);
    }
    page.answer(&json!({"cursor": found.cursor, "more": found.more, "log_id": &*service.log.log_id()}))
}

/// `delivery.redeliver`
pub async fn redeliver(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let id = event_id(&mut fields)?;
    fields.finish()?;
    match service.log.redeliver(id, service.now()).await? {
        Redelivery::Started(attempt) => Ok(json!(WireAttempt::from(&attempt)).into()),
        Redelivery::NotFound => Err(RpcError::not_found("event_id", "event")),
        Redelivery::Conflict => {
            Err(RpcError::new(Kind::Conflict, "event_id: an attempt is pending already; wait for it"))
        }
        Redelivery::Inactive => Err(RpcError::new(
            Kind::Inactive,
            "the subscription is not active or was deleted; activate it first",
        )),
    }
}

/// Which deliveries `delivery.redeliver_many` means.
enum Meant {
    Since(Millis),
    Events(Vec<EventId>),
}

/// `delivery.redeliver_many`
pub async fn redeliver_many(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let owner = subscription_id(&mut fields)?;
    let since = fields.optional("since", "an RFC 3339 time such as 2026-11-23T10:15:00Z", |value| {
        Millis::parse_rfc3339(value.as_str()?)
    })?;
    let events = event_ids(&mut fields)?;
    let is_dry_run = fields.optional("dry_run", "true or false", Value::as_bool)?.unwrap_or(false);
    fields.finish()?;
    let meant = match (since, events) {
        (Some(since), None) => Meant::Since(since),
        (None, Some(events)) => Meant::Events(events),
        (None, None) => return Err(Invalid::params("since", "is missing; give it, or event_ids").into()),
        _ => {
            return Err(Invalid::params("event_ids", "cannot be given beside since; give one of them").into());
        }
    };
    let set = service.log.subscriptions();
    let subscription =
        set.get(owner).ok_or_else(|| RpcError::not_found("subscription_id", "subscription"))?;
    if !subscription.active && !is_dry_run {
        return Err(RpcError::new(
            Kind::Inactive,
            "subscription_id: the subscription is not active; activate it first",
        ));
    }
    let done = redeliver_each(service, owner, meant, is_dry_run).await?;
    Ok(json!({"count": done.started, "skipped": done.skipped}).into())
}

fn event_ids(fields: &mut Fields) -> Result<Option<Vec<EventId>>, Invalid> {
    let expected = "a list of 1 to 1000 ids of events";
    let ids = fields.optional("event_ids", expected, |value| {
        value.as_array()?.iter().map(fields::id).collect::<Option<Vec<EventId>>>()
    })?;
    if ids.as_ref().is_some_and(|ids| ids.is_empty() || ids.len() > limits::EVENTS_PER_CALL) {
        let message = format!("expected {expected}");
        return Err(Invalid::new(InvalidKind::LimitExceeded, "event_ids", message));
    }
    Ok(ids)
}

/// In steps, each with a commit of its own.
async fn redeliver_each(
    service: &Service,
    owner: SubscriptionId,
    meant: Meant,
    is_dry_run: bool,
) -> Result<Redelivered, RpcError> {
    let how = || Again { now: service.now(), is_dry_run };
    let mut done = Redelivered::default();
    let mut add = |step: Redelivered| {
        done.started += step.started;
        done.skipped += step.skipped;
    };
    match meant {
        Meant::Events(events) => add(service.log.redeliver_events(owner, events, how()).await?),
        Meant::Since(since) => {
            let mut after = Some(0);
            while let Some(from) = after {
                let step = service.log.redeliver_failed(owner, since, from, REDELIVER_STEP, how());
                let (step, next) = step.await?;
                add(step);
                after = next;
            }
        }
    }
    Ok(done)
}

/// `delivery.retry_now`
pub async fn retry_now(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let id = event_id(&mut fields)?;
    fields.finish()?;
    let attempt = service.log.retry_now(id, service.now()).await?.ok_or_else(nothing_pending)?;
    Ok(json!(WireAttempt::from(&attempt)).into())
}

fn nothing_pending() -> RpcError {
    RpcError::not_found("event_id", "pending delivery")
}

/// `delivery.cancel`
pub async fn cancel(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let id = event_id(&mut fields)?;
    let reason = match fields.take("reason") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let text = value.as_str().filter(|text| text.len() <= REASON_BYTES);
            let text =
                text.ok_or_else(|| Invalid::params("reason", "expected a text of at most 1000 bytes"))?;
            Some(text.to_owned()).filter(|text| !text.is_empty())
        }
    };
    fields.finish()?;
    let pending = service.log.read(|snapshot| snapshot.pending_attempt(id))?;
    let (seq, attempt) = pending.ok_or_else(nothing_pending)?;
    let reason = reason.unwrap_or_else(|| "the delivery was cancelled".to_owned());
    match service.canceller.cancel(attempt.subscription_id, seq, attempt.number, reason).await? {
        Cancelled::Recorded(attempt) => Ok(json!(WireAttempt::from(&*attempt)).into()),
        Cancelled::UnderWay => Err(RpcError::new(
            Kind::Conflict,
            "event_id: the attempt is under way and can't be cancelled any more; wait for its end",
        )),
        Cancelled::Over => Err(nothing_pending()),
    }
}

/// `delivery.test`
pub async fn test(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let owner = subscription_id(&mut fields)?;
    let event = fields.take("event").unwrap_or_else(|| json!({}));
    fields.finish()?;
    let set = service.log.subscriptions();
    let subscription =
        set.get(owner).ok_or_else(|| RpcError::not_found("subscription_id", "subscription"))?;
    let kind = match subscription.event_type {
        EventFilter::Create => EventKind::Create,
        EventFilter::Unlink => EventKind::Unlink,
        EventFilter::Write | EventFilter::All => EventKind::Write,
    };
    let now = service.now();
    let sample = Sample {
        id: service.new_id(),
        subscription_id: Some(owner),
        model: subscription.model.clone(),
        kind,
        now,
    };
    let mut read = wire::event(event, Some(sample))?;
    if read.event.subscription_id != owner {
        return Err(Invalid::params("event.subscription_id", "is not the subscription that is tested").into());
    }
    read.event.test = true;
    match service.log.test(read.into_submission()?, now).await? {
        TestEvent::Started(attempt) => Ok(json!(WireAttempt::from(&attempt)).into()),
        TestEvent::NotFound => Err(RpcError::not_found("subscription_id", "subscription")),
        TestEvent::Conflict => {
            Err(RpcError::new(Kind::Conflict, "event.id: an event with this id exists; make a new id"))
        }
        TestEvent::Inactive => Err(RpcError::new(
            Kind::Inactive,
            "subscription_id: the subscription is not active; activate it first",
        )),
    }
}
