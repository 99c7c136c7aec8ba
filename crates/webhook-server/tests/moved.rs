//! Deliveries that somebody moves, and what Odoo says of itself: the real binary, and a real receiver.

mod common;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use common::{Operator, SUBSCRIPTION};
use serde_json::{Value, json};

/// A request that a receiver got, and that waits for its answer.
struct Got {
    /// Its head, byte by byte as characters: what a header holds is not always UTF-8.
    head: String,
    stream: TcpStream,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&str| line.to_lowercase().starts_with(&format!("{name}:"));
        self.head.lines().find(named).map(|line| line[name.len() + 1..].trim())
    }

    fn answer(self, status: u16) {
        self.answer_with(status, "");
    }

    fn answer_with(mut self, status: u16, body: &str) {
        let head = format!("content-length: {}\r\nconnection: close", body.len());
        let text = format!("HTTP/1.1 {status} OK\r\n{head}\r\n\r\n{body}");
        self.stream.write_all(text.as_bytes()).unwrap();
    }
}

/// Hands over every request, and answers none by itself.
struct Receiver {
    url: String,
    requests: mpsc::Receiver<Got>,
}

impl Receiver {
    fn start(path: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}{path}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && reader.read_until(b'\n', &mut head).unwrap() > 0 {}
                let head: String = head.into_iter().map(char::from).collect();
                let length = head.to_lowercase().lines().find_map(|line| {
                    line.strip_prefix("content-length:").and_then(|text| text.trim().parse().ok())
                });
                reader.read_exact(&mut vec![0; length.unwrap_or(0)]).unwrap();
                if sender.send(Got { head, stream }).is_err() {
                    break;
                }
            }
        });
        Self { url, requests }
    }

    fn next(&self) -> Got {
        self.requests.recv().unwrap()
    }
}

fn subscription(url: &str) -> Value {
    json!({"id": SUBSCRIPTION, "model": "sale.order", "url": url, "max_in_flight": 1, "max_attempts": 3})
}

fn kind_of(operator: &Operator, method: &str, params: Value) -> Value {
    operator.call(&operator.token("token"), method, params).1["data"]["kind"].clone()
}

/// The newest attempt of a delivery, once it is no longer pending.
fn newest(operator: &Operator, event: &str, number: u64) -> Value {
    loop {
        let found = operator.addon("delivery.get", json!({"event_id": event}));
        let attempt = found["attempts"][number as usize - 1].clone();
        if attempt["status"] != "pending" && attempt["status"] != json!(null) {
            return attempt;
        }
    }
}

#[test]
fn a_delivery_is_retried_now_or_cancelled() {
    let (operator, receiver) = (Operator::with_sidecar(), Receiver::start("/hook"));
    operator.addon("subscription.create", subscription(&receiver.url));
    let (first, second) = (operator.submit(1), operator.submit(2));
    let of = |event: &str| json!({"event_id": event});
    let hanging = receiver.next();
    assert_eq!(kind_of(&operator, "delivery.cancel", of(&first)), "conflict", "it is under way");
    let reason = json!({"event_id": second, "reason": "Cancelled by Mitchell."});
    let cancelled = operator.addon("delivery.cancel", reason.clone());
    assert_eq!(cancelled["status"], "failed");
    assert_eq!(cancelled["error"], json!({"kind": "cancelled", "message": "Cancelled by Mitchell."}));
    assert_eq!(newest(&operator, &second, 1), cancelled);
    assert_eq!(kind_of(&operator, "delivery.cancel", reason), "not_found", "nothing is pending");
    assert_eq!(kind_of(&operator, "delivery.retry_now", of(&second)), "not_found");
    let too_long = json!({"event_id": first, "reason": "x".repeat(1001)});
    assert_eq!(kind_of(&operator, "delivery.cancel", too_long), "invalid_params");
    hanging.answer(503);
    newest(&operator, &first, 1);
    let moved = operator.addon("delivery.retry_now", of(&first));
    assert_eq!((&moved["attempt"], &moved["status"]), (&json!(2), &json!("pending")));
    receiver.next().answer(503);
    newest(&operator, &first, 2);
    let cancelled = operator.addon("delivery.cancel", json!({"event_id": first, "reason": null}));
    assert_eq!((&cancelled["attempt"], &cancelled["error"]["kind"]), (&json!(3), &json!("cancelled")));
    // Cancelled is no end: it can be redelivered.
    operator.addon("delivery.redeliver", of(&second));
    let request = receiver.next();
    assert_eq!(request.header("webhook-id"), Some(second.as_str()));
    request.answer(200);
    assert_eq!(newest(&operator, &second, 2)["status"], "success");
    for event in [&first, &second] {
        for method in ["delivery.retry_now", "delivery.cancel"] {
            assert_eq!(kind_of(&operator, method, of(event)), "not_found");
        }
    }
}

