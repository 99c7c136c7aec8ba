//! The sidecar's own listener: TLS, and a limit on everything that a caller may make it wait for or hold.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use webhook_security::{
    certificates::{Authority, VALID},
    sidecar::{Settings, Sidecar},
};

/// What a limit of 5 s or 10 s may take on a busy machine.
const SLACK: Duration = Duration::from_secs(4);

fn with_tls(folder: &Path) -> (Settings, Authority) {
    let authority = Authority::default();
    let identity = authority.certify(&["sidecar.test", "127.0.0.1"], VALID);
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (certificate, key) = (write("cert.pem", &identity.certificate), write("key.pem", &identity.key));
    run("chmod", &["640", &key]);
    let config = format!("[server]\ntls_cert_file = \"{certificate}\"\ntls_key_file = \"{key}\"\n");
    (Settings::config(config), authority)
}

fn run(program: &str, arguments: &[&str]) {
    assert!(std::process::Command::new(program).args(arguments).status().unwrap().success());
}

/// Everything until the other side closes, and how long that took.
async fn read_to_end(stream: &mut TcpStream) -> (Vec<u8>, Duration) {
    let (started, mut bytes) = (Instant::now(), Vec::new());
    let _ = stream.read_to_end(&mut bytes).await; // a reset is an end, too
    (bytes, started.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_verify_it_and_plaintext_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, authority) = with_tls(folder.path());
    let sidecar = Sidecar::start(folder.path(), &settings);
    let url = format!("https://{}/healthz", sidecar.address());
    let trusting = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_merge([reqwest::Certificate::from_pem(authority.pem.as_bytes()).unwrap()])
        .build()
        .unwrap();
    assert_eq!(trusting.get(&url).send().await.unwrap().status(), 200);
    let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(stranger.get(&url).send().await.is_err(), "an unknown authority is not trusted");

    let mut plain = TcpStream::connect(sidecar.address()).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let (answer, _) = read_to_end(&mut plain).await;
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
    assert!(sidecar.stop().0.success());
}

#[test]
fn its_own_commands_know_it_by_its_certificate_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, _) = with_tls(folder.path());
    let sidecar = Sidecar::start(folder.path(), &settings);
    let status =
        || webhook_security::sidecar::command(folder.path(), &settings).arg("status").output().unwrap();
    let output = status();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let other = Authority::default().certify(&["127.0.0.1"], VALID);
    fs::write(folder.path().join("cert.pem"), other.certificate).unwrap();
    assert!(!status().status.success(), "another certificate is not the sidecar's");
    assert!(sidecar.stop().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_never_ends_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(folder.path(), &with_tls(folder.path()).0);
    let mut silent = TcpStream::connect(sidecar.address()).await.unwrap();
    silent.write_all(&[0x16, 0x03, 0x01]).await.unwrap(); // the first bytes of a ClientHello
    let (_, took) = read_to_end(&mut silent).await;
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(5) + SLACK, "{took:?}");
}

/// Sends SIGHUP, and waits until the sidecar has said what became of it.
async fn reload(sidecar: &Sidecar, said: &str) {
    let seen = sidecar.output().matches(said).count();
    run("kill", &["-HUP", &sidecar.pid().to_string()]);
    while sidecar.output().matches(said).count() == seen {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_after_a_reload_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, old) = with_tls(folder.path());
    let sidecar = Sidecar::start(folder.path(), &settings);
    let url = format!("https://{}/healthz", sidecar.address());
    let trusted_by = async |authority: &Authority| {
        let certificate = reqwest::Certificate::from_pem(authority.pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap();
        client.get(&url).send().await.is_ok()
    };
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    assert!(trusted_by(&old).await);
    let new = Authority::default();
    let identity = new.certify(&["sidecar.test", "127.0.0.1"], VALID);
    put("cert.pem", &identity.certificate);
    reload(&sidecar, "not reloaded").await;
    assert!(trusted_by(&old).await, "the key is another one's: the old certificate stays");
    put("key.pem", &identity.key);
    reload(&sidecar, "are those of the files now").await;
    assert!(trusted_by(&new).await && !trusted_by(&old).await);
    assert!(!sidecar.output().contains("need a restart"), "{}", sidecar.output());
    assert!(sidecar.stop().0.success());
}

#[test]
fn a_key_that_everybody_can_read_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, _) = with_tls(folder.path());
    run("chmod", &["644", &folder.path().join("key.pem").display().to_string()]);
    let said = Sidecar::try_start(folder.path(), &settings).unwrap_err();
    assert!(said.contains("key.pem is open to everybody") && said.contains("chmod o="), "{said}");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, _) = with_tls(folder.path());
    let other = Authority::default().certify(&["sidecar.test"], VALID);
    fs::write(folder.path().join("key.pem"), other.key).unwrap();
    let said = Sidecar::try_start(folder.path(), &settings).unwrap_err();
    assert!(said.contains("cert.pem") && said.contains("key.pem"), "{said}");
}

#[test]
fn a_public_listener_without_tls_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = webhook_security::sidecar::command(folder.path(), &Settings::default());
    let output = command.args(["--listen", "0.0.0.0:0", "serve"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("without TLS"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_must_come_within_5_s_and_a_body_within_10_s() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(folder.path(), &Settings::default());
    let mut slow_head = TcpStream::connect(sidecar.address()).await.unwrap();
    slow_head.write_all(b"POST / HTTP/1.1\r\nhost: local").await.unwrap();
    let mut slow_body = TcpStream::connect(sidecar.address()).await.unwrap();
    slow_body.write_all(post(&sidecar, 100).as_bytes()).await.unwrap();
    let head = tokio::spawn(async move { read_to_end(&mut slow_head).await.1 });
    let mut answer = [0; 12];
    let started = Instant::now();
    slow_body.read_exact(&mut answer).await.unwrap();
    let took = started.elapsed();
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert!(took > Duration::from_secs(9) && took < Duration::from_secs(10) + SLACK, "{took:?}");
    let took = head.await.unwrap();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(5) + SLACK, "{took:?}");
}

/// The head of a call with the token, whose body of this length is still to come.
fn post(sidecar: &Sidecar, length: usize) -> String {
    format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n",
        sidecar.token()
    )
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"system.info"}"#;

