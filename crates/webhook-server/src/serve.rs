//! The daemon: everything wired together, top to bottom.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Result, anyhow};
use futures_util::FutureExt;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee::server::{
    BatchRequestConfig, HttpRequest, HttpResponse, Server, ServerConfig, middleware::rpc::RpcServiceBuilder,
    stop_channel,
};
use sd_notify::NotifyState;
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use webhook_dispatch::{Counters, Dispatcher, Options, SystemClock};
use webhook_log::{Log, medium};
use webhook_model::limits;

use crate::{
    advice,
    config::Config,
    files::DataDir,
    front::Front,
    guests::{Guest, Guests},
    knock,
    listener::{Caller, Listener},
    live::{self, Live, LiveTransport},
    mcp::McpListener,
    metrics,
    private::write_private,
    rpc::{middleware::Methods, service::Service},
    systemd,
    tls::{Greeter, Stream},
    unread::{Impatient, Unread},
    upkeep,
    vitals::Vitals,
};

/// The log must be closed within this time; only a compaction takes longer, and it may be broken off as by a crash.
const CLOSE_TIME: Duration = Duration::from_secs(3);

/// The head of a request must be there within this time.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// A sidecar that is wired up and listens, but does not run yet.
#[derive(Debug)]
pub struct Sidecar {
    data: DataDir,
    listener: Listener,
    address: SocketAddr,
    mcp: Option<McpListener>,
    log: Log,
    front: Front,
    vitals: Arc<Vitals>,
    service: Arc<Service>,
    dispatcher: Dispatcher<LiveTransport, SystemClock>,
}

impl Sidecar {
    /// Opens the data directory and the log, and binds the listener. A reload reads the tokens alone.
    ///
    /// # Errors
    /// What is in the way, with the remedy.
    pub async fn open(config: Config, data: DataDir) -> Result<Self> {
        let source = Box::new(config.clone());
        Self::open_with(config, data, source).await
    }

    /// The same; a reload asks `source` for the configuration.
    ///
    /// # Errors
    /// What is in the way, with the remedy.
    pub async fn open_with(config: Config, data: DataDir, source: Box<dyn live::Source>) -> Result<Self> {
        let greeter = Greeter::new(&config)?;
        let key = data.key_for_start()?;
        let token_file = config.token_file.clone();
        let callers = || data.callers_for_start(token_file.as_deref());
        // A store that is refused finds everything as it was; where there is none, tokens are told of first.
        let early = if data.has_store() { None } else { Some(callers()?) };
        let listener = Listener::bind(&config).await?;
        let address = listener.address()?;
        let mcp = McpListener::bind(&config).await?;
        let store = medium::File::new(data.store());
        systemd::tell(NotifyState::Status("opening the delivery log"));
        let log = tokio::task::spawn_blocking(move || Log::open(store, key)).await?;
        let log = log.map_err(|error| anyhow!(advice::of_open(&error)))?;
        let callers = early.map_or_else(callers, Ok)?;
        let clock = Arc::new(SystemClock);
        let live = Live::new(config.clone(), data.clone(), callers, greeter, address.port(), source)?;
        let live = Arc::new(live);
        let counters = Arc::new(Counters::default());
        let dispatcher = Dispatcher::new(
            log.clone(),
            LiveTransport(Arc::clone(&live)),
            Arc::clone(&clock),
            Arc::clone(&counters),
            Options { max_in_flight: config.max_in_flight },
        );
        let vitals = Arc::new(Vitals::new(&config, log.clone(), data.clone(), clock, counters));
        let unread = Arc::new(Unread::new());
        let service = Arc::new(Service {
            log: log.clone(),
            vitals: Arc::clone(&vitals),
            live: Arc::clone(&live),
            canceller: dispatcher.canceller(),
            quiet: dispatcher.quiet(),
            preview_turn: Semaphore::new(1),
            unread: Arc::clone(&unread),
        });
        let front = Front::new(live, Arc::clone(&vitals), unread, address, &config.allowed_hosts);
        Ok(Self { data, listener, address, mcp, log, front, vitals, service, dispatcher })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a reload replaces.
    pub fn live(&self) -> &Arc<Live> {
        &self.service.live
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Serves until `stop`, then takes nothing more in, finishes what is under way for at most 10 s, and closes.
    ///
    /// # Errors
    /// The address file could not be written.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        write_private(&self.data.address(), format!("{}\n", self.address).as_bytes())?;
        let socket = self.listener.socket().map(|path| format!("{}\n", path.display())).unwrap_or_default();
        write_private(&self.data.socket_path(), socket.as_bytes())?;
        tracing::info!(address = %self.address, socket = socket.trim(), data_dir = %self.data.path().display(), "mcp-webhookd is ready");
        let knocker = tokio::spawn(knock::run(self.log.clone(), knock::client()?, stop.clone()));
        tokio::spawn(knock::wait_for_odoo(self.log.clone(), stop.clone()));
        let retention = tokio::spawn(upkeep::retain(Arc::clone(&self.vitals), stop.clone()));
        let backlog = tokio::spawn(metrics::watch_backlog(Arc::clone(&self.vitals), stop.clone()));
        let space = tokio::spawn(upkeep::guard_space(self.log.clone(), self.data.clone(), stop.clone()));
        let mcp = match self.mcp {
            Some(mcp) => {
                write_private(&self.data.mcp_address(), format!("{}\n", mcp.address()?).as_bytes())?;
                Some(tokio::spawn(mcp.run(Arc::clone(&self.service.live), stop.clone())))
            }
            None => None,
        };
        let gone = &self.vitals.dispatcher_gone;
        let dispatcher = tokio::spawn(on_own_thread(self.dispatcher, Arc::clone(gone), stop.child_token())?);
        systemd::tell(NotifyState::Status("accepting and delivering"));
        systemd::tell(NotifyState::Ready);
        let watchdog = tokio::spawn(systemd::watchdog(Arc::clone(gone), stop.clone()));
        accept(self.listener, Arc::new(self.front), self.service, stop).await;
        let _ = tokio::join!(dispatcher, knocker, retention, backlog, space, watchdog);
        if let Some(mcp) = mcp {
            let _ = mcp.await;
        }
        let log = self.log;
        let closing = tokio::task::spawn_blocking(move || log.close());
        let is_closed = tokio::time::timeout(CLOSE_TIME, closing).await.is_ok();
        let _ = std::fs::remove_file(self.data.address());
        let _ = std::fs::remove_file(self.data.socket_path());
        let _ = std::fs::remove_file(self.data.mcp_address());
        match is_closed {
            true => tracing::info!("stopped"),
            false => tracing::warn!(
                "stopped in the middle of a compaction; the next start goes on from the journal"
            ),
        }
        Ok(())
    }
}

/// Runs the dispatcher on a thread of its own, with its attempts and connections: no call that is being parsed keeps
/// them waiting, and threads do not fight over the memory of requests. Ends when it has ended.
fn on_own_thread(
    dispatcher: Dispatcher<LiveTransport, SystemClock>,
    gone: Arc<AtomicBool>,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + use<>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ended, end) = oneshot::channel::<()>();
    let guard = stop.clone().drop_guard();
    std::thread::Builder::new().name("dispatcher".into()).spawn(move || {
        runtime.block_on(dispatch(dispatcher, &gone, stop));
        drop(ended);
    })?;
    Ok(async move {
        let _guard = guard;
        let _ = end.await;
    })
}

