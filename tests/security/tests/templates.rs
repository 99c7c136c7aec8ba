//! Templates at their limits, and those of another version: what they cost, and that others go on meanwhile.

use serde_json::{Value, json};
use webhook_security::{
    report::{self, Class},
    sidecar::{Settings, Sidecar},
    subscription,
};

/// What all of them may add to the process, in kB, under the environment of the systemd unit: 80 to 125 MiB were
/// measured (160 to 195 MiB without its limit of arenas), and the unit allows 256 MiB. One of them alone took 1.8 GB
/// where its work was not counted.
const GROWTH: u64 = 160 << 10;
const UNIT: &str = include_str!("../../../packaging/systemd/mcp-webhookd.service");

/// Templates of nearly 64 KiB that do as much as they can, for an event of nearly 256 KiB.
fn costly() -> Vec<(&'static str, String)> {
    let x = |n: usize| "x".repeat(n);
    let loops = |inside: String| {
        format!("{{% for a in record_ids %}}{{% for b in record_ids %}}{inside}{{% endfor %}}{{% endfor %}}")
    };
    let list = |item: &str, n: usize| format!("[{}]", vec![item; n].join(","));
    let lists = format!(
        "{{% with {} as t %}}{{% with {} as u %}}{{{{ {} | length }}}}{{% endwith %}}{{% endwith %}}",
        list("records", 1000),
        list("t", 5000),
        list("u", 5000)
    );
    vec![
        (
            "a text in a text",
            format!("{{{{ \"{}\" | replace: \"x\", \"{}\" | length }}}}", x(32_000), x(32_000)),
        ),
        ("a text between ids", format!("{{{{ record_ids | join: \"{}\" | length }}}}", x(60_000))),
        ("lists of lists of lists", lists),
        ("conditions in loops", loops("{% if a %}{% endif %}".repeat(3000))),
        ("filters in loops", loops("{{ records | upper | lower | trim | date | first }}".repeat(1200))),
        (
            "copies of a record",
            format!("{{% for r in records %}}{}{{% endfor %}}", "{{ r.nope }}".repeat(5000)),
        ),
    ]
}

