//! The loop, with a scripted transport and a clock that the test turns: no sockets, no sleeps.
//!
//! "Nothing is sent" is shown by the loop sending something else that was handed in later.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use webhook_log::{Log, Redelivery, SealingKey, Submission, TestEvent, medium};
use webhook_model::{
    Attempt, AttemptStatus, CustomHeaders, Dialect, Endpoint, EndpointUrl, EventFilter, EventId, Failure,
    Millis, Outcome, Subscription, SubscriptionId, Trigger,
};

use crate::{
    Cancelled, Canceller, Clock, Counters, Dispatcher, Options, Quiet,
    clock::Start,
    dispatcher::BODIES_BYTES,
    transport::{Exchange, Request, Transport},
};

const NOW: Millis = Millis(1_795_000_000_000);

/// The time that passes, and how far the wall clock is ahead of it.
struct Hands(watch::Sender<Millis>, AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Millis {
        Millis(self.0.borrow().0.saturating_add_signed(self.1.load(Relaxed)))
    }

    fn steady(&self, _: Start) -> Millis {
        *self.0.borrow()
    }

    async fn sleep(&self, time: Duration) {
        let mut hands = self.0.subscribe();
        let end = hands.borrow_and_update().plus(time);
        let _ = hands.wait_for(|now| *now >= end).await;
    }
}

/// A request on its way; the test decides what comes back.
struct Hit {
    event: EventId,
    host: String,
    /// The attempt was made before, on a connection that ended.
    is_again: bool,
    answer: oneshot::Sender<Exchange>,
}

impl Hit {
    fn ends(self, outcome: Outcome) {
        let _ = self.answer.send(Exchange { duration: Duration::from_millis(2), ..outcome.into() });
    }

    fn answers(self, status: u16) {
        self.answers_with(status, None);
    }

    fn answers_with(self, status: u16, retry_after: Option<&str>) {
        let retry_after = retry_after.map(str::to_owned);
        self.ends(Outcome::Response {
            status,
            retry_after,
            body: String::new(),
            truncated: false,
            is_html: false,
        });
    }

    fn times_out(self) {
        self.ends(Outcome::Failed { failure: Failure::Timeout, message: "no answer".into() });
    }
}

struct Script {
    hits: mpsc::UnboundedSender<Hit>,
    /// Bodies are kept until the answer comes, as by an endpoint that reads nothing.
    reads_nothing: bool,
}

impl Transport for Script {
    async fn send(&self, request: Request) -> Exchange {
        let (answer, answered) = oneshot::channel();
        let event = request.headers["webhook-id"].to_str().unwrap().parse().unwrap();
        let (host, is_again) = (request.url.host().to_string(), request.again_after.is_some());
        let _kept = self.reads_nothing.then_some(request);
        let _ = self.hits.send(Hit { event, host, is_again, answer });
        answered.await.unwrap_or_else(|_| {
            Outcome::Failed { failure: Failure::Protocol, message: "dropped".into() }.into()
        })
    }
}

/// A running loop and everything around it.
struct Stage {
    folder: tempfile::TempDir,
    log: Log,
    clock: Arc<Hands>,
    hits: mpsc::UnboundedReceiver<Hit>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    canceller: Canceller,
    quiet: Quiet,
    events: u128,
}

impl Stage {
    async fn new(subscriptions: impl IntoIterator<Item = Subscription>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = open(&folder);
        let subscriptions: Vec<Subscription> = subscriptions.into_iter().collect();
        log.change_subscriptions(|set| subscriptions.into_iter().for_each(|new| drop(set.put(new))))
            .await
            .unwrap();
        Self::on(folder, log, Arc::new(Hands(watch::Sender::new(NOW), AtomicI64::new(0))), true)
    }

    /// Its endpoints have read the request when it is hit.
    async fn whose_endpoints_read(subscriptions: impl IntoIterator<Item = Subscription>) -> Self {
        let stage = Self::new(subscriptions).await;
        drop(stage.hits);
        stage.stop.cancel();
        stage.task.await.unwrap();
        Self::on(stage.folder, stage.log, stage.clock, false)
    }

