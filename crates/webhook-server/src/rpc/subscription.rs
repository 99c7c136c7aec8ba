//! `subscription.*`: who wants which events, and where to.

use std::{collections::BTreeSet, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use webhook_api::{
    Caller, ErrorKind, Given, Json, Wire,
    field::{Headers, NextSubscription, SecretText, UrlText, Whole},
    read,
    room::Together,
    subscription::{
        self, CheckSubscription, Checked, CreateSubscription, DeleteSubscription, Deleted, GetSubscription,
        ListSubscriptions, NewSubscription, Refused, SubscriptionFields, SubscriptionPage, Subscriptions,
        SyncSubscriptions, Synced, UpdateSubscription,
    },
};
use webhook_dispatch::template::Template;
use webhook_log::SubscriptionSet;
use webhook_model::{
    CustomHeaders, Dialect, Endpoint, EndpointUrl, EventFilter, Invalid, Millis, PreviousSecret,
    SigningSecret, Subscription, SubscriptionId, Success, endpoint_url::UrlPolicy,
};

use super::{
    error::RpcError,
    service::{Service, limit},
    wire,
};

/// The fields of a subscription as a call gave them, each of them checked. An outer `None` is a field that was left out.
#[derive(Debug, Clone)]
struct Change {
    name: Option<String>,
    model: Option<String>,
    event_type: Option<EventFilter>,
    url: Option<Option<EndpointUrl>>,
    secret: Option<Option<SigningSecret>>,
    keep_previous: Option<Duration>,
    headers: Option<CustomHeaders>,
    success: Option<Option<Success>>,
    payload_template: Option<Option<Value>>,
    dialect: Option<Dialect>,
    active: Option<bool>,
    paused: Option<bool>,
    timeout: Option<Duration>,
    max_in_flight: Option<u8>,
    max_attempts: Option<u8>,
}

impl Change {
    fn read(given: SubscriptionFields, policy: &UrlPolicy) -> Result<Self, Invalid> {
        Ok(Self {
            name: given.name.get().map(|name| name.0),
            model: given.model.get().map(|model| model.0),
            event_type: given.event_type.get(),
            url: given.url.0.map(|url| read_url(url, policy)).transpose()?,
            secret: given.secret.0.map(read_secret).transpose()?,
            keep_previous: given.keep_previous_s.get().map(|seconds| Duration::from_secs(seconds.0)),
            headers: given.headers.0.map(read_headers).transpose()?,
            success: given.success.get().map(|condition| Success::parse(&condition.0)).transpose()?,
            payload_template: given
                .payload_template
                .get()
                .map(|value| Some(value).filter(|value| !value.is_null())),
            dialect: given.dialect.get(),
            active: given.active.0,
            paused: given.paused.0,
            timeout: given.timeout_s.get().map(|seconds| Duration::from_secs(seconds.0)),
            max_in_flight: small(given.max_in_flight),
            max_attempts: small(given.max_attempts),
        })
    }

    /// A complete subscription: absent fields take their defaults, and must not be those without one.
    fn into_new(self, id: SubscriptionId) -> Result<Subscription, Invalid> {
        let missing = |field: &str| Invalid::params(field, "is missing");
        let model = self.model.ok_or_else(|| missing("model"))?;
        let event_type = self.event_type.unwrap_or(EventFilter::All);
        checked(Subscription {
            id,
            name: self.name.unwrap_or_else(|| format!("{model} {}", event_type.as_str())),
            model,
            event_type,
            endpoint: Endpoint {
                url: self.url.ok_or_else(|| missing("url"))?,
                previous_secret: None,
                secret: self.secret.flatten(),
                headers: self.headers.unwrap_or_default(),
                timeout: self.timeout.unwrap_or(Duration::from_secs(10)),
                max_in_flight: self.max_in_flight.unwrap_or(4),
            },
            payload_template: self.payload_template.flatten(),
            dialect: self.dialect.unwrap_or(Dialect::Auto),
            active: self.active.unwrap_or(true),
            paused: self.paused.unwrap_or(false),
            max_attempts: self.max_attempts.unwrap_or(1),
            success: self.success.flatten(),
        })
    }

    /// The stored subscription with the given fields replaced. Another host or port clears what was meant for the old
    /// one: secret and headers, each unless given again.
    fn onto(self, stored: &Subscription, now: Millis) -> Result<Subscription, Invalid> {
        let previous_secret = self.previous_secret(stored, now);
        let old = stored.endpoint.clone();
        let url = self.url.unwrap_or_else(|| old.url.clone());
        let moved = !is_same_place(url.as_ref(), old.url.as_ref());
        checked(Subscription {
            id: stored.id,
            name: self.name.unwrap_or_else(|| stored.name.clone()),
            model: self.model.unwrap_or_else(|| stored.model.clone()),
            event_type: self.event_type.unwrap_or(stored.event_type),
            endpoint: Endpoint {
                secret: self.secret.unwrap_or(old.secret.filter(|_| !moved)),
                previous_secret: previous_secret.filter(|_| !moved),
                headers: self.headers.unwrap_or(if moved { CustomHeaders::default() } else { old.headers }),
                timeout: self.timeout.unwrap_or(old.timeout),
                max_in_flight: self.max_in_flight.unwrap_or(old.max_in_flight),
                url,
            },
            payload_template: self.payload_template.unwrap_or_else(|| stored.payload_template.clone()),
            dialect: self.dialect.unwrap_or(stored.dialect),
            active: self.active.unwrap_or(stored.active),
            paused: self.paused.unwrap_or(stored.paused),
            max_attempts: self.max_attempts.unwrap_or(stored.max_attempts),
            success: self.success.unwrap_or_else(|| stored.success.clone()),
        })
    }

    /// What signs beside the secret as it will be: the one before, for as long as the call says, where it brings another.
    /// Without a secret, a call that says 0 ends it.
    fn previous_secret(&self, stored: &Subscription, now: Millis) -> Option<PreviousSecret> {
        let old = &stored.endpoint;
        match &self.secret {
            Some(new) if *new != old.secret => {
                let until = now.plus(self.keep_previous.unwrap_or_default());
                let secret = old.secret.clone().filter(|_| new.is_some() && until > now)?;
                Some(PreviousSecret { secret, until })
            }
            None if self.keep_previous == Some(Duration::ZERO) => None,
            _ => old.previous_secret.clone(),
        }
    }

    /// Where the stored ones cannot be read, absent cannot mean unchanged: nothing may go out unsigned by mistake.
    fn says_what_is_sealed(&self) -> Result<(), RpcError> {
        let lost =
            |field: &str| format!("{field}: the stored value cannot be read any more; give it, or null");
        match (&self.secret, &self.headers) {
            (None, _) => Err(RpcError::new(ErrorKind::InvalidSecret, lost("secret"))),
            (_, None) => Err(RpcError::new(ErrorKind::InvalidHeader, lost("headers"))),
            _ => Ok(()),
        }
    }

    /// An entry of the complete set: like new, but what is write-only stays while host and port do.
    fn into_synced(
        self,
        id: SubscriptionId,
        stored: Option<&Subscription>,
        now: Millis,
    ) -> Result<Subscription, Invalid> {
        let previous_secret = stored.and_then(|stored| self.previous_secret(stored, now));
        let (keep_secret, keep_headers) = (self.secret.is_none(), self.headers.is_none());
        let mut subscription = self.into_new(id)?;
        if let Some(stored) =
            stored.filter(|old| is_same_place(old.endpoint.url.as_ref(), subscription.endpoint.url.as_ref()))
        {
            subscription.endpoint.previous_secret = previous_secret;
            if keep_secret {
                subscription.endpoint.secret = stored.endpoint.secret.clone();
            }
            if keep_headers {
                subscription.endpoint.headers = stored.endpoint.headers.clone();
            }
        }
        Ok(subscription)
    }
}

/// What was meant for one place must not go to another.
fn is_same_place(one: Option<&EndpointUrl>, other: Option<&EndpointUrl>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.same_host_port(other),
        (None, None) => true,
        _ => false,
    }
}

