//! Whether the sidecar can do its work, and what is in the way.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use serde::Serialize;
use webhook_log::{Health, Hold};

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
    let held = (*service.log.hold().borrow() == Hold::Sync).then(|| Reason {
        kind: "awaiting_sync",
        message: "the delivery log was put back to an earlier state, so its subscriptions may be those of another day; \
                  nothing is sent until Odoo has sent them again: look whether Odoo runs, with its scheduled actions"
            .to_owned(),
        stops_work: true,
    });
    store
        .into_iter()
        .chain(dispatcher)
        .chain(held)
        .chain(unreadable(service))
        .chain(unpulled(service))
        .chain(low_disk(service))
        .chain(silent_odoo(service))
        .collect()
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

/// Their settings are in Odoo, which sends them when it attaches to a log that has lost some.
fn unreadable(service: &Service) -> Option<Reason> {
    let count = service.log.subscriptions().unreadable().len();
    (count > 0).then(|| Reason {
        kind: "subscriptions_unreadable",
        message: format!(
            "{count} stored subscriptions cannot be read, and their deliveries wait; Odoo sends them again when it is \
             restarted, or delete and create them again"
        ),
        stops_work: false,
    })
}

/// What is kept longer than asked for, and not for ever.
fn unpulled(service: &Service) -> Option<Reason> {
    let since = service.log.overdue()?;
    Some(Reason {
        kind: "unpulled",
        message: format!(
            "outcomes since {since} are kept beyond retention.days because Odoo has not asked for them; after {} days they \
             go unseen: look whether Odoo runs, with its scheduled actions",
            service.unpulled.as_secs() / 86_400
        ),
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
