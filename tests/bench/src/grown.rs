//! The same figures on logs of different size, measured in turn.

use std::{fs, path::PathBuf, time::Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    board::{Latencies, median},
    fill, latency,
    scene::{Bench, Scene},
    sidecar::Sidecar,
    throughput::{self, SUBSCRIPTIONS},
};

/// The figures on a log of one size.
#[derive(Debug, Clone, Serialize)]
pub struct Grown {
    pub deliveries: usize,
    pub store_mib: f64,
    pub start_s: f64,
    /// 64 submitters, one event a call.
    pub delivered_one_per_s: f64,
    /// 64 submitters, batches of 100.
    pub delivered_hundred_per_s: f64,
    pub cpu_s_per_1000: f64,
    pub peak_rss_mib: f64,
    pub at_100: Latencies,
    /// Calls of 100 rows, median in ms: the beginning of the feed, its end, the newest of all, the newest of one.
    pub calls_ms: [f64; 4],
}

/// Logs of none, one and five million deliveries (or as the options say).
pub async fn measure(bench: &Bench) -> Result<Vec<Grown>> {
    let sizes = [0, bench.million, 5 * bench.million];
    let mut logs = Vec::new();
    for size in sizes {
        logs.push((size, grow(bench, &logs, size).await?));
    }
    let mut rounds: Vec<Vec<Grown>> = Vec::new();
    for round in 1..=bench.rounds {
        let mut found = Vec::new();
        for (size, log) in &logs {
            bench.say(format!("a grown log, round {round}: {size} deliveries"));
            found.push(once(bench, log, *size).await?);
        }
        rounds.push(found);
    }
    Ok((0..sizes.len()).map(|index| middle(&rounds, index)).collect())
}

struct GrownLog {
    folder: PathBuf,
    owners: Vec<uuid::Uuid>,
}

/// A log of `size` deliveries; begins with a copy of the largest one there is.
async fn grow(bench: &Bench, logs: &[(usize, GrownLog)], size: usize) -> Result<GrownLog> {
    let name = format!("grown-{size}");
    let folder = bench.folder.join(&name);
    let (from, owners) = match logs.last().filter(|(size, _)| *size > 0) {
        None => {
            let mut scene = bench.scene(&name, SUBSCRIPTIONS).await?;
            scene.sidecar.stop()?;
            (0, scene.submit.subscriptions.clone())
        }
        Some((from, log)) => {
            fs::create_dir_all(&folder)?;
            let status = std::process::Command::new("cp")
                .arg("-r")
                .arg(log.folder.join("data"))
                .arg(&folder)
                .status()?;
            anyhow::ensure!(status.success(), "the log could not be copied");
            (*from, log.owners.clone())
        }
    };
    let log = GrownLog { folder, owners };
    tokio::task::block_in_place(|| fill::fill(bench, &log.folder, &log.owners, size - from))?;
    Ok(log)
}

async fn once(bench: &Bench, log: &GrownLog, deliveries: usize) -> Result<Grown> {
    let (sidecar, start) = Sidecar::start(&bench.binary, &log.folder).await?;
    let mut scene = Scene::of(sidecar);
    scene.submit_to(log.owners.clone());
    throughput::one(bench, &scene, 16, 10, bench.time / 2).await?;
    let one = throughput::one(bench, &scene, 64, 1, bench.time * 2).await?;
    let hundred = throughput::one(bench, &scene, 64, 100, bench.time * 2).await?;
    let steady = latency::at(bench, &scene, 100.0, 500).await?;
    let calls_ms = calls(&scene).await?;
    let store_mib = scene.sidecar.store_mib()?;
    scene.sidecar.stop()?;
    Ok(Grown {
        deliveries,
        store_mib,
        start_s: start.as_secs_f64(),
        delivered_one_per_s: one.delivered_per_s,
        delivered_hundred_per_s: hundred.delivered_per_s,
        cpu_s_per_1000: one.cpu_s_per_1000,
        peak_rss_mib: one.peak_rss_mib.max(hundred.peak_rss_mib),
        at_100: steady.latency,
        calls_ms,
    })
}

async fn calls(scene: &Scene) -> Result<[f64; 4]> {
    let first = timed(scene, "delivery.changes", json!({"after": ""})).await?;
    let cursor = first.1["cursor"].as_str().context("a cursor")?.to_owned();
    let (log_id, _) = cursor.rsplit_once(':').context("a cursor")?;
    // The feed moves once per delivery, so its end is about where its size says.
    let end = last_change(scene, log_id).await?;
    let last = timed(scene, "delivery.changes", json!({"after": format!("{log_id}:{end}")})).await?;
    let newest = timed(scene, "delivery.list", json!({})).await?;
    let owner = scene.submit.subscriptions[0];
    let own = timed(scene, "delivery.list", json!({"subscription_id": owner, "status": "success"})).await?;
    Ok([first.0, last.0, newest.0, own.0])
}

/// A place about a hundred changes before the feed's end, found by halving: a cursor behind the end is stale.
async fn last_change(scene: &Scene, log_id: &str) -> Result<u64> {
    let (mut low, mut high) = (0_u64, 1 << 40);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        let after = json!({"after": format!("{log_id}:{middle}"), "limit": 1});
        match scene.sidecar.call("delivery.changes", after).await {
            Ok(_) => low = middle,
            Err(_) => high = middle,
        }
    }
    Ok(low.saturating_sub(100))
}

/// The median of 20 calls in ms, and the last answer.
async fn timed(scene: &Scene, method: &str, params: Value) -> Result<(f64, Value)> {
    let (mut times, mut last) = (Vec::new(), Value::Null);
    for _ in 0..20 {
        let start = Instant::now();
        last = scene.sidecar.call(method, params.clone()).await?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    Ok((median(times), last))
}

fn middle(rounds: &[Vec<Grown>], index: usize) -> Grown {
    let of =
        |figure: &dyn Fn(&Grown) -> f64| median(rounds.iter().map(|round| figure(&round[index])).collect());
    let like = &rounds[0][index];
    Grown {
        deliveries: like.deliveries,
        store_mib: like.store_mib,
        start_s: of(&|g| g.start_s),
        delivered_one_per_s: of(&|g| g.delivered_one_per_s),
        delivered_hundred_per_s: of(&|g| g.delivered_hundred_per_s),
        cpu_s_per_1000: of(&|g| g.cpu_s_per_1000),
        peak_rss_mib: of(&|g| g.peak_rss_mib),
        at_100: Latencies {
            samples: like.at_100.samples * rounds.len(),
            p50_ms: of(&|g| g.at_100.p50_ms),
            p95_ms: of(&|g| g.at_100.p95_ms),
            p99_ms: of(&|g| g.at_100.p99_ms),
        },
        calls_ms: [0, 1, 2, 3].map(|call| of(&|g| g.calls_ms[call])),
    }
}
