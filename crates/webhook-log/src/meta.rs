//! Whose log this is: its own identity, and the database that it serves.

use serde::{Deserialize, Serialize};

use crate::log::{Log, Pending};

/// An Odoo database, as it calls itself. A copy of it has another uuid or another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Odoo's `database.uuid`.
    pub uuid: String,
    /// Its name on the server.
    pub name: String,
}

/// The database that introduced itself, and where to knock when the feed moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Who may submit events.
    pub database: Database,
    /// An http(s) URL whose path is `/mcp_webhook/wake`.
    pub wake_url: Option<String>,
}

/// Another database is attached to this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another Odoo database is attached to this sidecar")]
pub struct Fenced;

impl Log {
    /// Binds the log to a database. The first one wins; another takes its place only with `take_over`.
    pub fn attach(&self, attachment: Attachment, take_over: bool) -> Pending<Result<(), Fenced>> {
        self.run(move |tx| {
            let present = tx.attachment.as_ref().map(|present| &present.database);
            if present.is_some_and(|present| *present != attachment.database) && !take_over {
                return Ok(Err(Fenced));
            }
            let text = serde_json::to_vec(&attachment).unwrap_or_default();
            tx.meta.insert("attachment", text.as_slice())?;
            tx.attachment = Some(attachment.into());
            Ok(Ok(()))
        })
    }
}
