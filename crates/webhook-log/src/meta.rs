//! Whose log this is: its own identity, the database that it serves, and whether both still have the same past.
//!
//! A data directory can be put back to an earlier day (a machine's snapshot, an old copy): nothing in it shows that.
//! Odoo knows: it remembers the highest count and the newest cursor that this log told it. A log that is behind either
//! becomes another log, so that Odoo brings its settings and what it has as pending, and sends nothing before that.

use std::sync::{Arc, PoisonError, atomic::Ordering::Relaxed};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    log::{Log, Pending, Shared},
    opening,
    seal::SealingKey,
    subscriptions::random_source_failed,
    tables::Tx,
};

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
    /// Where that database lives, by its own account: a copy of it has another.
    #[serde(default)]
    pub instance: Option<String>,
    /// An http(s) URL whose path is `/mcp_webhook/wake`.
    pub wake_url: Option<String>,
    /// Told with each knock.
    #[serde(skip)]
    pub wake_secret: Option<WakeSecret>,
}

/// By which Odoo knows its own sidecar's knock. Shown nowhere, and sealed on disk.
#[derive(Clone, PartialEq, Eq)]
pub struct WakeSecret(pub String);

impl std::fmt::Debug for WakeSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WakeSecret(..)")
    }
}

impl WakeSecret {
    /// What only the key before the present one opens, sealed with the present one: `None` where that is not so,
    /// `Some(None)` where sealing failed.
    pub(crate) fn seal_anew(sealed: &[u8], key: &SealingKey) -> Option<Option<Vec<u8>>> {
        let old = key.open(WAKE_OWNER, sealed).filter(|opened| opened.is_old)?;
        Some(key.seal(WAKE_OWNER, &old.plain))
    }
}

/// Whose secret the wake secret is, for the seal: no subscription's.
const WAKE_OWNER: u128 = u128::MAX - 1;

impl Attachment {
    /// Whether the other one is of another database, or of a copy. One that does not say where it lives is believed:
    /// addons before did not.
    fn is_of_another(&self, other: &Self) -> bool {
        let lives_elsewhere = self.instance.iter().zip(&other.instance).any(|(here, there)| here != there);
        self.database != other.database || lives_elsewhere
    }

    /// As it is on disk: what it says, and the wake secret, sealed.
    fn stored(&self, key: &SealingKey) -> Option<(Vec<u8>, Vec<u8>)> {
        let sealed = match &self.wake_secret {
            Some(secret) => key.seal(WAKE_OWNER, secret.0.as_bytes())?,
            None => Vec::new(),
        };
        Some((serde_json::to_vec(self).ok()?, sealed))
    }

    /// What [`Attachment::stored`] wrote. A secret that does not open any more is none: Odoo tells it again when it
    /// attaches.
    pub(crate) fn from_stored(text: &[u8], sealed: &[u8], key: &SealingKey) -> Option<Self> {
        let opened =
            key.open(WAKE_OWNER, sealed).and_then(|opened| String::from_utf8(opened.plain.to_vec()).ok());
        let attachment: Self = serde_json::from_slice(text).ok()?;
        Some(Self { wake_secret: opened.map(WakeSecret), ..attachment })
    }
}

/// Another database is attached to this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another Odoo database is attached to this sidecar")]
pub struct Fenced;

/// What Odoo remembers of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witness {
    /// The highest count that it was told ([`Attached::accepted_to`], [`crate::Accepted::accepted_to`]).
    pub seen: Option<u64>,
    /// Where its reading of the feed stands.
    pub cursor: Option<String>,
}

/// The log as its database finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its identity; another one than before when it went back.
    pub log_id: Arc<str>,
    /// How often it took something from outside: events, settings, redeliveries. Never less than it told before.
    pub accepted_to: u64,
}

/// Why nothing is sent, although the store works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It is.
    Nothing,
    /// The log has just opened: its database is asked first whether it has the same past. Ends with [`Log::attach`],
    /// or with [`Log::stop_waiting`].
    Attach,
    /// The log is behind its database: the settings are of another day. Ends with [`Log::sync_subscriptions`].
    Sync,
}

