//! Endpoints and the way to them are bad. The row says so, nobody else waits, and nothing is sent twice without a row.

use std::{
    fs,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{NotPossible, Run};
use crate::{
    daemon::Daemon,
    history::{Healthy, Peak},
    load::Dice,
    receiver::Behaviour,
    strace::Strace,
    world::{MIXED, Tally, World},
};

/// Threads that the sidecar may have, whatever happens: tokio's workers, the writer, and name look-ups.
const THREADS: u64 = 64;
/// Memory that the sidecar may use beside bad endpoints, in KiB.
const MEMORY_KIB: u64 = 256 << 10;

/// Connections break at every n-th call on the way out and back.
pub async fn resets(mut run: Run) -> Result<Tally> {
    let faults = [
        ("connect", "ECONNREFUSED"),
        ("connect", "ENETUNREACH"),
        ("writev,sendto", "EPIPE"),
        ("writev,sendto", "ECONNRESET"),
        ("recvfrom", "ECONNRESET"),
    ];
    let mut tally = Tally::default();
    for round in 0..run.rounds {
        let (calls, error) = faults[round as usize % faults.len()];
        let mut world = World::running(Dice(run.dice.roll(u64::MAX)), &MIXED).await?;
        world.cut = true;
        let inject = format!("{calls}:error={error}:when={}+{}", 1 + run.dice.roll(2), 2 + run.dice.roll(5));
        let trace = world.folder.path().join("strace");
        let strace = Strace::attach(world.daemon.pid()?, &trace, calls, &inject, &[]).await?;
        let submitter = world.submit(300)?;
        strace.fired(1).await?;
        submitter.await?;
        let injected = strace.detach().await?;
        tally.add(world.finish(injected).await.with_context(|| inject)?);
        run.done(round + 1, run.rounds);
    }
    Ok(tally)
}

/// Endpoints that hang, drip, bomb, hang up and flap, each with a backlog; a healthy one beside them hardly notices.
pub async fn bad_endpoints(mut run: Run) -> Result<Tally> {
    let mut tally = Tally::default();
    let kinds = [Behaviour::Hang, Behaviour::Drip, Behaviour::Bomb, Behaviour::HangUp];
    for round in 1..=run.rounds {
        let mut world = World::running(Dice(run.dice.roll(u64::MAX)), &[]).await?;
        let healthy = world.subscribe(4, 1, Behaviour::Answer(200), json!({})).await?;
        let normal = latency(&mut world, &healthy).await?;
        // A thousand of them in the full run.
        let copies = if run.full { 250 } else { 10 };
        for kind in kinds.iter().cycle().take(kinds.len() * copies) {
            world.subscribe(4, 1, *kind, json!({"timeout_s": 1})).await?;
        }
        world
            .subscribe(4, 3, Behaviour::Sometimes { one_in: 2, status: 503, always: false }, json!({}))
            .await?;
        let bad = world.subscriptions.len() - 1;
        let events = world.events(1 + bad * 4);
        world.submit_these(events)?.await?;
        let beside = latency(&mut world, &healthy).await?;
        world.healthy = Some(Healthy { normal_ms: normal, beside_ms: beside, noise_ms: 250 });
        measure(&mut world)?;
        let hits = world.receiver.hits();
        let injected = hits.iter().filter(|hit| hit.answer.is_none()).count() as u64;
        tally.add(world.finish(injected).await?);
        run.done(round, run.rounds);
    }
    Ok(tally)
}

/// From the call to the request, one event after the other: the 99th percentile in milliseconds.
async fn latency(world: &mut World, subscription: &str) -> Result<u64> {
    let mut took = Vec::new();
    for number in 0..100 {
        let mut count = world.receiver.count();
        let event = crate::load::Event::new(subscription, number);
        let id = event.id().to_owned();
        let started = std::time::Instant::now();
        let submitter = world.submit_these(vec![event])?;
        let receiver = world.receiver.clone();
        let arrived = count.wait_for(|_| receiver.has(&id));
        tokio::time::timeout(crate::daemon::PATIENCE, arrived)
            .await
            .context("a healthy endpoint waits")??;
        took.push(started.elapsed().as_millis() as u64);
        submitter.await?;
    }
    took.sort_unstable();
    Ok(took[took.len() * 99 / 100])
}

/// The most threads and memory of the sidecar, for V8.
fn measure(world: &mut World) -> Result<()> {
    let read = |daemon: &Daemon, name: &str| -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()?.as_raw_nonzero()))?;
        let line = status.lines().find(|line| line.starts_with(name)).context("no such line")?;
        Ok(line.split_whitespace().nth(1).unwrap_or("0").parse()?)
    };
    let (threads, memory) = (read(&world.daemon, "Threads:")?, read(&world.daemon, "VmHWM:")?);
    world.peaks.push(Peak { what: "threads".into(), seen: threads, cap: THREADS });
    world.peaks.push(Peak { what: "memory, KiB".into(), seen: memory, cap: MEMORY_KIB });
    Ok(())
}

