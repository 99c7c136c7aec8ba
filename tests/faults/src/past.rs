//! What a log holds against what its database remembers: a loss that the log cannot see by itself must be seen there.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, ensure};
use webhook_log::{Attachment, Database, Hold, Log, SealingKey, Witness, medium::OpenError};
use webhook_model::{AttemptStatus, EventId};

use crate::power::{Fact, Image, KEY, Tape};

/// How a loss came to light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There was none.
    Nothing,
    /// The start refused the store.
    Refused,
    /// The database remembered more, so the log became another one.
    Remembered,
}

/// The database of all these logs.
pub fn odoo() -> Attachment {
    Attachment {
        database: Database { uuid: "u".into(), name: "n".into() },
        instance: None,
        wake_url: None,
        wake_secret: None,
    }
}

impl Image {
    /// Opens the log on this disk, introduces a database that remembers all that was told, and looks whether anything
    /// was lost in silence.
    ///
    /// # Errors
    /// It was; or a log that lost nothing became another one; or a log that became another one would send something.
    pub fn missed(&self) -> Result<Found> {
        // redb may panic on pages that a disk lost without a word. The sidecar catches that, and says so.
        catch_unwind(AssertUnwindSafe(|| self.missed_opened())).unwrap_or(Ok(Found::Refused))
    }

    fn missed_opened(&self) -> Result<Found> {
        let log = match Log::open(Tape::of(self.bytes.clone()), SealingKey::new(&KEY)) {
            Ok(log) => log,
            Err(
                OpenError::JournalLost(_)
                | OpenError::Damaged(_)
                | OpenError::StoreMissing
                | OpenError::WrongKey,
            ) => {
                return Ok(Found::Refused);
            }
            Err(error) => return Err(error.into()),
        };
        let mut witness = Witness::default();
        // What was told behind the last word to the database is not its to know.
        let (mut is_lost, mut is_missing) = (false, false);
        for fact in &self.facts {
            match fact {
                Fact::Remembered(count, cursor) => {
                    witness.seen = witness.seen.max(Some(*count));
                    witness.cursor = Some(cursor.clone());
                    is_lost |= is_missing;
                }
                Fact::Accepted(event) => is_missing |= attempts(&log, *event)?.is_empty(),
                Fact::Settled(event, number) => {
                    let found = attempts(&log, *event)?;
                    is_missing |=
                        !found.iter().any(|(n, status)| n == number && *status != AttemptStatus::Pending);
                }
                Fact::Submitted(_) => {}
            }
        }
        let before = log.log_id();
        let attached = log.attach(odoo(), false, witness).wait()?;
        let attached = attached.map_err(|_| anyhow::anyhow!("fenced"))?;
        let is_new = attached.log_id != before;
        ensure!(is_new || !is_lost, "V1: something that was told is lost, and nobody was told of that");
        ensure!(
            !is_new || *log.hold().borrow() == Hold::Sync,
            "it would send with the settings of another day"
        );
        log.close();
        Ok(if is_new { Found::Remembered } else { Found::Nothing })
    }
}

fn attempts(log: &Log, event: u128) -> Result<Vec<(u32, AttemptStatus)>> {
    let found = log.read(|s| s.attempts(EventId::from_u128(event)))?;
    Ok(found.into_iter().flatten().map(|attempt| (attempt.number, attempt.status)).collect())
}
