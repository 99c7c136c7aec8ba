//! What the sidecar takes in memory while everybody does his worst: a thousand subscriptions whose endpoints hang, drip
//! or flood, the largest events, templates that make much of little, the largest calls, and the longest lists.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    board::Board,
    load::time_now,
    scene::{Bench, Scene},
};

/// Endpoints, by what they do: never answer; send 63 KiB and never end.
const KINDS: [&str; 2] = ["/hang", "/drip"];
const SUBSCRIPTIONS: usize = 1000;
/// Callers that submit calls of about 16 MiB, one after the other.
const SUBMITTERS: usize = 8;
/// The largest events, and how many of them fit into a call.
const LARGE: (usize, usize) = (255 << 10, 62);
/// Small events of which a template makes the largest payload.
const SMALL: (usize, usize) = (4 << 10, 1000);
/// Callers that list what is there, with every payload and answer.
const LISTERS: usize = 4;
/// What the issue of it all allows.
pub const MOST_MIB: f64 = 128.0;

/// Peaks of the resident memory, in MiB.
#[derive(Debug, Clone, Serialize)]
pub struct Memory {
    pub idle_mib: f64,
    pub series: Vec<Series>,
}

/// One way to try it.
#[derive(Debug, Clone, Serialize)]
pub struct Series {
    pub what: String,
    pub accepted: u64,
    pub peak_mib: f64,
}

/// Each series alone, on a log of its own, and then all of them together.
pub async fn measure(bench: &Bench) -> Result<Memory> {
    let board = Board::new(0);
    bench.receiver.serve(&board);
    let mut memory = Memory { idle_mib: 0.0, series: Vec::new() };
    for (what, load) in [
        ("events of 255 KiB to endpoints that hang", Load { large: true, ..Load::default() }),
        ("templates that make 255 KiB of 4 KiB", Load { templates: true, ..Load::default() }),
        ("lists of everything beside that", Load { large: true, lists: true, ..Load::default() }),
        ("all together", Load { large: true, templates: true, lists: true }),
    ] {
        bench.say(format!("memory: {what}"));
        let folder = format!("memory-{}", memory.series.len());
        let mut scene = bench.scene(&folder, 0).await?;
        memory.idle_mib = scene.sidecar.usage()?.peak_rss_mib;
        let series = load.run(bench, &scene, what).await?;
        memory.series.push(series);
        scene.sidecar.kill()?;
    }
    Ok(memory)
}

#[derive(Debug, Clone, Copy, Default)]
struct Load {
    large: bool,
    templates: bool,
    lists: bool,
}

impl Load {
    async fn run(self, bench: &Bench, scene: &Scene, what: &str) -> Result<Series> {
        let half = SUBSCRIPTIONS / KINDS.len();
        let echo = json!({"text": "{{ record.x }}".repeat(63)});
        let mut plain = Vec::new();
        let mut templated = Vec::new();
        for path in KINDS {
            for number in 0..half {
                let is_templated = self.templates && (number % 2 == 0 || !self.large);
                let id = Uuid::new_v4();
                let mut subscription = json!({
                    "id": id, "name": "Memory", "model": "sale.order", "event_type": "all", "timeout_s": 30,
                    "url": format!("http://{}{path}/{number}", bench.receiver.address), "max_attempts": 10,
                });
                if is_templated {
                    subscription["payload_template"] = echo.clone();
                }
                scene.sidecar.call("subscription.create", subscription).await?;
                if is_templated { &mut templated } else { &mut plain }.push(id);
            }
        }
        let end = Instant::now() + bench.time * 10;
        let mut callers = JoinSet::new();
        for number in 0..SUBMITTERS {
            let is_large = self.large && (number % 2 == 0 || !self.templates);
            let (owners, size) = if is_large { (plain.clone(), LARGE) } else { (templated.clone(), SMALL) };
            let caller = Caller::to(scene, number);
            callers.spawn(async move { caller.submit(&owners, size, end).await });
        }
        for number in 0..if self.lists { LISTERS } else { 0 } {
            let caller = Caller::to(scene, number);
            callers.spawn(async move { caller.list(end).await });
        }
        let mut accepted = 0;
        while let Some(done) = callers.join_next().await {
            accepted += done.context("a caller")??;
        }
        Ok(Series { what: what.to_owned(), accepted, peak_mib: scene.sidecar.usage()?.peak_rss_mib })
    }
}

/// Somebody with a connection of his own.
struct Caller {
    number: usize,
    url: Arc<str>,
    token: String,
    client: reqwest::Client,
}

impl Caller {
    fn to(scene: &Scene, number: usize) -> Self {
        let url = format!("http://{}/", scene.sidecar.address).into();
        Self { number, url, token: scene.sidecar.token.clone(), client: reqwest::Client::new() }
    }

    async fn call(&self, body: String) -> Result<String> {
        let request = self.client.post(&*self.url).bearer_auth(&self.token);
        let request = request.header("content-type", "application/json").timeout(Duration::from_secs(120));
        Ok(request.body(body).send().await?.text().await?)
    }

    /// Until `end`, or until the disk has its share; returns how many were accepted.
    async fn submit(&self, owners: &[Uuid], (bytes, batch): (usize, usize), end: Instant) -> Result<u64> {
        let (mut accepted, mut next) = (0, self.number);
        let text = "x".repeat(bytes - 300);
        while Instant::now() < end {
            let mut body =
                String::from(r#"{"jsonrpc":"2.0","id":1,"method":"event.submit","params":{"events":["#);
            for index in 0..batch {
                let (id, owner) = (Uuid::new_v4(), owners[next % owners.len()]);
                next += SUBMITTERS;
                let comma = if index > 0 { "," } else { "" };
                let time = time_now().0;
                body += &format!(
                    r#"{comma}{{"id":"{id}","subscription_id":"{owner}","model":"sale.order","event_type":"write","record_ids":[1],"user_id":2,"timestamp":"{time}","records":[{{"x":"{text}"}}]}}"#
                );
            }
            body.push_str("]}}");
            accepted += self.call(body).await?.matches(r#""accepted""#).count() as u64;
        }
        Ok(accepted)
    }

    async fn list(&self, end: Instant) -> Result<u64> {
        while Instant::now() < end {
            for (method, params) in [
                ("delivery.list", json!({"limit": 1000})),
                ("delivery.changes", json!({"limit": 1000})),
                ("subscription.list", json!({})),
            ] {
                let call: Value = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
                self.call(call.to_string()).await?;
            }
        }
        Ok(0)
    }
}
