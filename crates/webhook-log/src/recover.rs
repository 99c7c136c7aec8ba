//! A store that is not what it was: what would be lost if one goes on with it, and how to. Until somebody decides, it
//! stays as it is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use redb::{Database, ReadableDatabase};

use crate::{
    due::Snapshot,
    log::Memory,
    medium::{self, File, OpenError},
    opening::{self, Loss, Opened},
    seal::SealingKey,
};

/// A log that is looked at as it would open, in memory; the files stay as they are.
pub struct Look {
    database: Database,
    memory: Memory,
}

impl std::fmt::Debug for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Look(..)")
    }
}

impl Look {
    /// Looks at the log in `store`; none where there is none.
    ///
    /// # Errors
    /// It would not open. See [`OpenError`].
    pub fn at(store: &Path, key: &SealingKey) -> Result<Option<Self>, OpenError> {
        Ok(opening::rehearse(&mut File::new(store), key, Loss::default())?.map(Self::of))
    }

    /// The same, and compares every page with its checksum, as it is on the disk.
    ///
    /// # Errors
    /// It would not open. See [`OpenError`].
    pub fn closely(store: &Path, key: &SealingKey) -> Result<Option<Self>, OpenError> {
        Ok(opening::rehearse(&mut File::closely(store), key, Loss::default())?.map(Self::of))
    }

    fn of(opened: Opened) -> Self {
        Self { database: opened.database, memory: opened.memory }
    }

    /// Reads it.
    ///
    /// # Errors
    /// The store failed.
    pub fn read<T>(&self, look: impl FnOnce(&Snapshot) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        let txn = self.database.begin_read()?;
        look(&Snapshot::new(txn, self.memory.log_id.clone(), Default::default(), Default::default()))
    }

    /// Its identity.
    pub fn log_id(&self) -> &str {
        &self.memory.log_id
    }
}

/// What is left of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// It opens, with so much in it.
    Store {
        /// Events, of which so many are pending.
        events: u64,
        /// Deliveries that would go on.
        pending: u64,
        /// Commits behind the store's last sync that the journal still has.
        replayed: u64,
    },
    /// Nothing: a new log begins.
    Nothing,
}

/// How one can go on.
#[derive(Debug)]
pub struct Plan {
    /// Why the store does not open.
    pub reason: OpenError,
    /// What would be left.
    pub left: Left,
    loss: Loss,
}

/// Looks at what can be saved of a store that does not open, and changes nothing. `None`: it opens.
///
/// # Errors
/// It is not to be recovered: it is in use, of a newer version, on a disk that does not work, or its secrets would be
/// lost and nobody said that they may be.
pub fn plan(store: &Path, key: &SealingKey, forget_secrets: bool) -> Result<Option<Plan>, OpenError> {
    let reason = match opening::rehearse(&mut File::closely(store), key, Loss::default()) {
        Ok(_) => return Ok(None),
        Err(reason) => reason,
    };
    let left = match &reason {
        OpenError::Locked | OpenError::Newer { .. } | OpenError::Io(_) | OpenError::Store(_) => {
            return Err(reason);
        }
        OpenError::WrongKey if !forget_secrets => return Err(reason),
        OpenError::StoreMissing | OpenError::Damaged(_) => Left::Nothing,
        OpenError::WrongKey | OpenError::JournalLost(_) => {
            let loss = Loss { journal: true, secrets: forget_secrets };
            match opening::rehearse(&mut File::closely(store), key, loss) {
                Ok(Some(opened)) => {
                    let replayed = opened.replayed;
                    let look = Look::of(opened);
                    let (events, pending) = look.read(|s| Ok((s.size()?.0, s.pending()?)))?;
                    Left::Store { events, pending, replayed }
                }
                Err(OpenError::WrongKey) => return Err(OpenError::WrongKey),
                Ok(None) | Err(_) => Left::Nothing,
            }
        }
    };
    Ok(Some(Plan { reason, left, loss: Loss { journal: true, secrets: forget_secrets } }))
}

/// Carries a plan out; answers where what it discards is now. The log is another one then, and an attached database
/// brings its settings before anything is sent.
///
/// # Errors
/// The file system said no. What is discarded has a copy before anything changes.
pub fn recover(store: &Path, key: &SealingKey, plan: &Plan) -> Result<Vec<PathBuf>, OpenError> {
    let journal = medium::journal(store);
    let mut kept = Vec::new();
    for file in [store, &journal] {
        if file.exists() {
            kept.push(keep(file)?);
        }
    }
    if plan.left == Left::Nothing {
        for file in [store, &journal] {
            match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
    }
    let opened = opening::open_as(&mut File::new(store), key, plan.loss)?;
    opening::renew(&opened.database, plan.left != Left::Nothing)?;
    opening::close(&opened.database)?;
    Ok(kept)
}

/// A copy beside a file, on disk, under the first name that is free.
fn keep(file: &Path) -> Result<PathBuf, OpenError> {
    let mut number = 1;
    let copy = loop {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".discarded-{number}"));
        let name = PathBuf::from(name);
        if !name.exists() {
            break name;
        }
        number += 1;
    };
    let mut unfinished = copy.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = medium::Unfinished::new(PathBuf::from(unfinished));
    io::copy(&mut fs::File::open(file)?, &mut medium::private(unfinished.path())?)?;
    medium::take_name(unfinished.path(), &copy)?;
    Ok(copy)
}
