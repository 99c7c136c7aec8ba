//! `delivery.*`: what became of events, and another try.

use webhook_api::{
    Caller, ErrorKind, Json, Wire,
    delivery::{
        Attempt, AttemptPage, CancelDelivery, ChangePage, Deliveries, DeliveryChanges, DeliveryPage,
        GetDelivery, ListDeliveries, Redeliver, RedeliverMany, Redelivered, RetryNow, SendTest,
    },
    event::Sample,
    field::{EventIds, ListPlace, LogId, OnWire, Whole},
};
use webhook_dispatch::Cancelled;
use webhook_log::{Again, ListQuery, Redelivery, TestEvent};
use webhook_model::{EventFilter, EventId, EventKind, Invalid, InvalidKind, Millis, SubscriptionId, limits};

use super::{
    error::RpcError,
    service::{Service, limit},
    wire,
};

/// Rows of failed attempts that one commit of `redeliver_many` looks at, so that deliveries go on meanwhile.
const REDELIVER_STEP: usize = 500;

impl Deliveries for Service {
    async fn get(&self, _: &Caller, wish: GetDelivery) -> Result<DeliveryPage, RpcError> {
        let limit = limit(wish.limit);
        let after = wish.after.get().map_or(0, |next| u32::try_from(next.0).unwrap_or(u32::MAX));
        let mut page = self.page().await?;
        let take = |attempt: &webhook_model::Attempt| {
            page.items.len() < limit && page.take(Json::of(&Attempt::from(attempt.clone())))
        };
        let found = self.log.read(|snapshot| snapshot.attempts_after(wish.event_id.0, after, take))?;
        let found = found.ok_or_else(|| RpcError::not_found("event_id", "event"))?;
        let next = found.next.map(|number| Wire(Whole(number.into())));
        Ok(DeliveryPage { attempts: page.items, next })
    }

    async fn list(&self, _: &Caller, wish: ListDeliveries) -> Result<AttemptPage, RpcError> {
        let query = ListQuery {
            subscription_id: wish.subscription_id.get(),
            status: wish.status.get(),
            after: wish.after.get().map(|ListPlace(seq, number)| (seq, number)),
            limit: limit(wish.limit),
        };
        let mut page = self.page().await?;
        let take = |attempt| page.take(Json::of(&Attempt::from(attempt)));
        let listed = self.log.read(|snapshot| snapshot.list(query, take))?;
        let next = listed.next.map(|(seq, number)| Wire(ListPlace(seq, number)));
        Ok(AttemptPage { attempts: page.items, next })
    }

    async fn changes(&self, caller: &Caller, wish: DeliveryChanges) -> Result<ChangePage, RpcError> {
        let (after, limit) = (wish.after.0.0, limit(wish.limit));
        let mut page = self.page().await?;
        let take = |attempt| page.take(Json::of(&Attempt::from(attempt)));
        let found = self.log.read(|snapshot| snapshot.changes(&after, limit, take))?;
        let found = found.map_err(RpcError::of_cursor)?;
        if !caller.is_admin {
            self.vitals.pulled(&after, &found.cursor);
        }
        let log_id = Wire(LogId(self.log.log_id().to_string()));
        Ok(ChangePage { attempts: page.items, cursor: found.cursor, more: found.more, log_id })
    }

    async fn redeliver(&self, _: &Caller, wish: Redeliver) -> Result<Attempt, RpcError> {
        match self.log.redeliver(wish.event_id.0, self.vitals.now()).await? {
            Redelivery::Started(attempt) => Ok(attempt.into()),
            Redelivery::NotFound => Err(RpcError::not_found("event_id", "event")),
            Redelivery::Conflict => Err(RpcError::new(
                ErrorKind::Conflict,
                "event_id: an attempt is pending already; wait for it",
            )),
            Redelivery::Inactive => Err(RpcError::new(
                ErrorKind::Inactive,
                "the subscription is not active or was deleted; activate it first",
            )),
        }
    }

    async fn redeliver_many(&self, _: &Caller, wish: RedeliverMany) -> Result<Redelivered, RpcError> {
        let (owner, is_dry_run) = (wish.subscription_id.0, wish.dry_run.0.unwrap_or(false));
        let meant = meant(wish.since.get(), wish.event_ids.get())?;
        let set = self.log.subscriptions();
        let subscription =
            set.get(owner).ok_or_else(|| RpcError::not_found("subscription_id", "subscription"))?;
        if !subscription.active && !is_dry_run {
            return Err(not_active());
        }
        let done = redeliver_each(self, owner, meant, is_dry_run).await?;
        Ok(Redelivered { count: done.started, skipped: done.skipped })
    }

