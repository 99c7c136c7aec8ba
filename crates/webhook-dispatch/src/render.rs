//! Payloads made by templates: promptly where that is little work, and the rest one at a time, off the thread on which
//! every other endpoint waits.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::Semaphore;
use webhook_log::Log;
use webhook_model::{Failure, Invalid, Outcome, Subscription, SubscriptionId, limits};

use crate::{
    clock::Clock,
    held::{Budget, Held},
    kept::{self, Compiled},
    prepared::failed,
    template::{Effort, Template},
};

/// A larger event takes milliseconds to be read alone.
const PROMPT_BYTES: usize = 32 << 10;
/// What an event and the payload that is made of it take at most.
const MOST: usize = limits::EVENT_BYTES + limits::PAYLOAD_BYTES;
/// How long one waits until the log is asked again, while it is compacted or opened anew.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is asked while it says that it works; a compaction takes minutes at most.
const PATIENCE: usize = 600;
/// Payloads that were much work, and that the network does not have yet, take no more together.
const RENDERED_BYTES: usize = 8 << 20;

/// Where an attempt reads its event again.
pub(crate) struct Source<'a, C> {
    pub log: &'a Log,
    pub clock: &'a C,
    pub lane: SubscriptionId,
    pub seq: u64,
}

impl<C: Clock> Source<'_, C> {
    /// The event's body; none where it is not there any more, or cannot be read though the store works.
    pub async fn body(&self) -> Option<Bytes> {
        let health = self.log.health();
        for _ in 0..PATIENCE {
            match self.log.read(|snapshot| snapshot.one(self.lane, self.seq)) {
                Ok(row) => return row?.body,
                Err(_) => self.clock.sleep(PAUSE).await,
            }
            while !health.borrow().works() {
                self.clock.sleep(PAUSE).await;
            }
        }
        None
    }
}

/// What payloads take turns at.
#[derive(Debug)]
pub(crate) struct Renderer {
    /// Payloads that are to be sent.
    first: Semaphore,
    /// Payloads that were sent, and are made again for the record.
    again: Semaphore,
    /// Room that nobody but the one whose turn it is takes, so that he gets it.
    rendered: Arc<Budget>,
}

impl Renderer {
    pub fn new() -> Self {
        let [first, again] = [1, 1].map(Semaphore::new);
        Self { first, again, rendered: Budget::new(RENDERED_BYTES) }
    }

    /// What a template makes of an event, and its room. Nothing is held while it waits its turn.
    pub async fn payload<C: Clock>(
        &self,
        template: Templating<'_>,
        body: Bytes,
        mut held: Held,
        source: &Source<'_, C>,
    ) -> Result<(String, Held), Outcome> {
        if let Some(rendered) = template.promptly(&body) {
            let text = rendered?;
            held.set(text.len());
            return Ok((text, held));
        }
        drop((body, held));
        let _turn = self.first.acquire().await;
        let mut held = self.rendered.take(0);
        held.grow(MOST).await;
        let body = source.body().await.ok_or_else(unread)?;
        template.fully(body, held).await
    }

    /// The same once more, when it was sent and let go. `held`: of the room of outcomes, which the disk frees.
    pub async fn again<C: Clock>(
        &self,
        template: Templating<'_>,
        mut held: Held,
        source: &Source<'_, C>,
    ) -> Result<(String, Held), Outcome> {
        held.grow(MOST).await;
        let body = source.body().await.ok_or_else(unread)?;
        if let Some(rendered) = template.promptly(&body) {
            let text = rendered?;
            held.set(text.len());
            return Ok((text, held));
        }
        let _turn = self.again.acquire().await;
        template.fully(body, held).await
    }
}

/// A subscription's template, to be used.
#[derive(Clone, Copy)]
pub(crate) struct Templating<'a> {
    pub subscription: &'a Arc<Subscription>,
    pub compiled: &'a Compiled,
}

impl Templating<'_> {
    /// None where it is too much work.
    fn promptly(self, body: &[u8]) -> Option<Result<String, Outcome>> {
        match self.compiled {
            Compiled::Kept(Err(invalid), _) => Some(Err(unfit(invalid))),
            Compiled::Kept(Ok(template), _) if body.len() <= PROMPT_BYTES => {
                match render(template, body, Effort::Prompt) {
                    Err(Unrendered { is_unfinished: true, .. }) => None,
                    rendered => Some(rendered.map_err(|unrendered| unrendered.outcome)),
                }
            }
            Compiled::Kept(Ok(_), _) | Compiled::Anew => None,
        }
    }

    async fn fully(self, body: Bytes, mut held: Held) -> Result<(String, Held), Outcome> {
        let kept = match self.compiled {
            Compiled::Kept(template, _) => Some(template.clone()),
            Compiled::Anew => None,
        };
        let subscription = Arc::clone(self.subscription);
        let work = move || {
            let anew = || kept::compile(&subscription).map(Arc::new);
            let template = kept.unwrap_or_else(anew).map_err(|invalid| unfit(&invalid))?;
            render(&template, &body, Effort::Full).map_err(|unrendered| unrendered.outcome)
        };
        let rendered = tokio::task::spawn_blocking(work).await;
        let rendered = rendered.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()));
        let text = rendered?;
        held.set(text.len());
        Ok((text, held))
    }
}

fn unfit(invalid: &Invalid) -> Outcome {
    failed(Failure::Render, invalid.to_string())
}

/// The outcome where the log does not have the event as it should.
pub(crate) fn unread() -> Outcome {
    let message = "the stored event could not be read; run `mcp-webhookd verify`";
    failed(Failure::Internal, message.to_owned())
}

struct Unrendered {
    outcome: Outcome,
    is_unfinished: bool,
}

fn render(template: &Template, body: &[u8], effort: Effort) -> Result<String, Unrendered> {
    let event =
        serde_json::from_slice(body).map_err(|_| Unrendered { outcome: unread(), is_unfinished: false })?;
    template.render(&event, effort).map_err(|error| Unrendered {
        is_unfinished: error.is_unfinished,
        outcome: failed(error.failure, error.to_string()),
    })
}
