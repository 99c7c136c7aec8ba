//! The sidecar dies.

use std::{fs, os::unix::process::ExitStatusExt, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use webhook_api::{ErrorKind, Given, Wire, delivery::DeliveryChanges, field::FeedCursor, system::GetInfo};

use super::Run;
use crate::{
    history::Answer,
    load::{Dice, submit_once},
    strace::{self, Strace},
    world::{MIXED, PROMPT, Tally, World},
};

/// Kills of one world, before it is judged.
const KILLS_PER_WORLD: u64 = 20;

/// SIGKILL after a random number of acknowledgements or requests.
pub async fn at_random(mut run: Run) -> Result<Tally> {
    let (mut tally, mut done) = (Tally::default(), 0);
    while done < run.rounds {
        let mut world = World::running(Dice(run.dice.roll(u64::MAX)), &MIXED).await?;
        let kills = KILLS_PER_WORLD.min(run.rounds - done);
        for _ in 0..kills {
            let mut submitter = world.submit(60 + run.dice.roll(200) as usize)?;
            if run.dice.roll(2) == 0 {
                world.more_acknowledged(1 + run.dice.roll(60) as usize, &mut submitter).await;
            } else {
                world.more_hits(1 + run.dice.roll(60) as usize).await?;
            }
            world.crash().await?;
            if !submitter.is_finished() {
                submitter.await?;
            }
            done += 1;
            run.done(done, run.rounds);
        }
        tally.add(Tally { rounds: kills, ..world.finish(kills).await? });
    }
    Ok(tally)
}

/// A data directory with subscriptions, to be copied for each round.
struct Template {
    world: World,
}

impl Template {
    async fn make(dice: Dice) -> Result<Self> {
        let mut world = World::running(dice, &PROMPT).await?;
        world.daemon.stop().await?;
        Ok(Self { world })
    }

    /// A world of its own with this data and these endpoints, not started.
    async fn copy(&self, dice: Dice) -> Result<World> {
        let mut world = World::new(dice, None).await?;
        copy_private(&self.world.daemon.data, &world.daemon.data)?;
        world.receiver = self.world.receiver.clone();
        world.receiver.forget();
        world.subscriptions = self.world.subscriptions.clone();
        Ok(world)
    }
}

fn copy_private(from: &Path, to: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?; // with its mode
    }
    Ok(())
}

const STORE_CALLS: &str = "pwrite64,fdatasync,fsync,ftruncate";
/// Events of one round of the sweep: some tens of commits of acceptance and of settlement.
const SWEPT: usize = 400;

/// SIGKILL at the n-th system call on the store, for every n that there is (quick: a sample).
pub async fn at_store_calls(mut run: Run) -> Result<Tally> {
    let template = Template::make(Dice(run.dice.roll(u64::MAX))).await?;
    let mut places = Vec::new();
    let mut world = template.copy(Dice(run.dice.roll(u64::MAX))).await?;
    let trace = world.folder.path().join("strace");
    world.daemon.wrapper = strace::wrapper(&trace, STORE_CALLS, None, &world.daemon.log_files());
    world.daemon.start().await?;
    world.submit(SWEPT)?.await?;
    for (call, count) in strace::counts(&trace)? {
        places.extend((1..=count).map(|n| (call.clone(), n)));
    }
    world.daemon.wrapper.clear();
    world.crash().await?;
    world.finish(1).await?;
    ensure!(places.len() > 50, "V0: strace saw {} calls only", places.len());
    sweep(run, places, async |dice, call, n| {
        let mut world = template.copy(dice).await?;
        let inject = format!("{call}:signal=SIGKILL:when={n}");
        let trace = world.folder.path().join("strace");
        world.daemon.wrapper = strace::wrapper(&trace, STORE_CALLS, Some(&inject), &world.daemon.log_files());
        world.daemon.launch()?;
        let submitter = world.submit(SWEPT)?;
        killed_then_restarted(world, submitter).await
    })
    .await
}

