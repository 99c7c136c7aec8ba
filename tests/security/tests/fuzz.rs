//! What reads hostile input, fuzzed: it answers, never panics, and what it lets through is what it promises.
//!
//! `just test` gives each target 2 s, `just fuzz` as long as wanted. A finding goes into `corpus/` as a file.

use std::{net::IpAddr, time::Instant};

use serde_json::{Value, json};
use webhook_dispatch::template::{Effort, Template};
use webhook_model::{
    CustomHeaders, Dialect, EndpointUrl, Millis, address::AddressPolicy, decide, endpoint_url::UrlPolicy,
    json, limits,
};
use webhook_security::mutate::{Corpus, Recipe, time};
use webhook_tests::Running;

const URL_WORDS: &[&str] = &[
    "https://",
    "http://",
    "@",
    ":",
    "/",
    "?",
    "#",
    "\\",
    "[",
    "]",
    "%",
    ".",
    "..",
    "127.0.0.1",
    "0x7f",
    "0177",
    "::1",
    "::ffff:",
    "localhost",
    "xn--",
    "\u{3002}",
    "\u{ad}",
    "①",
    "\0",
    "\r\n",
    "\t",
    " ",
    ":0",
    ":443",
    "%00",
    "%2f",
];

/// What is let through goes where it says, for another parser too, and to no address that is written and forbidden.
#[test]
fn urls() {
    let corpus = Corpus::read("url", URL_WORDS);
    let policy = UrlPolicy::default();
    let check = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let Ok(url) = EndpointUrl::parse(&text, &policy) else { return };
        assert!(text.is_ascii() && text.starts_with("https://") && text.len() <= limits::URL_BYTES);
        let other: http::Uri = url.as_str().parse().expect("another parser reads it");
        assert_eq!(other.scheme_str(), Some("https"));
        assert_eq!(other.host().expect("a host"), url.host(), "{text:?}");
        assert_eq!(other.port_u16().unwrap_or(443), url.port(), "{text:?}");
        assert!(!other.authority().expect("an authority").as_str().contains('@'), "{text:?}");
        // As it was typed, too, where the other parser reads that at all (`url` encodes characters such as ").
        if let Ok(typed) = text.parse::<http::Uri>() {
            let host = typed.host().expect("a host");
            assert!(host.eq_ignore_ascii_case(url.host()) || url.host().starts_with('['), "{text:?}");
        }
        let bare = url.host().trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            AddressPolicy::default().check(address).expect("a public address");
        }
        EndpointUrl::from_stored(url.as_str()).expect("what is stored can be read again");
    };
    corpus.files().iter().for_each(|file| check(file));
    bolero::check!()
        .with_type::<Recipe>()
        .with_test_time(time())
        .for_each(|recipe| check(&corpus.cook(recipe)));
}

const HEADER_WORDS: &[&str] =
    &["\r\n", "\n", "\0", ": ", "host", "content-", "proxy-", "webhook-", "é", "\t", " ", "x-a", "\u{7f}"];

/// What is let through is a header that HTTP can carry, and none that the sender owns.
#[test]
fn headers() {
    let corpus = Corpus::read("headers", HEADER_WORDS);
    let check = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let pairs = text.split('\n').filter_map(|line| line.split_once(": "));
        let Ok(headers) =
            CustomHeaders::parse(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
        else {
            return;
        };
        for (name, value) in headers.iter() {
            let name: http::HeaderName = name.parse().expect("a header name");
            http::HeaderValue::from_str(value).expect("a header value");
            assert!(
                value.is_ascii() && value.trim() == value && !value.contains(['\r', '\n', '\0']),
                "{value:?}"
            );
            let owned =
                ["content-", "webhook-", "proxy-"].iter().any(|prefix| name.as_str().starts_with(prefix));
            assert!(!owned && name != "host" && name != "transfer-encoding" && name != "cookie", "{name}");
        }
    };
    corpus.files().iter().for_each(|file| check(file));
    bolero::check!()
        .with_type::<Recipe>()
        .with_test_time(time())
        .for_each(|recipe| check(&corpus.cook(recipe)));
}

const DATE_WORDS: &[&str] =
    &["GMT", "Sun, ", "9999", "1e300", "inf", "nan", "-", "99999999999999999999", "1970", ":", " "];

