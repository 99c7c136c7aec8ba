//! `faults [--quick] [FILTER]` runs the table of faults; `faults check FILE` judges a history from elsewhere.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use webhook_faults::{
    history::History,
    load::Dice,
    report::{self, Line},
    scenarios::{NotPossible, Run, Scenario, TABLE},
};

/// Breaks things, and proves that nothing is lost.
#[derive(Debug, Parser)]
struct Cli {
    /// A sample of each fault, for every run of the tests.
    #[arg(long)]
    quick: bool,
    /// Chance; the run prints it, and the same number repeats it.
    #[arg(long)]
    seed: Option<u64>,
    /// Scenarios at once.
    #[arg(long, default_value_t = 3)]
    jobs: usize,
    /// Where to write the table; lines of scenarios that do not run now are kept.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Only scenarios whose name holds this.
    #[arg(default_value = "")]
    filter: String,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judges a history; exit code 1 and the first violation where the promise did not hold.
    Check {
        /// The history, JSON.
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Some(Command::Check { file }) => check(file),
        None => run(&cli),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(file: &PathBuf) -> Result<bool> {
    let text = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let history: History = serde_json::from_slice(&text).context("read the history")?;
    let verdict = history.judge();
    eprintln!("faults: {verdict:?}");
    Ok(verdict.violation.is_none())
}

fn progress(name: &'static str, done: u64, of: u64) {
    let step = (of / 10).max(1);
    if done.is_multiple_of(step) || done == of {
        eprintln!("faults: {name}: {done} of {of}");
    }
}

fn run(cli: &Cli) -> Result<bool> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let seed = cli.seed.unwrap_or(now.as_nanos() as u64);
    let mode = if cli.quick { "quick" } else { "full" };
    eprintln!("faults: {mode} run, --seed {seed}");
    let started = Instant::now();
    let lines = run_table(cli, seed);
    eprintln!("\n{}\nfaults: {} s", report::markdown(&lines, ""), started.elapsed().as_secs());
    if let Some(path) = &cli.report {
        let older = std::fs::read_to_string(path).unwrap_or_default();
        std::fs::write(path, report::markdown(&lines, &older))
            .with_context(|| format!("write {}", path.display()))?;
    }
    // What cannot be run here is no failure of a quick run; a full one must be whole.
    let is_failed = |line: &&Line| match &line.result {
        Ok(_) => false,
        Err(error) => !(cli.quick && error.is::<NotPossible>()),
    };
    let failed: Vec<&Line> = lines.iter().filter(is_failed).collect();
    for line in &failed {
        eprintln!("faults: FAILED: {}: {:?}", line.name, line.result.as_ref().err());
    }
    eprintln!("{} passed, {} failed", lines.len() - failed.len(), failed.len());
    Ok(failed.is_empty() && !lines.is_empty())
}

/// Runs what was asked for, those that measure time alone and last, and answers in the order of the table.
fn run_table(cli: &Cli, seed: u64) -> Vec<Line> {
    let chosen = TABLE
        .iter()
        .filter(|scenario| scenario.name.contains(&cli.filter) && (!cli.quick || scenario.quick > 0));
    let (alone, beside): (VecDeque<_>, VecDeque<_>) = chosen.partition(|scenario| scenario.alone);
    let mut lines = Vec::new();
    for (jobs, scenarios) in [(cli.jobs.max(1), beside), (1, alone)] {
        let queue = Mutex::new(scenarios);
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        std::thread::scope(|scope| {
            let work = || {
                let mut done = Vec::new();
                while let Some(scenario) = next() {
                    done.push(one(scenario, plan(scenario, cli.quick, seed)));
                }
                done
            };
            let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            lines.extend(
                threads.into_iter().flat_map(|thread| thread.join().expect("scenarios catch their panics")),
            );
        });
    }
    lines.sort_by_key(|line: &Line| TABLE.iter().position(|scenario| scenario.name == line.name));
    lines
}

fn plan(scenario: &Scenario, quick: bool, seed: u64) -> Run {
    let rounds = if quick { scenario.quick } else { scenario.full };
    let dice = Dice(
        seed ^ scenario.name.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into())),
    );
    Run { rounds, full: !quick, dice, progress, name: scenario.name }
}

/// Runs one on a runtime of its own.
fn one(scenario: &'static Scenario, run: Run) -> Line {
    let started = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?
            .block_on((scenario.run)(run))
    }));
    let result = result.unwrap_or_else(|_| Err(anyhow::anyhow!("the scenario panicked")));
    let took = started.elapsed();
    let word = if result.is_ok() { "held" } else { "FAILED" };
    eprintln!("faults: {}: {word} ({} s)", scenario.name, took.as_secs());
    Line { name: scenario.name, took, result }
}
