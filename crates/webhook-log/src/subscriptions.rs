//! Subscriptions: all of them are in memory, each change goes to disk first.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use redb::ReadableTable;
use webhook_model::{
    CustomHeaders, Dialect, Endpoint, EndpointUrl, EventFilter, Millis, PreviousSecret, SigningSecret,
    Subscription, SubscriptionId, Success,
};
use zeroize::Zeroizing;

use crate::{
    log::{Log, Pending},
    record::{More, SecretsRow, SubscriptionRow, Unreadable},
    seal::SealingKey,
    tables::{SUBSCRIPTIONS, Tx},
};

/// Every subscription, by id. Cheap to copy; a copy never changes.
///
/// One whose row cannot be read is known by its id alone: what is for it is taken and waits.
#[derive(Debug, Clone, Default)]
pub struct SubscriptionSet {
    known: Arc<BTreeMap<SubscriptionId, Arc<Subscription>>>,
    unreadable: Arc<BTreeSet<SubscriptionId>>,
}

impl SubscriptionSet {
    /// The subscription with this id.
    pub fn get(&self, id: SubscriptionId) -> Option<&Arc<Subscription>> {
        self.known.get(&id)
    }

    /// All of them, in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Subscription>> {
        self.known.values()
    }

    /// Those behind `after`, in order of their ids.
    pub fn after(&self, after: Option<SubscriptionId>) -> impl Iterator<Item = &Arc<Subscription>> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.known.range((after.map_or(Unbounded, Excluded), Unbounded)).map(|(_, subscription)| subscription)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Adds or replaces one.
    pub fn put(&mut self, subscription: Subscription) -> Arc<Subscription> {
        let stored = Arc::new(subscription);
        Arc::make_mut(&mut self.known).insert(stored.id, Arc::clone(&stored));
        self.forget_unreadable(stored.id);
        stored
    }

    /// Whether nothing has changed between two copies.
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.known, &other.known) && Arc::ptr_eq(&self.unreadable, &other.unreadable)
    }

    /// Those whose rows cannot be read. Whoever has them elsewhere should put them again.
    pub fn unreadable(&self) -> &BTreeSet<SubscriptionId> {
        &self.unreadable
    }

    pub(crate) fn put_unreadable(&mut self, id: SubscriptionId) {
        Arc::make_mut(&mut self.unreadable).insert(id);
    }

    fn forget_unreadable(&mut self, id: SubscriptionId) -> bool {
        self.unreadable.contains(&id) && Arc::make_mut(&mut self.unreadable).remove(&id)
    }

    /// Whether it takes events; `None` where there is no such subscription.
    pub(crate) fn takes_events(&self, id: SubscriptionId) -> Option<bool> {
        match self.get(id) {
            Some(subscription) => Some(subscription.active),
            None => self.unreadable.contains(&id).then_some(true),
        }
    }

    /// Takes one out; answers whether it was there.
    pub fn remove(&mut self, id: SubscriptionId) -> bool {
        let was_unreadable = self.forget_unreadable(id);
        Arc::make_mut(&mut self.known).remove(&id).is_some() || was_unreadable
    }
}

impl Log {
    /// Reads and changes the set of subscriptions as one step; the answer comes when the changes are on disk.
    ///
    /// Pending deliveries of a subscription that is gone or not active any more become due for the dispatcher,
    /// which fails them as `inactive`.
    pub fn change_subscriptions<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut SubscriptionSet) -> T + Send + 'static,
    ) -> Pending<T> {
        self.run(move |tx| changed(tx, change))
    }

    /// The same, where the database says all that it has: a log that waited for that goes on.
    pub fn sync_subscriptions<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut SubscriptionSet) -> T + Send + 'static,
    ) -> Pending<T> {
        self.run(move |tx| {
            tx.hold_for_sync(false)?;
            changed(tx, change)
        })
    }

    /// Puts a set that was worked out elsewhere in the place of the one that it was worked out from, unless that is not
    /// the present one any more; answers whether it did. `is_sync` as in [`Log::sync_subscriptions`].
    pub fn replace_subscriptions(
        &self,
        before: SubscriptionSet,
        after: SubscriptionSet,
        is_sync: bool,
    ) -> Pending<bool> {
        self.run(move |tx| {
            let is_present = tx.set.is(&before);
            if is_present {
                store(tx, &before, after)?;
                if is_sync {
                    tx.hold_for_sync(false)?;
                }
            }
            Ok(is_present)
        })
    }
}

fn changed<T>(tx: &mut Tx<'_>, change: impl FnOnce(&mut SubscriptionSet) -> T) -> Result<T, redb::Error> {
    let before = tx.set.clone();
    let mut after = before.clone();
    let answer = change(&mut after);
    store(tx, &before, after)?;
    Ok(answer)
}

fn store(tx: &mut Tx<'_>, before: &SubscriptionSet, after: SubscriptionSet) -> Result<(), redb::Error> {
    let ids = before.iter().map(|old| old.id).chain(before.unreadable().iter().copied());
    for id in ids {
        if after.takes_events(id).is_none() {
            tx.subscriptions.remove(id.as_u128())?;
            tx.head.count += 1;
            tx.touched.insert(id);
        }
    }
    for new in after.iter() {
        if before.get(new.id).is_some_and(|old| Arc::ptr_eq(old, new)) {
            continue;
        }
        let row = to_row(new, tx.key).ok_or_else(random_source_failed)?;
        tx.subscriptions.insert(new.id.as_u128(), row.encode().as_slice())?;
        tx.head.count += 1;
        tx.touched.insert(new.id);
    }
    tx.set = after;
    Ok(())
}

