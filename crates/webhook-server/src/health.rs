//! Whether the sidecar can do its work, and what is in the way.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use serde::Serialize;
use webhook_log::Health;

use crate::{rpc::Service, upkeep::Space};

/// Odoo pulls every minute; after this time something is wrong.
const PULL_PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Something that is in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// A word for programs.
    pub kind: &'static str,
    /// What it is and what to do.
    pub message: String,
    /// Whether nothing is accepted or sent because of it.
    pub stops_work: bool,
}

/// Everything that is in the way now, worst first.
pub fn reasons(service: &Service) -> Vec<Reason> {
    let store = match &*service.log.health().borrow() {
        Health::Ready => None,
        Health::Full { reason } => Some(Reason {
            kind: "disk_full",
            message: format!(
                "nothing new is accepted, deliveries go on: {reason} in {}; make room, or lower retention.days",
                service.data.path().display()
            ),
            stops_work: true,
        }),
        Health::Unavailable { reason } => Some(Reason {
            kind: "store_unavailable",
            message: format!("{reason}; it is opened again by itself once the cause is gone"),
            stops_work: true,
        }),
    };
    let dispatcher = service.dispatcher_gone.load(Relaxed).then(|| Reason {
        kind: "dispatcher_stopped",
        message: "nothing is sent any more; restart mcp-webhookd and report its log".to_owned(),
        stops_work: true,
    });
    store.into_iter().chain(dispatcher).chain(low_disk(service)).chain(silent_odoo(service)).collect()
}

/// Told before intake stops.
fn low_disk(service: &Service) -> Option<Reason> {
    let space = Space::of(service.data.path()).ok()?;
    let is_low = !space.is_short() && space.free < 2 * space.reserve();
    is_low.then(|| Reason {
        kind: "disk_low",
        message: format!("{space} in {}; make room, or lower retention.days", service.data.path().display()),
        stops_work: false,
    })
}

fn silent_odoo(service: &Service) -> Option<Reason> {
    service.log.attachment()?;
    let pulled = service.pulled_at.load(Relaxed);
    let silence = if pulled == 0 {
        service.started.elapsed()
    } else {
        service.now().since(webhook_model::Millis(pulled))
    };
    (silence > PULL_PATIENCE).then(|| Reason {
        kind: "odoo_silent",
        message: format!(
            "Odoo has not asked for results for {} minutes; is it running, with its scheduled actions?",
            silence.as_secs() / 60
        ),
        stops_work: false,
    })
}