#[test]
fn a_selection_is_redelivered_without_what_was_delivered_since() {
    let (operator, receiver) = (Operator::with_sidecar(), Receiver::start("/hook"));
    operator.addon(
        "subscription.create",
        json!({"id": SUBSCRIPTION, "model": "sale.order", "url": receiver.url}),
    );
    let events = [1, 2].map(|number| {
        let event = operator.submit(number);
        receiver.next().answer(if number == 1 { 500 } else { 200 });
        newest(&operator, &event, 1);
        event
    });
    let many = |extra: Value| {
        let mut params = json!({"subscription_id": SUBSCRIPTION});
        params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        params
    };
    let selected = json!({"event_ids": [events[1], events[0], SUBSCRIPTION]});
    let mut dry = selected.clone();
    dry["dry_run"] = json!(true);
    let expected = json!({"count": 1, "skipped": 1});
    assert_eq!(operator.addon("delivery.redeliver_many", many(dry)), expected);
    assert_eq!(operator.addon("delivery.redeliver_many", many(selected)), expected);
    let request = receiver.next();
    assert_eq!(request.header("webhook-id"), Some(events[0].as_str()));
    request.answer(200);
    newest(&operator, &events[0], 2);
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    assert_eq!(
        operator.addon("delivery.redeliver_many", many(since.clone())),
        json!({"count": 0, "skipped": 1})
    );
    let mut both = since;
    both["event_ids"] = json!([events[0]]);
    for (wrong, kind) in [
        (json!({}), "invalid_params"),
        (both, "invalid_params"),
        (json!({"event_ids": []}), "limit_exceeded"),
        (json!({"event_ids": vec![SUBSCRIPTION; 1001]}), "limit_exceeded"),
        (json!({"event_ids": ["x"]}), "invalid_params"),
    ] {
        assert_eq!(kind_of(&operator, "delivery.redeliver_many", many(wrong.clone())), kind, "{wrong}");
    }
}

/// A check refuses exactly what create and update refuse, and with the same words.
#[test]
fn a_check_says_what_storing_would_say_and_stores_nothing() {
    let operator = Operator::with_sidecar();
    let good = json!({"id": SUBSCRIPTION, "model": "sale.order", "url": "http://127.0.0.1:9/a"});
    let cases = [
        json!({}),
        json!({"url": "ftp://127.0.0.1/"}),
        json!({"url": "http://10.0.0.1/"}),
        json!({"secret": "short"}),
        json!({"headers": {"Host": "x"}}),
        json!({"payload_template": {"text": "{{ nonsense }}"}}),
        json!({"payload_template": {"text": "{{"}, "dialect": "google_chat"}),
        json!({"dialect": "morse"}),
        json!({"timeout_s": 61}),
        json!({"unknown": 1}),
        json!({"url": 1}),
    ];
    let answer = |method: &str, change: &Value| {
        let mut params = good.clone();
        params.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = operator.call(&operator.token("token"), method, params).1;
        (answer["code"].clone(), answer["message"].clone(), answer["data"].clone())
    };
    let stored = || operator.addon("subscription.list", json!({}))["subscriptions"].clone();
    let check = |as_what: &str| {
        for change in &cases {
            let before = stored();
            let checked = answer("subscription.check", change);
            assert_eq!(stored(), before, "{change}");
            let is_good = change == &json!({});
            assert_eq!(checked.0.is_null(), is_good, "{change}: {checked:?}");
            if !is_good {
                assert_eq!(checked, answer(as_what, change), "{change}");
            }
        }
    };
    check("subscription.create");
    operator.addon("subscription.create", good.clone());
    check("subscription.update");
    assert_eq!(kind_of(&operator, "subscription.check", json!({"id": SUBSCRIPTION})), "invalid_params");
}

