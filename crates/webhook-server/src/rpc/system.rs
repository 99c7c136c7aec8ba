//! `system.*`: who is talking to whom.

use serde_json::{Value, json};
use url::Url;
use webhook_log::{Attachment, Database, WakeSecret, Witness};
use webhook_model::{Invalid, limits};

use super::{
    Answer, Params, Service,
    error::{Kind, RpcError},
    fields::{self, Fields},
};

/// What this version takes beyond the first version of the interface: a caller sends only what stands here.
const FEATURES: [&str; 14] = [
    "delivery.cancel",
    "delivery.redeliver_many.event_ids",
    "delivery.retry_now",
    "dialect.google_chat",
    "event.read",
    "event.submit.accepted_to",
    "healthz.proof",
    "subscription.check",
    "subscription.keep_previous_s",
    "subscription.success",
    "subscription.url_null",
    "system.attach.instance",
    "system.attach.seen",
    "system.attach.wake_secret",
];

/// The only path that a knock may go to.
pub const WAKE_PATH: &str = "/mcp_webhook/wake";

/// `system.attach`
pub async fn attach(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let name = |value: &Value| {
        value.as_str().filter(|text| (1..=limits::NAME_BYTES).contains(&text.len())).map(str::to_owned)
    };
    let uuid = fields.required("database", "Odoo's database.uuid", |value| {
        name(value).filter(|text| text.bytes().all(|b| b.is_ascii_graphic()))
    })?;
    let database_name = fields.required("database_name", "the database's name", |value| {
        name(value).filter(|text| !text.chars().any(char::is_control))
    })?;
    let database = Database { uuid, name: database_name };
    let instance = fields.optional("instance", "where the database lives, 1 to 256 bytes", name)?;
    let wake_secret = match fields.take("wake_secret") {
        None | Some(Value::Null) => None,
        Some(value) => Some(read_wake_secret(&value)?),
    };
    let wake_url = match fields.take("wake_url") {
        None | Some(Value::Null) => None,
        Some(value) => Some(read_wake_url(&value)?),
    };
    let take_over = fields.optional("take_over", "true or false", Value::as_bool)?.unwrap_or(false);
    let seen = fields.optional("seen", "the highest accepted_to, a number in a string", read_count)?;
    let cursor = fields.optional("cursor", "the cursor of the newest page, or \"\"", fields::string)?;
    fields.finish()?;
    let attachment = Attachment { database, instance, wake_url, wake_secret };
    let attached = service.log.attach(attachment, take_over, Witness { seen, cursor });
    let attached = attached.await?.map_err(|_| fenced(service))?;
    Ok(json!({
        "log_id": &*attached.log_id,
        "version": service.version,
        "accepted_to": attached.accepted_to.to_string(),
    })
    .into())
}

/// A count as `accepted_to` has it; `""` is none.
fn read_count(value: &Value) -> Option<u64> {
    match value.as_str()? {
        "" => Some(0),
        text => text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten(),
    }
}

fn read_wake_secret(value: &Value) -> Result<WakeSecret, Invalid> {
    let fits = |text: &&str| (16..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    let text = value.as_str().filter(fits);
    let expected = "expected 16 to 256 visible ASCII characters without spaces, or null for none";
    text.map(|text| WakeSecret(text.to_owned())).ok_or_else(|| Invalid::params("wake_secret", expected))
}

fn read_wake_url(value: &Value) -> Result<String, Invalid> {
    let wrong = |message: &str| Invalid::params("wake_url", message);
    let text = fields::string(value).ok_or_else(|| wrong("expected a URL or null"))?;
    let url = Url::parse(&text)
        .map_err(|_| wrong("expected a URL such as http://127.0.0.1:8069/mcp_webhook/wake"))?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https")
        || url.path() != WAKE_PATH
        || !plain
        || text.len() > limits::URL_BYTES
    {
        return Err(wrong("expected http or https, the path /mcp_webhook/wake, and nothing behind it"));
    }
    Ok(url.into())
}

/// Refuses callers of a database that is not the attached one.
pub fn check_fence(service: &Service, database: Option<&str>) -> Result<(), RpcError> {
    let Some(attachment) = service.log.attachment() else { return Ok(()) };
    let expected = format!("{} {}", attachment.database.uuid, attachment.database.name);
    if database == Some(expected.as_str()) { Ok(()) } else { Err(fenced(service)) }
}

fn fenced(service: &Service) -> RpcError {
    let name =
        service.log.attachment().map_or_else(String::new, |attachment| attachment.database.name.clone());
    RpcError::new(
        Kind::Fenced,
        format!(
            "this sidecar serves the database {name:?}; a copy of it can send nothing. If this database is production \
             now, take over from its settings in Odoo (system.attach with take_over)"
        ),
    )
}

/// `system.info`
pub async fn info(service: &Service, params: Params<'_>) -> Answer {
    Fields::parse(params)?.finish()?;
    let pending = service.log.read(webhook_log::Snapshot::pending)?;
    Ok(json!({
        "version": service.version,
        "log_id": &*service.log.log_id(),
        "uptime_s": service.started.elapsed().as_secs(),
        "pending": pending,
        "retention_days": service.retention.as_secs() / 86_400,
        "store": "redb",
        "features": FEATURES,
    })
    .into())
}
