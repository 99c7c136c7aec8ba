//! The handle: hands jobs to the writer, opens snapshots, tells what moved.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, RwLock, TryLockError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread::JoinHandle,
    time::Instant,
};

use redb::{Database, ReadableDatabase};
use tokio::sync::{Notify, oneshot, watch};
use webhook_model::{Millis, SubscriptionId};

use crate::{
    calendar::Calendar,
    due::Snapshot,
    histogram::{Distribution, Histogram},
    medium::{Medium, OpenError},
    meta::{Attachment, Cursor, Hold},
    seal::SealingKey,
    subscriptions::SubscriptionSet,
    tables::Tx,
    writer::{Ack, Job, Message, Writer},
};

/// The store did not take the call. Whether a write became durable is unknown: ask again, by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the delivery log is unavailable; nothing was acknowledged, try again")]
pub struct Unavailable;

/// Whether the store works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Ready,
    /// It does, but space is short: nothing new is taken in, what is there goes on.
    Full {
        /// Why, for the operator.
        reason: String,
    },
    /// It does not, and is being reopened.
    Unavailable {
        /// Why, for the operator.
        reason: String,
    },
}

impl Health {
    /// Outcomes can be recorded, so deliveries may go on.
    pub fn works(&self) -> bool {
        !matches!(self, Self::Unavailable { .. })
    }
}

/// An answer that comes once the commit is on disk.
#[derive(Debug)]
pub struct Pending<T>(oneshot::Receiver<T>);

impl<T> Future for Pending<T> {
    type Output = Result<T, Unavailable>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        // The writer drops the other end when the commit failed.
        std::pin::Pin::new(&mut self.0).poll(cx).map(|answer| answer.map_err(|_| Unavailable))
    }
}

impl<T> Pending<T> {
    /// No answer will come.
    pub(crate) fn unavailable() -> Self {
        Self(oneshot::channel().1)
    }

    /// Waits for the answer on a thread that may block.
    ///
    /// # Errors
    /// The store failed.
    pub fn wait(self) -> Result<T, Unavailable> {
        self.0.blocking_recv().map_err(|_| Unavailable)
    }
}

/// How long commits took, their fsyncs included. Bounds in milliseconds.
pub(crate) type CommitTimes = Histogram<10>;
/// From a fast SSD to a disk in trouble.
pub(crate) const COMMIT_BOUNDS: [u64; 10] = [1, 2, 5, 10, 25, 50, 100, 250, 1000, 5000];

/// What the writer and the readers share.
pub(crate) struct Shared {
    pub database: RwLock<Option<Database>>,
    pub memory: RwLock<Memory>,
    pub lanes: Mutex<HashSet<SubscriptionId>>,
    pub lanes_moved: Notify,
    /// Jobs that wait for a commit to share; none once the writer has ended.
    pub patient: Mutex<Option<Vec<Job>>>,
    pub feed: watch::Sender<u64>,
    /// The newest change that is known to be in Odoo.
    pub pulled: AtomicU64,
    /// The newest change that somebody was told of, or could have been before the start.
    pub told_change: Arc<AtomicU64>,
    /// The count at the start, until the database that is attached has introduced itself again.
    pub unconfirmed: Mutex<Option<u64>>,
    pub hold: watch::Sender<Hold>,
    /// How often the store was opened.
    pub openings: AtomicU64,
    pub calendar: Mutex<Option<Calendar>>,
    /// When the newest event happened.
    pub newest: AtomicU64,
    /// When the oldest delivery was closed that is kept only because it was not pulled; 0: there is none.
    pub overdue: AtomicU64,
    pub health: watch::Sender<Health>,
    /// Whoever reads at length ends.
    pub is_closing: Arc<AtomicBool>,
    pub commits: CommitTimes,
    pub started: Instant,
}

/// The part of the log that is small and always in memory.
#[derive(Clone)]
pub(crate) struct Memory {
    pub log_id: Arc<str>,
    pub set: SubscriptionSet,
    pub attachment: Option<Arc<Attachment>>,
    /// Nothing is sent until the database has sent its subscriptions.
    pub awaits_sync: bool,
    pub bytes: u64,
    /// Ids of events that happened before this may be forgotten.
    pub forgotten_to: Millis,
}

