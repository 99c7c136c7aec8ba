//! The command line, as an operator uses it: the real binary, a real data directory, a real receiver.

mod common;

use common::{Listener, Operator, SUBSCRIPTION};
use serde_json::{Value, json};

#[test]
fn without_a_sidecar_every_command_says_what_to_do() {
    let operator = Operator::new();
    for command in
        [&["status"][..], &["subscriptions", "list"], &["deliveries", "list"], &["deliveries", "tail"]]
    {
        operator.run(command).expect(3, "start it with `mcp-webhookd serve`");
    }
    operator.run(&["verify"]).expect(1, "give --data-dir DIR");
    operator.run(&["token", "rotate"]).expect(1, "start the sidecar once");
    operator.run(&["deliveries", "redeliver"]).expect(2, "--subscription");
    operator.run(&["--listen", "0.0.0.0:1", "check-config"]).expect(2, "correct them and start again");
}

#[test]
fn every_failure_ends_with_what_to_do() {
    let operator = Operator::with_sidecar();
    let (address, id) = (operator.address(), SUBSCRIPTION);
    let port = address.rsplit(':').next().unwrap();
    let cases: &[(&[&str], i32, &str)] = &[
        (
            &["--listen", "127.0.0.1:0", "serve"],
            1,
            "or give this one a data directory of its own with --data-dir DIR",
        ),
        (&["--config", "/nowhere", "serve"], 2, "correct them and start again"),
        (&["backup", "/nowhere/backup.redb"], 1, "make it, or name a file elsewhere"),
        (&["restore", "/nowhere/backup.redb"], 1, "made and that the sidecar's user may read"),
        (
            &["deliveries", "show", id],
            4,
            "look for it with: mcp-webhookd deliveries list, or subscriptions list",
        ),
        (&["deliveries", "show", "x"], 4, "correct that and try again"),
        (
            &["deliveries", "redeliver", "--subscription", id, "--since", "2x"],
            1,
            "3d or 2026-11-23T10:15:00Z",
        ),
        (&["listen", "--port", port], 1, "give another --port"),
        (&["listen", "--secret", "short"], 1, "give it as the subscription has it"),
        (&["template", "preview", "-"], 1, "correct it and try again"),
        (&["nonsense"], 2, "try '--help'."),
    ];
    for (arguments, code, remedy) in cases {
        ends_with(operator.command(arguments), *code, remedy);
    }
    let elsewhere = operator.folder.path().join("elsewhere");
    ends_with(Operator::command_at(&elsewhere, &["verify"]), 1, "give --data-dir DIR");
    let taken = Operator::command_at(&elsewhere, &["--listen", &address, "serve"]);
    ends_with(taken, 1, "or choose another address with --listen ADDR:PORT");
    let other = "give a folder of the sidecar's own with --data-dir DIR";
    ends_with(Operator::command_at("/proc/x".as_ref(), &["serve"]), 1, other);
    ends_with(Operator::command_at("/".as_ref(), &["serve"]), 1, other);
    std::fs::write(elsewhere.join("token"), "short\n").unwrap();
    let weak = Operator::command_at(&elsewhere, &["--listen", "127.0.0.1:0", "serve"]);
    ends_with(weak, 1, "write a longer one, such as that of: openssl rand -hex 32");
}

/// The last thing that a failure says is what to do, and it says it once.
#[track_caller]
fn ends_with(mut command: std::process::Command, code: i32, remedy: &str) {
    let told = common::Ran::from(command.output().unwrap()).expect(code, remedy).err;
    assert!(told.trim_end().ends_with(remedy), "{told}");
    assert_eq!(told.matches(remedy).count(), 1, "{told}");
}

#[test]
fn an_empty_list_says_so_beside_the_output() {
    let operator = Operator::with_sidecar();
    for (list, says) in [("deliveries", "no attempts"), ("subscriptions", "they are made in Odoo")] {
        let ran = operator.run(&[list, "list"]).expect(0, says);
        assert_eq!(ran.out, "", "{list}");
        assert_eq!(operator.run(&[list, "list", "--json"]).expect(0, "").out, "");
    }
}

#[test]
fn the_configurations_faults_come_all_at_once_wherever_they_are() {
    let operator = Operator::new();
    let file = operator.folder.path().join("config.toml");
    std::fs::write(&file, "[server]\nlisten = \"0.0.0.0:1\"\n[retention]\ndays = 0\n[log]\ncolour = 1\n")
        .unwrap();
    let mut command = operator.command(&["--config", file.to_str().unwrap(), "check-config"]);
    let ran = command.env("MCP_WEBHOOKD_DISPATCH_MAX_IN_FLIGHT", "many").output().unwrap();
    let told = common::Ran::from(ran).expect(2, "correct them and start again").err;
    let places: Vec<&str> = told.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    let place = |place: &str| format!("{}, {place}", file.display());
    assert_eq!(
        places,
        [
            &place("line 4, column 8"),
            &place("line 6, column 1"),
            "MCP_WEBHOOKD_DISPATCH_MAX_IN_FLIGHT",
            "[server]",
            "the configuration has faults; correct them and start again"
        ],
        "{told}"
    );
}

