//! Who may call, how, and what a refusal says: against the whole sidecar, in process, on a port of its own.

use std::{
    io::{Read, Write},
    net::TcpListener,
};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use webhook_api::{
    Each,
    delivery::GetDelivery,
    subscription::{NewSubscription, SyncSubscriptions, UpdateSubscription},
    system::GetInfo,
};
use webhook_model::AttemptStatus;
use webhook_tests::Running;

const ID: &str = "0190c1de-7b5a-7c3e-9b0a-1f6d2c3b4a59";
const EVENT: &str = "0190c1de-7b5a-7c3e-9b0a-000000000001";

fn subscription(url: &str) -> Value {
    json!({"id": ID, "model": "sale.order", "url": url, "secret": "0123456789abcdef"})
}

fn event() -> Value {
    json!({"id": EVENT, "subscription_id": ID, "model": "sale.order", "event_type": "create", "record_ids": [1],
        "user_id": null, "timestamp": "2026-11-23T10:15:00Z"})
}

/// Parameters, as a caller writes them.
fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_with_the_token_come_in_and_no_browser() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Running::start(folder.path(), &[]).await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"system.info"}"#;
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    let bare = || sidecar.client.post(&sidecar.url).header("content-type", "application/json").body(call);
    assert_eq!(status(sidecar.post(call)).await, 200);
    assert_eq!(status(bare()).await, 401);
    assert_eq!(status(bare().bearer_auth("wrong")).await, 401);
    assert_eq!(bare().send().await.unwrap().text().await.unwrap(), "");
    assert_eq!(status(sidecar.post(call).header("origin", "http://127.0.0.1")).await, 403);
    assert_eq!(status(sidecar.post(call).header("host", "evil.example")).await, 403);
    assert_eq!(status(sidecar.client.get(format!("{}healthz", sidecar.url))).await, 200);
    assert_eq!(status(sidecar.client.get(format!("{}nope", sidecar.url))).await, 404);
    assert_eq!(status(sidecar.post(r#"{"jsonrpc":"2.0","method":"system.info"}"#)).await, 400);
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_answered_with_a_proof_for_each_token() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Running::start(folder.path(), &[]).await;
    let ask = async |challenge: &str| {
        let request =
            sidecar.client.get(format!("{}healthz", sidecar.url)).header("x-mcp-challenge", challenge);
        let answer = request.send().await.unwrap();
        answer.headers().get("x-mcp-proof").map(|value| value.to_str().unwrap().to_owned())
    };
    let proof = ask(&"a".repeat(32)).await.unwrap();
    assert_eq!(proof.split(',').map(str::len).collect::<Vec<_>>(), [64, 64], "the addon's and the admin's");
    assert_ne!(ask(&"b".repeat(32)).await.unwrap(), proof, "another challenge, another proof");
    for challenge in ["", &"a".repeat(31), &"a".repeat(129), "a b".repeat(20).as_str()] {
        assert_eq!(ask(challenge).await, None, "{challenge:?} is no challenge");
    }
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Running::start(folder.path(), &["127.0.0.0/8"]).await;
    let refused = async |method: &str, params: Value, code: i64, field: &str| {
        let error = sidecar.call(method, params).await.expect_err(field);
        assert_eq!(
            (error["code"].as_i64(), error["data"]["field"].as_str().unwrap_or("")),
            (Some(code), field),
            "{error}"
        );
    };
    refused("system.info", json!({"x": 1}), -32602, "x").await;
    refused("subscription.get", json!({"id": ID}), 1001, "id").await;
    refused("subscription.create", subscription("ftp://example.com"), 1003, "url").await;
    refused("subscription.create", subscription("http://10.0.0.1/"), 1004, "url").await;
    refused(
        "subscription.create",
        json!({"id": ID, "model": "a", "url": "https://a.b", "secret": "x"}),
        1006,
        "secret",
    )
    .await;
    refused(
        "subscription.create",
        json!({"id": ID, "model": "a", "url": "https://a.b", "headers": {"host": "x"}}),
        1007,
        "headers",
    )
    .await;
    refused(
        "subscription.create",
        json!({"id": ID, "model": "a", "url": "https://a.b", "payload_template": "{{ nope }}"}),
        1005,
        "payload_template",
    )
    .await;
    refused(
        "subscription.create",
        json!({"id": ID, "model": "a", "url": "https://a.b", "timeout_s": 61}),
        -32602,
        "timeout_s",
    )
    .await;
    refused("subscription.create", json!({"id": ID, "model": "a\u{0}", "url": "https://a.b"}), -32602, "")
        .await;
    refused("event.submit", json!({"events": []}), 1008, "events").await;
    refused("delivery.changes", json!({"after": "other:1"}), 1012, "").await;
    refused("delivery.redeliver", json!({"event_id": EVENT}), 1001, "event_id").await;
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_clears_what_was_meant_for_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Running::start(folder.path(), &[]).await;
    let made = sidecar.call("subscription.create", subscription("https://a.example/x")).await.unwrap();
    assert_eq!((made["has_secret"].as_bool(), made.get("secret")), (Some(true), None));
    let to = |url: &str| UpdateSubscription(read(json!({"id": ID, "url": url})));
    assert!(sidecar.ask(&to("https://a.example/y")).await.has_secret);
    assert!(!sidecar.ask(&to("https://b.example/")).await.has_secret);
    let bad: NewSubscription = read(json!({"id": ID, "model": "a", "url": "nonsense"}));
    let synced = sidecar.ask(&SyncSubscriptions { subscriptions: Each::of(&[bad]) }).await;
    assert_eq!((synced.deleted, synced.errors[0].id.map(|id| id.0.to_string())), (0, Some(ID.to_owned())));
    for unreadable in [json!({"id": 5}), json!({"id": "x"}), json!({}), json!(7), json!(null)] {
        let entries = json!({"subscriptions": [unreadable]});
        let synced = sidecar.call("subscription.sync", entries).await.unwrap();
        assert_eq!(
            (synced["deleted"].as_u64(), synced["errors"][0]["id"].as_str()),
            (Some(0), None),
            "{synced}"
        );
    }
    let twice = format!(r#"{{"id": "{ID}", "id": "{EVENT}", "model": "a", "url": "https://a.b"}}"#);
    let call = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"subscription.sync","params":{{"subscriptions":[{twice}]}}}}"#
    );
    let answer: Value =
        serde_json::from_str(&sidecar.post(call).send().await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(answer["result"]["deleted"], 0, "which of the two is meant nobody knows: {answer}");
    let nothing = SyncSubscriptions { subscriptions: Each::of(&[]) };
    assert_eq!(sidecar.ask(&nothing).await.deleted, 1);
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_database_is_fenced_off() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Running::start(folder.path(), &[]).await;
    sidecar.call("system.attach", json!({"database": "u1", "database_name": "prod"})).await.unwrap();
    let submit =
        json!({"jsonrpc": "2.0", "id": 1, "method": "event.submit", "params": {"events": [event()]}})
            .to_string();
    let kind = async |header: Option<&str>| {
        let request = sidecar.post(submit.clone());
        let request = header.into_iter().fold(request, |r, value| r.header("x-odoo-database", value));
        let answer: Value =
            serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        answer["error"]["data"]["kind"].as_str().map(str::to_owned)
    };
    assert_eq!(kind(None).await.as_deref(), Some("fenced"));
    assert_eq!(kind(Some("u1 copy")).await.as_deref(), Some("fenced"));
    assert_eq!(kind(Some("u1 prod")).await, None);
    let error =
        sidecar.call("system.attach", json!({"database": "u2", "database_name": "prod"})).await.unwrap_err();
    assert_eq!(error["data"]["kind"], "fenced");
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pending_at_a_stop_is_sent_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", endpoint.local_addr().unwrap());
    let sidecar = Running::start(folder.path(), &["127.0.0.0/8"]).await;
    let paused = json!({"id": ID, "model": "sale.order", "url": url, "paused": true});
    sidecar.call("subscription.create", paused).await.unwrap();
    let answer = sidecar.call("event.submit", json!({"events": [event(), {"id": "x"}]})).await.unwrap();
    assert_eq!(
        (answer["results"][0]["status"].as_str(), answer["results"][1]["status"].as_str()),
        (Some("accepted"), Some("rejected"))
    );
    sidecar.stop().await;
    let sidecar = Running::start(folder.path(), &["127.0.0.0/8"]).await;
    assert_eq!(sidecar.ask(&GetInfo {}).await.pending, 1);
    sidecar.call("subscription.update", json!({"id": ID, "paused": false})).await.unwrap();
    let request = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = endpoint.accept().unwrap();
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n").unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    })
    .await
    .unwrap();
    assert!(request.starts_with("POST /hook HTTP/1.1\r\n") && request.contains(EVENT), "{request}");
    sidecar.stop().await; // waits until the outcome is on disk
    let sidecar = Running::start(folder.path(), &["127.0.0.0/8"]).await;
    let found = sidecar.ask(&read::<GetDelivery>(json!({"event_id": EVENT}))).await;
    let attempt = found.attempts[0].read().unwrap();
    assert_eq!((attempt.status.0, attempt.response_code), (AttemptStatus::Success, Some(204)));
    sidecar.stop().await;
}

/// Reads one request and answers it.
fn serve_one(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut buffer = [0; 4096];
    let length = stream.read(&mut buffer).unwrap();
    stream.write_all(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n").unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_knocks_at_odoo_and_sends_nothing_before_odoo_has_attached() {
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, odoo) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = |listener: &TcpListener| listener.local_addr().unwrap();
    let sidecar = Running::start(folder.path(), &["127.0.0.0/8"]).await;
    let url = format!("http://{}/hook", address(&endpoint));
    let paused = json!({"id": ID, "model": "sale.order", "url": url, "paused": true});
    sidecar.call("subscription.create", paused).await.unwrap();
    let submitted = sidecar.call("event.submit", json!({"events": [event()]})).await.unwrap();
    let mut introduction = json!({"database": "u1", "database_name": "prod", "seen": submitted["accepted_to"],
        "cursor": "", "wake_url": format!("http://{}/mcp_webhook/wake", address(&odoo))});
    let first = sidecar.call("system.attach", introduction.clone()).await.unwrap();
    sidecar.stop().await;
    let sidecar = Running::start(folder.path(), &["127.0.0.0/8"]).await;
    let odoo = tokio::task::spawn_blocking(move || (serve_one(&odoo), odoo));
    let (knock, _odoo) = odoo.await.unwrap();
    assert!(knock.starts_with("POST /mcp_webhook/wake "), "{knock}");
    let resume = json!({"jsonrpc": "2.0", "id": 1, "method": "subscription.update",
        "params": {"id": ID, "paused": false}});
    let resumed = sidecar.post(resume.to_string()).header("x-odoo-database", "u1 prod").send().await.unwrap();
    assert!(resumed.text().await.unwrap().contains("\"paused\":false"));
    endpoint.set_nonblocking(true).unwrap();
    assert_eq!(
        endpoint.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock,
        "Odoo has not attached yet"
    );
    endpoint.set_nonblocking(false).unwrap();
    introduction["seen"] = first["accepted_to"].clone();
    let again = sidecar.call("system.attach", introduction).await.unwrap();
    assert_eq!(again["log_id"], first["log_id"], "it is the same log");
    let request = tokio::task::spawn_blocking(move || serve_one(&endpoint)).await.unwrap();
    assert!(request.contains(EVENT), "{request}");
    sidecar.stop().await;
}