fn read_url(url: Option<Wire<UrlText>>, policy: &UrlPolicy) -> Result<Option<EndpointUrl>, Invalid> {
    url.map(|url| EndpointUrl::parse(&url.0.0, policy)).transpose()
}

fn read_secret(secret: Option<Wire<SecretText>>) -> Result<Option<SigningSecret>, Invalid> {
    secret.map(|secret| SigningSecret::parse(&secret.0.0)).transpose()
}

fn read_headers(headers: Option<Wire<Headers>>) -> Result<CustomHeaders, Invalid> {
    headers.map_or_else(|| Ok(CustomHeaders::default()), |headers| CustomHeaders::parse(headers.0.0))
}

fn small<const MOST: u64>(given: Given<Wire<Whole<1, MOST>>>) -> Option<u8> {
    given.get().map(|number| u8::try_from(number.0).unwrap_or(u8::MAX))
}

/// What can only be judged on the whole: the template, with the dialect and host that it will have.
fn checked(subscription: Subscription) -> Result<Subscription, Invalid> {
    if let Some(template) = &subscription.payload_template {
        Template::compile(template, subscription.dialect, subscription.endpoint.host())?;
    }
    Ok(subscription)
}

impl Subscriptions for Service {
    async fn create(
        &self,
        _: &Caller,
        CreateSubscription(NewSubscription(given)): CreateSubscription,
    ) -> Result<subscription::Subscription, RpcError> {
        let id = given.id.0;
        let wanted = Change::read(given, &self.live.url_policy())?.into_new(id)?;
        let is_same = |stored: &Subscription, mut wanted: Subscription| {
            wanted.endpoint.previous_secret = stored.endpoint.previous_secret.clone();
            *stored == wanted
        };
        let stored = self.log.change_subscriptions(move |set| match set.get(id) {
            None => Ok(set.put(wanted)),
            Some(stored) if is_same(stored, wanted) => Ok(stored.clone()),
            Some(_) => Err(RpcError::new(
                ErrorKind::Conflict,
                "id: another subscription has this id; use subscription.update to change it",
            )),
        });
        Ok(wire::subscription(&*stored.await??, self.vitals.now()))
    }