impl Memory {
    /// Of a log that is not there yet.
    pub fn nothing() -> Self {
        Self {
            log_id: "".into(),
            set: SubscriptionSet::default(),
            attachment: None,
            awaits_sync: false,
            bytes: 0,
            forgotten_to: Millis(0),
        }
    }
}

/// The delivery log. Clones share it.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    inbox: mpsc::Sender<Message>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log(..)")
    }
}

impl Log {
    /// Opens the log, and makes it where there is none.
    ///
    /// # Errors
    /// The store does not open, or is of a newer version. See [`OpenError`].
    pub fn open(medium: impl Medium + 'static, key: SealingKey) -> Result<Self, OpenError> {
        let (inbox, messages) = mpsc::channel();
        let (shared, writer) = Writer::start(medium, key, messages)?;
        let thread = std::thread::Builder::new().name("log-writer".into()).spawn(move || writer.run())?;
        Ok(Self { shared, inbox, writer: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Ends the writer after what was handed in before, and closes the store. Calls after that are unavailable. Whoever
    /// reads at length (`verify`, `backup`) is broken off.
    pub fn close(&self) {
        self.shared.is_closing.store(true, Relaxed);
        let _ = self.inbox.send(Message::Close);
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    /// Runs a job in the next commit.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, redb::Error> + Send + 'static,
    ) -> Pending<T> {
        let (job, pending) = acknowledged(job);
        // When the writer is gone, the job and with it the sender is dropped, and the call is unavailable.
        let _ = self.inbox.send(Message::Job(job));
        pending
    }

    /// Runs a job in the next commit that somebody else waits for, or that [`Log::hurry`] asks for.
    pub(crate) fn run_patiently<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, redb::Error> + Send + 'static,
    ) -> Pending<T> {
        let (job, pending) = acknowledged(job);
        if let Some(patient) = &mut *self.shared.patient.lock().unwrap_or_else(PoisonError::into_inner) {
            patient.push(job);
        }
        pending
    }

    /// Whatever waits for a commit that it could share goes to disk now.
    pub fn hurry(&self) {
        let _ = self.inbox.send(Message::Hurry);
    }

    /// Looks at the log as it is now. Blocks for as long as the look takes; do not hold it over an await. While the log
    /// is being compacted or opened again nobody looks at it.
    ///
    /// # Errors
    /// The store failed. It is opened again then.
    pub fn read<T>(&self, look: impl FnOnce(&Snapshot) -> Result<T, redb::Error>) -> Result<T, Unavailable> {
        let log_id = self.log_id();
        let guard = match self.shared.database.try_read() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Unavailable),
        };
        let database = guard.as_ref().ok_or(Unavailable)?;
        let opening = self.shared.openings.load(Relaxed);
        // redb can panic on a damaged page; that must not take a reader's thread with it.
        let looked = catch_unwind(AssertUnwindSafe(|| {
            let txn = database.begin_read()?;
            let shared = &self.shared;
            look(&Snapshot::new(txn, log_id, Arc::clone(&shared.told_change), Arc::clone(&shared.is_closing)))
        }));
        match looked {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) if self.shared.is_closing.load(Relaxed) => Err(Unavailable),
            Ok(Err(error)) => {
                tracing::error!(%error, "reading the delivery log failed");
                if matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo) {
                    self.failed(opening, error.to_string());
                }
                Err(Unavailable)
            }
            Err(_) => {
                tracing::error!("reading the delivery log panicked; run `mcp-webhookd verify`");
                Err(Unavailable)
            }
        }
    }

    /// The disk failed, and redb takes nothing more behind that: the store is opened again. Everybody knows at once.
    fn failed(&self, opening: u64, reason: String) {
        if self.shared.openings.load(Relaxed) == opening {
            self.shared.health.send_if_modified(|health| {
                let is_new = health.works();
                if is_new {
                    *health = Health::Unavailable { reason: reason.clone() };
                }
                is_new
            });
            let _ = self.inbox.send(Message::Failed { opening, reason });
        }
    }

    /// The identity of this log. A log that was lost or restored has another.
    pub fn log_id(&self) -> Arc<str> {
        Arc::clone(&self.memory().log_id)
    }

    /// Every subscription, as of the newest commit.
    pub fn subscriptions(&self) -> SubscriptionSet {
        self.memory().set.clone()
    }

    /// The database that is attached.
    pub fn attachment(&self) -> Option<Arc<Attachment>> {
        self.memory().attachment.clone()
    }

    /// Bytes of all stored events and attempts. The file is larger: indices, and pages that wait to be used again.
    pub fn stored_bytes(&self) -> u64 {
        self.memory().bytes
    }

    /// Whoever pulls the feed has everything up to `cursor`, which must be one that a page of the feed gave.
    pub fn pulled_up_to(&self, cursor: &str) {
        let change = Cursor::parse(cursor).map_or(0, |cursor| cursor.change);
        self.shared.pulled.fetch_max(change, Relaxed);
    }

    /// The place in the feed where nothing has happened yet.
    pub fn cursor(&self) -> String {
        let change = *self.shared.feed.borrow();
        self.shared.told_change.fetch_max(change, Relaxed);
        Cursor { log_id: &self.log_id(), change }.to_string()
    }

    /// The time by which retention counts; see [`crate::calendar`]. `clock`: the time by our own clock.
    pub fn calendar(&self, clock: Millis) -> Millis {
        let newest = Millis(self.shared.newest.load(Relaxed));
        let uptime = self.shared.started.elapsed();
        let mut calendar = self.shared.calendar.lock().unwrap_or_else(PoisonError::into_inner);
        calendar.get_or_insert_with(|| Calendar::new(clock, newest, uptime)).now(clock, newest, uptime)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn pulled(&self) -> u64 {
        self.shared.pulled.load(Relaxed)
    }

    /// Stops intake for want of space, or takes it up again (`None`). Trouble with the store itself weighs more.
    pub fn set_full(&self, reason: Option<String>) {
        self.shared.health.send_if_modified(|health| {
            let wanted = match reason {
                Some(reason) => Health::Full { reason },
                None => Health::Ready,
            };
            let differs = !matches!(health, Health::Unavailable { .. })
                && std::mem::discriminant(health) != std::mem::discriminant(&wanted);
            if differs {
                *health = wanted;
            }
            differs
        });
    }

    /// Gives the pages that are free back to the file system. What writes waits until it is done, what reads is turned
    /// away. Answers whether the file became smaller; unavailable while somebody reads at length (`verify`, `backup`).
    pub fn compact(&self) -> Pending<bool> {
        let (answer, pending) = oneshot::channel();
        let _ = self.inbox.send(Message::Compact(answer));
        Pending(pending)
    }

    fn memory(&self) -> std::sync::RwLockReadGuard<'_, Memory> {
        self.shared.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The subscriptions whose deliveries moved since the last call.
    pub fn take_moved_lanes(&self) -> HashSet<SubscriptionId> {
        std::mem::take(&mut *self.shared.lanes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until [`Log::take_moved_lanes`] has something, or the store came back.
    pub async fn lanes_moved(&self) {
        self.shared.lanes_moved.notified().await;
    }

    /// The number of the newest change, whenever it moves.
    pub fn feed(&self) -> watch::Receiver<u64> {
        self.shared.feed.subscribe()
    }

    /// How long commits took since the start. A commit waits for the disk (fsync).
    pub fn commits(&self) -> Distribution {
        self.shared.commits.get()
    }

    /// Whether the store works, whenever that changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }
}

/// A job that tells its caller once it is on disk.
fn acknowledged<T: Send + 'static>(
    job: impl FnOnce(&mut Tx<'_>) -> Result<T, redb::Error> + Send + 'static,
) -> (Job, Pending<T>) {
    let (answer, pending) = oneshot::channel();
    let job = move |tx: &mut Tx<'_>| -> Result<Ack, redb::Error> {
        let value = job(tx)?;
        Ok(Box::new(move || drop(answer.send(value))))
    };
    (Box::new(job), Pending(pending))
}
