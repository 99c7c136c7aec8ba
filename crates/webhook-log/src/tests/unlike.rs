//! A store that is not what it was: refused at every start and every look, and as it was, until somebody decides.

use std::{
    collections::BTreeMap,
    fs, panic,
    path::{Path, PathBuf},
    time::SystemTime,
};

use webhook_model::PreviousSecret;

use super::*;
use crate::{Hold, Left, Look, plan, recover};

const EVENTS: u128 = 6;

/// A data directory as a crash left it: one subscription, some events, each in a commit of its own.
fn left_behind() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let log = start(&store(&folder), &KEY).unwrap();
    log.change_subscriptions(|set| drop(set.put(subscription(1)))).wait().unwrap();
    attach(&log, past::odoo(), false).unwrap();
    (1..=EVENTS).for_each(|id| drop(accept(&log, vec![submission(id, 1)])));
    let crashed = copy_of(&folder);
    log.close();
    crashed
}

fn store(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("log.redb")
}

fn start(store: &Path, key: &[u8; 32]) -> Result<Log, OpenError> {
    Log::open(medium::File::new(store), SealingKey::new(key))
}

fn copy_of(folder: &tempfile::TempDir) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let from = entry.unwrap().path();
        fs::copy(&from, copy.path().join(from.file_name().unwrap())).unwrap();
    }
    copy
}

/// Every file, to the byte and the last change.
fn everything(folder: &tempfile::TempDir) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|file| {
            let modified = fs::metadata(&file).unwrap().modified().unwrap();
            (file.clone(), (fs::read(&file).unwrap(), modified))
        })
        .collect()
}

/// Refused for this reason however often somebody tries, and nothing is touched; then recovered. Answers what was left.
#[track_caller]
fn refused(folder: &tempfile::TempDir, key: &[u8; 32], forget: bool, what: &str, words: &str) -> Left {
    let (store, before) = (store(folder), everything(folder));
    for _ in 0..2 {
        let said = start(&store, key).expect_err(what).to_string();
        assert!(said.contains(words) && said.contains("recover"), "{what}: {said}");
        let looked = Look::at(&store, &SealingKey::new(key)).expect_err(what);
        assert_eq!(looked.to_string(), said, "{what}");
        assert!(everything(folder) == before, "{what}: looking changed something");
    }
    let plan = plan(&store, &SealingKey::new(key), forget).unwrap().expect(what);
    assert!(everything(folder) == before, "{what}: looking for a way on changed something");
    let kept = recover(&store, &SealingKey::new(key), &plan).unwrap();
    let of_what = |name: &PathBuf| {
        let name = name.to_str().unwrap().rsplit_once(".discarded-").unwrap().0;
        before[Path::new(name)].0.clone()
    };
    assert_eq!(kept.len(), before.len(), "{what}");
    assert!(kept.iter().all(|name| fs::read(name).unwrap() == of_what(name)), "{what}: its copy is another");
    let log = start(&store, key).unwrap();
    sound(&log);
    if plan.left != Left::Nothing {
        assert_eq!(*log.hold().borrow(), Hold::Sync, "{what}: Odoo brings its settings first");
    }
    assert_eq!(accept_or_new(&log), Acceptance::Accepted, "{what}: it goes on");
    log.close();
    plan.left
}

fn accept_or_new(log: &Log) -> Acceptance {
    if log.subscriptions().is_empty() && log.subscriptions().unreadable().is_empty() {
        log.sync_subscriptions(|set| drop(set.put(subscription(1)))).wait().unwrap();
    }
    accept(log, vec![submission(1000, 1)])[0]
}