fn to_row(subscription: &Subscription, key: &SealingKey) -> Option<SubscriptionRow> {
    let endpoint = &subscription.endpoint;
    let secrets = SecretsRow {
        secret: endpoint.secret.as_ref().map(|secret| secret.expose().to_owned()),
        headers: endpoint.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    };
    let previous = endpoint.previous_secret.as_ref();
    let plain = Zeroizing::new(secrets.encode(previous.map(|previous| previous.secret.expose()))?);
    Some(SubscriptionRow {
        name: subscription.name.clone(),
        model: subscription.model.clone(),
        event_type: subscription.event_type.as_str().to_owned(),
        url: endpoint.url.as_ref().map_or_else(String::new, |url| url.as_str().to_owned()),
        secrets: key.seal(subscription.id.as_u128(), &plain)?,
        payload_template: subscription.payload_template.as_ref().map(ToString::to_string),
        dialect: subscription.dialect.as_str().to_owned(),
        active: subscription.active,
        paused: subscription.paused,
        timeout_s: u8::try_from(endpoint.timeout.as_secs()).unwrap_or(u8::MAX),
        max_in_flight: endpoint.max_in_flight,
        max_attempts: subscription.max_attempts,
        more: More {
            success: subscription.success.as_ref().map(|success| success.to_value().to_string()),
            previous_secret_until: previous.map(|previous| previous.until.0),
            has_no_url: endpoint.url.is_none(),
        },
    })
}

/// Seals every subscription anew whose secrets only the key before the present one opens; answers how many.
pub(crate) fn seal_anew(txn: &redb::WriteTransaction, key: &SealingKey) -> Result<usize, redb::Error> {
    let mut table = txn.open_table(SUBSCRIPTIONS)?;
    let mut anew = Vec::new();
    for row in table.iter()? {
        let (id, bytes) = row?;
        let Ok(mut row) = SubscriptionRow::decode(bytes.value()) else { continue };
        if let Some(old) = key.open(id.value(), &row.secrets).filter(|opened| opened.is_old) {
            let sealed = key.seal(id.value(), &old.plain).ok_or_else(random_source_failed)?;
            row.secrets = sealed;
            anew.push((id.value(), row.encode()));
        }
    }
    for (id, row) in &anew {
        table.insert(*id, row.as_slice())?;
    }
    Ok(anew.len())
}

/// Whether the key opens any subscription; `None` where there is none to try.
pub(crate) fn opens_any(txn: &redb::WriteTransaction, key: &SealingKey) -> Result<Option<bool>, redb::Error> {
    let mut tried = None;
    for row in txn.open_table(SUBSCRIPTIONS)?.iter()? {
        let (id, bytes) = row?;
        let Ok(row) = SubscriptionRow::decode(bytes.value()) else { continue };
        tried = Some(key.open(id.value(), &row.secrets).is_some());
        if tried == Some(true) {
            break;
        }
    }
    Ok(tried)
}

pub(crate) fn random_source_failed() -> redb::Error {
    redb::Error::Io(std::io::Error::other("the random source failed"))
}

/// Reads one row. A row that cannot be read is the caller's to report; it must not keep the sidecar from starting.
pub(crate) fn from_row(
    id: SubscriptionId,
    bytes: &[u8],
    key: &SealingKey,
) -> Result<Subscription, Unreadable> {
    let row = SubscriptionRow::decode(bytes)?;
    let opened = key.open(id.as_u128(), &row.secrets).ok_or(Unreadable)?;
    let (secrets, previous) = SecretsRow::decode(&opened.plain)?;
    let read = |text: Option<String>| text.map(|text| SigningSecret::parse(&text)).transpose();
    let secret = read(secrets.secret).map_err(|_| Unreadable)?;
    let previous = read(previous).map_err(|_| Unreadable)?.zip(row.more.previous_secret_until);
    let success = row.more.success.map(|text| serde_json::from_str(&text)).transpose();
    let template = row.payload_template.map(|text| serde_json::from_str(&text)).transpose();
    Ok(Subscription {
        id,
        name: row.name,
        model: row.model,
        event_type: EventFilter::parse(&row.event_type).ok_or(Unreadable)?,
        endpoint: Endpoint {
            url: match row.more.has_no_url {
                true => None,
                false => Some(EndpointUrl::from_stored(&row.url).map_err(|_| Unreadable)?),
            },
            secret,
            previous_secret: previous.map(|(secret, until)| PreviousSecret { secret, until: Millis(until) }),
            headers: CustomHeaders::parse(secrets.headers).map_err(|_| Unreadable)?,
            timeout: Duration::from_secs(row.timeout_s.into()),
            max_in_flight: row.max_in_flight,
        },
        payload_template: template.map_err(|_| Unreadable)?,
        dialect: Dialect::parse(&row.dialect).ok_or(Unreadable)?,
        active: row.active,
        paused: row.paused,
        max_attempts: row.max_attempts,
        success: match success.map_err(|_| Unreadable)? {
            Some(success) => Success::parse(&success).map_err(|_| Unreadable)?,
            None => None,
        },
    })
}
