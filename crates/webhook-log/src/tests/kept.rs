//! What retention must keep: ids for their time, and outcomes until Odoo has them.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn day(n: u32) -> Millis {
    NOW.plus(DAY * n)
}

/// An attached log whose `count` deliveries are over.
fn over(count: u128) -> (Disk, Log) {
    let (disk, log) = with(&[1]);
    attach(&log, past::odoo(), false).unwrap();
    accept(&log, (1..=count).map(|id| submission(id, 1)).collect());
    (0..count).for_each(|_| drop(settle(&log, 1, 200, 1)));
    (disk, log)
}

fn pull(log: &Log) {
    let (_, cursor) = changes(log, "").unwrap();
    log.pulled_up_to(&cursor);
}

#[test]
fn an_id_is_remembered_for_its_time_although_its_event_had_to_go() {
    let (disk, log) = over(3);
    pull(&log);
    assert_eq!(log.purge_surplus(Millis(0), 2).wait(), Ok(2));
    sound(&log);
    let same = |log: &Log| {
        let other = Submission { body: "{\"event_id\":2}".into(), ..submission(1, 1) };
        let elsewhere = Submission { subscription_id: sub(2), ..submission(1, 1) };
        // Key order, and 1 against 1.0, make no difference: the same event as JSON.
        let spelt = Submission { body: "{ \"event_id\": 2.0 }".into(), ..submission(2, 1) };
        accept(log, vec![submission(1, 1), spelt, other, elsewhere, submission(3, 1)])
    };
    use Acceptance::{Duplicate, Rejected};
    let conflict = Rejected(Rejection::Conflict);
    let expected = [Duplicate, Duplicate, conflict, conflict, Duplicate];
    assert_eq!(same(&log), expected);
    assert_eq!(log.read(|s| s.attempts(EventId::from_u128(1))).unwrap(), None, "the event itself is gone");
    assert_eq!(log.redeliver(EventId::from_u128(1), NOW).wait(), Ok(Redelivery::NotFound));
    log.close();
    let log = open(&disk);
    assert_eq!(same(&log), expected, "also behind a restart");
    pull(&log);
    assert_eq!(log.purge(older_than(day(1)), 10).wait(), Ok(3), "two ids and one delivery");
    sound(&log);
    assert_eq!(same(&log), [Rejected(Rejection::Expired); 5], "what may be forgotten is not taken");
    let again = |id| Submission { timestamp: day(2), ..submission(id, 1) };
    assert_eq!(accept(&log, vec![again(1)]), [Acceptance::Accepted]);
}

#[test]
fn no_outcome_goes_by_age_before_odoo_has_it_except_beyond_its_own_time() {
    let (disk, log) = over(3);
    let keep = |since, unpulled| Keep { since: day(since), unpulled_since: day(unpulled) };
    assert_eq!(log.overdue(), None);
    assert_eq!(
        log.purge(Keep { since: day(1), unpulled_since: NOW }, 10).wait(),
        Ok(0),
        "nothing was pulled"
    );
    assert_eq!(log.overdue(), Some(NOW), "and that begins to matter");
    pull(&log);
    assert_eq!(log.purge(Keep { since: day(1), unpulled_since: NOW }, 10).wait(), Ok(3));
    assert_eq!(log.overdue(), None);
    let again = |id| Submission { timestamp: day(2), ..submission(id, 1) };
    accept(&log, vec![again(10)]);
    settle(&log, 1, 200, 1);
    log.close();
    let log = open(&disk);
    assert_eq!(
        log.purge(Keep { since: day(30), unpulled_since: NOW }, 10).wait(),
        Ok(0),
        "nothing is known of pulls behind a start"
    );
    assert_eq!(log.purge(keep(90, 89), 10).wait(), Ok(1), "too long is too long");
    sound(&log);
    let (_, alone) = with(&[1]);
    accept(&alone, vec![submission(1, 1)]);
    settle(&alone, 1, 200, 1);
    let keep = Keep { since: day(1), unpulled_since: NOW };
    assert_eq!((alone.purge(keep, 10).wait(), alone.overdue()), (Ok(1), None), "nobody pulls");
}

#[test]
fn a_clock_that_jumps_takes_nothing_and_odoo_s_time_puts_it_right() {
    let (disk, log) = with(&[1]);
    accept(&log, vec![submission(1, 1)]);
    let date = |at: Millis| at.0 / DAY.as_millis() as u64;
    assert_eq!(date(log.calendar(day(0))), date(day(0)));
    assert_eq!(date(log.calendar(day(400))), date(day(0)), "a jump");
    log.close();
    let log = open(&disk);
    assert_eq!(date(log.calendar(day(400))), date(day(0)), "a jump and a restart");
    let event = Submission { timestamp: day(300), ..submission(2, 1) };
    log.accept(vec![event], day(400), Millis(0)).wait().unwrap();
    assert_eq!(
        log.calendar(day(400)).0 / 86_400_000,
        day(300).0 / 86_400_000,
        "Odoo says that it was no jump"
    );
    assert_eq!(log.calendar(day(10)), day(10), "never later than the clock");
}
