//! The disk says no: once, for a while, or for good until somebody repairs it. The sidecar stops intake and sending,
//! says so, and goes on by itself when the cause is gone. It is never restarted here.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};
use redb::{Database, ReadableTable, TableDefinition, WriteTransaction};
use rustix::process::Resource;
use serde_json::json;
use tokio::process::Command;

use super::{NotPossible, Run, store::synced};
use crate::{
    daemon::{binary, until},
    load::{Dice, Event},
    strace::Strace,
    world::{MIXED, PROMPT, Tally, World},
};

/// Calls fail while events come in; then they do not fail any more. Nothing is restarted.
async fn failing_calls(mut run: Run, call: &str, error: &str, when: &str) -> Result<Tally> {
    let mut tally = Tally::default();
    for round in 1..=run.rounds {
        let mut world = World::running(Dice(run.dice.roll(u64::MAX)), &MIXED).await?;
        let mut submitter = world.submit(300)?;
        world.more_acknowledged(20, &mut submitter).await;
        let inject = format!("{call}:error={error}:when={when}");
        let trace = world.folder.path().join("strace");
        let strace =
            Strace::attach(world.daemon.pid()?, &trace, call, &inject, &world.daemon.log_files()).await?;
        let more = world.submit(100)?;
        strace.fired(1).await?;
        if when.ends_with('+') {
            // It must turn calls away and say so. After one failure alone that can be over before anybody looks.
            world.more_unknown(1).await?;
            world.daemon.unhealthy().await?;
        }
        let injected = strace.detach().await?;
        world.daemon.healthy().await?;
        if !submitter.is_finished() {
            submitter.await?;
        }
        more.await?;
        tally.add(world.finish(injected).await?);
        run.done(round, run.rounds);
    }
    Ok(tally)
}

/// fsync fails once. What it should have made durable is unknown; the caller asks again.
pub async fn fsync_once(run: Run) -> Result<Tally> {
    failing_calls(run, "fdatasync", "EIO", "2").await
}

/// fsync fails until the disk is changed.
pub async fn fsync_lasting(run: Run) -> Result<Tally> {
    failing_calls(run, "fdatasync", "EIO", "1+").await
}

/// A write fails once for want of space.
pub async fn full_once(run: Run) -> Result<Tally> {
    failing_calls(run, "pwrite64", "ENOSPC", "5").await
}

/// Every write fails for want of space, until there is some.
pub async fn full_lasting(run: Run) -> Result<Tally> {
    failing_calls(run, "pwrite64", "ENOSPC", "1+").await
}

/// Reading fails, too.
pub async fn reads_failing(run: Run) -> Result<Tally> {
    failing_calls(run, "pwrite64,pread64", "EIO", "3+").await
}

