//! `subscription.*`: who wants which events, and where to.

use std::{collections::BTreeSet, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use webhook_dispatch::template::Template;
use webhook_log::SubscriptionSet;
use webhook_model::{
    CustomHeaders, Dialect, Endpoint, EndpointUrl, EventFilter, Invalid, SigningSecret, Subscription,
    SubscriptionId, endpoint_url::UrlPolicy, json as strict, limits,
};

use super::{
    Answer, Params, Service,
    error::{Kind, RpcError},
    fields::{self, Fields},
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
    url: Option<EndpointUrl>,
    secret: Given<Option<SigningSecret>>,
    headers: Given<CustomHeaders>,
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
        let word = |value: &Value| value.as_str().map(str::to_owned);
        let url = fields.optional("url", "a URL such as https://example.com/hook", word)?;
        Ok(Self {
            name: fields.optional("name", "a text of 1 to 256 bytes", wire::text)?,
            model: fields.optional("model", "a model's name such as sale.order", wire::text)?,
            event_type: fields.optional("event_type", "create, write, unlink or all", |value| {
                EventFilter::parse(value.as_str()?)
            })?,
            url: url.map(|url| EndpointUrl::parse(&url, policy)).transpose()?,
            secret: secret(fields)?,
            headers: headers(fields)?,
            payload_template: match fields.take("payload_template") {
                None => Given::Absent,
                Some(Value::Null) => Given::Value(None),
                Some(template) => Given::Value(Some(template)),
            },
            dialect: fields.optional("dialect", "auto, plain, slack, discord or teams", |value| {
                Dialect::parse(value.as_str()?)
            })?,
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
                url: self.url.ok_or_else(|| missing("url"))?,
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
        })
    }

    /// The stored subscription with the given fields replaced. Another host or port clears what was meant for the old
    /// one: secret and headers, each unless given again.
    fn onto(self, stored: &Subscription) -> Result<Subscription, Invalid> {
        let old = stored.endpoint.clone();
        let url = self.url.unwrap_or_else(|| old.url.clone());
        let moved = !url.same_host_port(&old.url);
        checked(Subscription {
            id: stored.id,
            name: self.name.unwrap_or_else(|| stored.name.clone()),
            model: self.model.unwrap_or_else(|| stored.model.clone()),
            event_type: self.event_type.unwrap_or(stored.event_type),
            endpoint: Endpoint {
                secret: self.secret.or(old.secret.filter(|_| !moved)),
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
        })
    }

    /// An entry of the complete set: like new, but what is write-only stays while host and port do.
    fn into_synced(self, id: SubscriptionId, stored: Option<&Subscription>) -> Result<Subscription, Invalid> {
        let (keep_secret, keep_headers) =
            (matches!(self.secret, Given::Absent), matches!(self.headers, Given::Absent));
        let mut subscription = self.into_new(id)?;
        if let Some(stored) = stored.filter(|old| old.endpoint.url.same_host_port(&subscription.endpoint.url))
        {
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
        Template::compile(template, subscription.dialect, Some(subscription.endpoint.url.host()))?;
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
    let stored = service.log.change_subscriptions(move |set| match set.get(id) {
        None => Ok(set.put(wanted)),
        Some(stored) if **stored == wanted => Ok(stored.clone()),
        Some(_) => Err(RpcError::new(
            Kind::Conflict,
            "id: another subscription has this id; use subscription.update to change it",
        )),
    });
    Ok(wire::subscription(&*stored.await??).into())
}

/// `subscription.get`
pub async fn get(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let id = required_id(&mut fields)?;
    fields.finish()?;
    let set = service.log.subscriptions();
    Ok(wire::subscription(set.get(id).ok_or_else(|| RpcError::not_found("id", "subscription"))?).into())
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
    let (mut page, mut bytes, mut next) = (Vec::new(), 0, None);
    for subscription in set.after(after) {
        let text = wire::subscription(subscription).to_string();
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
    let stored = service.log.change_subscriptions(move |set| {
        let old = set.get(id).ok_or_else(|| RpcError::not_found("id", "subscription"))?;
        let new = change.onto(old)?;
        Ok::<_, RpcError>(if **old == new { old.clone() } else { set.put(new) })
    });
    Ok(wire::subscription(&*stored.await??).into())
}

/// `subscription.delete`
pub async fn delete(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let id = required_id(&mut fields)?;
    fields.finish()?;
    let deleted = service.log.change_subscriptions(move |set| set.remove(id).is_some()).await?;
    Ok(json!({"deleted": deleted}).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sync<'a> {
    #[serde(borrow)]
    subscriptions: Vec<&'a RawValue>,
}

/// An entry of `sync` that was read, or its id as far as it could be told, and what is wrong.
type Entry = Result<(SubscriptionId, Change), (Option<SubscriptionId>, RpcError)>;

/// `subscription.sync`
pub async fn sync(service: &Service, params: Params<'_>) -> Answer {
    let call: Sync<'_> = serde_json::from_str(params.text).map_err(|e| RpcError::malformed(&e))?;
    let mut seen = BTreeSet::new();
    let entries: Vec<Entry> = call
        .subscriptions
        .iter()
        .map(|text| read_entry(text.get(), &service.live.url_policy(), &mut seen))
        .collect();
    let answer = service.log.change_subscriptions(move |set| apply_sync(set, entries)).await?;
    Ok(answer.into())
}

/// The id alone. It is not told where two keys claim it.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
}

fn read_entry(text: &str, policy: &UrlPolicy, seen: &mut BTreeSet<SubscriptionId>) -> Entry {
    let known = serde_json::from_str(text).ok().and_then(|named: Named<'_>| named.id.parse().ok());
    let mut read = || -> Result<(SubscriptionId, Change), RpcError> {
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
fn apply_sync(set: &mut SubscriptionSet, entries: Vec<Entry>) -> Value {
    let mut wanted = BTreeSet::new();
    let names_all = !entries.iter().any(|entry| matches!(entry, Err((None, _))));
    let mut errors = Vec::new();
    let (mut created, mut updated) = (0, 0);
    for entry in entries {
        let result = entry.and_then(|(id, change)| {
            let stored = set.get(id).cloned();
            change.into_synced(id, stored.as_deref()).map(|s| (s, stored)).map_err(|e| (Some(id), e.into()))
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
    let unwanted: Vec<SubscriptionId> = set.iter().map(|s| s.id).filter(is_unwanted).collect();
    for id in &unwanted {
        set.remove(*id);
    }
    json!({"created": created, "updated": updated, "deleted": unwanted.len(), "errors": errors})
}
