//! Callers that ask for much and do not read it.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use webhook_tests::Running;

const ID: &str = "0190c1de-7b5a-7c3e-9b0a-1f6d2c3b4a59";
const STORE_UNAVAILABLE: i64 = 1014;
/// Readers that fill the room many times over.
const MANY: usize = 200;

fn event(number: usize, bytes: usize) -> Value {
    json!({"id": format!("0190c1de-7b5a-7c3e-9b0a-{number:012}"), "subscription_id": ID, "model": "sale.order",
        "event_type": "create", "record_ids": [1], "user_id": null, "timestamp": "2026-11-23T10:15:00Z",
        "records": [{"x": "x".repeat(bytes)}]})
}

/// A connection on which an answer to `call` has begun, and which reads no more.
async fn reader(sidecar: &Running, call: &str) -> TcpStream {
    let request = sidecar.post("").build().unwrap();
    let token = request.headers()["authorization"].to_str().unwrap();
    let host = sidecar.url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\nauthorization: {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{call}",
        call.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    stream
}

/// Until lists are short or refused.
async fn fill(sidecar: &Running, call: &str) -> Vec<TcpStream> {
    let whole = listed(sidecar).await;
    let mut readers = Vec::new();
    while readers.len() < MANY {
        readers.push(reader(sidecar, call).await);
        if listed(sidecar).await * 4 < whole {
            return readers;
        }
    }
    panic!("nothing bounds what {MANY} callers do not read");
}

/// How many events a list has for one who reads it.
async fn listed(sidecar: &Running) -> usize {
    match sidecar.call("event.read", json!({"subscription_id": ID, "limit": 1000})).await {
        Ok(page) => page["events"].as_array().unwrap().len(),
        Err(error) => {
            assert_eq!(error["code"], STORE_UNAVAILABLE, "{error}");
            0
        }
    }
}

/// What is not read has an end: lists get shorter, then are refused; events go in and are settled meanwhile, and what
/// is one thing is answered; whoever goes away or does not read for long gives the room back.
#[tokio::test(flavor = "multi_thread")]
async fn what_callers_do_not_read_has_an_end_and_keeps_nothing_else_up() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Running::start(folder.path(), &["127.0.0.0/8"]).await;
    let subscription = json!({"id": ID, "model": "sale.order", "url": null});
    sidecar.call("subscription.create", subscription).await.unwrap();
    let events: Vec<Value> = (0..24).map(|number| event(number, 250 << 10)).collect();
    sidecar.call("event.submit", json!({"events": events})).await.unwrap();
    let list_all = json!({"jsonrpc": "2.0", "id": 1, "method": "event.read",
        "params": {"subscription_id": ID, "limit": 1000}});
    let batch = Value::Array(vec![list_all.clone(); 3]);
    let whole = listed(&sidecar).await;
    let (list_all, batch) = (list_all.to_string(), batch.to_string());
    for (number, call, are_closed) in [(100, &list_all, true), (101, &batch, true), (102, &list_all, false)] {
        let mut readers = fill(&sidecar, call).await;
        let submitted = sidecar.call("event.submit", json!({"events": [event(number, 10)]})).await.unwrap();
        assert_eq!(submitted["results"][0]["status"], "accepted");
        sidecar.call("subscription.get", json!({"id": ID})).await.unwrap();
        if are_closed {
            readers.clear();
        }
        // Those that stay do not read: the sidecar ends their connections.
        while listed(&sidecar).await < whole {}
    }
    sidecar.stop().await;
}
