//! Backup and restore: a log as a file that can be put elsewhere.
//!
//! A backup is a copy of one snapshot, row by row, taken while the sidecar works; secrets stay sealed in it, and the
//! key is not part of it. A restored log has a new identity: what Odoo pulled from the log before says nothing about
//! this one, so the addon sends its subscriptions again and reads the feed from the beginning. What was pending when
//! the backup was made is pending again, and sent again under the same ids.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{Database, Key, ReadableDatabase, ReadableTable, TableDefinition, Value};

use crate::{
    due::Snapshot,
    medium::{self, OpenError, Unfinished},
    opening::{self, Loss},
    seal::SealingKey,
    tables::{
        ATTEMPTS, CHANGES, CLOSED, DUE, EVENTS, FORMAT, GONE, IDS, META, OUTCOMES, RETRY_AT, SUBSCRIPTIONS,
    },
};

/// Rows written in one commit of a copy.
const STEP: u64 = 50_000;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It would overwrite something.
    #[error("{0} exists already; name another file, or move it away")]
    Exists(PathBuf),
    /// The file to restore is not sound.
    #[error("{file} is not a sound delivery log: {fault}; choose another backup")]
    Unsound {
        /// The backup.
        file: PathBuf,
        /// The first thing that is wrong with it.
        fault: String,
    },
    /// The file to restore, or the present store, does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file system said no.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// redb said no.
    #[error("the copy could not be written: {0}")]
    Store(#[source] Box<redb::Error>),
}

impl<E: Into<redb::Error>> From<E> for CopyError {
    fn from(error: E) -> Self {
        Self::Store(Box::new(error.into()))
    }
}

impl Snapshot {
    /// Writes everything to a new file with mode 0600, whole or not at all. `progress` hears the rows written so far.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub fn backup(&self, file: &Path, mut progress: impl FnMut(u64)) -> Result<u64, CopyError> {
        if file.exists() {
            return Err(CopyError::Exists(file.to_owned()));
        }
        // Whatever goes wrong, the disk has the room again.
        let unfinished = Unfinished::new(file.with_extension("unfinished"));
        let to = medium::create(unfinished.path())?;
        let mut rows = 0;
        let mut done = |step| {
            rows += step;
            progress(rows);
        };
        copy(self, &to, META, &mut done)?;
        opening::close(&to)?;
        copy(self, &to, SUBSCRIPTIONS, &mut done)?;
        copy(self, &to, IDS, &mut done)?;
        copy(self, &to, EVENTS, &mut done)?;
        copy(self, &to, ATTEMPTS, &mut done)?;
        copy(self, &to, DUE, &mut done)?;
        copy(self, &to, RETRY_AT, &mut done)?;
        copy(self, &to, CHANGES, &mut done)?;
        copy(self, &to, OUTCOMES, &mut done)?;
        copy(self, &to, CLOSED, &mut done)?;
        copy(self, &to, GONE, &mut done)?;
        drop(to);
        medium::take_name(unfinished.path(), file).map_err(|error| CopyError::Io(file.to_owned(), error))?;
        Ok(rows)
    }
}

fn copy<K: Key + 'static, V: Value + 'static>(
    from: &Snapshot,
    to: &Database,
    table: TableDefinition<'static, K, V>,
    done: &mut impl FnMut(u64),
) -> Result<(), CopyError> {
    let rows = from.txn.open_table(table)?;
    let mut rows = rows.iter()?;
    loop {
        let txn = to.begin_write()?;
        let mut written = 0;
        {
            let mut into = txn.open_table(table)?;
            for row in rows.by_ref() {
                from.go_on()?;
                let (key, value) = row?;
                into.insert(key.value(), value.value())?;
                written += 1;
                if written == STEP {
                    break;
                }
            }
        }
        txn.commit()?;
        done(written);
        if written < STEP {
            return Ok(());
        }
    }
}

/// Puts a backup in the place of `store`, which must not be in use; answers where the store that was there is now.
/// That one is whole without its journal, unless it was too damaged to open. A database that was attached brings its
/// settings before anything of the backup is sent.
///
/// # Errors
/// The backup is not sound or was sealed with another key, the store is in use, or the file system said no. Nothing has
/// changed then. With `forget_secrets` the key does not matter: what it sealed waits until it is sent again.
pub fn restore(
    backup: &Path,
    store: &Path,
    key: &SealingKey,
    forget_secrets: bool,
) -> Result<Option<PathBuf>, CopyError> {
    let replaced = store.with_extension("replaced");
    if replaced.exists() {
        return Err(CopyError::Exists(replaced));
    }
    let unfinished = Unfinished::new(store.with_extension("unfinished"));
    let in_use =
        || store.exists().then(|| opening::rehearse(&mut medium::File::new(store), key, Loss::default()));
    if let Some(Err(error @ OpenError::Locked)) = in_use() {
        return Err(error.into());
    }
    make_ready(backup, unfinished.path(), key, Loss { journal: false, secrets: forget_secrets })?;
    let was_there = store.exists();
    if was_there {
        match opening::open(&mut medium::File::new(store), key) {
            Ok(opened) => opening::close(&opened.database)?,
            Err(error @ OpenError::Locked) => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "the present store is replaced as it is"),
        }
    }
    let io = |error| CopyError::Io(store.to_owned(), error);
    if was_there {
        fs::hard_link(store, &replaced).map_err(io)?;
    }
    medium::take_name(unfinished.path(), store).map_err(io)?;
    Ok(was_there.then_some(replaced))
}

/// A copy of the backup that was examined and has an identity of its own.
fn make_ready(backup: &Path, unfinished: &Path, key: &SealingKey, loss: Loss) -> Result<(), CopyError> {
    let io = |error| CopyError::Io(backup.to_owned(), error);
    let mut from = fs::File::open(backup).map_err(io)?;
    std::io::copy(&mut from, &mut medium::private(unfinished).map_err(io)?).map_err(io)?;
    let database = medium::open(unfinished)?;
    examine(&database, backup)?;
    {
        let txn = database.begin_write()?;
        opening::check_key(&txn, key, loss)?;
        txn.commit()?;
    }
    opening::renew(&database, false)?;
    Ok(opening::close(&database)?)
}

fn examine(database: &Database, backup: &Path) -> Result<(), CopyError> {
    let unsound = |fault: String| CopyError::Unsound { file: backup.to_owned(), fault };
    match opening::format(database)? {
        Some(1..=FORMAT) => {}
        Some(found) if found > FORMAT => return Err(OpenError::Newer { found, known: FORMAT }.into()),
        Some(_) => return Err(unsound("its format is unknown".to_owned())),
        None => return Err(unsound("it has no facts about itself".to_owned())),
    }
    let txn = database.begin_write()?;
    // Formats before 3 had no such table.
    txn.open_table(GONE)?;
    txn.commit()?;
    let txn = database.begin_read()?;
    let faults = Snapshot::new(txn, "".into(), Arc::default(), Arc::default()).check()?;
    faults.into_iter().next().map_or(Ok(()), |fault| Err(unsound(fault)))
}
