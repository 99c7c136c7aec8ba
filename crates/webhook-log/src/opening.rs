//! How a store opens, is synced and closes: what the journal has goes into it, and what it says is read into memory.

use std::{cell::RefCell, collections::HashSet, sync::Arc};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableError, WriteTransaction};
use webhook_model::SubscriptionId;

use crate::{
    due::Snapshot,
    journal::{self, Epoch, Journal, Redo},
    log::Memory,
    medium::{Medium, OpenError},
    meta::Attachment,
    record,
    seal::SealingKey,
    subscriptions::{self, SubscriptionSet},
    tables::{FORMAT, Head, META, SUBSCRIPTIONS, Tx},
};

/// What is read when the store opens.
pub(crate) struct Opened {
    pub database: Database,
    pub journal: Journal,
    pub head: Head,
    pub memory: Memory,
    pub lanes: HashSet<SubscriptionId>,
}

/// Opens the store, makes it where there is none, and reads what is kept in memory.
pub(crate) fn open<M: Medium>(medium: &mut M, key: &SealingKey) -> Result<Opened, OpenError> {
    let database = medium.open()?;
    let found = format(&database)?;
    if found.is_some_and(|found| found > FORMAT) {
        return Err(OpenError::Newer { found: found.unwrap_or_default(), known: FORMAT });
    }
    let journal = Journal::open(medium.journal()?, M::JOURNAL)?;
    let journal = prepare(&database, found.is_none(), journal, key)?;
    let txn = database.begin_read().map_err(redb::Error::from)?;
    let meta = txn.open_table(META).map_err(redb::Error::from)?;
    let damaged = || OpenError::Damaged("its facts about itself are missing".to_owned());
    let log_id: Arc<str> =
        String::from_utf8(fact(&meta, "log_id")?.ok_or_else(damaged)?).map_err(|_| damaged())?.into();
    let head = record::decode_head(&fact(&meta, "head")?.ok_or_else(damaged)?).map_err(|_| damaged())?;
    let attachment =
        fact(&meta, "attachment")?.and_then(|text| serde_json::from_slice::<Attachment>(&text).ok());
    let bytes = fact(&meta, "bytes")?.and_then(|row| row.try_into().ok()).map_or(0, u64::from_be_bytes);
    let set = read_subscriptions(&txn, key)?;
    let snapshot = Snapshot::new(txn, Arc::clone(&log_id));
    let lanes = snapshot.lanes()?.into_iter().collect();
    drop((meta, snapshot));
    let memory = Memory { log_id, set, attachment: attachment.map(Arc::new), bytes };
    Ok(Opened { database, journal, head, memory, lanes })
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

/// Makes the tables of a new store; brings an older format and what the journal has into one that is there. One commit.
fn prepare(
    database: &Database,
    is_new: bool,
    (mut journal, is_empty): (Journal, bool),
    key: &SealingKey,
) -> Result<Journal, OpenError> {
    let txn = database.begin_write().map_err(redb::Error::from)?;
    if is_new {
        make_tables(&txn, key)?;
    } else {
        replay(&txn, &mut journal, is_empty, key)?;
        let anew = subscriptions::seal_anew(&txn, key)?;
        if anew > 0 {
            tracing::info!(
                subscriptions = anew,
                "sealed anew with the present key; the old one is not needed for this log any more"
            );
        }
    }
    sync(txn, &mut journal)?;
    Ok(journal)
}

fn make_tables(txn: &WriteTransaction, key: &SealingKey) -> Result<(), redb::Error> {
    let (head, redo) = (Head { seq: 1, change: 1 }, RefCell::new(Redo::off()));
    let mut tx = Tx::new(txn, &redo, head, Memory::nothing(), key);
    tx.make_tables()?;
    tx.meta.insert("log_id", new_log_id().as_bytes())?;
    tx.meta.insert("head", record::encode_head(head).as_slice())?;
    Ok(())
}

/// A store that says `epoch` was not closed: what followed that sync is in the journal.
fn replay(
    txn: &WriteTransaction,
    journal: &mut Journal,
    is_empty: bool,
    key: &SealingKey,
) -> Result<(), OpenError> {
    let redo = RefCell::new(Redo::off());
    let mut tx = Tx::new(txn, &redo, Head { seq: 1, change: 1 }, Memory::nothing(), key);
    let Some(epoch) = fact(tx.meta.read()?, "epoch")? else { return Ok(()) };
    let lost = |what: &str| OpenError::JournalLost(what.to_owned());
    let epoch: Epoch = epoch.try_into().map_err(|_| lost("the store names it wrongly"))?;
    if is_empty {
        return Err(lost("it is missing, or cut short"));
    }
    let mut commits = 0_u64;
    while let Some(record) = journal.next(&epoch)? {
        journal::changes(&record).try_for_each(|change| tx.replay(&change))?;
        commits += 1;
    }
    if journal.is_torn_apart(&epoch)? {
        return Err(lost("it is damaged in the middle"));
    }
    if commits > 0 {
        tracing::info!(
            commits,
            "the sidecar was not stopped in order; what it had committed since the store's last sync was read from the journal"
        );
    }
    Ok(())
}

/// Commits and syncs the store, behind which the journal begins anew. Quick to repair, and so also two-phase, as is
/// advised where others choose the data.
pub(crate) fn sync(mut txn: WriteTransaction, journal: &mut Journal) -> Result<(), redb::Error> {
    let epoch = journal::new_epoch()?;
    {
        let mut meta = txn.open_table(META)?;
        meta.insert("format", FORMAT.to_be_bytes().as_slice())?;
        meta.insert("epoch", epoch.as_slice())?;
    }
    txn.set_quick_repair(true);
    txn.commit()?;
    journal.restart(epoch);
    Ok(())
}

/// The last sync: the store stands for itself, whatever becomes of the journal.
pub(crate) fn close(database: &Database) -> Result<(), redb::Error> {
    let mut txn = database.begin_write()?;
    txn.open_table(META)?.remove("epoch")?;
    txn.set_quick_repair(true);
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
                tracing::error!(subscription_id = %id, "a stored subscription could not be read (another key?); its deliveries fail as inactive until Odoo sends it again")
            }
        }
    }
    Ok(set)
}
