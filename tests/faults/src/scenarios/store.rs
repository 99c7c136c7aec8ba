//! The store is not what it was: put back to an earlier day, without a file, with a part of one, with another key. It is
//! refused as it is, or Odoo sees that it is another log; nothing is sent with the settings of another day.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use webhook_api::{
    Given, Wire,
    delivery::DeliveryChanges,
    field::{Count, DatabaseName, DatabaseUuid, FeedCursor, LogId, NewestCursor, Whole},
    system::Attach,
};

use super::Run;
use crate::{
    daemon::{Daemon, until},
    load::Dice,
    past::Found,
    power::{Disk, record},
    world::{PROMPT, Tally, World},
};

const STEPS: usize = 40;
/// Disks made of one recording.
const PER_RECORDING: u64 = 250;

/// The log's own waiting blocks, which a runtime's thread may not.
fn on_a_thread(work: impl FnOnce() -> Result<Tally> + Send + 'static) -> Result<Tally> {
    std::thread::spawn(work).join().unwrap_or_else(|_| Err(anyhow!("the scenario panicked")))
}

/// The disk is put back to each moment of a recording, and a database comes that remembers all of it.
pub async fn each_moment(mut run: Run) -> Result<Tally> {
    on_a_thread(move || {
        let (mut done, mut tally) = (0, Tally::default());
        while done < run.rounds {
            let mut dice = Dice(run.dice.roll(u64::MAX));
            let recording = record(&mut dice, STEPS)?;
            for _ in 0..PER_RECORDING.min(run.rounds - done) {
                let moment = 1 + dice.roll(recording.moments() as u64) as usize;
                let found =
                    recording.put_back(moment).missed().with_context(|| format!("put back to {moment}"))?;
                let injected = u64::from(found == Found::Remembered);
                tally.add(Tally { rounds: 1, injected, ..Tally::default() });
                done += 1;
            }
            run.done(done, run.rounds);
        }
        ensure!(tally.injected > 0, "V0: at no moment was anything lost");
        Ok(tally)
    })
}

/// The power fails on a disk that says it has synced, and has not.
pub async fn lying_fsync(mut run: Run) -> Result<Tally> {
    on_a_thread(move || {
        let (mut done, mut tally) = (0, Tally::default());
        while done < run.rounds {
            let mut dice = Dice(run.dice.roll(u64::MAX));
            let recording = record(&mut dice, STEPS)?;
            for _ in 0..PER_RECORDING.min(run.rounds - done) {
                let moment = 1 + dice.roll(recording.moments() as u64) as usize;
                let disk = Disk::Lying(2 + dice.roll(6) as usize);
                let image = recording.cut(moment, disk, &mut dice);
                let found = image.missed().with_context(|| format!("cut at {moment} of {disk:?}"))?;
                let injected = u64::from(found != Found::Nothing);
                tally.add(Tally { rounds: 1, injected, ..Tally::default() });
                done += 1;
            }
            run.done(done, run.rounds);
        }
        ensure!(tally.injected > 0, "V0: no lie cost anything");
        Ok(tally)
    })
}

/// What Odoo does with a sidecar.
struct Odoo {
    seen: Count,
    cursor: String,
}

impl Odoo {
    async fn attach(&mut self, daemon: &Daemon) -> Result<LogId> {
        let introduction = Attach {
            database: Wire(DatabaseUuid("u".to_owned())),
            database_name: Wire(DatabaseName("n".to_owned())),
            seen: Wire(self.seen).into(),
            cursor: Wire(NewestCursor(self.cursor.clone())).into(),
            wake_url: Given::default(),
            wake_secret: Given::default(),
            instance: Given::default(),
            take_over: Given::default(),
        };
        let attached = daemon.ask(&introduction).await?;
        self.seen = attached.accepted_to.0;
        Ok(attached.log_id.0)
    }

    async fn pull(&mut self, daemon: &Daemon) -> Result<()> {
        loop {
            let after = Wire(FeedCursor(self.cursor.clone()));
            let page = daemon.ask(&DeliveryChanges { after, limit: Wire(Whole(1000)).into() }).await?;
            self.cursor = page.cursor;
            if !page.more {
                return Ok(());
            }
        }
    }
}

async fn set_paused(world: &World, paused: bool) -> Result<()> {
    for subscription in &world.subscriptions {
        world.daemon.call("subscription.update", json!({"id": subscription.id, "paused": paused})).await?;
    }
    Ok(())
}

