//! Knocks at Odoo when the feed moved, so that it pulls at once. The knock has no content, and its answer no meaning.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use webhook_log::{Attachment, Hold, Log};

/// At most one knock in this time.
const PACE: Duration = Duration::from_millis(200);
/// A knock that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// For so long what is pending at a start waits for Odoo to say whether this log has the past that Odoo knows.
const START: Duration = Duration::from_secs(10);

/// Sending waits for Odoo to attach, for at most `START`.
pub async fn wait_for_odoo(log: Log, stop: CancellationToken) {
    let mut hold = log.hold();
    tokio::select! {
        () = stop.cancelled() => {}
        _ = hold.wait_for(|hold| *hold != Hold::Attach) => {}
        // An Odoo that is down must not hold back what it has handed in before.
        () = tokio::time::sleep(START) => {
            tracing::warn!("Odoo has not attached since the start; what is pending is sent without its word");
            log.stop_waiting();
        }
    }
}

/// Knocks at the start, and after each move of the feed, at most every `PACE` and always after the last, until `stop`.
///
/// The address came from the authenticated addon, so neither the address guard nor `allow_http` applies to it.
pub async fn run(log: Log, client: reqwest::Client, stop: CancellationToken) {
    let mut feed = log.feed();
    feed.mark_changed();
    let mut last = StatusCode::NO_CONTENT;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            moved = feed.changed() => if moved.is_err() { return },
        }
        let next = Instant::now() + PACE;
        if let Some(attachment) = log.attachment()
            && let Some(url) = &attachment.wake_url
        {
            match knock(&client, url, &attachment).timeout(PATIENCE).body("").send().await {
                Ok(answer) => say_once(&mut last, answer.status()),
                Err(error) => tracing::debug!(
                    error = %error.without_url(),
                    "Odoo did not hear the knock; it pulls by itself every minute"
                ),
            }
        }
        // Odoo is knocked at so often and no more, however much happens.
        tokio::time::sleep_until(next).await;
    }
}

/// A refusal is told when it begins, not at each knock.
fn say_once(last: &mut StatusCode, status: StatusCode) {
    if status != *last && !status.is_success() {
        tracing::warn!(
            status = status.as_u16(),
            "Odoo refuses the knock, so results reach it once a minute; with 404, its dbfilter hides the database at \
             the address that it gave: set the wake-up address in its settings"
        );
    }
    *last = status;
}

/// A knock, with what Odoo needs to know for whom and of whom it is.
fn knock(client: &reqwest::Client, url: &str, attachment: &Attachment) -> reqwest::RequestBuilder {
    let mut headers = HeaderMap::new();
    headers.extend(
        latin1(&attachment.database.name).map(|name| (HeaderName::from_static("x-odoo-database"), name)),
    );
    if let Some(secret) = &attachment.wake_secret
        && let Ok(mut secret) = HeaderValue::from_str(&secret.0)
    {
        secret.set_sensitive(true);
        headers.insert("x-mcp-wake-secret", secret);
    }
    client.post(url).headers(headers)
}

/// A text as Odoo reads it in a header: in Latin-1, as WSGI has it. What does not fit is left out; an Odoo that serves
/// one database for this host finds it without.
fn latin1(text: &str) -> Option<HeaderValue> {
    let bytes: Option<Vec<u8>> = text.chars().map(|char| u8::try_from(char).ok()).collect();
    HeaderValue::from_bytes(&bytes?).ok()
}

/// The client that knocks: no redirects, no proxy.
///
/// # Errors
/// No TLS roots could be loaded.
pub fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .user_agent(concat!("mcp-webhookd/", env!("CARGO_PKG_VERSION")))
        .pool_max_idle_per_host(1)
        .build()
}
