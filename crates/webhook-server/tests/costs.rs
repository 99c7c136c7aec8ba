//! What a call may cost: every method is called at every limit of its parameters, and the process is measured.

mod common;

use std::io::{Read, Write};

use common::{Operator, SUBSCRIPTION, event};
use serde_json::{Value, json};

/// No call costs more memory than this.
const MOST: u64 = 64 << 20;

/// Resident memory of the sidecar in bytes: now, and at most since its start.
fn memory(operator: &Operator) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{}/status", operator.pid())).unwrap();
    let of = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    };
    (of("VmRSS"), of("VmHWM"))
}

/// Values that are large in every way in which they can be, in so many bytes.
fn large(most: usize) -> Vec<(String, String)> {
    let room = most - 4096;
    let mut texts = Vec::new();
    for unit in ["0,", "[],", "{},", "\"\",", "null,"] {
        for items in [999, 99_000, room / unit.len()] {
            let list = unit.repeat(items.min(room / unit.len()));
            texts.push((format!("{items} of {unit}"), format!("[{}]", list.trim_end_matches(','))));
        }
    }
    for bytes in [60 << 10, 1_000_000.min(room), room] {
        texts.push((format!("a text of {bytes}"), format!("\"{}\"", "x".repeat(bytes))));
        texts.push((format!("escapes of {bytes}"), format!("\"{}\"", "\\u00e9".repeat(bytes / 6))));
        texts.push((format!("keys of {bytes}"), format!("{{{}\"z\":0}}", keys(bytes))));
        texts.push((format!("a key of {bytes}"), format!("{{\"{}\":0}}", "x".repeat(bytes))));
        texts.push((
            format!("{} deep", bytes / 2),
            format!("{}{}", "[".repeat(bytes / 2), "]".repeat(bytes / 2)),
        ));
    }
    texts
}

fn keys(bytes: usize) -> String {
    (0..bytes / 12).map(|n| format!("\"{n:07}\":0,")).collect()
}

/// A sidecar of which every call is measured.
struct Measured {
    operator: Operator,
    worst: u64,
    calls: usize,
    over: Vec<String>,
}

impl Measured {
    fn new() -> Self {
        let mut operator = Operator::new();
        // What is freed is given back at once, so that what is measured is what one call holds.
        operator
            .start_with(&[], &[("MALLOC_MMAP_THRESHOLD_", "131072"), ("MALLOC_TRIM_THRESHOLD_", "131072")]);
        operator.subscribe("http://127.0.0.1:9/");
        operator.addon("subscription.update", json!({"id": SUBSCRIPTION, "paused": true}));
        Self { operator, worst: 0, calls: 0, over: Vec::new() }
    }

    fn call(&mut self, method: &str, what: &str, params: &str) {
        let call = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\",\"params\":{params}}}");
        self.send(&format!("{method} {what}"), &call);
    }

    fn send(&mut self, what: &str, body: &str) {
        // Forgets the peak of the call before, where we may; else only a new peak tells what a call has cost.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.operator.pid()), "5");
        let (before, peak) = memory(&self.operator);
        let (status, _) = self.operator.call_text(&self.operator.token("admin_token"), body);
        assert!(status == 200 || status == 413, "{what}: {status}");
        let (_, most) = memory(&self.operator);
        let cost = if most > peak { most - before } else { 0 };
        if cost > self.worst {
            eprintln!("{} MiB: {what}", cost >> 20);
            self.worst = cost;
        }
        self.over.extend((cost > MOST).then(|| format!("{what}: {} MiB", cost >> 20)));
        self.calls += 1;
    }

    fn end(self, least: usize) {
        assert_eq!(self.over, Vec::<String>::new());
        assert!(self.calls >= least, "{}", self.calls);
    }
}

