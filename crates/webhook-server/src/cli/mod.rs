//! The command line: one command a file.
//!
//! Commands that look at a running sidecar ask it by RPC with `<data>/admin_token` (`client`); the others read the
//! configuration or the files themselves.

mod check_config;
mod client;
mod copies;
mod deliveries;
mod doctor;
mod listen;
mod mcp;
mod output;
mod pages;
mod recover;
mod serve;
mod status;
mod subscriptions;
mod template;
mod token;
mod verify;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Fault};

/// Exit codes, as the manual page has them.
pub mod exit {
    /// It went wrong; the last line of the output says what to do.
    pub const FAILED: u8 = 1;
    /// The configuration or the options have faults (also clap's own code).
    pub const MISCONFIGURED: u8 = 2;
    /// No sidecar answers.
    pub const UNREACHABLE: u8 = 3;
    /// The sidecar answered, and its answer is no.
    pub const REFUSED: u8 = 4;
    /// A check found something: `doctor`, `status`, `verify`.
    pub const UNSOUND: u8 = 5;
}

/// A failure with an exit code of its own.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Unsound(String),
}

impl Trouble {
    fn code(&self) -> u8 {
        match self {
            Self::Unreachable(_) => exit::UNREACHABLE,
            Self::Refused(_) => exit::REFUSED,
            Self::Unsound(_) => exit::UNSOUND,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  mcp-webhookd serve                              run it; no configuration is needed
  mcp-webhookd status                             how it is
  mcp-webhookd deliveries list --status failed    what did not arrive, and why
  mcp-webhookd deliveries redeliver EVENT_ID      once more
  mcp-webhookd doctor --url https://example.com/  look for what is in the way

Exit codes:
  0 fine   1 failed   2 faults in options or configuration   3 no sidecar answers
  4 the sidecar refused   5 a check found something";

/// Delivers Odoo's webhook events: durable, signed, and with an answer for each attempt.
#[derive(Debug, Parser)]
#[command(name = "mcp-webhookd", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// Configuration file (TOML); without one the defaults serve
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where tokens and the delivery log are kept
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address and port that the sidecar listens on; port 0 picks a free one
    #[arg(long, global = true, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the sidecar until SIGTERM or Ctrl-C; SIGHUP reloads tokens, [network], certificate and log level
    Serve,
    /// Look for faults in the configuration, and report all of them
    CheckConfig(check_config::Options),
    /// Look for whatever could be in the way, and say what to do about it
    Doctor(doctor::Options),
    /// How the running sidecar is: backlog, counts, what is in the way
    Status(status::Options),
    /// Who wants which events
    #[command(subcommand)]
    Subscriptions(subscriptions::Command),
    /// What became of events
    #[command(subcommand)]
    Deliveries(deliveries::Command),
    /// Payload templates
    #[command(subcommand)]
    Template(template::Command),
    /// The addon's token
    #[command(subcommand)]
    Token(token::Command),
    /// Verify the whole delivery log
    Verify,
    /// Copy the delivery log into a new file, also while the sidecar runs
    Backup(copies::BackupOptions),
    /// Put a backup in the place of the delivery log of a sidecar that is stopped
    Restore(copies::RestoreOptions),
    /// Go on with a delivery log that a start refuses; says first what would be lost, and asks
    Recover(recover::Options),
    /// Give the delivery log's free pages back to the file system
    Compact,
    /// A receiver for development: prints what arrives and verifies its signature
    Listen(listen::Options),
    /// An MCP server at standard input and output for an AI client that starts it; the key comes from ODOO_API_KEY
    Mcp,
    /// Print a script for the shell that completes commands and options
    Completions(pages::CompletionOptions),
    /// Print the manual page (roff)
    Man,
}

/// Runs the command; what it answers is the process's exit code.
pub fn run(cli: Cli) -> ExitCode {
    let done = match &cli.command {
        // These need no configuration, so a broken one is not in their way.
        Command::Completions(options) => pages::completions(options),
        Command::Man => pages::manual(),
        Command::Listen(options) => block_on(listen::run(options)),
        Command::Template(command) => template::run(command),
        Command::CheckConfig(options) if options.example => check_config::example(),
        command => match configured(command, &cli.global) {
            Ok(config) => run_configured(command, &cli.global, config),
            Err(faults) => {
                faults.iter().for_each(|fault| eprintln!("mcp-webhookd: {fault}"));
                eprintln!("mcp-webhookd: the configuration has faults; correct them and start again");
                return ExitCode::from(exit::MISCONFIGURED);
            }
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of a pipe has seen enough.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mcp-webhookd: {}", output::clean(&format!("{error:#}")));
            ExitCode::from(error.downcast_ref::<Trouble>().map_or(exit::FAILED, Trouble::code))
        }
    }
}

fn run_configured(command: &Command, global: &Global, config: Config) -> Result<()> {
    match command {
        Command::Serve => serve::run(global.clone(), config),
        Command::CheckConfig(_) => {
            eprintln!("mcp-webhookd: the configuration is fine");
            Ok(())
        }
        Command::Verify => verify::run(&config),
        Command::Backup(options) => copies::backup(&config, options),
        Command::Restore(options) => copies::restore(&config, options),
        Command::Recover(options) => recover::run(&config, options),
        Command::Compact => copies::compact(&config),
        Command::Mcp => {
            serve::start_logging(&config);
            serve::keep_memory_private();
            block_on(mcp::run(&config))
        }
        Command::Doctor(options) => block_on(doctor::run(&config, options)),
        Command::Status(options) => block_on(status::run(&config, options)),
        Command::Subscriptions(command) => block_on(subscriptions::run(&config, command)),
        Command::Deliveries(command) => block_on(deliveries::run(&config, command)),
        Command::Token(command) => block_on(token::run(&config, command)),
        Command::Completions(_) | Command::Man | Command::Listen(_) | Command::Template(_) => Ok(()),
    }
}

/// The configuration; `check-config` looks into the files that it names as well.
fn configured(command: &Command, global: &Global) -> Result<Config, Vec<Fault>> {
    let (config, mut faults) = collect(global);
    if matches!(command, Command::CheckConfig(_)) {
        faults.extend(check_config::named_files(&config));
    }
    if faults.is_empty() { Ok(config) } else { Err(faults) }
}

/// The configuration, or its faults.
fn configure(global: &Global) -> Result<Config, Vec<Fault>> {
    let (config, faults) = collect(global);
    if faults.is_empty() { Ok(config) } else { Err(faults) }
}

/// Defaults, then the file, then the environment, then options; and every fault of them all.
fn collect(global: &Global) -> (Config, Vec<Fault>) {
    let (mut config, mut faults) = (Config::default(), Vec::new());
    if let Some(path) = &global.config {
        let file = path.display();
        let name = |fault: Fault| Fault { place: format!("{file}, {}", fault.place), ..fault };
        match std::fs::read_to_string(path).map(|text| config.read_toml(&text)) {
            Ok(read) => faults.extend(read.err().into_iter().flatten().map(name)),
            Err(error) => {
                faults.push(Fault { place: file.to_string(), message: format!("cannot be read: {error}") })
            }
        }
    }
    faults.extend(config.read_environment(std::env::vars()).err().into_iter().flatten());
    config.data_dir = global.data_dir.clone().or(config.data_dir);
    config.listen = global.listen.unwrap_or(config.listen);
    faults.extend(config.check().err().into_iter().flatten());
    (config, faults)
}

/// For commands that wait for the network, one thread is plenty.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("start the runtime")?.block_on(work)
}
