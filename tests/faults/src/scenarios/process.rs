//! The process is starved, frozen, or lives in another time.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Signal};

use super::{NotPossible, Run};
use crate::{
    daemon::{Daemon, until},
    history::Peak,
    load::Dice,
    world::{MIXED, PROMPT, Tally, World},
};

/// Out of file descriptors: neither requests nor attempts get one, no thread spins, and it heals.
pub async fn out_of_files(mut run: Run) -> Result<Tally> {
    let mut tally = Tally::default();
    for round in 1..=run.rounds {
        let mut world = World::running(Dice(run.dice.roll(u64::MAX)), &MIXED).await?;
        let mut submitter = world.submit(100)?;
        world.more_acknowledged(20, &mut submitter).await;
        world.daemon.limit(Resource::Nofile, Some(8))?;
        let before = processor_time(&world.daemon)?;
        // New connections only: those that are open go on working.
        let mut fresh = Vec::new();
        let refused = until("a request to be refused", async || {
            let client = reqwest::Client::builder().no_proxy().build().ok()?;
            let url = format!("http://127.0.0.1:{}/healthz", world.daemon.port);
            let answer = client.get(url).timeout(std::time::Duration::from_secs(1)).send().await;
            let is_refused = answer.is_err();
            fresh.push(client);
            is_refused.then_some(())
        });
        refused.await.context("V0: it has file descriptors left")?;
        let spent = processor_time(&world.daemon)? - before;
        // In hundredths of a second, over the second and more that the refusal took.
        world.peaks.push(Peak {
            what: "processor time without descriptors, 1/100 s".into(),
            seen: spent,
            cap: 150,
        });
        ensure!(world.daemon.ended().is_none(), "it ended: {}", world.daemon.last_words());
        world.daemon.limit(Resource::Nofile, None)?;
        world.daemon.healthy().await?;
        if !submitter.is_finished() {
            submitter.await?;
        }
        world.submit(50)?.await?;
        tally.add(world.finish(1).await?);
        run.done(round, run.rounds);
    }
    Ok(tally)
}

/// User and system time of the process, in clock ticks (hundredths of a second).
fn processor_time(daemon: &Daemon) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{}/stat", daemon.pid()?.as_raw_nonzero()))?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Ok(ticks(11) + ticks(12))
}

/// Frozen under load, and a second one is started meanwhile: it is refused. Then the first goes on.
pub async fn frozen(mut run: Run) -> Result<Tally> {
    let mut world = World::running(Dice(run.dice.roll(u64::MAX)), &MIXED).await?;
    let mut injected = 0;
    for round in 1..=run.rounds {
        let mut submitter = world.submit(150)?;
        world.more_acknowledged(1 + run.dice.roll(60) as usize, &mut submitter).await;
        world.daemon.signal(Signal::STOP)?;
        until("every thread to stand still", async || is_stopped(&world.daemon).then_some(())).await?;
        let mut second = Daemon::new(world.folder.path())?;
        second.data = world.daemon.data.clone();
        second.launch()?;
        let status = second.wait().await?;
        ensure!(status.code() == Some(1), "a second sidecar runs on the same data: {status}");
        ensure!(
            second.last_words().contains("another mcp-webhookd has the delivery log open"),
            "{}",
            second.last_words()
        );
        ensure!(world.daemon.health().await.is_none(), "V0: it is not frozen");
        injected += 1;
        world.daemon.signal(Signal::CONT)?;
        if !submitter.is_finished() {
            submitter.await?;
        }
        run.done(round, run.rounds);
    }
    Ok(Tally { rounds: run.rounds, ..world.finish(injected).await? })
}

/// A busy machine takes its time to stop every thread of a process.
fn is_stopped(daemon: &Daemon) -> bool {
    let Ok(pid) = daemon.pid() else { return false };
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())) else { return false };
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("State:\tT"))
    })
}

/// libfaketime's library, where `just` put it.
fn faketime() -> Result<PathBuf> {
    let path = std::env::var_os("FAKETIME_LIBRARY").map(PathBuf::from).filter(|path| path.exists());
    Ok(path.ok_or_else(|| {
        NotPossible("FAKETIME_LIBRARY names no library; run this as `just faults`".to_owned())
    })?)
}

/// The wall clock jumps forwards and back under load. Retries wait neither for ever nor not at all.
pub async fn clock_jumps(mut run: Run) -> Result<Tally> {
    let mut world = World::new(Dice(run.dice.roll(u64::MAX)), None).await?;
    let shift = world.folder.path().join("shift");
    fs::write(&shift, "+0\n")?;
    let variables = [
        ("LD_PRELOAD", faketime()?.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", shift.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    world.daemon.environment = variables.map(|(name, value)| (name.to_owned(), value)).into();
    world.clock_moved = true;
    world.daemon.start().await?;
    for (max_in_flight, max_attempts, behaviour) in MIXED {
        world.subscribe(max_in_flight, max_attempts, behaviour, serde_json::json!({})).await?;
    }
    let jumps = ["+1d", "+0", "-1h", "+0", "+30s", "-30s"];
    let mut injected = 0;
    for round in 1..=run.rounds {
        let jump = jumps[round as usize % jumps.len()];
        let mut submitter = world.submit(80)?;
        world.more_acknowledged(20, &mut submitter).await;
        // Replaced whole: a reader never sees half of it.
        let new = world.folder.path().join("shift.new");
        fs::write(&new, format!("{jump}\n"))?;
        fs::rename(&new, &shift)?;
        if !submitter.is_finished() {
            submitter.await?;
        }
        injected += 1;
        run.done(round, run.rounds);
    }
    let history = world.history().await?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis() as u64;
    let jumped = |row: &crate::history::Row| row.finished.is_some_and(|at| at.abs_diff(now) > 3_000_000);
    ensure!(history.rows.iter().any(jumped), "V0: no row has the other time");
    // Retries were set for times of a clock that ran ahead; when it gets there they are made.
    fs::write(&shift, "+2d\n")?;
    Ok(Tally { rounds: run.rounds, ..world.finish(injected).await? })
}

/// Killed again while it recovers from the kill before.
pub async fn killed_while_recovering(mut run: Run) -> Result<Tally> {
    let mut world = World::running(Dice(run.dice.roll(u64::MAX)), &PROMPT).await?;
    let mut injected = 0;
    for round in 1..=run.rounds {
        let mut submitter = world.submit(100)?;
        world.more_acknowledged(1 + run.dice.roll(60) as usize, &mut submitter).await;
        world.daemon.kill().await?;
        world.receiver.crashed().await;
        for _ in 0..3 {
            world.daemon.launch()?;
            let log = world.daemon.data.join("address");
            let mut patience = run.dice.roll(4000);
            while patience > 0 && log.exists() {
                patience -= 1;
                tokio::task::yield_now().await;
            }
            world.daemon.kill().await?;
            world.receiver.crashed().await;
            injected += 1;
        }
        world.daemon.start().await?;
        if !submitter.is_finished() {
            submitter.await?;
        }
        run.done(round, run.rounds);
    }
    Ok(Tally { rounds: run.rounds, ..world.finish(injected).await? })
}
