//! A sidecar, its submitter and its endpoints, from the first start to the verdict.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use webhook_api::{
    Json, Wire,
    delivery::{Attempt, DeliveryChanges, ListDeliveries},
    field::{FeedCursor, Whole},
};
use webhook_model::AttemptStatus;

use crate::{
    daemon::{Daemon, until_for},
    history::{Healthy, History, Peak, Row, Status, Subscription},
    judge::Verdict,
    load::{Dice, Event, Ledger, submit},
    receiver::{Behaviour, Receiver, SECRET, hex},
};

/// After the trouble is over nothing may be pending longer than this (retries of these tests take 5 s).
const DRAINED_WITHIN: Duration = Duration::from_secs(90);

/// The endpoints of most scenarios: in order; in parallel; with retries; with final failures.
pub const MIXED: [(u32, u32, Behaviour); 4] = [
    (1, 1, Behaviour::Answer(200)),
    (4, 1, Behaviour::Answer(200)),
    (4, 3, Behaviour::Sometimes { one_in: 16, status: 503, always: false }),
    (4, 1, Behaviour::Sometimes { one_in: 4, status: 410, always: true }),
];
/// The same without retries, so that it is over at once.
pub const PROMPT: [(u32, u32, Behaviour); 3] = [MIXED[0], MIXED[1], MIXED[3]];

/// What came of one or more rounds of a scenario.
#[derive(Debug, Default)]
pub struct Tally {
    /// Rounds.
    pub rounds: u64,
    /// Faults that fired.
    pub injected: u64,
    /// The counts of all rounds.
    pub verdict: Verdict,
}

impl Tally {
    /// Adds another's rounds.
    pub fn add(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.injected += other.injected;
        let (sum, more) = (&mut self.verdict, other.verdict);
        sum.acknowledged += more.acknowledged;
        sum.delivered += more.delivered;
        sum.failed += more.failed;
        sum.pending += more.pending;
        sum.lost += more.lost;
        sum.duplicated += more.duplicated;
    }
}

/// Everything of one round.
#[derive(Debug)]
pub struct World {
    /// What is cleaned up behind it.
    pub folder: tempfile::TempDir,
    /// The sidecar.
    pub daemon: Daemon,
    /// The endpoints.
    pub receiver: Receiver,
    /// What the submitter was told.
    pub ledger: Ledger,
    /// The subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Chance.
    pub dice: Dice,
    /// The clock was moved.
    pub clock_moved: bool,
    /// Kept connections are cut: one attempt may send its request twice.
    pub cut: bool,
    /// What was measured.
    pub peaks: Vec<Peak>,
    /// What was measured.
    pub healthy: Option<Healthy>,
    made: u64,
}

impl World {
    /// One that does not run yet, with its data in `data` (none: in a folder of its own).
    ///
    /// # Errors
    /// No folder, no port.
    pub async fn new(dice: Dice, data: Option<&Path>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut daemon = Daemon::new(folder.path())?;
        if let Some(data) = data {
            daemon.data = data.to_path_buf();
        }
        Ok(Self {
            folder,
            daemon,
            receiver: Receiver::start().await?,
            ledger: Ledger::default(),
            subscriptions: Vec::new(),
            dice,
            clock_moved: false,
            cut: false,
            peaks: Vec::new(),
            healthy: None,
            made: 0,
        })
    }

    /// One that runs, with a subscription for each endpoint.
    ///
    /// # Errors
    /// It does not start.
    pub async fn running(dice: Dice, endpoints: &[(u32, u32, Behaviour)]) -> Result<Self> {
        let mut world = Self::new(dice, None).await?;
        world.daemon.start().await?;
        for (max_in_flight, max_attempts, behaviour) in endpoints {
            world.subscribe(*max_in_flight, *max_attempts, *behaviour, json!({})).await?;
        }
        Ok(world)
    }

