//! `subscription.*`: who wants which events, and where to.

use std::{collections::BTreeSet, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use webhook_dispatch::template::Template;
use webhook_log::SubscriptionSet;
use webhook_model::{
    CustomHeaders, Dialect, Endpoint, EndpointUrl, EventFilter, Invalid, Millis, PreviousSecret,
    SigningSecret, Subscription, SubscriptionId, Success, endpoint_url::UrlPolicy, json as strict, limits,
};

use super::{
    Answer, Params, Service,
    error::{Kind, RpcError},
    fields::{self, Fields},
    room::Together,
    schema, wire,
};

/// A field of which absence means something else than null.
#[derive(Debug, Clone)]
enum Given<T> {
    Absent,
    Value(T),
}

impl<T> Given<T> {
    fn or(self, stored: T) -> T {
        match self {
            Self::Absent => stored,
            Self::Value(value) => value,
        }
    }
}

/// The fields of a subscription as a call gave them, each of them checked.
#[derive(Debug, Clone)]
struct Change {
    name: Option<String>,
    model: Option<String>,
    event_type: Option<EventFilter>,
    url: Given<Option<EndpointUrl>>,
    secret: Given<Option<SigningSecret>>,
    keep_previous: Duration,
    headers: Given<CustomHeaders>,
    success: Given<Option<Success>>,
    payload_template: Given<Option<Value>>,
    dialect: Option<Dialect>,
    active: Option<bool>,
    paused: Option<bool>,
    timeout: Option<Duration>,
    max_in_flight: Option<u8>,
    max_attempts: Option<u8>,
}

impl Change {
    fn read(fields: &mut Fields, policy: &UrlPolicy) -> Result<Self, Invalid> {
        const WEEK: u64 = 604_800;
        let keep_previous =
            fields.optional("keep_previous_s", "a whole number from 0 to 604800", |value| {
                value.as_u64().filter(|seconds| *seconds <= WEEK)
            })?;
        Ok(Self {
            name: fields.optional("name", "a text of 1 to 256 bytes", wire::text)?,
            model: fields.optional("model", "a model's name such as sale.order", wire::text)?,
            event_type: fields.optional("event_type", "create, write, unlink or all", |value| {
                EventFilter::parse(value.as_str()?)
            })?,
            url: url(fields, policy)?,
            secret: secret(fields)?,
            keep_previous: Duration::from_secs(keep_previous.unwrap_or(0)),
            headers: headers(fields)?,
            success: match fields.take("success") {
                None => Given::Absent,
                Some(value) => Given::Value(Success::parse(&value)?),
            },
            payload_template: match fields.take("payload_template") {
                None => Given::Absent,
                Some(Value::Null) => Given::Value(None),
                Some(template) => Given::Value(Some(template)),
            },
            dialect: fields
                .optional("dialect", &wire::dialects(), |value| Dialect::parse(value.as_str()?))?,
            active: fields.optional("active", "true or false", Value::as_bool)?,
            paused: fields.optional("paused", "true or false", Value::as_bool)?,
            timeout: fields
                .optional("timeout_s", "a whole number from 1 to 60", fields::within(1..=60))?
                .map(|seconds| Duration::from_secs(seconds.into())),
            max_in_flight: fields.optional(
                "max_in_flight",
                "a whole number from 1 to 64",
                fields::within(1..=64),
            )?,
            max_attempts: fields.optional(
                "max_attempts",
                "a whole number from 1 to 20",
                fields::within(1..=20),
            )?,
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
                url: match self.url {
                    Given::Absent => return Err(missing("url")),
                    Given::Value(url) => url,
                },
                previous_secret: None,
                secret: self.secret.or(None),
                headers: self.headers.or(CustomHeaders::default()),
                timeout: self.timeout.unwrap_or(Duration::from_secs(10)),
                max_in_flight: self.max_in_flight.unwrap_or(4),
            },
            payload_template: self.payload_template.or(None),
            dialect: self.dialect.unwrap_or(Dialect::Auto),
            active: self.active.unwrap_or(true),
            paused: self.paused.unwrap_or(false),
            max_attempts: self.max_attempts.unwrap_or(1),
            success: self.success.or(None),
        })
    }

    /// The stored subscription with the given fields replaced. Another host or port clears what was meant for the old
    /// one: secret and headers, each unless given again.
    fn onto(self, stored: &Subscription, now: Millis) -> Result<Subscription, Invalid> {
        let previous_secret = self.previous_secret(stored, now);
        let old = stored.endpoint.clone();
        let url = self.url.or(old.url.clone());
        let moved = !is_same_place(url.as_ref(), old.url.as_ref());
        checked(Subscription {
            id: stored.id,
            name: self.name.unwrap_or_else(|| stored.name.clone()),
            model: self.model.unwrap_or_else(|| stored.model.clone()),
            event_type: self.event_type.unwrap_or(stored.event_type),
            endpoint: Endpoint {
                secret: self.secret.or(old.secret.filter(|_| !moved)),
                previous_secret: previous_secret.filter(|_| !moved),
                headers: self.headers.or(if moved { CustomHeaders::default() } else { old.headers }),
                timeout: self.timeout.unwrap_or(old.timeout),
                max_in_flight: self.max_in_flight.unwrap_or(old.max_in_flight),
                url,
            },
            payload_template: self.payload_template.or(stored.payload_template.clone()),
            dialect: self.dialect.unwrap_or(stored.dialect),
            active: self.active.unwrap_or(stored.active),
            paused: self.paused.unwrap_or(stored.paused),
            max_attempts: self.max_attempts.unwrap_or(stored.max_attempts),
            success: self.success.or(stored.success.clone()),
        })
    }

    /// What signs beside the secret as it will be: the one before, for as long as the call says, where it brings another.
    fn previous_secret(&self, stored: &Subscription, now: Millis) -> Option<PreviousSecret> {
        let old = &stored.endpoint;
        match &self.secret {
            Given::Value(new) if *new != old.secret => {
                let until = now.plus(self.keep_previous);
                let secret = old.secret.clone().filter(|_| new.is_some() && until > now)?;
                Some(PreviousSecret { secret, until })
            }
            _ => old.previous_secret.clone(),
        }
    }

    /// Where the stored ones cannot be read, absent cannot mean unchanged: nothing may go out unsigned by mistake.
    fn says_what_is_sealed(&self) -> Result<(), RpcError> {
        let lost =
            |field: &str| format!("{field}: the stored value cannot be read any more; give it, or null");
        match (&self.secret, &self.headers) {
            (Given::Absent, _) => Err(RpcError::new(Kind::InvalidSecret, lost("secret"))),
            (_, Given::Absent) => Err(RpcError::new(Kind::InvalidHeader, lost("headers"))),
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
        let (keep_secret, keep_headers) =
            (matches!(self.secret, Given::Absent), matches!(self.headers, Given::Absent));
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

fn url(fields: &mut Fields, policy: &UrlPolicy) -> Result<Given<Option<EndpointUrl>>, Invalid> {
    match fields.take("url") {
        None => Ok(Given::Absent),
        Some(Value::Null) => Ok(Given::Value(None)),
        Some(Value::String(text)) => EndpointUrl::parse(&text, policy).map(Some).map(Given::Value),
        Some(_) => {
            Err(Invalid::params("url", "expected a URL such as https://example.com/hook, or null for none"))
        }
    }
}

fn secret(fields: &mut Fields) -> Result<Given<Option<SigningSecret>>, Invalid> {
    match fields.take("secret") {
        None => Ok(Given::Absent),
        Some(Value::Null) => Ok(Given::Value(None)),
        Some(Value::String(text)) => SigningSecret::parse(&text).map(Some).map(Given::Value),
        Some(_) => {
            Err(Invalid::params("secret", "expected a text of 16 to 256 characters, or null for none"))
        }
    }
}

fn headers(fields: &mut Fields) -> Result<Given<CustomHeaders>, Invalid> {
    let wrong = || Invalid::params("headers", "expected an object: header name to value, both texts");
    match fields.take("headers") {
        None => Ok(Given::Absent),
        Some(Value::Null) => Ok(Given::Value(CustomHeaders::default())),
        Some(Value::Object(map)) => {
            let pairs = map
                .into_iter()
                .map(|(name, value)| value.as_str().map(|value| (name, value.to_owned())).ok_or_else(wrong))
                .collect::<Result<Vec<_>, _>>()?;
            CustomHeaders::parse(pairs).map(Given::Value)
        }
        Some(_) => Err(wrong()),
    }
}

/// What can only be judged on the whole: the template, with the dialect and host that it will have.
fn checked(subscription: Subscription) -> Result<Subscription, Invalid> {
    if let Some(template) = &subscription.payload_template {
        Template::compile(template, subscription.dialect, subscription.endpoint.host())?;
    }
    Ok(subscription)
}

fn required_id(fields: &mut Fields) -> Result<SubscriptionId, Invalid> {
    fields.required("id", fields::ID, fields::id)
}

/// `subscription.create`
pub async fn create(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let id = required_id(&mut fields)?;
    let change = Change::read(&mut fields, &service.live.url_policy())?;
    fields.finish()?;
    let wanted = change.into_new(id)?;
    let is_same = |stored: &Subscription, mut wanted: Subscription| {
        wanted.endpoint.previous_secret = stored.endpoint.previous_secret.clone();
        *stored == wanted
    };
    let stored = service.log.change_subscriptions(move |set| match set.get(id) {
        None => Ok(set.put(wanted)),
        Some(stored) if is_same(stored, wanted) => Ok(stored.clone()),
        Some(_) => Err(RpcError::new(
            Kind::Conflict,
            "id: another subscription has this id; use subscription.update to change it",
        )),
    });
    Ok(wire::subscription(&*stored.await??, service.now()).into())
}

/// `subscription.check`: as an update where there is such a subscription, else as a creation. Stores nothing.
pub async fn check(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let id = required_id(&mut fields)?;
    let is_missing = |name| Invalid::params(name, "is missing");
    let has = |fields: &Fields, name| if fields.has(name) { Ok(()) } else { Err(is_missing(name)) };
    has(&fields, "model").and_then(|()| has(&fields, "url"))?;
    let change = Change::read(&mut fields, &service.live.url_policy())?;
    fields.finish()?;
    let (stored, now) = (service.log.subscriptions().get(id).cloned(), service.now());
    compile(move || match stored {
        Some(stored) => change.onto(&stored, now),
        None => change.into_new(id),
    })
    .await??;
    Ok(json!({}).into())
}

/// Works out what may compile templates, up to 16 MiB of them in a call: on a thread that may block.
async fn compile<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RpcError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        RpcError::new(Kind::InvalidTemplate, "payload_template: compiling it failed; simplify it")
    })
}

