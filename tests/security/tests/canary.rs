//! Secrets with a name that is easy to find, planted everywhere, every failure provoked, and every output searched.

use std::{fs, path::Path, sync::Mutex};

use serde_json::{Value, json};
use webhook_security::{
    certificates::{Authority, VALID},
    endpoint::{Behaviour, Endpoints, Greeting},
    names::{Names, Says},
    namespace,
    report::{self, Class},
    sidecar::{Settings, Sidecar, command},
    subscription,
};

const PATH: &str = "canary-in-the-path-7f3a";
const QUERY: &str = "canary-in-the-query-7f3b";
const HEADER: &str = "canary-in-the-header-7f3c";
const SECRET: &str = "canary-in-the-secret-7f3d";
const TEMPLATE: &str = "canary-in-the-template-7f3e";
const RESPONSE: &str = "canary-in-the-response-7f3f";
const WRONG: &str = "canary-of-a-wrong-token-7f40";

/// What nobody may ever see again: not in the store, not in any answer.
const SEALED: &[&str] = &[HEADER, SECRET, WRONG];
/// What stands only where it belongs: the subscription, the payload, the answer.
const CONFIDENTIAL: &[&str] = &[PATH, QUERY, HEADER, SECRET, TEMPLATE, RESPONSE, WRONG];

/// Every place that was searched, for the report.
static SEARCHED: Mutex<Vec<(String, usize)>> = Mutex::new(Vec::new());

#[track_caller]
fn holds_none(place: &str, text: &[u8], canaries: &[&str]) {
    SEARCHED.lock().unwrap().push((place.to_owned(), canaries.len()));
    for canary in canaries {
        let found = text.windows(canary.len()).position(|part| part == canary.as_bytes());
        if let Some(at) = found {
            let around = &text[at.saturating_sub(200)..text.len().min(at + 100)];
            panic!("{canary} stands in {place}: …{}…", String::from_utf8_lossy(around));
        }
    }
}

struct World {
    endpoints: Endpoints,
    names: Names,
    sidecar: Sidecar,
}

