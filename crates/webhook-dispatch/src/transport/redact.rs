//! An endpoint knows its secrets and may repeat them. What it says goes into the log and on to Odoo, they do not.

use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use webhook_model::{CustomHeaders, SigningSecret};
use zeroize::Zeroizing;

/// A text that is shorter could be any word of an answer.
const SHORTEST: usize = 8;
/// What stands in its place. Not longer than any secret, so an answer cannot grow by it.
const REDACTED: &str = "[secret]";

/// What an answer must not hold: signing secret and header values, also as JSON, base64 or hex write them.
#[derive(Clone, Default)]
pub struct Secrets(Arc<[Zeroizing<String>]>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Those of one endpoint.
    pub fn of<'s>(secrets: impl IntoIterator<Item = &'s SigningSecret>, headers: &CustomHeaders) -> Self {
        let mut plain = Vec::new();
        for typed in secrets.into_iter().map(SigningSecret::expose) {
            plain.push(typed.to_owned());
            plain.extend(typed.strip_prefix("whsec_").map(str::to_owned));
        }
        headers.iter().for_each(|(_, value)| plain.extend(parts(value)));
        let mut forms: Vec<Zeroizing<String>> =
            plain.iter().flat_map(|text| forms(text)).map(Zeroizing::new).collect();
        forms.retain(|text| text.len() >= SHORTEST);
        // The longest first: a part of it must not be taken out of it.
        forms.sort_by_key(|text| std::cmp::Reverse(text.len()));
        forms.dedup();
        Self(forms.into())
    }

    /// `body` without them. Of one that was cut off the beginning of a secret may be left at the end: that goes, too.
    pub(super) fn redact(&self, mut body: String, truncated: bool) -> String {
        for secret in self.0.iter() {
            if body.contains(secret.as_str()) {
                body = body.replace(secret.as_str(), REDACTED);
            }
        }
        let begun = |secret: &Zeroizing<String>| {
            // As bytes: a password may hold characters of several, and a cut inside one is no text.
            let (body, secret) = (body.as_bytes(), secret.as_bytes());
            (SHORTEST..secret.len()).rev().find(|length| body.ends_with(&secret[..*length]))
        };
        if truncated && let Some(length) = self.0.iter().filter_map(begun).max() {
            body.truncate(body.len() - length);
            body.push_str(REDACTED);
        }
        body
    }
}

/// A header's value, what stands behind a scheme such as `Bearer` in it, and what `Basic` hides.
fn parts(value: &str) -> Vec<String> {
    let mut parts = vec![value.to_owned()];
    if let Some((scheme, token)) = value.split_once(' ') {
        parts.push(token.to_owned());
        let decoded = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some(pair) = decoded.filter(|_| scheme.eq_ignore_ascii_case("basic")) {
            parts.extend(pair.split_once(':').map(|(_, password)| password.to_owned()));
            parts.push(pair);
        }
    }
    parts
}

/// As it is, and as programs usually write it where it does not stand for itself.
fn forms(text: &str) -> [String; 4] {
    let quoted = serde_json::Value::from(text).to_string();
    let hex = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    // Padding, and the last character before it, depend on what follows.
    let encoded = STANDARD.encode(text);
    let encoded = encoded[..text.len() / 3 * 4].to_owned();
    [text.to_owned(), quoted.trim_matches('"').to_owned(), encoded, hex]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_c2VjcmV0LW9mLXRoZS1lbmRwb2ludA==";

    fn secrets() -> Secrets {
        let basic = format!("Basic {}", STANDARD.encode("user:pass\"word:1"));
        let headers =
            [("authorization", "Bearer s3cr3t-token"), ("x-auth", basic.as_str()), ("x-short", "true")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Secrets::of(Some(&SigningSecret::parse(SECRET).unwrap()), &CustomHeaders::parse(headers).unwrap())
    }

    #[test]
    fn what_is_echoed_is_redacted_in_every_usual_form() {
        #[track_caller]
        fn check(body: &str, expected: &str) {
            assert_eq!(secrets().redact(body.to_owned(), false), expected);
        }
        check("Bearer s3cr3t-token, s3cr3t-token, true", "[secret], [secret], true");
        check(&format!("key={SECRET}&"), "key=[secret]&");
        check(&SECRET[6..], "[secret]");
        check("bad password pass\"word:1 of user:pass\"word:1", "bad password [secret] of [secret]");
        check(r#"{"got": "pass\"word:1"}"#, r#"{"got": "[secret]"}"#);
        check(&format!("{}.", STANDARD.encode("s3cr3t-token")), "[secret].");
        check("733363723374 2d746f6b656e", "733363723374 2d746f6b656e");
        check("7333637233742d746f6b656e", "[secret]");
        check("nothing here", "nothing here");
    }

    #[test]
    fn a_secret_that_the_limit_cuts_in_two_is_gone_as_well() {
        let cut = |body: &str, truncated| secrets().redact(body.to_owned(), truncated);
        assert_eq!(cut("x s3cr3t-to", true), "x [secret]");
        assert_eq!(cut("x Bearer s3cr3t-to", true), "x [secret]");
        assert_eq!(cut("x s3cr3t-to", false), "x s3cr3t-to");
        assert_eq!(cut("x s3cr3t", true), "x s3cr3t", "seven letters could be any word");
    }

    #[test]
    fn a_password_that_is_not_ascii_is_cut_between_its_characters() {
        let basic = format!("Basic {}", STANDARD.encode("user:pässwörter"));
        let headers = CustomHeaders::parse([("authorization".to_owned(), basic)]).unwrap();
        let cut = |body: &str| Secrets::of(None, &headers).redact(body.to_owned(), true);
        assert_eq!(cut("nothing of it, ä"), "nothing of it, ä");
        assert_eq!(cut("x user:pässwö"), "x [secret]");
    }
}
