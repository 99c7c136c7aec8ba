//! The journal: what a crash leaves, and what is made of it.

use std::collections::BTreeSet;

use redb::ReadableDatabase;

use super::*;
use crate::{
    journal::{Change, Journal, Redo, changes},
    tables::META,
};

/// The disk as it is now, without a word to whoever works on it.
fn crashed(disk: &Disk) -> Disk {
    let copy = |bytes: &Mutex<Vec<u8>>| Arc::new(Mutex::new(bytes.lock().unwrap().clone()));
    Disk { bytes: copy(&disk.bytes), journal: copy(&disk.journal), ..Disk::default() }
}

fn size(log: &Log) -> (u64, u64) {
    sound(log);
    log.read(|s| s.size()).unwrap()
}

fn lost(disk: Disk) -> String {
    match Log::open(disk, SealingKey::new(&KEY)) {
        Err(error @ OpenError::JournalLost(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Whether the store says that it needs its journal.
fn needs_its_journal(disk: &Disk) -> bool {
    let database = crashed(disk).open().unwrap();
    let meta = database.begin_read().unwrap().open_table(META).unwrap();
    meta.get("epoch").unwrap().is_some()
}

#[test]
fn what_was_acknowledged_outlives_a_crash_and_a_crash_behind_the_replay() {
    let (disk, log) = with(&[1]);
    accept(&log, (1..=3).map(|id| submission(id, 1)).collect());
    settle(&log, 1, 200, 1);
    let (id, bytes) = (log.log_id(), log.stored_bytes());
    let first = crashed(&disk);
    let again = open(&first);
    assert_eq!((again.log_id(), size(&again), again.stored_bytes()), (id, (3, 1), bytes));
    assert_eq!(**again.subscriptions().get(sub(1)).unwrap(), subscription(1));
    accept(&again, vec![submission(4, 1)]);
    assert_eq!(size(&open(&crashed(&first))), (4, 1));
}

#[test]
fn a_log_that_was_closed_needs_no_journal_and_one_that_was_not_says_so() {
    let (disk, log) = with(&[1]);
    accept(&log, vec![submission(1, 1)]);
    assert!(needs_its_journal(&disk));
    let missing = crashed(&disk);
    missing.journal.lock().unwrap().clear();
    let said = lost(missing);
    assert!(said.contains("it is missing") && said.contains("put that file back"), "{said}");
    log.close();
    assert!(!needs_its_journal(&disk));
    disk.journal.lock().unwrap().clear();
    assert_eq!(size(&open(&disk)), (1, 0));
}

#[test]
fn a_torn_end_is_no_loss_and_a_torn_middle_is_told() {
    let (disk, log) = with(&[1]);
    let end = || disk.journal.lock().unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    accept(&log, vec![submission(1, 1)]);
    let first = end();
    accept(&log, vec![submission(2, 1)]);
    let second = end();
    let torn = |at: usize| {
        let disk = crashed(&disk);
        disk.journal.lock().unwrap()[at] ^= 0x40;
        disk
    };
    for at in [second, second - 20, second - 60] {
        assert_eq!(
            size(&open(&torn(at))),
            (1, 0),
            "what was being written at the crash was promised to nobody"
        );
    }
    for at in [first, first - 20, first - 60] {
        let said = lost(torn(at));
        assert!(said.contains("damaged in the middle"), "{said}");
    }
}

#[test]
fn a_full_journal_begins_anew_and_what_is_too_large_for_it_goes_to_the_store() {
    let (disk, log) = with(&[1]);
    let mut epochs = BTreeSet::new();
    let blocks = Disk::JOURNAL / 4096;
    for id in 1..=3 * u128::from(blocks) {
        accept(&log, vec![submission(id, 1)]);
        if id % 50 == 0 {
            let again = crashed(&disk);
            let database = crashed(&disk).open().unwrap();
            let meta = database.begin_read().unwrap().open_table(META).unwrap();
            epochs.insert(meta.get("epoch").unwrap().unwrap().value().to_vec());
            assert_eq!(size(&open(&again)), (id as u64, 0));
        }
    }
    assert!(epochs.len() >= 3, "it was full {} times", epochs.len() - 1);
    let large = Submission { body: vec![b'x'; 2 << 20].into(), ..submission(1_000_000, 1) };
    let accepted = log.accept(vec![large], NOW, Millis(0)).wait().unwrap();
    assert_eq!(accepted, [Acceptance::Accepted]);
    let all = size(&log);
    assert_eq!(size(&open(&crashed(&disk))), all);
}

#[test]
fn a_replay_over_a_store_that_has_it_all_changes_nothing() {
    let (disk, log) = with(&[1]);
    accept(&log, (1..=5).map(|id| submission(id, 1)).collect());
    settle(&log, 1, 500, 1);
    settle(&log, 1, 200, 1);
    let before = super::changes(&log, "").unwrap().0;
    // redb syncs by itself, and the journal is not asked.
    log.compact().wait().unwrap();
    assert!(needs_its_journal(&disk));
    let again = open(&crashed(&disk));
    assert_eq!((super::changes(&again, "").unwrap().0, size(&again)), (before, (5, 2)));
}

#[test]
fn records_of_another_epoch_and_of_another_place_do_not_follow() {
    let (mut journal, is_new) = Journal::open(Disk::default().journal().unwrap(), 64 << 10).unwrap();
    assert!(is_new);
    let append = |journal: &mut Journal, key: &[u8]| {
        let mut redo = journal.redo();
        redo.note(&Change { table: 3, key, value: Some(b"v") });
        assert!(journal.append(redo).unwrap());
    };
    journal.restart([1; 16]);
    for key in [b"a", b"b", b"c"] {
        append(&mut journal, key);
    }
    journal.restart([2; 16]);
    append(&mut journal, b"d");
    let keys = |journal: &mut Journal, epoch| {
        journal.restart([0; 16]);
        let mut keys = Vec::new();
        while let Some(record) = journal.next(&[epoch; 16]).unwrap() {
            keys.extend(changes(&record).map(|change| change.key.to_vec()));
        }
        (keys, journal.is_torn_apart(&[epoch; 16]).unwrap())
    };
    assert_eq!(keys(&mut journal, 2), (vec![b"d".to_vec()], false));
    assert_eq!(keys(&mut journal, 1), (vec![], true), "its first record is gone, the others are there");
    assert_eq!(keys(&mut journal, 3), (vec![], false));
    assert!(!journal.append(Redo::off()).unwrap());
}

#[test]
fn a_removal_and_an_empty_value_are_not_the_same() {
    let (mut journal, _) = Journal::open(Disk::default().journal().unwrap(), 64 << 10).unwrap();
    let mut redo = journal.redo();
    redo.note(&Change { table: 9, key: b"k", value: None });
    redo.note(&Change { table: 7, key: b"", value: Some(b"") });
    journal.append(redo).unwrap();
    journal.restart([0; 16]);
    let record = journal.next(&[0; 16]).unwrap().unwrap();
    let found: Vec<_> =
        changes(&record).map(|c| (c.table, c.key.to_vec(), c.value.map(<[u8]>::to_vec))).collect();
    assert_eq!(found, [(9, b"k".to_vec(), None), (7, vec![], Some(vec![]))]);
}
