//! Instructions of the sidecar per delivery, counted by callgrind: a figure that a busy machine does not change.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{
    board::Board,
    load,
    scene::{Bench, Scene},
    sidecar::Sidecar,
};

/// Deliveries of the short run and of the long one; what both do besides them falls out of the difference.
const EVENTS: [usize; 2] = [1000, 3000];
const SUBSCRIPTIONS: usize = 16;

/// Thousands of instructions per delivery.
#[derive(Debug, Clone, Serialize)]
pub struct Count {
    /// Events in one call.
    pub batch: usize,
    pub thousand_instructions: f64,
}

/// By batch. Needs valgrind.
pub async fn measure(bench: &Bench) -> Result<Vec<Count>> {
    let mut counts = Vec::new();
    for batch in [1, 100] {
        let mut totals = [0; 2];
        for (events, total) in EVENTS.into_iter().zip(&mut totals) {
            bench.say(format!("instructions: {events} deliveries in batches of {batch}"));
            *total = run(bench, events, batch).await?;
        }
        let per_delivery = (totals[1] - totals[0]) as f64 / (EVENTS[1] - EVENTS[0]) as f64;
        counts.push(Count { batch, thousand_instructions: per_delivery / 1000.0 });
    }
    Ok(counts)
}

/// All instructions of a sidecar that starts, delivers so many events, and stops.
async fn run(bench: &Bench, events: usize, batch: usize) -> Result<u64> {
    let folder = bench.folder.join(format!("counts-{events}-{batch}"));
    fs::create_dir_all(&folder)?;
    let counted = folder.join("callgrind.out");
    let binary = under_callgrind(&bench.binary, &folder, &counted)?;
    let (sidecar, _) = Sidecar::start(&binary, &folder).await?;
    let mut scene = Scene::of(sidecar);
    let owners = scene.subscribe(&bench.receiver, SUBSCRIPTIONS, "/hook").await?;
    scene.submit_to(owners);
    let board = Board::new(events);
    bench.receiver.serve(&board);
    // With one submitter at a time it does the same work in each run; with one event a call sixteen share commits.
    let submitters = if batch == 1 { 16 } else { 1 };
    let load = load::closed(&scene.submit, &board, submitters, batch, Duration::MAX).await?;
    bench.all_arrived(&board, load.accepted).await?;
    scene.sidecar.wait_until_idle().await?;
    scene.sidecar.stop()?;
    let text = fs::read_to_string(counted)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals:")).context("callgrind's totals")?;
    total.trim().parse().context("callgrind's totals are a number")
}

/// A program that runs `binary` under callgrind.
fn under_callgrind(binary: &Path, folder: &Path, counted: &Path) -> Result<std::path::PathBuf> {
    let script = folder.join("counted");
    let text = format!(
        "#!/bin/sh\nexec valgrind --quiet --tool=callgrind --callgrind-out-file='{}' '{}' \"$@\"\n",
        counted.display(),
        binary.display()
    );
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}
