//! How rows look on disk. Each begins with a version byte; nothing here is shared with the wire.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use webhook_model::{
    Attempt, AttemptError, AttemptStatus, EventId, Failure, Millis, SubscriptionId, Trigger,
};

use crate::tables::Head;

const VERSION: u8 = 1;
/// Of a subscription's row that has [`More`].
const WITH_MORE: u8 = 2;

/// A row that does not decode: another version's, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored row could not be read")]
pub(crate) struct Unreadable;

pub(crate) fn encode_head(head: Head) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, number) in bytes.chunks_mut(8).zip([head.seq, head.change, head.count, head.newest.0]) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    bytes
}

/// Formats before 3 had two numbers; the count began with the events.
pub(crate) fn decode_head(bytes: &[u8]) -> Result<Head, Unreadable> {
    let (seq, change) = (u64_at(bytes, 0)?, u64_at(bytes, 8)?);
    let (count, newest) = match bytes.len() {
        16 => (seq.saturating_sub(1), 0),
        _ => (u64_at(bytes, 16)?, u64_at(bytes, 24)?),
    };
    Ok(Head { seq, change, count, newest: Millis(newest) })
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, Unreadable> {
    let part = bytes.get(at..at + 8).ok_or(Unreadable)?;
    Ok(u64::from_be_bytes(part.try_into().map_err(|_| Unreadable)?))
}

fn u128_at(bytes: &[u8], at: usize) -> Result<u128, Unreadable> {
    let part = bytes.get(at..at + 16).ok_or(Unreadable)?;
    Ok(u128::from_be_bytes(part.try_into().map_err(|_| Unreadable)?))
}

/// An event: a fixed head, then its default body as it is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventRow {
    pub event_id: EventId,
    pub subscription_id: SubscriptionId,
    pub accepted_at: Millis,
    pub trigger: Trigger,
    pub body: Bytes,
}

impl EventRow {
    const HEAD: usize = 1 + 16 + 16 + 8 + 1;

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::HEAD + self.body.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.event_id.as_u128().to_be_bytes());
        bytes.extend_from_slice(&self.subscription_id.as_u128().to_be_bytes());
        bytes.extend_from_slice(&self.accepted_at.0.to_be_bytes());
        bytes.push(self.trigger.code());
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        if bytes.len() < Self::HEAD || bytes[0] != VERSION {
            return Err(Unreadable);
        }
        Ok(Self {
            event_id: EventId::from_u128(u128_at(bytes, 1)?),
            subscription_id: SubscriptionId::from_u128(u128_at(bytes, 17)?),
            accepted_at: Millis(u64_at(bytes, 33)?),
            trigger: Trigger::from_code(bytes[41]).ok_or(Unreadable)?,
            body: Bytes::copy_from_slice(&bytes[Self::HEAD..]),
        })
    }

    /// Attempt 1 as it is before it has a row of its own.
    pub fn first_attempt(&self) -> Attempt {
        Attempt::pending(self.event_id, self.subscription_id, self.trigger, self.accepted_at)
    }
}

/// What was posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PayloadRow {
    Nothing,
    /// The event's own body, kept once in `events`.
    EventBody,
    Text(String),
}

/// One attempt. Its event's row holds the ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttemptRow {
    pub change: u64,
    pub trigger: u8,
    pub status: u8,
    pub response_code: Option<u16>,
    pub payload: PayloadRow,
    pub response_body: Option<String>,
    pub response_truncated: bool,
    pub error: Option<(u8, String)>,
    pub created_at: u64,
    pub finished_at: Option<u64>,
    pub duration_us: Option<u64>,
    pub next_attempt_at: Option<u64>,
}

impl AttemptRow {
    /// Enough for everything but the two long texts.
    const ROOM: usize = 96;

    /// The row of `attempt`. A payload equal to the event's body is not stored again.
    pub fn of(attempt: &Attempt, change: u64, payload_is_event_body: bool) -> Self {
        let payload = match &attempt.payload {
            None => PayloadRow::Nothing,
            Some(_) if payload_is_event_body => PayloadRow::EventBody,
            Some(text) => PayloadRow::Text(text.clone()),
        };
        Self {
            change,
            trigger: attempt.trigger.code(),
            status: attempt.status.code(),
            response_code: attempt.response_code,
            payload,
            response_body: attempt.response_body.clone(),
            response_truncated: attempt.response_truncated,
            error: attempt.error.as_ref().map(|error| (error.kind.code(), error.message.clone())),
            created_at: attempt.created_at.0,
            finished_at: attempt.finished_at.map(|at| at.0),
            duration_us: attempt.duration.map(|d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX)),
            next_attempt_at: attempt.next_attempt_at.map(|at| at.0),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let payload = if let PayloadRow::Text(text) = &self.payload { text.len() } else { 0 };
        let answer = self.response_body.as_ref().map_or(0, String::len);
        let mut row = Vec::with_capacity(Self::ROOM + payload + answer);
        row.push(VERSION);
        // Plain strings and integers into a Vec: postcard has no way to fail here.
        postcard::to_extend(self, row).unwrap_or_default()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        match bytes {
            [VERSION, rest @ ..] => postcard::from_bytes(rest).map_err(|_| Unreadable),
            _ => Err(Unreadable),
        }
    }

