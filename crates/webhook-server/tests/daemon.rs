//! The daemon under its supervisor: what systemd is told, and what the log says.

mod common;

use std::{
    io::{BufRead, BufReader},
    os::unix::net::UnixDatagram,
    process::Stdio,
    time::Duration,
};

use common::{Listener, Operator};
use serde_json::Value;

#[test]
fn systemd_hears_ready_then_beats_then_stopping() {
    let mut operator = Operator::new();
    let path = operator.folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let hear = || {
        let mut buffer = [0; 256];
        let length = systemd.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    };
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "300000")];
    operator.start_with(&[], &environment);
    let start = ["STATUS=opening the delivery log", "STATUS=accepting and delivering", "READY=1"];
    assert_eq!([hear(), hear(), hear()], start);
    assert_eq!([hear(), hear(), hear()], ["WATCHDOG=1"; 3]);
    operator.stop();
    let last = std::iter::repeat_with(hear).find(|word| word != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
}

#[test]
fn one_line_per_submit_and_one_per_attempt_and_neither_tells_a_secret() {
    let operator = Operator::new();
    let mut command = operator.command(&["--listen", "127.0.0.1:0", "serve"]);
    command.env("MCP_WEBHOOKD_NETWORK_ALLOW_NETWORKS", "127.0.0.0/8").env("MCP_WEBHOOKD_LOG_FORMAT", "json");
    let mut daemon = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut text = String::new();
    let lines = BufReader::new(daemon.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = lines.map(|line| {
        text.push_str(&line);
        serde_json::from_str::<Value>(&line).unwrap()
    });
    let mut next = |message: &str| lines.find(|line| line["message"] == message).unwrap();
    next("mcp-webhookd is ready");
    let listener = Listener::start(&operator, &["--count", "1"]);
    operator.subscribe(&format!("{}hook?key=hidden-path", listener.url));
    let event = operator.submit(1);
    let submitted = next("events submitted");
    assert_eq!((&submitted["event_ids"], submitted["accepted"].as_u64()), (&Value::from(&*event), Some(1)));
    let attempted = next("delivery attempted");
    assert_eq!(
        (&attempted["event_id"], attempted["response_code"].as_u64()),
        (&Value::from(&*event), Some(200))
    );
    assert_eq!(attempted["host"], listener.url.trim_start_matches("http://").trim_end_matches('/'));
    assert!(attempted["duration_ms"].is_u64() && attempted["subscription_id"] == common::SUBSCRIPTION);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    drop(lines);
    let (token, admin) = (operator.token("token"), operator.token("admin_token"));
    for secret in ["hidden-path", "0123456789abcdef", "record_ids", &token, &admin] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn a_reload_that_is_refused_leaves_the_log_level_too() {
    let operator = Operator::new();
    let file = operator.folder.path().join("config.toml");
    std::fs::write(&file, "").unwrap();
    let mut command =
        operator.command(&["--listen", "127.0.0.1:0", "--config", file.to_str().unwrap(), "serve"]);
    let mut daemon = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(daemon.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.contains("is ready")));
    let reload = || operator.call(&operator.token("admin_token"), "admin.reload", Value::Null).1;
    let good = std::fs::read(operator.data().join("token")).unwrap();
    std::fs::write(&file, "[log]\nlevel = \"error\"\n").unwrap();
    std::fs::write(operator.data().join("token"), "short\n").unwrap();
    assert!(reload()["message"].as_str().unwrap().contains("write a longer one"));
    let log_a_line = || operator.call(&operator.token("admin_token"), "admin.compact", Value::Null).1;
    assert!(log_a_line()["after_bytes"].is_u64());
    std::fs::write(operator.data().join("token"), good).unwrap();
    assert!(reload()["message"].as_str().unwrap().contains("log level are those of the files now"));
    assert!(log_a_line()["after_bytes"].is_u64());
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    // Of two, the one before the level was taken.
    assert_eq!(lines.filter(|line| line.contains("compacted the delivery log")).count(), 1);
}

#[test]
fn rust_log_goes_before_the_configuration() {
    let mut operator = Operator::new();
    operator.start_with(&[], &[("RUST_LOG", "info"), ("MCP_WEBHOOKD_LOG_LEVEL", "error")]);
    assert!(operator.log.iter().any(|line| line.contains("is ready")));
    operator.stop();
}