    fn on(folder: tempfile::TempDir, log: Log, clock: Arc<Hands>, reads_nothing: bool) -> Self {
        let (hits, received) = mpsc::unbounded_channel();
        let script = Script { hits, reads_nothing };
        let stop = CancellationToken::new();
        let options = Options { max_in_flight: 8 };
        let counters = Arc::new(Counters::default());
        let dispatcher = Dispatcher::new(log.clone(), script, Arc::clone(&clock), counters, options);
        let (canceller, quiet) = (dispatcher.canceller(), dispatcher.quiet());
        let task = tokio::spawn(dispatcher.run(stop.clone()));
        Self { folder, log, clock, hits: received, stop, task, canceller, quiet, events: 0 }
    }

    async fn restart(self) -> Self {
        drop(self.hits);
        self.stop.cancel();
        self.task.await.unwrap();
        self.log.close();
        let log = open(&self.folder);
        Self { events: self.events, ..Self::on(self.folder, log, self.clock, true) }
    }

    /// Every test ends with a sound log.
    async fn end(self) {
        drop(self.hits);
        self.stop.cancel();
        self.task.await.unwrap();
        assert_eq!(self.log.read(|snapshot| snapshot.check()).unwrap(), Vec::<String>::new());
        self.log.close();
    }

    fn advance(&self, time: Duration) {
        self.clock.0.send_modify(|now| *now = now.plus(time));
    }

    async fn submit(&mut self, owner: u128, count: usize) -> Vec<EventId> {
        let new: Vec<Submission> = (0..count)
            .map(|_| {
                self.events += 1;
                submission(self.events, owner, self.clock.now())
            })
            .collect();
        let ids = new.iter().map(|s| s.event_id).collect();
        self.log.accept(new, self.clock.now(), Millis(0)).await.unwrap();
        ids
    }

    async fn hit(&mut self) -> Hit {
        self.hits.recv().await.expect("the loop runs")
    }

    /// The next request is this event's, so nothing else was due before it.
    async fn hit_of(&mut self, event: EventId) -> Hit {
        let hit = self.hit().await;
        assert_eq!(hit.event, event);
        hit
    }

    /// Another subscription's event goes through, and so nothing of the others is on its way.
    async fn only_others_go_on(&mut self) {
        let [event] = self.submit(99, 1).await[..] else { unreachable!() };
        self.hit_of(event).await.answers(200);
        self.settled(event, 1).await;
    }

    async fn cancel(&self, event: EventId) -> Cancelled {
        let (seq, attempt) = self.log.read(|s| s.pending_attempt(event)).unwrap().unwrap();
        let by = "by Mitchell".into();
        self.canceller.cancel(attempt.subscription_id, seq, attempt.number, by).await.unwrap()
    }

    /// The attempts of a delivery, once so many of them are over.
    async fn settled(&self, event: EventId, finals: usize) -> Vec<Attempt> {
        let mut feed = self.log.feed();
        loop {
            feed.borrow_and_update();
            let attempts = self.log.read(|s| s.attempts(event)).unwrap().unwrap();
            if attempts.iter().filter(|a| a.status != AttemptStatus::Pending).count() >= finals {
                return attempts;
            }
            feed.changed().await.unwrap();
        }
    }
}

fn open(folder: &tempfile::TempDir) -> Log {
    Log::open(medium::File::new(folder.path().join("log.redb")), SealingKey::new(&[7; 32])).unwrap()
}

fn submission(event: u128, owner: u128, now: Millis) -> Submission {
    let event_id = EventId::from_u128(event);
    Submission {
        event_id,
        subscription_id: SubscriptionId::from_u128(owner),
        timestamp: now,
        body: Bytes::from(format!("{{\"event_id\":\"{event_id}\"}}")),
    }
}