/// What a knock says, for names as they are: WSGI reads headers as Latin-1.
#[test]
fn a_knock_says_for_whom_it_is_and_of_whom() {
    for (name, header) in [("prod", Some("prod")), ("Café Zürich", Some("Café Zürich")), ("Склад", None)]
    {
        let (operator, odoo) = (Operator::with_sidecar(), Receiver::start("/mcp_webhook/wake"));
        let secret = "0123456789abcdefghijklmnopqrstuv";
        let attach = |secret: Value| {
            let params =
                json!({"database": "u", "database_name": name, "wake_url": odoo.url, "wake_secret": secret});
            operator.addon("system.attach", params);
        };
        let subscription = json!({"id": SUBSCRIPTION, "model": "sale.order", "url": "http://127.0.0.1:9/"});
        let fence = format!("u {name}");
        let call = |method: &str, params: Value| {
            let answer = operator.call_of(&operator.token("token"), Some(&fence), method, params);
            assert_eq!(answer.1.get("code"), None, "{answer:?}");
        };
        let knock = |number: u32| {
            call("event.submit", json!({"events": [common::event(number)]}));
            let knock = odoo.next();
            let told =
                ["x-odoo-database", "x-mcp-wake-secret"].map(|name| knock.header(name).map(str::to_owned));
            knock.answer(204);
            told
        };
        attach(json!(secret));
        call("subscription.create", subscription);
        assert_eq!(knock(1), [header.map(str::to_owned), Some(secret.to_owned())], "{name}");
        // The start of a sidecar, and a last move of the feed, may have knocked before.
        let wrong = json!({"database": "u", "database_name": "a\nb"});
        assert_eq!(kind_of(&operator, "system.attach", wrong), "invalid_params");
        let status = operator.call(&operator.token("admin_token"), "admin.status", json!({})).1;
        assert!(!status.to_string().contains(secret));
    }
}

/// Not at each knock: once, until it is taken again.
#[test]
fn a_knock_that_is_refused_is_told_once() {
    let (mut operator, odoo) = (Operator::with_sidecar(), Receiver::start("/mcp_webhook/wake"));
    operator.subscribe("http://127.0.0.1:9/");
    operator.addon("system.attach", json!({"database": "u", "database_name": "prod", "wake_url": odoo.url}));
    for (number, status) in (0..).zip([404, 404, 204, 503, 503, 204]) {
        let events = json!({"events": [common::event(number)]});
        operator.call_of(&operator.token("token"), Some("u prod"), "event.submit", events);
        odoo.next().answer(status);
    }
    operator.stop();
    for status in ["status=404", "status=503"] {
        let told = operator.log.iter().filter(|l| l.contains("refuses the knock") && l.contains(status));
        assert_eq!(told.count(), 1, "{status}: {:?}", operator.log);
    }
}

#[test]
fn a_copy_that_lives_elsewhere_is_fenced_until_somebody_takes_over() {
    let mut operator = Operator::with_sidecar();
    let from = |instance: Value, take_over: bool| json!({"database": "u", "database_name": "prod", "instance": instance, "take_over": take_over});
    operator.addon("system.attach", from(json!("here"), false));
    assert_eq!(kind_of(&operator, "system.attach", from(json!("there"), false)), "fenced");
    operator.stop();
    operator.start(&[]);
    assert_eq!(kind_of(&operator, "system.attach", from(json!("there"), false)), "fenced");
    operator.addon("system.attach", from(json!("there"), true));
    assert_eq!(kind_of(&operator, "system.attach", from(json!("here"), false)), "fenced");
}

