//! What the machine itself gives: the floor of latency (a durable write) and the ceiling of rate (a bare POST loop).

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use redb::{Database, TableDefinition};
use tokio::task::JoinSet;

use crate::{board::Latencies, load::EVENT_BYTES, receiver::Receiver};

const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");

/// An append of one event's size and its fsync, `count` times, `pace` apart.
pub fn fsync(folder: &Path, count: usize, pace: Duration) -> Result<Latencies> {
    let mut file = File::create(folder.join("fsync"))?;
    timed(count, pace, |_| {
        file.write_all(&[b'x'; EVENT_BYTES])?;
        Ok(file.sync_data()?)
    })
}

/// A durable commit of one row as the log makes it (two-phase, quick repair), `count` times, `pace` apart.
pub fn commit(folder: &Path, count: usize, pace: Duration) -> Result<Latencies> {
    let path = folder.join("commit.redb");
    let _ = std::fs::remove_file(&path);
    let database = Database::create(path)?;
    timed(count, pace, |number| {
        let mut txn = database.begin_write()?;
        txn.set_quick_repair(true);
        txn.open_table(ROWS)?.insert(number as u64, [b'x'; EVENT_BYTES].as_slice())?;
        Ok(txn.commit()?)
    })
}

fn timed(count: usize, pace: Duration, mut step: impl FnMut(usize) -> Result<()>) -> Result<Latencies> {
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        std::thread::sleep(pace);
        let start = Instant::now();
        step(number)?;
        times.push(start.elapsed().as_nanos() as u64);
    }
    Ok(Latencies::of(&mut times))
}

/// POSTs of one event's size by the client that the sidecar uses, as fast as `tasks` callers can: requests per second.
/// From a runtime of its own: the sidecar, too, shares no thread with the receiver. Where they share, two rates are seen.
pub async fn bare_posts(receiver: &Receiver, tasks: usize, time: Duration) -> Result<f64> {
    let url = format!("http://{}/bare", receiver.address);
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(post_for(&url, tasks, time))
    })
    .await?
}

async fn post_for(url: &str, tasks: usize, time: Duration) -> Result<f64> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(64)
        .build()?;
    let url: reqwest::Url = url.parse()?;
    let body = bytes::Bytes::from(vec![b'x'; EVENT_BYTES]);
    let count = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..tasks {
        let (client, url, body, count) = (client.clone(), url.clone(), body.clone(), Arc::clone(&count));
        callers.spawn(async move {
            while start.elapsed() < time {
                let request = client.post(url.clone()).header("content-type", "application/json");
                request.body(body.clone()).send().await?.bytes().await?;
                count.fetch_add(1, Relaxed);
            }
            reqwest::Result::Ok(())
        });
    }
    while let Some(done) = callers.join_next().await {
        done??;
    }
    Ok(count.load(Relaxed) as f64 / start.elapsed().as_secs_f64())
}