    /// As an update where there is such a subscription, else as a creation.
    async fn check(
        &self,
        _: &Caller,
        CheckSubscription(NewSubscription(given)): CheckSubscription,
    ) -> Result<Checked, RpcError> {
        let is_missing = |name| Err(Invalid::params(name, "is missing").into());
        match (&given.model.0, &given.url.0) {
            (None, _) => return is_missing("model"),
            (_, None) => return is_missing("url"),
            _ => {}
        }
        let id = given.id.0;
        let change = Change::read(given, &self.live.url_policy())?;
        let (stored, now) = (self.log.subscriptions().get(id).cloned(), self.vitals.now());
        compile(move || match stored {
            Some(stored) => change.onto(&stored, now),
            None => change.into_new(id),
        })
        .await??;
        Ok(Checked {})
    }

    async fn get(&self, _: &Caller, wish: GetSubscription) -> Result<subscription::Subscription, RpcError> {
        let set = self.log.subscriptions();
        let found = set.get(wish.id.0).ok_or_else(|| RpcError::not_found("id", "subscription"))?;
        Ok(wire::subscription(found, self.vitals.now()))
    }

    async fn list(&self, _: &Caller, wish: ListSubscriptions) -> Result<SubscriptionPage, RpcError> {
        let (after, limit) = (wish.after.get().map(|next| next.0), limit(wish.limit));
        let (set, now) = (self.log.subscriptions(), self.vitals.now());
        let (mut page, mut last, mut next) = (self.page().await?, None, None);
        for subscription in set.after(after) {
            let is_full = page.items.len() == limit;
            if is_full || !page.take(Json::of(&wire::subscription(subscription, now))) {
                next = last;
                break;
            }
            last = Some(subscription.id);
        }
        let next = next.map(|id| Wire(NextSubscription(id)));
        Ok(SubscriptionPage { subscriptions: page.items, next })
    }

    async fn update(
        &self,
        _: &Caller,
        UpdateSubscription(given): UpdateSubscription,
    ) -> Result<subscription::Subscription, RpcError> {
        let id = given.id.0;
        let change = Change::read(given, &self.live.url_policy())?;
        let now = self.vitals.now();
        let stored = work_out(self, false, || {
            let change = change.clone();
            move |set: &mut SubscriptionSet| {
                let old = set.get(id).ok_or_else(|| RpcError::not_found("id", "subscription"))?;
                let new = change.onto(old, now)?;
                Ok::<_, RpcError>(if **old == new { old.clone() } else { set.put(new) })
            }
        });
        Ok(wire::subscription(&*stored.await??, self.vitals.now()))
    }

    async fn delete(&self, _: &Caller, wish: DeleteSubscription) -> Result<Deleted, RpcError> {
        let deleted = self.log.change_subscriptions(move |set| set.remove(wish.id.0)).await?;
        Ok(Deleted { deleted })
    }

