//! The URL of an endpoint: parsed once, judged on its host, kept in the form in which it is sent.
//!
//! Parsers disagree on odd spellings, and a disagreement between the one that checks and the one that connects is an
//! open door. So odd spellings are refused, each with its reason, instead of being normalised.

use std::{fmt, net::IpAddr};

use url::{Host, Url};

use crate::{Invalid, InvalidKind, address::AddressPolicy, limits};

/// Which URLs are allowed.
#[derive(Debug, Clone, Default)]
pub struct UrlPolicy {
    /// `http://` too.
    pub allow_http: bool,
    /// For literal addresses; names are judged when they are resolved.
    pub addresses: AddressPolicy,
    /// The sidecar's own port, which no webhook may go to.
    pub own_port: u16,
}

/// Where to post. `Display` and `Debug` show scheme, host and port only: for Slack and the like the path is the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(Url);

impl EndpointUrl {
    /// Reads a URL as somebody typed it.
    ///
    /// # Errors
    /// [`InvalidKind::Url`] or [`InvalidKind::BlockedAddress`], on the field `url`.
    pub fn parse(text: &str, policy: &UrlPolicy) -> Result<Self, Invalid> {
        let url = Self::read(text, policy.allow_http)
            .map_err(|message| Invalid::new(InvalidKind::Url, "url", message))?;
        if policy.own_port != 0 && url.port() == policy.own_port {
            let message = format!("port {} is the sidecar's own; a webhook cannot go there", policy.own_port);
            return Err(Invalid::new(InvalidKind::Url, "url", message));
        }
        if let Some(address) = url.literal_address() {
            policy
                .addresses
                .check(address)
                .map_err(|blocked| Invalid::new(InvalidKind::BlockedAddress, "url", blocked.to_string()))?;
        }
        Ok(url)
    }

    /// Reads a URL that was checked before it was stored. The policy may have changed since; sending judges again.
    ///
    /// # Errors
    /// It is not one that could have been stored.
    pub fn from_stored(text: &str) -> Result<Self, Invalid> {
        Self::read(text, true).map_err(|message| Invalid::new(InvalidKind::Url, "url", message))
    }

    fn read(text: &str, allow_http: bool) -> Result<Self, String> {
        check_spelling(text, allow_http)?;
        let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
        // An empty user name is lost by the parser, and other parsers may split there in another way.
        if written_authority(text).contains('@') {
            return Err("holds a user name; put credentials into a header instead".to_owned());
        }
        if url.port() == Some(0) {
            return Err("port 0 cannot be connected to".to_owned());
        }
        let Some(host) = url.host() else { return Err("has no host".to_owned()) };
        check_host(&host, written_host(text))?;
        Ok(Self(url))
    }

    /// The whole URL, as it is sent.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The parsed URL.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// The host, lower-case; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The port, also where it is the scheme's default.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(0)
    }

    /// Host and port: what an error or a log line may say.
    pub fn host_port(&self) -> String {
        format!("{}:{}", self.host(), self.port())
    }

    /// Whether it begins with `http://`.
    pub fn is_plaintext(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// Whether both go to the same host and port, so that a secret meant for one is meant for the other.
    pub fn same_host_port(&self, other: &Self) -> bool {
        self.host() == other.host() && self.port() == other.port()
    }

    /// The address, where the host is one; `localhost` and names under it count as loopback (RFC 6761).
    pub fn literal_address(&self) -> Option<IpAddr> {
        match self.0.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(name) => is_localhost(name).then_some(IpAddr::from([127, 0, 0, 1])),
        }
    }
}

/// Whether a name means this machine, whatever a resolver says.
pub fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

