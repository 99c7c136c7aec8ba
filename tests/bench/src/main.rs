//! How fast mcp-webhookd is: the release binary as a process, a load over real HTTP, a receiver that notes arrivals.
//!
//! All figures are of one run on one machine, receiver and load driver included; so the report states ratios: against
//! a bare POST loop of the same client (the ceiling), and against a plain fsync (the floor of latency).

mod backlog;
mod board;
mod counts;
mod fill;
mod floor;
mod grown;
mod hanging;
mod latency;
mod load;
mod machine;
mod memory;
mod receiver;
mod report;
mod scene;
mod sidecar;
mod throughput;

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Parser;

use crate::{load::Other, receiver::Receiver, report::Report, scene::Bench};

/// Measures the release binary of mcp-webhookd and reports in Markdown and JSON.
#[derive(Debug, Parser)]
struct Options {
    /// Also the series that take long: a million pending, logs of one and five million deliveries.
    #[arg(long)]
    full: bool,
    /// Only these parts (throughput, latency, hanging, memory, other, counts, backlog, grown).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Keep the folder with the measured data, logs and callgrind's counts.
    #[arg(long)]
    keep: bool,
    /// How often each variant is measured, in turn with the others; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each variant is under load, in seconds.
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Pending deliveries of the backlog, and the smaller grown log.
    #[arg(long, default_value_t = 1_000_000)]
    million: usize,
    /// The binary to measure.
    #[arg(long, default_value = "target/release/mcp-webhookd")]
    binary: PathBuf,
    /// Where its data goes while it is measured: a folder on the disk in question.
    #[arg(long, default_value = "target")]
    disk: PathBuf,
    /// Where `report.md` and `report.json` go.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Figures of the Odoo series, as its own run left them.
    #[arg(long)]
    odoo: Option<PathBuf>,
    /// Where the receiver listens; a port for `--other`, which must know it beforehand.
    #[arg(long, default_value = "127.0.0.1:0")]
    receiver: SocketAddr,
    /// Another sender to compare with, which takes one event a POST: `http://HOST:PORT/PATH`.
    #[arg(long)]
    other: Option<String>,
    /// A header for the other sender, `Name: value`.
    #[arg(long)]
    other_header: Vec<String>,
    /// The body for the other sender; `{event}` stands for the event, `{id}` for its id.
    #[arg(long, default_value = "{event}")]
    other_body: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let folder = tempfile::tempdir_in(&options.disk)?;
    let bench = Bench {
        binary: fs::canonicalize(&options.binary).context("the release binary; build it first")?,
        folder: folder.path().to_owned(),
        receiver: Receiver::start(options.receiver).await?,
        rounds: options.rounds,
        time: Duration::from_secs_f64(options.seconds),
        million: options.million,
        progress: scene::progress(),
    };
    let mut report = Report { machine: machine::describe(folder.path())?, ..Report::default() };
    measure(&bench, &options, &mut report).await?;
    report.machine.load_after = machine::load()?;
    bench.progress.finish_and_clear();
    save(&options.out, &report)?;
    if options.keep {
        bench.say(format!("kept: {}", folder.keep().display()));
    }
    Ok(std::io::stdout().write_all(report.to_markdown().as_bytes())?)
}

/// Measures part after part, and saves after each: a fault later on does not cost the figures before it.
async fn measure(bench: &Bench, options: &Options, report: &mut Report) -> Result<()> {
    let wanted = |part: &str| options.only.is_empty() || options.only.iter().any(|only| only == part);
    if let Some(path) = &options.odoo {
        report.odoo = Some(serde_json::from_str(&fs::read_to_string(path)?)?);
    }
    if wanted("throughput") {
        report.throughput = throughput::measure(bench).await?;
        save(&options.out, report)?;
    }
    if wanted("latency") {
        let half = report.throughput.saturation().unwrap_or(2000.0) / 2.0;
        report.latency = latency::measure(bench, half).await?;
        save(&options.out, report)?;
    }
    if wanted("hanging") {
        report.hanging = hanging::measure(bench).await?;
        save(&options.out, report)?;
    }
    if wanted("memory") && (options.full || !options.only.is_empty()) {
        report.memory = Some(memory::measure(bench).await?);
        save(&options.out, report)?;
    }
    if let Some(url) = options.other.as_ref().filter(|_| wanted("other")) {
        let other = Other::new(url, &options.other_header, &options.other_body)?;
        report.other = Some(throughput::measure_other(bench, other).await?);
        save(&options.out, report)?;
    }
    if wanted("counts") && (options.full || !options.only.is_empty()) {
        report.counts = counts::measure(bench).await?;
        save(&options.out, report)?;
    }
    if options.full && wanted("backlog") {
        report.backlog = Some(backlog::measure(bench).await?);
        save(&options.out, report)?;
    }
    if options.full && wanted("grown") {
        report.grown = grown::measure(bench).await?;
    }
    Ok(())
}

fn save(out: &Path, report: &Report) -> Result<()> {
    fs::create_dir_all(out)?;
    fs::write(out.join("report.json"), serde_json::to_string_pretty(report)? + "\n")?;
    Ok(fs::write(out.join("report.md"), report.to_markdown())?)
}
