//! What runs beside deliveries and never delays them: retention, and a reserve of free space.

use std::{path::Path, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use webhook_log::{Keep, Log};

use crate::rpc::Service;

/// Deliveries forgotten in one commit.
const PURGE_STEP: usize = 200;
/// How often retention looks.
const PURGE_EVERY: Duration = Duration::from_secs(60);
/// How often free space is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Free space that intake leaves to what must go on, on a large file system.
const RESERVE: u64 = 200 << 20;
/// The same on a small one: one part in so many.
const RESERVE_PART: u64 = 20;

/// Forgets deliveries that are older than the retention, and the oldest where there are too many of them.
pub async fn retain(service: Arc<Service>, stop: CancellationToken) {
    loop {
        let keep = service.keep(service.now());
        forget_old(&service.log, keep, &stop).await;
        if let Some(most) = service.retention_bytes {
            forget_surplus(&service.log, keep, most, &stop).await;
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
pub async fn guard_space(service: Arc<Service>, stop: CancellationToken) {
    loop {
        // What cannot be looked at is no reason to stop; writing will tell.
        if let Ok(space) = Space::of(service.data.path()) {
            service.log.set_full(space.is_short().then(|| space.to_string()));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// The space of a file system, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// What the sidecar's user may still write.
    pub free: u64,
    total: u64,
}

impl Space {
    /// Of the file system that `path` is on.
    ///
    /// # Errors
    /// The path cannot be looked at.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        let found = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Self { free: bytes(found.f_bavail), total: bytes(found.f_blocks) })
    }

    /// What intake leaves free: 200 MB, or 5 % of a small file system.
    pub fn reserve(&self) -> u64 {
        RESERVE.min(self.total / RESERVE_PART)
    }

    /// So little is free that intake stops.
    pub fn is_short(&self) -> bool {
        self.free < self.reserve()
    }
}

impl std::fmt::Display for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        write!(f, "{:.1} MB are free and {:.1} MB are the reserve", mb(self.free), mb(self.reserve()))
    }
}
