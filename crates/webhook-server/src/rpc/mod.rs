//! The JSON-RPC methods: one table of them ([`methods`]), one file per namespace.
//!
//! Wire shapes are mapped by hand to the model. Every method takes parameters by name and refuses what it does not know.

pub mod admin;
pub mod delivery;
pub mod error;
pub mod event;
pub mod fields;
pub mod methods;
pub mod middleware;
pub mod openrpc;
pub mod room;
pub mod schema;
pub mod subscription;
pub mod system;
pub mod template;
pub mod wire;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use jsonrpsee::types::{ErrorCode, ErrorObjectOwned};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use tokio::sync::Semaphore;
use webhook_dispatch::{Canceller, Clock, Counters, SystemClock};
use webhook_log::{Keep, Log};
use webhook_model::{EventId, Invalid, Millis, limits};

use self::{
    error::RpcError,
    fields::{Fields, Params},
    methods::{Access, METHODS, Method},
};
use crate::{files::DataDir, live::Live, metrics};

/// What a method answers.
pub type Answer = Result<Json, RpcError>;

/// A JSON answer, serialised already where it is long.
#[derive(Debug, Clone)]
pub enum Json {
    /// A value.
    Value(Value),
    /// Its text.
    Raw(Box<RawValue>),
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Raw(text) => text.serialize(serializer),
        }
    }
}

/// What methods work with.
#[derive(Debug)]
pub struct Service {
    /// The log.
    pub log: Log,
    /// The time.
    pub clock: Arc<SystemClock>,
    /// What a reload replaces.
    pub live: Arc<Live>,
    /// Where the files are.
    pub data: DataDir,
    /// A large backlog by state, as it was last counted.
    pub backlog: Mutex<Option<metrics::States>>,
    /// What the dispatcher counts.
    pub counters: Arc<Counters>,
    /// By which pending deliveries are cancelled.
    pub canceller: Canceller,
    /// Held by the preview that is being rendered.
    pub preview_turn: Semaphore,
    /// The dispatcher ended although nobody stopped it.
    pub dispatcher_gone: AtomicBool,
    /// For how long ids are remembered.
    pub retention: Duration,
    /// How much is kept; none: as much as there is.
    pub retention_bytes: Option<u64>,
    /// For how long outcomes are kept that Odoo has not pulled.
    pub unpulled: Duration,
    /// This program's version.
    pub version: &'static str,
    /// When it started.
    pub started: Instant,
    /// Events submitted, by what became of them: accepted, duplicate, rejected.
    pub submitted: [AtomicU64; 3],
    /// When Odoo last pulled the feed, in ms; 0 = never.
    pub pulled_at: AtomicU64,
    /// The change of the feed up to which Odoo has pulled.
    pub pulled_to: AtomicU64,
}

impl Service {
    /// The wall clock.
    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Events that happened before this may have been forgotten.
    pub fn oldest_event(&self, now: Millis) -> Millis {
        before(self.log.calendar(now), self.retention)
    }

    /// What is kept at `now`.
    pub fn keep(&self, now: Millis) -> Keep {
        let now = self.log.calendar(now);
        let since = before(now, self.retention);
        Keep { since, unpulled_since: before(now, self.unpulled).min(since) }
    }

    /// An id for an event of our own making.
    pub fn new_id(&self) -> EventId {
        EventId::from_u128(uuid::Uuid::now_v7().as_u128())
    }

    fn count_submitted(&self, results: &[Value]) {
        for result in results {
            let index = match result["status"].as_str() {
                Some("accepted") => 0,
                Some("duplicate") => 1,
                _ => 2,
            };
            self.submitted[index].fetch_add(1, Relaxed);
        }
    }

    /// Odoo keeps everything before `after`, and pulled the feed up to `cursor`.
    fn pulled(&self, after: &str, cursor: &str) {
        self.log.pulled_up_to(after);
        let change = cursor.rsplit(':').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        self.pulled_to.store(change, Relaxed);
        self.pulled_at.store(self.now().0, Relaxed);
    }

    /// Changes of the feed that Odoo has not pulled; `None` when it has not pulled since the start.
    pub fn pull_lag(&self) -> Option<u64> {
        let has_pulled = self.pulled_at.load(Relaxed) > 0;
        has_pulled.then(|| self.log.feed().borrow().saturating_sub(self.pulled_to.load(Relaxed)))
    }
}