/// The data directory is put back while Odoo knows more. Meanwhile events were accepted, and every subscription was
/// paused: what is accepted before Odoo has brought its settings must wait.
pub async fn put_back(mut run: Run) -> Result<Tally> {
    let mut tally = Tally::default();
    for round in 1..=run.rounds {
        let mut world = World::running(Dice(run.dice.roll(u64::MAX)), &PROMPT).await?;
        let mut odoo = Odoo { seen: Count(0), cursor: String::new() };
        let id = odoo.attach(&world.daemon).await?;
        world.submit(30)?.await?;
        drained(&world).await?;
        world.daemon.kill().await?;
        world.receiver.crashed().await;
        let past = files(&world.daemon.data)?;
        world.daemon.start().await?;
        ensure!(odoo.attach(&world.daemon).await? == id, "a crash alone makes no other log");
        set_paused(&world, true).await?;
        let lost = world.events(20);
        world.submit_these(lost.clone())?.await?;
        // What Odoo remembers: now the count alone tells, now the cursor as well.
        odoo.attach(&world.daemon).await?;
        if round % 2 == 0 {
            odoo.pull(&world.daemon).await?;
        }
        world.daemon.kill().await?;
        restore(&world.daemon.data, &past)?;
        world.daemon.launch()?;
        until("an answer", async || world.daemon.health().await).await?;
        let before = *world.receiver.count().borrow();
        world.submit(20)?.await?;
        ensure!(odoo.attach(&world.daemon).await? != id, "V0: it takes itself for the same log");
        ensure!(world.daemon.health().await == Some(503), "it does not say that it waits");
        let wanted = synced(&world).await?;
        ensure!(
            *world.receiver.count().borrow() == before,
            "it sent something with the settings of another day"
        );
        world.daemon.call("subscription.sync", json!({"subscriptions": wanted})).await?;
        world.daemon.healthy().await?;
        // Odoo hands in again what it still has as pending.
        world.submit_these(lost)?.await?;
        ensure!(*world.receiver.count().borrow() == before, "it sent something of a paused subscription");
        set_paused(&world, false).await?;
        tally.add(world.finish(1).await?);
        run.done(round, run.rounds);
    }
    Ok(tally)
}

async fn drained(world: &World) -> Result<()> {
    until("the backlog to drain", async || (world.daemon.pending().await.ok()? == 0).then_some(())).await
}

/// The settings of today: each subscription, paused.
pub(super) async fn synced(world: &World) -> Result<Vec<Value>> {
    let listed = world.daemon.call("subscription.list", json!({})).await?;
    let subscriptions = listed["subscriptions"].as_array().context("a list")?;
    Ok(subscriptions
        .iter()
        .map(|subscription| {
            let mut fields = subscription.clone();
            if let Some(fields) = fields.as_object_mut() {
                fields.retain(|name, _| {
                    !["has_secret", "header_names", "previous_secret_until"].contains(&name.as_str())
                });
                fields.insert("paused".to_owned(), json!(true));
            }
            fields
        })
        .collect())
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Every file of a folder but the running sidecar's address.
fn files(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name != "address") {
            files.insert(path.clone(), fs::read(&path)?);
        }
    }
    Ok(files)
}

fn restore(folder: &Path, files: &Files) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(folder)? {
        fs::remove_file(entry?.path())?;
    }
    for (path, bytes) in files {
        fs::write(path, bytes)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// What becomes of a file: none, nothing in it, a part of it, other bytes.
fn damaged(bytes: &[u8], how: usize) -> Option<Vec<u8>> {
    match how {
        0 => None,
        1 => Some(Vec::new()),
        2 => Some(bytes[..bytes.len() - 1].to_vec()),
        9 => Some(bytes.iter().map(|byte| byte ^ 0x5a).collect()),
        part => Some(bytes[..bytes.len() * (part - 2) / 8].to_vec()),
    }
}

const WAYS: usize = 10;

/// Behind a crash a file is missing, cut or another. Two starts, `verify` and `doctor` change nothing; `recover` goes on.
pub async fn each_file(mut run: Run) -> Result<Tally> {
    let mut world = World::running(Dice(run.dice.roll(u64::MAX)), &PROMPT[..1]).await?;
    world.submit(30)?.await?;
    world.daemon.kill().await?;
    world.receiver.crashed().await;
    let whole = files(&world.daemon.data)?;
    let mut injected = 0;
    for name in ["log.redb", "log.redb-journal", "key"] {
        let ways: Vec<usize> = if run.full { (0..WAYS).collect() } else { vec![0, 2, 5, 9] };
        for how in ways {
            restore(&world.daemon.data, &whole)?;
            let path = world.daemon.data.join(name);
            match damaged(&whole[&path], how) {
                Some(bytes) => fs::write(&path, bytes)?,
                None => fs::remove_file(&path)?,
            }
            recovered(&mut world.daemon, name).await.with_context(|| format!("{name}, way {how}"))?;
            injected += 1;
            run.done(injected, 30);
        }
    }
    restore(&world.daemon.data, &whole)?;
    world.daemon.start().await?;
    world.finish(injected).await
}

/// Refused as it is, whoever looks, and then recovered by the command that the refusal names.
async fn recovered(daemon: &mut Daemon, name: &str) -> Result<()> {
    let before = files(&daemon.data)?;
    for _ in 0..2 {
        daemon.launch()?;
        let status = daemon.wait().await?;
        let said = daemon.last_words();
        ensure!(status.code() == Some(1), "V0: it started: {said}");
        let last = said.lines().last().unwrap_or_default();
        ensure!(last.contains("recover"), "it does not say how to go on: {last}");
    }
    for command in [&["verify"][..], &["doctor"]] {
        let (code, _) = daemon.run(command).await?;
        ensure!(code == Some(5), "{command:?} found nothing: {code:?}");
    }
    ensure!(files(&daemon.data)? == before, "looking changed something");
    let forget: &[&str] =
        if name == "key" { &["recover", "--yes", "--forget-secrets"] } else { &["recover", "--yes"] };
    let (code, said) = daemon.run(forget).await?;
    ensure!(code == Some(0) && said.contains("what is lost"), "{said}");
    daemon.launch()?;
    until("an answer", async || daemon.health().await).await?;
    daemon.call("subscription.sync", json!({"subscriptions": []})).await?;
    daemon.healthy().await?;
    daemon.stop().await
}
