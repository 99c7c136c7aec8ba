//! The judge itself: a good story passes, and each invariant goes red on the story that breaks it alone.

use webhook_faults::history::{Answer, Healthy, History, Hit, Peak, Row, Status, Submission, Subscription};

fn submission(event: &str, answer: Answer) -> Submission {
    Submission {
        event_id: event.into(),
        subscription_id: "s".into(),
        answer,
        body: Some(format!("body {event}")),
    }
}

fn hit(event: &str, answer: u16, epoch: u32) -> Hit {
    Hit {
        event_id: event.into(),
        subscription_id: "s".into(),
        body: format!("body {event}"),
        signed: true,
        answer: Some(answer),
        epoch,
        at: 0,
    }
}

fn row(event: &str, attempt: u32, code: Option<u16>) -> Row {
    Row {
        event_id: event.into(),
        subscription_id: "s".into(),
        attempt,
        trigger: if attempt == 1 { "event" } else { "retry" }.into(),
        status: if code == Some(200) { Status::Success } else { Status::Failed },
        response_code: code,
        error: (code != Some(200)).then(|| "http_status".into()),
        payload: None,
        finished: Some(u64::from(attempt) * 10_000),
    }
}

/// One delivered at once, one with a retry, one repeated by a crash, one that failed, one unknown, one rejected.
fn good() -> History {
    let rows = vec![
        row("a", 1, Some(200)),
        row("b", 1, Some(503)),
        row("b", 2, Some(200)),
        row("c", 1, Some(200)),
        row("d", 1, None),
    ];
    let mut submissions: Vec<_> = ["a", "b", "c", "d"].map(|e| submission(e, Answer::Accepted)).into();
    submissions.extend([submission("e", Answer::Unknown), submission("f", Answer::Rejected)]);
    submissions.push(submission("a", Answer::Duplicate));
    History {
        subscriptions: vec![Subscription {
            id: "s".into(),
            max_in_flight: 1,
            max_attempts: 2,
            changed: false,
        }],
        submissions,
        hits: vec![hit("a", 200, 0), hit("b", 503, 0), hit("b", 200, 0), hit("c", 200, 0), hit("c", 200, 1)],
        mirror: Some(rows.clone()),
        rows,
        crashes: 1,
        is_drained: true,
        peaks: vec![Peak { what: "threads".into(), seen: 8, cap: 64 }],
        healthy: Some(Healthy { normal_ms: 5, beside_ms: 9, noise_ms: 5 }),
        ..History::default()
    }
}

#[test]
fn a_good_story_passes_and_is_counted() {
    let verdict = good().judge();
    assert_eq!(verdict.violation, None);
    let counts = (verdict.acknowledged, verdict.delivered, verdict.failed, verdict.pending, verdict.lost);
    assert_eq!((counts, verdict.duplicated), ((4, 3, 1, 0, 0), 1));
}

#[test]
fn each_invariant_is_named_when_its_story_is_told() {
    #[track_caller]
    fn red(expected: &str, event: &str, spoil: impl FnOnce(&mut History)) {
        let mut history = good();
        spoil(&mut history);
        let violation = history.judge().violation.unwrap_or_else(|| panic!("{expected} was not seen"));
        assert_eq!((violation.invariant, violation.event_id.as_str()), (expected, event), "{violation}");
    }
    red("V1", "a", |h| drop(h.rows.remove(0)));
    red("V1", "d", |h| h.rows[4].error = None);
    red("V2", "x", |h| h.hits.push(hit("x", 200, 1)));
    red("V2", "f", |h| h.hits.push(hit("f", 200, 1)));
    red("V2", "a", |h| h.hits[0].subscription_id = "other".into());
    red("V3", "b", |h| drop(h.rows.remove(1)));
    red("V3", "a", |h| h.rows.insert(1, row("a", 1, Some(200))));
    red("V3", "a", |h| h.hits.insert(1, hit("a", 200, 0)));
    red("V3", "b", |h| h.subscriptions[0].max_attempts = 1);
    red("V3", "c", |h| h.crashes = 0);
    red("V4", "d", |h| {
        h.rows[4] = row("d", 1, Some(200));
        h.mirror.as_mut().unwrap()[4] = row("d", 1, Some(200));
    });
    red("V4", "a", |h| h.hits[0].answer = Some(500));
    red("V5", "b", |h| {
        h.crashes = 0;
        h.hits.swap(1, 2);
    });
    red("V6", "a", |h| h.hits[0].signed = false);
    red("V6", "a", |h| h.hits[0].body = "another".into());
    red("V6", "c", |h| h.hits[4].body = "another".into());
    red("V7", "", |h| drop(h.mirror.as_mut().unwrap().pop()));
    red("V7", "", |h| h.mirror.as_mut().unwrap().push(row("a", 1, Some(200))));
    red("V7", "", |h| h.mirror.as_mut().unwrap()[0].status = Status::Failed);
    red("V7", "", |h| h.mirror.as_mut().unwrap().push(row("z", 1, Some(200))));
    red("V8", "", |h| h.peaks[0].seen = 65);
    red("V9", "d", |h| h.rows[4].status = Status::Pending);
    red("V9", "", |h| h.healthy.as_mut().unwrap().beside_ms = 11);
    red("V10", "b", |h| h.rows[2].finished = Some(10_500));
    red("V11", "", |h| h.hits.swap(0, 3));
}

#[test]
fn more_repeats_than_a_crash_explains_are_seen() {
    let mut history = good();
    for number in 0..=1024 {
        let event = format!("n{number:04}");
        history.submissions.push(submission(&event, Answer::Accepted));
        history.rows.push(row(&event, 1, Some(200)));
        history.hits.extend([hit(&event, 200, 0), hit(&event, 200, 1)]);
    }
    history.mirror = None;
    let verdict = history.judge();
    assert_eq!(verdict.duplicated, 1026);
    assert_eq!(verdict.violation.unwrap().invariant, "V3");
}

#[test]
fn a_history_survives_its_file() {
    let text = serde_json::to_string(&good()).unwrap();
    let read: History = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
}