fn subscription(id: u128) -> Subscription {
    Subscription {
        id: SubscriptionId::from_u128(id),
        name: "Orders".into(),
        model: "sale.order".into(),
        event_type: EventFilter::All,
        endpoint: Endpoint {
            url: Some(EndpointUrl::from_stored(&format!("https://host-{id}.example.com/x")).unwrap()),
            secret: None,
            previous_secret: None,
            headers: CustomHeaders::default(),
            timeout: Duration::from_secs(10),
            max_in_flight: 4,
        },
        payload_template: None,
        dialect: Dialect::Auto,
        active: true,
        paused: false,
        max_attempts: 1,
        success: None,
    }
}

fn with_attempts(id: u128, max_attempts: u8) -> Subscription {
    Subscription { max_attempts, ..subscription(id) }
}

fn strict(id: u128, max_attempts: u8) -> Subscription {
    let mut strict = with_attempts(id, max_attempts);
    strict.endpoint.max_in_flight = 1;
    strict
}

fn statuses(attempts: &[Attempt]) -> Vec<&'static str> {
    attempts.iter().map(|attempt| attempt.status.as_str()).collect()
}

/// The endpoint does not answer five times, one attempt after the other.
async fn bring_down(stage: &mut Stage, owner: u128) {
    for _ in 0..5 {
        let [event] = stage.submit(owner, 1).await[..] else { unreachable!() };
        stage.advance(Duration::from_millis(1));
        stage.hit_of(event).await.times_out();
        stage.settled(event, 1).await;
    }
}

#[tokio::test]
async fn a_retry_waits_for_its_time_and_survives_a_restart() {
    let mut stage = Stage::new([with_attempts(1, 3), subscription(99)]).await;
    let [event] = stage.submit(1, 1).await[..] else { unreachable!() };
    stage.hit_of(event).await.answers_with(503, Some("30"));
    let attempts = stage.settled(event, 1).await;
    assert_eq!(statuses(&attempts), ["failed", "pending"]);
    assert_eq!(attempts[1].trigger, Trigger::Retry);
    assert_eq!(attempts[1].next_attempt_at, Some(NOW.plus(Duration::from_secs(30))));
    let mut stage = stage.restart().await;
    stage.advance(Duration::from_millis(29_999));
    stage.only_others_go_on().await;
    stage.advance(Duration::from_millis(1));
    stage.hit_of(event).await.answers(200);
    assert_eq!(statuses(&stage.settled(event, 2).await), ["failed", "success"]);
    stage.end().await;
}

/// A retry, and a pause that the endpoint asked for, last as long as they last, whoever sets the wall clock meanwhile.
#[tokio::test]
async fn a_wall_clock_that_jumps_hurries_nothing_and_holds_up_nothing() {
    for jump in [-86_400_000, 86_400_000, -7_000, 7_000] {
        let mut stage = Stage::new([with_attempts(1, 2), subscription(2), subscription(99)]).await;
        let [retried] = stage.submit(1, 1).await[..] else { unreachable!() };
        stage.hit_of(retried).await.answers_with(500, Some("30"));
        let [refused] = stage.submit(2, 1).await[..] else { unreachable!() };
        stage.hit_of(refused).await.answers_with(429, Some("30"));
        stage.settled(retried, 1).await;
        stage.settled(refused, 1).await;
        let [paused] = stage.submit(2, 1).await[..] else { unreachable!() };
        stage.clock.1.store(jump, Relaxed);
        stage.advance(Duration::from_millis(29_999));
        stage.only_others_go_on().await;
        stage.advance(Duration::from_millis(1));
        let mut hits = [stage.hit().await, stage.hit().await];
        hits.sort_by_key(|hit| hit.event);
        assert_eq!([hits[0].event, hits[1].event], [retried, paused], "{jump}");
        hits.into_iter().for_each(|hit| hit.answers(200));
        stage.settled(retried, 2).await;
        let attempts = stage.settled(paused, 1).await;
        assert_eq!(attempts[0].finished_at, Some(stage.clock.now()), "the record has the wall clock's time");
        stage.end().await;
    }
}