    pub fn into_attempt(self, event: &EventRow, number: u32) -> Result<Attempt, Unreadable> {
        let payload = match self.payload {
            PayloadRow::Nothing => None,
            PayloadRow::EventBody => Some(String::from_utf8_lossy(&event.body).into_owned()),
            PayloadRow::Text(text) => Some(text),
        };
        let error = match self.error {
            None => None,
            Some((kind, message)) => {
                Some(AttemptError { kind: Failure::from_code(kind).ok_or(Unreadable)?, message })
            }
        };
        Ok(Attempt {
            event_id: event.event_id,
            subscription_id: event.subscription_id,
            number,
            trigger: Trigger::from_code(self.trigger).ok_or(Unreadable)?,
            status: AttemptStatus::from_code(self.status).ok_or(Unreadable)?,
            response_code: self.response_code,
            payload,
            response_body: self.response_body,
            response_truncated: self.response_truncated,
            error,
            created_at: Millis(self.created_at),
            finished_at: self.finished_at.map(Millis),
            duration: self.duration_us.map(Duration::from_micros),
            next_attempt_at: self.next_attempt_at.map(Millis),
        })
    }
}

/// An event that had to go before its time: what its id stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GoneRow {
    pub event_id: EventId,
    pub subscription_id: SubscriptionId,
    /// Of its body, as a JSON value.
    pub digest: u128,
    pub trigger: Trigger,
    pub closed_at: Millis,
}

impl GoneRow {
    const LENGTH: usize = 1 + 16 + 16 + 16 + 1 + 8;

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::LENGTH);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.event_id.as_u128().to_be_bytes());
        bytes.extend_from_slice(&self.subscription_id.as_u128().to_be_bytes());
        bytes.extend_from_slice(&self.digest.to_be_bytes());
        bytes.push(self.trigger.code());
        bytes.extend_from_slice(&self.closed_at.0.to_be_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        if bytes.len() != Self::LENGTH || bytes[0] != VERSION {
            return Err(Unreadable);
        }
        Ok(Self {
            event_id: EventId::from_u128(u128_at(bytes, 1)?),
            subscription_id: SubscriptionId::from_u128(u128_at(bytes, 17)?),
            digest: u128_at(bytes, 33)?,
            trigger: Trigger::from_code(bytes[49]).ok_or(Unreadable)?,
            closed_at: Millis(u64_at(bytes, 50)?),
        })
    }
}

/// A subscription. What must not be read from a copy of the file is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubscriptionRow {
    pub name: String,
    pub model: String,
    pub event_type: String,
    pub url: String,
    /// [`SecretsRow`], sealed with the subscription's id.
    pub secrets: Vec<u8>,
    pub payload_template: Option<String>,
    pub dialect: String,
    pub active: bool,
    pub paused: bool,
    pub timeout_s: u8,
    pub max_in_flight: u8,
    pub max_attempts: u8,
    #[serde(skip)]
    pub more: More,
}

/// What came with version 2 of the row; it stands behind the rest. A subscription without any of it is a row of version 1.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct More {
    /// JSON.
    pub success: Option<String>,
    pub previous_secret_until: Option<u64>,
    /// `url` is empty where there is none, so that a reader of version 1 finds it unreadable.
    pub has_no_url: bool,
}

/// The part of a subscription that is sealed.
#[derive(Serialize, Deserialize)]
pub(crate) struct SecretsRow {
    pub secret: Option<String>,
    pub headers: Vec<(String, String)>,
}

impl SecretsRow {
    /// The secret before stands behind the rest, where there is one.
    pub fn encode(&self, previous: Option<&str>) -> Option<Vec<u8>> {
        let bytes = postcard::to_stdvec(self).ok()?;
        match previous {
            Some(secret) => postcard::to_extend(secret, bytes).ok(),
            None => Some(bytes),
        }
    }

    pub fn decode(bytes: &[u8]) -> Result<(Self, Option<String>), Unreadable> {
        let (row, rest) = postcard::take_from_bytes(bytes).map_err(|_| Unreadable)?;
        let previous = (!rest.is_empty()).then(|| postcard::from_bytes(rest)).transpose();
        Ok((row, previous.map_err(|_| Unreadable)?))
    }
}

