//! Knocks at Odoo when the feed moved, so that it pulls at once. The knock has no content, and its answer no meaning.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use webhook_log::Log;

/// At most one knock in this time.
const PACE: Duration = Duration::from_millis(200);
/// A knock that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Knocks after each move of the feed, at most every [`PACE`] and always after the last, until `stop`.
///
/// The address came from the authenticated addon, so neither the address guard nor `allow_http` applies to it.
pub async fn run(log: Log, client: reqwest::Client, stop: CancellationToken) {
    let mut feed = log.feed();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            moved = feed.changed() => if moved.is_err() { return },
        }
        let next = Instant::now() + PACE;
        if let Some(attachment) = log.attachment()
            && let Some(url) = &attachment.wake_url
        {
            let knock = client
                .post(url.as_str())
                .header("x-odoo-database", attachment.database.name.as_str())
                .timeout(PATIENCE)
                .body("")
                .send();
            if let Err(error) = knock.await {
                tracing::debug!(error = %error.without_url(), "Odoo did not hear the knock; it pulls by itself every minute");
            }
        }
        tokio::time::sleep_until(next).await;
    }
}

/// The client that knocks: no redirects, no proxy.
///
/// # Errors
/// No TLS roots could be loaded.
pub fn client() -> reqwest::Result<reqwest::Client> {
    builder().build()
}

/// The same, before it decides how it speaks TLS.
pub fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .user_agent(concat!("mcp-webhookd/", env!("CARGO_PKG_VERSION")))
        .pool_max_idle_per_host(1)
}
