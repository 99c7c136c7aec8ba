//! `system.*`: who is talking to whom.

use url::Url;
use webhook_api::{
    Api, Caller, Wire,
    field::{Count, LogId, Object},
    openrpc,
    system::{Attach, Attached, Discover, GetInfo, Info, System},
};
use webhook_log::{Attachment, Database, WakeSecret, Witness};
use webhook_model::{Invalid, limits};

use super::{error::RpcError, fence::fenced, service::Service};

/// What this version takes beyond the first version of the interface, besides methods: a caller sends only what stands
/// here.
const FEATURES: [&str; 12] = [
    "delivery.redeliver_many.event_ids",
    "delivery.test.new_secret",
    "dialect.google_chat",
    "event.submit.accepted_to",
    "healthz.proof",
    "subscription.keep_previous_s",
    "subscription.keep_previous_s.end",
    "subscription.success",
    "subscription.url_null",
    "system.attach.instance",
    "system.attach.seen",
    "system.attach.wake_secret",
];

/// The only path that a knock may go to.
pub const WAKE_PATH: &str = "/mcp_webhook/wake";

impl System for Service {
    async fn attach(&self, _: &Caller, wish: Attach) -> Result<Attached, RpcError> {
        let wake_url = wish.wake_url.get().map(|url| read_wake_url(&url.0)).transpose()?;
        let attachment = Attachment {
            database: Database { uuid: wish.database.0.0, name: wish.database_name.0.0 },
            instance: wish.instance.get().map(|instance| instance.0),
            wake_url,
            wake_secret: wish.wake_secret.get().map(|secret| WakeSecret(secret.0)),
        };
        let witness = Witness {
            seen: wish.seen.get().map(|count| count.0),
            cursor: wish.cursor.get().map(|cursor| cursor.0),
        };
        let attached = self.log.attach(attachment, wish.take_over.0.unwrap_or(false), witness);
        let attached = attached.await?.map_err(|_| fenced(&self.log))?;
        Ok(Attached {
            log_id: Wire(LogId(attached.log_id.to_string())),
            version: self.vitals.version.to_owned(),
            accepted_to: Wire(Count(attached.accepted_to)),
        })
    }

    async fn info(&self, _: &Caller, _: GetInfo) -> Result<Info, RpcError> {
        let pending = self.log.read(webhook_log::Snapshot::pending)?;
        Ok(Info {
            version: self.vitals.version.to_owned(),
            log_id: Wire(LogId(self.log.log_id().to_string())),
            uptime_s: self.vitals.started.elapsed().as_secs(),
            pending,
            retention_days: self.vitals.retention.as_secs() / 86_400,
            store: "redb".to_owned(),
            features: features(),
        })
    }

    async fn discover(&self, caller: &Caller, _: Discover) -> Result<Wire<Object>, RpcError> {
        Ok(Wire(openrpc::document::<Self>(self.vitals.version, caller.is_admin)))
    }
}

fn features() -> Vec<String> {
    let methods = Service::methods().filter(|method| method.is_feature).map(|method| method.name);
    let mut all: Vec<String> = methods.chain(FEATURES).map(str::to_owned).collect();
    all.sort_unstable();
    all
}

fn read_wake_url(text: &str) -> Result<String, Invalid> {
    let wrong = |message: &str| Invalid::params("wake_url", message);
    let url = Url::parse(text)
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
