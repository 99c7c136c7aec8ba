//! Retention by size, compaction, backup and restore, and intake without space.

use super::*;
use crate::{CopyError, restore as put_back};

fn restore(
    file: &std::path::Path,
    store: &std::path::Path,
    key: &SealingKey,
) -> Result<Option<std::path::PathBuf>, CopyError> {
    put_back(file, store, key, false)
}

/// Everything that is over goes, whoever has it.
fn purge(log: &Log, at_most: usize) -> usize {
    log.purge(older_than(NOW.plus(Duration::from_millis(1))), at_most).wait().unwrap()
}

fn filled(folder: &tempfile::TempDir, events: u128) -> Log {
    let log = Log::open(medium::File::new(folder.path().join("log.redb")), SealingKey::new(&KEY)).unwrap();
    log.change_subscriptions(|set| drop(set.put(subscription(1)))).wait().unwrap();
    accept(&log, (1..=events).map(|id| submission(id, 1)).collect());
    for _ in 1..events {
        settle(&log, 1, 500, 1);
    }
    log
}

#[test]
fn retention_by_size_never_takes_an_outcome_that_odoo_has_not_pulled() {
    let (disk, log) = with(&[1]);
    attach(&log, past::odoo(), false).unwrap();
    let before = log.stored_bytes();
    accept(&log, (1..=6).map(|id| submission(id, 1)).collect());
    (0..5).for_each(|_| drop(settle(&log, 1, 200, 1)));
    let full = log.stored_bytes();
    assert!(full > before);
    assert_eq!(log.purge_surplus(Millis(0), 100).wait(), Ok(0), "nothing was pulled");
    let (rows, cursor) = changes(&log, "").unwrap();
    let third = format!("{}:{}", cursor.split_once(':').unwrap().0, 3);
    assert_eq!(rows.len(), 5);
    log.pulled_up_to(&third);
    assert_eq!(log.purge_surplus(Millis(0), 100).wait(), Ok(3));
    log.pulled_up_to("");
    assert_eq!(log.purge_surplus(Millis(0), 100).wait(), Ok(0), "it does not go back");
    log.pulled_up_to(&cursor);
    assert_eq!(log.purge_surplus(Millis(0), 1).wait(), Ok(1), "in small steps");
    let left = log.stored_bytes();
    assert!(left < full);
    assert_eq!(log.read(|s| s.pending()).unwrap(), 1, "what is pending is never purged");
    sound(&log);
    log.close();
    assert_eq!(open(&disk).stored_bytes(), left, "the size is known after a start without counting");
}

#[test]
fn a_backup_made_while_it_works_is_a_sound_log_with_another_identity_when_restored() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let log = filled(&folder, 5);
    let file = folder.path().join("backup.redb");
    let mut steps = 0;
    let rows = log.read(|s| Ok(s.backup(&file, |_| steps += 1))).unwrap().unwrap();
    assert!(rows > 5 && steps >= 10, "{rows} rows in {steps} steps");
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "secrets stay sealed");
    let again = log.read(|s| Ok(s.backup(&file, |_| ()))).unwrap();
    assert!(matches!(again, Err(CopyError::Exists(_))), "{again:?}");
    let (id, cursor) = (log.log_id(), changes(&log, "").unwrap().1);
    // What happens after the backup is not in it.
    settle(&log, 1, 200, 1);
    let store = folder.path().join("log.redb");
    let busy = restore(&file, &store, &SealingKey::new(&KEY));
    assert!(matches!(busy, Err(CopyError::Open(OpenError::Locked))), "{busy:?}");
    log.close();
    let replaced = restore(&file, &store, &SealingKey::new(&KEY)).unwrap().unwrap();
    assert!(replaced.exists());
    let log = Log::open(medium::File::new(&store), SealingKey::new(&KEY)).unwrap();
    assert_ne!(log.log_id(), id);
    assert_eq!(changes(&log, &cursor), Err(CursorFault::Stale), "Odoo begins anew");
    assert_eq!(log.read(|s| s.pending()).unwrap(), 1, "pending then is pending again");
    assert_eq!(changes(&log, "").unwrap().0.len(), 4);
    assert_eq!(**log.subscriptions().get(sub(1)).unwrap(), subscription(1));
    sound(&log);
}