#[test]
fn a_secret_that_is_replaced_signs_for_as_long_as_the_call_says() {
    let (operator, receiver) = (Operator::with_sidecar(), Receiver::start("/hook"));
    operator.subscribe(&receiver.url);
    let update = |change: Value| {
        let mut params = json!({"id": SUBSCRIPTION});
        params.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        operator.addon("subscription.update", params)["previous_secret_until"].clone()
    };
    let mut number = 0;
    let mut signatures = || {
        number += 1;
        let event = operator.submit(number);
        let request = receiver.next();
        let count = request.header("webhook-signature").map_or(0, |text| text.split(' ').count());
        request.answer(200);
        newest(&operator, &event, 1);
        count
    };
    assert_eq!(signatures(), 1);
    let until = update(json!({"secret": "another-secret-1", "keep_previous_s": 3600}));
    assert!(until.is_string());
    assert_eq!(signatures(), 2);
    for same in [
        json!({"secret": "another-secret-1"}),
        json!({"secret": "another-secret-1", "keep_previous_s": 60}),
        json!({"secret": "another-secret-1", "keep_previous_s": 0}),
        json!({"name": "x"}),
        json!({"keep_previous_s": 60}),
    ] {
        assert_eq!(update(same.clone()), until, "no other secret came: {same}");
    }
    operator.addon(
        "subscription.sync",
        json!({"subscriptions": [{"id": SUBSCRIPTION, "model": "sale.order", "url": receiver.url}]}),
    );
    assert_eq!(signatures(), 2, "a sync without a secret changes nothing");
    operator.addon("delivery.test", json!({"subscription_id": SUBSCRIPTION}));
    let test = receiver.next();
    let alone = test.header("webhook-signature").map_or(0, |text| text.split(' ').count());
    test.answer(200);
    assert_eq!(alone, 1, "a test tells whether the receiver has the new secret");
    assert_eq!(update(json!({"keep_previous_s": 0})), json!(null), "without a secret 0 ends the old one");
    assert_eq!(signatures(), 1);
    let elsewhere =
        json!({"url": "http://127.0.0.1:9/", "secret": "another-secret-2", "keep_previous_s": 60});
    for (change, count) in [
        (json!({"secret": "another-secret-3"}), 1),
        (json!({"secret": null, "keep_previous_s": 60}), 0),
        (json!({"secret": "another-secret-4", "keep_previous_s": 60}), 1),
    ] {
        assert_eq!((update(change.clone()), signatures()), (json!(null), count), "{change}");
    }
    assert_eq!(update(elsewhere), json!(null), "what was meant for one place goes to no other");
    assert_eq!(
        kind_of(&operator, "subscription.update", json!({"id": SUBSCRIPTION, "keep_previous_s": 604_801})),
        "invalid_params"
    );
}

#[test]
fn a_success_that_says_otherwise_is_rejected() {
    let (operator, receiver) = (Operator::with_sidecar(), Receiver::start("/hook"));
    let condition = json!({"not_html": true, "pointer": "/ok", "equals": true});
    let made = operator.addon(
        "subscription.create",
        json!({"id": SUBSCRIPTION, "model": "sale.order", "url": receiver.url,
        "success": condition, "max_attempts": 3}),
    );
    assert_eq!(made["success"], condition);
    for (number, (body, kind)) in
        [("{\"ok\":true}", json!(null)), ("{\"ok\":false}", json!("rejected")), ("<html>", json!("rejected"))]
            .into_iter()
            .enumerate()
    {
        let event = operator.submit(u32::try_from(number).unwrap() + 1);
        receiver.next().answer_with(200, body);
        assert_eq!(newest(&operator, &event, 1)["error"]["kind"], kind, "{body}");
    }
    let unset = operator.addon("subscription.update", json!({"id": SUBSCRIPTION, "success": null}));
    assert_eq!(unset["success"], json!(null));
    assert_eq!(
        kind_of(&operator, "subscription.update", json!({"id": SUBSCRIPTION, "success": {"pointer": "ok"}})),
        "invalid_params"
    );
}

#[test]
fn events_of_a_subscription_without_a_url_are_read() {
    let mut operator = Operator::with_sidecar();
    let made = operator
        .addon("subscription.create", json!({"id": SUBSCRIPTION, "model": "sale.order", "url": null}));
    assert_eq!(made["url"], json!(null));
    let events: Vec<String> = (1..=3).map(|number| operator.submit(number)).collect();
    operator.stop();
    operator.start(&[]);
    let mut after = json!("");
    let mut read = Vec::new();
    loop {
        let page = operator
            .addon("event.read", json!({"subscription_id": SUBSCRIPTION, "after": after, "limit": 2}));
        read.extend(
            page["events"]
                .as_array()
                .unwrap()
                .iter()
                .map(|event| event["event_id"].as_str().unwrap().to_owned()),
        );
        after = page["cursor"].clone();
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(read, events);
    assert_eq!(
        operator.addon("delivery.get", json!({"event_id": events[0]})),
        json!({"attempts": [], "next": null})
    );
    assert_eq!(operator.addon("system.info", json!({}))["pending"], 0);
    let of = |after: &str| json!({"subscription_id": SUBSCRIPTION, "after": after});
    assert_eq!(kind_of(&operator, "event.read", of("other:1")), "stale_cursor");
    assert_eq!(kind_of(&operator, "event.read", of("x")), "invalid_params");
    assert_eq!(kind_of(&operator, "event.read", json!({"subscription_id": events[0]})), "not_found");
}
