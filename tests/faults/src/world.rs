//! A sidecar, its submitter and its endpoints, from the first start to the verdict.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use webhook_model::Millis;

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
            let info = self.daemon.try_call("system.info", json!({})).await.ok()?.ok()?;
            (info["pending"] == 0).then_some(())
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
        let mut rows = self.pages("delivery.list", "after", "next").await?;
        rows.reverse();
        let mirror = self.pages("delivery.changes", "after", "cursor").await?;
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

    async fn pages(&self, method: &str, after: &str, next: &str) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut place = if next == "cursor" { json!("") } else { Value::Null };
        loop {
            let page = self.daemon.call(method, json!({after: place, "limit": 1000})).await?;
            let found = page["attempts"].as_array().context("no attempts in the answer")?;
            for attempt in found {
                rows.push(row(attempt).with_context(|| format!("{method} answered {attempt}"))?);
            }
            place = page[next].clone();
            if place.is_null() || page["more"] == false {
                return Ok(rows);
            }
        }
    }
}

fn row(attempt: &Value) -> Result<Row> {
    let text = |name: &str| attempt[name].as_str().map(str::to_owned);
    let status = match attempt["status"].as_str() {
        Some("pending") => Status::Pending,
        Some("success") => Status::Success,
        Some("failed") => Status::Failed,
        other => bail!("status {other:?}"),
    };
    Ok(Row {
        event_id: text("event_id").ok_or_else(|| anyhow!("no event_id"))?,
        subscription_id: text("subscription_id").ok_or_else(|| anyhow!("no subscription_id"))?,
        attempt: u32::try_from(attempt["attempt"].as_u64().unwrap_or(0))?,
        trigger: text("trigger").unwrap_or_default(),
        status,
        response_code: attempt["response_code"].as_u64().and_then(|code| u16::try_from(code).ok()),
        error: attempt["error"]["kind"].as_str().map(str::to_owned),
        payload: text("payload").map(|payload| hex(&Sha256::digest(payload))),
        finished: text("finished_at").and_then(|at| Millis::parse_rfc3339(&at)).map(|at| at.0),
    })
}
