//! Power cuts. A tape records every write, resize and sync of the store and its journal; from it disks are made as a
//! power cut may leave them: what was synced is there, of the rest anything may be lost, late, or torn at a sector.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use redb::{Database, StorageBackend};
use webhook_log::{
    Acceptance, Log, SealingKey, Settlement, Submission, Witness,
    medium::{Medium, OpenError},
};
use webhook_model::{
    Attempt, AttemptStatus, CustomHeaders, Dialect, Endpoint, EndpointUrl, EventFilter, EventId, Millis,
    Outcome, Subscription, SubscriptionId, decide,
};

use crate::{
    history::{self, Answer, History, Hit, Row, Status},
    judge::Verdict,
    load::Dice,
    past,
};

/// A write that reaches the disk in part does so in whole sectors.
const SECTOR: usize = 512;
pub(crate) const KEY: [u8; 32] = [7; 32];
const LANES: u128 = 3;

/// The store and its journal.
const FILES: usize = 2;
pub(crate) type Files = [Vec<u8>; FILES];

/// Something that was asked of the disk, by file, or something that a caller was told.
#[derive(Debug, Clone)]
enum Op {
    Write(usize, usize, Vec<u8>),
    Resize(usize, usize),
    Sync(usize),
    Told(Fact),
}

impl Op {
    /// Whether a sync of this file makes it durable.
    fn is_of(&self, file: usize) -> bool {
        matches!(self, Self::Write(of, ..) | Self::Resize(of, _) if *of == file)
    }
}

/// What a caller may rely on from now on.
#[derive(Debug, Clone)]
pub(crate) enum Fact {
    /// It was handed in, and may be there or not.
    Submitted(u128),
    Accepted(u128),
    /// This attempt is over.
    Settled(u128, u32),
    /// The log's count, and its place in the feed.
    Remembered(u64, String),
}

/// A file on a disk that remembers all that was asked of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape {
    disk: Arc<Mutex<Reel>>,
    file: usize,
}

#[derive(Debug, Default)]
struct Reel {
    bytes: Files,
    ops: Vec<Op>,
}

impl Tape {
    /// The store of a disk.
    pub(crate) fn of(bytes: Files) -> Self {
        Self { disk: Arc::new(Mutex::new(Reel { bytes, ops: Vec::new() })), file: 0 }
    }

    fn reel(&self) -> std::sync::MutexGuard<'_, Reel> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self, fact: Fact) {
        self.reel().ops.push(Op::Told(fact));
    }
}

