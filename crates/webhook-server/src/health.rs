//! Whether the sidecar can do its work, and what is in the way.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use webhook_api::admin::Reason;
use webhook_log::{Health, Hold};

use crate::{space::Space, vitals::Vitals};

/// Odoo pulls every minute; after this time something is wrong.
const PULL_PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Everything that is in the way now, worst first.
pub fn reasons(vitals: &Vitals) -> Vec<Reason> {
    let store = match &*vitals.log.health().borrow() {
        Health::Ready => None,
        Health::Full { reason } => Some(Reason {
            kind: "disk_full".to_owned(),
            message: format!(
                "nothing new is accepted, deliveries go on: {reason} in {}; make room, or lower retention.days",
                vitals.data.path().display()
            ),
            stops_work: true,
        }),
        Health::Unavailable { reason } => Some(Reason {
            kind: "store_unavailable".to_owned(),
            message: format!("{reason}; it is opened again by itself once the cause is gone"),
            stops_work: true,
        }),
    };
    let dispatcher = vitals.dispatcher_gone.load(Relaxed).then(|| Reason {
        kind: "dispatcher_stopped".to_owned(),
        message: "nothing is sent any more; restart mcp-webhookd and report its log".to_owned(),
        stops_work: true,
    });
    let held = (*vitals.log.hold().borrow() == Hold::Sync).then(|| Reason {
        kind: "awaiting_sync".to_owned(),
        message: "the delivery log was put back to an earlier state, so its subscriptions may be those of another day; \
                  nothing is sent until Odoo has sent them again: look whether Odoo runs, with its scheduled actions"
            .to_owned(),
        stops_work: true,
    });
    store
        .into_iter()
        .chain(dispatcher)
        .chain(held)
        .chain(unreadable(vitals))
        .chain(unpulled(vitals))
        .chain(low_disk(vitals))
        .chain(silent_odoo(vitals))
        .collect()
}

/// Told before intake stops.
fn low_disk(vitals: &Vitals) -> Option<Reason> {
    let space = Space::of(vitals.data.path()).ok()?;
    let is_low = !space.is_short() && space.free < 2 * space.reserve();
    is_low.then(|| Reason {
        kind: "disk_low".to_owned(),
        message: format!("{space} in {}; make room, or lower retention.days", vitals.data.path().display()),
        stops_work: false,
    })
}

/// Their settings are in Odoo, which sends them when it attaches to a log that has lost some.
fn unreadable(vitals: &Vitals) -> Option<Reason> {
    let count = vitals.log.subscriptions().unreadable().len();
    (count > 0).then(|| Reason {
        kind: "subscriptions_unreadable".to_owned(),
        message: format!(
            "{count} stored subscriptions cannot be read, and their deliveries wait; Odoo sends them again when it is \
             restarted, or delete and create them again"
        ),
        stops_work: false,
    })
}

/// What is kept longer than asked for, and not for ever.
fn unpulled(vitals: &Vitals) -> Option<Reason> {
    let since = vitals.log.overdue()?;
    Some(Reason {
        kind: "unpulled".to_owned(),
        message: format!(
            "outcomes since {since} are kept beyond retention.days because Odoo has not asked for them; after {} days they \
             go unseen: look whether Odoo runs, with its scheduled actions",
            vitals.unpulled.as_secs() / 86_400
        ),
        stops_work: false,
    })
}

fn silent_odoo(vitals: &Vitals) -> Option<Reason> {
    vitals.log.attachment()?;
    let silence = match vitals.last_pull() {
        None => vitals.started.elapsed(),
        Some(pulled) => vitals.now().since(pulled),
    };
    (silence > PULL_PATIENCE).then(|| Reason {
        kind: "odoo_silent".to_owned(),
        message: format!(
            "Odoo has not asked for results for {} minutes; is it running, with its scheduled actions?",
            silence.as_secs() / 60
        ),
        stops_work: false,
    })
}