#[test]
fn a_journal_that_is_missing_cut_emptied_or_of_another_state_is_refused_until_somebody_decides() {
    let crashed = left_behind();
    let whole = fs::metadata(medium::journal(&store(&crashed))).unwrap().len();
    type Damage = Box<dyn Fn(&Path)>;
    let cut = |length: u64| -> Damage {
        Box::new(move |journal| {
            fs::File::options().write(true).open(journal).unwrap().set_len(length).unwrap()
        })
    };
    let put = |at: u64, bytes: Vec<u8>| -> Damage {
        Box::new(move |journal| {
            let mut file = fs::File::options().write(true).open(journal).unwrap();
            io::Seek::seek(&mut file, io::SeekFrom::Start(at)).unwrap();
            io::Write::write_all(&mut file, &bytes).unwrap();
        })
    };
    let foreign = left_behind();
    let another = fs::read(medium::journal(&store(&foreign))).unwrap();
    let mut damages: Vec<(String, Damage, &str, u64)> = vec![
        ("missing".into(), Box::new(|journal| fs::remove_file(journal).unwrap()), "missing", 0),
        ("another's".into(), put(0, another), "another state", 0),
        ("without titles".into(), put(0, vec![0; 8192]), "its beginning is damaged", 0),
        ("all zeros".into(), put(0, vec![0; 1 << 20]), "its beginning is damaged", 0),
        // Titles take two blocks; the subscription, the attachment and each event one.
        ("torn in the middle".into(), put(4096 * 5, vec![0xff; 100]), "damaged in the middle", 3),
    ];
    for blocks in 0..=9 {
        let records = u64::saturating_sub(blocks, 2);
        let words = if blocks == 0 { "empty" } else { "cut short" };
        damages.push((format!("cut at {blocks} blocks"), cut(blocks * 4096), words, records));
        damages.push((format!("cut in block {blocks}"), cut(blocks * 4096 + 1000), "cut short", records));
    }
    damages.push(("one byte short".into(), cut(whole - 1), "cut short", 2 + EVENTS as u64));
    for (what, damage, words, records) in damages {
        let folder = copy_of(&crashed);
        damage(&medium::journal(&store(&folder)));
        let left = refused(&folder, &KEY, false, &what, words);
        let Left::Store { events, pending, replayed } = left else { panic!("{what}: {left:?}") };
        // A record of less than what the cut left of its block is whole.
        assert!((records..=records + 1).contains(&replayed), "{what}: {replayed} of {records}");
        assert_eq!(
            (events, pending),
            (replayed.saturating_sub(2), events),
            "{what}: what can be read is kept"
        );
    }
}

#[test]
fn a_store_that_is_missing_cut_or_no_store_is_refused_and_never_made_anew_in_silence() {
    let crashed = left_behind();
    let folder = copy_of(&crashed);
    fs::remove_file(store(&folder)).unwrap();
    assert_eq!(refused(&folder, &KEY, false, "missing", "the store is missing"), Left::Nothing);
    let closed = copy_of(&crashed);
    start(&store(&closed), &KEY).unwrap().close();
    for (state, folder) in [("not closed", &crashed), ("closed", &closed)] {
        let whole = fs::read(store(folder)).unwrap();
        let mut refusals = 0;
        for length in (0..whole.len()).step_by(12288).chain([1, 100, 5000, whole.len() - 1]) {
            let (what, folder) = (format!("{state}, cut at {length}"), copy_of(folder));
            fs::write(store(&folder), &whole[..length]).unwrap();
            // A cut through pages that nothing needs is no loss.
            match Look::at(&store(&folder), &SealingKey::new(&KEY)) {
                Ok(Some(look)) => {
                    let found = look
                        .read(|s| Ok((s.size()?.0, s.check()?)))
                        .unwrap_or_else(|e| panic!("{what}: {e}"));
                    assert_eq!(found, (EVENTS as u64, vec![]), "{what}");
                }
                _ => {
                    refused(&folder, &KEY, false, &what, "damaged");
                    refusals += 1;
                }
            }
        }
        assert!(refusals > 8, "{state}: {refusals}");
    }
    let folder = copy_of(&crashed);
    fs::write(store(&folder), vec![7; 100_000]).unwrap();
    refused(&folder, &KEY, false, "nonsense", "damaged");
    // A store of before its journal began anew.
    let folder = left_behind();
    let older = fs::read(store(&folder)).unwrap();
    start(&store(&folder), &KEY).map(|log| accept(&log, vec![submission(50, 1)])).unwrap();
    let folder = copy_of(&folder);
    fs::write(store(&folder), older).unwrap();
    refused(&folder, &KEY, false, "an older one", "another state");
}

