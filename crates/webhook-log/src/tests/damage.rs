//! Rows that no version of this program wrote: whatever stands in a row, the log opens, works, and nothing panics.

use redb::{ReadableDatabase, ReadableTable, TableDefinition};

use super::*;
use crate::tables::{ATTEMPTS, EVENTS, META, SUBSCRIPTIONS};

/// A disk with events that are pending, failed and waiting for a retry, all of one subscription.
fn disk() -> Disk {
    let (disk, log) = with(&[1]);
    accept(&log, (1..=4).map(|id| submission(id, 1)).collect());
    settle(&log, 1, 500, 1);
    settle(&log, 1, 500, 3);
    log.close();
    disk
}

fn copy(disk: &Disk) -> Disk {
    Disk { bytes: Arc::new(Mutex::new(disk.bytes.lock().unwrap().clone())), ..Disk::default() }
}

/// What may stand where `row` stood.
fn junk(row: &[u8]) -> Vec<Vec<u8>> {
    let mut versioned = vec![0xff; row.len()];
    versioned[..1].copy_from_slice(&row[..1]);
    let mut newer = row.to_vec();
    newer[0] = newer[0].wrapping_add(1);
    let flipped = (0..row.len().min(64)).map(|at| {
        let mut bytes = row.to_vec();
        bytes[at] ^= 0x55;
        bytes
    });
    let mut all = vec![Vec::new(), row[..row.len() / 2].to_vec(), vec![0xff; 9], versioned, newer];
    all.extend(flipped);
    all
}

/// Puts junk into each row of a table in turn, and uses the log.
fn damage<K: redb::Key + 'static>(
    table: TableDefinition<'static, K, &'static [u8]>,
    use_it: impl Fn(Disk, &str),
) -> usize {
    let disk = disk();
    let mut tried = 0;
    let rows = {
        let database = copy(&disk).open().unwrap();
        let table = database.begin_read().unwrap().open_table(table).unwrap();
        table.iter().unwrap().map(|row| row.unwrap().1.value().to_vec()).collect::<Vec<_>>()
    };
    for (at, row) in rows.iter().enumerate() {
        for bytes in junk(row) {
            let mut damaged = copy(&disk);
            {
                let database = damaged.open().unwrap();
                let before = database.begin_read().unwrap().open_table(table).unwrap();
                let txn = database.begin_write().unwrap();
                let key = before.iter().unwrap().nth(at).unwrap().unwrap().0;
                txn.open_table(table).unwrap().insert(key.value(), bytes.as_slice()).unwrap();
                txn.commit().unwrap();
            }
            use_it(damaged, &format!("{} row {at}: {bytes:?}", redb::TableHandle::name(&table)));
            tried += 1;
        }
    }
    tried
}

/// Everything that the sidecar does with a log.
fn everything(disk: Disk, what: &str) {
    let log = Log::open(disk, SealingKey::new(&KEY)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let owner = sub(1);
    log.read(|s| {
        s.lanes()?;
        s.head(owner)?;
        let (fresh, _) = s.fresh(owner, 0, 10)?;
        let (timed, _) = s.timed(owner, Millis(u64::MAX), 10, |_| false)?;
        assert_eq!(fresh.len() + timed.len(), 3, "{what}");
        s.attempts(EventId::from_u128(1))?;
        let _ = s.changes("", 100, |_| true)?;
        s.list(ListQuery { limit: 100, ..ListQuery::default() }, |_| true)?;
        s.check()
    })
    .unwrap_or_else(|error| panic!("{what}: {error}"));
    // Each that is due ends as a failed attempt, so it is not due again at the next start.
    let rows = log
        .read(|s| Ok([s.fresh(owner, 0, 10)?.0, s.timed(owner, Millis(u64::MAX), 10, |_| false)?.0]))
        .unwrap();
    for row in rows.concat() {
        let outcome =
            Outcome::Failed { failure: webhook_model::Failure::Internal, message: "damaged".into() };
        let finished = decide::Finished { payload: None, outcome, duration: None, at: NOW };
        let (attempt, next) = decide::settle(row.attempt, finished, 1, decide::Jitter(0.5));
        log.settle([Settlement { seq: row.seq, attempt, next, payload_is_event_body: false }].into())
            .wait()
            .unwrap();
    }
    assert_eq!(log.read(|s| s.pending()).unwrap(), 0, "{what}");
    let _ = log.redeliver(EventId::from_u128(1), NOW).wait().unwrap();
    let _ = log.retry_now(EventId::from_u128(1), NOW).wait().unwrap();
    let again = crate::Again { now: NOW, is_dry_run: false };
    log.redeliver_failed(owner, Millis(0), 0, 100, again).wait().unwrap();
    log.purge(crate::Keep { since: Millis(u64::MAX), unpulled_since: Millis(0) }, 100).wait().unwrap();
    assert_eq!(*log.health().borrow(), Health::Ready, "{what}");
    log.close();
}

#[test]
fn no_event_row_can_stop_the_log() {
    assert!(damage(EVENTS, everything) > 200);
}

#[test]
fn no_attempt_row_can_stop_the_log() {
    assert!(damage(ATTEMPTS, everything) > 100);
}

#[test]
fn a_subscription_that_cannot_be_read_stops_no_other() {
    let tried = damage(SUBSCRIPTIONS, |disk, what| {
        let log = Log::open(disk, SealingKey::new(&KEY)).unwrap_or_else(|error| panic!("{what}: {error}"));
        let new = subscription(1);
        log.change_subscriptions(move |set| drop(set.put(new))).wait().unwrap();
        assert_eq!(**log.subscriptions().get(sub(1)).unwrap(), subscription(1), "Odoo's next sync heals it");
    });
    assert!(tried > 50);
}

#[test]
fn facts_about_the_file_that_cannot_be_read_are_refused_in_words() {
    let tried = damage(META, |disk, what| {
        if let Err(error) = Log::open(disk, SealingKey::new(&KEY)) {
            assert!(matches!(error, OpenError::Damaged(_) | OpenError::Newer { .. }), "{what}: {error}");
        }
    });
    assert!(tried > 50);
}
