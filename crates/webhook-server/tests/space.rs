//! A file system that fills up: intake stops before the last byte, everything else goes on, and it heals by itself.

mod common;

use std::{path::Path, process::Command};

use common::{Listener, Operator};
use serde_json::{Value, json};

/// A small file system of its own; gone with the value.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(folder: &'a Path) -> Self {
        std::fs::create_dir(folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=40m,mode=0700", "tmpfs"]).arg(folder);
        let mounted = mount.status().is_ok_and(|ended| ended.success());
        assert!(mounted, "this test mounts a small file system: run it as root");
        Self(folder)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

fn health(operator: &Operator) -> Value {
    let url = format!("http://{}/healthz", operator.address());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let text = runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(url).send().await.unwrap().text().await.unwrap()
    });
    serde_json::from_str(&text).unwrap()
}

/// The sidecar looks every second.
fn until(operator: &Operator, is_full: bool) -> Value {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let found = health(operator);
        if found.to_string().contains("disk_full") == is_full {
            return found;
        }
        assert!(std::time::Instant::now() < end, "{found}");
    }
}

#[test]
fn intake_stops_before_the_disk_is_full_and_comes_back_by_itself() {
    let mut operator = Operator::new();
    let data = operator.data();
    let disk = SmallDisk::mount(&data);
    operator.start(&[]);
    let listener = Listener::start(&operator, &["--count", "2"]);
    operator.subscribe(&listener.url);
    let event = operator.submit(1);
    let filler = data.join("filler");
    let space = rustix::fs::statvfs(&data).unwrap();
    let most = (space.f_bavail * space.f_frsize) as usize - (600 << 10);
    std::fs::write(&filler, vec![1; most]).unwrap();

    let full = until(&operator, true);
    assert!(full.to_string().contains("make room"), "{full}");
    let token = operator.token("token");
    let (_, refused) = operator.call(&token, "event.submit", json!({"events": [common::event(2)]}));
    assert_eq!(refused["data"]["kind"], "store_unavailable", "{refused}");
    let again = operator.addon("delivery.redeliver", json!({"event_id": event}));
    assert_eq!(again["attempt"], 2);
    assert_eq!(listener.end().matches("POST /").count(), 2, "deliveries go on");
    let deleted = operator.addon("subscription.delete", json!({"id": common::SUBSCRIPTION}));
    assert_eq!(deleted["deleted"], true);

    std::fs::remove_file(&filler).unwrap();
    until(&operator, false);
    let listener = Listener::start(&operator, &["--count", "1"]);
    operator.subscribe(&listener.url);
    operator.submit(3);
    listener.end();
    operator.stop();
    drop(disk);
}