    async fn retry_now(&self, _: &Caller, wish: RetryNow) -> Result<Attempt, RpcError> {
        let attempt = self.log.retry_now(wish.event_id.0, self.vitals.now()).await?;
        Ok(attempt.ok_or_else(nothing_pending)?.into())
    }

    async fn cancel(&self, _: &Caller, wish: CancelDelivery) -> Result<Attempt, RpcError> {
        let reason = wish.reason.get().map(|reason| reason.0).filter(|text| !text.is_empty());
        let reason = reason.unwrap_or_else(|| "the delivery was cancelled".to_owned());
        let pending = self.log.read(|snapshot| snapshot.pending_attempt(wish.event_id.0))?;
        let (seq, attempt) = pending.ok_or_else(nothing_pending)?;
        match self.canceller.cancel(attempt.subscription_id, seq, attempt.number, reason).await? {
            Cancelled::Recorded(attempt) => Ok((*attempt).into()),
            Cancelled::UnderWay => Err(RpcError::new(
                ErrorKind::Conflict,
                "event_id: the attempt is under way and can't be cancelled any more; wait for its end",
            )),
            Cancelled::Over => Err(nothing_pending()),
        }
    }

    async fn test(&self, _: &Caller, wish: SendTest) -> Result<Attempt, RpcError> {
        let owner = wish.subscription_id.0;
        let set = self.log.subscriptions();
        let subscription =
            set.get(owner).ok_or_else(|| RpcError::not_found("subscription_id", "subscription"))?;
        let kind = match subscription.event_type {
            EventFilter::Create => EventKind::Create,
            EventFilter::Unlink => EventKind::Unlink,
            EventFilter::Write | EventFilter::All => EventKind::Write,
        };
        let now = self.vitals.now();
        let sample = Sample {
            id: EventId::from_u128(uuid::Uuid::now_v7().as_u128()),
            subscription_id: owner,
            model: subscription.model.clone(),
            kind,
            timestamp: now.into(),
        };
        let event = wish.event.0.unwrap_or_default().or(sample);
        let at = event.timestamp.0.at;
        let mut event = wire::event(event);
        if event.subscription_id != owner {
            let message = "is not the subscription that is tested";
            return Err(Invalid::params("event.subscription_id", message).into());
        }
        event.test = true;
        match self.log.test(wire::submission(&event, at)?, now).await? {
            TestEvent::Started(attempt) => Ok(attempt.into()),
            TestEvent::NotFound => Err(RpcError::not_found("subscription_id", "subscription")),
            TestEvent::Conflict => Err(RpcError::new(
                ErrorKind::Conflict,
                "event.id: an event with this id exists; make a new id",
            )),
            TestEvent::Inactive => Err(not_active()),
        }
    }
}

fn nothing_pending() -> RpcError {
    RpcError::not_found("event_id", "pending delivery")
}

fn not_active() -> RpcError {
    RpcError::new(ErrorKind::Inactive, "subscription_id: the subscription is not active; activate it first")
}

/// Which deliveries `delivery.redeliver_many` means.
enum Meant {
    Since(Millis),
    Events(Vec<EventId>),
}

fn meant(since: Option<Millis>, events: Option<EventIds>) -> Result<Meant, Invalid> {
    match (since, events) {
        (_, Some(EventIds(ids))) if ids.is_empty() || ids.len() > limits::EVENTS_PER_CALL => {
            Err(Invalid::new(
                InvalidKind::LimitExceeded,
                "event_ids",
                format!("expected {}", EventIds::expected()),
            ))
        }
        (Some(since), None) => Ok(Meant::Since(since)),
        (None, Some(EventIds(ids))) => Ok(Meant::Events(ids)),
        (None, None) => Err(Invalid::params("since", "is missing; give it, or event_ids")),
        (Some(_), Some(_)) => {
            Err(Invalid::params("event_ids", "cannot be given beside since; give one of them"))
        }
    }
}

/// In steps, each with a commit of its own.
async fn redeliver_each(
    service: &Service,
    owner: SubscriptionId,
    meant: Meant,
    is_dry_run: bool,
) -> Result<webhook_log::Redelivered, RpcError> {
    let how = || Again { now: service.vitals.now(), is_dry_run };
    let mut done = webhook_log::Redelivered::default();
    let mut add = |step: webhook_log::Redelivered| {
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
