//! The journal: what a crash leaves, and what is made of it.

use std::collections::BTreeSet;

use redb::ReadableDatabase;

use super::*;
use crate::{
    journal::{Change, Found, Journal, Redo, changes},
    tables::META,
};

/// The disk as it is now, without a word to whoever works on it.
pub(super) fn crashed(disk: &Disk) -> Disk {
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
    let accepted = accept(&log, vec![large]);
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

const EPOCH: [u8; 16] = [1; 16];

fn new_journal() -> (Disk, Journal) {
    let mut disk = Disk::default();
    let mut journal = Journal::make(disk.make_journal().unwrap(), 64 << 10, None).unwrap();
    begin(&mut journal, EPOCH);
    (disk, journal)
}

fn begin(journal: &mut Journal, epoch: [u8; 16]) {
    journal.announce(&epoch).unwrap();
    journal.restart(epoch);
}

fn append(journal: &mut Journal, key: &[u8]) {
    let mut redo = journal.redo();
    redo.note(&Change { table: 3, key, value: Some(b"v") });
    assert!(journal.append(redo).unwrap());
}

/// What a start finds: the keys, and whether something follows behind them.
fn find(disk: &Disk, epoch: u8) -> Result<(Vec<Vec<u8>>, bool), &'static str> {
    let mut journal = match Journal::find(crashed(disk).make_journal().unwrap(), [epoch; 16], None).unwrap() {
        Found::Whole(journal) => journal,
        Found::Cut(_) => return Err("cut"),
        Found::Foreign(why) => return Err(why),
    };
    let mut keys = Vec::new();
    while let Some(record) = journal.next().unwrap() {
        keys.extend(changes(&record).map(|change| change.key.to_vec()));
    }
    Ok((keys, journal.is_torn_apart().unwrap()))
}

#[test]
fn records_of_another_epoch_and_of_another_place_do_not_follow() {
    let (disk, mut journal) = new_journal();
    for key in [b"a", b"b", b"c"] {
        append(&mut journal, key);
    }
    begin(&mut journal, [2; 16]);
    append(&mut journal, b"d");
    assert_eq!(find(&disk, 2), Ok((vec![b"d".to_vec()], false)));
    assert_eq!(find(&disk, 1), Ok((vec![], true)), "its first record is gone, the others are there");
    assert!(find(&disk, 3).unwrap_err().contains("another state"));
    assert!(!journal.append(Redo::off()).unwrap());
}

#[test]
fn the_titles_of_two_syncs_stand_beside_each_other_until_the_store_has_the_newer() {
    let (disk, mut journal) = new_journal();
    append(&mut journal, b"a");
    for epoch in 2..5 {
        journal.announce(&[epoch; 16]).unwrap();
        assert_eq!(find(&disk, epoch - 1), Ok((vec![b"a".to_vec()], false)), "announced, and not come to");
        journal.restart([epoch; 16]);
        append(&mut journal, b"a");
    }
    assert!(find(&disk, 1).unwrap_err().contains("another state"));
}

#[test]
fn a_journal_of_any_other_length_is_known() {
    let (disk, mut journal) = new_journal();
    append(&mut journal, b"a");
    append(&mut journal, b"b");
    let whole = disk.journal.lock().unwrap().clone();
    let of = |bytes: &[u8]| Disk { journal: Arc::new(Mutex::new(bytes.to_vec())), ..Disk::default() };
    for length in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        assert!(find(&of(&whole[..length]), 1).is_err(), "{length}");
    }
    let longer = [whole.as_slice(), &[0; 8192]].concat();
    let all = Ok((vec![b"a".to_vec(), b"b".to_vec()], false));
    assert_eq!(
        (find(&of(&whole), 1), find(&of(&longer), 1)),
        (all.clone(), all),
        "a later version made it longer"
    );
    assert!(find(&of(&vec![0; whole.len()]), 1).is_err(), "only zeros");
}

#[test]
fn a_removal_and_an_empty_value_are_not_the_same() {
    let (disk, mut journal) = new_journal();
    let mut redo = journal.redo();
    redo.note(&Change { table: 9, key: b"k", value: None });
    redo.note(&Change { table: 7, key: b"", value: Some(b"") });
    journal.append(redo).unwrap();
    let found = Journal::find(disk.clone().make_journal().unwrap(), EPOCH, None).unwrap();
    let Found::Whole(mut journal) = found else { panic!("it is whole") };
    let record = journal.next().unwrap().unwrap();
    let found: Vec<_> =
        changes(&record).map(|c| (c.table, c.key.to_vec(), c.value.map(<[u8]>::to_vec))).collect();
    assert_eq!(found, [(9, b"k".to_vec(), None), (7, vec![], Some(vec![]))]);
}