#[test]
fn check_config_looks_into_the_files_that_it_names() {
    let operator = Operator::new();
    let file = operator.folder.path().join("config.toml");
    let text = "[server]\ntls_cert_file = \"/nowhere/cert.pem\"\n\
                tls_key_file = \"/nowhere/key.pem\"\n[network]\nextra_ca_file = \"/nowhere/ca.pem\"\n";
    std::fs::write(&file, text).unwrap();
    let told =
        operator.run(&["--config", file.to_str().unwrap(), "check-config"]).expect(2, "correct them").err;
    for named in ["/nowhere/key.pem", "/nowhere/ca.pem"] {
        assert!(told.contains(named), "{named}: {told}");
    }
}

#[test]
fn the_addons_token_is_told_that_there_is_no_administration() {
    let operator = Operator::with_sidecar();
    operator.addon("system.attach", json!({"database": "u1", "database_name": "prod"}));
    for method in ["admin.status", "admin.reload", "admin.rotate_token", "admin.verify", "admin.compact"] {
        let (_, unknown) = operator.call(&operator.token("token"), "admin.nonsense", json!({}));
        let (_, answer) = operator.call(&operator.token("token"), method, json!({}));
        assert_eq!((answer["code"].as_i64(), &answer), (Some(-32601), &unknown), "{method}");
        let (_, answer) = operator.call(&operator.token("admin_token"), method, json!({}));
        assert!(answer.get("code").is_none(), "{method}: {answer}");
    }
    let names = |token: &str| operator.call(&operator.token(token), "rpc.discover", json!({})).1.to_string();
    assert!(!names("token").contains("admin.") && names("admin_token").contains("admin.status"));
    // The database is attached, so the addon needs the header; the administration does not.
    let test = json!({"subscription_id": SUBSCRIPTION});
    let kind = |token: &str| {
        operator.call(&operator.token(token), "delivery.test", test.clone()).1["data"]["kind"].clone()
    };
    assert_eq!((kind("token"), kind("admin_token")), (json!("fenced"), json!("not_found")));
}

#[test]
fn a_day_from_the_subscription_to_the_second_try() {
    let operator = Operator::with_sidecar();
    let listener =
        Listener::start(&operator, &["--count", "1", "--status", "503", "--secret", "0123456789abcdef"]);
    operator.subscribe(&format!("{}hook?key=hidden", listener.url));
    let listed = operator.run(&["subscriptions", "list"]).expect(0, "sale.order all");
    assert!(listed.out.contains("active") && !listed.out.contains("hidden"), "{}", listed.out);
    operator.run(&["subscriptions", "show", SUBSCRIPTION]).expect(0, "\"has_secret\": true");

    let tail = operator.command(&["deliveries", "tail", "--count", "1", "--json"]);
    let tail = { tail }.stdout(std::process::Stdio::piped()).spawn().unwrap();
    // The tail may have begun after the end of the attempt, so the test waits for the receiver, not for the tail.
    let event = operator.submit(1);
    let seen = listener.end();
    assert!(
        seen.contains("POST /hook?key=hidden") && seen.contains(&format!("webhook-id: {event}")),
        "{seen}"
    );
    assert!(seen.contains("signature: valid") && seen.contains("\"event_type\": \"write\""), "{seen}");

    let failed = wait(|| {
        let ran = operator.run(&["deliveries", "list", "--status", "failed", "--json"]);
        (!ran.out.is_empty()).then_some(ran.out)
    });
    let failed: Value = serde_json::from_str(&failed).unwrap();
    assert_eq!((failed["event_id"].as_str(), failed["response_code"].as_u64()), (Some(&*event), Some(503)));
    operator.run(&["deliveries", "show", &event]).expect(0, "http_status");
    operator.run(&["deliveries", "show", SUBSCRIPTION]).expect(4, "there is no such event");
    operator
        .run(&["deliveries", "redeliver", "--subscription", SUBSCRIPTION, "--since", "1h", "--dry-run"])
        .expect(0, "1 deliveries would be sent once more");

    operator.run(&["deliveries", "redeliver", &event]).expect(0, "attempt 2 is on its way");
    let told = { tail }.wait_with_output().unwrap();
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told["event_id"].as_str(), Some(&*event));
    let ended = wait(|| {
        let ran = operator.run(&["deliveries", "show", &event]);
        (!ran.out.contains("pending")).then_some(ran.out)
    });
    assert!(ended.contains("2 manual") && ended.contains("connect"), "{ended}");
    operator.run(&["verify"]).expect(0, "the delivery log is sound: 1 events, 2 attempts");
    let status = operator.run(&["status"]).expect(0, "1 events accepted, 0 attempts succeeded, 2 failed");
    let pulled = operator.run(&["status", "--json"]).expect(0, "\"last_pull_at\": null");
    assert!(pulled.out.contains("\"pull_lag\": null"), "the commands' own look at the feed is not Odoo's");
    assert!(!status.out.contains('\u{1b}'), "colour only on a terminal: {}", status.out);
}

