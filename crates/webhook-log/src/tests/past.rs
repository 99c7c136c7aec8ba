//! A log that was put back to an earlier state, as its database finds it.

use super::{journal::crashed, *};
use crate::{Attached, Hold};

pub(super) fn odoo() -> Attachment {
    Attachment {
        database: Database { uuid: "u".into(), name: "prod".into() },
        instance: None,
        wake_url: None,
        wake_secret: None,
    }
}

/// What Odoo does and remembers, and the disk behind each of its steps.
#[derive(Default)]
struct Odoo {
    witness: Witness,
    log_id: String,
    days: Vec<(&'static str, Disk, Witness)>,
}

impl Odoo {
    fn hear(&mut self, count: u64) {
        self.witness.seen = self.witness.seen.max(Some(count));
    }

    fn attach(&mut self, log: &Log) -> Attached {
        let attached = log.attach(odoo(), false, self.witness.clone()).wait().unwrap().unwrap();
        if self.log_id != *attached.log_id {
            (self.log_id, self.witness) = (attached.log_id.to_string(), Witness::default());
        }
        self.hear(attached.accepted_to);
        attached
    }

    fn submit(&mut self, log: &Log, event: u128) {
        let accepted = log.accept(vec![submission(event, 1)], NOW, Millis(0)).wait().unwrap();
        self.hear(accepted.accepted_to);
    }

    fn pull(&mut self, log: &Log) {
        let cursor = self.witness.cursor.clone().unwrap_or_default();
        self.witness.cursor = Some(changes(log, &cursor).unwrap().1);
    }

    fn day(&mut self, what: &'static str, disk: &Disk) {
        self.days.push((what, crashed(disk), self.witness.clone()));
    }
}

/// A life of a log with everything that moves it, each step a day that the disk may be put back to.
fn life() -> Odoo {
    let (disk, log) = with(&[1]);
    let mut odoo = Odoo::default();
    odoo.attach(&log);
    odoo.pull(&log);
    odoo.day("attached", &disk);
    for event in 1..=3 {
        odoo.submit(&log, event);
        odoo.day("accepted, nothing delivered", &disk);
    }
    settle(&log, 1, 500, 1);
    odoo.pull(&log);
    odoo.day("delivered", &disk);
    let paused = Subscription { paused: true, ..subscription(1) };
    log.change_subscriptions(move |set| drop(set.put(paused))).wait().unwrap();
    odoo.attach(&log);
    odoo.day("paused", &disk);
    log.redeliver(EventId::from_u128(1), NOW).wait().unwrap();
    odoo.attach(&log);
    odoo.day("redelivered", &disk);
    assert!(log.change_subscriptions(|set| set.remove(sub(1))).wait().unwrap());
    odoo.attach(&log);
    odoo.day("deleted", &disk);
    odoo
}

#[test]
fn whatever_day_the_disk_is_put_back_to_odoo_sees_another_log_and_nothing_is_sent_before_its_settings() {
    let life = life();
    for (past, (what, disk, _)) in life.days.iter().enumerate() {
        for (now, (there, _, witness)) in life.days.iter().enumerate() {
            let log = open(&crashed(disk));
            assert_eq!(*log.hold().borrow(), Hold::Attach, "{what}: Odoo is asked first");
            let attached = log.attach(odoo(), false, witness.clone()).wait().unwrap().unwrap();
            assert_eq!(attached.log_id, log.log_id());
            let (is_new, hold) = (*attached.log_id != *life.log_id, *log.hold().borrow());
            let expected = if now > past { (true, Hold::Sync) } else { (false, Hold::Nothing) };
            assert_eq!((is_new, hold), expected, "put back to {past} ({what}) from {now} ({there})");
        }
    }
}

#[test]
fn a_log_that_went_back_waits_for_the_settings_also_behind_a_restart_and_forgets_what_was_pulled() {
    let life = life();
    let disk = crashed(&life.days[4].1);
    let log = open(&disk);
    log.pulled_up_to(life.witness.cursor.as_deref().unwrap());
    let renewed = log.attach(odoo(), false, life.witness.clone()).wait().unwrap().unwrap().log_id;
    assert_eq!(log.purge_surplus(Millis(0), 10).wait(), Ok(0), "Odoo reads everything again");
    let mut odoo = life;
    let second = open(&crashed(&disk));
    assert_eq!((second.log_id(), *second.hold().borrow()), (renewed.clone(), Hold::Sync));
    second.stop_waiting();
    assert_eq!(*second.hold().borrow(), Hold::Sync, "time alone does not end it");
    assert_eq!(
        odoo.attach(&second).log_id,
        renewed,
        "what Odoo remembers is of another log, and says nothing of this one"
    );
    assert_eq!(odoo.attach(&second).log_id, renewed);
    assert_eq!(*second.hold().borrow(), Hold::Sync);
    second.change_subscriptions(|set| drop(set.put(subscription(2)))).wait().unwrap();
    assert_eq!(*second.hold().borrow(), Hold::Sync, "one subscription is not all of them");
    second.sync_subscriptions(|set| drop(set.put(subscription(1)))).wait().unwrap();
    assert_eq!(*second.hold().borrow(), Hold::Nothing);
    sound(&second);
}

#[test]
fn what_is_handed_in_before_odoo_has_attached_hides_nothing() {
    let mut odoo = life();
    let log = open(&crashed(&odoo.days[1].1));
    for event in 100..200 {
        odoo.submit(&log, event);
        assert_eq!(odoo.witness.seen, odoo.days.last().unwrap().2.seen, "nothing higher was told");
    }
    (0..20).for_each(|_| drop(settle(&log, 1, 200, 1)));
    let cursor = odoo.witness.cursor.clone().unwrap();
    assert_eq!(changes(&log, &cursor), Err(CursorFault::Stale), "this log has not told of it");
    let before = odoo.log_id.clone();
    assert_ne!(*odoo.attach(&log).log_id, *before);
}

#[test]
fn a_start_that_lost_nothing_keeps_its_identity_and_a_sidecar_without_odoo_waits_for_nobody() {
    let (disk, log) = with(&[1]);
    assert_eq!(*log.hold().borrow(), Hold::Nothing);
    assert_eq!(*open(&crashed(&disk)).hold().borrow(), Hold::Nothing);
    let mut odoo = Odoo::default();
    let id = odoo.attach(&log).log_id;
    odoo.submit(&log, 1);
    settle(&log, 1, 200, 1);
    odoo.pull(&log);
    log.close();
    let again = open(&disk);
    assert_eq!(*again.hold().borrow(), Hold::Attach);
    assert_eq!(odoo.attach(&again).log_id, id);
    assert_eq!(*again.hold().borrow(), Hold::Nothing);
    let silent = open(&crashed(&disk));
    silent.stop_waiting();
    assert_eq!(*silent.hold().borrow(), Hold::Nothing, "Odoo did not come");
    // A cursor of the status page is one that was told.
    assert!(changes(&again, &again.cursor()).is_ok());
    for cursor in ["", "no cursor", "another:999"] {
        let witness = Witness { seen: Some(0), cursor: Some(cursor.into()) };
        assert_eq!(again.attach(self::odoo(), false, witness).wait().unwrap().unwrap().log_id, id);
    }
}