/// However long it asks for, the next attempt is within a day and the jitter, and not before the plan.
#[test]
fn retry_after() {
    let corpus = Corpus::read("retry_after", DATE_WORDS);
    let now = Millis(1_800_000_000_000);
    let check = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        for failed in [1, 5, 20, u32::MAX] {
            let next = decide::next_attempt_at(failed, Some(&text), now, decide::Jitter(0.5));
            assert!(next > now && next.since(now) <= limits::RETRY_AFTER.mul_f64(1.2), "{text:?}: {next:?}");
            assert!(next >= decide::next_attempt_at(failed, None, now, decide::Jitter(0.0)), "{text:?}");
        }
    };
    corpus.files().iter().for_each(|file| check(file));
    bolero::check!()
        .with_type::<Recipe>()
        .with_test_time(time())
        .for_each(|recipe| check(&corpus.cook(recipe)));
}

const TEMPLATE_WORDS: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "{{-",
    "-%}",
    " if ",
    " else ",
    " endif ",
    " for a in records ",
    " endfor ",
    " with ",
    " as ",
    " endwith ",
    "include",
    "record",
    "records",
    ".name",
    " | json",
    " | raw",
    "\"",
    "\\",
    "1",
    "[",
    "]",
    "(",
    ")",
    "{{ record.name }}",
    "{% for a in records %}",
    "{% endfor %}",
    "é",
    "\u{2028}",
];

/// A template that was let through renders, or fails with a reason; in bounded time, to valid JSON of bounded size.
#[test]
fn templates() {
    let corpus = Corpus::read("template", TEMPLATE_WORDS);
    let record =
        json!({"id": 7, "name": "x\",\"admin\":true,\"y\":\"<!channel>", "lines": [1, 2, 3], "none": null});
    let event = json!({"event_id": "e", "model": "m", "event_type": "create", "record_ids": (1..50).collect::<Vec<_>>(),
        "user_id": null, "timestamp": "t", "records": vec![record; 20]});
    let check = |bytes: &[u8]| {
        let source = json!({"text": String::from_utf8_lossy(bytes)});
        for dialect in [Dialect::Plain, Dialect::Slack, Dialect::Discord, Dialect::Teams, Dialect::GoogleChat]
        {
            let started = Instant::now();
            if let Ok(template) = Template::compile(&source, dialect, None)
                && let Ok(text) = template.render(&event, Effort::Full)
            {
                let payload: Value = serde_json::from_str(&text).expect("a payload is JSON");
                assert_eq!(
                    payload.as_object().map(serde_json::Map::len),
                    Some(1),
                    "no key was injected: {payload}"
                );
            }
            assert!(started.elapsed().as_secs() < 10, "{source}");
        }
    };
    corpus.files().iter().for_each(|file| check(file));
    bolero::check!()
        .with_type::<Recipe>()
        .with_test_time(time())
        .for_each(|recipe| check(&corpus.cook(recipe)));
}

const JSON_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "true",
    "1e999",
    "-0",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "\"id\"",
    "\"method\"",
    "\"params\"",
    "\"jsonrpc\":\"2.0\"",
    "\"event.submit\"",
    "\"subscription.sync\"",
    "\"url\"",
    "\"headers\"",
    "\"secret\"",
    "[[[[[[[[",
    "{\"a\":",
    "\0",
    "\u{feff}",
];

/// Junk gets an answer in JSON-RPC's own form, or HTTP 400, and the next call works.
#[tokio::test(flavor = "multi_thread")]
async fn rpc() {
    let corpus = Corpus::read("rpc", JSON_WORDS);
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Running::start(folder.path(), &[]).await;
    let runtime = tokio::runtime::Handle::current();
    let check = |bytes: &[u8]| {
        if let Ok(text) = std::str::from_utf8(bytes)
            && let Ok(value) = json::parse(text)
        {
            assert!(json::same(&value, &value) && !value.to_string().contains("\\u0000"));
        }
        let answer = runtime.block_on(async {
            let sent = sidecar.post(String::from_utf8_lossy(bytes)).send().await.expect("an answer");
            let status = sent.status().as_u16();
            (status, sent.text().await.expect("a body"))
        });
        let shape: Value = serde_json::from_str(&answer.1).unwrap_or_else(|_| panic!("{answer:?}"));
        assert!(matches!(answer.0, 200 | 400) && (shape.is_object() || shape.is_array()), "{answer:?}");
        assert!(!answer.1.contains("please report it"), "nothing panics inside: {answer:?}");
    };
    tokio::task::block_in_place(|| {
        corpus.files().iter().for_each(|file| check(file));
        let check = std::panic::AssertUnwindSafe(check); // the sidecar stays what it is after a finding
        bolero::check!()
            .with_type::<Recipe>()
            .with_test_time(time())
            .for_each(|recipe| (*check)(&corpus.cook(recipe)));
    });
    assert!(sidecar.call("system.info", json!({})).await.is_ok());
    sidecar.stop().await;
}
