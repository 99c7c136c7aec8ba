//! Hostile endpoints: bounded memory and time, and what is kept of their answers is harmless text.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use webhook_security::{
    certificates::{Authority, VALID},
    endpoint::{Behaviour, Endpoints, Greeting, header},
    names::{Names, Says},
    namespace,
    report::{self, Class},
    sidecar::{Settings, Sidecar},
    subscription,
};

/// What an attempt may take beyond its own limit on a busy machine.
const SLACK: Duration = Duration::from_secs(8);
/// What all of them together may add to the process, in kB. One kept answer has 64 kB.
const GROWTH: u64 = 64 << 10;
const TIMEOUT_S: u64 = 3;
/// What every endpoint here knows, and some repeat.
const SECRET: &str = "whsec_ZWNobyBtZSBpZiB5b3UgY2FuLCBmcmllbmQ=";
const KEY: &str = "k-0123456789abcdef-\"quoted\"";

/// One way to misbehave.
struct Case {
    what: &'static str,
    behaviour: Behaviour,
    status: &'static str,
    kind: Option<&'static str>,
    look: fn(&Value),
}

fn case(what: &'static str, behaviour: Behaviour, status: &'static str, kind: Option<&'static str>) -> Case {
    Case { what, behaviour, status, kind, look: |_| () }
}

fn answers(head: &str, body: &[u8]) -> Behaviour {
    Behaviour::Answers([head.as_bytes(), b"\r\n\r\n", body].concat())
}

fn text(attempt: &Value) -> &str {
    attempt["response_body"].as_str().expect("a kept answer is a text")
}

fn is_cut(attempt: &Value) {
    assert_eq!(attempt["response_truncated"], true);
    assert!(text(attempt).len() > 60_000 && text(attempt).len() <= 64 << 10, "{}", text(attempt).len());
}

const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close";

/// Gzip of 200 MB of zeros: one deflate block says "repeat" again and again.
fn bomb() -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    out.extend([0xec, 0xc1, 1, 1]);
    out.extend(std::iter::repeat_n(0u8, 194_000));
    out
}

fn cases() -> Vec<Case> {
    let mut all = endless();
    all.extend(liars());
    all.extend(odd_bytes());
    all.extend(odd_heads());
    all.extend(echoes());
    all
}

/// Endpoints that repeat what they know.
fn echoes() -> Vec<Case> {
    let redacted = |what, behaviour| Case {
        look: |attempt| assert!(text(attempt).contains("[secret]"), "{attempt}"),
        ..case(what, behaviour, "success", None)
    };
    let chunked = |parts: &[&str]| {
        let chunks: String = parts.iter().map(|part| format!("{:x}\r\n{part}\r\n", part.len())).collect();
        answers(&format!("{OK}\r\ntransfer-encoding: chunked"), format!("{chunks}0\r\n\r\n").as_bytes())
    };
    let beyond = |text: &str| format!("{}{text}", "x".repeat((64 << 10) - text.len() / 2));
    vec![
        redacted("an echo of the signing secret", answers(OK, SECRET.as_bytes())),
        redacted("an echo of a header's value", answers(OK, KEY.as_bytes())),
        redacted("an echo in JSON", answers(OK, json!({"you sent": KEY}).to_string().as_bytes())),
        redacted("an echo in two chunks", chunked(&[&SECRET[..20], &SECRET[20..]])),
        redacted("an echo letter by letter", chunked(&SECRET.split_inclusive(|_| true).collect::<Vec<_>>())),
        redacted("an echo that the limit cuts in two", answers(OK, beyond(SECRET).as_bytes())),
        redacted(
            "an echo that breaks off",
            answers(&format!("{OK}\r\ncontent-length: 1000"), &SECRET.as_bytes()[..20]),
        ),
    ]
}

