//! The one writer: a thread that groups whatever waits into one commit, and reopens the store after trouble.
//!
//! While one commit is being synced the next batch gathers. Only outcomes, for which nobody waits, are held back a
//! little, so that acceptance and outcomes share one fsync. A failed commit is *unknown*, not failed, so
//! everything in memory is read again from the reopened store and nobody in the batch gets an answer.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::AtomicU64,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use redb::{Database, ReadableDatabase, ReadableTable};
use tokio::sync::{Notify, oneshot, watch};
use webhook_model::SubscriptionId;

use crate::{
    due::Snapshot,
    histogram::Histogram,
    log::{COMMIT_BOUNDS, Health, Memory, Shared},
    medium::{Medium, OpenError},
    meta::Attachment,
    record,
    seal::SealingKey,
    subscriptions::{self, SubscriptionSet},
    tables::{Committed, FORMAT, Head, META, SUBSCRIPTIONS, Tx},
};

/// Tells a caller that its job is on disk.
pub(crate) type Ack = Box<dyn FnOnce() + Send>;
pub(crate) type Job = Box<dyn FnOnce(&mut Tx<'_>) -> Result<Ack, redb::Error> + Send>;

pub(crate) enum Message {
    /// Somebody waits for it.
    Job(Job),
    Compact(oneshot::Sender<bool>),
    /// It may wait a little, to share a commit with others.
    Patient(Job),
    Close,
}

/// Jobs in one commit. More wait for the next one.
const BATCH: usize = 1024;
/// How long a patient job waits for a commit that it can share.
pub(crate) const PATIENCE: Duration = Duration::from_millis(20);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(crate) struct Writer<M> {
    medium: M,
    key: SealingKey,
    shared: Arc<Shared>,
    messages: Receiver<Message>,
    head: Head,
}

/// What is read when the store opens.
struct Opened {
    database: Database,
    head: Head,
    memory: Memory,
    lanes: HashSet<SubscriptionId>,
}

impl<M: Medium> Writer<M> {
    pub fn start(
        mut medium: M,
        key: SealingKey,
        messages: Receiver<Message>,
    ) -> Result<(Arc<Shared>, Self), OpenError> {
        let opened = open(&mut medium, &key)?;
        let shared = Arc::new(Shared {
            database: RwLock::new(Some(opened.database)),
            memory: RwLock::new(opened.memory),
            lanes: Mutex::new(opened.lanes),
            lanes_moved: Notify::new(),
            feed: watch::Sender::new(opened.head.change - 1),
            pulled: AtomicU64::new(0),
            health: watch::Sender::new(Health::Ready),
            commits: Histogram::new(COMMIT_BOUNDS),
        });
        shared.lanes_moved.notify_one();
        Ok((Arc::clone(&shared), Self { medium, key, shared, messages, head: opened.head }))
    }

    pub fn run(mut self) {
        loop {
            let (batch, other) = self.gather();
            let is_over = matches!(other, Some(Message::Close));
            let mut done = if batch.is_empty() { Ok(()) } else { self.commit(batch) };
            if let (Ok(()), Some(Message::Compact(answer))) = (&done, other) {
                done = self.compact(answer);
            }
            if let Err(reason) = done
                && !self.heal(reason)
            {
                break;
            }
            if is_over {
                break;
            }
        }
        *self.shared.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.shared.health.send_replace(Health::Unavailable { reason: "the store was closed".to_owned() });
    }

    /// Waits for a job that cannot wait, or until a patient one has waited enough; takes what else is there, up to the
    /// first message that is no job.
    fn gather(&self) -> (Vec<Job>, Option<Message>) {
        let mut batch = Vec::new();
        let mut until = None;
        let mut is_urgent = false;
        while batch.len() < BATCH {
            let patience = match until {
                _ if is_urgent => Duration::ZERO,
                None => Duration::MAX,
                Some(until) => Instant::saturating_duration_since(&until, Instant::now()),
            };
            match self.messages.recv_timeout(patience) {
                Ok(Message::Job(job)) => {
                    batch.push(job);
                    is_urgent = true;
                }
                Ok(Message::Patient(job)) => {
                    batch.push(job);
                    until.get_or_insert_with(|| Instant::now() + PATIENCE);
                }
                Ok(other) => return (batch, Some(other)),
                Err(RecvTimeoutError::Disconnected) => return (batch, Some(Message::Close)),
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        (batch, None)
    }

    /// Nobody reads meanwhile: redb needs the database to itself.
    fn compact(&mut self, answer: oneshot::Sender<bool>) -> Result<(), String> {
        let mut guard = self.shared.database.write().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = guard.as_mut() else { return Err("the store is not open".to_owned()) };
        match catch_unwind(AssertUnwindSafe(|| database.compact())) {
            Ok(Ok(smaller)) => {
                let _ = answer.send(smaller);
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("compaction panicked; run `mcp-webhookd verify`".to_owned()),
        }
    }

    fn commit(&mut self, batch: Vec<Job>) -> Result<(), String> {
        let started = Instant::now();
        let committed = {
            let guard = self.shared.database.read().unwrap_or_else(PoisonError::into_inner);
            let Some(database) = guard.as_ref() else { return Err("the store is not open".to_owned()) };
            let memory = self.shared.memory.read().unwrap_or_else(PoisonError::into_inner).clone();
            catch_unwind(AssertUnwindSafe(|| write(database, self.head, memory, &self.key, batch)))
        };
        let (acks, committed) = match committed {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("the writer panicked; run `mcp-webhookd verify`".to_owned()),
        };
        self.shared.commits.add(started.elapsed());
        self.publish(committed);
        acks.into_iter().for_each(|ack| ack());
        Ok(())
    }

    /// Memory follows the disk, before anybody is told.
    fn publish(&mut self, committed: Committed) {
        let feed_moved = committed.head.change != self.head.change;
        self.head = committed.head;
        {
            let mut memory = self.shared.memory.write().unwrap_or_else(PoisonError::into_inner);
            memory.set = committed.set;
            memory.attachment = committed.attachment;
            memory.bytes = committed.bytes;
        }
        if !committed.touched.is_empty() {
            self.shared.lanes.lock().unwrap_or_else(PoisonError::into_inner).extend(committed.touched);
            self.shared.lanes_moved.notify_one();
        }
        if feed_moved {
            self.shared.feed.send_replace(self.head.change - 1);
        }
    }

    /// Closes the store and opens it again until that works. Calls that come meanwhile are turned away.
    /// Answers whether to go on.
    fn heal(&mut self, reason: String) -> bool {
        tracing::error!(%reason, "the delivery log failed; intake and sending stop until it works again");
        self.shared.health.send_replace(Health::Unavailable { reason });
        *self.shared.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.reopen() {
                Ok(opened) => {
                    self.resume(opened);
                    return true;
                }
                Err(error) => {
                    self.shared.health.send_replace(Health::Unavailable { reason: error.to_string() });
                }
            }
            if !self.turn_away(pause) {
                return false;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// redb can panic on what a failing disk left; that must not be the end of the writer.
    fn reopen(&mut self) -> Result<Opened, OpenError> {
        let opened = catch_unwind(AssertUnwindSafe(|| open(&mut self.medium, &self.key)));
        opened.unwrap_or_else(|_| Err(OpenError::Damaged("opening it panicked".to_owned())))
    }

    /// Drops jobs for a while, which tells their callers that the store is unavailable.
    fn turn_away(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            match self.messages.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Message::Job(job) | Message::Patient(job)) => drop(job),
                Ok(Message::Compact(answer)) => drop(answer),
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => return true,
            }
        }
    }

    fn resume(&mut self, opened: Opened) {
        self.head = opened.head;
        *self.shared.memory.write().unwrap_or_else(PoisonError::into_inner) = opened.memory;
        *self.shared.database.write().unwrap_or_else(PoisonError::into_inner) = Some(opened.database);
        self.shared.lanes.lock().unwrap_or_else(PoisonError::into_inner).extend(opened.lanes);
        self.shared.feed.send_replace(self.head.change - 1);
        self.shared.health.send_replace(Health::Ready);
        self.shared.lanes_moved.notify_one();
        tracing::info!("the delivery log works again");
    }
}

/// One transaction, quick to repair: it is also two-phase, as is advised where others choose the data.
fn write(
    database: &Database,
    head: Head,
    memory: Memory,
    key: &SealingKey,
    batch: Vec<Job>,
) -> Result<(Vec<Ack>, Committed), redb::Error> {
    let mut txn = database.begin_write()?;
    txn.set_quick_repair(true);
    let mut acks = Vec::with_capacity(batch.len());
    let committed = {
        let mut tx = Tx::open(&txn, head, memory, key)?;
        for job in batch {
            acks.push(job(&mut tx)?);
        }
        tx.finish()?
    };
    txn.commit()?;
    Ok((acks, committed))
}

/// Opens the store and reads what is kept in memory.
fn open(medium: &mut impl Medium, key: &SealingKey) -> Result<Opened, OpenError> {
    let database = medium.open()?;
    prepare(&database, key)?;
    let txn = database.begin_read().map_err(redb::Error::from)?;
    let meta = txn.open_table(META).map_err(redb::Error::from)?;
    let value = |name: &str| -> Result<Option<Vec<u8>>, OpenError> {
        Ok(meta.get(name).map_err(redb::Error::from)?.map(|row| row.value().to_vec()))
    };
    let damaged = || OpenError::Damaged("its facts about itself are missing".to_owned());
    let log_id: Arc<str> =
        String::from_utf8(value("log_id")?.ok_or_else(damaged)?).map_err(|_| damaged())?.into();
    let head = record::decode_head(&value("head")?.ok_or_else(damaged)?).map_err(|_| damaged())?;
    let attachment = value("attachment")?.and_then(|text| serde_json::from_slice::<Attachment>(&text).ok());
    let set = read_subscriptions(&txn, key)?;
    let snapshot = Snapshot::new(txn, Arc::clone(&log_id));
    let lanes = snapshot.lanes()?.into_iter().collect();
    let bytes = value("bytes")?.and_then(|row| row.try_into().ok()).map_or(0, u64::from_be_bytes);
    let memory = Memory { log_id, set, attachment: attachment.map(Arc::new), bytes };
    drop((meta, snapshot));
    Ok(Opened { database, head, memory, lanes })
}

/// Makes the tables of a new file; refuses a file of a newer version.
fn prepare(database: &Database, key: &SealingKey) -> Result<(), OpenError> {
    let mut txn = database.begin_write().map_err(redb::Error::from)?;
    txn.set_quick_repair(true);
    let found = {
        let meta = txn.open_table(META).map_err(redb::Error::from)?;
        let format = meta.get("format").map_err(redb::Error::from)?;
        format.map(|row| row.value().try_into().map(u32::from_be_bytes).unwrap_or(0))
    };
    match found {
        Some(FORMAT) => {
            let anew = subscriptions::seal_anew(&txn, key)?;
            if anew == 0 {
                return Ok(txn.abort().map_err(redb::Error::from)?);
            }
            txn.commit().map_err(redb::Error::from)?;
            tracing::info!(
                subscriptions = anew,
                "sealed anew with the present key; the old one is not needed for this log any more"
            );
            return Ok(());
        }
        Some(found) => return Err(OpenError::Newer { found, known: FORMAT }),
        None => {}
    }
    {
        let head = Head { seq: 1, change: 1 };
        let memory =
            Memory { log_id: "".into(), set: SubscriptionSet::default(), attachment: None, bytes: 0 };
        let mut tx = Tx::open(&txn, head, memory, key)?;
        let log_id = new_log_id();
        tx.meta.insert("format", FORMAT.to_be_bytes().as_slice()).map_err(redb::Error::from)?;
        tx.meta.insert("log_id", log_id.as_bytes()).map_err(redb::Error::from)?;
        tx.meta.insert("head", record::encode_head(head).as_slice()).map_err(redb::Error::from)?;
    }
    txn.commit().map_err(redb::Error::from)?;
    Ok(())
}

/// The identity of a log that did not exist before.
pub(crate) fn new_log_id() -> String {
    uuid::Uuid::new_v4().hyphenated().to_string()
}

fn read_subscriptions(txn: &redb::ReadTransaction, key: &SealingKey) -> Result<SubscriptionSet, redb::Error> {
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
