//! Every key of the configuration: what it means, what it looks like, how it is set.

use ipnet::IpNet;
use url::Url;

use super::{Config, LogFormat, days};

/// Every key: section, name, default or example as TOML, meaning, and the way to set it.
pub(super) const KEYS: &[(&str, &str, &str, &str, Setter)] = &[
    (
        "server",
        "listen",
        "\"127.0.0.1:8170\"",
        "Address and port of JSON-RPC, /healthz and /metrics; port 0 picks a free one.",
        |c, v| set(&mut c.listen, v.text()?.parse(), "an address and port such as 127.0.0.1:8170"),
    ),
    (
        "server",
        "socket",
        "\"/run/mcp-webhookd/socket\"",
        "A Unix socket for JSON-RPC as well, in a folder where no other program can put one while the sidecar is down.\nWithout it: socket in $RUNTIME_DIRECTORY, where systemd sets that; \"\": none.",
        |c, v| put(&mut c.socket, Some(v.text()?.into())),
    ),
    (
        "server",
        "data_dir",
        "\"/var/lib/mcp-webhookd\"",
        "Where tokens, key and delivery log are kept (mode 0600).\nWithout it: $STATE_DIRECTORY, else $XDG_STATE_HOME/mcp-webhookd, else ~/.local/state/mcp-webhookd.",
        |c, v| put(&mut c.data_dir, Some(v.text()?.into())),
    ),
    (
        "server",
        "token_file",
        "\"/etc/mcp-webhookd/token\"",
        "The addon's tokens, one a line, all of them valid. Without it: token in the data directory.",
        |c, v| put(&mut c.token_file, Some(v.text()?.into())),
    ),
    (
        "server",
        "allowed_hosts",
        "[]",
        "Names that a Host header may carry besides the listener's own address and loopback,\nsuch as \"webhooks.internal\" when a proxy passes it on.",
        |c, v| put(&mut c.allowed_hosts, v.texts()?),
    ),
    (
        "server",
        "tls_cert_file",
        "\"/etc/mcp-webhookd/cert.pem\"",
        "PEM: the listener's certificate and its chain.",
        |c, v| put(&mut c.tls_cert_file, Some(v.text()?.into())),
    ),
    (
        "server",
        "tls_key_file",
        "\"/etc/mcp-webhookd/key.pem\"",
        "PEM: the certificate's private key.",
        |c, v| put(&mut c.tls_key_file, Some(v.text()?.into())),
    ),
    (
        "server",
        "allow_plaintext",
        "false",
        "A listener that is not loopback may do without TLS, because something in front does it.",
        |c, v| put(&mut c.allow_plaintext, v.truth()?),
    ),
    ("network", "allow_http", "false", "Endpoints may be http://, not only https://.", |c, v| {
        put(&mut c.allow_http, v.truth()?)
    }),
    (
        "network",
        "allow_networks",
        "[]",
        "Networks that webhooks may go to although they are not public, such as \"10.1.0.0/16\".",
        |c, v| {
            c.allow_networks = v.texts()?.iter().map(|text| network(text)).collect::<Result<_, _>>()?;
            Ok(())
        },
    ),
    (
        "network",
        "extra_ca_file",
        "\"/etc/mcp-webhookd/ca.pem\"",
        "PEM: certificates to trust besides the system's, for endpoints with a private CA.",
        |c, v| put(&mut c.extra_ca_file, Some(v.text()?.into())),
    ),
    (
        "dispatch",
        "max_in_flight",
        "256",
        "Second and further requests under way, of all endpoints together; every endpoint may always have one.",
        |c, v| {
            c.max_in_flight = usize::try_from(v.number(1, 100_000)?).unwrap_or(usize::MAX);
            Ok(())
        },
    ),
    (
        "retention",
        "days",
        "30",
        "How long deliveries that are over are kept, and event ids remembered.",
        |c, v| put(&mut c.retention, days(v.number(1, 3650)?)),
    ),
    (
        "retention",
        "size_mb",
        "10000",
        "How much events, payloads and answers may take together; then the oldest that are over, and known to\nOdoo, go early (their ids are forgotten with them). The file is up to twice as large.",
        |c, v| put(&mut c.retention_bytes, Some(v.number(1, 10_000_000)? * 1_000_000)),
    ),
    (
        "retention",
        "unpulled_days",
        "90",
        "How long outcomes are kept that Odoo has not pulled, whatever days and size_mb say.\n/healthz says when that begins to matter. Without an attached Odoo nobody pulls, and days and size_mb decide alone.",
        |c, v| put(&mut c.unpulled, days(v.number(1, 3650)?)),
    ),
    (
        "mcp",
        "listen",
        "\"\"",
        "Address and port of the MCP server for AI clients (streamable HTTP at /mcp), such as \"127.0.0.1:8171\"; \"\": none.\nTLS and the rules for hosts are those of [server].",
        |c, v| {
            let text = v.text()?;
            let listen = (!text.is_empty()).then(|| text.parse()).transpose();
            set(&mut c.mcp_listen, listen, "an address and port such as 127.0.0.1:8171, or \"\"")
        },
    ),
    (
        "mcp",
        "public_url",
        "\"\"",
        "How clients reach the MCP server where a proxy passes it on, such as \"https://mcp.example.com\"; they add /mcp.\nIts host may stand in a Host header, and pages of its origin may call.",
        |c, v| {
            let text = v.text()?;
            c.mcp_public_url = if text.is_empty() { None } else { Some(address(&text)?) };
            Ok(())
        },
    ),
    (
        "odoo",
        "url",
        "\"http://127.0.0.1:8069\"",
        "Where the MCP server calls Odoo, with the API key of whoever calls it.",
        |c, v| put(&mut c.odoo_url, address(&v.text()?)?),
    ),
    (
        "odoo",
        "database",
        "\"\"",
        "Which of that Odoo's databases; \"\": the one that the address leads to.",
        |c, v| put(&mut c.odoo_database, Some(v.text()?).filter(|name| !name.is_empty())),
    ),
    (
        "log",
        "format",
        "\"text\"",
        "How log lines look: \"text\" for people, \"json\" for programs.",
        |c, v| {
            c.log_format = match v.text()?.as_str() {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err("expected \"text\" or \"json\"".to_owned()),
            };
            Ok(())
        },
    ),
    (
        "log",
        "level",
        "\"info\"",
        "What is logged: error, warn, info, debug, trace, or a filter as RUST_LOG has it. RUST_LOG goes before this.",
        |c, v| {
            let text = v.text()?;
            let expected =
                |_| "expected a level such as \"info\" or \"info,webhook_dispatch=debug\"".to_owned();
            tracing_subscriber::EnvFilter::try_new(&text).map_err(expected)?;
            put(&mut c.log_level, text)
        },
    ),
];