#[tokio::test]
async fn at_a_stop_an_outcome_waits_for_no_attempt_that_is_still_under_way() {
    let mut stage = Stage::new([subscription(1), subscription(2)]).await;
    let [first] = stage.submit(1, 1).await[..] else { unreachable!() };
    let [second] = stage.submit(2, 1).await[..] else { unreachable!() };
    let (one, two) = (stage.hit_of(first).await, stage.hit_of(second).await);
    stage.stop.cancel();
    one.answers(200);
    stage.settled(first, 1).await;
    two.answers(200);
    let Stage { log, task, .. } = stage;
    task.await.unwrap();
    let attempts = log.read(|snapshot| snapshot.attempts(second)).unwrap().unwrap();
    assert_eq!(statuses(&attempts), ["success"], "it was still under way when the first one was on disk");
    log.close();
}

#[tokio::test]
async fn a_subscription_that_has_no_url_any_more_sends_nothing_and_says_so() {
    let mut stage = Stage::new([Subscription { paused: true, ..subscription(1) }, subscription(99)]).await;
    let [event] = stage.submit(1, 1).await[..] else { unreachable!() };
    let mut bare = subscription(1);
    bare.endpoint.url = None;
    stage.log.change_subscriptions(move |set| drop(set.put(bare))).await.unwrap();
    let attempts = stage.settled(event, 1).await;
    let error = attempts[0].error.as_ref().unwrap();
    assert_eq!((error.kind, error.message.contains("no URL")), (Failure::Inactive, true));
    stage.only_others_go_on().await;
    stage.end().await;
}

#[tokio::test]
async fn one_attempt_is_all_unless_more_were_asked_for() {
    let mut stage = Stage::new([subscription(1), subscription(99)]).await;
    let [event] = stage.submit(1, 1).await[..] else { unreachable!() };
    stage.hit_of(event).await.answers(503);
    assert_eq!(statuses(&stage.settled(event, 1).await), ["failed"]);
    stage.advance(Duration::from_secs(86_400));
    stage.only_others_go_on().await;
    stage.end().await;
}

#[tokio::test]
async fn in_strict_order_a_waiting_retry_holds_the_line() {
    let mut stage = Stage::new([strict(1, 2), subscription(99)]).await;
    let events = stage.submit(1, 2).await;
    stage.hit_of(events[0]).await.answers(500);
    stage.settled(events[0], 1).await;
    stage.only_others_go_on().await;
    stage.advance(Duration::from_secs(6));
    stage.hit_of(events[0]).await.answers(200);
    stage.hit_of(events[1]).await.answers(200);
    stage.settled(events[1], 1).await;
    stage.end().await;
}

#[tokio::test]
async fn too_many_requests_pause_the_lane_and_no_other() {
    let mut stage = Stage::new([subscription(1), subscription(99)]).await;
    let [first] = stage.submit(1, 1).await[..] else { unreachable!() };
    stage.hit_of(first).await.answers_with(429, Some("60"));
    stage.settled(first, 1).await;
    let waiting = stage.submit(1, 3).await;
    stage.advance(Duration::from_millis(59_999));
    stage.only_others_go_on().await;
    stage.advance(Duration::from_millis(1));
    for event in waiting {
        stage.hit_of(event).await.answers(200);
        stage.settled(event, 1).await;
    }
    stage.end().await;
}