impl SubscriptionRow {
    pub fn encode(&self) -> Vec<u8> {
        if self.more == More::default() {
            return postcard::to_extend(self, vec![VERSION]).unwrap_or_default();
        }
        let row = postcard::to_extend(self, vec![WITH_MORE]).unwrap_or_default();
        postcard::to_extend(&self.more, row).unwrap_or_default()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        match bytes {
            [VERSION, rest @ ..] => postcard::from_bytes(rest).map_err(|_| Unreadable),
            [WITH_MORE, rest @ ..] => {
                let (row, more) = postcard::take_from_bytes(rest).map_err(|_| Unreadable)?;
                Ok(Self { more: postcard::from_bytes(more).map_err(|_| Unreadable)?, ..row })
            }
            _ => Err(Unreadable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> EventRow {
        EventRow {
            event_id: EventId::from_u128(7),
            subscription_id: SubscriptionId::from_u128(9),
            accepted_at: Millis(5),
            trigger: Trigger::Event,
            body: Bytes::from_static(b"{\"a\":1}"),
        }
    }

    #[test]
    fn an_attempt_comes_back_as_it_was() {
        let attempt = Attempt {
            number: 3,
            trigger: Trigger::Retry,
            status: AttemptStatus::Failed,
            response_code: Some(503),
            payload: Some("{\"a\":1}".into()),
            response_body: Some("späť".into()),
            response_truncated: true,
            error: Some(AttemptError {
                kind: Failure::HttpStatus,
                message: "the endpoint answered 503".into(),
            }),
            finished_at: Some(Millis(9)),
            duration: Some(Duration::from_micros(1234)),
            next_attempt_at: Some(Millis(11)),
            ..event().first_attempt()
        };
        for payload_is_event_body in [true, false] {
            let row = AttemptRow::of(&attempt, 4, payload_is_event_body);
            let read = AttemptRow::decode(&row.encode()).unwrap();
            assert_eq!(read.change, 4);
            assert_eq!(read.into_attempt(&event(), 3), Ok(attempt.clone()));
        }
        assert_eq!(EventRow::decode(&event().encode()), Ok(event()));
    }

    #[test]
    fn rows_of_another_version_or_cut_short_are_unreadable() {
        let full = AttemptRow::of(&event().first_attempt(), 1, false).encode();
        for cut in 0..full.len() {
            assert_eq!(AttemptRow::decode(&full[..cut]), Err(Unreadable), "cut at {cut}");
        }
        let mut other = event().encode();
        other[0] = 2;
        assert_eq!(EventRow::decode(&other), Err(Unreadable));
        assert_eq!(EventRow::decode(&event().encode()[..41]), Err(Unreadable));
        assert_eq!(decode_head(&[0; 15]), Err(Unreadable));
    }

    /// Rows as they are on disk, with a few bytes bent: each is read, or unreadable, and never a panic.
    #[test]
    fn fuzz_rows() {
        let subscription = SubscriptionRow {
            name: "n".into(),
            model: "res.partner".into(),
            event_type: "all".into(),
            url: "https://example.com/".into(),
            secrets: vec![7; 60],
            payload_template: Some("{}".into()),
            dialect: "auto".into(),
            active: true,
            paused: false,
            timeout_s: 10,
            max_in_flight: 4,
            max_attempts: 1,
            more: More { success: Some("{}".into()), ..More::default() },
        };
        let attempt = AttemptRow::of(&event().first_attempt(), 1, false);
        let mut rows = vec![event().encode(), attempt.encode(), subscription.encode()];
        rows.extend(corpus());
        let key = crate::SealingKey::new(&[1; 32]);
        let check = |bytes: &[u8]| {
            let _ = EventRow::decode(bytes);
            let _ = (decode_head(bytes), GoneRow::decode(bytes));
            crate::journal::changes(bytes).for_each(drop);
            let _ = AttemptRow::decode(bytes).and_then(|row| row.into_attempt(&event(), 1));
            let id = SubscriptionId::from_u128(1);
            assert!(
                crate::subscriptions::from_row(id, bytes, &key).is_err(),
                "nothing opens without the key"
            );
        };
        rows.iter().for_each(|row| check(row));
        let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
        bolero::check!()
            .with_type::<(u8, u8, Vec<(u16, u8)>)>()
            .with_test_time(Duration::from_secs(seconds))
            .for_each(|(row, cut, edits)| {
                let mut bytes = rows[usize::from(*row) % rows.len()].clone();
                for (at, what) in edits {
                    let at = usize::from(*at) % bytes.len();
                    bytes[at] = *what;
                }
                bytes.truncate(bytes.len() - usize::from(*cut) % bytes.len());
                check(&bytes);
            });
    }

    /// Rows that stores of this and of other versions held, and findings.
    fn corpus() -> Vec<Vec<u8>> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/security/corpus/record");
        let files = std::fs::read_dir(folder).expect("a corpus").map(|entry| entry.expect("a file").path());
        let mut paths: Vec<_> = files.collect();
        paths.sort();
        assert!(!paths.is_empty(), "the corpus is empty");
        paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
    }
}
