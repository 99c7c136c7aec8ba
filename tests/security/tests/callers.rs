//! Callers that must not get in, and calls that must not get through: against the release binary. Each call would store a
//! subscription, so "reached" is what is stored afterwards.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use webhook_security::{
    report::{self, Class},
    sidecar::{Settings, Sidecar},
    subscription,
};

/// The body of a call that would store a subscription.
fn body() -> String {
    let params = subscription("https://example.com/", json!({}));
    json!({"jsonrpc": "2.0", "id": 1, "method": "subscription.create", "params": params}).to_string()
}

/// Sends raw bytes on a connection of their own; the answer's status and body.
async fn send(sidecar: &Sidecar, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(sidecar.address()).await.unwrap();
    let head = head.replace("{token}", sidecar.token()).replace("{length}", &body.len().to_string());
    let _ = stream.write_all(&[head.as_bytes(), b"\r\nconnection: close\r\n\r\n", body].concat()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await; // a reset is an end, too
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

async fn stored(sidecar: &Sidecar) -> usize {
    let listed = sidecar.call("subscription.list", json!({})).await.unwrap();
    listed["subscriptions"].as_array().unwrap().len()
}

const CALL: &str =
    "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}";

/// Who is refused: what the head says, and the status.
fn heads() -> Vec<(&'static str, String, u16)> {
    let call = |more: &str| format!("{CALL}\r\n{more}");
    let right = "authorization: Bearer {token}";
    let other = |head: &str| format!("{head}\r\nhost: localhost\r\n{right}\r\ncontent-length: {{length}}");
    vec![
        ("no token", CALL.to_owned(), 401),
        ("an empty token", call("authorization: Bearer "), 401),
        ("a wrong token", call(&format!("authorization: Bearer {}", "x".repeat(43))), 401),
        ("the token's beginning", call("authorization: Bearer {token}").replace("{token}", "{tok"), 401),
        ("the token and more", call("authorization: Bearer {token}x"), 401),
        ("the token as basic", call("authorization: Basic {token}"), 401),
        ("the token without a scheme", call("authorization: {token}"), 401),
        ("the scheme in small letters and two spaces", call("authorization: bearer  {token}"), 401),
        ("a token of 60 kB", call(&format!("authorization: Bearer {}", "x".repeat(60_000))), 401),
        ("a token that is not ASCII", call("authorization: Bearer \u{e9}"), 401),
        ("two tokens, the second right", call(&format!("authorization: Bearer x\r\n{right}")), 401),
        ("the right token twice", call(&format!("{right}\r\n{right}")), 401),
        ("the token in the query", CALL.replace("POST /", "POST /?token={token}"), 401),
        ("the token as a cookie", call("cookie: token={token}"), 401),
        ("the token for a proxy", call("proxy-authorization: Bearer {token}"), 401),
        ("a page of the same machine", call(&format!("{right}\r\norigin: http://localhost:8069")), 403),
        ("a page without an origin of its own", call(&format!("{right}\r\norigin: null")), 403),
        ("an empty Origin", call(&format!("{right}\r\norigin: ")), 403),
        ("a name that was rebound", call(right).replace("host: localhost", "host: evil.example"), 403),
        (
            "a name that ends in localhost",
            call(right).replace("host: localhost", "host: evil-localhost"),
            403,
        ),
        (
            "a name under localhost",
            call(right).replace("host: localhost", "host: localhost.evil.example"),
            403,
        ),
        ("another address", call(right).replace("host: localhost", "host: 10.0.0.1"), 403),
        ("a Host with a user", call(right).replace("host: localhost", "host: localhost@evil.example"), 403),
        ("no Host", call(right).replace("host: localhost\r\n", ""), 403),
        ("two Hosts", call(&format!("{right}\r\nhost: evil.example")), 403),
        ("GET", other("GET / HTTP/1.1"), 405),
        ("PUT", other("PUT / HTTP/1.1"), 405),
        ("OPTIONS, as before a request of another page", other("OPTIONS / HTTP/1.1"), 405),
        ("TRACE", other("TRACE / HTTP/1.1"), 405),
        ("another path", other("POST /rpc HTTP/1.1"), 404),
        ("a path that leads back", other("POST /x/.. HTTP/1.1"), 404),
        ("two slashes", other("POST // HTTP/1.1"), 404),
        ("a form, as any page may send it", call(right).replace("application/json", "text/plain"), 415),
        (
            "a form, encoded",
            call(right).replace("application/json", "application/x-www-form-urlencoded"),
            415,
        ),
        ("no type", call(right).replace("content-type: application/json\r\n", ""), 415),
        ("length and chunks", call(&format!("{right}\r\ntransfer-encoding: chunked")), 400),
        ("a transfer coding that is none", call(&format!("{right}\r\ntransfer-encoding: gzip")), 400),
    ]
}

/// What is refused of those who have a token: the body, and the code.
fn bodies() -> Vec<(&'static str, Vec<u8>, i64)> {
    let params = subscription("https://example.com/", json!({})).to_string();
    let call = |rest: &str| format!("{{\"jsonrpc\":\"2.0\",{rest}}}").into_bytes();
    let with = |params: &str| call(&format!(r#""id":1,"method":"subscription.create","params":{params}"#));
    let with_id = |id: &str| call(&format!(r#""id":{id},"method":"subscription.create","params":{params}"#));
    let field = |name: &str, value: &str| with(&params.replacen('{', &format!("{{\"{name}\":{value},"), 1));
    let instead = |name: &str, value: Value| {
        let mut changed: Value = serde_json::from_str(&params).unwrap();
        changed[name] = value;
        with(&changed.to_string())
    };
    vec![
        ("nothing", Vec::new(), -32700),
        ("an empty batch", b"[]".to_vec(), -32600),
        ("invalid UTF-8", [with(&params).as_slice(), &[0xff]].concat(), -32700),
        ("a byte order mark", ["\u{feff}".as_bytes(), &with(&params)].concat(), -32700),
        ("two documents", [with(&params), b"{}".to_vec()].concat(), -32700),
        ("100,000 brackets", "[".repeat(100_000).into_bytes(), -32700),
        ("a half surrogate", field("name", r#""\ud800""#), -32602),
        ("NaN", field("timeout_s", "NaN"), -32700),
        ("no id", call(&format!(r#""method":"subscription.create","params":{params}"#)), -32600),
        ("an id that is an object", with_id("{}"), -32600),
        ("an id that is a list", with_id("[1]"), -32600),
        ("an id of 1.5", with_id("1.5"), -32600),
        ("an id beyond 64 bits", with_id("18446744073709551616"), -32600),
        (
            "two methods",
            call(&format!(
                r#""id":1,"method":"system.info","method":"subscription.create","params":{params}"#
            )),
            -32600,
        ),
        (
            "two params",
            call(&format!(r#""id":1,"method":"subscription.create","params":{{}},"params":{params}"#)),
            -32600,
        ),
        (
            "no version",
            format!(r#"{{"id":1,"method":"subscription.create","params":{params}}}"#).into_bytes(),
            -32600,
        ),
        ("version 1.0", String::from_utf8(with(&params)).unwrap().replace("2.0", "1.0").into_bytes(), -32600),
        ("parameters by position", with(&format!("[{params}]")), -32602),
        ("parameters that are a text", with("\"x\""), -32602),
        (
            "a method with a space",
            call(&format!(r#""id":1,"method":"subscription.create ","params":{params}"#)),
            -32601,
        ),
        (
            "a method in capitals",
            call(&format!(r#""id":1,"method":"Subscription.Create","params":{params}"#)),
            -32601,
        ),
        (
            "a method of 1 MB",
            call(&format!(r#""id":1,"method":"{}","params":{params}"#, "x".repeat(1 << 20))),
            -32601,
        ),
        (
            "a path as method",
            call(&format!(r#""id":1,"method":"../subscription.create","params":{params}"#)),
            -32601,
        ),
        ("rpc.*", call(r#""id":1,"method":"rpc.modules""#), -32601),
        (
            "a method of the administration",
            call(r#""id":1,"method":"admin.backup","params":{"path":"/tmp/x"}"#),
            -32601,
        ),
        ("a key twice", field("url", "\"https://other.example/\""), -32602),
        ("an unknown key", field("enabled", "true"), -32602),
        ("a key in capitals", field("Url", "\"https://other.example/\""), -32602),
        ("NUL in a text", field("name", r#""a\u0000b""#), -32602),
        ("NUL in a key", field("a\\u0000b", "1"), -32602),
        ("a number as URL", instead("url", json!(5)), -32602),
        ("a list as headers", instead("headers", json!([])), -32602),
        ("numbers in headers", instead("headers", json!({"x-a": 1})), -32602),
        ("yes as truth", instead("active", json!("yes")), -32602),
        ("1 as truth", instead("active", json!(1)), -32602),
        ("a timeout of 0", instead("timeout_s", json!(0)), -32602),
        ("a timeout of 61", instead("timeout_s", json!(61)), -32602),
        ("a timeout of 10.5", instead("timeout_s", json!(10.5)), -32602),
        ("a number of 30 digits", field("timeout_s", "100000000000000000000000000000"), -32602),
        ("65 at a time", instead("max_in_flight", json!(65)), -32602),
        ("21 attempts", instead("max_attempts", json!(21)), -32602),
        ("an id that is no UUID", instead("id", json!("../x")), -32602),
        ("a name of 257 bytes", instead("name", json!("x".repeat(257))), -32602),
        ("an empty model", instead("model", json!("")), -32602),
        ("an event type of SQL", instead("event_type", json!("all' OR 1=1")), -32602),
        ("a dialect that is none", instead("dialect", json!("html")), -32602),
        ("null as model", instead("model", Value::Null), -32602),
        (
            "33 levels",
            instead(
                "payload_template",
                serde_json::from_str(&format!("{}1{}", "[".repeat(33), "]".repeat(33))).unwrap(),
            ),
            -32602,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_and_nothing_bent_gets_through() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(folder.path(), &Settings::default());
    let mut outside = Class::new("H. Callers of the sidecar");
    for (what, head, expected) in heads() {
        let (status, answer) = send(&sidecar, &head, body().as_bytes()).await;
        let is_silent = status != 401 || answer.is_empty();
        let how = if status == expected && is_silent {
            Ok(format!("HTTP {status}"))
        } else {
            Err(format!("HTTP {status}: {answer}"))
        };
        outside.add(what, how, stored(&sidecar).await);
    }
    let mut inside = Class::new("H. Calls with the token");
    for (what, body, expected) in bodies() {
        let head = format!("{CALL}\r\nauthorization: Bearer {{token}}");
        let (status, text) = send(&sidecar, &head, &body).await;
        let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let code = answer["error"]["code"].as_i64();
        let how = if code == Some(expected) {
            Ok(format!("{expected}"))
        } else {
            Err(format!("HTTP {status}: {text}"))
        };
        inside.add(what, how, stored(&sidecar).await);
    }
    batches(&sidecar, &mut inside).await;
    let good = json!({"name": "control"});
    assert!(sidecar.call("subscription.create", subscription("https://example.com/", good)).await.is_ok());
    assert_eq!(stored(&sidecar).await, 1, "the control was stored: the calls would have been");
    let (status, output) = sidecar.stop();
    assert!(status.success() && !output.contains("panicked"), "{output}");
    report::write("callers", &[outside.clone(), inside.clone()], &[]);
    assert!(outside.held() && inside.held(), "{outside:#?} {inside:#?}");
}

/// A batch is refused as a whole where it is too long or holds a notification.
async fn batches(sidecar: &Sidecar, class: &mut Class) {
    let notification = format!("[{},{}]", body(), body().replace("\"id\":1,", ""));
    let long = format!("[{}]", vec![body(); 101].join(","));
    for (what, batch) in [("a notification in a batch", notification), ("a batch of 101", long)] {
        let (status, text) = sidecar.answer(batch).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        let how = if answer["error"]["code"].as_i64().is_some_and(|code| code < 0) {
            Ok("as a whole".to_owned())
        } else {
            Err(format!("HTTP {status}: {text}"))
        };
        class.add(what, how, stored(sidecar).await);
    }
}