pub(super) type Setter = fn(&mut Config, &Given) -> Result<(), String>;

/// A value from the file, or a text from the environment that is read as the setter needs it.
pub(super) enum Given {
    Toml(toml::Value),
    Text(String),
}

impl Given {
    fn text(&self) -> Result<String, String> {
        match self {
            Self::Text(text) | Self::Toml(toml::Value::String(text)) => Ok(text.clone()),
            Self::Toml(_) => Err("expected a text in quotes".to_owned()),
        }
    }

    fn truth(&self) -> Result<bool, String> {
        match self {
            Self::Toml(toml::Value::Boolean(truth)) => Ok(*truth),
            Self::Text(text) if text == "true" => Ok(true),
            Self::Text(text) if text == "false" => Ok(false),
            _ => Err("expected true or false".to_owned()),
        }
    }

    fn number(&self, least: u64, most: u64) -> Result<u64, String> {
        let number = match self {
            Self::Toml(toml::Value::Integer(number)) => u64::try_from(*number).ok(),
            Self::Text(text) => text.parse().ok(),
            Self::Toml(_) => None,
        };
        let fits = number.filter(|n| (least..=most).contains(n));
        fits.ok_or_else(|| format!("expected a whole number from {least} to {most}"))
    }

    fn texts(&self) -> Result<Vec<String>, String> {
        match self {
            Self::Text(text) => {
                Ok(text.split(',').map(|part| part.trim().to_owned()).filter(|p| !p.is_empty()).collect())
            }
            Self::Toml(toml::Value::Array(items)) => {
                items.iter().map(|item| Self::Toml(item.clone()).text()).collect()
            }
            Self::Toml(_) => Err("expected a list of texts".to_owned()),
        }
    }
}

fn set<T, E>(place: &mut T, value: Result<T, E>, expected: &str) -> Result<(), String> {
    *place = value.map_err(|_| format!("expected {expected}"))?;
    Ok(())
}

fn put<T>(place: &mut T, value: T) -> Result<(), String> {
    *place = value;
    Ok(())
}

/// An address without what would be a secret in a configuration, or be lost.
fn address(text: &str) -> Result<Url, String> {
    let is_plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    let expected = "expected an address such as https://odoo.example.com, without user, query and fragment";
    Url::parse(text).ok().filter(is_plain).ok_or_else(|| expected.to_owned())
}

fn network(text: &str) -> Result<IpNet, String> {
    webhook_model::address::parse_network(text).map_err(|error| error.to_string())
}

/// Keys that have no default: the example shows what they look like.
pub(super) const WITHOUT_DEFAULT: &[&str] =
    &["socket", "data_dir", "token_file", "tls_cert_file", "tls_key_file", "extra_ca_file"];

/// An annotated configuration file: every key, commented out, with its default.
pub fn example() -> String {
    let mut text = String::from(
        "# Configuration of mcp-webhookd, with every key. What is commented out shows the default, or an example where\n\
         # there is none. Variables MCP_WEBHOOKD_<SECTION>_<KEY> override this file, options override both.\n\
         # Look for faults with: mcp-webhookd --config FILE check-config\n",
    );
    let mut last = "";
    for (section, key, shown, meaning, _) in KEYS {
        if *section != last {
            text.push_str(&format!("\n[{section}]\n"));
            last = section;
        }
        let no_default = if WITHOUT_DEFAULT.contains(key) { " No default." } else { "" };
        let meaning = format!("{meaning}{no_default}").replace('\n', "\n# ");
        text.push_str(&format!("\n# {meaning}\n#{key} = {shown}\n"));
    }
    text
}
