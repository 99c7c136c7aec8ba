//! What endpoints that never answer cost the healthy ones.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::{
    board::{Board, Latencies},
    load::{self, Submit},
    scene::Bench,
};

const HEALTHY: usize = 16;
const HANGING: usize = 50;
/// Events that wait at the hanging endpoints, together.
const WAITING: usize = 1000;
/// Events per second to the healthy ones.
const PER_S: f64 = 200.0;

/// The healthy endpoints' latency beside so many hanging ones: the middle one of the rounds' percentiles.
#[derive(Debug, Clone, Serialize)]
pub struct Beside {
    pub hanging: usize,
    pub latency: Latencies,
    /// The p99 against that beside none, as the median of the ratios within each round.
    pub p99_ratio: f64,
}

/// Rounds of: none hang, one hangs, fifty hang.
pub async fn measure(bench: &Bench) -> Result<Vec<Beside>> {
    let scene = bench.scene("hanging", HEALTHY).await?;
    let mut found: Vec<Vec<Latencies>> = vec![Vec::new(); 3];
    // The first round warms up and does not count.
    for round in 0..=bench.rounds {
        for (index, count) in [0, 1, HANGING].into_iter().enumerate() {
            bench.say(format!("hanging endpoints, round {round}: {count}"));
            let events = if round == 0 { 200 } else { (PER_S * 5.0) as usize };
            let board = Board::new(events);
            bench.receiver.serve(&board);
            let hanging = scene.subscribe(&bench.receiver, count, "/hang").await?;
            if count > 0 {
                let submit = Arc::new(Submit { subscriptions: hanging.clone(), ..(*scene.submit).clone() });
                load::closed(&submit, &Board::new(WAITING), 1, WAITING, Duration::from_secs(10)).await?;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            let load = load::steady(&scene.submit, &board, PER_S, 0..events).await?;
            bench.all_arrived(&board, load.accepted).await?;
            if round > 0 {
                found[index].push(board.latencies(|_| true));
            }
            let free = Board::new(0);
            free.released.store(true, Relaxed);
            bench.receiver.serve(&free);
            // The sidecar spares an endpoint that hung for a while; without its subscription nothing waits.
            for id in hanging {
                scene.sidecar.call("subscription.delete", json!({"id": id})).await?;
            }
            scene.sidecar.wait_until_idle().await?;
        }
    }
    let alone = found[0].clone();
    Ok([0, 1, HANGING]
        .into_iter()
        .zip(&found)
        .map(|(hanging, found)| beside(hanging, found, &alone))
        .collect())
}

fn beside(hanging: usize, found: &[Latencies], alone: &[Latencies]) -> Beside {
    use crate::board::median;
    let of = |figure: fn(&Latencies) -> f64| median(found.iter().map(figure).collect());
    let latency = Latencies {
        samples: found.iter().map(|round| round.samples).sum(),
        p50_ms: of(|round| round.p50_ms),
        p95_ms: of(|round| round.p95_ms),
        p99_ms: of(|round| round.p99_ms),
    };
    let p99_ratio = median(found.iter().zip(alone).map(|(with, none)| with.p99_ms / none.p99_ms).collect());
    Beside { hanging, latency, p99_ratio }
}
