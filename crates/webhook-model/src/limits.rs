//! The named limit on everything that comes from outside. Sizes are bytes of UTF-8.

use std::time::Duration;

/// A JSON-RPC request.
pub const REQUEST_BYTES: usize = 16 << 20;
/// List answers stop before this size, so that fewer rows than asked for may come.
pub const LIST_ANSWER_BYTES: usize = 4 << 20;
/// Calls in one JSON-RPC batch.
pub const BATCH_CALLS: u32 = 100;
/// Events in one `event.submit`.
pub const EVENTS_PER_CALL: usize = 1000;
/// One event, as submitted.
pub const EVENT_BYTES: usize = 256 << 10;
/// One rendered payload.
pub const PAYLOAD_BYTES: usize = 256 << 10;
/// What is kept of an endpoint's answer, counted after cleaning.
pub const RESPONSE_BYTES: usize = 64 << 10;
/// A payload template, as compact JSON.
pub const TEMPLATE_BYTES: usize = 64 << 10;
/// A URL.
pub const URL_BYTES: usize = 2048;
/// Nesting of any JSON value that comes from outside.
pub const JSON_DEPTH: usize = 32;
/// Names and model names of subscriptions and events.
pub const NAME_BYTES: usize = 256;
/// Custom headers of one subscription.
pub const HEADERS: usize = 32;
/// One custom header's value.
pub const HEADER_VALUE_BYTES: usize = 4096;
/// Rows of a list answer: the default and the most.
pub const LIST_DEFAULT: usize = 100;
/// The most rows of a list answer; a larger wish is clamped to it.
pub const LIST_MOST: usize = 1000;
/// Attempts whose outcome may be waiting for the disk, and so be made again after a crash.
pub const UNSETTLED: usize = 1024;
/// The longest an attempt waits because the endpoint said `Retry-After`.
pub const RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest planned delay between two attempts, before jitter.
pub const RETRY_DELAY: Duration = Duration::from_secs(6 * 60 * 60);
