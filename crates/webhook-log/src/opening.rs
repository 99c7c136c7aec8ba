//! How a store opens, is synced and closes: what the journal has goes into it, and what it says is read into memory.

use std::{
    cell::RefCell,
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend, TableError, WriteTransaction,
    backends::InMemoryBackend,
};
use webhook_model::{Millis, SubscriptionId};

use crate::{
    due::Snapshot,
    journal::{self, Epoch, Found, Journal, Redo},
    log::Memory,
    medium::{self, Medium, OpenError},
    meta::{Attachment, WakeSecret},
    overlay::Overlay,
    record,
    seal::{KeyCheck, SealingKey},
    subscriptions::{self, SubscriptionSet},
    tables::{FORMAT, Head, META, SUBSCRIPTIONS, Tx},
};

/// The numbers of a log that has nothing.
const NEW: Head = Head { seq: 1, change: 1, count: 0, newest: Millis(0) };
/// A log of so many MiB takes a slow disk seconds to read.
const LONG_READING: u64 = 64;
/// Journals of format 2 had so many bytes.
const UNTITLED: u64 = 16 << 20;

/// What is read when the store opens.
pub(crate) struct Opened {
    pub database: Database,
    pub journal: Journal,
    /// Commits that the journal had.
    pub replayed: u64,
    pub head: Head,
    pub memory: Memory,
    pub lanes: HashSet<SubscriptionId>,
}

/// What somebody who opens a store that is not what it was is ready to lose.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Loss {
    /// What the journal has and cannot be read.
    pub journal: bool,
    /// Secrets that were sealed with another key.
    pub secrets: bool,
}

/// Opens the store, makes it where there is none, and reads what is kept in memory. A store that is not what it was is
/// refused, and stays as it is: everything is done once without the disk before it is done on it.
pub(crate) fn open<M: Medium>(medium: &mut M, key: &SealingKey) -> Result<Opened, OpenError> {
    drop(rehearse(medium, key, Loss::default())?);
    open_as(medium, key, Loss::default())
}

/// Opens the store as it would be, in memory; none where there is none.
pub(crate) fn rehearse<M: Medium>(
    medium: &mut M,
    key: &SealingKey,
    loss: Loss,
) -> Result<Option<Opened>, OpenError> {
    let Some(store) = medium.look()? else {
        return match medium.journal()?.map(|journal| journal.len()).transpose()? {
            Some(1..) => Err(OpenError::StoreMissing),
            _ => Ok(None),
        };
    };
    let is_believed = is_same_life(medium)?;
    if !is_believed {
        let mebibytes = store.len()? >> 20;
        if mebibytes >= LONG_READING {
            tracing::info!(
                mebibytes,
                "every page of the delivery log is compared with its checksum, as after each start of the machine"
            );
        }
        medium.read_ahead();
    }
    let mut rehearsal = Rehearsal { medium, store: Some(store), is_believed };
    // redb can panic on a damaged page.
    let opened = catch_unwind(AssertUnwindSafe(|| open_as(&mut rehearsal, key, loss)));
    opened.unwrap_or_else(|_| Err(OpenError::Damaged("reading it panicked".to_owned()))).map(Some)
}

/// A medium that is looked at.
struct Rehearsal<'m, M> {
    medium: &'m mut M,
    store: Option<Box<dyn StorageBackend>>,
    is_believed: bool,
}

/// Whether nothing but programs can have changed the store since it was last found sound.
fn is_same_life<M: Medium>(medium: &mut M) -> Result<bool, OpenError> {
    match (medium.life(), medium.journal()?) {
        (Some(life), Some(journal)) => Ok(journal::is_of(&*journal, life)?),
        _ => Ok(false),
    }
}

impl<M: Medium> Medium for Rehearsal<'_, M> {
    const JOURNAL: u64 = M::JOURNAL;

    fn open(&mut self) -> Result<Database, OpenError> {
        let store = self.store.take().ok_or(OpenError::StoreMissing)?;
        let mut builder = medium::builder();
        builder.set_check_integrity_on_open(!self.is_believed);
        Ok(builder.create_with_backend(Overlay::new(store)?)?)
    }

    fn look(&mut self) -> Result<Option<Box<dyn StorageBackend>>, OpenError> {
        self.medium.look()
    }

    fn journal(&mut self) -> Result<Option<Box<dyn StorageBackend>>, OpenError> {
        Ok(match self.medium.journal()? {
            Some(journal) => Some(Box::new(Overlay::new(journal)?)),
            None => None,
        })
    }

    fn make_journal(&mut self) -> Result<Box<dyn StorageBackend>, OpenError> {
        match self.journal()? {
            Some(journal) => Ok(journal),
            None => Ok(Box::new(InMemoryBackend::new())),
        }
    }
}

