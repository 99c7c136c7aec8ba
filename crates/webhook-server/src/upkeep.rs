//! What runs beside deliveries and never delays them: retention, and a reserve of free space.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use webhook_log::{Keep, Log};

use crate::{files::DataDir, space::Space, vitals::Vitals};

/// Deliveries forgotten in one commit.
const PURGE_STEP: usize = 200;
/// How often retention looks.
const PURGE_EVERY: Duration = Duration::from_secs(60);
/// How often free space is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Forgets deliveries that are older than the retention, and the oldest where there are too many of them.
pub async fn retain(vitals: Arc<Vitals>, stop: CancellationToken) {
    loop {
        let keep = vitals.keep(vitals.now());
        forget_old(&vitals.log, keep, &stop).await;
        if let Some(most) = vitals.retention_bytes {
            forget_surplus(&vitals.log, keep, most, &stop).await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PURGE_EVERY) => {}
        }
    }
}

async fn forget_old(log: &Log, keep: Keep, stop: &CancellationToken) {
    while !stop.is_cancelled()
        && let Ok(PURGE_STEP..) = log.purge(keep, PURGE_STEP).await
    {
        tokio::task::yield_now().await;
    }
}

async fn forget_surplus(log: &Log, keep: Keep, most: u64, stop: &CancellationToken) {
    let is_too_much = || log.stored_bytes() > most && !stop.is_cancelled();
    while is_too_much() && matches!(log.purge_surplus(keep.unpulled_since, PURGE_STEP).await, Ok(1..)) {
        tokio::task::yield_now().await;
    }
}

/// Stops intake while less than the reserve is free. Deliveries, redeliveries, deletion and retention go on.
pub async fn guard_space(log: Log, data: DataDir, stop: CancellationToken) {
    loop {
        // What cannot be looked at is no reason to stop; writing will tell.
        if let Ok(space) = Space::of(data.path()) {
            log.set_full(space.is_short().then(|| space.to_string()));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