#[tokio::test]
async fn the_backlog_of_an_endpoint_that_is_down_waits_behind_one_probe_and_drains_at_a_bounded_pace() {
    let mut stage = Stage::new([subscription(1), subscription(99)]).await;
    bring_down(&mut stage, 1).await;
    let backlog = stage.submit(1, 20).await;
    stage.only_others_go_on().await;
    stage.advance(Duration::from_millis(1200));
    stage.hit_of(backlog[0]).await.times_out();
    stage.settled(backlog[0], 1).await;
    stage.advance(Duration::from_millis(1200));
    stage.only_others_go_on().await;
    stage.advance(Duration::from_millis(1200));
    let probe = stage.hit_of(backlog[1]).await;
    stage.only_others_go_on().await;
    probe.answers(200);
    // One answer: two at once, and no third before one of them is back.
    let (second, third) = (stage.hit_of(backlog[2]).await, stage.hit_of(backlog[3]).await);
    stage.only_others_go_on().await;
    second.answers(200);
    let more = [stage.hit_of(backlog[4]).await, stage.hit_of(backlog[5]).await];
    stage.only_others_go_on().await;
    third.answers(200);
    more.into_iter().for_each(|hit| hit.answers(200));
    for _ in 6..20 {
        stage.hit().await.answers(200);
    }
    for event in &backlog[1..] {
        assert_eq!(statuses(&stage.settled(*event, 1).await), ["success"]);
    }
    stage.end().await;
}

#[tokio::test]
async fn a_test_and_a_redelivery_do_not_wait_for_the_probe_and_open_the_lane_again() {
    let mut stage = Stage::new([subscription(1), subscription(99)]).await;
    bring_down(&mut stage, 1).await;
    let failed = EventId::from_u128(5);
    let waiting = stage.submit(1, 1).await;
    stage.only_others_go_on().await;
    let redelivery = stage.log.redeliver(failed, stage.clock.now()).await.unwrap();
    assert!(matches!(redelivery, Redelivery::Started(Attempt { number: 2, .. })), "{redelivery:?}");
    stage.hit_of(failed).await.times_out();
    stage.settled(failed, 2).await;
    stage.only_others_go_on().await;
    let test = submission(1000, 1, stage.clock.now());
    let event = test.event_id;
    let started = stage.log.test(test, stage.clock.now()).await.unwrap();
    assert!(matches!(started, TestEvent::Started(_)), "{started:?}");
    stage.hit_of(event).await.answers(200);
    stage.hit_of(waiting[0]).await.answers(200);
    stage.settled(waiting[0], 1).await;
    stage.end().await;
}

#[tokio::test]
async fn in_strict_order_a_redelivery_keeps_its_place_also_while_the_endpoint_is_down() {
    let mut stage = Stage::new([strict(1, 1), subscription(99)]).await;
    bring_down(&mut stage, 1).await;
    let later = stage.submit(1, 1).await;
    stage.log.redeliver(EventId::from_u128(2), stage.clock.now()).await.unwrap();
    stage.hit_of(EventId::from_u128(2)).await.answers(200);
    stage.hit_of(later[0]).await.answers(200);
    stage.settled(later[0], 1).await;
    stage.end().await;
}

#[tokio::test]
async fn a_changed_subscription_is_tried_at_once() {
    let mut stage = Stage::new([subscription(1), subscription(99)]).await;
    bring_down(&mut stage, 1).await;
    let [event] = stage.submit(1, 1).await[..] else { unreachable!() };
    stage.only_others_go_on().await;
    let mut corrected = subscription(1);
    corrected.endpoint.url = Some(EndpointUrl::from_stored("https://right.example.com/").unwrap());
    stage.log.change_subscriptions(move |set| drop(set.put(corrected))).await.unwrap();
    let hit = stage.hit_of(event).await;
    assert_eq!(hit.host, "right.example.com");
    hit.answers(200);
    stage.settled(event, 1).await;
    stage.end().await;
}

#[tokio::test]
async fn a_thousand_hanging_endpoints_with_backlogs_do_not_starve_a_healthy_one() {
    let hanging = 1..=1000_u128;
    let mut stage = Stage::new(hanging.clone().map(subscription).chain([subscription(2000)])).await;
    for owner in hanging.clone() {
        stage.submit(owner, 3).await;
    }
    let mut hung = Vec::new();
    let mut healthy = 0;
    for round in 0..2 {
        // Every place that the hanging ones can get, they have.
        let places = if round == 0 { 1000 + 8 } else { 1024 - 128 };
        while hung.len() < places {
            hung.push(stage.hit().await);
        }
        let events = stage.submit(2000, 50).await;
        for _ in &events {
            let hit = stage.hit().await;
            assert_eq!(hit.host, "host-2000.example.com");
            hit.answers(200);
        }
        for event in events {
            healthy += usize::from(stage.settled(event, 1).await[0].status == AttemptStatus::Success);
        }
        stage.advance(Duration::from_secs(10));
        hung.drain(..).for_each(Hit::times_out);
    }
    assert_eq!(healthy, 100);
    stage.end().await;
}