#[test]
fn a_page_that_the_disk_said_it_had_and_lost_is_missed_in_the_next_life_of_the_machine() {
    const PAGE: usize = 4096;
    let folder = left_behind();
    let older = fs::read(store(&folder)).unwrap();
    let log = start(&store(&folder), &KEY).unwrap();
    accept(&log, (100..1000).map(|id| submission(id, 1)).collect());
    log.close();
    let whole = fs::read(store(&folder)).unwrap();
    let lost = |page: usize| {
        let range = page * PAGE..(page + 1) * PAGE;
        let mut bytes = whole.clone();
        bytes[range.clone()].fill(0);
        if let Some(old) = older.get(range.clone()) {
            bytes[range].copy_from_slice(old);
        }
        (bytes != whole).then_some(bytes)
    };
    let everybody = EVENTS as u64 + 900;
    let (mut missed, mut lies) = (0, 0);
    for (page, bytes) in (0..whole.len() / PAGE).filter_map(|page| Some((page, lost(page)?))) {
        // Another file is another life. In the same one nobody looks at every page, but `verify`.
        let copy = copy_of(&folder);
        fs::write(store(&copy), &bytes).unwrap();
        let key = SealingKey::new(&KEY);
        match Look::at(&store(&copy), &key) {
            Err(OpenError::Damaged(_)) => missed += 1,
            Err(error) => panic!("page {page}: {error}"),
            Ok(look) => {
                let found = look.unwrap().read(|s| Ok((s.size()?.0, s.pending()?, s.check()?))).unwrap();
                assert_eq!(found, (everybody, everybody, vec![]), "page {page}");
                continue;
            }
        }
        fs::write(store(&folder), &bytes).unwrap();
        let believed = panic::catch_unwind(|| Look::at(&store(&folder), &SealingKey::new(&KEY)));
        lies += u32::from(matches!(believed, Ok(Ok(_))));
        assert!(Look::closely(&store(&folder), &key).is_err(), "page {page}");
    }
    assert!(missed > 5 && lies > 0, "{missed}, of which {lies} would have been believed");
}

#[test]
fn another_key_is_known_at_once_and_what_it_sealed_waits() {
    let crashed = left_behind();
    let other = [8; 32];
    let said = plan(&store(&crashed), &SealingKey::new(&other), false).unwrap_err();
    assert!(matches!(said, OpenError::WrongKey), "secrets are not forgotten because somebody recovers");
    let folder = copy_of(&crashed);
    let left = refused(&folder, &other, true, "another key", "another key");
    assert_eq!(left, Left::Store { events: 6, pending: 6, replayed: 8 });
    let log = start(&store(&folder), &other).unwrap();
    assert_eq!(log.subscriptions().unreadable().len(), 1);
    assert_eq!(log.read(|s| s.pending()).unwrap(), 7, "nothing failed, and new events wait as well");
    log.sync_subscriptions(|set| drop(set.put(subscription(1)))).wait().unwrap();
    assert!(log.subscriptions().unreadable().is_empty());
    assert_eq!(**log.subscriptions().get(sub(1)).unwrap(), subscription(1));
    log.close();
    assert!(
        matches!(start(&store(&folder), &KEY), Err(OpenError::WrongKey)),
        "the old key is the wrong one now"
    );
    // While a key is being replaced both are right; afterwards the new one alone.
    let folder = copy_of(&crashed);
    let both = SealingKey::new(&other).replacing(&KEY);
    Log::open(medium::File::new(store(&folder)), both).unwrap().close();
    assert!(start(&store(&folder), &KEY).is_err());
    assert_eq!(start(&store(&folder), &other).unwrap().subscriptions().len(), 1);
    // Also where nothing is sealed yet.
    let empty = tempfile::tempdir().unwrap();
    start(&store(&empty), &KEY).unwrap().close();
    assert!(matches!(start(&store(&empty), &other), Err(OpenError::WrongKey)));
}

