//! A million pending deliveries: what they weigh, how long a start takes, how fast they drain.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use crate::{board::Board, load, scene::Bench, sidecar::Sidecar, throughput::SUBSCRIPTIONS};

/// What [`measure`] found.
#[derive(Debug, Clone, Serialize)]
pub struct Backlog {
    pub pending: usize,
    pub accepted_per_s: f64,
    pub start_s: f64,
    pub start_after_kill_s: f64,
    /// Peak of the resident memory: while it fills, after a start, while it drains.
    pub peak_rss_mib: [f64; 3],
    pub drained_per_s: f64,
    pub drain_cpu_s_per_1000: f64,
    pub store_mib: f64,
}

/// Fills a paused sidecar, restarts it, and lets it go.
pub async fn measure(bench: &Bench) -> Result<Backlog> {
    let mut scene = bench.scene("backlog", SUBSCRIPTIONS).await?;
    scene.pause(true).await?;
    let board = Board::new(bench.million);
    bench.receiver.serve(&board);
    bench.say(format!("backlog: {} events pile up", bench.million));
    let load = load::closed(&scene.submit, &board, 16, 1000.min(bench.million / 16), Duration::MAX).await?;
    let filling = scene.sidecar.usage()?.peak_rss_mib;
    bench.say("backlog: start with all of them pending");
    // Killed while the journal has commits that the store has not.
    scene.sidecar.kill()?;
    let (sidecar, after_kill) = Sidecar::start(&bench.binary, &bench.folder.join("backlog")).await?;
    scene.sidecar = sidecar;
    scene.submit_to(scene.submit.subscriptions.clone());
    let start = scene.restart().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = scene.sidecar.usage()?;
    bench.say("backlog: it drains");
    let (before, began) = (board.count(), Instant::now());
    anyhow::ensure!(before == 0, "{before} events arrived from a paused sidecar");
    scene.pause(false).await?;
    bench.all_arrived(&board, load.accepted).await?;
    let drained = began.elapsed();
    scene.sidecar.wait_until_idle().await?;
    let usage = scene.sidecar.usage()?;
    let events = load.accepted as f64;
    Ok(Backlog {
        pending: bench.million,
        accepted_per_s: events / load.took.as_secs_f64(),
        start_s: start.as_secs_f64(),
        start_after_kill_s: after_kill.as_secs_f64(),
        peak_rss_mib: [filling, idle.peak_rss_mib, usage.peak_rss_mib],
        drained_per_s: events / drained.as_secs_f64(),
        drain_cpu_s_per_1000: (usage.cpu - idle.cpu).as_secs_f64() * 1000.0 / events,
        store_mib: scene.sidecar.store_mib()?,
    })
}