fn large_event(subscription: &Value) -> Value {
    let mut event = webhook_security::event(subscription);
    event["record_ids"] = (0..2000).collect();
    let lines: Vec<Value> = (0..9000).map(|n| json!({"id": n, "name": "x"})).collect();
    event["records"] = json!([{"id": 1, "lines": lines}]);
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_costly_templates_hold_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let settings = "[network]\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n";
    let mut settings = Settings::config(settings);
    let given = UNIT.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='));
    settings.environment.extend(given.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let sidecar = Sidecar::start(folder.path(), &settings);
    let before = sidecar.memory("VmRSS:");
    let mut class = Class::new("G. Templates that are much work");
    let mut last = String::new();
    for (what, template) in costly() {
        let mut event = large_event(&json!({"id": null}));
        event.as_object_mut().unwrap().remove("subscription_id");
        let preview = json!({"payload_template": template.clone(), "event": event});
        let refused = sidecar.call("template.preview", preview).await.unwrap_err();
        assert!(refused["message"].as_str().unwrap().contains("too much work"), "{what}: {refused}");
        let more = json!({"payload_template": template});
        let stored =
            sidecar.call("subscription.create", subscription("http://127.0.0.1:9/", more)).await.unwrap();
        let events: Vec<Value> = (0..10).map(|_| large_event(&stored)).collect();
        last = events[9]["id"].as_str().unwrap().to_owned();
        let answer = sidecar.call("event.submit", json!({"events": events})).await.unwrap();
        assert_eq!(answer["results"][9]["status"], "accepted", "{answer}");
        class.held_case(what, "previewed and attempted ten times: `render`");
    }
    // Sixty of them wait for their turn. Another endpoint does not wait with them.
    let plain = json!({"payload_template": {"text": "{{ model }}"}});
    let plain =
        sidecar.call("subscription.create", subscription("http://127.0.0.1:9/", plain)).await.unwrap();
    let event = sidecar.submit(&plain).await;
    assert_eq!(sidecar.outcome(&event).await["error"]["kind"], "connect", "it was rendered, and tried");
    let waiting = sidecar.call("system.info", json!({})).await.unwrap()["pending"].as_u64().unwrap();
    assert!(waiting > 0, "the costly ones were still under way");
    class.held_case("another endpoint's event and a call meanwhile", "went through");

    assert_eq!(sidecar.outcome(&last).await["error"]["kind"], "render");
    let peak = sidecar.memory("VmHWM:");
    eprintln!("{before} kB before, {peak} kB at the peak");
    assert!(peak < before + GROWTH, "the memory grew from {before} kB to {peak} kB");
    class.held_case("memory of all of them", format!("grew by less than {} MiB", GROWTH >> 10));
    assert!(sidecar.stop().0.success());
    report::write("templates", &[class], &[]);
}

/// What another version may have let through, one subscription each.
fn of_another_version() -> Vec<(&'static str, Value)> {
    vec![
        ("a tag that nobody ended", json!({"text": "{{ nope"})),
        ("an include", json!({"text": "{% include \"x\" %}"})),
        ("a filter that is gone", json!({"text": "{{ model | gone }}"})),
        ("a name that is gone", json!({"text": "{{ secret }}"})),
        ("conditions that would overflow the stack", json!({"text": "{% if model %}".repeat(16_000)})),
        (
            "else without end",
            json!({"text": format!("{{% if model %}}{}", "{% else if model %}".repeat(20_000))}),
        ),
        ("loops in loops in loops", json!({"text": "{% for a in records %}".repeat(5)})),
        ("ten megabytes", json!({"text": "x".repeat(10 << 20)})),
        ("lists in lists", (0..100).fold(json!("{{ model"), |inside, _| json!([inside]))),
    ]
}

/// The store holds templates that this version refuses. The release binary starts with them, each delivery ends as
/// failed with a reason, again after another start, and a good template cures it.
#[tokio::test(flavor = "multi_thread")]
async fn templates_of_another_version_are_failed_attempts_and_no_crash_loop() {
    let folder = tempfile::tempdir().unwrap();
    let mut class = Class::new("G. Templates that another version stored");
    let settings = Settings::config("[network]\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n");
    let sidecar = Sidecar::start(folder.path(), &settings);
    let mut stored = Vec::new();
    for (what, template) in of_another_version() {
        let made = subscription("http://127.0.0.1:9/", json!({"name": what, "paused": true}));
        let made = sidecar.call("subscription.create", made).await.unwrap();
        let waits = sidecar.submit(&made).await;
        stored.push((what, made, template, waits));
    }
    assert!(sidecar.stop().0.success());
    let bent = stored.clone();
    let log = webhook_tests::open_log(&folder.path().join("data"));
    let put = log.change_subscriptions(move |set| {
        for (what, _, template, _) in bent {
            let mut changed = (**set.iter().find(|each| each.name == what).unwrap()).clone();
            (changed.payload_template, changed.paused) = (Some(template), false);
            set.put(changed);
        }
    });
    tokio::task::block_in_place(|| put.wait()).unwrap();
    log.close();

    for start in ["first", "second"] {
        let sidecar = Sidecar::start(folder.path(), &settings);
        for (what, made, _, waits) in &stored {
            for event in [waits, &sidecar.submit(made).await] {
                let ended = sidecar.outcome(event).await;
                assert_eq!(ended["error"]["kind"], "render", "{what}: {ended}");
                assert!(!ended["error"]["message"].as_str().unwrap().is_empty(), "{ended}");
            }
            class.held_case(format!("{what}, {start} start"), "what waited and what is new: `render`");
        }
        let healthy = sidecar.call("subscription.create", subscription("http://127.0.0.1:9/", json!({})));
        let event = sidecar.submit(&healthy.await.unwrap()).await;
        assert_eq!(sidecar.outcome(&event).await["error"]["kind"], "connect", "others go on");
        assert_eq!(
            sidecar.call("system.info", json!({})).await.unwrap()["pending"],
            0,
            "nothing is due for ever"
        );
        let (status, output) = sidecar.stop();
        assert!(status.success() && !output.contains("panicked"), "{output}");
    }
    let sidecar = Sidecar::start(folder.path(), &settings);
    for (_, made, template, _) in &stored {
        let again = json!({"id": made["id"], "payload_template": template});
        sidecar.call("subscription.update", again).await.expect_err("this version refuses it");
        let cured = json!({"id": made["id"], "payload_template": {"text": "{{ model }}"}});
        sidecar.call("subscription.update", cured).await.unwrap();
        let event = sidecar.submit(made).await;
        assert_eq!(sidecar.outcome(&event).await["error"]["kind"], "connect", "it was rendered");
    }
    report::write("templates-stored", &[class], &[]);
}
