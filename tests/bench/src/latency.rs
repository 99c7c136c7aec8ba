//! From submission to arrival at a steady rate, beside what a durable write costs at the same pace.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::{
    board::{Board, Latencies},
    floor, load,
    scene::{Bench, Scene},
    throughput::SUBSCRIPTIONS,
};

/// A durable write with nothing else going on, one after the other and at 100/s.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Floors {
    pub fsync: Latencies,
    pub fsync_at_100: Latencies,
    pub commit: Latencies,
    pub commit_at_100: Latencies,
}

/// Latency at one rate.
#[derive(Debug, Clone, Serialize)]
pub struct Steady {
    pub per_s: f64,
    pub latency: Latencies,
    pub cpu_s_per_1000: f64,
}

/// What [`measure`] found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Latency {
    pub floors: Floors,
    pub steady: Vec<Steady>,
}

/// At 100/s, and at half of saturation.
pub async fn measure(bench: &Bench, half: f64) -> Result<Latency> {
    let scene = bench.scene("latency", SUBSCRIPTIONS).await?;
    bench.say("latency: what a durable write costs");
    let folder = bench.folder.clone();
    let floors = tokio::task::spawn_blocking(move || -> Result<Floors> {
        let pace = Duration::from_millis(10);
        Ok(Floors {
            fsync: floor::fsync(&folder, 500, Duration::ZERO)?,
            fsync_at_100: floor::fsync(&folder, 300, pace)?,
            commit: floor::commit(&folder, 500, Duration::ZERO)?,
            commit_at_100: floor::commit(&folder, 300, pace)?,
        })
    })
    .await??;
    at(bench, &scene, 100.0, 100).await?;
    let mut steady = Vec::new();
    for (per_s, events) in [(100.0, 1500), (half, (half * 4.0) as usize)] {
        bench.say(format!("latency at {per_s:.0}/s"));
        steady.push(at(bench, &scene, per_s, events).await?);
    }
    Ok(Latency { floors, steady })
}

/// `events` events at a steady rate, one a call.
pub async fn at(bench: &Bench, scene: &Scene, per_s: f64, events: usize) -> Result<Steady> {
    let board = Board::new(events);
    bench.receiver.serve(&board);
    let before = scene.sidecar.usage()?;
    let load = load::steady(&scene.submit, &board, per_s, 0..events).await?;
    bench.all_arrived(&board, load.accepted).await?;
    scene.sidecar.wait_until_idle().await?;
    let cpu = scene.sidecar.usage()?.cpu - before.cpu;
    Ok(Steady {
        per_s,
        latency: board.latencies(|_| true),
        cpu_s_per_1000: cpu.as_secs_f64() * 1000.0 / events as f64,
    })
}