    async fn sync(&self, _: &Caller, call: SyncSubscriptions<'_>) -> Result<Synced, RpcError> {
        let subscriptions = call.subscriptions.items("subscriptions")?;
        let (policy, now) = (self.live.url_policy(), self.vitals.now());
        let read = || {
            let (mut seen, mut together) = (BTreeSet::new(), Together::default());
            let read = |text: &&serde_json::value::RawValue| {
                read_entry(text.get(), &policy, &mut seen, &mut together)
            };
            let entries: Vec<Entry> = subscriptions.iter().map(read).collect();
            move |set: &mut SubscriptionSet| apply_sync(set, entries, now)
        };
        work_out(self, true, read).await
    }
}

/// Works out what may compile templates, up to 16 MiB of them in a call: on a thread that may block.
async fn compile<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RpcError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        RpcError::new(ErrorKind::InvalidTemplate, "payload_template: compiling it failed; simplify it")
    })
}

/// An entry of `sync` that was read, or its id as far as it could be told, and what is wrong.
type Entry = Result<(SubscriptionId, Change), (Option<SubscriptionId>, RpcError)>;

/// Changes the set of subscriptions. Worked out beside the log's writer, which only stores it, and begun anew where
/// somebody else was faster.
async fn work_out<T: Send + 'static, F: FnOnce(&mut SubscriptionSet) -> T + Send + 'static>(
    service: &Service,
    is_sync: bool,
    begin: impl Fn() -> F,
) -> Result<T, RpcError> {
    loop {
        let before = service.log.subscriptions();
        let (change, present) = (begin(), before.clone());
        let work = compile(move || {
            let mut after = present;
            let answer = change(&mut after);
            (answer, after)
        });
        let (answer, after) = work.await?;
        if service.log.replace_subscriptions(before, after, is_sync).await? {
            return Ok(answer);
        }
    }
}

/// The id alone. It is not told where two keys claim it.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
}

fn read_entry(
    text: &str,
    policy: &UrlPolicy,
    seen: &mut BTreeSet<SubscriptionId>,
    together: &mut Together,
) -> Entry {
    let known = serde_json::from_str(text).ok().and_then(|named: Named<'_>| named.id.parse().ok());
    let mut read = || -> Result<(SubscriptionId, Change), RpcError> {
        together.hold(text)?;
        // Also one that is refused otherwise: it is not the other one that is meant.
        if known.is_some_and(|id| !seen.insert(id)) {
            return Err(RpcError::new(ErrorKind::Conflict, "id: two entries have this id"));
        }
        let NewSubscription(given) = read::from_text(text, "")?;
        Ok((given.id.0, Change::read(given, policy)?))
    };
    read().map_err(|error| (known, error))
}

/// Makes the set what the entries say. An entry that cannot be read keeps its stored version; where one does not even
/// tell its id, every stored subscription may be meant, so none is deleted.
fn apply_sync(set: &mut SubscriptionSet, entries: Vec<Entry>, now: Millis) -> Synced {
    let mut wanted = BTreeSet::new();
    let names_all = !entries.iter().any(|entry| matches!(entry, Err((None, _))));
    let mut errors = Vec::new();
    let (mut created, mut updated) = (0, 0);
    for entry in entries {
        let result = entry.and_then(|(id, change)| {
            let stored = set.get(id).cloned();
            if set.unreadable().contains(&id) {
                change.says_what_is_sealed().map_err(|error| (Some(id), error))?;
            }
            change
                .into_synced(id, stored.as_deref(), now)
                .map(|s| (s, stored))
                .map_err(|e| (Some(id), e.into()))
        });
        match result {
            Ok((subscription, stored)) => {
                wanted.insert(subscription.id);
                match stored {
                    Some(stored) if *stored == subscription => continue,
                    Some(_) => updated += 1,
                    None => created += 1,
                }
                set.put(subscription);
            }
            Err((id, error)) => {
                wanted.extend(id);
                errors.push(Refused { id: id.map(Wire), error: error.into() });
            }
        }
    }
    let is_unwanted = |id: &SubscriptionId| names_all && !wanted.contains(id);
    let known = set.iter().map(|subscription| subscription.id);
    let unwanted: Vec<SubscriptionId> =
        known.chain(set.unreadable().iter().copied()).filter(is_unwanted).collect();
    for id in &unwanted {
        set.remove(*id);
    }
    Synced { created, updated, deleted: unwanted.len(), errors }
}
