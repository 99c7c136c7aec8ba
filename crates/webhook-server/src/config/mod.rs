//! The configuration: defaults, a TOML file, environment variables, options, each over the one before.
//!
//! All faults of the file are reported at once, with line and column; unknown keys are faults.

mod keys;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;
use url::Url;

pub use self::keys::example;
use self::keys::{Given, KEYS};

/// Everything that can be configured. The defaults need no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `[server] listen`: address and port; port 0 picks a free one.
    pub listen: SocketAddr,
    /// `[server] socket`; none: `socket` in `$RUNTIME_DIRECTORY`, where that is set; empty: none at all.
    pub socket: Option<PathBuf>,
    /// `[server] data_dir`; none: see [`crate::files::DataDir::choose`].
    pub data_dir: Option<PathBuf>,
    /// `[server] token_file`; none: `token` in the data directory.
    pub token_file: Option<PathBuf>,
    /// `[server] allowed_hosts`: names that a `Host` header may carry besides the listener's own.
    pub allowed_hosts: Vec<String>,
    /// `[server] tls_cert_file`: PEM, the certificate and its chain.
    pub tls_cert_file: Option<PathBuf>,
    /// `[server] tls_key_file`: PEM, the certificate's private key.
    pub tls_key_file: Option<PathBuf>,
    /// `[server] allow_plaintext`: a listener that is not loopback may do without TLS.
    pub allow_plaintext: bool,
    /// `[network] allow_http`: endpoints may be `http://`.
    pub allow_http: bool,
    /// `[network] allow_networks`: CIDRs that the address guard lets through.
    pub allow_networks: Vec<IpNet>,
    /// `[network] extra_ca_file`: PEM, certificates to trust besides the system's.
    pub extra_ca_file: Option<PathBuf>,
    /// `[dispatch] max_in_flight`: second and further slots of all endpoints together.
    pub max_in_flight: usize,
    /// `[retention] days`: how long deliveries that are over are kept, and ids remembered.
    pub retention: Duration,
    /// `[retention] size_mb`: when deliveries take more, the oldest that are over and known to Odoo go; none: no limit (only in tests).
    pub retention_bytes: Option<u64>,
    /// `[retention] unpulled_days`: how long outcomes are kept that Odoo has not pulled, whatever the other two say.
    pub unpulled: Duration,
    /// `[mcp] listen`: address and port of the MCP server; none: there is none.
    pub mcp_listen: Option<SocketAddr>,
    /// `[mcp] public_url`: how clients reach it, where that is another address.
    pub mcp_public_url: Option<Url>,
    /// `[odoo] url`: where the MCP server calls Odoo.
    pub odoo_url: Url,
    /// `[odoo] database`; none: the one that the address leads to.
    pub odoo_database: Option<String>,
    /// `[log] format`.
    pub log_format: LogFormat,
    /// `[log] level`: a filter as `RUST_LOG` has it; that variable goes before it.
    pub log_level: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8170)),
            socket: None,
            data_dir: None,
            token_file: None,
            allowed_hosts: Vec::new(),
            tls_cert_file: None,
            tls_key_file: None,
            allow_plaintext: false,
            allow_http: false,
            allow_networks: Vec::new(),
            extra_ca_file: None,
            max_in_flight: 256,
            retention: days(30),
            retention_bytes: Some(10_000_000_000),
            unpulled: days(90),
            mcp_listen: None,
            mcp_public_url: None,
            odoo_url: Url::parse("http://127.0.0.1:8069").expect("it is one"),
            odoo_database: None,
            log_format: LogFormat::Text,
            log_level: "info".to_owned(),
        }
    }
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 60 * 60)
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct Fault {
    /// `line 3, column 1`, or the name of the variable or option.
    pub place: String,
    /// What is wrong and what is expected.
    pub message: String,
}

