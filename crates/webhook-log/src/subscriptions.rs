//! Subscriptions: all of them are in memory, each change goes to disk first.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use redb::ReadableTable;
use webhook_model::{
    CustomHeaders, Dialect, Endpoint, EndpointUrl, EventFilter, SigningSecret, Subscription, SubscriptionId,
};
use zeroize::Zeroizing;

use crate::{
    log::{Log, Pending},
    record::{SecretsRow, SubscriptionRow, Unreadable},
    seal::SealingKey,
    tables::{SUBSCRIPTIONS, Tx},
};

/// Every subscription, by id. Cheap to copy; a copy never changes.
#[derive(Debug, Clone, Default)]
pub struct SubscriptionSet(Arc<BTreeMap<SubscriptionId, Arc<Subscription>>>);

impl SubscriptionSet {
    /// The subscription with this id.
    pub fn get(&self, id: SubscriptionId) -> Option<&Arc<Subscription>> {
        self.0.get(&id)
    }

    /// All of them, in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Subscription>> {
        self.0.values()
    }

    /// Those behind `after`, in order of their ids.
    pub fn after(&self, after: Option<SubscriptionId>) -> impl Iterator<Item = &Arc<Subscription>> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.0.range((after.map_or(Unbounded, Excluded), Unbounded)).map(|(_, subscription)| subscription)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds or replaces one.
    pub fn put(&mut self, subscription: Subscription) -> Arc<Subscription> {
        let stored = Arc::new(subscription);
        Arc::make_mut(&mut self.0).insert(stored.id, Arc::clone(&stored));
        stored
    }

    /// Takes one out.
    pub fn remove(&mut self, id: SubscriptionId) -> Option<Arc<Subscription>> {
        Arc::make_mut(&mut self.0).remove(&id)
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
        self.run(move |tx| {
            let before = tx.set.clone();
            let mut after = before.clone();
            let answer = change(&mut after);
            store(tx, &before, after)?;
            Ok(answer)
        })
    }
}

fn store(tx: &mut Tx<'_>, before: &SubscriptionSet, after: SubscriptionSet) -> Result<(), redb::Error> {
    for old in before.iter() {
        if after.get(old.id).is_none() {
            tx.subscriptions.remove(old.id.as_u128())?;
            tx.touched.insert(old.id);
        }
    }
    for new in after.iter() {
        if before.get(new.id).is_some_and(|old| Arc::ptr_eq(old, new)) {
            continue;
        }
        let row = to_row(new, tx.key).ok_or_else(random_source_failed)?;
        tx.subscriptions.insert(new.id.as_u128(), row.encode().as_slice())?;
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
    let plain = Zeroizing::new(postcard::to_stdvec(&secrets).ok()?);
    Some(SubscriptionRow {
        name: subscription.name.clone(),
        model: subscription.model.clone(),
        event_type: subscription.event_type.as_str().to_owned(),
        url: endpoint.url.as_str().to_owned(),
        secrets: key.seal(subscription.id.as_u128(), &plain)?,
        payload_template: subscription.payload_template.as_ref().map(ToString::to_string),
        dialect: subscription.dialect.as_str().to_owned(),
        active: subscription.active,
        paused: subscription.paused,
        timeout_s: u8::try_from(endpoint.timeout.as_secs()).unwrap_or(u8::MAX),
        max_in_flight: endpoint.max_in_flight,
        max_attempts: subscription.max_attempts,
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

fn random_source_failed() -> redb::Error {
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
    let secrets: SecretsRow = postcard::from_bytes(&opened.plain).map_err(|_| Unreadable)?;
    let secret =
        secrets.secret.map(|text| SigningSecret::parse(&text)).transpose().map_err(|_| Unreadable)?;
    let template = row.payload_template.map(|text| serde_json::from_str(&text)).transpose();
    Ok(Subscription {
        id,
        name: row.name,
        model: row.model,
        event_type: EventFilter::parse(&row.event_type).ok_or(Unreadable)?,
        endpoint: Endpoint {
            url: EndpointUrl::from_stored(&row.url).map_err(|_| Unreadable)?,
            secret,
            headers: CustomHeaders::parse(secrets.headers).map_err(|_| Unreadable)?,
            timeout: Duration::from_secs(row.timeout_s.into()),
            max_in_flight: row.max_in_flight,
        },
        payload_template: template.map_err(|_| Unreadable)?,
        dialect: Dialect::parse(&row.dialect).ok_or(Unreadable)?,
        active: row.active,
        paused: row.paused,
        max_attempts: row.max_attempts,
    })
}
