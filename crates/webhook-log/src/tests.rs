//! The log as its users see it, on a real redb that can be made to fail.

mod damage;
mod disk;
mod journal;
mod kept;
mod past;
mod unlike;
mod upkeep;

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use proptest::prelude::*;
use redb::StorageBackend;
use webhook_model::{
    Attempt, AttemptStatus, CustomHeaders, Dialect, Endpoint, EndpointUrl, EventFilter, EventId, Millis,
    Outcome, SigningSecret, Subscription, SubscriptionId, Trigger, decide,
};

use crate::{
    Acceptance, Again, Attachment, CursorFault, Database, Fenced, Health, Keep, ListQuery, Log, Pending,
    Redelivered, Redelivery, Rejection, SealingKey, Settlement, Submission, TestEvent, Unavailable,
    WakeSecret, Witness,
    medium::{self, Medium, OpenError},
};

const SECRET: &str = "canary-0123456789abcdef";
const NOW: Millis = Millis(1_795_000_000_000);
const KEY: [u8; 32] = [7; 32];

/// Bytes that outlive the database, and a sync that fails when told so.
#[derive(Debug, Clone, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    journal: Arc<Mutex<Vec<u8>>>,
    fail_syncs: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    panic_at_open: Arc<AtomicBool>,
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes.lock().unwrap();
        let start = offset as usize;
        out.copy_from_slice(bytes.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.fail_syncs.load(SeqCst) > 0 {
            self.fail_syncs.fetch_sub(1, SeqCst);
            self.failed.fetch_add(1, SeqCst);
            return Err(io::Error::other("the disk said no"));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = offset as usize;
        self.bytes.lock().unwrap()[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

impl Medium for Disk {
    const JOURNAL: u64 = 1 << 20;

    fn open(&mut self) -> Result<redb::Database, OpenError> {
        if self.panic_at_open.swap(false, SeqCst) {
            panic!("the disk left nonsense");
        }
        Ok(redb::Database::builder().create_with_backend(self.clone())?)
    }

    fn look(&mut self) -> Result<Option<Box<dyn StorageBackend>>, OpenError> {
        Ok((!self.bytes.lock().unwrap().is_empty())
            .then(|| Box::new(self.clone()) as Box<dyn StorageBackend>))
    }

    fn journal(&mut self) -> Result<Option<Box<dyn StorageBackend>>, OpenError> {
        let is_there = !self.journal.lock().unwrap().is_empty();
        Ok(if is_there { Some(self.make_journal()?) } else { None })
    }

    fn make_journal(&mut self) -> Result<Box<dyn StorageBackend>, OpenError> {
        Ok(Box::new(Self { bytes: Arc::clone(&self.journal), ..self.clone() }))
    }
}

fn open(disk: &Disk) -> Log {
    Log::open(disk.clone(), SealingKey::new(&KEY)).unwrap()
}

fn sub(id: u128) -> SubscriptionId {
    SubscriptionId::from_u128(id)
}

fn subscription(id: u128) -> Subscription {
    Subscription {
        id: sub(id),
        name: "Orders".into(),
        model: "sale.order".into(),
        event_type: EventFilter::All,
        endpoint: Endpoint {
            url: Some(EndpointUrl::from_stored("https://example.com/canary-path").unwrap()),
            secret: Some(SigningSecret::parse(SECRET).unwrap()),
            previous_secret: None,
            headers: CustomHeaders::parse([("x-api-key".to_owned(), "canary-header".to_owned())]).unwrap(),
            timeout: Duration::from_secs(10),
            max_in_flight: 4,
        },
        payload_template: Some(serde_json::json!({"b": "{{ model }}", "a": 1})),
        dialect: Dialect::Auto,
        active: true,
        paused: false,
        max_attempts: 1,
        success: None,
    }
}

fn with(ids: &[u128]) -> (Disk, Log) {
    let disk = Disk::default();
    let log = open(&disk);
    for id in ids {
        let new = subscription(*id);
        log.change_subscriptions(move |set| drop(set.put(new))).wait().unwrap();
    }
    (disk, log)
}

fn submission(event: u128, owner: u128) -> Submission {
    Submission {
        event_id: EventId::from_u128(event),
        subscription_id: sub(owner),
        timestamp: NOW.plus(Duration::from_secs(3600)),
        body: Bytes::from(format!("{{\"event_id\":{event}}}")),
    }
}

fn accept(log: &Log, submissions: Vec<Submission>) -> Vec<Acceptance> {
    log.accept(submissions, NOW, Millis(0)).wait().unwrap().each
}

/// Ends the oldest pending attempt of a lane with a status.
fn settle(log: &Log, owner: u128, status: u16, max_attempts: u8) -> Attempt {
    let row = log.read(|s| s.one(sub(owner), s.head(sub(owner))?.unwrap().seq)).unwrap().unwrap();
    let outcome =
        Outcome::Response { status, retry_after: None, body: "ok".into(), truncated: false, is_html: false };
    let payload = row.body.as_ref().map(|body| String::from_utf8_lossy(body).into_owned());
    let finished = decide::Finished { payload, outcome, duration: Some(Duration::from_millis(2)), at: NOW };
    let (attempt, next) = decide::settle(row.attempt, finished, max_attempts, decide::Jitter(0.5));
    let settlement = Settlement { seq: row.seq, attempt: attempt.clone(), next, payload_is_event_body: true };
    log.settle([settlement.clone()].into()).wait().unwrap();
    log.settle([settlement].into()).wait().unwrap(); // handed in again after an unknown commit: changes nothing
    attempt
}

/// As [`settle`] with a 200, but with patience and without waiting.
fn settle_patiently(log: &Log, owner: u128) -> Pending<()> {
    let row = log.read(|s| s.one(sub(owner), s.head(sub(owner))?.unwrap().seq)).unwrap().unwrap();
    let attempt = Attempt { status: AttemptStatus::Success, finished_at: Some(NOW), ..row.attempt };
    log.settle_patiently(
        [Settlement { seq: row.seq, attempt, next: None, payload_is_event_body: true }].into(),
    )
}

#[test]
fn a_set_that_was_worked_out_from_another_than_the_present_one_is_not_stored() {
    let (_, log) = with(&[1]);
    let before = log.subscriptions();
    let with = |id| {
        let mut after = before.clone();
        drop(after.put(subscription(id)));
        after
    };
    assert_eq!(log.replace_subscriptions(before.clone(), with(2), false).wait(), Ok(true));
    assert_eq!(
        log.replace_subscriptions(before.clone(), with(3), false).wait(),
        Ok(false),
        "somebody was faster"
    );
    assert!(log.subscriptions().get(sub(2)).is_some() && log.subscriptions().get(sub(3)).is_none());
    assert_eq!(log.replace_subscriptions(log.subscriptions(), before.clone(), true).wait(), Ok(true));
    assert_eq!(log.subscriptions().len(), 1);
}

#[test]
fn patient_outcomes_go_with_the_next_commit_in_a_hurry_or_with_the_close() {
    let (disk, log) = with(&[1]);
    accept(&log, (1..=3).map(|event| submission(event, 1)).collect());
    let settled = settle_patiently(&log, 1);
    log.hurry();
    settled.wait().unwrap();
    let settled = settle_patiently(&log, 1);
    accept(&log, vec![submission(4, 1)]);
    settled.wait().unwrap();
    drop(settle_patiently(&log, 1));
    log.close();
    assert_eq!(open(&disk).read(|s| s.pending()).unwrap(), 1);
}

/// The feed's rows as (event, number, status), and the cursor behind them.
type Feed = (Vec<(u128, u32, AttemptStatus)>, String);

fn changes(log: &Log, after: &str) -> Result<Feed, CursorFault> {
    let mut rows = Vec::new();
    let page = log.read(|s| {
        rows.clear();
        s.changes(after, 100, |a| {
            rows.push((a.event_id.as_u128(), a.number, a.status));
            true
        })
    });
    page.unwrap().map(|page| (rows, page.cursor))
}

#[track_caller]
fn sound(log: &Log) {
    assert_eq!(log.read(|s| s.check()).unwrap(), Vec::<String>::new());
}

#[test]
fn what_was_acknowledged_is_there_after_reopening() {
    let (disk, log) = with(&[1]);
    assert_eq!(accept(&log, vec![submission(10, 1), submission(11, 1)]), [Acceptance::Accepted; 2]);
    settle(&log, 1, 200, 1);
    let id = log.log_id();
    log.close();
    let log = open(&disk);
    assert_eq!(log.log_id(), id);
    assert_eq!(log.read(|s| s.pending()).unwrap(), 1);
    assert_eq!(**log.subscriptions().get(sub(1)).unwrap(), subscription(1));
    assert!(log.take_moved_lanes().contains(&sub(1)), "the dispatcher is told about the backlog");
    let done = log.read(|s| s.attempts(EventId::from_u128(10))).unwrap().unwrap();
    assert_eq!(done[0].payload.as_deref(), Some("{\"event_id\":10}"));
    sound(&log);
}

#[test]
fn events_are_taken_once_and_for_subscriptions_that_want_them() {
    let (_, log) = with(&[1, 2]);
    log.change_subscriptions(|set| drop(set.put(Subscription { active: false, ..subscription(2) })))
        .wait()
        .unwrap();
    let reordered = |body: &str| Submission { body: Bytes::from(body.to_owned()), ..submission(5, 1) };
    let answers = accept(
        &log,
        vec![
            reordered(r#"{"a":1,"b":2}"#),
            reordered(r#"{"b":2.0,"a":1}"#),
            reordered(r#"{"a":1,"b":3}"#),
            submission(6, 2),
            submission(7, 3),
        ],
    );
    let rejected = Acceptance::Rejected;
    assert_eq!(
        answers,
        [
            Acceptance::Accepted,
            Acceptance::Duplicate,
            rejected(Rejection::Conflict),
            rejected(Rejection::Inactive),
            rejected(Rejection::NotFound)
        ]
    );
    let old =
        log.accept(vec![submission(8, 1)], NOW, NOW.plus(Duration::from_secs(7200))).wait().unwrap().each;
    assert_eq!(old, [rejected(Rejection::Expired)]);
    sound(&log);
}

#[test]
fn the_feed_has_each_attempt_once_at_its_latest_state() {
    let (_, log) = with(&[1]);
    accept(&log, vec![submission(10, 1)]);
    assert_eq!(changes(&log, "").unwrap().0, [], "attempt 1 appears when it is final");
    settle(&log, 1, 503, 3);
    let (rows, cursor) = changes(&log, "").unwrap();
    assert_eq!(rows, [(10, 1, AttemptStatus::Failed), (10, 2, AttemptStatus::Pending)]);
    settle(&log, 1, 200, 3);
    assert_eq!(changes(&log, &cursor).unwrap().0, [(10, 2, AttemptStatus::Success)]);
    assert_eq!(changes(&log, "").unwrap().0.len(), 2);
    assert_eq!(changes(&log, "nonsense"), Err(CursorFault::Malformed));
    assert_eq!(changes(&log, "other-log:1"), Err(CursorFault::Stale));
    assert_eq!(changes(&log, &format!("{}:999", log.log_id())), Err(CursorFault::Stale));
    sound(&log);
}

#[test]
fn lists_come_newest_first_filtered_and_in_pages() {
    let (_, log) = with(&[1, 2]);
    accept(&log, vec![submission(10, 1), submission(11, 2), submission(12, 1), submission(13, 2)]);
    settle(&log, 1, 200, 1);
    settle(&log, 2, 500, 1);
    let list = |owner: Option<u128>, status, limit| {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let query = ListQuery { subscription_id: owner.map(sub), status, after, limit };
            let page = log
                .read(|s| {
                    s.list(query, |a| {
                        all.push(a.event_id.as_u128());
                        true
                    })
                })
                .unwrap();
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    };
    for limit in [1, 3, 100] {
        assert_eq!(list(None, None, limit), [13, 12, 11, 10]);
        assert_eq!(list(Some(1), None, limit), [12, 10]);
        assert_eq!(list(None, Some(AttemptStatus::Pending), limit), [13, 12]);
        assert_eq!(list(Some(2), Some(AttemptStatus::Failed), limit), [11]);
        assert_eq!(list(Some(9), None, limit), [0_u128; 0]);
    }
}

#[test]
fn redelivery_makes_a_new_attempt_of_what_is_over() {
    let (_, log) = with(&[1]);
    accept(&log, vec![submission(10, 1), submission(11, 1)]);
    let again = |event: u128| log.redeliver(EventId::from_u128(event), NOW).wait().unwrap();
    assert_eq!(again(10), Redelivery::Conflict, "attempt 1 is pending");
    assert_eq!(again(99), Redelivery::NotFound);
    settle(&log, 1, 500, 1);
    settle(&log, 1, 500, 1);
    let many =
        |is_dry_run| log.redeliver_failed(sub(1), NOW, 0, 10, Again { now: NOW, is_dry_run }).wait().unwrap();
    assert_eq!(many(true), (Redelivered { started: 2, skipped: 0 }, None));
    assert!(matches!(again(10), Redelivery::Started(a) if (a.number, a.trigger) == (2, Trigger::Manual)));
    assert_eq!(again(10), Redelivery::Conflict);
    assert_eq!(many(false), (Redelivered { started: 1, skipped: 0 }, None));
    assert!(log.change_subscriptions(|set| set.remove(sub(1))).wait().unwrap());
    settle(&log, 1, 200, 1);
    assert_eq!(again(10), Redelivery::Inactive);
    sound(&log);
}

#[test]
fn of_many_events_those_are_redelivered_that_failed_and_were_not_delivered_since() {
    let (_, log) = with(&[1, 2]);
    // Delivered; failed; failed and delivered since; failed and pending again; of another; pending.
    accept(&log, vec![submission(10, 1), submission(11, 1), submission(12, 1), submission(13, 1)]);
    accept(&log, vec![submission(20, 2), submission(14, 1)]);
    [200, 500, 500, 500].into_iter().for_each(|status| drop(settle(&log, 1, status, 1)));
    settle(&log, 2, 500, 1);
    let again = |event: u128| log.redeliver(EventId::from_u128(event), NOW).wait().unwrap();
    again(12);
    settle(&log, 1, 200, 1);
    again(13);
    let many = |is_dry_run| {
        let ids = [14, 13, 12, 11, 10, 20, 99, 11].map(EventId::from_u128).to_vec();
        log.redeliver_events(sub(1), ids, Again { now: NOW, is_dry_run }).wait().unwrap()
    };
    assert_eq!(many(true), Redelivered { started: 1, skipped: 2 });
    assert_eq!(many(false), Redelivered { started: 1, skipped: 2 }, "a dry run changed nothing");
    assert_eq!(many(false), Redelivered { started: 0, skipped: 2 }, "11 is pending now");
    sound(&log);
}

/// Whatever a delivery waits for, it is due now, once, and its number stays.
#[test]
fn a_retry_now_is_due_before_what_waits_by_itself() {
    let (_, log) = with(&[1]);
    accept(&log, vec![submission(10, 1), submission(11, 1)]);
    let now = |event: u128| log.retry_now(EventId::from_u128(event), NOW).wait().unwrap();
    let asked = || log.read(|s| s.asked_for(sub(1), 9, |_| false)).unwrap();
    assert_eq!(now(99), None);
    assert_eq!(now(11).map(|attempt| (attempt.number, attempt.next_attempt_at)), Some((1, None)));
    assert_eq!(asked().iter().map(|row| row.attempt.event_id.as_u128()).collect::<Vec<_>>(), [11]);
    // The first of the others fails, and waits for its second attempt.
    settle(&log, 1, 500, 3);
    let (_, cursor) = changes(&log, "").unwrap();
    let moved = now(10).unwrap();
    assert_eq!((moved.number, moved.trigger, moved.next_attempt_at), (2, Trigger::Retry, Some(NOW)));
    assert_eq!(now(10), Some(moved.clone()), "asked for twice");
    let told = [(10, 2, AttemptStatus::Pending)];
    assert_eq!(changes(&log, &cursor).unwrap().0, told, "the feed tells the new time, once");
    assert_eq!(log.read(|s| s.attempts(EventId::from_u128(10))).unwrap().unwrap()[1], moved);
    assert_eq!(asked().len(), 2);
    sound(&log);
    settle(&log, 1, 200, 1);
    settle(&log, 1, 200, 1);
    assert_eq!((now(10), now(11)), (None, None), "nothing is pending");
    sound(&log);
}

#[test]
fn test_events_stand_before_the_backlog() {
    let (_, log) = with(&[1]);
    accept(&log, vec![submission(10, 1)]);
    assert!(matches!(log.test(submission(20, 1), NOW).wait(), Ok(TestEvent::Started(_))));
    assert_eq!(log.test(submission(20, 1), NOW).wait(), Ok(TestEvent::Conflict));
    assert_eq!(log.test(submission(21, 9), NOW).wait(), Ok(TestEvent::NotFound));
    let first = log.read(|s| s.tests(sub(1), 1, |_| false)).unwrap();
    assert_eq!(first[0].attempt.event_id, EventId::from_u128(20));
    sound(&log);
}

/// What was closed before this goes, whoever has it.
fn older_than(at: Millis) -> Keep {
    Keep { since: at, unpulled_since: at }
}

fn attach(log: &Log, attachment: Attachment, take_over: bool) -> Result<(), Fenced> {
    log.attach(attachment, take_over, Witness::default()).wait().unwrap().map(drop)
}

#[test]
fn the_first_database_is_attached_until_another_takes_over() {
    let (disk, log) = with(&[]);
    let database = |name: &str| Attachment {
        database: Database { uuid: "u".into(), name: name.into() },
        instance: None,
        wake_url: None,
        wake_secret: None,
    };
    assert_eq!(attach(&log, database("prod"), false), Ok(()));
    assert_eq!(attach(&log, database("copy"), false), Err(Fenced));
    log.close();
    let log = open(&disk);
    assert_eq!(attach(&log, database("copy"), false), Err(Fenced), "also after a restart");
    assert_eq!(attach(&log, database("copy"), true), Ok(()));
    assert_eq!(log.attachment().unwrap().database.name, "copy");
}

#[test]
fn a_copy_that_lives_elsewhere_is_another_database() {
    let (disk, log) = with(&[]);
    let odoo = |instance: Option<&str>| Attachment { instance: instance.map(str::to_owned), ..past::odoo() };
    let instance = |log: &Log| log.attachment().unwrap().instance.clone();
    assert_eq!(attach(&log, odoo(None), false), Ok(()), "an addon that does not say it");
    assert_eq!(attach(&log, odoo(Some("here")), false), Ok(()));
    assert_eq!(attach(&log, odoo(Some("there")), false), Err(Fenced));
    assert_eq!(attach(&log, odoo(None), false), Ok(()));
    assert_eq!(instance(&log).as_deref(), Some("here"), "one that does not say it changes nothing");
    log.close();
    let log = open(&disk);
    assert_eq!(attach(&log, odoo(Some("there")), false), Err(Fenced), "also after a restart");
    assert_eq!(attach(&log, odoo(Some("there")), true), Ok(()));
    assert_eq!(attach(&log, odoo(Some("here")), false), Err(Fenced));
    assert_eq!(attach(&log, odoo(None), true), Ok(()), "whoever takes over brings nothing of the one before");
    assert_eq!(instance(&log), None);
}

#[test]
fn the_wake_secret_is_kept_and_sealed() {
    let (disk, log) = with(&[]);
    let secret = WakeSecret("canary-of-the-knock".into());
    let odoo = |secret| Attachment { wake_secret: secret, ..past::odoo() };
    assert_eq!(attach(&log, odoo(Some(secret.clone())), false), Ok(()));
    assert!(!format!("{:?}", log.attachment()).contains("canary"));
    log.close();
    let found = |bytes: &Mutex<Vec<u8>>| bytes.lock().unwrap().windows(6).any(|part| part == b"canary");
    assert!(!found(&disk.bytes) && !found(&disk.journal));
    let log = open(&disk);
    assert_eq!(log.attachment().unwrap().wake_secret, Some(secret));
    assert_eq!(attach(&log, odoo(None), false), Ok(()));
    assert_eq!(log.attachment().unwrap().wake_secret, None, "each attachment says all");
}

#[test]
fn retention_forgets_what_is_over_and_nothing_else() {
    let (_, log) = with(&[1]);
    accept(&log, vec![submission(10, 1), submission(11, 1)]);
    settle(&log, 1, 500, 1);
    assert_eq!(log.purge(older_than(NOW), 10).wait(), Ok(0), "not older than now");
    let later = NOW.plus(Duration::from_millis(1));
    assert_eq!(log.purge(older_than(later), 10).wait(), Ok(1));
    assert_eq!(log.read(|s| s.attempts(EventId::from_u128(10))).unwrap(), None);
    assert_eq!(log.read(|s| s.size()).unwrap(), (1, 0), "the pending one is there");
    assert_eq!(changes(&log, "").unwrap().0, []);
    sound(&log);
}

#[test]
fn a_copy_of_the_file_gives_no_secret_away() {
    let (disk, log) = with(&[1]);
    log.close();
    let bytes = disk.bytes.lock().unwrap().clone();
    let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("sale.order"), "the search works");
    assert!(!holds(SECRET) && !holds("canary-header"));
    let other = Log::open(disk, SealingKey::new(&[8; 32]));
    assert!(matches!(other, Err(OpenError::WrongKey)), "{other:?}");
}

#[test]
fn trouble_with_the_disk_loses_nothing_and_heals() {
    let (disk, log) = with(&[1]);
    accept(&log, vec![submission(10, 1)]);
    let mut health = log.health();
    disk.fail_syncs.store(1, SeqCst);
    disk.panic_at_open.store(true, SeqCst);
    assert_eq!(log.accept(vec![submission(11, 1)], NOW, Millis(0)).wait(), Err(Unavailable));
    assert_eq!(disk.failed.load(SeqCst), 1, "the fault fired");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // Opening it again panicked once, too.
    let healed = |health: &Health| *health == Health::Ready && !disk.panic_at_open.load(SeqCst);
    runtime.block_on(health.wait_for(healed)).unwrap();
    // Unknown, not failed: asked again by id, it is there exactly once.
    let again = accept(&log, vec![submission(11, 1)]);
    assert!(matches!(again[0], Acceptance::Accepted | Acceptance::Duplicate));
    assert_eq!(log.read(|s| s.pending()).unwrap(), 2);
    sound(&log);
}

#[test]
fn a_file_comes_into_being_whole_and_private_and_an_empty_one_is_refused() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.redb");
    let log = Log::open(medium::File::new(&path), SealingKey::new(&KEY)).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let second = Log::open(medium::File::new(&path), SealingKey::new(&KEY));
    assert!(matches!(second, Err(OpenError::Locked)), "{second:?}");
    log.close();
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(Log::open(medium::File::new(&path), SealingKey::new(&KEY)), Err(OpenError::Damaged(_))));
    std::fs::write(&path, b"something else").unwrap();
    assert!(Log::open(medium::File::new(&path), SealingKey::new(&KEY)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_sequence_breaks_the_invariants(steps in prop::collection::vec((0_u8..6, 0_u128..6, 1_u128..3), 1..40)) {
        let (_, log) = with(&[1, 2]);
        for (step, event, owner) in steps {
            match step {
                0 | 1 => drop(accept(&log, vec![submission(event, owner)])),
                2 | 3 if log.read(|s| s.head(sub(owner))).unwrap().is_some() => {
                    drop(settle(&log, owner, if step == 2 { 200 } else { 503 }, 3));
                }
                4 => drop(log.redeliver(EventId::from_u128(event), NOW).wait().unwrap()),
                5 => drop(log.purge(older_than(NOW.plus(Duration::from_secs(1))), 2).wait().unwrap()),
                _ => {}
            }
            prop_assert_eq!(log.read(|s| s.check()).unwrap(), Vec::<String>::new());
        }
    }
}

#[test]
fn what_is_for_a_subscription_without_a_url_is_read_and_never_due() {
    let (disk, log) = with(&[2]);
    let mut silent = subscription(1);
    silent.endpoint.url = None;
    log.change_subscriptions(move |set| drop(set.put(silent))).wait().unwrap();
    let taken =
        accept(&log, vec![submission(10, 1), submission(20, 2), submission(11, 1), submission(10, 1)]);
    use Acceptance::{Accepted, Duplicate};
    assert_eq!(taken, [Accepted, Accepted, Accepted, Duplicate]);
    let read = |log: &Log, owner: u128, after: &str, limit: usize| {
        let mut bodies = Vec::new();
        let page = log.read(|s| {
            s.read_events(sub(owner), after, limit, |body| {
                bodies.push(String::from_utf8(body.to_vec()).unwrap());
                true
            })
        });
        page.unwrap().map(|page| (bodies, page.cursor, page.more))
    };
    let (bodies, cursor, more) = read(&log, 1, "", 1).unwrap();
    assert_eq!((bodies, more), (vec!["{\"event_id\":10}".to_owned()], true));
    let (bodies, cursor, more) = read(&log, 1, &cursor, 9).unwrap();
    assert_eq!((bodies, more), (vec!["{\"event_id\":11}".to_owned()], false));
    assert_eq!(read(&log, 1, &cursor, 9).unwrap(), (vec![], cursor.clone(), false), "the cursor stays");
    assert_eq!(read(&log, 2, "", 9).unwrap().0, Vec::<String>::new(), "what is sent is not read");
    assert_eq!(read(&log, 1, "other:1", 9), Err(CursorFault::Stale));
    assert_eq!(read(&log, 1, "x", 9), Err(CursorFault::Malformed));
    let id = EventId::from_u128(10);
    assert_eq!(log.read(|s| s.attempts(id)).unwrap(), Some(vec![]), "without attempts");
    assert_eq!(log.redeliver(id, NOW).wait(), Ok(Redelivery::NotFound));
    assert_eq!(log.retry_now(id, NOW).wait(), Ok(None));
    assert_eq!(log.read(|s| s.pending()).unwrap(), 1);
    assert_eq!(changes(&log, "").unwrap().0, []);
    sound(&log);
    log.close();
    let log = open(&disk);
    sound(&log);
    assert_eq!(read(&log, 1, "", 9).unwrap().0.len(), 2);
    assert_eq!(log.purge(older_than(NOW.plus(Duration::from_millis(1))), 10).wait(), Ok(2));
    assert_eq!(read(&log, 1, "", 9).unwrap().0, Vec::<String>::new());
    sound(&log);
}