    /// Makes a subscription; `more` are further fields. Answers its id.
    ///
    /// # Errors
    /// The sidecar refused it.
    pub async fn subscribe(
        &mut self,
        max_in_flight: u32,
        max_attempts: u32,
        behaviour: Behaviour,
        more: Value,
    ) -> Result<String> {
        let id = uuid::Uuid::now_v7().hyphenated().to_string();
        let url = format!("http://{}/{id}", self.receiver.address);
        let mut fields = json!({"id": id, "model": "sale.order", "url": url, "secret": SECRET,
            "max_in_flight": max_in_flight, "max_attempts": max_attempts, "timeout_s": 10});
        if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), more) {
            fields.extend(more);
        }
        self.receiver.behave(&id, behaviour);
        self.daemon.call("subscription.create", fields).await?;
        self.subscriptions.push(Subscription { id: id.clone(), max_in_flight, max_attempts, changed: false });
        Ok(id)
    }

    /// New events, for all subscriptions in turn.
    pub fn events(&mut self, count: usize) -> Vec<Event> {
        let ids: Vec<String> = self.subscriptions.iter().map(|s| s.id.clone()).collect();
        let mut events = Vec::with_capacity(count);
        for id in ids.iter().cycle().take(count) {
            self.made += 1;
            events.push(Event::new(id, self.made));
        }
        events
    }

    /// Submits so many events in the background, however often the sidecar dies meanwhile.
    ///
    /// # Errors
    /// The sidecar was never started.
    pub fn submit(&mut self, count: usize) -> Result<JoinHandle<()>> {
        let events = self.events(count);
        self.submit_these(events)
    }

    /// Submits these events in the background.
    ///
    /// # Errors
    /// The sidecar was never started.
    pub fn submit_these(&mut self, events: Vec<Event>) -> Result<JoinHandle<()>> {
        let dice = Dice(self.dice.roll(u64::MAX));
        Ok(tokio::spawn(submit(self.daemon.caller()?, self.ledger.clone(), events, dice)))
    }

    /// Waits until so many events more than now are acknowledged (or the submitter is done).
    pub async fn more_acknowledged(&self, more: usize, submitter: &mut JoinHandle<()>) {
        let mut count = self.ledger.acknowledged();
        let goal = *count.borrow() + more;
        tokio::select! {
            _ = count.wait_for(|count| *count >= goal) => {}
            _ = submitter => {}
        }
    }

    /// Waits until so many more requests arrived than now.
    ///
    /// # Errors
    /// They do not.
    pub async fn more_hits(&self, more: usize) -> Result<()> {
        let mut count = self.receiver.count();
        let goal = *count.borrow() + more;
        let reached = count.wait_for(|count| *count >= goal);
        tokio::time::timeout(crate::daemon::PATIENCE, reached)
            .await
            .context("waited in vain for requests")??;
        Ok(())
    }

    /// Waits until so many calls more than now ended without an answer.
    ///
    /// # Errors
    /// They did not.
    pub async fn more_unknown(&self, more: usize) -> Result<()> {
        let mut count = self.ledger.unknown();
        let goal = *count.borrow() + more;
        let reached = count.wait_for(|count| *count >= goal);
        tokio::time::timeout(crate::daemon::PATIENCE, reached).await.context("no call was turned away")??;
        Ok(())
    }

    /// Kills the sidecar, and starts it again.
    ///
    /// # Errors
    /// It was dead before, or does not start.
    pub async fn crash(&mut self) -> Result<()> {
        self.daemon.kill().await?;
        self.receiver.crashed().await;
        self.daemon.start().await
    }

    /// Waits until nothing is pending, and judges. Then the sidecar stops and its log is verified.
    ///
    /// # Errors
    /// The promise did not hold; the history is kept and named.
    pub async fn finish(mut self, injected: u64) -> Result<Tally> {
        let drained = until_for(DRAINED_WITHIN, "the backlog to drain", async || {
            (self.daemon.pending().await.ok()? == 0).then_some(())
        });
        let _ = drained.await; // what is still pending breaks V9
        let history = self.history().await?;
        let verdict = history.judge();
        if let Some(violation) = &verdict.violation {
            let path =
                std::env::temp_dir().join(format!("mcp-webhookd-history-{}.json", uuid::Uuid::now_v7()));
            std::fs::write(&path, serde_json::to_vec_pretty(&history)?)?;
            bail!("{violation}\n  history: {}\n{}", path.display(), self.daemon.last_words());
        }
        self.daemon.stop().await?;
        self.daemon.verify().await.context("mcp-webhookd verify")?;
        if injected == 0 {
            bail!("V0: the fault did not fire");
        }
        Ok(Tally { rounds: 1, injected, verdict })
    }

    /// The whole story so far.
    ///
    /// # Errors
    /// The sidecar does not answer.
    pub async fn history(&self) -> Result<History> {
        let mut rows = self.listed().await?;
        rows.reverse();
        let mirror = self.mirrored().await?;
        Ok(History {
            subscriptions: self.subscriptions.clone(),
            submissions: self.ledger.told(),
            hits: self.receiver.hits(),
            rows,
            mirror: Some(mirror),
            crashes: self.receiver.crashes(),
            is_drained: true,
            clock_moved: self.clock_moved,
            cut: self.cut,
            peaks: self.peaks.clone(),
            healthy: self.healthy.clone(),
        })
    }

    async fn listed(&self) -> Result<Vec<Row>> {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let wish = ListDeliveries {
                after: after.into(),
                limit: Wire(Whole(1000)).into(),
                ..ListDeliveries::default()
            };
            let page = self.daemon.ask(&wish).await?;
            rows.extend(page.attempts.iter().map(row).collect::<Result<Vec<_>>>()?);
            after = page.next;
            if after.is_none() {
                return Ok(rows);
            }
        }
    }

    async fn mirrored(&self) -> Result<Vec<Row>> {
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let wish = DeliveryChanges { after: Wire(FeedCursor(cursor)), limit: Wire(Whole(1000)).into() };
            let page = self.daemon.ask(&wish).await?;
            rows.extend(page.attempts.iter().map(row).collect::<Result<Vec<_>>>()?);
            cursor = page.cursor;
            if !page.more {
                return Ok(rows);
            }
        }
    }
}

fn row(attempt: &Json<Attempt>) -> Result<Row> {
    let attempt = attempt.read()?;
    Ok(Row {
        event_id: attempt.event_id.0.to_string(),
        subscription_id: attempt.subscription_id.0.to_string(),
        attempt: u32::try_from(attempt.attempt.0.0)?,
        trigger: attempt.trigger.0.as_str().to_owned(),
        status: match attempt.status.0 {
            AttemptStatus::Pending => Status::Pending,
            AttemptStatus::Success => Status::Success,
            AttemptStatus::Failed => Status::Failed,
        },
        response_code: attempt.response_code,
        error: attempt.error.map(|error| error.kind.0.as_str().to_owned()),
        payload: attempt.payload.map(|payload| hex(&Sha256::digest(payload))),
        finished: attempt.finished_at.map(|at| at.0.0),
    })
}