/// Runs the dispatcher, and says so when it ends although nobody stopped it.
async fn dispatch(
    dispatcher: Dispatcher<LiveTransport, SystemClock>,
    gone: &AtomicBool,
    stop: CancellationToken,
) {
    let ran = std::panic::AssertUnwindSafe(dispatcher.run(stop.clone())).catch_unwind().await;
    if ran.is_err() || !stop.is_cancelled() {
        gone.store(true, Relaxed);
        tracing::error!("the dispatcher ended: nothing is sent until mcp-webhookd is restarted");
    }
}

/// One accept loop with the limits that jsonrpsee's own has not: connections, and the time for a head.
async fn accept(listener: Listener, front: Arc<Front>, service: Arc<Service>, stop: CancellationToken) {
    let request_bytes = u32::try_from(limits::REQUEST_BYTES).unwrap_or(u32::MAX);
    let config = ServerConfig::builder()
        .http_only()
        .max_request_body_size(request_bytes)
        .max_response_body_size(2 * request_bytes)
        .max_connections(u32::MAX)
        .set_batch_request_config(BatchRequestConfig::Limit(limits::BATCH_CALLS))
        .build();
    let live = Arc::clone(&service.live);
    let middleware =
        RpcServiceBuilder::new().layer_fn(move |inner| Methods { inner, service: Arc::clone(&service) });
    let builder = Server::builder().set_config(config).set_rpc_middleware(middleware).to_service_builder();
    // jsonrpsee wants a handle of its own; connections end through `stop` and its guard is not used.
    let (stop_handle, _server_handle) = stop_channel();
    let guests = Guests::new();
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    // Out of file descriptors, for example: a pause keeps this from becoming a busy loop.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let guest = tokio::select! {
            () = stop.cancelled() => break,
            guest = guests.admit() => Arc::new(guest),
        };
        while connections.try_join_next().is_some() {}
        let rpc = builder.clone().build(jsonrpsee::Methods::new(), stop_handle.clone());
        let (front, stop, greeter) = (Arc::clone(&front), stop.clone(), live.greeter());
        connections.spawn(async move {
            let served = serve_connection(stream, &greeter, front, Arc::clone(&guest), rpc, stop);
            tokio::select! {
                () = served => {}
                () = guest.sent_away() => {}
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// One connection, from the handshake to its end.
async fn serve_connection<S>(
    stream: Caller,
    greeter: &Greeter,
    front: Arc<Front>,
    guest: Arc<Guest>,
    rpc: S,
    stop: CancellationToken,
) where
    S: tower::Service<HttpRequest, Response = HttpResponse> + Clone,
    S::Error: std::fmt::Display,
{
    let Some(stream) = greeter.greet(stream).await else { return };
    let service = service_fn(move |request| {
        let (front, guest, rpc) = (Arc::clone(&front), Arc::clone(&guest), rpc.clone());
        async move { front.answer(request, &guest, rpc).await }
    });
    converse(stream, service, stop).await;
}

/// HTTP on one connection, until it ends or all do.
pub async fn converse<S>(stream: Stream, service: S, stop: CancellationToken)
where
    S: hyper::service::HttpService<hyper::body::Incoming>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::ResBody: 'static,
    <S::ResBody as hyper::body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(64 << 10);
    let connection = http.serve_connection(TokioIo::new(Impatient::new(stream)), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(webhook_dispatch::DRAIN, connection).await;
        }
    }
}