#[test]
fn a_backup_that_fails_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let log = filled(&folder, 5);
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("backup.redb");
    for steps in 0..12 {
        let mut done = 0;
        let failed = log.read(|s| {
            Ok(s.backup(&file, |_| {
                assert!(done < steps, "the copying fails");
                done += 1;
            }))
        });
        if let Ok(Ok(_)) = failed {
            assert!(steps >= 10);
            return;
        }
        assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0, "after {steps} steps");
    }
    panic!("every step failed");
}

#[test]
fn what_is_no_sound_backup_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = filled(&folder, 3);
    let file = folder.path().join("backup.redb");
    log.read(|s| Ok(s.backup(&file, |_| ()))).unwrap().unwrap();
    let id = log.log_id();
    log.close();
    let store = folder.path().join("log.redb");
    {
        let damaged = medium::open(&file).unwrap();
        let txn = damaged.begin_write().unwrap();
        txn.open_table(crate::tables::EVENTS).unwrap().remove(2).unwrap();
        txn.commit().unwrap();
    }
    let refused = restore(&file, &store, &SealingKey::new(&KEY));
    assert!(matches!(&refused, Err(CopyError::Unsound { fault, .. }) if fault.contains("I4")), "{refused:?}");
    std::fs::write(&file, b"not a log").unwrap();
    assert!(restore(&file, &store, &SealingKey::new(&KEY)).is_err());
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "store, journal, backup; nothing is left behind: {names:?}");
    let log = Log::open(medium::File::new(&store), SealingKey::new(&KEY)).unwrap();
    assert_eq!((log.log_id(), log.read(|s| s.size()).unwrap()), (id, (3, 2)));
}

#[test]
fn compaction_gives_free_pages_back_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = filled(&folder, 200);
    let length = || std::fs::metadata(folder.path().join("log.redb")).unwrap().len();
    while purge(&log, 50) > 0 {}
    let before = length();
    assert_eq!(log.compact().wait(), Ok(true));
    assert!(length() < before, "{} < {before}", length());
    assert_eq!(accept(&log, vec![submission(1000, 1)]), [Acceptance::Accepted], "it goes on");
    sound(&log);
}

#[test]
fn the_file_levels_out_because_freed_pages_are_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = filled(&folder, 1);
    let mut lengths = Vec::new();
    for round in 0..20_u128 {
        accept(&log, (0..20).map(|n| submission(1000 + round * 20 + n, 1)).collect());
        (0..20).for_each(|_| drop(settle(&log, 1, 200, 1)));
        while purge(&log, 50) > 0 {}
        lengths.push(std::fs::metadata(folder.path().join("log.redb")).unwrap().len());
    }
    assert_eq!(lengths[9], lengths[19], "{lengths:?}");
}

#[test]
fn without_space_nothing_is_taken_in_and_everything_else_goes_on() {
    let (_, log) = with(&[1]);
    accept(&log, vec![submission(1, 1)]);
    log.set_full(Some("only 3 MB are free".into()));
    assert_eq!(*log.health().borrow(), Health::Full { reason: "only 3 MB are free".into() });
    assert_eq!(log.accept(vec![submission(2, 1)], NOW, Millis(0)).wait(), Err(Unavailable));
    settle(&log, 1, 500, 1);
    let again = log.redeliver(EventId::from_u128(1), NOW).wait().unwrap();
    assert!(matches!(again, Redelivery::Started(_)));
    settle(&log, 1, 200, 1);
    assert_eq!(purge(&log, 10), 1);
    log.set_full(None);
    assert_eq!(accept(&log, vec![submission(2, 1)]), [Acceptance::Accepted]);
}