impl Config {
    /// Reads a file's text over what is there; what has no fault is taken.
    ///
    /// # Errors
    /// Every fault in it, from its first line to its last.
    pub fn read_toml(&mut self, text: &str) -> Result<(), Vec<Fault>> {
        let mut faults = self.take_toml(text);
        faults.sort_by_key(|(offset, _)| *offset);
        let faults: Vec<Fault> = faults
            .into_iter()
            .map(|(offset, message)| Fault { place: place(text, offset), message })
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Takes a file's text; its faults, each with its offset.
    fn take_toml(&mut self, text: &str) -> Vec<(usize, String)> {
        type Section = std::collections::BTreeMap<Spanned<String>, Spanned<toml::Value>>;
        let sections: std::collections::BTreeMap<Spanned<String>, Spanned<toml::Value>> =
            match toml::from_str(text) {
                Ok(sections) => sections,
                Err(error) => {
                    return vec![(error.span().map_or(0, |span| span.start), error.message().to_owned())];
                }
            };
        // The sections again, each key with its place.
        let spanned: std::collections::BTreeMap<String, Section> = toml::from_str(text).unwrap_or_default();
        let mut faults = Vec::new();
        for (section, value) in &sections {
            let name = section.get_ref();
            if !KEYS.iter().any(|(known, ..)| known == name) {
                let known = "server, network, dispatch, retention, mcp, odoo and log";
                faults.push((section.span().start, format!("unknown section [{name}]; there are {known}")));
                continue;
            }
            if !value.get_ref().is_table() {
                faults.push((value.span().start, format!("expected a section [{name}]")));
                continue;
            }
            for (key, value) in spanned.get(name).into_iter().flatten() {
                faults.extend(match KEYS.iter().find(|(s, k, ..)| s == name && k == key.get_ref()) {
                    None => Some((key.span().start, format!("unknown key {} in [{name}]", key.get_ref()))),
                    Some((.., setter)) => setter(self, &Given::Toml(value.get_ref().clone()))
                        .err()
                        .map(|message| (value.span().start, format!("{}: {message}", key.get_ref()))),
                });
            }
        }
        faults
    }

    /// Reads `MCP_WEBHOOKD_<SECTION>_<KEY>` variables over what is there.
    ///
    /// # Errors
    /// Every fault in them.
    pub fn read_environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), Vec<Fault>> {
        let mut faults = Vec::new();
        for (name, value) in variables {
            let Some(rest) = name.strip_prefix("MCP_WEBHOOKD_") else { continue };
            let key =
                KEYS.iter().find(|(section, key, ..)| rest == format!("{section}_{key}").to_uppercase());
            let Some((.., setter)) = key else {
                let message = "is not a setting; check its spelling, or unset it".to_owned();
                faults.push(Fault { place: name, message });
                continue;
            };
            if let Err(message) = setter(self, &Given::Text(value)) {
                faults.push(Fault { place: name, message });
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// What can only be judged on the whole.
    ///
    /// # Errors
    /// Every fault.
    pub fn check(&self) -> Result<(), Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |message: String| faults.push(Fault { place: "[server]".to_owned(), message });
        if self.tls_cert_file.is_some() != self.tls_key_file.is_some() {
            fault("tls_cert_file and tls_key_file go together; give both, or neither".to_owned());
        }
        let is_open = |listen: SocketAddr| {
            !listen.ip().is_loopback() && self.tls_cert_file.is_none() && !self.allow_plaintext
        };
        let open = |listen: SocketAddr| {
            format!(
                "listen = \"{listen}\" is reachable from other machines without TLS; give tls_cert_file and tls_key_file, \
                 listen on loopback, or set allow_plaintext = true if a proxy in front does TLS"
            )
        };
        if is_open(self.listen) {
            fault(open(self.listen));
        }
        if let Some(listen) = self.mcp_listen.filter(|listen| is_open(*listen)) {
            faults.push(Fault { place: "[mcp]".to_owned(), message: open(listen) });
        }
        if self.odoo_url.scheme() == "http" && !is_loopback(&self.odoo_url) && !self.allow_plaintext {
            faults.push(Fault {
                place: "[odoo]".to_owned(),
                message:
                    "url: API keys would go through the network as they are; give an https address, or set \
                          [server] allow_plaintext = true where the network is trusted"
                        .to_owned(),
            });
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn place(text: &str, offset: usize) -> String {
    let before = &text[..offset.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!("line {line}, column {column}")
}

#[cfg(test)]
mod tests {
    use super::{keys::WITHOUT_DEFAULT, *};

    fn from_toml(text: &str) -> Result<Config, Vec<Fault>> {
        let mut config = Config::default();
        config.read_toml(text).map(|()| config)
    }

    #[test]
    fn a_file_sets_what_it_names_and_nothing_else() {
        let text = "[server]\nlisten = \"127.0.0.1:0\"\n[network]\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n[retention]\ndays = 7\n[log]\nformat = \"json\"\n";
        let config = from_toml(text).unwrap();
        let expected = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            allow_http: true,
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
            retention: days(7),
            log_format: LogFormat::Json,
            ..Config::default()
        };
        assert_eq!(config, expected);
        assert_eq!(from_toml("").unwrap(), Config::default());
    }

    #[test]
    fn the_example_shows_the_defaults_and_every_line_of_it_is_valid() {
        let is_key = |line: &str| line.starts_with('#') && !line.starts_with("# ");
        let uncommented = |wanted: &dyn Fn(&str) -> bool| {
            let lines = example();
            let lines =
                lines.lines().map(|line| if is_key(line) && wanted(line) { &line[1..] } else { line });
            lines.collect::<Vec<_>>().join("\n")
        };
        let has_default =
            |line: &str| !WITHOUT_DEFAULT.iter().any(|key| line.starts_with(&format!("#{key} ")));
        assert_eq!(from_toml(&uncommented(&has_default)).unwrap(), Config::default());
        let all = from_toml(&uncommented(&|_| true)).unwrap();
        assert!(all.data_dir.is_some() && all.extra_ca_file.is_some() && all.tls_key_file.is_some());
        assert_eq!(example().lines().filter(|line| is_key(line)).count(), KEYS.len());
    }

    #[test]
    fn all_faults_come_at_once_with_their_places() {
        let text = "[server]\nlisten = 5\ntyop = 1\n[nettwork]\n[dispatch]\nmax_in_flight = 0\n[network]\nallow_networks = [\"0.0.0.0/0\"]\n";
        let faults: Vec<String> = from_toml(text).unwrap_err().iter().map(ToString::to_string).collect();
        let starts: Vec<&str> = faults.iter().filter_map(|f| f.split(':').next()).collect();
        assert_eq!(
            starts,
            [
                "line 2, column 10",
                "line 3, column 1",
                "line 4, column 2",
                "line 6, column 17",
                "line 8, column 18"
            ],
            "{faults:#?}"
        );
        let broken = from_toml("[server\n").unwrap_err();
        assert_eq!(broken.len(), 1);
    }

    #[test]
    fn variables_override_and_a_misspelt_one_is_a_fault() {
        let mut config = Config::default();
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let variables = [
            set("MCP_WEBHOOKD_NETWORK_ALLOW_NETWORKS", "127.0.0.0/8, 10.1.0.0/16"),
            set("MCP_WEBHOOKD_DISPATCH_MAX_IN_FLIGHT", "9"),
            set("PATH", "x"),
        ];
        config.read_environment(variables.into_iter()).unwrap();
        assert_eq!((config.allow_networks.len(), config.max_in_flight), (2, 9));
        let faults =
            config.read_environment([set("MCP_WEBHOOKD_NETWORK_ALOW_HTTP", "true")].into_iter()).unwrap_err();
        assert_eq!(faults[0].place, "MCP_WEBHOOKD_NETWORK_ALOW_HTTP");
    }

    #[test]
    fn keys_go_to_odoo_in_the_clear_only_where_that_was_said() {
        let to = |url: &str| Config { odoo_url: Url::parse(url).unwrap(), ..Config::default() };
        for url in
            ["http://127.0.0.1:8069", "http://[::1]:8069", "http://localhost", "https://odoo.example.com"]
        {
            assert_eq!(to(url).check(), Ok(()), "{url}");
        }
        assert_eq!(to("http://odoo.example.com").check().unwrap_err()[0].place, "[odoo]");
        let said = Config { allow_plaintext: true, ..to("http://odoo.example.com") };
        assert_eq!(said.check(), Ok(()));
        for text in ["ftp://x", "http://u:p@x", "http://x/?a=b", "x"] {
            let faults = from_toml(&format!("[odoo]\nurl = \"{text}\"")).unwrap_err();
            assert!(faults[0].message.starts_with("url: "), "{text}");
        }
        let open = Config { mcp_listen: Some("0.0.0.0:1".parse().unwrap()), ..Config::default() };
        assert_eq!(open.check().unwrap_err()[0].place, "[mcp]");
    }

    #[test]
    fn a_public_listener_needs_tls_or_an_explicit_word() {
        let mut config = Config { listen: "0.0.0.0:8170".parse().unwrap(), ..Config::default() };
        assert!(config.check().unwrap_err()[0].message.contains("allow_plaintext"));
        config.allow_plaintext = true;
        assert_eq!(config.check(), Ok(()));
        config =
            Config { listen: config.listen, tls_cert_file: Some("cert.pem".into()), ..Config::default() };
        assert!(config.check().unwrap_err()[0].message.contains("go together"));
        config.tls_key_file = Some("key.pem".into());
        assert_eq!(config.check(), Ok(()));
    }
}