fn check_spelling(text: &str, allow_http: bool) -> Result<(), String> {
    if text.len() > limits::URL_BYTES {
        return Err(format!("has {} bytes, {} are allowed", text.len(), limits::URL_BYTES));
    }
    if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic() || *c == '\\') {
        return Err(match odd {
            '\\' => "holds a backslash, which parsers read in different ways".to_owned(),
            c if c.is_ascii() => "holds white space or a control character".to_owned(),
            _ => "holds a character that is not ASCII; write the host in punycode and encode the path"
                .to_owned(),
        });
    }
    if text.contains('#') {
        return Err("holds a fragment (#), which is never sent".to_owned());
    }
    match text {
        _ if text.starts_with("https://") => Ok(()),
        _ if text.starts_with("http://") && allow_http => Ok(()),
        _ if text.starts_with("http://") => {
            Err("begins with http://; use https:// (the operator can open http with network.allow_http)"
                .to_owned())
        }
        _ => Err("must begin with https:// in lower case".to_owned()),
    }
}

/// The host as it was typed, without brackets' inside being touched.
fn written_host(text: &str) -> &str {
    let authority = written_authority(text);
    if authority.starts_with('[') {
        return authority.split_inclusive(']').next().unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

/// User name, host and port as they were typed.
fn written_authority(text: &str) -> &str {
    let behind_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    behind_scheme.split(['/', '?']).next().unwrap_or_default()
}

fn check_host(host: &Host<&str>, written: &str) -> Result<(), String> {
    match host {
        Host::Ipv4(address) if written != address.to_string() => {
            Err(format!("writes the address {address} in an odd way; write four decimal numbers"))
        }
        Host::Ipv4(_) | Host::Ipv6(_) => Ok(()),
        Host::Domain(name) if !name.eq_ignore_ascii_case(written) => {
            Err("writes its host in an odd way; write the plain name".to_owned())
        }
        Host::Domain(name) => check_name(name.strip_suffix('.').unwrap_or(name)),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.len() > 253 {
        return Err("has a host name of more than 253 characters".to_owned());
    }
    let is_label = |label: &str| {
        let fits = (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
        fits && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if !name.split('.').all(is_label) {
        return Err("has a host name that is not one (RFC 1123)".to_owned());
    }
    // `url` turns hosts whose last label is a number into addresses; what is left here would be read so by others.
    if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err("has a host name that ends in a number".to_owned());
    }
    Ok(())
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.host_port())
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn http() -> UrlPolicy {
        UrlPolicy { allow_http: true, own_port: 8170, ..UrlPolicy::default() }
    }

    #[track_caller]
    fn refused(text: &str, kind: InvalidKind) {
        let error = EndpointUrl::parse(text, &http()).expect_err(text);
        assert_eq!(error.kind, kind, "{text}: {error}");
        assert_eq!(error.field, "url");
    }

    #[test]
    fn odd_spellings_are_refused_at_save() {
        let long_label = format!("https://{}.com/", "a".repeat(64));
        let long_name = format!("https://{}com/", "a.".repeat(130));
        let long_url = format!("https://example.com/{}", "a".repeat(2048));
        for text in [
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://017700000001/",
            "http://0/",
            "http://0x/",
            "http://1.2.3/",
            "http://2852039166/",
            "http://0251.0376.0251.0376/",
            "http://169.254.43518/",
            "http://①②⑦.⓪.⓪.①/",
            "http://127。0。0。1/",
            "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
            "http://ex\u{202e}ample.com/",
            "http://a\0b.com/",
            "http://раypal.com/",
            " http://example.com/",
            "\nhttp://example.com/",
            "http://example.com/\t",
            "http://example.com@127.0.0.1/",
            "http://foo@evil.com:80@127.0.0.1/",
            "http://1.1.1.1 &@2.2.2.2# @3.3.3.3/",
            "http://user:pw@example.com/",
            "http://example.com\\@127.0.0.1/",
            "http://127.0.0.1#@example.com/",
            "http://example.com#@127.0.0.1/",
            "http://example.com;@127.0.0.1/",
            "http://127.0.0.1%2f@example.com/",
            "HTTP://EXAMPLE.COM/",
            "Https://example.com/",
            "file:///etc/passwd",
            "gopher://127.0.0.1:6379/_x",
            "ftp://example.com/",
            "data:text/plain,x",
            "javascript:1",
            "unix:/run/x",
            "ws://example.com/",
            "//example.com/",
            "example.com",
            "",
            "https://",
            "https:///x",
            "http://.",
            "http://..",
            "http://.com/",
            "http://example..com/",
            "http://-example.com/",
            "http://exa mple.com/",
            "http://[fe80::1%25eth0]/",
            "http://[127.0.0.1]/",
            "http://[::1",
            "http://[v1.fe80::a]/",
            "http://::1/",
            "http://example.com:0/",
            "http://example.com:8170/",
            "http://example.com:99999/",
            "https://exa%6dple.com:x/",
            &long_label,
            &long_name,
            &long_url,
        ] {
            refused(text, InvalidKind::Url);
        }
    }

    #[test]
    fn literal_addresses_and_localhost_are_judged_at_save() {
        for text in [
            "http://127.0.0.1/",
            "http://127.0.0.1:80/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://10.0.0.1/x",
            "http://169.254.169.254/latest/meta-data/",
            "http://localhost/",
            "http://LOCALHOST/",
            "http://localhost./",
            "http://foo.localhost/",
            "http://0.0.0.0/",
            "http://168.63.129.16/",
        ] {
            refused(text, InvalidKind::BlockedAddress);
        }
    }

    #[test]
    fn ordinary_urls_are_kept() {
        #[track_caller]
        fn check(text: &str, sent: &str, host_port: &str) {
            let url = EndpointUrl::parse(text, &http()).expect(text);
            assert_eq!((url.as_str(), url.host_port().as_str()), (sent, host_port));
            assert_eq!(EndpointUrl::from_stored(url.as_str()), Ok(url));
        }
        check("https://example.com", "https://example.com/", "example.com:443");
        check("https://Example.COM/Hook?x=1%20", "https://example.com/Hook?x=1%20", "example.com:443");
        check("http://example.com:8080/a", "http://example.com:8080/a", "example.com:8080");
        check("https://1.1.1.1/", "https://1.1.1.1/", "1.1.1.1:443");
        check(
            "https://[2606:4700:4700::1111]:8443/",
            "https://[2606:4700:4700::1111]:8443/",
            "[2606:4700:4700::1111]:8443",
        );
        check("https://xn--ypal-43d9g.com/", "https://xn--ypal-43d9g.com/", "xn--ypal-43d9g.com:443");
        check("https://my_host.example.com./x", "https://my_host.example.com./x", "my_host.example.com.:443");
        check("https://192.168.0.1.nip.io/", "https://192.168.0.1.nip.io/", "192.168.0.1.nip.io:443");
    }

    #[test]
    fn http_is_refused_where_it_is_not_open() {
        let error = EndpointUrl::parse("http://example.com/", &UrlPolicy::default()).unwrap_err();
        assert!(error.message.contains("allow_http"), "{error}");
    }

    #[test]
    fn nothing_shows_more_than_host_and_port() {
        let url =
            EndpointUrl::parse("https://hooks.slack.com/services/T0/CANARY?key=CANARY", &http()).unwrap();
        for shown in [format!("{url}"), format!("{url:?}"), url.host_port()] {
            assert!(!shown.contains("CANARY") && shown.contains("hooks.slack.com:443"), "{shown}");
        }
        for text in [
            "https://hooks.slack.com/CANARY#x",
            "http://127.0.0.1/CANARY",
            "ftp://x/CANARY",
            "https://a:b@x/CANARY",
        ] {
            let error = EndpointUrl::parse(text, &http()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("CANARY"), "{error:?}");
        }
    }

    #[test]
    fn another_port_is_another_place() {
        let url = |text: &str| EndpointUrl::from_stored(text).unwrap();
        assert!(url("https://a.example/x").same_host_port(&url("https://A.example:443/y?z")));
        assert!(!url("https://a.example/").same_host_port(&url("https://a.example:444/")));
        assert!(!url("https://a.example/").same_host_port(&url("https://b.example/")));
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_read_again_as_the_same(text in "https?://[-a-z0-9.:@\\[\\]%_/?#\\\\]{0,40}") {
            if let Ok(url) = EndpointUrl::parse(&text, &http()) {
                prop_assert_eq!(EndpointUrl::parse(url.as_str(), &http()).unwrap(), url);
            }
        }
    }
}