async fn as_root(words: &[&str]) -> Result<()> {
    let mut command = Command::new(words[0]);
    let done =
        command.args(&words[1..]).stdin(Stdio::null()).output().await.with_context(|| words.join(" "))?;
    ensure!(done.status.success(), "{}: {}", words.join(" "), String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// A mounted file system that is unmounted behind the test.
#[derive(Debug)]
struct Mount {
    path: String,
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").args(["-l", &self.path]).status();
    }
}

impl Mount {
    async fn new(options: &[&str], on: &Path) -> Result<Self> {
        fs::create_dir_all(on)?;
        let path = on.display().to_string();
        let words: Vec<&str> = ["mount"].iter().chain(options).copied().chain([path.as_str()]).collect();
        as_root(&words).await.map_err(|error| NotPossible(format!("{error:#}")))?;
        fs::set_permissions(on, fs::Permissions::from_mode(0o700))?;
        Ok(Self { path })
    }

    async fn remount(&self, option: &str) -> Result<()> {
        as_root(&["mount", "-o", &format!("remount,{option}"), &self.path]).await
    }
}

/// Fills what is left of the file system; the file that does it.
fn fill(folder: &Path) -> Result<std::path::PathBuf> {
    use std::io::Write;
    let path = folder.join("ballast");
    let mut file = fs::File::create(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    for size in [1 << 20, 4096] {
        let block = vec![1_u8; size];
        while file.write_all(&block).is_ok() {}
    }
    Ok(path)
}

/// A small file system is really full; then somebody makes room.
async fn full_file_system(mut world: World, run: &mut Run) -> Result<Tally> {
    world.daemon.start().await?;
    for (max_in_flight, max_attempts, behaviour) in MIXED {
        world.subscribe(max_in_flight, max_attempts, behaviour, json!({})).await?;
    }
    let mut submitter = world.submit(200)?;
    world.more_acknowledged(1 + run.dice.roll(60) as usize, &mut submitter).await;
    let ballast = fill(&world.daemon.data)?;
    // The journal has its space already; these are more than it can hold.
    let id = world.subscriptions[0].id.clone();
    let large = (0..400).map(|number| Event::sized(&id, 1_000_000 + number, 50_000)).collect();
    let more = world.submit_these(large)?;
    world.more_unknown(3).await.context("V0: it was not full")?;
    ensure!(world.daemon.ended().is_none(), "it ended: {}", world.daemon.last_words());
    // A backup has no room either, and leaves nothing that would keep the disk full.
    let backup = world.daemon.data.join("backup.redb");
    let (code, said) = world.daemon.run(&["backup", &backup.display().to_string()]).await?;
    ensure!(code != Some(0), "V0: there was room for a backup");
    let left = fs::read_dir(&world.daemon.data)?.filter_map(Result::ok).map(|entry| entry.file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("backup")).collect();
    ensure!(left.is_empty(), "{left:?} is left of a backup that failed: {said}");
    fs::remove_file(ballast)?;
    if !submitter.is_finished() {
        submitter.await?;
    }
    more.await?;
    world.daemon.healthy().await?;
    world.finish(1).await
}

/// A full tmpfs.
pub async fn full_tmpfs(mut run: Run) -> Result<Tally> {
    let mut tally = Tally::default();
    for round in 1..=run.rounds {
        let folder = tempfile::tempdir()?;
        let mount =
            Mount::new(&["-t", "tmpfs", "-o", "size=96m", "tmpfs"], &folder.path().join("disk")).await?;
        let data = folder.path().join("disk/data");
        let world = World::new(Dice(run.dice.roll(u64::MAX)), Some(&data)).await?;
        tally.add(full_file_system(world, &mut run).await?);
        drop(mount);
        run.done(round, run.rounds);
    }
    Ok(tally)
}

/// ext4 in a file, mounted where the data is kept.
async fn ext4(folder: &Path) -> Result<(Mount, String)> {
    let image = folder.join("image").display().to_string();
    fs::File::create(&image)?.set_len(128 << 20)?;
    as_root(&["mkfs.ext4", "-q", "-F", "-m", "0", &image]).await?;
    let mount = Mount::new(&["-o", "loop,errors=remount-ro", &image], &folder.join("disk")).await?;
    Ok((mount, image))
}

/// A full ext4.
pub async fn full_ext4(mut run: Run) -> Result<Tally> {
    let mut tally = Tally::default();
    for round in 1..=run.rounds {
        let folder = tempfile::tempdir()?;
        let (mount, _) = ext4(folder.path()).await?;
        let data = folder.path().join("disk/data");
        let world = World::new(Dice(run.dice.roll(u64::MAX)), Some(&data)).await?;
        tally.add(full_file_system(world, &mut run).await?);
        drop(mount);
        run.done(round, run.rounds);
    }
    Ok(tally)
}

/// The kernel finds a fault in the file system and makes it read-only under the running sidecar; somebody repairs and
/// mounts it again.
pub async fn read_only(mut run: Run) -> Result<Tally> {
    let mut tally = Tally::default();
    for round in 1..=run.rounds {
        let folder = tempfile::tempdir()?;
        let (mount, image) = ext4(folder.path()).await?;
        let data = folder.path().join("disk/data");
        let mut world = World::new(Dice(run.dice.roll(u64::MAX)), Some(&data)).await?;
        world.daemon.start().await?;
        for (max_in_flight, max_attempts, behaviour) in PROMPT {
            world.subscribe(max_in_flight, max_attempts, behaviour, json!({})).await?;
        }
        let mut submitter = world.submit(200)?;
        world.more_acknowledged(30, &mut submitter).await;
        let source = device(&mount.path)?;
        fs::write(format!("/sys/fs/ext4/{source}/trigger_fs_error"), "1")?;
        let more = world.submit(50)?;
        world.more_unknown(2).await.context("V0: it is not read-only")?;
        world.daemon.unhealthy().await?;
        // The sidecar holds no file open while it looks again and again, but between two looks it may.
        until("umount", async || as_root(&["umount", &mount.path]).await.is_ok().then_some(())).await?;
        let _ = Command::new("e2fsck").args(["-p", "-f", &image]).output().await?;
        let mount =
            Mount::new(&["-o", "loop,errors=remount-ro", &image], &folder.path().join("disk")).await?;
        world.daemon.healthy().await?;
        if !submitter.is_finished() {
            submitter.await?;
        }
        more.await?;
        tally.add(world.finish(1).await?);
        drop(mount);
        run.done(round, run.rounds);
    }
    Ok(tally)
}

/// The name of the device that is mounted at a path.
fn device(path: &str) -> Result<String> {
    let table = fs::read_to_string("/proc/self/mounts")?;
    let line = table.lines().find(|line| line.split(' ').nth(1) == Some(path)).context("not mounted")?;
    Ok(line.split(' ').next().unwrap_or("").trim_start_matches("/dev/").to_owned())
}

/// Started on a read-only file system: it says so and ends, and starts when it can be written again.
pub async fn read_only_start(mut run: Run) -> Result<Tally> {
    let mut tally = Tally::default();
    for round in 1..=run.rounds {
        let folder = tempfile::tempdir()?;
        let mount =
            Mount::new(&["-t", "tmpfs", "-o", "size=64m", "tmpfs"], &folder.path().join("disk")).await?;
        let data = folder.path().join("disk/data");
        let mut world = World::new(Dice(run.dice.roll(u64::MAX)), Some(&data)).await?;
        world.daemon.start().await?;
        for (max_in_flight, max_attempts, behaviour) in PROMPT {
            world.subscribe(max_in_flight, max_attempts, behaviour, json!({})).await?;
        }
        world.submit(50)?.await?;
        world.daemon.kill().await?;
        world.receiver.crashed().await;
        mount.remount("ro").await?;
        world.daemon.launch()?;
        let status = world.daemon.wait().await?;
        ensure!(status.code() == Some(1), "V0: {status}: {}", world.daemon.last_words());
        mount.remount("rw").await?;
        world.daemon.start().await?;
        world.submit(20)?.await?;
        tally.add(world.finish(1).await?);
        run.done(round, run.rounds);
    }
    Ok(tally)
}

/// A limit on the size of files: SIGXFSZ must not kill. Then the limit is lifted.
pub async fn file_size_limit(mut run: Run) -> Result<Tally> {
    let mut tally = Tally::default();
    for round in 1..=run.rounds {
        let mut world = World::running(Dice(run.dice.roll(u64::MAX)), &PROMPT).await?;
        let mut submitter = world.submit(100)?;
        world.more_acknowledged(20, &mut submitter).await;
        // The journal is behind that after the first commits.
        world.daemon.limit(Resource::Fsize, Some(64 << 10))?;
        let more = world.submit(100)?;
        world.more_unknown(2).await.context("V0: no write failed")?;
        ensure!(world.daemon.ended().is_none(), "SIGXFSZ killed it: {}", world.daemon.last_words());
        world.daemon.limit(Resource::Fsize, None)?;
        world.daemon.healthy().await?;
        if !submitter.is_finished() {
            submitter.await?;
        }
        more.await?;
        tally.add(world.finish(1).await?);
        run.done(round, run.rounds);
    }
    Ok(tally)
}

/// What can lie where the log should be. Each is refused with a reason, and nothing is overwritten.
pub async fn strange_files(mut run: Run) -> Result<Tally> {
    let mut world = World::running(Dice(run.dice.roll(u64::MAX)), &PROMPT).await?;
    world.submit(300)?.await?;
    let mut injected = 0;
    for round in 1..=run.rounds {
        world.daemon.stop().await?;
        world.receiver.crashed().await;
        let good = fs::read(world.daemon.store())?;
        let cut = |part: u64| good[..(good.len() as u64 * part / 8) as usize].to_vec();
        let foreign = fs::read(binary()?)?[..100_000].to_vec();
        let strange =
            [Vec::new(), cut(1), cut(4), cut(7), b"SQLite format 3\0".to_vec(), foreign, vec![0; 65_536]];
        for bytes in strange {
            fs::write(world.daemon.store(), &bytes)?;
            world.daemon.launch()?;
            let status = world.daemon.wait().await?;
            let size = bytes.len();
            ensure!(status.code() == Some(1), "V0: {size} bytes: {status}\n{}", world.daemon.last_words());
            ensure!(world.daemon.last_words().contains("store"), "no reason: {}", world.daemon.last_words());
            ensure!(fs::read(world.daemon.store())? == bytes, "the refused file was written to");
            injected += 1;
        }
        fs::write(world.daemon.store(), &good)?;
        world.daemon.start().await?;
        world.submit(20)?.await?;
        run.done(round, run.rounds);
    }
    world.finish(injected).await
}

/// One stored row cannot be read. The sidecar starts, ends what is damaged as failed, and does the rest of its work.
pub async fn damaged_rows(mut run: Run) -> Result<Tally> {
    let mut tally = Tally::default();
    for round in 0..run.rounds {
        let mut world = World::running(Dice(run.dice.roll(u64::MAX)), &PROMPT).await?;
        for subscription in world.subscriptions.clone() {
            world.daemon.call("subscription.update", json!({"id": subscription.id, "paused": true})).await?;
        }
        world.submit(30)?.await?;
        world.daemon.stop().await?;
        world.receiver.crashed().await;
        let damage = DAMAGE[round as usize % DAMAGE.len()];
        damage(&world.daemon.store()).context("damage a row")?;
        world.daemon.start().await?;
        unsigned_by_nobody(&world).await?;
        for subscription in world.subscriptions.clone() {
            // The one whose row is damaged waits until somebody says what becomes of it.
            let update = json!({"id": subscription.id, "paused": false});
            if world.daemon.try_call("subscription.update", update).await?.is_err() {
                world.daemon.call("subscription.delete", json!({"id": subscription.id})).await?;
            }
        }
        world.submit(30)?.await?;
        until("the backlog to drain", async || (world.daemon.pending().await.ok()? == 0).then_some(()))
            .await?;
        let mut history = world.history().await?;
        // The first event's own row may be the damaged one, and then it is lost: that is what damage means.
        let first = history.submissions[0].event_id.clone();
        history.submissions.retain(|submission| submission.event_id != first);
        history.hits.retain(|hit| hit.event_id != first);
        history.rows.retain(|row| row.event_id != first);
        history.mirror = None;
        let verdict = history.judge();
        ensure!(verdict.violation.is_none(), "{:?}", verdict.violation);
        ensure!(world.daemon.ended().is_none(), "it ended: {}", world.daemon.last_words());
        world.daemon.stop().await?;
        tally.add(Tally { rounds: 1, injected: 1, verdict });
        run.done(round + 1, run.rounds);
    }
    Ok(tally)
}

/// A subscription that cannot be read has lost its secret: a set that does not say one is no word for sending unsigned.
async fn unsigned_by_nobody(world: &World) -> Result<()> {
    let mut set = synced(world).await?;
    let is_known = |id: &str| set.iter().any(|known| known["id"] == id);
    let Some(lost) = world.subscriptions.iter().find(|s| !is_known(&s.id)) else { return Ok(()) };
    set.push(json!({"id": lost.id, "model": "sale.order", "url": "https://example.com/"}));
    let answer = world.daemon.call("subscription.sync", json!({"subscriptions": set})).await?;
    ensure!(answer["errors"][0]["error"]["data"]["kind"] == "invalid_secret", "{answer}");
    Ok(())
}

type Damage = fn(&Path) -> Result<()>;

/// What is damaged, round by round.
const DAMAGE: [Damage; 3] = [
    |store| {
        change(store, |txn| {
            let mut events = txn.open_table(TableDefinition::<u64, &[u8]>::new("events"))?;
            let first = events.first()?.map(|(seq, _)| seq.value()).unwrap_or(0);
            drop(events.insert(first, b"\xff\xfenonsense".as_slice())?);
            Ok(())
        })
    },
    |store| {
        change(store, |txn| {
            let mut due = txn.open_table(TableDefinition::<(u128, u64), (u64, u32, u8)>::new("due"))?;
            let first = due.first()?.map(|(key, _)| key.value()).unwrap_or((0, 0));
            drop(due.insert(first, (0, 9, 99))?);
            Ok(())
        })
    },
    |store| {
        change(store, |txn| {
            let mut subscriptions = txn.open_table(TableDefinition::<u128, &[u8]>::new("subscriptions"))?;
            let first = subscriptions.first()?.map(|(id, _)| id.value()).unwrap_or(0);
            drop(subscriptions.insert(first, b"\xff\xfenonsense".as_slice())?);
            Ok(())
        })
    },
];

fn change(store: &Path, damage: impl FnOnce(&WriteTransaction) -> Result<()>) -> Result<()> {
    let database = Database::open(store)?;
    let mut txn = database.begin_write()?;
    txn.set_quick_repair(true);
    damage(&txn)?;
    Ok(txn.commit()?)
}