#[test]
fn no_parameter_costs_more_than_the_limit_of_its_method() {
    let mut measured = Measured::new();
    let described =
        measured.operator.call(&measured.operator.token("admin_token"), "rpc.discover", json!({})).1;
    for method in described["methods"].as_array().unwrap() {
        let name = method["name"].as_str().unwrap();
        if name.starts_with("admin.") && name != "admin.status" {
            continue; // they take words alone, and would stop or copy what is measured
        }
        let mut fields: Vec<&str> = method["params"]
            .as_array()
            .unwrap()
            .iter()
            .map(|param| param["name"].as_str().unwrap())
            .collect();
        fields.push("nonsense");
        // Which field it is makes a difference only where it is a document or a list.
        let large_ones =
            ["nonsense", "payload_template", "event", "events", "subscriptions", "headers", "event_ids"];
        fields.retain(|field| large_ones.contains(field));
        let is_long = ["events", "subscriptions"].contains(&fields[0]);
        let takes_documents = fields.len() > 1;
        for field in fields {
            let base = match name {
                "template.preview" if field != "payload_template" => "\"payload_template\":null,".to_owned(),
                "delivery.test" | "delivery.redeliver_many" => {
                    format!("\"subscription_id\":\"{SUBSCRIPTION}\",")
                }
                "subscription.create" | "subscription.update" | "subscription.check" => {
                    format!("\"id\":\"{SUBSCRIPTION}\",\"model\":\"a\",\"url\":\"http://127.0.0.1:9/\",")
                }
                _ => String::new(),
            };
            let values = match is_long {
                true => vec![("16 MiB of 0,".to_owned(), format!("[{}0]", "0,".repeat(8_000_000)))],
                false => large(if takes_documents { 2 << 20 } else { 70 << 10 }),
            };
            for (what, value) in values {
                measured.call(name, &format!("{field}: {what}"), &format!("{{{base}\"{field}\":{value}}}"));
            }
            let whole = "x".repeat((16 << 20) - 1000);
            measured.call(
                name,
                &format!("{field}: a call's length"),
                &format!("{{{base}\"{field}\":\"{whole}\"}}"),
            );
        }
    }
    // A batch of what is no call.
    for what in ["0,", "{},", "[],"] {
        measured.send("a batch", &format!("[{}0]", what.repeat(5_000_000)));
    }
    measured.end(300);
}

#[test]
fn no_set_of_subscriptions_costs_more_than_its_limit() {
    let mut measured = Measured::new();
    let entry = |n: usize, template: &str| {
        format!(
            "{{\"id\":\"0190c1de-7b5a-7c3e-9b0a-{n:012}\",\"model\":\"a\",\"url\":\"http://127.0.0.1:9/\",\"payload_template\":{template}}}"
        )
    };
    for (what, template) in [
        ("texts", format!("\"{}\"", "x".repeat(65_000))),
        ("numbers", format!("[{}0]", "0,".repeat(32_000))),
        ("lists", format!("[{}0]", "[],".repeat(21_000))),
        ("nothing", "null".to_owned()),
    ] {
        let room = (16 << 20) - 200;
        let most = (room / (entry(0, &template).len() + 1)).min(5_000);
        let entries: Vec<String> = (0..most).map(|n| entry(n, &template)).collect();
        measured.call("subscription.sync", what, &format!("{{\"subscriptions\":[{}]}}", entries.join(",")));
        measured.call("subscription.sync", "none", "{\"subscriptions\":[]}");
    }
    measured.end(8);
}

#[test]
fn no_events_cost_more_than_their_limit() {
    let mut measured = Measured::new();
    for (round, (size, count)) in [(16_000, 900), (250_000, 60)].into_iter().enumerate() {
        for (kind, filler) in
            [json!("x".repeat(size)), Value::from(vec![0; size / 2])].into_iter().enumerate()
        {
            let number = |n: usize| u32::try_from((2 * round + kind) * 10_000 + n).unwrap();
            let events: Vec<String> = (0..count)
                .map(|n| {
                    let mut event = event(number(n));
                    event["records"] = json!([{"id": 1, "filler": filler}]);
                    event.to_string()
                })
                .collect();
            let what = format!("{count} events of {size}, kind {kind}");
            measured.call("event.submit", &what, &format!("{{\"events\":[{}]}}", events.join(",")));
        }
    }
    measured.end(4);
}

