//! Accepted and delivered events per second, and what they cost, by submitters and batch.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use serde::Serialize;

use crate::{
    board::{Board, median},
    floor,
    load::{self, Other, Sender},
    scene::{Bench, Scene},
};

/// Subscriptions that the events go to, in turn.
pub const SUBSCRIPTIONS: usize = 64;
/// The most events in one variant, so that a fast intake does not leave a long tail.
const MOST: usize = 40_000;

/// The figures of one variant.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cell {
    pub submitters: usize,
    pub batch: usize,
    pub accepted_per_s: f64,
    pub delivered_per_s: f64,
    /// Delivered per request of the bare loop right before and after it: machines change their speed.
    pub of_bare: f64,
    pub cpu_s_per_1000: f64,
    pub peak_rss_mib: f64,
}

/// All variants.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Throughput {
    pub subscriptions: usize,
    pub bare_posts_per_s: f64,
    pub cells: Vec<Cell>,
}

impl Throughput {
    /// Deliveries per second with 64 submitters and one event a call.
    pub fn saturation(&self) -> Option<f64> {
        self.cells
            .iter()
            .find(|cell| (cell.submitters, cell.batch) == (64, 1))
            .map(|cell| cell.delivered_per_s)
    }
}

/// Every variant once a round, and the bare loop between them; the median of the rounds.
pub async fn measure(bench: &Bench) -> Result<Throughput> {
    let scene = bench.scene("throughput", SUBSCRIPTIONS).await?;
    bench.say("warming up");
    one(bench, &scene, 16, 10, bench.time).await?;
    let (mut bare, mut all) = (Vec::new(), Vec::new());
    for round in 1..=bench.rounds {
        bench.say(format!("throughput, round {round}: bare POST loop"));
        let mut before = floor::bare_posts(&bench.receiver, 64, bench.time / 2).await?;
        for submitters in [1, 16, 64] {
            for batch in [1, 10, 100, 1000] {
                bench.say(format!("throughput, round {round}: {submitters} submitters, batches of {batch}"));
                let cell = one(bench, &scene, submitters, batch, bench.time).await?;
                let after = floor::bare_posts(&bench.receiver, 64, bench.time / 2).await?;
                all.push(Cell { of_bare: cell.delivered_per_s * 2.0 / (before + after), ..cell });
                bare.push(before);
                before = after;
            }
        }
    }
    let cells = all[..12].iter().map(|cell| middle(&all, cell)).collect();
    Ok(Throughput { subscriptions: SUBSCRIPTIONS, bare_posts_per_s: median(bare), cells })
}

fn middle(all: &[Cell], like: &Cell) -> Cell {
    let same = |cell: &&Cell| (cell.submitters, cell.batch) == (like.submitters, like.batch);
    let of = |figure: fn(&Cell) -> f64| median(all.iter().filter(same).map(figure).collect());
    Cell {
        accepted_per_s: of(|cell| cell.accepted_per_s),
        delivered_per_s: of(|cell| cell.delivered_per_s),
        of_bare: of(|cell| cell.of_bare),
        cpu_s_per_1000: of(|cell| cell.cpu_s_per_1000),
        peak_rss_mib: of(|cell| cell.peak_rss_mib),
        ..*like
    }
}

/// One variant: a closed load for `time`, then everything arrives and is settled.
pub async fn one(
    bench: &Bench,
    scene: &Scene,
    submitters: usize,
    batch: usize,
    time: Duration,
) -> Result<Cell> {
    scene.sidecar.forget_peak()?;
    let before = scene.sidecar.usage()?;
    let rates = run(bench, &scene.submit, submitters, batch, time).await?;
    scene.sidecar.wait_until_idle().await?;
    let after = scene.sidecar.usage()?;
    Ok(Cell {
        submitters,
        batch,
        accepted_per_s: rates.accepted_per_s,
        delivered_per_s: rates.delivered_per_s,
        of_bare: f64::NAN,
        cpu_s_per_1000: (after.cpu - before.cpu).as_secs_f64() * 1000.0 / rates.events as f64,
        peak_rss_mib: after.peak_rss_mib,
    })
}

struct Rates {
    events: u64,
    accepted_per_s: f64,
    delivered_per_s: f64,
}

async fn run(
    bench: &Bench,
    sender: &Arc<impl Sender>,
    submitters: usize,
    batch: usize,
    time: Duration,
) -> Result<Rates> {
    let board = Board::new(MOST.max(submitters * batch));
    bench.receiver.serve(&board);
    let load = load::closed(sender, &board, submitters, batch, time).await?;
    bench.all_arrived(&board, load.accepted).await?;
    Ok(Rates {
        events: load.accepted,
        accepted_per_s: load.accepted as f64 / load.took.as_secs_f64(),
        delivered_per_s: load.accepted as f64 / board.last_arrival().as_secs_f64(),
    })
}

/// Another sender, one event a request.
#[derive(Debug, Clone, Serialize)]
pub struct OtherFigures {
    /// Submitters, accepted per second, delivered per second.
    pub rates: Vec<(usize, f64, f64)>,
    pub at_100: crate::board::Latencies,
}

/// The same load against another sender.
pub async fn measure_other(bench: &Bench, other: Other) -> Result<OtherFigures> {
    let other = Arc::new(other);
    let mut rates = Vec::new();
    for submitters in [1, 16, 64] {
        bench.say(format!("the other sender: {submitters} submitters"));
        let found = run(bench, &other, submitters, 1, bench.time).await?;
        rates.push((submitters, found.accepted_per_s, found.delivered_per_s));
    }
    bench.say("the other sender: 100/s");
    let board = Board::new(1000);
    bench.receiver.serve(&board);
    let load = load::steady(&other, &board, 100.0, 0..1000).await?;
    bench.all_arrived(&board, load.accepted).await?;
    Ok(OtherFigures { rates, at_100: board.latencies(|_| true) })
}