impl Log {
    /// Binds the log to a database. The first one wins; another takes its place only with `take_over`. A log that is
    /// behind what the database remembers of it becomes another one.
    pub fn attach(
        &self,
        mut attachment: Attachment,
        take_over: bool,
        witness: Witness,
    ) -> Pending<Result<Attached, Fenced>> {
        let shared = Arc::clone(self.shared());
        self.run(move |tx| {
            let present = tx.attachment.as_deref().filter(|_| !take_over);
            if present.is_some_and(|present| present.is_of_another(&attachment)) {
                return Ok(Err(Fenced));
            }
            let known = present.and_then(|present| present.instance.clone());
            attachment.instance = attachment.instance.or(known);
            let reason = match went_back(tx, &shared, &witness) {
                true => {
                    Some("Odoo has seen more of this log than it holds: it was put back to an earlier state")
                }
                false if tx.set.unreadable().is_empty() => None,
                false => Some("subscriptions in it cannot be read"),
            };
            if let Some(reason) = reason {
                tracing::warn!(
                    reason,
                    "the delivery log takes a new identity; nothing is sent until Odoo syncs"
                );
                tx.renew()?;
                shared.pulled.store(0, Relaxed);
            }
            let (text, sealed) = attachment.stored(tx.key).ok_or_else(random_source_failed)?;
            tx.meta.insert("attachment", text.as_slice())?;
            tx.meta.insert("wake_secret", sealed.as_slice())?;
            tx.attachment = Some(attachment.into());
            *shared.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner) = None;
            Ok(Ok(Attached { log_id: Arc::clone(&tx.log_id), accepted_to: tx.head.count }))
        })
    }

    /// Why nothing is sent, whenever that changes.
    pub fn hold(&self) -> watch::Receiver<Hold> {
        self.shared().hold.subscribe()
    }

    /// Goes on without having heard from the database.
    pub fn stop_waiting(&self) {
        self.shared().hold.send_if_modified(|hold| {
            let waits = *hold == Hold::Attach;
            if waits {
                *hold = Hold::Nothing;
            }
            waits
        });
    }
}

/// Whether the database was told more than the log could have told it.
fn went_back(tx: &Tx<'_>, shared: &Shared, witness: &Witness) -> bool {
    let count = shared.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(tx.head.count);
    match witness.cursor.as_deref().filter(|text| !text.is_empty()).map(Cursor::parse) {
        // It remembers another log, and will see that this one is new to it.
        Some(Some(cursor)) if cursor.log_id != &*tx.log_id => return false,
        Some(Some(cursor)) if cursor.change > shared.told_change.load(Relaxed) => return true,
        _ => {}
    }
    witness.seen.is_some_and(|seen| seen > count)
}

/// A place in the feed of one log, as others keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor<'a> {
    pub log_id: &'a str,
    pub change: u64,
}

impl<'a> Cursor<'a> {
    pub fn parse(text: &'a str) -> Option<Self> {
        let (log_id, change) = text.split_once(':')?;
        Some(Self { log_id, change: change.parse().ok()? })
    }
}

impl std::fmt::Display for Cursor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.log_id, self.change)
    }
}

impl Tx<'_> {
    /// The log becomes another one, whose settings its database brings.
    pub fn renew(&mut self) -> Result<(), redb::Error> {
        self.log_id = opening::new_log_id().into();
        self.meta.insert("log_id", self.log_id.as_bytes())?;
        self.hold_for_sync(true)
    }

    /// Whether nothing is sent until the settings are those of today.
    pub fn hold_for_sync(&mut self, hold: bool) -> Result<(), redb::Error> {
        if hold {
            self.meta.insert("awaits_sync", [1].as_slice())?;
        } else if self.awaits_sync {
            self.meta.remove("awaits_sync")?;
        }
        self.awaits_sync = hold;
        Ok(())
    }
}
