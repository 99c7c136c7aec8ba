//! The table of faults: what breaks, and how often in the quick and in the full run.

mod disk;
mod kills;
mod network;
mod power;
mod process;
mod store;

use std::{future::Future, pin::Pin};

use anyhow::Result;

use crate::{load::Dice, world::Tally};

/// How a scenario is run.
#[derive(Debug, Clone)]
pub struct Run {
    /// How many rounds.
    pub rounds: u64,
    /// Everything that is possible instead of a sample.
    pub full: bool,
    /// Chance.
    pub dice: Dice,
    /// Told about progress: rounds done, rounds in all.
    pub progress: fn(&'static str, u64, u64),
    /// The scenario's name.
    pub name: &'static str,
}

impl Run {
    /// Says how far it is.
    pub fn done(&self, rounds: u64, of: u64) {
        (self.progress)(self.name, rounds, of);
    }
}

/// This machine does not allow it, so nothing is known: neither held nor broken.
#[derive(Debug)]
pub struct NotPossible(pub String);

impl std::fmt::Display for NotPossible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not possible here: {}", self.0)
    }
}

impl std::error::Error for NotPossible {}

type Running = Pin<Box<dyn Future<Output = Result<Tally>>>>;

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name, as the report and `faults FILTER` have it.
    pub name: &'static str,
    /// Rounds in the quick run; 0: not part of it.
    pub quick: u64,
    /// Rounds in the full run.
    pub full: u64,
    /// It measures time, so nothing else runs meanwhile.
    pub alone: bool,
    /// Runs it.
    pub run: fn(Run) -> Running,
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const fn scenario(name: &'static str, quick: u64, full: u64, run: fn(Run) -> Running) -> Scenario {
    Scenario { name, quick, full, alone: false, run }
}

/// All of them.
pub const TABLE: &[Scenario] = &[
    scenario("SIGKILL at random under load", 20, 300, |r| Box::pin(kills::at_random(r))),
    scenario("SIGKILL at every store call", 12, 1, |r| Box::pin(kills::at_store_calls(r))),
    scenario("SIGKILL during the first start", 10, 1, |r| Box::pin(kills::first_start(r))),
    scenario("killed between acceptance and answer", 1, 5, |r| Box::pin(kills::before_the_answer(r))),
    scenario("killed again while it recovers", 3, 50, |r| Box::pin(process::killed_while_recovering(r))),
    scenario("SIGTERM under load", 3, 20, |r| Box::pin(kills::sigterm(r))),
    scenario("the sidecar's data wiped", 1, 3, |r| Box::pin(kills::wiped(r))),
    scenario("power cut: lost, reordered, torn writes", 500, 10_000, |r| Box::pin(power::cut(r))),
    scenario("power cut again during recovery", 250, 5_000, |r| Box::pin(power::cut_twice(r))),
    scenario("put back to each moment, Odoo remembers", 100, 2_000, |r| Box::pin(store::each_moment(r))),
    scenario("power cut on a disk that lies about fsync", 100, 2_000, |r| Box::pin(store::lying_fsync(r))),
    scenario("the data directory put back to another day", 1, 10, |r| Box::pin(store::put_back(r))),
    scenario("each file missing, cut, or another", 1, 1, |r| Box::pin(store::each_file(r))),
    scenario("fsync fails once", 1, 20, |r| Box::pin(disk::fsync_once(r))),
    scenario("fsync fails for a while", 1, 10, |r| Box::pin(disk::fsync_lasting(r))),
    scenario("no space once", 1, 20, |r| Box::pin(disk::full_once(r))),
    scenario("no space for a while", 1, 10, |r| Box::pin(disk::full_lasting(r))),
    scenario("reads and writes fail for a while", 1, 10, |r| Box::pin(disk::reads_failing(r))),
    scenario("a full tmpfs", 1, 5, |r| Box::pin(disk::full_tmpfs(r))),
    scenario("a full ext4", 0, 5, |r| Box::pin(disk::full_ext4(r))),
    scenario("ext4 becomes read-only", 1, 5, |r| Box::pin(disk::read_only(r))),
    scenario("started on a read-only disk", 1, 3, |r| Box::pin(disk::read_only_start(r))),
    scenario("a limit on the size of files", 1, 5, |r| Box::pin(disk::file_size_limit(r))),
    scenario("empty, truncated and foreign files", 1, 5, |r| Box::pin(disk::strange_files(r))),
    scenario("a stored row cannot be read", 3, 12, |r| Box::pin(disk::damaged_rows(r))),
    scenario("out of file descriptors", 1, 5, |r| Box::pin(process::out_of_files(r))),
    scenario("SIGSTOP, a second sidecar, SIGCONT", 2, 20, |r| Box::pin(process::frozen(r))),
    scenario("the clock jumps", 6, 30, |r| Box::pin(process::clock_jumps(r))),
    scenario("connections break at exact points", 5, 40, |r| Box::pin(network::resets(r))),
    scenario("an endpoint is down with a backlog", 1, 10, |r| Box::pin(network::outage(r))),
    Scenario {
        alone: true,
        ..scenario("endpoints hang, drip, bomb, hang up, flap", 1, 3, |r| Box::pin(network::bad_endpoints(r)))
    },
    Scenario {
        alone: true,
        ..scenario("DNS that never answers", 1, 2, |r| Box::pin(network::silent_dns(r)))
    },
];