fn endless() -> Vec<Case> {
    let none = Duration::ZERO;
    let block = vec![b'x'; 64 << 10];
    let chunk = [format!("{:x}\r\n", block.len()).as_bytes(), &block, b"\r\n"].concat();
    let repeats =
        |head: &str, again: Vec<u8>, pause| Behaviour::Repeats(head.as_bytes().to_vec(), again, pause);
    let head = format!("{OK}\r\n\r\n");
    let chunked = format!("{OK}\r\ntransfer-encoding: chunked\r\n\r\n");
    let hint = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".to_vec();
    vec![
        Case { look: is_cut, ..case("endless body", repeats(&head, block, none), "success", None) },
        Case { look: is_cut, ..case("endless chunks", repeats(&chunked, chunk, none), "success", None) },
        case("endless tiny chunks", repeats(&chunked, b"1\r\nx\r\n".to_vec(), none), "success", None),
        case("endless 103", repeats("", hint.repeat(1000), none), "failed", None),
        case("endless 100", repeats("", b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000), none), "failed", None),
        case(
            "endless header",
            repeats("HTTP/1.1 200 OK\r\nx: ", vec![b'x'; 64 << 10], none),
            "failed",
            Some("protocol"),
        ),
        case(
            "endless headers",
            repeats("HTTP/1.1 200 OK\r\n", b"x: y\r\n".repeat(1000), none),
            "failed",
            Some("protocol"),
        ),
        case(
            "endless trailers",
            repeats(&format!("{chunked}0\r\n"), b"x: y\r\n".repeat(1000), none),
            "success",
            None,
        ),
        case("dripping status line", repeats("", b"H".to_vec(), Duration::from_millis(200)), "failed", None),
        case(
            "dripping headers",
            repeats("HTTP/1.1 200 OK\r\nx: ", b"y".to_vec(), Duration::from_millis(200)),
            "failed",
            Some("timeout"),
        ),
        case("dripping body", repeats(&head, b"y".to_vec(), Duration::from_millis(200)), "success", None),
        case("never answers", Behaviour::Hangs, "failed", Some("timeout")),
        case("never reads", Behaviour::NeverReads, "failed", Some("timeout")),
    ]
}

fn liars() -> Vec<Case> {
    let short = answers(&format!("{OK}\r\ncontent-length: 1000000000000"), b"short");
    let negative = answers(&format!("{OK}\r\ncontent-length: -1"), b"");
    let huge = answers(&format!("{OK}\r\ncontent-length: 99999999999999999999999"), b"");
    let two = answers(&format!("{OK}\r\ncontent-length: 1\r\ncontent-length: 2"), b"ab");
    let both =
        answers(&format!("{OK}\r\ncontent-length: 3\r\ntransfer-encoding: chunked"), b"1\r\na\r\n0\r\n\r\n");
    let wrap = answers(&format!("{OK}\r\ntransfer-encoding: chunked"), b"FFFFFFFFFFFFFFFF\r\nabc");
    let junk = answers(&format!("{OK}\r\ntransfer-encoding: chunked"), b"zz\r\nabc");
    let gzip = answers(&format!("{OK}\r\ncontent-encoding: gzip"), &bomb());
    let nested = answers(&format!("{OK}\r\ncontent-encoding: br, gzip, gzip"), &bomb());
    let early = |status: &str| {
        Behaviour::AnswersEarly(
            format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").into_bytes(),
        )
    };
    vec![
        case("longer than it is", short, "success", None),
        case("negative length", negative, "failed", Some("protocol")),
        case("a length that fits no integer", huge, "failed", Some("protocol")),
        case("two lengths", two, "failed", Some("protocol")),
        case("length and chunks", both, "success", None),
        case("a chunk of 2^64-1", wrap, "success", None),
        case("a chunk of junk", junk, "success", None),
        Case { look: is_cut, ..case("gzip bomb", gzip, "success", None) },
        Case { look: is_cut, ..case("bomb in a bomb", nested, "success", None) },
        case("early success", early("200 OK"), "success", None),
        case("early refusal", early("413 Too Large"), "failed", Some("http_status")),
    ]
}

