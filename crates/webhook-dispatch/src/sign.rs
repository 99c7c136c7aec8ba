//! The headers that tell an endpoint which event it gets, and that it comes from here.
//!
//! `webhook-id`, `webhook-timestamp` and `webhook-signature` are those of Standard Webhooks 1.0.0 (symmetric, `v1`);
//! `X-MCP-Signature` is the plain HMAC-SHA256 (RFC 2104) of the body under the secret as typed.

use std::ops::Range;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;
use webhook_model::{EventId, Millis, SigningSecret};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const STANDARD_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const BODY_SIGNATURE: HeaderName = HeaderName::from_static("x-mcp-signature");

/// The values of one attempt's headers stand in one buffer of this size: an HTTP client clones its headers several
/// times, and slices of a buffer are cloned without another one.
const VALUES: usize = 192;

/// Adds the headers of one attempt; the signatures only where there is a secret. While a secret is being replaced the
/// Standard Webhooks header holds the signatures of both, the new one first; `X-MCP-Signature` has room for one.
pub fn sign(headers: &mut HeaderMap, secrets: &[&SigningSecret], id: EventId, now: Millis, body: &[u8]) {
    let (id, seconds) = (id.to_string(), now.unix_seconds().to_string());
    let mut text = String::with_capacity(VALUES);
    let mut values = Vec::with_capacity(4);
    values.push((ID, add(&mut text, &id)));
    values.push((TIMESTAMP, add(&mut text, &seconds)));
    if let Some(newest) = secrets.first() {
        let signature = body_signature(newest.expose().as_bytes(), body);
        values.push((BODY_SIGNATURE, add(&mut text, &signature)));
        let signatures: Vec<String> = secrets
            .iter()
            .map(|secret| standard_signature(secret.standard_key(), &id, &seconds, body))
            .collect();
        values.push((STANDARD_SIGNATURE, add(&mut text, &signatures.join(" "))));
    }
    let text = Bytes::from(text);
    for (name, range) in values {
        // Hex, base64, digits and UUIDs are header values.
        if let Ok(value) = HeaderValue::from_maybe_shared(text.slice(range)) {
            headers.insert(name, value);
        }
    }
}

/// `sha256=<lower-case hex of HMAC-SHA256(key, body)>`
fn body_signature(key: &[u8], body: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(7 + 64);
    text.push_str("sha256=");
    for byte in mac(key, &[body]) {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// `v1,<base64 of HMAC-SHA256(key, "<id>.<timestamp>.<body>")>`
fn standard_signature(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    format!("v1,{}", STANDARD.encode(mac(key, &parts)))
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Adds a value to what the headers share; where it stands there.
fn add(text: &mut String, value: &str) -> Range<usize> {
    let start = text.len();
    text.push_str(value);
    start..text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(secret: Option<&str>, body: &[u8]) -> HeaderMap {
        let secret = secret.map(|text| SigningSecret::parse(text).unwrap());
        let mut headers = HeaderMap::new();
        let secrets: Vec<_> = secret.iter().collect();
        sign(&mut headers, &secrets, EventId::from_u128(5), Millis(1_614_265_330_999), body);
        headers
    }

    #[test]
    fn the_vectors_of_the_standard_webhooks_libraries_hold() {
        #[track_caller]
        fn check(secret: &str, id: &str, timestamp: &str, body: &str, expected: &str) {
            let secret = SigningSecret::parse(secret).unwrap();
            assert_eq!(standard_signature(secret.standard_key(), id, timestamp, body.as_bytes()), expected);
        }
        check(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        );
        check(
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            "1649367553",
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        );
    }

    #[test]
    fn the_library_of_the_standard_verifies_what_we_sign() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let library = standardwebhooks::Webhook::new(secret).unwrap();
        // The library looks at the real clock: it refuses what is older than five minutes.
        let now = crate::Clock::now(&crate::SystemClock);
        let mut headers = HeaderMap::new();
        sign(
            &mut headers,
            &[&SigningSecret::parse(secret).unwrap()],
            EventId::from_u128(5),
            now,
            br#"{"a":1}"#,
        );
        let mut old = headers.clone();
        library.verify(br#"{"a":1}"#, &old).unwrap();
        assert!(library.verify(br#"{"a":2}"#, &old).is_err());
        old.insert("webhook-id", "other".parse().unwrap());
        assert!(library.verify(br#"{"a":1}"#, &old).is_err());
    }

    #[test]
    fn the_plain_signature_is_that_of_rfc_4231() {
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(body_signature(b"Jefe", b"what do ya want for nothing?"), expected);
        let headers = signed(Some("0123456789abcdef"), b"{}");
        let text = headers["x-mcp-signature"].to_str().unwrap();
        assert!(text.len() == 7 + 64 && text == text.to_lowercase());
    }

    #[test]
    fn while_a_secret_is_replaced_the_library_takes_the_new_and_the_old_one() {
        let (new, old) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
        let secrets = [new, old].map(|text| SigningSecret::parse(text).unwrap());
        let mut headers = HeaderMap::new();
        let now = crate::Clock::now(&crate::SystemClock);
        sign(&mut headers, &[&secrets[0], &secrets[1]], EventId::from_u128(5), now, b"{}");
        for secret in [new, old] {
            standardwebhooks::Webhook::new(secret).unwrap().verify(b"{}", &headers).unwrap();
        }
        let alone = body_signature(new.as_bytes(), b"{}");
        assert_eq!(headers["x-mcp-signature"], alone.as_str());
        let both = headers["webhook-signature"].to_str().unwrap();
        assert_eq!(both.split(' ').filter(|part| part.starts_with("v1,")).count(), 2, "{both}");
    }

    #[test]
    fn without_a_secret_there_is_an_id_and_a_time_but_no_signature() {
        let headers = signed(None, b"{}");
        assert_eq!(headers["webhook-id"], "00000000-0000-0000-0000-000000000005");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        assert!(!headers.contains_key("webhook-signature") && !headers.contains_key("x-mcp-signature"));
    }
}
