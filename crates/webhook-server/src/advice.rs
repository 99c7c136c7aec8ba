//! Failures as an operator reads them: what happened, why, and last what to do.

use std::{fmt::Display, path::Path};

use anyhow::{Result, anyhow};
use webhook_log::{CopyError, medium::OpenError};

/// Makes a failure a sentence that ends with the remedy.
pub trait Advise<T> {
    /// `what: why; remedy`.
    ///
    /// # Errors
    /// The same failure, as that sentence.
    fn advise(self, what: impl Display, remedy: impl Display) -> Result<T>;
}

impl<T, E: Display> Advise<T> for Result<T, E> {
    fn advise(self, what: impl Display, remedy: impl Display) -> Result<T> {
        self.map_err(|error| anyhow!("{what}: {error}; {remedy}"))
    }
}

/// Why the delivery log did not open, and what to do.
pub fn of_open(error: &OpenError) -> String {
    match error {
        OpenError::Locked => {
            "another mcp-webhookd has the delivery log open; stop that one, or give this one a data \
                              directory of its own with --data-dir DIR"
                .to_owned()
        }
        OpenError::Io(_) | OpenError::Store(_) => {
            format!("{error}; look at the disk, and at the rights of the data directory")
        }
        // These say it themselves.
        _ => error.to_string(),
    }
}

/// Why a backup was not made, and what to do.
pub fn of_backup(file: &Path, error: &CopyError) -> String {
    let why = match error {
        CopyError::Exists(_) => return error.to_string(),
        CopyError::Open(OpenError::Io(error)) | CopyError::Io(_, error) => error.to_string(),
        _ => error.to_string(),
    };
    format!(
        "{} cannot be written: {why}; name a file where the sidecar's user may write (the package's service: below its \
         data directory), on a disk with room",
        file.display()
    )
}

/// Why a backup was not restored, and what to do.
pub fn of_restore(error: &CopyError) -> String {
    match error {
        CopyError::Open(error) => of_open(error),
        CopyError::Io(..) | CopyError::Store(_) => {
            format!("{error}; look at the disk, and at the rights of the data directory")
        }
        // These say it themselves.
        _ => error.to_string(),
    }
}
