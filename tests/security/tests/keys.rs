//! Keys and tokens are replaced while everything that was stored goes on working; files that others can read are refused.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
};

use serde_json::{Value, json};
use webhook_security::{
    endpoint::header,
    sidecar::{Settings, Sidecar},
    subscription,
};

const SECRET: &str = "0123456789abcdef-secret";

fn settings() -> Settings {
    Settings::config("[network]\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n")
}

/// One request at a listener on loopback; its head.
async fn receive(listener: &TcpListener) -> String {
    let listener = listener.try_clone().unwrap();
    tokio::task::spawn_blocking(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        while !bytes.ends_with(b"}") {
            let length = stream.read(&mut buffer).unwrap();
            bytes.extend_from_slice(&buffer[..length]);
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
    .await
    .unwrap()
}

/// Whether what is sealed is still known: the request carries the header and a signature.
async fn sends_its_secrets(sidecar: &Sidecar, stored: &Value, listener: &TcpListener) {
    let (_, request) = tokio::join!(sidecar.submit(stored), receive(listener));
    assert_eq!(header(&request, "x-api-key"), Some("sealed-value"), "{request}");
    assert!(header(&request, "x-mcp-signature").is_some(), "{request}");
}

async fn with_secrets(sidecar: &Sidecar, listener: &TcpListener) -> Value {
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let made = subscription(&url, json!({"secret": SECRET, "headers": {"x-api-key": "sealed-value"}}));
    sidecar.call("subscription.create", made).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_replaced_and_the_old_one_is_not_needed_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sidecar = Sidecar::start(folder.path(), &settings());
    let stored = with_secrets(&sidecar, &listener).await;
    sends_its_secrets(&sidecar, &stored, &listener).await;
    let data = sidecar.data();
    assert!(sidecar.stop().0.success());

    let old = fs::read(data.join("key")).unwrap();
    fs::rename(data.join("key"), data.join("key.old")).unwrap();
    let sidecar = Sidecar::start(folder.path(), &settings());
    assert_ne!(fs::read(data.join("key")).unwrap(), old, "a new key was made");
    sends_its_secrets(&sidecar, &stored, &listener).await;
    assert!(sidecar.stop().1.contains("sealed anew"));

    fs::remove_file(data.join("key.old")).unwrap();
    let sidecar = Sidecar::start(folder.path(), &settings());
    sends_its_secrets(&sidecar, &stored, &listener).await;
    assert!(!sidecar.stop().1.contains("sealed anew"), "once is enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_systemd_takes_the_place_of_the_key_file() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sidecar = Sidecar::start(folder.path(), &settings());
    let stored = with_secrets(&sidecar, &listener).await;
    let data = sidecar.data();
    assert!(sidecar.stop().0.success());

    let credentials = folder.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("key"), [7; 32]).unwrap();
    mode(&credentials.join("key"), "400");
    let mut with_credential = settings();
    with_credential.environment =
        vec![("CREDENTIALS_DIRECTORY".to_owned(), credentials.display().to_string())];
    let sidecar = Sidecar::start(folder.path(), &with_credential);
    sends_its_secrets(&sidecar, &stored, &listener).await;
    assert!(sidecar.stop().0.success());

    fs::remove_file(data.join("key")).unwrap();
    let sidecar = Sidecar::start(folder.path(), &with_credential);
    sends_its_secrets(&sidecar, &stored, &listener).await;
    assert!(sidecar.stop().0.success());
    let said = Sidecar::try_start(folder.path(), &settings()).unwrap_err();
    assert!(said.contains("key is missing"), "neither credential nor file: {said}");
}

fn mode(path: &Path, mode: &str) {
    assert!(std::process::Command::new("chmod").arg(mode).arg(path).status().unwrap().success());
}

#[test]
fn every_file_that_others_can_read_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(folder.path(), &settings());
    let data = sidecar.data();
    assert!(sidecar.stop().0.success());
    for name in ["token", "admin_token", "key", "log.redb", "log.redb-journal"] {
        mode(&data.join(name), "640");
        let said = Sidecar::try_start(folder.path(), &settings()).unwrap_err();
        assert!(said.contains(&format!("{name} is open to others")) && said.contains("chmod 600"), "{said}");
        mode(&data.join(name), "600");
    }
    mode(&data, "750");
    let said = Sidecar::try_start(folder.path(), &settings()).unwrap_err();
    assert!(said.contains("is open to others") && said.contains("chmod 700"), "{said}");
    mode(&data, "700");
    assert!(Sidecar::start(folder.path(), &settings()).stop().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tokens_hold_at_once_and_a_reload_drops_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(folder.path(), &settings());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = async |token: &str| {
        let request = client.post(format!("http://{}/", sidecar.address())).bearer_auth(token);
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"system.info"}"#;
        request.header("content-type", "application/json").body(body).send().await.unwrap().status().as_u16()
    };
    let (old, new) = (sidecar.token().to_owned(), "n".repeat(43));
    let file = sidecar.data().join("token");
    for (text, expected) in [(format!("{old}\n{new}\n"), [200, 200]), (format!("{new}\n"), [401, 200])] {
        let seen = sidecar.output().matches("reloaded").count();
        fs::write(&file, text).unwrap();
        let pid = sidecar.pid().to_string();
        assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        while sidecar.output().matches("reloaded").count() == seen {
            tokio::task::yield_now().await;
        }
        assert_eq!([call(&old).await, call(&new).await], expected);
    }
    assert!(sidecar.stop().0.success());
}