/// The store may hold what another version let through: it ends as failed, again after a restart, and stops nobody.
#[tokio::test]
async fn a_stored_template_that_does_not_compile_is_a_failed_attempt() {
    // A long one is not kept, but compiled for each payload.
    let of = |lane, before: &str| {
        let text = format!("{before}{{% include \"x\" %}}{{{{ nope");
        Subscription { payload_template: Some(serde_json::json!({ "text": text })), ..subscription(lane) }
    };
    let mut stage = Stage::new([of(1, ""), subscription(2), of(3, &"x".repeat(20_000))]).await;
    for lane in [1, 3] {
        let [event] = stage.submit(lane, 1).await[..] else { unreachable!() };
        let error = stage.settled(event, 1).await[0].error.clone().unwrap();
        assert_eq!(error.kind, Failure::Render, "{error:?}");
    }
    let [other] = stage.submit(2, 1).await[..] else { unreachable!() };
    stage.hit_of(other).await.answers(200);
    stage.settled(other, 1).await;
    stage.end().await;
}

#[tokio::test]
async fn a_template_renders_the_same_however_long_it_is() {
    for length in [0, 20_000] {
        let text = format!("{}{{{{ event_id }}}}", "x".repeat(length));
        let template = Some(serde_json::json!({ "text": text }));
        let long = Subscription { payload_template: template, ..subscription(1) };
        let mut stage = Stage::new([long]).await;
        for event in stage.submit(1, 2).await {
            stage.hit_of(event).await.answers(200);
            let payload = stage.settled(event, 1).await[0].payload.clone().unwrap();
            let expected = format!("{}{event}", "x".repeat(length));
            assert_eq!(payload, serde_json::json!({ "text": expected }).to_string());
        }
        stage.end().await;
    }
}

/// An event of `owner` whose body has so many bytes, and a few.
fn large(event: u128, owner: u128, bytes: usize) -> Submission {
    let small = submission(event, owner, NOW);
    let text = "x".repeat(bytes);
    let body = format!("{{\"event_id\":\"{}\",\"records\":[{{\"x\":\"{text}\"}}]}}", small.event_id);
    Submission { body: body.into(), ..small }
}

/// However many subscriptions there are.
#[tokio::test]
async fn bodies_under_way_take_so_much_memory_and_the_rest_waits_its_turn() {
    const BYTES: usize = 250_000;
    const LANES: u128 = 120;
    let most = BODIES_BYTES.div_ceil(BYTES);
    let mut stage = Stage::new((1..=LANES).map(subscription)).await;
    let new: Vec<_> = (1..=LANES).map(|lane| large(lane, lane, BYTES)).collect();
    let mut waiting: BTreeSet<_> = new.iter().map(|new| new.event_id).collect();
    stage.log.accept(new, NOW, Millis(0)).await.unwrap();
    let mut under_way = VecDeque::new();
    for _ in 0..most {
        let hit = stage.hit().await;
        waiting.remove(&hit.event);
        under_way.push_back(hit);
    }
    // The loop has taken several turns when this is answered.
    let cancelled = waiting.pop_last().unwrap();
    assert!(matches!(stage.cancel(cancelled).await, Cancelled::Recorded(_)));
    assert!(stage.hits.try_recv().is_err(), "more than {most} are under way");
    while let Some(hit) = under_way.pop_front() {
        hit.answers(200);
        if !waiting.is_empty() {
            let hit = stage.hit().await;
            assert!(waiting.remove(&hit.event));
            under_way.push_back(hit);
        }
    }
    stage.end().await;
}