/// Polls what another process does.
fn wait<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < end, "it did not happen in 20 s");
    }
}

#[test]
fn a_wrong_secret_is_seen_at_the_receiver() {
    let operator = Operator::with_sidecar();
    let listener = Listener::start(&operator, &["--count", "1", "--secret", "another-secret-of-16"]);
    operator.subscribe(&listener.url);
    operator.submit(1);
    assert!(listener.end().contains("signature: INVALID (not signed with this secret"));
}

#[test]
fn a_token_rotates_without_a_gap() {
    let operator = Operator::with_sidecar();
    let old = operator.token("token");
    let status = |token: &str| operator.call(token, "system.info", json!({})).0;
    operator.run(&["token", "rotate"]).expect(0, "token rotate --finish");
    let new = operator.token("token");
    assert!(new != old && status(&old) == 200 && status(&new) == 200);
    operator.run(&["token", "rotate", "--finish"]).expect(0, "only the first line");
    assert_eq!((status(&old), status(&new)), (401, 200));
    let path = operator.run(&["token", "path"]).expect(0, "token").out;
    assert_eq!(path.trim(), operator.data().join("token").to_str().unwrap());
}

#[test]
fn sighup_reloads_tokens_networks_and_log_level() {
    let mut operator = Operator::new();
    let file = operator.folder.path().join("config.toml");
    std::fs::write(&file, "").unwrap();
    operator.start(&["--config", file.to_str().unwrap()]);
    let create = || {
        let wish = json!({"id": SUBSCRIPTION, "model": "a", "url": "http://127.0.0.1:9/"});
        operator.call(&operator.token("admin_token"), "subscription.create", wish).1
    };
    assert_eq!(create()["data"]["kind"], "blocked_address");
    std::fs::write(&file, "[network]\nallow_networks = [\"127.0.0.0/8\"]\n[log]\nlevel = \"debug\"\n")
        .unwrap();
    let token = "a-token-that-the-operator-wrote";
    std::fs::write(operator.data().join("token"), format!("{token}\n")).unwrap();
    operator.signal("HUP");
    wait(|| (operator.call(token, "system.info", json!({})).0 == 200).then_some(()));
    assert_eq!(create()["id"], SUBSCRIPTION);
    // A fault in the file changes nothing.
    std::fs::write(&file, "[network]\nallow_netwroks = []\n").unwrap();
    let (_, answer) = operator.call(&operator.token("admin_token"), "admin.reload", json!({}));
    assert!(answer["message"].as_str().unwrap().contains("allow_netwroks"), "{answer}");
    assert_eq!(operator.call(token, "system.info", json!({})).0, 200);
    operator.stop();
}

#[test]
fn doctor_names_what_is_in_the_way_and_the_remedy() {
    let mut operator = Operator::new();
    operator
        .run(&["--listen", "127.0.0.1:0", "doctor"])
        .expect(0, "the first start of `mcp-webhookd serve` makes it");
    operator.start(&[]);
    let listener = Listener::start(&operator, &["--count", "1"]);
    let networks = ("MCP_WEBHOOKD_NETWORK_ALLOW_NETWORKS", "127.0.0.0/8");
    let mut tried = operator.command(&["doctor", "--url", &listener.url]);
    let tried =
        common::Ran::from(tried.env(networks.0, networks.1).output().unwrap()).expect(0, "HTTP 200 in");
    assert!(tried.out.contains("the sidecar answers, version"), "{}", tried.out);
    listener.end();
    operator.run(&["doctor", "--url", "http://127.0.0.1:9/"]).expect(5, "loopback");
    let mut refused =
        operator.command(&["doctor", "--url", "http://127.0.0.1:9/", "--odoo", "http://127.0.0.1:9/"]);
    let refused = common::Ran::from(refused.env(networks.0, networks.1).output().unwrap());
    let told = refused.expect(5, "2 things are in the way").out;
    assert!(told.contains("connection refused; start what should listen there"), "{told}");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(operator.data().join("token"), std::fs::Permissions::from_mode(0o644)).unwrap();
    operator.run(&["doctor"]).expect(5, "chmod 600");
}

