//! The command line.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{
    config::{Config, Fault, LogFormat},
    files::DataDir,
    serve::Sidecar,
};

/// It went wrong; the last line of the output says what to do.
pub const FAILED: u8 = 1;
/// The configuration has faults (also clap's own code for wrong options).
pub const MISCONFIGURED: u8 = 2;

/// Delivers Odoo's webhook events: durable, signed, and with an answer for each attempt.
#[derive(Debug, Parser)]
#[command(name = "mcp-webhookd", version, about)]
pub struct Cli {
    /// Configuration file (TOML); without one the defaults serve.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where tokens and the delivery log are kept.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address and port to listen on; port 0 picks a free one.
    #[arg(long, global = true, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the sidecar until SIGTERM or Ctrl-C.
    Serve,
    /// Look for faults in the configuration, and report all of them.
    CheckConfig,
    /// Verify the delivery log of a sidecar that is not running.
    Verify,
}

/// Runs the command; what it answers is the process's exit code.
pub fn run(cli: Cli) -> ExitCode {
    let config = match configure(&cli) {
        Ok(config) => config,
        Err(faults) => {
            faults.iter().for_each(|fault| eprintln!("mcp-webhookd: {fault}"));
            eprintln!("mcp-webhookd: the configuration has faults; correct them and start again");
            return ExitCode::from(MISCONFIGURED);
        }
    };
    let done = match cli.command {
        Command::Serve => serve(config),
        Command::CheckConfig => {
            eprintln!("mcp-webhookd: the configuration is fine");
            Ok(())
        }
        Command::Verify => verify(config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mcp-webhookd: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn configure(cli: &Cli) -> Result<Config, Vec<Fault>> {
    let mut config = match &cli.config {
        None => Config::default(),
        Some(path) => {
            let place = path.display().to_string();
            let unreadable =
                |error| vec![Fault { place: place.clone(), message: format!("cannot be read: {error}") }];
            let text = std::fs::read_to_string(path).map_err(unreadable)?;
            let name = |fault: Fault| Fault { place: format!("{place}, {}", fault.place), ..fault };
            Config::from_toml(&text).map_err(|faults| faults.into_iter().map(name).collect::<Vec<_>>())?
        }
    };
    config.read_environment(std::env::vars())?;
    config.data_dir = cli.data_dir.clone().or(config.data_dir);
    config.listen = cli.listen.unwrap_or(config.listen);
    config.check()?;
    Ok(config)
}

fn serve(config: Config) -> Result<()> {
    start_logging(config.log_format);
    let data = DataDir::choose(config.data_dir.clone())?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(async {
        let sidecar = Sidecar::open(config, data).await?;
        let stop = CancellationToken::new();
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let on_signal = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            tracing::info!("stopping: attempts under way may finish");
            on_signal.cancel();
        });
        sidecar.run(stop).await
    })
}

fn start_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

fn verify(config: Config) -> Result<()> {
    let data = DataDir::choose(config.data_dir.clone())?;
    if !data.store().exists() {
        bail!("there is no delivery log in {}; give --data-dir DIR", data.path().display());
    }
    let opened = data.open(config.token_file.as_deref())?;
    let log = webhook_log::Log::open(webhook_log::medium::File::new(data.store()), opened.key)?;
    let (faults, (events, attempts)) = log.read(|snapshot| Ok((snapshot.check()?, snapshot.size()?)))?;
    log.close();
    if !faults.is_empty() {
        faults.iter().for_each(|fault| eprintln!("mcp-webhookd: {fault}"));
        bail!("the delivery log has {} faults; restore a backup, or report them", faults.len());
    }
    eprintln!("mcp-webhookd: the delivery log is sound: {events} events, {attempts} attempts");
    Ok(())
}
