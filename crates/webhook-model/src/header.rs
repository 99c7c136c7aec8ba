//! Custom headers of a subscription: few, plain, and none that the sender or HTTP itself owns.

use std::{collections::BTreeSet, fmt};

use crate::{Invalid, InvalidKind, limits};

/// Names and values in the order given; names in lower case. Values may be credentials, so `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CustomHeaders(Vec<(String, String)>);

/// Owned by HTTP or by the sender.
const FORBIDDEN: &[&str] = &[
    "host",
    "transfer-encoding",
    "connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "keep-alive",
    "accept-encoding",
    "cookie",
    "user-agent",
    "x-mcp-signature",
];
const FORBIDDEN_PREFIXES: &[&str] = &["content-", "proxy-", "webhook-"];

impl CustomHeaders {
    /// Reads pairs of name and value.
    ///
    /// # Errors
    /// [`InvalidKind::Header`] or [`InvalidKind::LimitExceeded`] on the field `headers`, naming the header, never its value.
    pub fn parse(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, Invalid> {
        let mut headers = Vec::new();
        let mut seen = BTreeSet::new();
        for (name, value) in pairs {
            let name = name.to_ascii_lowercase();
            check_name(&name)?;
            check_value(&name, &value)?;
            if !seen.insert(name.clone()) {
                return Err(refused(format!("{name} is given twice")));
            }
            headers.push((name, value));
        }
        if headers.len() > limits::HEADERS {
            let message = format!("{} headers, {} are allowed", headers.len(), limits::HEADERS);
            return Err(Invalid::new(InvalidKind::LimitExceeded, "headers", message));
        }
        Ok(Self(headers))
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn refused(message: String) -> Invalid {
    Invalid::new(InvalidKind::Header, "headers", message)
}

fn check_name(name: &str) -> Result<(), Invalid> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let shown: String = name.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
    if name.is_empty() || name.len() > limits::NAME_BYTES || !name.bytes().all(is_token) {
        return Err(refused(format!("{shown:?} is not a header name (RFC 9110 section 5.1)")));
    }
    let owned = FORBIDDEN.contains(&name) || FORBIDDEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    if owned { Err(refused(format!("{name} is set by the sender and cannot be given"))) } else { Ok(()) }
}

fn check_value(name: &str, value: &str) -> Result<(), Invalid> {
    let plain = value.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if !plain || value.trim() != value || value.is_empty() {
        return Err(refused(format!("the value of {name} must be visible ASCII with spaces only inside")));
    }
    if value.len() > limits::HEADER_VALUE_BYTES {
        return Err(refused(format!(
            "the value of {name} has more than {} bytes",
            limits::HEADER_VALUE_BYTES
        )));
    }
    Ok(())
}

impl fmt::Debug for CustomHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Result<CustomHeaders, Invalid> {
        CustomHeaders::parse([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn what_the_sender_owns_cannot_be_given() {
        for name in [
            "Host",
            "content-length",
            "Content-Type",
            "content-encoding",
            "Transfer-Encoding",
            "connection",
            "TE",
            "trailer",
            "upgrade",
            "expect",
            "keep-alive",
            "proxy-authorization",
            "proxy-connection",
            "Accept-Encoding",
            "cookie",
            "User-Agent",
            "webhook-id",
            "Webhook-Signature",
            "webhook-anything",
            "X-MCP-Signature",
            "",
            "a b",
            "a:b",
            "a\r\nb",
            "é",
        ] {
            assert_eq!(one(name, "x").unwrap_err().kind, InvalidKind::Header, "{name}");
        }
        for name in ["Authorization", "X-Api-Key", "x-host", "cookies", "hostname"] {
            assert!(one(name, "Bearer abc def").is_ok(), "{name}");
        }
    }

    #[test]
    fn values_are_visible_ascii_and_never_repeated() {
        for value in ["", " canary", "canary ", "can\r\nary", "can\0ary", "canaryé", "can\tary"] {
            let error = one("x-api-key", value).unwrap_err().to_string();
            assert!(value.is_empty() || !error.contains("can"), "{error}");
        }
        assert!(one("x-api-key", &"v".repeat(4097)).is_err());
        assert_eq!(format!("{:?}", one("X-Api-Key", "canary").unwrap()), "[\"x-api-key\"]");
    }

    #[test]
    fn each_name_once_and_not_too_many() {
        let pair = |name: &str| (name.to_owned(), "v".to_owned());
        assert!(CustomHeaders::parse([pair("x-a"), pair("X-A")]).is_err());
        let many = (0..33).map(|n| pair(&format!("x-{n}")));
        assert_eq!(CustomHeaders::parse(many).unwrap_err().kind, InvalidKind::LimitExceeded);
    }
}
