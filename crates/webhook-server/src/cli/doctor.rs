//! `doctor`: looks for whatever could be in the way, and says what to do about each.

use std::{io::Write, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use bytes::Bytes;
use clap::Args;
use webhook_api::admin::{GetStatus, Status};
use webhook_dispatch::{
    Clock, SystemClock, sign,
    transport::{HttpTransport, Request, Room, Secrets, Transport},
};
use webhook_log::{Look, medium::OpenError};
use webhook_model::{EndpointUrl, EventId, Failure, Outcome};

use super::{Trouble, client::Client, output};
use crate::{
    advice, config::Config, files::DataDir, knock, live, private::check_private, space::Space, token::Tokens,
};

/// One check of the network takes at most this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Signatures are refused by most receivers when clocks differ by 5 minutes.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct Options {
    /// Send a signed test POST there, through the address guard, as an attempt would
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Odoo's address; without it the one that Odoo gave to the running sidecar
    #[arg(long, value_name = "URL")]
    odoo: Option<String>,
}

/// What a check says: fine, worth knowing, or in the way.
enum Finding {
    Ok(String),
    Warn(String),
    Fail(String),
}

use Finding::{Fail, Ok as Fine, Warn};

struct Report(u32);

impl Report {
    fn put(&mut self, name: &str, finding: Finding) -> Result<()> {
        let (word, text) = match finding {
            Fine(text) => ("ok", text),
            Warn(text) => ("warn", text),
            Fail(text) => {
                self.0 += 1;
                ("FAIL", text)
            }
        };
        Ok(writeln!(output::stdout(), "{} {name:<10} {}", output::coloured(word, 4), output::clean(&text))?)
    }
}

/// Makes all checks; fails when one of them found something in the way.
pub async fn run(config: &Config, options: &Options) -> Result<()> {
    let data = DataDir::choose(config.data_dir.clone())?;
    let mut report = Report(0);
    report.put("config", Fine("no faults".to_owned()))?;
    report.put("files", files_of(&data))?;
    report.put("log", log(&data))?;
    report.put("token", token(&data, config))?;
    report.put("disk", disk(data.path()))?;
    let status = match Client::new(config) {
        Err(error) => Err(error),
        Ok(client) => client.call(&GetStatus {}).await,
    };
    report.put("port", port(config, &status).await)?;
    if let Ok(status) = &status {
        for reason in &status.reasons {
            let text = output::cell(&reason.message);
            report.put("sidecar", if reason.stops_work { Fail(text) } else { Warn(text) })?;
        }
    }
    let transport = HttpTransport::new(live::network_policy(config, 0));
    report.put("TLS roots", roots(&transport))?;
    if let (Some(url), Ok(transport)) = (&options.url, &transport) {
        test_post(&mut report, config, transport, url).await?;
    } else {
        report.put("endpoint", Warn("not tried; give --url URL for a test POST".to_owned()))?;
    }
    let wake_url = status.ok().and_then(|status| status.wake_url);
    odoo(&mut report, options.odoo.clone().or(wake_url)).await?;
    match report.0 {
        0 => Ok(()),
        1 => Err(Trouble::Unsound("one thing is in the way; do what its line says".to_owned()).into()),
        n => Err(Trouble::Unsound(format!("{n} things are in the way; do what their lines say")).into()),
    }
}

fn files_of(data: &DataDir) -> Finding {
    let folder = data.path().display();
    let entries = match std::fs::read_dir(data.path()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Warn(format!(
                "{folder} is not there yet; the first start of `mcp-webhookd serve` makes it"
            ));
        }
        Err(error) => {
            return Fail(format!("{folder}: {error}; run this command as the sidecar's user (sudo -u USER)"));
        }
    };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let open: Vec<String> = std::iter::once(data.path().to_path_buf())
        .chain(paths)
        .filter_map(|path| check_private(&path).err())
        .map(|error| error.to_string())
        .collect();
    if open.is_empty() { Fine(format!("{folder} is private")) } else { Fail(open.join("; ")) }
}

/// Whether the delivery log would open; it is only looked at.
fn log(data: &DataDir) -> Finding {
    if !data.has_store() {
        return Warn("there is none yet; the first start makes it".to_owned());
    }
    let key = match data.present_key() {
        Ok(Some(key)) => key,
        Ok(None) => return Fail(data.key_is_missing().to_string()),
        Err(error) => return Fail(format!("{error:#}")),
    };
    match Look::at(&data.store(), &key) {
        Ok(_) => Fine("it opens; `mcp-webhookd verify` looks at every row".to_owned()),
        Err(OpenError::Locked) => Fine("the sidecar has it open".to_owned()),
        Err(error) => Fail(advice::of_open(&error)),
    }
}

fn token(data: &DataDir, config: &Config) -> Finding {
    let file = data.token_file(config.token_file.as_deref());
    if !file.exists() {
        return Warn(format!("{} is not there yet; the first start makes it", file.display()));
    }
    match Tokens::read(&file) {
        Ok(_) => Fine(format!("{} is usable; Odoo needs its first line", file.display())),
        Err(error) => Fail(format!("{error:#}")),
    }
}

fn disk(folder: &Path) -> Finding {
    // The folder may not be there yet; its nearest parent is on the same disk.
    let Some(existing) = folder.ancestors().find(|path| path.exists()) else {
        return Warn("not looked at: the data directory has no existing parent".to_owned());
    };
    match Space::of(existing) {
        Ok(space) if space.is_short() => {
            Fail(format!("{space}, so nothing new is accepted; make room, or lower retention.days"))
        }
        Ok(space) => Fine(format!("{:.1} GB are free", space.free as f64 / 1e9)),
        Err(error) => Warn(format!("not looked at: {error}")),
    }
}

