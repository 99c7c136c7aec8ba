//! The one writer: a thread that groups whatever waits into one commit, and reopens the store after trouble.
//!
//! While one commit is being synced the next batch gathers. Only outcomes, for which nobody waits, lie in a place of
//! their own, where they wake nobody, so that acceptance and outcomes share one fsync. A failed commit is *unknown*, not failed, so
//! everything in memory is read again from the reopened store and nobody in the batch gets an answer.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, RwLock, TryLockError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::{Duration, Instant},
};

use redb::{Database, Durability};
use tokio::sync::{Notify, oneshot, watch};

use crate::{
    histogram::Histogram,
    journal::Journal,
    log::{COMMIT_BOUNDS, Health, Memory, Shared},
    medium::{Medium, OpenError},
    meta::Hold,
    opening::{self, Opened},
    seal::SealingKey,
    tables::{Committed, Head, Tx},
};

/// Tells a caller that its job is on disk.
pub(crate) type Ack = Box<dyn FnOnce() + Send>;
pub(crate) type Job = Box<dyn FnOnce(&mut Tx<'_>) -> Result<Ack, redb::Error> + Send>;

pub(crate) enum Message {
    /// Somebody waits for it.
    Job(Job),
    Compact(oneshot::Sender<bool>),
    /// A reader met a disk that fails, in the store as it was opened for the so many-th time.
    Failed {
        opening: u64,
        reason: String,
    },
    /// What waits for company goes without.
    Hurry,
    Close,
}

/// Jobs in one commit. More wait for the next one.
const BATCH: usize = 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(crate) struct Writer<M> {
    medium: M,
    key: SealingKey,
    shared: Arc<Shared>,
    messages: Receiver<Message>,
    /// Open as long as the database is.
    journal: Option<Journal>,
    head: Head,
}

impl<M: Medium + 'static> Writer<M> {
    pub fn start(
        mut medium: M,
        key: SealingKey,
        messages: Receiver<Message>,
    ) -> Result<(Arc<Shared>, Self), OpenError> {
        let opened = opening::open(&mut medium, &key)?;
        let hold = match &opened.memory {
            memory if memory.awaits_sync => Hold::Sync,
            memory if memory.attachment.is_some() => Hold::Attach,
            _ => Hold::Nothing,
        };
        let shared = Arc::new(Shared {
            unconfirmed: Mutex::new(opened.memory.attachment.is_some().then_some(opened.head.count)),
            told_change: Arc::new(AtomicU64::new(opened.head.change - 1)),
            hold: watch::Sender::new(hold),
            openings: AtomicU64::new(1),
            calendar: Mutex::new(None),
            newest: AtomicU64::new(opened.head.newest.0),
            started: Instant::now(),
            overdue: AtomicU64::new(0),
            database: RwLock::new(Some(opened.database)),
            memory: RwLock::new(opened.memory),
            lanes: Mutex::new(opened.lanes),
            lanes_moved: Notify::new(),
            patient: Mutex::new(Some(Vec::new())),
            feed: watch::Sender::new(opened.head.change - 1),
            pulled: AtomicU64::new(0),
            health: watch::Sender::new(Health::Ready),
            is_closing: Arc::default(),
            commits: Histogram::new(COMMIT_BOUNDS),
        });
        shared.lanes_moved.notify_one();
        Ok((
            Arc::clone(&shared),
            Self { medium, key, shared, messages, journal: Some(opened.journal), head: opened.head },
        ))
    }

    pub fn run(mut self) {
        loop {
            let (batch, other) = self.gather();
            let is_over = matches!(other, Some(Message::Close));
            let mut done = if batch.is_empty() { Ok(()) } else { self.commit(batch) };
            done = done.and_then(|()| match other {
                Some(Message::Compact(answer)) => self.compact(answer),
                Some(Message::Failed { opening, reason })
                    if opening == self.shared.openings.load(Relaxed) =>
                {
                    Err(reason)
                }
                _ => Ok(()),
            });
            if let Err(reason) = done
                && !self.heal(reason)
            {
                break;
            }
            if is_over {
                break;
            }
        }
        let database = self.shared.database.write().unwrap_or_else(PoisonError::into_inner).take();
        // redb can panic on what a failing disk left.
        let closed = catch_unwind(AssertUnwindSafe(|| database.as_ref().map(opening::close)));
        if !matches!(closed, Ok(None | Some(Ok(())))) {
            tracing::warn!("the delivery log was not closed cleanly; the next start replays its journal");
        }
        self.shared.health.send_replace(Health::Unavailable { reason: "the store was closed".to_owned() });
        *self.shared.patient.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Waits until somebody waits for a commit; takes what else is there, up to the first message that is no job, and
    /// every patient job.
    fn gather(&self) -> (Vec<Job>, Option<Message>) {
        let mut batch = Vec::new();
        let mut next = self.messages.recv().unwrap_or(Message::Close);
        let other = loop {
            match next {
                Message::Job(job) => batch.push(job),
                Message::Hurry => {}
                other => break Some(other),
            }
            if batch.len() == BATCH {
                break None;
            }
            next = match self.messages.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Empty) => break None,
                Err(TryRecvError::Disconnected) => Message::Close,
            };
        };
        batch.extend(self.patient());
        (batch, other)
    }

    /// Takes the jobs that wait for company.
    fn patient(&self) -> Vec<Job> {
        let mut patient = self.shared.patient.lock().unwrap_or_else(PoisonError::into_inner);
        patient.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Nobody reads meanwhile: redb needs the database to itself.
    fn compact(&mut self, answer: oneshot::Sender<bool>) -> Result<(), String> {
        // Somebody who reads for minutes must not hold up whoever writes.
        let mut guard = match self.shared.database.try_write() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
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
        let mut jobs = batch.into_iter().peekable();
        while jobs.peek().is_some() {
            self.commit_some(&mut jobs)?;
        }
        Ok(())
    }

    fn commit_some(&mut self, jobs: &mut impl Iterator<Item = Job>) -> Result<(), String> {
        let started = Instant::now();
        let committed = {
            let guard = self.shared.database.read().unwrap_or_else(PoisonError::into_inner);
            let Some(database) = guard.as_ref() else { return Err("the store is not open".to_owned()) };
            let memory = self.shared.memory.read().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(journal) = &mut self.journal else { return Err("the journal is not open".to_owned()) };
            let (head, key) = (self.head, &self.key);
            catch_unwind(AssertUnwindSafe(|| write(database, journal, head, memory, key, jobs)))
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
        self.shared.newest.store(self.head.newest.0, Relaxed);
        let awaits_sync = committed.memory.awaits_sync;
        self.hold(awaits_sync, |shared| {
            *shared.memory.write().unwrap_or_else(PoisonError::into_inner) = committed.memory;
            if !committed.touched.is_empty() {
                shared.lanes.lock().unwrap_or_else(PoisonError::into_inner).extend(committed.touched);
                shared.lanes_moved.notify_one();
            }
        });
        if feed_moved {
            self.shared.feed.send_replace(self.head.change - 1);
        }
    }

    /// Sending ends before memory changes, and goes on behind that: whoever is let go finds the new settings.
    fn hold(&self, awaits_sync: bool, change: impl FnOnce(&Shared)) {
        let is_unconfirmed =
            || self.shared.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let follow = || {
            self.shared.hold.send_if_modified(|hold| {
                let wanted = match *hold {
                    _ if awaits_sync => Hold::Sync,
                    Hold::Attach if is_unconfirmed() => Hold::Attach,
                    _ => Hold::Nothing,
                };
                std::mem::replace(hold, wanted) != wanted
            });
        };
        if awaits_sync {
            follow();
        }
        change(&self.shared);
        follow();
    }

    /// Closes the store and opens it again until that works. Calls that come meanwhile are turned away.
    /// Answers whether to go on.
    fn heal(&mut self, reason: String) -> bool {
        tracing::error!(%reason, "the delivery log failed; intake and sending stop until it works again");
        self.shared.health.send_replace(Health::Unavailable { reason });
        *self.shared.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.journal = None;
        let mut pause = FIRST_PAUSE;
        loop {
            self.medium.distrust();
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
        let opened = catch_unwind(AssertUnwindSafe(|| opening::open(&mut self.medium, &self.key)));
        opened.unwrap_or_else(|_| Err(OpenError::Damaged("opening it panicked".to_owned())))
    }

    /// Drops jobs for a while, which tells their callers that the store is unavailable.
    fn turn_away(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            match self.messages.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Message::Job(job)) => drop(job),
                Ok(Message::Hurry) => drop(self.patient()),
                Ok(Message::Compact(answer)) => drop(answer),
                Ok(Message::Failed { .. }) => {}
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => return true,
            }
        }
    }

    fn resume(&mut self, opened: Opened) {
        (self.head, self.journal) = (opened.head, Some(opened.journal));
        self.shared.openings.fetch_add(1, Relaxed);
        let awaits_sync = opened.memory.awaits_sync;
        self.hold(awaits_sync, |shared| {
            *shared.memory.write().unwrap_or_else(PoisonError::into_inner) = opened.memory;
            *shared.database.write().unwrap_or_else(PoisonError::into_inner) = Some(opened.database);
            shared.lanes.lock().unwrap_or_else(PoisonError::into_inner).extend(opened.lanes);
        });
        self.shared.feed.send_replace(self.head.change - 1);
        self.shared.health.send_replace(Health::Ready);
        self.shared.lanes_moved.notify_one();
        tracing::info!("the delivery log works again");
    }
}

/// One transaction of as many jobs as make a good one; the rest stays in `jobs`.
fn write(
    database: &Database,
    journal: &mut Journal,
    head: Head,
    memory: Memory,
    key: &SealingKey,
    jobs: &mut impl Iterator<Item = Job>,
) -> Result<(Vec<Ack>, Committed), redb::Error> {
    let mut txn = database.begin_write()?;
    let redo = RefCell::new(journal.redo());
    let mut acks = Vec::new();
    let committed = {
        let mut tx = Tx::new(&txn, &redo, head, memory, key);
        for job in jobs {
            acks.push(job(&mut tx)?);
            if redo.borrow().is_enough() {
                break;
            }
        }
        tx.finish()?
    };
    // First the journal: nobody may see what a crash could take back.
    if journal.append(redo.into_inner())? {
        txn.set_durability(Durability::None)?;
        txn.commit()?;
    } else {
        opening::sync(txn, journal)?;
    }
    Ok((acks, committed))
}