impl StorageBackend for Tape {
    fn len(&self) -> io::Result<u64> {
        Ok(self.reel().bytes[self.file].len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (reel, start) = (self.reel(), offset as usize);
        let found = reel.bytes[self.file].get(start..start + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut reel = self.reel();
        reel.bytes[self.file].resize(len as usize, 0);
        reel.ops.push(Op::Resize(self.file, len as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.reel().ops.push(Op::Sync(self.file));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (mut reel, start) = (self.reel(), offset as usize);
        reel.bytes[self.file][start..start + data.len()].copy_from_slice(data);
        reel.ops.push(Op::Write(self.file, start, data.to_vec()));
        Ok(())
    }
}

impl Medium for Tape {
    /// Small, so that it is full, and the store synced, every few steps.
    const JOURNAL: u64 = 128 << 10;

    fn open(&mut self) -> Result<Database, OpenError> {
        Ok(Database::builder().create_with_backend(self.clone())?)
    }

    fn look(&mut self) -> Result<Option<Box<dyn StorageBackend>>, OpenError> {
        let is_there = !self.reel().bytes[0].is_empty();
        Ok(is_there.then(|| Box::new(self.clone()) as Box<dyn StorageBackend>))
    }

    fn journal(&mut self) -> Result<Option<Box<dyn StorageBackend>>, OpenError> {
        let is_there = !self.reel().bytes[1].is_empty();
        Ok(if is_there { Some(self.make_journal()?) } else { None })
    }

    fn make_journal(&mut self) -> Result<Box<dyn StorageBackend>, OpenError> {
        Ok(Box::new(Self { file: 1, ..self.clone() }))
    }
}

/// A run of a log on a tape: the disk as it was before, and everything since.
#[derive(Debug)]
pub struct Recording {
    before: Files,
    ops: Vec<Op>,
}

/// How a disk treats its syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// What was synced is there.
    Honest,
    /// Every n-th sync does nothing.
    Lying(usize),
}

/// A disk after a power cut, and what callers were told before.
#[derive(Debug)]
pub struct Image {
    pub(crate) bytes: Files,
    pub(crate) facts: Vec<Fact>,
    /// Writes that were not synced, of which some did not arrive.
    pub at_risk: usize,
}

/// Runs a log under load on a tape.
///
/// # Errors
/// The log does not work.
pub fn record(dice: &mut Dice, steps: usize) -> Result<Recording> {
    let tape = Tape::default();
    let log = Log::open(tape.clone(), SealingKey::new(&KEY))?;
    for lane in 0..LANES {
        let new = subscription(lane);
        log.change_subscriptions(move |set| drop(set.put(new))).wait()?;
    }
    log.attach(past::odoo(), false, Witness::default()).wait()?.map_err(|_| anyhow!("fenced"))?;
    let before = {
        let mut reel = tape.reel();
        reel.ops.clear();
        reel.bytes.clone()
    };
    let mut next = 1_u128;
    for _ in 0..steps {
        match dice.roll(3) {
            0 => settle_some(&log, &tape, dice)?,
            _ => accept_some(&log, &tape, dice, &mut next)?,
        }
    }
    log.close();
    let ops = std::mem::take(&mut tape.reel().ops);
    Ok(Recording { before, ops })
}

/// Several callers at once, so that they share a commit.
fn accept_some(log: &Log, tape: &Tape, dice: &mut Dice, next: &mut u128) -> Result<()> {
    let mut waiting = Vec::new();
    for _ in 0..=dice.roll(3) {
        let events: Vec<u128> = (0..=dice.roll(4) as u128).map(|n| *next + n).collect();
        *next += events.len() as u128;
        events.iter().for_each(|event| tape.told(Fact::Submitted(*event)));
        let submissions = events.iter().map(|event| submission(*event, 1 + dice.roll(3000))).collect();
        waiting.push((events, log.accept(submissions, Millis(1), Millis(0))));
    }
    for (events, pending) in waiting {
        let answers = pending.wait()?;
        let count = answers.accepted_to;
        let accepted = events.iter().zip(answers.each).filter(|(_, answer)| *answer == Acceptance::Accepted);
        accepted.for_each(|(event, _)| tape.told(Fact::Accepted(*event)));
        tape.told(Fact::Remembered(count, log.cursor()));
    }
    Ok(())
}

fn settle_some(log: &Log, tape: &Tape, dice: &mut Dice) -> Result<()> {
    let lane = SubscriptionId::from_u128(dice.roll(LANES as u64) as u128);
    let row = log.read(|s| match s.head(lane)? {
        Some(head) => s.one(lane, head.seq),
        None => Ok(None),
    })?;
    let Some(row) = row else { return Ok(()) };
    let status = if dice.roll(3) == 0 { 503 } else { 200 };
    let outcome =
        Outcome::Response { status, retry_after: None, body: "ok".into(), truncated: false, is_html: false };
    let finished = decide::Finished { payload: None, outcome, duration: Some(Duration::ZERO), at: Millis(2) };
    let (attempt, next) = decide::settle(row.attempt, finished, 3, decide::Jitter(0.5));
    let (event, number) = (attempt.event_id.as_u128(), attempt.number);
    let settlement = Settlement { seq: row.seq, attempt, next, payload_is_event_body: true };
    log.settle([settlement].into()).wait()?;
    tape.told(Fact::Settled(event, number));
    let attached = log.attach(past::odoo(), false, Witness::default()).wait()?;
    let count = attached.map_err(|_| anyhow!("fenced"))?.accepted_to;
    tape.told(Fact::Remembered(count, log.cursor()));
    Ok(())
}

fn subscription(lane: u128) -> Subscription {
    Subscription {
        id: SubscriptionId::from_u128(lane),
        name: "Orders".into(),
        model: "sale.order".into(),
        event_type: EventFilter::All,
        endpoint: Endpoint {
            url: Some(EndpointUrl::from_stored("https://example.com/").expect("a URL")),
            secret: None,
            previous_secret: None,
            headers: CustomHeaders::default(),
            timeout: Duration::from_secs(10),
            max_in_flight: 4,
        },
        payload_template: None,
        dialect: Dialect::Auto,
        active: true,
        paused: false,
        max_attempts: 3,
        success: None,
    }
}

fn submission(event: u128, size: u64) -> Submission {
    Submission {
        event_id: EventId::from_u128(event),
        subscription_id: SubscriptionId::from_u128(event % LANES),
        timestamp: Millis(1),
        body: Bytes::from(format!("{{\"event_id\":{event},\"x\":\"{}\"}}", "x".repeat(size as usize))),
    }
}

impl Recording {
    /// How many moments there are to cut the power.
    pub fn moments(&self) -> usize {
        self.ops.len()
    }

    /// The disk as it was at a moment, before people who remember all that came behind it.
    pub fn put_back(&self, moment: usize) -> Image {
        let mut bytes = self.before.clone();
        self.ops[..moment].iter().for_each(|op| apply(&mut bytes, op, None));
        let told = self.ops.iter().filter_map(|op| match op {
            Op::Told(fact) => Some(fact.clone()),
            _ => None,
        });
        Image { bytes, facts: told.collect(), at_risk: 0 }
    }

    /// What the disk may look like when the power fails at a moment. The dice decide what of the rest arrived.
    pub fn cut(&self, moment: usize, disk: Disk, dice: &mut Dice) -> Image {
        let mut bytes = self.before.clone();
        let (mut facts, mut pending, mut syncs) = (Vec::new(), Vec::new(), 0);
        for op in &self.ops[..moment] {
            match op {
                Op::Told(fact) => facts.push(fact.clone()),
                Op::Sync(file) => {
                    syncs += 1;
                    if !matches!(disk, Disk::Lying(n) if syncs % n == 0) {
                        pending
                            .extract_if(.., |op: &mut &Op| op.is_of(*file))
                            .for_each(|op| apply(&mut bytes, op, None));
                    }
                }
                op => pending.push(op),
            }
        }
        let at_risk = pending.len();
        match dice.roll(3) {
            // In order, up to a point.
            0 => pending.truncate(dice.roll(at_risk as u64 + 1) as usize),
            // Some, in any order.
            _ => {
                pending.retain(|_| dice.roll(2) == 0);
                for place in (1..pending.len()).rev() {
                    pending.swap(place, dice.roll(place as u64 + 1) as usize);
                }
            }
        }
        let torn = dice.roll(2) == 0;
        for op in pending {
            apply(&mut bytes, op, torn.then_some(dice));
        }
        Image { bytes, facts, at_risk }
    }
}

fn apply(bytes: &mut Files, op: &Op, torn: Option<&mut Dice>) {
    match op {
        Op::Resize(file, len) => bytes[*file].resize(*len, 0),
        Op::Write(file, start, data) => {
            let bytes = &mut bytes[*file];
            if bytes.len() < start + data.len() {
                bytes.resize(start + data.len(), 0); // written behind an end that was not moved yet
            }
            let target = &mut bytes[*start..start + data.len()];
            let Some(dice) = torn else { return target.copy_from_slice(data) };
            for (to, from) in target.chunks_mut(SECTOR).zip(data.chunks(SECTOR)) {
                if dice.roll(4) > 0 {
                    to.copy_from_slice(from);
                }
            }
        }
        Op::Sync(_) | Op::Told(_) => {}
    }
}

impl Image {
    /// Opens the log on this disk and judges it. Answers what recovery did, to be cut again.
    ///
    /// # Errors
    /// The log does not open, is not sound, or something that was told is not true.
    pub fn judge(&self) -> Result<(Recording, Verdict)> {
        // redb may panic on a disk that lied.
        catch_unwind(AssertUnwindSafe(|| self.judge_opened()))
            .unwrap_or_else(|_| Err(anyhow!("redb panicked")))
    }

    fn judge_opened(&self) -> Result<(Recording, Verdict)> {
        let tape = Tape::of(self.bytes.clone());
        let log = Log::open(tape.clone(), SealingKey::new(&KEY)).context("the log does not open")?;
        let faults = log.read(webhook_log::Snapshot::check)?;
        if let Some(fault) = faults.first() {
            bail!("not sound: {fault}");
        }
        let history = self.history(&log)?;
        let verdict = history.judge();
        if let Some(violation) = &verdict.violation {
            bail!("{violation}");
        }
        for fact in &self.facts {
            let Fact::Settled(event, number) = fact else { continue };
            let is_final = |row: &&Row| row.event_id == name(*event) && row.attempt == *number;
            let row = history
                .rows
                .iter()
                .find(is_final)
                .ok_or_else(|| anyhow!("V1 {event}: an outcome is lost"))?;
            if row.status == Status::Pending {
                bail!("V1 {event}: the outcome of attempt {number} was recorded and is lost");
            }
        }
        log.close();
        let mut ops = std::mem::take(&mut tape.reel().ops);
        // What was told before holds during recovery, too.
        let told: Vec<Op> = self.facts.iter().map(|fact| Op::Told(fact.clone())).collect();
        ops.splice(0..0, told);
        Ok((Recording { before: self.bytes.clone(), ops }, verdict))
    }

    /// What was told, and what is in the log.
    fn history(&self, log: &Log) -> Result<History> {
        let mut history = History::default();
        for fact in &self.facts {
            let (event, answer) = match fact {
                Fact::Remembered(..) => continue,
                Fact::Submitted(event) => (*event, Answer::Unknown),
                Fact::Accepted(event) => (*event, Answer::Accepted),
                Fact::Settled(event, ..) => (*event, Answer::Duplicate),
            };
            history.submissions.push(history::Submission {
                event_id: name(event),
                subscription_id: (event % LANES).to_string(),
                answer,
                body: None,
            });
            if let Fact::Submitted(event) = fact {
                let attempts = log.read(|s| s.attempts(EventId::from_u128(*event)))?;
                history.rows.extend(attempts.iter().flatten().map(row));
            }
        }
        // There is no network here: each final row had its answer.
        let answered = history.rows.iter().filter(|row| row.response_code.is_some());
        history.hits = answered.map(hit).collect();
        history.clock_moved = true;
        Ok(history)
    }

    /// The same disk, damaged: `spoil` works on the open store.
    ///
    /// # Errors
    /// The store does not open.
    pub fn damaged(self, spoil: impl FnOnce(&Database) -> Result<(), redb::Error>) -> Result<Self> {
        let tape = Tape::of(self.bytes);
        let database = Database::builder().create_with_backend(tape.clone())?;
        spoil(&database)?;
        drop(database);
        let bytes = tape.reel().bytes.clone();
        Ok(Self { bytes, facts: self.facts, at_risk: 0 })
    }
}

fn name(event: u128) -> String {
    format!("{event:08}")
}

fn row(attempt: &Attempt) -> Row {
    Row {
        event_id: name(attempt.event_id.as_u128()),
        subscription_id: attempt.subscription_id.as_u128().to_string(),
        attempt: attempt.number,
        trigger: attempt.trigger.as_str().to_owned(),
        status: match attempt.status {
            AttemptStatus::Pending => Status::Pending,
            AttemptStatus::Success => Status::Success,
            AttemptStatus::Failed => Status::Failed,
        },
        response_code: attempt.response_code,
        error: attempt.error.as_ref().map(|error| error.kind.as_str().to_owned()),
        payload: None,
        finished: attempt.finished_at.map(|at| at.0),
    }
}

fn hit(row: &Row) -> Hit {
    Hit {
        event_id: row.event_id.clone(),
        subscription_id: row.subscription_id.clone(),
        body: String::new(),
        signed: true,
        answer: row.response_code,
        epoch: 0,
        at: 0,
    }
}