/// What the network has is not held any longer, and is made again for the record: endpoints that hang cost the others
/// nothing, whatever they were sent.
#[tokio::test]
async fn an_endpoint_that_hangs_holds_no_body_and_the_record_has_it_all_the_same() {
    const LANES: u128 = 150;
    let echo = serde_json::json!({ "all": "{{ event_id }} {{ record.x }}" });
    let with = |lane: u128| {
        let payload_template = (lane % 2 == 1).then(|| echo.clone());
        Subscription { payload_template, ..subscription(lane) }
    };
    let mut stage = Stage::whose_endpoints_read((1..=LANES).map(with)).await;
    let (mut sent, mut all) = (BTreeMap::new(), Vec::new());
    for lane in 1..=LANES {
        let bytes = if lane % 3 == 0 { 20_000 } else { 250_000 };
        let new = large(lane, lane, bytes);
        let payload = match lane % 2 {
            0 => String::from_utf8(new.body.to_vec()).unwrap(),
            _ => format!("{{\"all\":\"{} {}\"}}", new.event_id, "x".repeat(bytes)),
        };
        sent.insert(new.event_id, payload);
        all.push(new);
    }
    stage.log.accept(all, NOW, Millis(0)).await.unwrap();
    let mut under_way = Vec::new();
    for _ in 1..=LANES {
        under_way.push(stage.hit().await);
    }
    for hit in under_way {
        let event = hit.event;
        hit.answers(200);
        let attempts = stage.settled(event, 1).await;
        assert_eq!(attempts[0].payload.as_ref(), Some(&sent[&event]));
    }
    stage.end().await;
}

/// What takes long to be made for the record does not keep the outcome from it.
#[tokio::test]
async fn at_a_stop_an_answer_that_came_is_recorded_whatever_its_payload_costs() {
    const LANES: u128 = 120;
    // A long template is compiled for each payload, off the loop's thread.
    let costly = serde_json::json!({ "text": format!("{}{{{{ event_id }}}}", "x".repeat(20_000)) });
    let with = |lane| Subscription { payload_template: Some(costly.clone()), ..subscription(lane) };
    let mut stage = Stage::whose_endpoints_read((1..=LANES).map(with)).await;
    let mut hits = Vec::new();
    for lane in 1..=LANES {
        stage.submit(lane, 1).await;
        hits.push(stage.hit().await);
    }
    let events: Vec<_> = hits.iter().map(|hit| hit.event).collect();
    stage.stop.cancel();
    hits.into_iter().for_each(|hit| hit.answers(200));
    let Stage { log, task, .. } = stage;
    task.await.unwrap();
    let mut bare = 0;
    for event in events {
        let attempts = log.read(|snapshot| snapshot.attempts(event)).unwrap().unwrap();
        assert_eq!(statuses(&attempts), ["success"]);
        bare += u128::from(attempts[0].payload.is_none());
    }
    // Those whose turn it was before the loop heard of the stop are whole.
    assert!(bare > LANES / 2, "{bare}");
    assert_eq!(log.read(|snapshot| snapshot.check()).unwrap(), Vec::<String>::new());
    log.close();
}

/// What lets nothing be recorded for a time begins when nothing is under way, and nothing is sent before its end.
#[tokio::test]
async fn quiet_begins_when_what_is_under_way_is_on_disk_and_lets_nothing_begin() {
    let mut stage = Stage::new([subscription(1), subscription(2), subscription(99)]).await;
    let [first] = stage.submit(1, 1).await[..] else { unreachable!() };
    let hit = stage.hit_of(first).await;
    let quiet = stage.quiet.clone();
    let mut silence = Box::pin(quiet.begin());
    assert!((&mut silence).now_or_never().is_none());
    let [second] = stage.submit(2, 1).await[..] else { unreachable!() };
    hit.answers(200);
    let silence = silence.await;
    let attempts = stage.log.read(|snapshot| snapshot.attempts(first)).unwrap().unwrap();
    assert_eq!(statuses(&attempts), ["success"], "it is on disk");
    let [third] = stage.submit(1, 1).await[..] else { unreachable!() };
    assert!(matches!(stage.cancel(third).await, Cancelled::Recorded(_)), "the loop has taken several turns");
    assert!(stage.hits.try_recv().is_err(), "something was sent");
    drop(silence);
    stage.hit_of(second).await.answers(200);
    stage.settled(second, 1).await;
    stage.end().await;
}