fn before(now: Millis, time: Duration) -> Millis {
    Millis(now.0.saturating_sub(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

/// Who calls, as the HTTP side found out.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The sidecar's own commands; they are not fenced.
    pub is_admin: bool,
    /// The header `X-Odoo-Database`.
    pub database: Option<String>,
}

type Called<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

fn call<'a>(service: &'a Service, caller: &'a Caller, params: Params<'a>) -> Called<'a> {
    match params.method.name {
        "subscription.create" => Box::pin(subscription::create(service, params)),
        "subscription.get" => Box::pin(subscription::get(service, params)),
        "subscription.list" => Box::pin(subscription::list(service, params)),
        "subscription.update" => Box::pin(subscription::update(service, params)),
        "subscription.delete" => Box::pin(subscription::delete(service, params)),
        "subscription.sync" => Box::pin(subscription::sync(service, params)),
        "subscription.check" => Box::pin(subscription::check(service, params)),
        "event.submit" => Box::pin(event::submit(service, params)),
        "event.read" => Box::pin(event::read(service, params)),
        "delivery.get" => Box::pin(delivery::get(service, params)),
        "delivery.list" => Box::pin(delivery::list(service, params)),
        "delivery.changes" => Box::pin(delivery::changes(service, caller, params)),
        "delivery.redeliver" => Box::pin(delivery::redeliver(service, params)),
        "delivery.redeliver_many" => Box::pin(delivery::redeliver_many(service, params)),
        "delivery.retry_now" => Box::pin(delivery::retry_now(service, params)),
        "delivery.cancel" => Box::pin(delivery::cancel(service, params)),
        "delivery.test" => Box::pin(delivery::test(service, params)),
        "template.preview" => Box::pin(template::preview(service, params)),
        "system.attach" => Box::pin(system::attach(service, params)),
        "system.info" => Box::pin(system::info(service, params)),
        "admin.status" => Box::pin(admin::status(service, params)),
        "admin.reload" => Box::pin(admin::reload(service, params)),
        "admin.rotate_token" => Box::pin(admin::rotate_token(service, params)),
        "admin.verify" => Box::pin(admin::verify(service, params)),
        "admin.backup" => Box::pin(admin::backup(service, params)),
        "admin.compact" => Box::pin(admin::compact(service, params)),
        _ => Box::pin(openrpc::discover(service, caller, params)),
    }
}

/// The method of this name.
pub fn method(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

/// Calls a method with its parameters' text.
///
/// # Errors
/// Whatever is wrong with the call.
pub async fn answer(
    service: &Service,
    method: &'static Method,
    text: &str,
    caller: &Caller,
) -> Result<Json, ErrorObjectOwned> {
    match method.access {
        Access::Admin if !caller.is_admin => return Err(ErrorCode::MethodNotFound.into()),
        Access::Fenced if !caller.is_admin => system::check_fence(service, caller.database.as_deref())?,
        _ => {}
    }
    // A list of parameters would be read as an object's fields in their order.
    if !text.trim_start().starts_with('{') {
        return Err(by_name_only().into());
    }
    method.room.hold(text, "params").map_err(RpcError::from)?;
    let answer = call(service, caller, Params { text, method }).await?;
    #[cfg(debug_assertions)]
    is_as_described(method, &answer);
    Ok(answer)
}

fn by_name_only() -> RpcError {
    Invalid::params("params", "expected an object: parameters are given by name").into()
}

/// Every test checks every answer.
#[cfg(debug_assertions)]
fn is_as_described(method: &methods::Method, answer: &Json) {
    let answer = serde_json::to_value(answer).expect("it is JSON");
    let violation = schema::violation(&schema::schema(method.result), &answer, &schema::components(), "");
    assert_eq!(violation, None, "the answer of {}", method.name);
}

/// The parameter `limit` of lists: 1 to 1000, larger is clamped.
fn limit(fields: &mut Fields) -> Result<usize, Invalid> {
    let wish =
        fields.optional("limit", "a whole number of 1 or more", |value| value.as_u64().filter(|n| *n > 0))?;
    Ok(wish.map_or(limits::LIST_DEFAULT, |n| usize::try_from(n).unwrap_or(usize::MAX).min(limits::LIST_MOST)))
}

/// The items of a list, each as its text. What is no list is not repeated: it may be long, or a secret.
fn items<'a>(list: &'a RawValue, name: &str) -> Result<Vec<&'a RawValue>, RpcError> {
    if !list.get().starts_with('[') {
        return Err(Invalid::params(name, "expected a list").into());
    }
    serde_json::from_str(list.get()).map_err(|error| RpcError::malformed(&error))
}

/// An object of `rest` and a long list under `name`, without copying the list's items into values.
fn raw(rest: &Value, name: &str, items: &[&RawValue]) -> Answer {
    let mut text = rest.to_string();
    text.truncate(text.len() - 1);
    if text.len() > 1 {
        text.push(',');
    }
    let list = serde_json::to_string(items).map_err(|error| RpcError::malformed(&error))?;
    text.push_str(&format!("\"{name}\":{list}}}"));
    RawValue::from_string(text).map(Json::Raw).map_err(|error| RpcError::malformed(&error))
}