/// Waits for the injected kill or the end of the load, starts the sidecar without strace, and judges.
async fn killed_then_restarted(
    mut world: World,
    submitter: tokio::task::JoinHandle<()>,
) -> Result<Option<Tally>> {
    let fired = tokio::select! {
        status = world.daemon.wait() => {
            let status = status?;
            ensure!(status.signal() == Some(9), "it ended by itself: {status}\n{}", world.daemon.last_words());
            true
        }
        // The load ended before that call came.
        () = async { while !submitter.is_finished() { tokio::time::sleep(std::time::Duration::from_millis(5)).await } } => false,
    };
    world.daemon.wrapper.clear();
    if fired {
        world.receiver.crashed().await;
        world.daemon.start().await?;
    } else {
        world.crash().await?;
    }
    submitter.await?;
    let tally = world.finish(1).await?;
    Ok(fired.then_some(tally))
}

/// Runs `round` at every place, or at `run.rounds` of them. Most must fire: the number of calls varies a little.
async fn sweep(
    mut run: Run,
    mut places: Vec<(String, u32)>,
    round: impl AsyncFn(Dice, &str, u32) -> Result<Option<Tally>>,
) -> Result<Tally> {
    if !run.full {
        while places.len() as u64 > run.rounds {
            places.swap_remove(run.dice.roll(places.len() as u64) as usize);
        }
    }
    let (mut tally, total) = (Tally::default(), places.len() as u64);
    for (index, (call, n)) in places.iter().enumerate() {
        let dice = Dice(run.dice.roll(u64::MAX));
        let done = round(dice, call, *n).await.with_context(|| format!("at {call} number {n}"))?;
        done.into_iter().for_each(|more| tally.add(more));
        run.done(index as u64 + 1, total);
    }
    ensure!(tally.injected * 2 >= total, "V0: {} of {total} kills fired", tally.injected);
    Ok(tally)
}

const FIRST_CALLS: &str = "openat,write,pwrite64,fdatasync,fsync,ftruncate,rename,mkdir,chmod,fchmod";

/// SIGKILL at the n-th call of the very first start. The next start must work without anybody's help.
pub async fn first_start(mut run: Run) -> Result<Tally> {
    let mut world = World::new(Dice(run.dice.roll(u64::MAX)), None).await?;
    let trace = world.folder.path().join("strace");
    world.daemon.wrapper = strace::wrapper(&trace, FIRST_CALLS, None, &[]);
    world.daemon.start().await?;
    world.daemon.kill().await?;
    let mut places = Vec::new();
    for (call, count) in strace::counts(&trace)? {
        places.extend((1..=count).map(|n| (call.clone(), n)));
    }
    if !run.full {
        // Opening libraries is of no interest in a sample.
        places.retain(|(call, _)| call != "openat");
    }
    sweep(run, places, async |dice, call, n| {
        let mut world = World::new(dice, None).await?;
        let inject = format!("{call}:signal=SIGKILL:when={n}");
        let trace = world.folder.path().join("strace");
        world.daemon.wrapper = strace::wrapper(&trace, FIRST_CALLS, Some(&inject), &[]);
        world.daemon.launch()?;
        let port = world.daemon.port;
        let fired = tokio::select! {
            status = world.daemon.wait() => status?.signal() == Some(9),
            () = started(port) => false,
        };
        world.daemon.wrapper.clear();
        if !fired {
            world.daemon.kill().await?;
        }
        world.receiver.crashed().await;
        world.daemon.start().await?;
        for (max_in_flight, max_attempts, behaviour) in PROMPT {
            world.subscribe(max_in_flight, max_attempts, behaviour, json!({})).await?;
        }
        world.submit(12)?.await?;
        let tally = world.finish(1).await?;
        Ok(fired.then_some(tally))
    })
    .await
}

/// Ends when somebody listens on the port and answers.
async fn started(port: u16) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap_or_default();
    let url = format!("http://127.0.0.1:{port}/healthz");
    while client.get(&url).send().await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// The event is on disk, and the answer never leaves. Asked again, it is a duplicate; it is delivered once.