/// A list of parameters would be read as fields in their order: `[[]]` was the empty set of subscriptions.
#[test]
fn parameters_go_by_name_in_every_method() {
    let operator = Operator::with_sidecar();
    let admin = operator.token("admin_token");
    let described = operator.call(&admin, "rpc.discover", json!({})).1;
    operator.subscribe("http://127.0.0.1:9/");
    for method in described["methods"].as_array().unwrap() {
        let name = method["name"].as_str().unwrap();
        for params in [json!([]), json!([[]]), json!([null, null]), json!("x"), json!(1), json!(true)] {
            let (status, answer) = operator.call(&admin, name, params.clone());
            assert!(
                status == 200 && [-32602, -32600].contains(&answer["code"].as_i64().unwrap_or(0)),
                "{name} {params}: {answer}"
            );
        }
    }
    assert_eq!(operator.addon("subscription.list", json!({}))["subscriptions"].as_array().unwrap().len(), 1);
}

/// However large the answers, each call of a batch has its own.
#[test]
fn every_call_of_a_batch_has_an_answer_or_was_not_carried_out() {
    let operator = Operator::with_sidecar();
    let admin = operator.token("admin_token");
    let template = Value::from("x".repeat(60_000));
    let set: Vec<Value> = (0..100)
        .map(|n| json!({"id": format!("0190c1de-7b5a-7c3e-9b0a-{n:012}"), "model": "a", "url": "http://127.0.0.1:9/", "payload_template": template}))
        .collect();
    operator.addon("subscription.sync", json!({"subscriptions": set}));
    let list = |id: usize| json!({"jsonrpc": "2.0", "id": id, "method": "subscription.list", "params": {"limit": 1000}});
    let delete = |id: usize| json!({"jsonrpc": "2.0", "id": id, "method": "subscription.delete", "params": {"id": format!("0190c1de-7b5a-7c3e-9b0a-{id:012}")}});
    let batch: Vec<Value> = (0..20).map(|id| if id % 2 == 0 { list(id) } else { delete(id) }).collect();
    let (status, text) = operator.call_text(&admin, &Value::from(batch).to_string());
    let answers: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!((status, answers.len()), (200, 20));
    let left = operator.addon("subscription.list", json!({"limit": 1000}))["subscriptions"]
        .as_array()
        .unwrap()
        .clone();
    let mut refused = 0;
    for (id, answer) in answers.iter().enumerate() {
        assert_eq!(answer["id"], id);
        let was_done = answer["error"]["data"]["kind"] != "limit_exceeded";
        refused += usize::from(!was_done);
        assert_eq!(was_done, answer["result"].is_object(), "{}", answer["error"]);
        let name = format!("0190c1de-7b5a-7c3e-9b0a-{id:012}");
        if id % 2 == 1 {
            assert_eq!(left.iter().all(|subscription| subscription["id"] != json!(name)), was_done, "{id}");
        }
    }
    assert!((1..19).contains(&refused), "{refused}");
}

/// A page that is cut says so, and the next one goes on behind it.
#[test]
fn the_attempts_of_a_delivery_come_in_pages() {
    let operator = Operator::with_sidecar();
    operator.subscribe("http://127.0.0.1:9/");
    let event = operator.submit(1);
    let over = |count: usize| {
        while operator.addon("delivery.get", json!({"event_id": event}))["attempts"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|a| a["status"] == "failed")
            .count()
            < count
        {}
    };
    for count in 1..=5 {
        over(count);
        if count < 5 {
            operator.addon("delivery.redeliver", json!({"event_id": event}));
        }
    }
    for limit in [1, 2, 5, 100] {
        let (mut after, mut numbers) = (json!(null), Vec::new());
        loop {
            let page =
                operator.addon("delivery.get", json!({"event_id": event, "after": after, "limit": limit}));
            numbers
                .extend(page["attempts"].as_array().unwrap().iter().map(|a| a["attempt"].as_u64().unwrap()));
            after = page["next"].clone();
            if after.is_null() {
                break;
            }
        }
        assert_eq!(numbers, [1, 2, 3, 4, 5], "{limit}");
    }
    let beyond = operator.addon("delivery.get", json!({"event_id": event, "after": 5}));
    assert_eq!(beyond, json!({"attempts": [], "next": null}));
}

/// It hears why, though it was still writing when that was known.
#[test]
fn who_calls_with_too_much_hears_so() {
    let operator = Operator::with_sidecar();
    let token = operator.token("token");
    let body = vec![b' '; 24 << 20];
    for _ in 0..5 {
        let mut stream = std::net::TcpStream::connect(operator.address()).unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
    }
}