async fn answers(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 4096];
    let length = stream.read(&mut buffer).await.unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_257th_call_waits_until_one_of_256_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(folder.path(), &Settings::default());
    let mut held = Vec::new();
    for _ in 0..256 {
        let mut stream = TcpStream::connect(sidecar.address()).await.unwrap();
        // It says "continue" when it waits for the body: from then on the call is under way.
        let head = post(&sidecar, CALL.len()).replacen("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n", 1);
        stream.write_all(head.as_bytes()).await.unwrap();
        assert!(answers(&mut stream).await.starts_with("HTTP/1.1 100"));
        held.push(stream);
    }
    let mut late = TcpStream::connect(sidecar.address()).await.unwrap();
    late.write_all(format!("{}{CALL}", post(&sidecar, CALL.len())).as_bytes()).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(500), late.peek(&mut [0])).await;
    assert!(waiting.is_err(), "256 calls are under way, and another one is answered");
    let mut first = held.swap_remove(0);
    first.write_all(CALL.as_bytes()).await.unwrap();
    assert!(answers(&mut first).await.starts_with("HTTP/1.1 200"));
    assert!(answers(&mut late).await.starts_with("HTTP/1.1 200"));
}

/// Whether the other side has closed a connection on which nobody has said anything.
fn is_closed(stream: &TcpStream) -> bool {
    match stream.try_read(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(folder.path(), &Settings::default());
    let mut silent = Vec::new();
    for _ in 0..512 {
        silent.push(TcpStream::connect(sidecar.address()).await.unwrap());
    }
    let call = format!("{}{CALL}", post(&sidecar, CALL.len()));
    let mut known = TcpStream::connect(sidecar.address()).await.unwrap();
    known.write_all(call.as_bytes()).await.unwrap();
    assert!(answers(&mut known).await.starts_with("HTTP/1.1 200"));
    assert!(is_closed(&silent[0]), "whoever sat there longest made room");
    assert_eq!(silent.iter().filter(|stream| is_closed(stream)).count(), 1, "and nobody else");

    // Whoever has shown the token keeps its place, however many more come.
    for _ in 0..1100 {
        silent.push(TcpStream::connect(sidecar.address()).await.unwrap());
    }
    for _ in 0..20 {
        known.write_all(call.as_bytes()).await.unwrap();
        assert!(answers(&mut known).await.starts_with("HTTP/1.1 200"));
        assert!(sidecar.call("system.info", json!({})).await.is_ok(), "a new caller comes in, too");
    }
    assert!(sidecar.stop().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_depth_and_size_are_limited() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(folder.path(), &Settings::default());
    let batch = |calls: usize| format!("[{}]", vec![CALL; calls].join(","));
    let (_, answer) = sidecar.answer(batch(100)).await;
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap().as_array().map(Vec::len), Some(100));
    let (_, answer) = sidecar.answer(batch(101)).await;
    let refused: Value = serde_json::from_str(&answer).unwrap();
    assert!(refused["error"]["code"].is_i64(), "{answer}");

    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [33, 127, 129, 100_000] {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"template.preview","params":{{"payload_template":{}}}}}"#,
            deep(depth)
        );
        let (_, answer) = sidecar.answer(body).await;
        let refused: Value = serde_json::from_str(&answer).unwrap();
        assert!(refused["error"]["code"].as_i64().is_some_and(|code| code < 0), "{depth}: {answer}");
    }
    let (status, _) = sidecar.answer(format!("[{CALL}{}]", " ".repeat(16 << 20))).await;
    assert_eq!(status, 413);
    assert!(sidecar.call("system.info", json!({})).await.is_ok(), "it goes on");
    assert!(sidecar.stop().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_in_place_of_http_is_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(folder.path(), &Settings::default());
    let heads = [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde"
            .to_owned(),
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999999999999\r\n\r\n".to_owned(),
        "POST http://evil.example/ HTTP/1.1\r\nhost: evil.example\r\n\r\n".to_owned(),
        "CONNECT 10.0.0.1:80 HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(600_000)),
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(600_000)),
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(101)),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
    ];
    for head in heads {
        let mut stream = TcpStream::connect(sidecar.address()).await.unwrap();
        let _ = stream.write_all(head.as_bytes()).await;
        let (answer, took) = read_to_end_of_answer(&mut stream).await;
        let shown: String = head.chars().take(80).collect();
        assert!(!answer.starts_with("HTTP/1.1 2"), "{shown:?}: {answer}");
        assert!(took < Duration::from_secs(5) + SLACK, "{shown:?}");
    }
    assert!(sidecar.call("system.info", json!({})).await.is_ok());
    assert!(sidecar.stop().0.success());
}

/// The first bytes that come, or the end.
async fn read_to_end_of_answer(stream: &mut TcpStream) -> (String, Duration) {
    let (started, mut buffer) = (Instant::now(), vec![0; 4096]);
    let length = stream.read(&mut buffer).await.unwrap_or(0);
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), started.elapsed())
}
