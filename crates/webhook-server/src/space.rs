//! The free space of a file system, and the reserve that intake leaves there.

use std::path::Path;

/// Free space that intake leaves to what must go on, on a large file system.
const RESERVE: u64 = 200 << 20;
/// The same on a small one: one part in so many.
const RESERVE_PART: u64 = 20;

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