/// Every way in which an attempt ends, and what it takes to end so.
async fn provoke(world: &World) -> Vec<(String, &'static str)> {
    let echo = format!("{RESPONSE} {HEADER} Bearer {HEADER} {SECRET}");
    let answer = |head: &str| {
        let extra = format!("x-canary: {RESPONSE}\r\nlocation: https://evil.test/{RESPONSE}\r\n");
        Behaviour::Answers(
            format!("{head}\r\n{extra}connection: close\r\ncontent-length: {}\r\n\r\n{echo}", echo.len())
                .into(),
        )
    };
    world.names.put("public.bed.test", Says::Addresses(vec!["1.1.1.1".parse().unwrap()]));
    world.names.put("private.bed.test", Says::Addresses(vec!["10.0.0.1".parse().unwrap()]));
    world.endpoints.put(&format!("/{PATH}/ok"), answer("HTTP/1.1 200 OK"));
    world.endpoints.put(&format!("/{PATH}/no"), answer("HTTP/1.1 500 No"));
    world.endpoints.put(&format!("/{PATH}/go"), answer("HTTP/1.1 302 Go"));
    world
        .endpoints
        .put(&format!("/{PATH}/junk"), Behaviour::Answers(format!("junk {RESPONSE}\r\n\r\n").into()));
    world.endpoints.put(&format!("/{PATH}/hang"), Behaviour::Hangs);
    world.endpoints.listen(8443, Greeting::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n")).await;
    let rows = [
        ("public.bed.test", "ok", ""),
        ("public.bed.test", "no", "http_status"),
        ("public.bed.test", "go", "redirect"),
        ("public.bed.test", "junk", "protocol"),
        ("public.bed.test", "hang", "timeout"),
        ("public.bed.test:8443", "x", "tls"),
        ("public.bed.test:9999", "x", "connect"),
        ("private.bed.test", "x", "blocked_address"),
        ("nowhere.bed.test", "x", "dns"),
    ];
    let mut events = Vec::new();
    for (host, path, kind) in rows {
        let template = json!({"text": format!("{TEMPLATE} {{{{ event_id }}}}")});
        events.push((send(world, host, path, template).await, kind));
    }
    // A payload that grows beyond its limit: the text is the template's own.
    let long = format!(
        "{{% for a in record_ids %}}{{% for b in record_ids %}}{TEMPLATE}{{% endfor %}}{{% endfor %}}"
    );
    events.push((send(world, "public.bed.test", "ok", json!({ "text": long })).await, "payload_too_large"));
    events
}

async fn send(world: &World, host: &str, path: &str, template: Value) -> String {
    let url = format!("https://{host}/{PATH}/{path}?token={QUERY}");
    let headers = json!({"x-api-key": HEADER, "authorization": format!("Bearer {HEADER}")});
    let more = json!({"secret": SECRET, "headers": headers, "timeout_s": 2, "payload_template": template});
    let made = world.sidecar.call("subscription.create", subscription(&url, more)).await.unwrap();
    holds_none("subscription.create", made.to_string().as_bytes(), SEALED);
    let mut event = webhook_security::event(&made);
    event["record_ids"] = (1..=200).collect();
    let answer = world.sidecar.call("event.submit", json!({"events": [event]})).await.unwrap();
    assert_eq!(answer["results"][0]["status"], "accepted", "{answer}");
    event["id"].as_str().unwrap().to_owned()
}

/// Every refusal that quotes, or could quote, what it refuses.
async fn refusals(world: &World) {
    let good = "https://public.bed.test/";
    let calls = [
        ("subscription.create", subscription(&format!("ftp://x/{PATH}?{QUERY}"), json!({}))),
        ("subscription.create", subscription(&format!("https://user:{SECRET}@x.test/{PATH}"), json!({}))),
        ("subscription.create", subscription(&format!("https://127.0.0.1/{PATH}?{QUERY}"), json!({}))),
        ("subscription.create", subscription(&format!("https://x.test/{PATH}#{QUERY}"), json!({}))),
        ("subscription.create", subscription(good, json!({"secret": format!("{SECRET}\n")}))),
        ("subscription.create", subscription(good, json!({"secret": format!("whsec_{SECRET}!")}))),
        ("subscription.create", subscription(good, json!({"secret": [SECRET]}))),
        ("subscription.create", subscription(good, json!({"headers": {"x-a": format!("{HEADER}\r\n")}}))),
        ("subscription.create", subscription(good, json!({"headers": {"host": HEADER}}))),
        ("subscription.create", subscription(good, json!({"headers": [HEADER]}))),
        ("subscription.create", subscription(good, json!({"headers": HEADER}))),
        ("subscription.create", subscription(good, json!({"timeout_s": SECRET, "secret": SECRET}))),
        ("subscription.create", subscription(good, json!({"unknown": SECRET, "secret": SECRET}))),
        (
            "subscription.create",
            json!({"id": SECRET, "url": format!("https://x.test/{PATH}"), "secret": SECRET}),
        ),
        ("subscription.update", json!({"id": "0190c1de-7b5a-7c3e-9b0a-1f6d2c3b4a59", "secret": SECRET})),
        (
            "system.attach",
            json!({"database": "d", "database_name": "d", "wake_url": format!("http://x/{PATH}?{QUERY}")}),
        ),
    ];
    for (method, params) in calls {
        let answer = match world.sidecar.call(method, params.clone()).await {
            Ok(answer) => answer.to_string(),
            Err(error) => error.to_string(),
        };
        let place = format!("the answer to {method}, refused: {}", what_is_wrong(&answer));
        holds_none(&place, answer.as_bytes(), CONFIDENTIAL);
    }
    for body in
        [format!("{{\"{SECRET}"), format!("[{{\"jsonrpc\":\"2.0\",\"method\":5,\"params\":\"{SECRET}\"}}]")]
    {
        let (_, answer) = world.sidecar.answer(body).await;
        holds_none("the answer to junk", answer.as_bytes(), CONFIDENTIAL);
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/{PATH}?{QUERY}", world.sidecar.address());
    let answer = client.post(url).bearer_auth(WRONG).body(SECRET).send().await.unwrap();
    holds_none("the answer to a wrong token", answer.text().await.unwrap().as_bytes(), CONFIDENTIAL);
}

/// The kind and the field of a refusal.
fn what_is_wrong(answer: &str) -> String {
    let answer: Value = serde_json::from_str(answer).unwrap();
    let word = |name: &str| answer["data"][name].as_str().unwrap_or_default().to_owned();
    format!("{} {}", word("kind"), word("field"))
}

/// A set with an entry that cannot be read.
async fn refused_sync(world: &World) {
    let entries = json!([{"id": 5, "secret": SECRET, "headers": {"x": HEADER}, "url": PATH}]);
    let answer = world.sidecar.call("subscription.sync", json!({"subscriptions": entries})).await.unwrap();
    assert!(answer["errors"][0]["error"].is_object(), "{answer}");
    holds_none("subscription.sync", answer.to_string().as_bytes(), CONFIDENTIAL);
}

/// Everything the sidecar shows to callers.
async fn answers(world: &World, events: &[(String, &'static str)]) {
    for (event, kind) in events {
        let mut attempt = world.sidecar.outcome(event).await;
        assert_eq!(
            attempt["error"]["kind"].as_str().unwrap_or(""),
            *kind,
            "the failure was provoked: {attempt}"
        );
        holds_none("a delivery", attempt.to_string().as_bytes(), SEALED);
        let kept = attempt["response_body"].as_str().unwrap_or_default();
        assert!(kept.is_empty() || kept.contains(RESPONSE), "the answer's own text is kept: {kept}");
        attempt["payload"] = Value::Null;
        attempt["response_body"] = Value::Null;
        holds_none("a delivery beside payload and answer", attempt.to_string().as_bytes(), CONFIDENTIAL);
    }
    let listed = world.sidecar.call("subscription.list", json!({})).await.unwrap().to_string();
    assert!(listed.contains("x-api-key") && listed.contains(PATH), "{listed}");
    holds_none("subscription.list", listed.as_bytes(), SEALED);
    for path in ["/healthz", "/metrics"] {
        let (_, text) = world.sidecar.get(path).await;
        holds_none(path, text.as_bytes(), CONFIDENTIAL);
    }
}

/// Everything the commands print, and everything that lies on disk.
fn commands_and_files(sidecar: &Sidecar, folder: &Path, settings: &Settings, tokens: &[&str]) {
    let backup = folder.join("backup.redb");
    let backup = backup.to_str().unwrap();
    let all: &[&[&str]] = &[
        &["status"],
        &["doctor"],
        &["check-config"],
        &["subscriptions", "list"],
        &["deliveries", "list"],
        &["verify"],
        &["backup", backup],
    ];
    for arguments in all {
        let output = command(folder, settings).args(*arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(!said.is_empty(), "{arguments:?}");
        let place =
            format!("what `{}` prints", arguments[..arguments.len().min(2)].join(" ").replace(backup, ""));
        holds_none(&place, &said, SEALED);
        holds_none(&place, &said, tokens);
    }
    let read = |name: &str| fs::read(sidecar.data().join(name)).unwrap();
    let log = [read("log.redb"), read("log.redb-journal")].concat();
    for (place, bytes) in [("the store and its journal", log), ("a backup", fs::read(backup).unwrap())] {
        assert!(
            bytes.windows(PATH.len()).any(|part| part == PATH.as_bytes()),
            "{place} holds the URL: the search works"
        );
        holds_none(place, &bytes, SEALED);
        holds_none(place, &bytes, tokens);
    }
}

#[test]
fn no_canary_is_ever_seen_again() {
    namespace::inside("no_canary_is_ever_seen_again", || async {
        let (endpoints, authority) = (Endpoints::default(), Authority::default());
        endpoints.listen(443, Greeting::Tls(authority.certify(&["*.bed.test"], VALID).acceptor())).await;
        let names = Names::serve().await;
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, &authority.pem).unwrap();
        let settings = Settings {
            config: format!("[network]\nextra_ca_file = \"{}\"\n", ca.display()),
            environment: vec![
                ("RUST_LOG".to_owned(), "trace".to_owned()),
                ("RUST_BACKTRACE".to_owned(), "1".to_owned()),
            ],
        };
        let sidecar = Sidecar::start(folder.path(), &settings);
        let limits = fs::read_to_string(format!("/proc/{}/limits", sidecar.pid())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "no core dumps: {core}");

        let admin = fs::read_to_string(sidecar.data().join("admin_token")).unwrap().trim().to_owned();
        let token = sidecar.token().to_owned();
        let tokens = [token.as_str(), admin.as_str()];
        let world = World { endpoints, names, sidecar };
        let events = provoke(&world).await;
        refusals(&world).await;
        answers(&world, &events).await;
        commands_and_files(&world.sidecar, folder.path(), &settings, &tokens);
        refused_sync(&world).await;
        let sent = world.endpoints.requests();
        assert!(
            sent.iter().any(|request| request.head.contains(HEADER) && request.head.contains(QUERY)),
            "they were sent"
        );
        let (status, output) = world.sidecar.stop();
        assert!(status.success() && output.contains("delivery attempted"), "{output}");
        holds_none("the log", output.as_bytes(), CONFIDENTIAL);
        holds_none("the log", output.as_bytes(), &tokens);
        let mut class = Class::new("F. Secrets, looked for wherever something comes out");
        for (place, canaries) in SEARCHED.lock().unwrap().drain(..) {
            class.held_case(place, format!("{canaries} canaries looked for, none there"));
        }
        report::write("canary", &[class], &[]);
    });
}
