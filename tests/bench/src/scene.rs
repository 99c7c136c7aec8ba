//! What all measurements share: the receiver, the sidecar with its subscriptions, and how far the run has come.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use uuid::Uuid;

use crate::{board::Board, load::Submit, receiver::Receiver, sidecar::Sidecar};

/// Standard Webhooks' own example of a secret: every delivery is signed twice.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// No arrival for so long means that the rest does not come.
const STALLED: Duration = Duration::from_secs(60);

/// A run.
pub struct Bench {
    pub binary: PathBuf,
    pub folder: PathBuf,
    pub receiver: Receiver,
    pub rounds: usize,
    pub time: Duration,
    pub million: usize,
    pub progress: ProgressBar,
}

/// A spinner that says what is being measured.
pub fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} [{elapsed_precise}] {msg}");
    let bar =
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// A sidecar with subscriptions.
pub struct Scene {
    pub sidecar: Sidecar,
    pub submit: Arc<Submit>,
}

impl Bench {
    /// Says what comes next, also where there is no terminal to draw on.
    pub fn say(&self, what: impl Into<String>) {
        let what = what.into();
        if self.progress.is_hidden() {
            eprintln!("[{:>4} s] {what}", self.progress.elapsed().as_secs());
        }
        self.progress.set_message(what);
    }

    /// A new sidecar on an empty log, with so many subscriptions.
    pub async fn scene(&self, name: &str, subscriptions: usize) -> Result<Scene> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let (sidecar, _) = Sidecar::start(&self.binary, &folder).await?;
        let mut scene = Scene::of(sidecar);
        let owners = scene.subscribe(&self.receiver, subscriptions, "/hook").await?;
        scene.submit_to(owners);
        Ok(scene)
    }

    /// Waits until every event of `board` that was accepted has arrived.
    pub async fn all_arrived(&self, board: &Board, accepted: u64) -> Result<()> {
        let (mut seen, mut since) = (0, std::time::Instant::now());
        while board.count() < accepted {
            if board.count() > seen {
                (seen, since) = (board.count(), std::time::Instant::now());
            }
            anyhow::ensure!(since.elapsed() < STALLED, "{} of {accepted} events arrived", board.count());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

impl Scene {
    /// A running sidecar, to which no load goes yet.
    pub fn of(sidecar: Sidecar) -> Self {
        let (address, token) = (sidecar.address.clone(), sidecar.token.clone());
        Self { sidecar, submit: Arc::new(Submit { address, token, subscriptions: Vec::new() }) }
    }

    /// Makes subscriptions with endpoints of their own below `path`; their ids.
    pub async fn subscribe(&self, receiver: &Receiver, count: usize, path: &str) -> Result<Vec<Uuid>> {
        let mut owners = Vec::with_capacity(count);
        for number in 0..count {
            let id = Uuid::new_v4();
            let url = format!("http://{}{path}/{number}", receiver.address);
            let subscription = json!({
                "id": id, "name": format!("Bench {number}"), "model": "sale.order", "event_type": "all",
                "url": url, "secret": SECRET, "timeout_s": 60,
            });
            self.sidecar.call("subscription.create", subscription).await?;
            owners.push(id);
        }
        Ok(owners)
    }

    /// From now on the load goes to these subscriptions, in turn.
    pub fn submit_to(&mut self, subscriptions: Vec<Uuid>) {
        self.submit = Arc::new(Submit {
            address: self.sidecar.address.clone(),
            token: self.sidecar.token.clone(),
            subscriptions,
        });
    }

    /// Pauses or resumes all subscriptions of the load.
    pub async fn pause(&self, paused: bool) -> Result<()> {
        for id in &self.submit.subscriptions {
            self.sidecar.call("subscription.update", json!({"id": id, "paused": paused})).await?;
        }
        Ok(())
    }

    /// Stops and starts the sidecar on the same data; how long the start took.
    pub async fn restart(&mut self) -> Result<Duration> {
        let took = self.sidecar.restart().await?;
        self.submit_to(self.submit.subscriptions.clone());
        Ok(took)
    }
}