/// Opens the store, without a look before.
pub(crate) fn open_as<M: Medium>(medium: &mut M, key: &SealingKey, loss: Loss) -> Result<Opened, OpenError> {
    let database = medium.open()?;
    let found = format(&database)?;
    if found.is_some_and(|found| found > FORMAT) {
        return Err(OpenError::Newer { found: found.unwrap_or_default(), known: FORMAT });
    }
    let replayed = prepare(&database, medium, found, key, loss)?;
    let mut journal = Journal::make(medium.make_journal()?, M::JOURNAL, medium.life())?;
    sync(database.begin_write().map_err(redb::Error::from)?, &mut journal)?;
    let (head, memory, lanes) = read(&database, key)?;
    Ok(Opened { database, journal, replayed, head, memory, lanes })
}

/// What is kept in memory.
fn read(database: &Database, key: &SealingKey) -> Result<(Head, Memory, HashSet<SubscriptionId>), OpenError> {
    let txn = database.begin_read().map_err(redb::Error::from)?;
    let meta = txn.open_table(META).map_err(redb::Error::from)?;
    let damaged = || OpenError::Damaged("its facts about itself are missing".to_owned());
    let log_id: Arc<str> =
        String::from_utf8(fact(&meta, "log_id")?.ok_or_else(damaged)?).map_err(|_| damaged())?.into();
    let head = record::decode_head(&fact(&meta, "head")?.ok_or_else(damaged)?).map_err(|_| damaged())?;
    let wake_secret = fact(&meta, "wake_secret")?.unwrap_or_default();
    let attachment =
        fact(&meta, "attachment")?.and_then(|text| Attachment::from_stored(&text, &wake_secret, key));
    let number = |name| -> Result<u64, redb::Error> {
        Ok(fact(&meta, name)?.and_then(|row| row.try_into().ok()).map_or(0, u64::from_be_bytes))
    };
    let (bytes, forgotten_to) = (number("bytes")?, Millis(number("forgotten_to")?));
    let set = read_subscriptions(&txn, key)?;
    let awaits_sync = fact(&meta, "awaits_sync")?.is_some();
    let snapshot = Snapshot::new(txn, Arc::clone(&log_id), Arc::default(), Arc::default());
    let lanes = snapshot.lanes()?.into_iter().collect();
    let memory =
        Memory { log_id, set, attachment: attachment.map(Arc::new), awaits_sync, bytes, forgotten_to };
    Ok((head, memory, lanes))
}

