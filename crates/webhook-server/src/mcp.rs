//! The MCP server's listener: connections, hosts and bodies; what is said on it is `webhook_mcp`'s.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, service::service_fn};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use url::Url;
use webhook_mcp::{Body, Door, Odoo, OdooOptions};

use crate::{
    advice::Advise,
    config::Config,
    guests::{Guest, Guests},
    hosts::OwnHosts,
    listener::Caller,
    live::Live,
    serve::converse,
};

/// A request's body must be there within this time.
const BODY_TIME: Duration = Duration::from_secs(10);
/// What a request may have.
const REQUEST_BYTES: usize = 1 << 20;

/// A port on which AI clients are served.
#[derive(Debug)]
pub struct McpListener {
    tcp: TcpListener,
    odoo: Odoo,
    hosts: OwnHosts,
    public_url: Option<Url>,
}

impl McpListener {
    /// Listens on `[mcp] listen`, where that is set.
    ///
    /// # Errors
    /// What is in the way, with the remedy.
    pub async fn bind(config: &Config) -> Result<Option<Self>> {
        let Some(listen) = config.mcp_listen else { return Ok(None) };
        let tcp = TcpListener::bind(listen).await.advise(
            format!("{listen} cannot be listened on"),
            "end what listens there already, or choose another address with [mcp] listen",
        )?;
        let public = config.mcp_public_url.as_ref();
        let names =
            public.iter().flat_map(|url| [url.host_str().map(str::to_owned), authority(url)]).flatten();
        let allowed: Vec<String> = config.allowed_hosts.iter().cloned().chain(names).collect();
        let hosts = OwnHosts::new(tcp.local_addr()?.ip(), &allowed);
        Ok(Some(Self { tcp, odoo: odoo(config)?, hosts, public_url: config.mcp_public_url.clone() }))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system said no.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until `stop`.
    pub async fn run(self, live: Arc<Live>, stop: CancellationToken) {
        let Self { tcp, odoo, hosts, public_url } = self;
        let address = tcp.local_addr();
        if let Ok(address) = address {
            tracing::info!(%address, "the MCP server is ready, at /mcp");
        }
        let is_local = address.is_ok_and(|address| address.ip().is_loopback());
        let door = Arc::new((Door::new(odoo, public_url.as_ref(), is_local, stop.clone()), hosts));
        let guests = Guests::new();
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = tcp.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection of an MCP client could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let guest = tokio::select! {
                () = stop.cancelled() => break,
                guest = guests.admit() => Arc::new(guest),
            };
            while connections.try_join_next().is_some() {}
            let (door, greeter, stop) = (Arc::clone(&door), live.greeter(), stop.clone());
            connections.spawn(async move {
                let served = async {
                    let Some(stream) = greeter.greet(Caller::Tcp(stream)).await else { return };
                    let guest = Arc::clone(&guest);
                    let service = service_fn(move |request| {
                        let (door, guest) = (Arc::clone(&door), Arc::clone(&guest));
                        async move { Ok::<_, Infallible>(answer(&door.0, &door.1, &guest, request).await) }
                    });
                    converse(stream, service, stop).await;
                };
                tokio::select! {
                    () = served => {}
                    () = guest.sent_away() => {}
                }
            });
        }
        drop(tcp);
        while connections.join_next().await.is_some() {}
    }
}

async fn answer(door: &Door, hosts: &OwnHosts, guest: &Guest, request: Request<Incoming>) -> Response<Body> {
    if !hosts.are_called_by(&request) {
        return plain(StatusCode::FORBIDDEN, "this address is not for this Host; see [mcp] public_url\n");
    }
    let (parts, body) = request.into_parts();
    let taken = tokio::time::timeout(BODY_TIME, Limited::new(body, REQUEST_BYTES).collect()).await;
    match taken {
        Ok(Ok(body)) => door.answer(Request::from_parts(parts, body.to_bytes()), || guest.introduce()).await,
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            plain(StatusCode::PAYLOAD_TOO_LARGE, "a request may have 1 MiB\n")
        }
        Ok(Err(_)) => plain(StatusCode::BAD_REQUEST, ""),
        Err(_) => plain(StatusCode::REQUEST_TIMEOUT, ""),
    }
}

/// The Odoo that the configuration names.
///
/// # Errors
/// The file with further certificates cannot be used.
pub fn odoo(config: &Config) -> Result<Odoo> {
    let extra_ca = match &config.extra_ca_file {
        Some(file) => {
            let read = std::fs::read(file);
            Some(read.with_context(|| format!("read network.extra_ca_file {}", file.display()))?)
        }
        None => None,
    };
    let options =
        OdooOptions { url: config.odoo_url.clone(), database: config.odoo_database.clone(), extra_ca };
    Odoo::new(options).map_err(|error| anyhow!("no connection to Odoo can be made: {error}"))
}

fn authority(url: &Url) -> Option<String> {
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed());
    *response.status_mut() = status;
    response
}