async fn port(config: &Config, status: &Result<Status>) -> Finding {
    let listen = config.listen;
    match status {
        Ok(status) => Fine(format!("the sidecar answers, version {}", output::cell(&status.version))),
        Err(error) => match tokio::net::TcpListener::bind(listen).await {
            Ok(_) => Warn(format!("{listen} is free, but no sidecar runs: {error}")),
            Err(fault) => Fail(format!(
                "{listen} cannot be used ({fault}) and no sidecar of this data directory answers; end the other \
                 program, or give another --listen ADDR:PORT"
            )),
        },
    }
}

fn roots<T, E: std::fmt::Display>(transport: &Result<T, E>) -> Finding {
    match transport {
        Ok(_) => Fine("the system's certificates are there".to_owned()),
        Err(error) => Fail(error.to_string()),
    }
}

async fn test_post(report: &mut Report, config: &Config, transport: &HttpTransport, url: &str) -> Result<()> {
    let url = match EndpointUrl::parse(url, &live::url_policy(config, config.listen.port())) {
        Ok(url) => url,
        Err(refused) => return report.put("endpoint", Fail(format!("{refused}; give another --url"))),
    };
    report.put("DNS", resolve(&url).await)?;
    let body = Bytes::from_static(
        b"{\"event_type\":\"write\",\"model\":\"res.partner\",\"record_ids\":[1],\"test\":true}",
    );
    let mut headers = http::HeaderMap::new();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    let id = EventId::from_u128(uuid::Uuid::now_v7().as_u128());
    sign::sign(&mut headers, &[], id, SystemClock.now(), &body);
    let request = Request {
        url: Arc::new(url),
        headers,
        body,
        secrets: Secrets::default(),
        timeout: PATIENCE,
        again_after: None,
        room: Room::alone(),
    };
    let exchange = transport.send(request).await;
    let finding = match exchange.outcome {
        Outcome::Response { status, .. } if (200..300).contains(&status) => {
            Fine(format!("HTTP {status} in {} ms", exchange.duration.as_millis()))
        }
        Outcome::Response { status, .. } => {
            Warn(format!("it can be reached, but answers HTTP {status}; look at the endpoint's own log"))
        }
        Outcome::Failed { failure, message } => {
            Fail(format!("{}: {message}; {}", failure.as_str(), remedy(failure)))
        }
    };
    report.put("endpoint", finding)
}

/// As the table in docs/troubleshooting.md has it.
fn remedy(failure: Failure) -> &'static str {
    match failure {
        Failure::Timeout => "the endpoint should answer first and work later",
        Failure::Dns => "look at the name, and at /etc/resolv.conf",
        Failure::Connect => "start what should listen there, or open the firewall; curl -v URL tells more",
        Failure::Tls => "renew the certificate, use the name in it, or give its CA in network.extra_ca_file",
        Failure::BlockedAddress => "if it is meant, open it in network.allow_networks",
        Failure::Protocol => "what answers there does not speak HTTP: give another port",
        _ => "the sidecar's log says more",
    }
}

async fn resolve(url: &EndpointUrl) -> Finding {
    let host = url.host_port();
    match tokio::time::timeout(PATIENCE, tokio::net::lookup_host(&host)).await {
        Ok(Ok(addresses)) => {
            let mut found: Vec<String> =
                addresses.map(|address: SocketAddr| address.ip().to_string()).collect();
            found.dedup();
            Fine(format!("{host} is {}", found.join(", ")))
        }
        Ok(Err(error)) => Fail(format!("{host}: {error}; look at /etc/resolv.conf and the name")),
        Err(_) => Fail(format!("{host}: no answer in 10 s; look at /etc/resolv.conf")),
    }
}

/// Odoo's own health page, and its clock.
async fn odoo(report: &mut Report, url: Option<String>) -> Result<()> {
    let Some(url) = url else {
        let text = "not looked for: it has not attached yet; give --odoo URL".to_owned();
        return report.put("Odoo", Warn(text));
    };
    let Ok(page) = url::Url::parse(&url).and_then(|url| url.join("/web/health")) else {
        return report
            .put("Odoo", Fail(format!("{url} is not a URL; give for example http://127.0.0.1:8069")));
    };
    let host = page.host_str().unwrap_or_default().to_owned();
    let answer = match knock::client()?.get(page).timeout(PATIENCE).send().await {
        Ok(answer) if answer.status().is_success() => answer,
        Ok(answer) => {
            let status = answer.status();
            return report.put("Odoo", Warn(format!("{host} answers HTTP {status}; is it Odoo?")));
        }
        Err(_) => {
            let text = format!("{host} cannot be reached; is Odoo running, and is the address right?");
            return report.put("Odoo", Fail(text));
        }
    };
    report.put("Odoo", Fine(format!("{host} is healthy")))?;
    let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let Some(theirs) = theirs else {
        return report.put("clock", Warn("not compared: Odoo's answer has no date".to_owned()));
    };
    let ours = std::time::SystemTime::now();
    let apart = ours.duration_since(theirs).unwrap_or_else(|error| error.duration());
    let seconds = apart.as_secs();
    let finding = if apart > CLOCK_DIFFERENCE {
        Fail(format!("this clock and Odoo's are {seconds} s apart; signatures will be refused: set up NTP"))
    } else {
        Fine(format!("within {} s of Odoo's", seconds + 1))
    };
    report.put("clock", finding)
}
