//! A log of many finished deliveries, written through the log's own verbs while no sidecar runs on it.

use std::{path::Path, time::Duration};

use anyhow::Result;
use uuid::Uuid;
use webhook_log::{Log, Settlement, Submission, medium};
use webhook_model::{Attempt, AttemptStatus, EventId, Millis, SubscriptionId};
use webhook_server::files::DataDir;

use crate::{
    load::{push_event, time_now},
    scene::Bench,
};

/// Deliveries of one subscription in one commit.
const EACH: usize = 100;

/// Adds `count` deliveries that succeeded to the store below `folder`.
pub fn fill(bench: &Bench, folder: &Path, owners: &[Uuid], count: usize) -> Result<()> {
    let data = DataDir::choose(Some(folder.join("data")))?;
    let opened = data.open(None)?;
    let log = Log::open(medium::File::new(data.store()), opened.key)?;
    let mut cursors = vec![0; owners.len()];
    let step = EACH * owners.len();
    let (time, now) = time_now();
    for done in (0..count).step_by(step) {
        if done % (step * 20) == 0 {
            bench.say(format!("a grown log: {done} of {count} deliveries"));
        }
        let submissions = (done..done + step).map(|number| submission(owners, number, &time, now)).collect();
        log.accept(submissions, now, Millis(0)).wait()?;
        let mut settlements: Vec<Settlement> = Vec::with_capacity(step);
        for (owner, cursor) in owners.iter().zip(&mut cursors) {
            let lane = SubscriptionId::from_u128(owner.as_u128());
            let (rows, looked) = log.read(|snapshot| snapshot.fresh(lane, *cursor, EACH))?;
            *cursor = looked;
            settlements.extend(rows.into_iter().map(|row| Settlement {
                seq: row.seq,
                attempt: succeeded(row.attempt, row.body.as_deref().unwrap_or_default(), now),
                next: None,
                payload_is_event_body: true,
            }));
        }
        settlements.sort_unstable_by_key(|settlement| settlement.seq);
        log.settle(settlements.into()).wait()?;
    }
    log.close();
    Ok(())
}

fn submission(owners: &[Uuid], number: usize, time: &str, now: Millis) -> Submission {
    let id = Uuid::now_v7();
    let mut body = String::new();
    push_event(&mut body, number, id, "", "event_id", time);
    Submission {
        event_id: EventId::from_u128(id.as_u128()),
        subscription_id: SubscriptionId::from_u128(owners[number % owners.len()].as_u128()),
        timestamp: now,
        body: body.into(),
    }
}

fn succeeded(attempt: Attempt, body: &[u8], now: Millis) -> Attempt {
    Attempt {
        status: AttemptStatus::Success,
        response_code: Some(200),
        payload: Some(String::from_utf8_lossy(body).into_owned()),
        response_body: Some(String::new()),
        finished_at: Some(now),
        duration: Some(Duration::from_millis(1)),
        ..attempt
    }
}