/// `subscription.get`
pub async fn get(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let id = required_id(&mut fields)?;
    fields.finish()?;
    let set = service.log.subscriptions();
    let found = set.get(id).ok_or_else(|| RpcError::not_found("id", "subscription"))?;
    Ok(wire::subscription(found, service.now()).into())
}

/// `subscription.list`
pub async fn list(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let after = match fields.take("after") {
        None | Some(Value::Null) => None,
        Some(value) => Some(
            fields::id(&value).ok_or_else(|| Invalid::params("after", "expected the `next` of a page"))?,
        ),
    };
    let limit = super::limit(&mut fields)?;
    fields.finish()?;
    let set = service.log.subscriptions();
    let now = service.now();
    let (mut page, mut bytes, mut next) = (Vec::new(), 0, None);
    for subscription in set.after(after) {
        let text = wire::subscription(subscription, now).to_string();
        bytes += text.len();
        if page.len() == limit || (bytes > limits::LIST_ANSWER_BYTES && !page.is_empty()) {
            next = page.last().map(|(id, _)| *id);
            break;
        }
        page.push((subscription.id, RawValue::from_string(text).map_err(|e| RpcError::malformed(&e))?));
    }
    let subscriptions: Vec<&RawValue> = page.iter().map(|(_, text)| &**text).collect();
    super::raw(&json!({"next": next}), "subscriptions", &subscriptions)
}