fn odd_bytes() -> Vec<Case> {
    let binary: Vec<u8> = (0..=255).collect();
    let marks = "\u{202e}<script>alert(1)</script>\u{feff}=cmd|' /C calc'!A0";
    vec![
        Case {
            look: |attempt| assert!(!text(attempt).contains('\0') && text(attempt).contains('\u{fffd}')),
            ..case("every byte", answers(OK, &binary), "success", None)
        },
        Case {
            look: |attempt| assert_eq!(text(attempt), "\u{fffd}".repeat(1000)),
            ..case("NUL", answers(OK, &[0; 1000]), "success", None)
        },
        Case { look: is_cut, ..case("a million NULs", answers(OK, &vec![0; 1_000_000]), "success", None) },
        Case { look: is_cut, ..case("a million 0xff", answers(OK, &vec![0xff; 1_000_000]), "success", None) },
        case("surrogates in UTF-8", answers(OK, &[0xed, 0xa0, 0x80, 0xed, 0xb0, 0x80]), "success", None),
        Case {
            look: |attempt| assert!(text(attempt).contains("<script>")),
            ..case("HTML, marks and a formula, as text", answers(OK, marks.as_bytes()), "success", None)
        },
        case(
            "204 with a body",
            answers("HTTP/1.1 204 No Content\r\ncontent-length: 5", b"hello"),
            "success",
            None,
        ),
        case("200 without a body", answers(&format!("{OK}\r\ncontent-length: 0"), b""), "success", None),
    ]
}

fn odd_heads() -> Vec<Case> {
    let head = |line: &str| answers(&format!("{line}\r\nconnection: close\r\ncontent-length: 0"), b"");
    let many = format!("{OK}{}", "\r\nx: y".repeat(101));
    let long = |bytes: usize| format!("{OK}\r\ncontent-length: 0\r\nx: {}", "x".repeat(bytes));
    let mut all = vec![
        case("status 999", head("HTTP/1.1 999 Odd"), "failed", Some("http_status")),
        case("status 099", head("HTTP/1.1 099 Odd"), "failed", Some("protocol")),
        case("status 200 without a reason", head("HTTP/1.1 200"), "success", None),
        case("status 2000", head("HTTP/1.1 2000 OK"), "failed", Some("protocol")),
        case("status of letters", head("HTTP/1.1 abc OK"), "failed", Some("protocol")),
        case(
            "101 without being asked",
            head("HTTP/1.1 101 Switching Protocols\r\nupgrade: x"),
            "failed",
            None,
        ),
        case("garbage", Behaviour::Answers(b"garbage\r\n\r\n".to_vec()), "failed", Some("protocol")),
        case("nothing", Behaviour::Answers(Vec::new()), "failed", Some("protocol")),
        case("HTTP/2", Behaviour::Answers(b"\0\0\x12\x04\0\0\0\0\0".to_vec()), "failed", Some("protocol")),
        case("HTTP/0.9", Behaviour::Answers(b"<html>ok</html>".to_vec()), "failed", Some("protocol")),
        case("101 headers", answers(&many, b""), "failed", Some("protocol")),
        case("a header of 24 kB", answers(&long(24_000), b""), "success", None),
        // Beyond what a connection may hold of a head.
        case("a header of 300 kB", answers(&long(300_000), b""), "failed", Some("protocol")),
        case("a header with NUL", answers(&format!("{OK}\r\nx: a\0b"), b""), "failed", Some("protocol")),
        case("a folded header", answers(&format!("{OK}\r\nx: a\r\n b"), b""), "success", None),
        case(
            "300,000 heads of 103",
            Behaviour::Answers(
                [b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(300_000), format!("{OK}\r\n\r\n").into_bytes()]
                    .concat(),
            ),
            "",
            None,
        ),
    ];
    for value in [
        "1e300",
        "inf",
        "nan",
        "-1",
        "99999999999999999",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "\u{e9}",
        "0x10",
        "",
    ] {
        let head =
            format!("HTTP/1.1 503 No\r\nconnection: close\r\ncontent-length: 0\r\nretry-after: {value}");
        all.push(case("odd Retry-After", answers(&head, b""), "failed", Some("http_status")));
    }
    let head = format!(
        "HTTP/1.1 503 No\r\nconnection: close\r\ncontent-length: 0\r\nretry-after: {}",
        "9".repeat(24_000)
    );
    all.push(case("a Retry-After of 24 kB", answers(&head, b""), "failed", Some("http_status")));
    all
}