#[test]
fn everything_that_is_sealed_follows_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let previous_secret =
        Some(PreviousSecret { secret: SigningSecret::parse("another-secret-0123").unwrap(), until: NOW });
    let whole = Subscription {
        endpoint: Endpoint { previous_secret, ..subscription(1).endpoint },
        ..subscription(1)
    };
    let odoo = Attachment { wake_secret: Some(WakeSecret("canary-of-the-knock".into())), ..past::odoo() };
    let log = start(&store(&folder), &KEY).unwrap();
    let put = whole.clone();
    log.change_subscriptions(|set| drop(set.put(put))).wait().unwrap();
    attach(&log, odoo.clone(), false).unwrap();
    let crashed = copy_of(&folder);
    log.close();
    for (what, folder) in [("closed", folder), ("crashed", crashed)] {
        let new = [8; 32];
        Log::open(medium::File::new(store(&folder)), SealingKey::new(&new).replacing(&KEY)).unwrap().close();
        let log = start(&store(&folder), &new).unwrap();
        assert_eq!(**log.subscriptions().get(sub(1)).unwrap(), whole, "{what}");
        assert_eq!(log.attachment().unwrap().wake_secret, odoo.wake_secret, "{what}");
        log.close();
        assert!(matches!(start(&store(&folder), &KEY), Err(OpenError::WrongKey)), "{what}");
    }
}

#[test]
fn a_subscription_that_cannot_be_read_waits_and_odoo_is_asked_for_it() {
    let (disk, log) = with(&[1, 2]);
    attach(&log, past::odoo(), false).unwrap();
    accept(&log, vec![submission(1, 1)]);
    let id = log.log_id();
    log.close();
    {
        let database = disk.clone().open().unwrap();
        let txn = database.begin_write().unwrap();
        txn.open_table(crate::tables::SUBSCRIPTIONS).unwrap().insert(1, [1, 2, 3].as_slice()).unwrap();
        txn.commit().unwrap();
    }
    let log = open(&disk);
    assert_eq!(log.subscriptions().unreadable().iter().copied().collect::<Vec<_>>(), [sub(1)]);
    assert_eq!(accept(&log, vec![submission(2, 1)]), [Acceptance::Accepted], "it waits with the other");
    let attached = log.attach(past::odoo(), false, Witness::default()).wait().unwrap().unwrap();
    assert_ne!(attached.log_id, id, "Odoo syncs with a log that is new to it");
    assert_eq!(*log.hold().borrow(), Hold::Sync);
    assert!(
        log.sync_subscriptions(|set| set.remove(sub(1))).wait().unwrap(),
        "Odoo does not have it any more"
    );
    log.close();
    let log = open(&disk);
    assert!(log.subscriptions().unreadable().is_empty());
    sound(&log);
}

#[test]
fn a_sound_store_needs_no_recovery_and_what_is_not_ours_to_recover_is_left_alone() {
    let crashed = left_behind();
    let key = SealingKey::new(&KEY);
    let before = everything(&crashed);
    assert!(plan(&store(&crashed), &key, false).unwrap().is_none());
    let look = Look::at(&store(&crashed), &key).unwrap().unwrap();
    assert_eq!(
        look.read(|s| Ok((s.size()?, s.check()?))).unwrap(),
        ((6, 0), vec![]),
        "with what the journal has"
    );
    drop(look);
    assert!(everything(&crashed) == before);
    let log = start(&store(&crashed), &KEY).unwrap();
    assert!(matches!(plan(&store(&crashed), &key, true), Err(OpenError::Locked)));
    assert!(matches!(Look::at(&store(&crashed), &key), Err(OpenError::Locked)));
    log.close();
    let nothing = tempfile::tempdir().unwrap();
    assert!(plan(&store(&nothing), &key, false).unwrap().is_none());
    assert!(Look::at(&store(&nothing), &key).unwrap().is_none());
    assert!(everything(&nothing).is_empty());
}