/// `subscription.update`
pub async fn update(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let id = required_id(&mut fields)?;
    let change = Change::read(&mut fields, &service.live.url_policy())?;
    fields.finish()?;
    let now = service.now();
    let stored = work_out(service, false, || {
        let change = change.clone();
        move |set: &mut SubscriptionSet| {
            let old = set.get(id).ok_or_else(|| RpcError::not_found("id", "subscription"))?;
            let new = change.onto(old, now)?;
            Ok::<_, RpcError>(if **old == new { old.clone() } else { set.put(new) })
        }
    });
    Ok(wire::subscription(&*stored.await??, service.now()).into())
}

/// `subscription.delete`
pub async fn delete(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let id = required_id(&mut fields)?;
    fields.finish()?;
    let deleted = service.log.change_subscriptions(move |set| set.remove(id)).await?;
    Ok(json!({"deleted": deleted}).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sync<'a> {
    #[serde(borrow)]
    subscriptions: &'a RawValue,
}

/// An entry of `sync` that was read, or its id as far as it could be told, and what is wrong.
type Entry = Result<(SubscriptionId, Change), (Option<SubscriptionId>, RpcError)>;

/// `subscription.sync`
pub async fn sync(service: &Service, params: Params<'_>) -> Answer {
    let call: Sync<'_> = serde_json::from_str(params.text).map_err(|e| RpcError::malformed(&e))?;
    let subscriptions = super::items(call.subscriptions, "subscriptions")?;
    let (policy, now) = (service.live.url_policy(), service.now());
    let read = || {
        let (mut seen, mut together) = (BTreeSet::new(), Together::default());
        let read = |text: &&RawValue| read_entry(text.get(), &policy, &mut seen, &mut together);
        let entries: Vec<Entry> = subscriptions.iter().map(read).collect();
        move |set: &mut SubscriptionSet| apply_sync(set, entries, now)
    };
    Ok(work_out(service, true, read).await?.into())
}

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
        let value = strict::parse(text).map_err(|error| RpcError::malformed(&error))?;
        let mut fields = Fields::of(value, "", schema::NEW_SUBSCRIPTION)?;
        let id = required_id(&mut fields)?;
        if !seen.insert(id) {
            return Err(RpcError::new(Kind::Conflict, "id: two entries have this id"));
        }
        let change = Change::read(&mut fields, policy)?;
        fields.finish()?;
        Ok((id, change))
    };
    read().map_err(|error| (known, error))
}

/// Makes the set what the entries say. An entry that cannot be read keeps its stored version; where one does not even
/// tell its id, every stored subscription may be meant, so none is deleted.
fn apply_sync(set: &mut SubscriptionSet, entries: Vec<Entry>, now: Millis) -> Value {
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
                errors.push(json!({"id": id, "error": error}));
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
    json!({"created": created, "updated": updated, "deleted": unwanted.len(), "errors": errors})
}