#[test]
fn no_endpoint_can_harm_the_sidecar() {
    namespace::inside("no_endpoint_can_harm_the_sidecar", || async {
        let (endpoints, authority) = (Endpoints::default(), Authority::default());
        endpoints.listen(443, Greeting::Tls(authority.certify(&["*.bed.test"], VALID).acceptor())).await;
        let names = Names::serve().await;
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, &authority.pem).unwrap();
        let settings = Settings::config(format!("[network]\nextra_ca_file = \"{}\"\n", ca.display()));
        let sidecar = Sidecar::start(folder.path(), &settings);
        warm_up(&sidecar, &names).await;
        let before = sidecar.memory("VmRSS:");
        let (started, events) = (Instant::now(), submit_all(&sidecar, &endpoints, &names).await);
        let cases = cases();
        assert_eq!(events.len(), cases.len());
        let mut class = Class::new("E. Hostile endpoints");
        for (case, event) in cases.iter().zip(&events) {
            let attempt = sidecar.outcome(event).await;
            judge(case, &attempt);
            class.held_case(case.what, outcome(&attempt));
        }
        let requests = endpoints.requests().len();
        class.add(
            "requests beyond one for each",
            Ok("none".to_owned()),
            requests.saturating_sub(events.len() + 1),
        );
        let took = started.elapsed();
        let (peak, output) = (sidecar.memory("VmHWM:"), sidecar.output());
        assert!(
            took < Duration::from_secs(TIMEOUT_S) + SLACK,
            "all at once, each within its own limit: {took:?}"
        );
        assert!(peak < before + GROWTH, "the memory grew from {before} kB to {peak} kB");
        assert!(!output.contains("panicked"), "{output}");
        eprintln!(
            "{} hostile endpoints at once: {took:?}, {before} kB before, {peak} kB at the peak",
            events.len()
        );
        for request in endpoints.requests() {
            assert_eq!(header(&request.head, "accept-encoding"), None, "nothing compressed is asked for");
        }
        class.held_case("memory of all at once", format!("grew by less than {} MiB", GROWTH >> 10));
        assert!(sidecar.stop().0.success());
        assert!(class.held(), "{class:#?}");
        report::write("hostile", &[class], &[]);
    });
}

/// In a few words, the same in every run.
fn outcome(attempt: &Value) -> String {
    match attempt["error"]["kind"].as_str() {
        Some(kind) => format!("ended as `{kind}`"),
        None if attempt["response_truncated"] == true => {
            "taken; its answer is kept in part, as text".to_owned()
        }
        None => "taken; its answer is kept as text".to_owned(),
    }
}

async fn warm_up(sidecar: &Sidecar, names: &Names) {
    names.put("warm.bed.test", Says::Addresses(vec!["1.1.1.1".parse().unwrap()]));
    let made = subscription("https://warm.bed.test/", json!({}));
    let made = sidecar.call("subscription.create", made).await.unwrap();
    let event = sidecar.submit(&made).await;
    assert_eq!(sidecar.outcome(&event).await["status"], "success");
}

/// All of them at once, each with a body of 200 kB that an endpoint may refuse to read.
async fn submit_all(sidecar: &Sidecar, endpoints: &Endpoints, names: &Names) -> Vec<String> {
    let mut events = Vec::new();
    for (index, case) in cases().into_iter().enumerate() {
        let name = format!("hostile-{index}.bed.test");
        names.put(&name, Says::Addresses(vec!["1.1.1.1".parse().unwrap()]));
        endpoints.put(&format!("/{index}"), case.behaviour);
        let large = json!({"text": "x".repeat(60_000)});
        let more = json!({"timeout_s": TIMEOUT_S, "payload_template": large, "secret": SECRET,
            "headers": {"x-api-key": KEY}});
        let made = subscription(&format!("https://{name}/{index}"), more);
        let made = sidecar.call("subscription.create", made).await.unwrap();
        events.push(sidecar.submit(&made).await);
    }
    events
}

fn judge(case: &Case, attempt: &Value) {
    let what = case.what;
    let kept = attempt["response_body"].as_str().unwrap_or_default();
    assert!(!kept.contains('\0') && kept.len() <= 64 << 10, "{what}");
    assert!(!kept.contains(&SECRET[..8]) && !kept.contains(&KEY[..8]), "{what}: {kept}");
    if !case.status.is_empty() {
        assert_eq!(attempt["status"], case.status, "{what}: {attempt}");
    }
    if let Some(kind) = case.kind {
        assert_eq!(attempt["error"]["kind"], kind, "{what}: {attempt}");
    }
    let took = attempt["duration_ms"].as_u64().unwrap_or(0);
    assert!(Duration::from_millis(took) < Duration::from_secs(TIMEOUT_S) + SLACK, "{what}: {took} ms");
    (case.look)(attempt);
}