/// The store's format; none where it has no tables yet. 0: it cannot be read.
pub(crate) fn format(database: &Database) -> Result<Option<u32>, redb::Error> {
    match database.begin_read()?.open_table(META) {
        Ok(meta) => Ok(fact(&meta, "format")?.map(|row| row.try_into().map(u32::from_be_bytes).unwrap_or(0))),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn fact(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<Vec<u8>>, redb::Error> {
    Ok(meta.get(name)?.map(|row| row.value().to_vec()))
}

/// Makes the tables of a new store; brings an older format and what the journal has into one that is there, after
/// which the store stands for itself. One commit; answers how many commits the journal had.
fn prepare<M: Medium>(
    database: &Database,
    medium: &mut M,
    found: Option<u32>,
    key: &SealingKey,
    loss: Loss,
) -> Result<u64, OpenError> {
    let txn = database.begin_write().map_err(redb::Error::from)?;
    let mut replayed = 0;
    match found {
        None => make_tables(&txn, key)?,
        Some(found) => {
            check_key(&txn, key, loss)?;
            replayed = replay(&txn, medium, found, key, loss)?;
            let anew = subscriptions::seal_anew(&txn, key)?;
            if seal_wake_secret_anew(&txn, key)? || anew > 0 {
                tracing::info!(
                    subscriptions = anew,
                    "sealed anew with the present key; the old one is not needed for this log any more"
                );
            }
        }
    }
    stand_alone(txn)?;
    Ok(replayed)
}

/// As [`subscriptions::seal_anew`]; answers whether it was to be done.
fn seal_wake_secret_anew(txn: &WriteTransaction, key: &SealingKey) -> Result<bool, redb::Error> {
    let mut meta = txn.open_table(META)?;
    let sealed = fact(&meta, "wake_secret")?.unwrap_or_default();
    let Some(anew) = WakeSecret::seal_anew(&sealed, key) else { return Ok(false) };
    meta.insert("wake_secret", anew.ok_or_else(subscriptions::random_source_failed)?.as_slice())?;
    Ok(true)
}

/// Whether this is the key that the store was sealed with. Formats before 3 had nothing to tell it by but the
/// subscriptions themselves.
pub(crate) fn check_key(txn: &WriteTransaction, key: &SealingKey, loss: Loss) -> Result<(), OpenError> {
    let mut meta = txn.open_table(META).map_err(redb::Error::from)?;
    let stored = fact(&meta, "key_check")?;
    let checked = stored.as_ref().and_then(|sealed| key.check(sealed));
    let is_right = match (&stored, checked) {
        (_, Some(_)) => true,
        // A check that is damaged is outvoted by a subscription that opens.
        (check, None) => match subscriptions::opens_any(txn, key)? {
            Some(opens) => opens,
            None => check.is_none(),
        },
    };
    if !is_right && !loss.secrets {
        return Err(OpenError::WrongKey);
    }
    if checked != Some(KeyCheck::Present) {
        let sealed = key.make_check().ok_or_else(subscriptions::random_source_failed)?;
        meta.insert("key_check", sealed.as_slice()).map_err(redb::Error::from)?;
    }
    Ok(())
}

fn make_tables(txn: &WriteTransaction, key: &SealingKey) -> Result<(), redb::Error> {
    let (head, redo) = (NEW, RefCell::new(Redo::off()));
    let mut tx = Tx::new(txn, &redo, head, Memory::nothing(), key);
    tx.make_tables()?;
    tx.meta.insert("log_id", new_log_id().as_bytes())?;
    tx.meta.insert("head", record::encode_head(head).as_slice())?;
    let check = key.make_check().ok_or_else(subscriptions::random_source_failed)?;
    tx.meta.insert("key_check", check.as_slice())?;
    Ok(())
}

/// A store that says `epoch` was not closed: what followed that sync is in the journal. Answers how many commits.
fn replay<M: Medium>(
    txn: &WriteTransaction,
    medium: &mut M,
    format: u32,
    key: &SealingKey,
    loss: Loss,
) -> Result<u64, OpenError> {
    let redo = RefCell::new(Redo::off());
    let mut tx = Tx::new(txn, &redo, NEW, Memory::nothing(), key);
    tx.make_tables()?;
    let Some(epoch) = fact(tx.meta.read()?, "epoch")? else { return Ok(0) };
    let lost = |what: &str| match loss.journal {
        true => Ok(()),
        false => Err(OpenError::JournalLost(what.to_owned())),
    };
    let Ok(epoch) = Epoch::try_from(epoch) else { return lost("the store names it wrongly").map(|()| 0) };
    let untitled = (format < 3).then_some(M::JOURNAL.min(UNTITLED));
    let found = medium.journal()?.map(|file| Journal::find(file, epoch, untitled)).transpose()?;
    let mut journal = match found {
        None => return lost("it is missing").map(|()| 0),
        Some(Found::Foreign(why)) => return lost(why).map(|()| 0),
        Some(Found::Cut(journal)) => {
            lost("it is cut short")?;
            journal
        }
        Some(Found::Whole(journal)) => journal,
    };
    let mut commits = 0;
    while let Some(record) = journal.next()? {
        journal::changes(&record).try_for_each(|change| tx.replay(&change))?;
        commits += 1;
    }
    if journal.is_torn_apart()? {
        lost("it is damaged in the middle")?;
    }
    Ok(commits)
}

/// Commits and syncs the store, behind which the journal begins anew. Quick to repair, and so also two-phase, as is
/// advised where others choose the data.
pub(crate) fn sync(mut txn: WriteTransaction, journal: &mut Journal) -> Result<(), redb::Error> {
    let epoch = journal::new_epoch()?;
    journal.announce(&epoch)?;
    txn.open_table(META)?.insert("epoch", epoch.as_slice())?;
    txn.set_quick_repair(true);
    txn.commit()?;
    journal.restart(epoch);
    Ok(())
}

/// Commits and syncs the store, which needs no journal then.
fn stand_alone(mut txn: WriteTransaction) -> Result<(), redb::Error> {
    {
        let mut meta = txn.open_table(META)?;
        meta.insert("format", FORMAT.to_be_bytes().as_slice())?;
        meta.remove("epoch")?;
    }
    txn.set_quick_repair(true);
    Ok(txn.commit()?)
}

/// The last sync: the store stands for itself, whatever becomes of the journal.
pub(crate) fn close(database: &Database) -> Result<(), redb::Error> {
    stand_alone(database.begin_write()?)
}

/// The log becomes another one. An attached database is to bring its settings before anything is sent; who `was_cut`
/// may have lost even the word that one is attached.
pub(crate) fn renew(database: &Database, was_cut: bool) -> Result<(), redb::Error> {
    let txn = database.begin_write()?;
    {
        let mut meta = txn.open_table(META)?;
        meta.insert("log_id", new_log_id().as_bytes())?;
        if was_cut || fact(&meta, "attachment")?.is_some() {
            meta.insert("awaits_sync", [1].as_slice())?;
        }
    }
    Ok(txn.commit()?)
}

/// The identity of a log that did not exist before.
pub(crate) fn new_log_id() -> String {
    uuid::Uuid::new_v4().hyphenated().to_string()
}

fn read_subscriptions(txn: &ReadTransaction, key: &SealingKey) -> Result<SubscriptionSet, redb::Error> {
    let mut set = SubscriptionSet::default();
    for row in txn.open_table(SUBSCRIPTIONS)?.iter()? {
        let (id, bytes) = row?;
        let id = SubscriptionId::from_u128(id.value());
        match subscriptions::from_row(id, bytes.value(), key) {
            Ok(subscription) => drop(set.put(subscription)),
            Err(_) => {
                tracing::error!(subscription_id = %id, "a stored subscription could not be read; its deliveries wait until Odoo sends it again");
                set.put_unreadable(id);
            }
        }
    }
    Ok(set)
}