pub async fn before_the_answer(mut run: Run) -> Result<Tally> {
    let mut tally = Tally::default();
    for round in 1..=run.rounds {
        let mut world = World::running(Dice(run.dice.roll(u64::MAX)), &PROMPT[..1]).await?;
        let id = world.subscriptions[0].id.clone();
        world.daemon.call("subscription.update", json!({"id": id, "paused": true})).await?;
        let events = world.events(1);
        let caller = world.daemon.caller()?;
        let trace = world.folder.path().join("strace");
        let calls = "sendto,writev,sendmsg";
        let wait_for = format!("{calls}:signal=SIGKILL:when=1");
        // The subscription is paused, so the answer is the first thing that leaves by a socket.
        let strace = Strace::attach(world.daemon.pid()?, &trace, calls, &wait_for, &[]).await?;
        let answers = submit_once(&caller, &events).await;
        ensure!(answers == [Answer::Unknown], "V0: an answer came: {answers:?}");
        let status = world.daemon.wait().await?;
        ensure!(status.signal() == Some(9), "V0: it was not killed: {status}");
        drop(strace);
        world.receiver.crashed().await;
        world.daemon.start().await?;
        let again = submit_once(&caller, &events).await;
        ensure!(again == [Answer::Duplicate], "it was not on disk before the answer: {again:?}");
        world.ledger.write(&events, &again);
        world.daemon.call("subscription.update", json!({"id": id, "paused": false})).await?;
        tally.add(world.finish(1).await?);
        run.done(round, run.rounds);
    }
    Ok(tally)
}

/// A stop under load: what is under way may end, the rest is there at the next start.
pub async fn sigterm(mut run: Run) -> Result<Tally> {
    let mut world = World::running(Dice(run.dice.roll(u64::MAX)), &MIXED).await?;
    for round in 1..=run.rounds {
        let mut submitter = world.submit(200)?;
        world.more_acknowledged(1 + run.dice.roll(150) as usize, &mut submitter).await;
        world.daemon.stop().await?;
        world.receiver.crashed().await;
        world.daemon.verify().await?;
        world.daemon.start().await?;
        if !submitter.is_finished() {
            submitter.await?;
        }
        run.done(round, run.rounds);
    }
    Ok(Tally { rounds: run.rounds, ..world.finish(run.rounds).await? })
}

/// The log is gone, tokens and key are there. It is another log, says so to whoever mirrors, and works.
pub async fn wiped(mut run: Run) -> Result<Tally> {
    let mut tally = Tally::default();
    for round in 1..=run.rounds {
        let mut world = World::running(Dice(run.dice.roll(u64::MAX)), &PROMPT[..1]).await?;
        world.submit(20)?.await?;
        let from = |cursor: &str| DeliveryChanges {
            after: Wire(FeedCursor(cursor.to_owned())),
            limit: Given::default(),
        };
        let page = world.daemon.ask(&from("")).await?;
        world.daemon.kill().await?;
        // Without the journal as well: one of them alone is a store that is not what it was.
        world.daemon.log_files().iter().try_for_each(fs::remove_file)?;
        world.daemon.start().await?;
        let info = world.daemon.ask(&GetInfo {}).await?;
        ensure!(info.log_id != page.log_id, "V0: it is the same log");
        let stale = world.daemon.caller()?.ask(&from(&page.cursor)).await?;
        let kind = stale.err().map(|error| error.data.kind.0);
        ensure!(kind == Some(ErrorKind::StaleCursor), "an old cursor was not refused: {kind:?}");
        // What happened before is lost with the log, and Odoo submits again what it has no answer for.
        let mut after = World::new(Dice(run.dice.roll(u64::MAX)), None).await?;
        std::mem::swap(&mut after.daemon, &mut world.daemon);
        for (max_in_flight, max_attempts, behaviour) in PROMPT {
            after.subscribe(max_in_flight, max_attempts, behaviour, json!({})).await?;
        }
        after.submit(20)?.await?;
        tally.add(after.finish(1).await?);
        run.done(round, run.rounds);
    }
    Ok(tally)
}