#[tokio::test]
async fn a_connection_that_ended_unused_costs_no_attempt_whatever_was_sent() {
    let echo = Some(serde_json::json!({ "all": "{{ record.x }}" }));
    let mut stage = Stage::whose_endpoints_read([
        subscription(1),
        Subscription { payload_template: echo, ..subscription(2) },
    ])
    .await;
    for (lane, bytes) in [(1, 0), (1, 200_000), (2, 0), (2, 200_000)] {
        stage.events += 1;
        let new = large(stage.events, lane, bytes);
        let event = new.event_id;
        stage.log.accept(vec![new], NOW, Millis(0)).await.unwrap();
        let hit = stage.hit_of(event).await;
        assert!(!hit.is_again);
        let nothing = Outcome::Failed { failure: Failure::Protocol, message: "it ended".into() };
        let ended = Exchange { is_unanswered: true, duration: Duration::from_millis(3), ..nothing.into() };
        let _ = hit.answer.send(ended);
        let hit = stage.hit_of(event).await;
        assert!(hit.is_again);
        hit.answers(200);
        let attempts = stage.settled(event, 1).await;
        assert_eq!((attempts.len(), attempts[0].status), (1, AttemptStatus::Success));
    }
    stage.end().await;
}

#[tokio::test]
async fn what_is_cancelled_is_never_sent_and_what_is_under_way_is_not_cancelled() {
    let paused = Subscription { paused: true, ..subscription(2) };
    let stages = [strict(1, 3), paused, with_attempts(3, 3), subscription(99)];
    let mut stage = Stage::new(stages).await;
    // Under way, behind one that is, paused, and behind a page that was read ahead.
    let [first, second, third] = stage.submit(1, 3).await[..] else { unreachable!() };
    let hit = stage.hit_of(first).await;
    assert_eq!(stage.cancel(first).await, Cancelled::UnderWay);
    assert!(matches!(stage.cancel(second).await, Cancelled::Recorded(_)));
    let [waiting] = stage.submit(2, 1).await[..] else { unreachable!() };
    assert!(matches!(stage.cancel(waiting).await, Cancelled::Recorded(_)));
    let page = stage.submit(3, 6).await;
    stage.hit_of(page[0]).await.answers(200);
    assert!(matches!(stage.cancel(page[5]).await, Cancelled::Recorded(_)));
    for event in [second, waiting, page[5]] {
        let attempts = stage.settled(event, 1).await;
        let error = attempts[0].error.clone().unwrap();
        assert_eq!((error.kind, error.message.as_str()), (Failure::Cancelled, "by Mitchell"));
        assert_eq!((attempts.len(), attempts[0].payload.as_deref()), (1, None), "no retry, nothing posted");
        assert!(attempts[0].finished_at.is_some() && attempts[0].duration.is_none());
    }
    // A retry that waits for its time.
    hit.answers(500);
    stage.settled(first, 1).await;
    assert!(matches!(stage.cancel(first).await, Cancelled::Recorded(attempt) if attempt.number == 2));
    assert_eq!(statuses(&stage.settled(first, 2).await), ["failed", "failed"]);
    // The rest goes on, and nothing else.
    let mut sent = BTreeSet::new();
    for _ in 0..5 {
        let hit = stage.hit().await;
        sent.insert(hit.event);
        hit.answers(200);
    }
    assert_eq!(sent, [third].iter().chain(&page[1..5]).copied().collect());
    for event in sent {
        stage.settled(event, 1).await;
    }
    stage.advance(Duration::from_secs(3600));
    stage.only_others_go_on().await;
    stage.end().await;
}