#[test]
fn a_template_is_previewed_without_a_sidecar() {
    let operator = Operator::new();
    let file = |name: &str, text: &str| {
        let path = operator.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let template = file("t.json", r#"{"text": "{{ record.name }} of {{ model }}"}"#);
    let event = file("e.json", r#"{"model": "sale.order", "records": [{"id": 1, "name": "S1"}]}"#);
    let shown = operator.run(&["template", "preview", &template, "--event", &event]).expect(0, "");
    assert_eq!(shown.out.trim(), r#"{"text":"S1 of sale.order"}"#);
    let wrong = file("w.json", r#"{"text": "{{ nope }}"}"#);
    operator.run(&["template", "preview", &wrong]).expect(4, "correct the template");
    operator.run(&["template", "preview", "/nowhere"]).expect(1, "give another file");
}

#[test]
fn a_backup_taken_while_it_runs_is_restored_under_a_new_identity() {
    let mut operator = Operator::with_sidecar();
    let listener = Listener::start(&operator, &["--count", "1"]);
    operator.subscribe(&listener.url);
    let event = operator.submit(1);
    listener.end();
    let info = |operator: &Operator| operator.addon("system.info", json!({}));
    let before = info(&operator);
    let file = operator.folder.path().join("backup.redb");
    let file = file.to_str().unwrap();
    operator.run(&["backup", file]).expect(0, "the sidecar is running and makes the copy itself");
    operator.run(&["backup", file]).expect(4, "exists already; name another file, or move it away\n");
    operator.run(&["backup", "/proc/backup.redb"]).expect(4, "where the sidecar's user may write");
    operator.run(&["compact"]).expect(0, "and has");
    operator.run(&["restore", file]).expect(1, "stop it, restore, and start it again");
    operator.stop();
    std::fs::write(operator.folder.path().join("junk"), "no log").unwrap();
    operator.run(&["restore", operator.folder.path().join("junk").to_str().unwrap()]).expect(5, "");
    operator.run(&["restore", file]).expect(0, "log.replaced");
    operator.run(&["compact"]).expect(0, "and has");
    operator.run(&["backup", operator.folder.path().join("second").to_str().unwrap()]).expect(0, "rows");
    operator.start(&[]);
    let after = info(&operator);
    assert_ne!(before["log_id"], after["log_id"]);
    operator.run(&["deliveries", "show", &event]).expect(0, &event);
}

#[test]
fn completions_manual_and_example_come_from_the_binary() {
    let operator = Operator::new();
    for shell in ["bash", "zsh", "fish"] {
        operator.run(&["completions", shell]).expect(0, "redeliver");
    }
    let manual = operator.run(&["man"]).expect(0, ".SS deliveries redeliver").out;
    assert!(manual.contains("Exit codes:"), "{manual}");
    let example = operator.run(&["check-config", "--example"]).expect(0, "").out;
    let committed = std::fs::read_to_string(common::root().join("packaging/config.toml")).unwrap();
    assert_eq!(committed, example, "renew it: mcp-webhookd check-config --example > packaging/config.toml");
}

#[test]
fn help_explains_every_command_and_option() {
    let operator = Operator::new();
    let help = operator.run(&["--help"]).expect(0, "Examples:").out;
    assert!(help.starts_with("Delivers Odoo's webhook events"), "{help}");
    operator.run(&["deliveries", "redeliver", "--help"]).expect(0, "--dry-run");
    operator.run(&["token", "rotate", "--help"]).expect(0, "In two steps");
    operator.run(&["nonsense"]).expect(2, "--help");
    let help = operator.run(&["deliveries", "list", "--help"]).expect(0, "Options of every command:").out;
    assert!(
        help.find("--status") < help.find("Options of every command:"),
        "its own options come first: {help}"
    );
}

#[test]
fn health_tells_reasons_and_metrics_count() {
    let operator = Operator::with_sidecar();
    let get = |path: &str| {
        let url = format!("http://{}{path}", operator.address());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { reqwest::get(url).await.unwrap().text().await.unwrap() })
    };
    assert_eq!(get("/healthz"), r#"{"status":"ok","reasons":[]}"#);
    operator.subscribe("http://127.0.0.1:9/");
    operator.addon("subscription.update", json!({"id": SUBSCRIPTION, "paused": true}));
    operator.submit(1);
    let text = get("/metrics");
    for line in [
        "mcp_webhookd_events_submitted_total{status=\"accepted\"} 1",
        "mcp_webhookd_backlog{state=\"paused\"} 1",
        "mcp_webhookd_backlog{state=\"due\"} 0",
        "mcp_webhookd_commit_seconds_bucket{le=\"+Inf\"}",
        "mcp_webhookd_store_ready 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("127.0.0.1") && !text.contains(SUBSCRIPTION), "labels are bounded");
}
