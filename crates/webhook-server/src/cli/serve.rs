//! `serve`: the daemon, its signals and its log lines.

use anyhow::{Context, Result, anyhow};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{
    EnvFilter, filter::filter_fn, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

use super::Global;
use crate::{
    config::{Config, LogFormat},
    files::DataDir,
    live::{Live, Source},
    serve::Sidecar,
    systemd,
};

type Level = reload::Handle<EnvFilter, tracing_subscriber::Registry>;

/// Reads the configuration as at the start, and steers this process's log.
struct CommandLine {
    global: Global,
    level: Level,
}

impl Source for CommandLine {
    fn read(&self) -> Result<Config> {
        super::configure(&self.global).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            anyhow!("the configuration has faults, the old one stays: {}", lines.join("; "))
        })
    }

    fn set_level(&self, config: &Config) -> Result<()> {
        self.level.reload(filter(config)).context("change the log level")
    }
}

/// Runs the sidecar until SIGTERM or Ctrl-C.
pub fn run(global: Global, config: Config) -> Result<()> {
    let level = start_logging(&config);
    keep_memory_private();
    let data = DataDir::choose(config.data_dir.clone())?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    let source = Box::new(CommandLine { global, level });
    let served = runtime.block_on(async {
        // A write beyond a limit on the size of files then fails like any other, instead of killing the process.
        let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        let sidecar = Sidecar::open_with(config, data, source).await?;
        let stop = CancellationToken::new();
        let signals = (SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup());
        let signals = (signal(signals.0)?, signal(signals.1)?, signal(signals.2)?);
        tokio::spawn(hear(signals, sidecar.live().clone(), stop.clone()));
        sidecar.run(stop).await
    });
    // What still runs is broken off: a stop has its time.
    runtime.shutdown_background();
    served
}

async fn hear(signals: (Signal, Signal, Signal), live: std::sync::Arc<Live>, stop: CancellationToken) {
    let (mut term, mut int, mut hup) = signals;
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = hup.recv() => match live.reload() {
                Ok(done) => tracing::info!("reloaded: {done}"),
                Err(error) => tracing::error!("not reloaded: {error:#}"),
            },
        }
    }
    systemd::tell(NotifyState::Stopping);
    tracing::info!("stopping: attempts under way may finish");
    stop.cancel();
}

/// Secrets are in memory, so there is no core dump, and no other program of the same user may look into this one.
pub fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let no_core = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    if no_core.and(set_dumpable_behavior(DumpableBehavior::NotDumpable)).is_err() {
        tracing::warn!("core dumps could not be switched off");
    }
}

/// Whether a line may be logged, whatever level is set: libraries log requests whole below `info`, with what is secret.
fn is_harmless(line: &tracing::Metadata<'_>) -> bool {
    *line.level() <= tracing::Level::INFO || line.target().starts_with("webhook_")
}

/// `RUST_LOG` goes before the configuration.
fn filter(config: &Config) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&config.log_level))
}

/// Lines go to standard error.
pub fn start_logging(config: &Config) -> Level {
    let (filter, level) = reload::Layer::new(filter(config));
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr()) && !no_colour;
    let registry = tracing_subscriber::registry().with(filter).with(filter_fn(is_harmless));
    let lines = fmt::layer().with_ansi(colour).with_writer(webhook_dispatch::line);
    match config.log_format {
        LogFormat::Text => registry.with(lines).init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
    }
    level
}