/// A name server that takes questions and never answers. Names behind it fail as `dns`; the log's commits do not wait.
pub async fn silent_dns(mut run: Run) -> Result<Tally> {
    let mut tally = Tally::default();
    for round in 1..=run.rounds {
        let questions = Arc::new(AtomicU64::new(0));
        let hole =
            UdpSocket::bind("127.0.0.77:53").map_err(|error| NotPossible(format!("port 53: {error}")))?;
        hole.set_read_timeout(Some(Duration::from_millis(200)))?;
        let counter = Arc::clone(&questions);
        let thread = std::thread::spawn(move || {
            let mut bytes = [0; 512];
            while Arc::strong_count(&counter) > 1 {
                counter.fetch_add(u64::from(hole.recv(&mut bytes).is_ok()), Relaxed);
            }
        });
        let mut world = World::new(Dice(run.dice.roll(u64::MAX)), None).await?;
        let resolv = world.folder.path().join("resolv.conf");
        fs::write(&resolv, "nameserver 127.0.0.77\n")?;
        // A mount namespace of its own: only the sidecar sees this file.
        let script = format!("mount --bind {} /etc/resolv.conf && exec \"$0\" \"$@\"", resolv.display());
        world.daemon.wrapper = ["unshare", "-m", "sh", "-c", &script].map(str::to_owned).into();
        world.daemon.start().await?;
        let healthy = world.subscribe(4, 1, Behaviour::Answer(200), json!({})).await?;
        let normal = latency(&mut world, &healthy).await?;
        let names = if run.full { 600 } else { 100 };
        for number in 0..names {
            let url = format!("http://hole-{number}.example.com/");
            world.subscribe(4, 1, Behaviour::Answer(200), json!({"url": url, "timeout_s": 2})).await?;
        }
        let events = world.events(1 + names);
        world.submit_these(events)?.await?;
        let beside = latency(&mut world, &healthy).await?;
        world.healthy = Some(Healthy { normal_ms: normal, beside_ms: beside, noise_ms: 250 });
        measure(&mut world)?;
        tally.add(world.finish(questions.load(Relaxed)).await?);
        drop(questions);
        ensure!(thread.join().is_ok(), "the name server panicked");
        run.done(round, run.rounds);
    }
    Ok(tally)
}

/// Attempts that a backlog may burn while its endpoint is plainly down: those that showed it, and probes.
const BURNT: usize = 20;

/// An endpoint is down and has a backlog. It waits behind a probe, and all of it arrives when the endpoint is back.
pub async fn outage(mut run: Run) -> Result<Tally> {
    let mut tally = Tally::default();
    for round in 1..=run.rounds {
        let mut world = World::running(Dice(run.dice.roll(u64::MAX)), &[(4, 1, Behaviour::HangUp)]).await?;
        let down = world.subscriptions[0].id.clone();
        world.submit(200)?.await?;
        world
            .more_hits(6_usize.saturating_sub(world.receiver.hits().len()))
            .await
            .context("V0: nobody tried")?;
        let pending = world.daemon.pending().await?;
        ensure!(pending > 150, "the backlog was burnt: {pending} of 200 are left");
        world.receiver.behave(&down, Behaviour::Answer(200));
        let receiver = world.receiver.clone();
        let one = world.finish(1).await?;
        let burnt = receiver.hits().iter().filter(|hit| hit.answer.is_none()).count();
        ensure!(burnt <= BURNT, "{burnt} attempts were burnt on an endpoint that was down");
        tally.add(Tally { injected: burnt as u64, ..one });
        run.done(round, run.rounds);
    }
    Ok(tally)
}
