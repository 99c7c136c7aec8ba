//! Odoo's JSON-2: one call of a tool, as the user to whom the key belongs.

use std::time::Duration;

use reqwest::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::principal::Principal;

/// A connection must stand within this time.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// An answer must be there within this time.
const CALL_TIME: Duration = Duration::from_secs(30);
/// What an answer may have.
const ANSWER_BYTES: usize = 8 << 20;
/// Where the addon lets tools be called.
const DOOR: &str = "json/2/mcp.webhook.connection/call_tool";
/// Looks nothing up but the caller.
const WHO: &str = "json/2/res.users/context_get";

/// Where Odoo is.
#[derive(Debug, Clone)]
pub struct OdooOptions {
    /// Its address, without a path or with the one that a proxy adds.
    pub url: Url,
    /// Which of its databases; none: the one that the address leads to.
    pub database: Option<String>,
    /// PEM: certificates to trust besides the system's.
    pub extra_ca: Option<Vec<u8>>,
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// Odoo says what is wrong with the call, and a corrected one may succeed.
    #[error("{0}")]
    Refused(String),
    /// The user may not do this.
    #[error("{0}")]
    Denied(String),
    /// The key is none, or not any more.
    #[error(
        "Odoo does not know this API key (any more): it was revoked, has expired, or is of another database. \
         Make a new one in Odoo (My Profile > Account Security) and connect with it."
    )]
    UnknownKey,
    /// Somebody changed the same records at the same time, again and again.
    #[error("Others were changing the same records just now. Call again.")]
    Busy,
    /// Nobody answers.
    #[error("Odoo cannot be reached now. Nothing was changed; try again in a minute.")]
    Unreachable,
    /// It may have been done nevertheless.
    #[error(
        "Odoo did not answer within 30 seconds. What was asked for may have been done all the same: look with \
         list_subscriptions or list_deliveries before you call again."
    )]
    Slow,
    /// The addon is not installed, or an older one.
    #[error(
        "This Odoo has no module mcp_webhook of this version: an administrator must install or upgrade it. \
         Nothing was changed."
    )]
    NoAddon,
    /// A fault of Odoo or of a module.
    #[error("Odoo failed (HTTP {0}). Its log says why; tell an administrator.")]
    Failed(u16),
}

impl Trouble {
    /// One word for the log.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Denied(_) => "denied",
            Self::UnknownKey => "unknown_key",
            Self::Busy => "busy",
            Self::Unreachable => "unreachable",
            Self::Slow => "slow",
            Self::NoAddon => "no_addon",
            Self::Failed(_) => "failed",
        }
    }
}

/// What Odoo says of an error; its traceback is left where it is.
#[derive(Debug, Deserialize)]
struct OdooError {
    #[serde(default)]
    message: String,
}

/// One Odoo database.
#[derive(Debug, Clone)]
pub struct Odoo {
    client: reqwest::Client,
    options: OdooOptions,
}

impl Odoo {
    /// Makes the client; nothing is called yet.
    ///
    /// # Errors
    /// The certificates are none, or TLS cannot be had.
    pub fn new(options: OdooOptions) -> Result<Self, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME)
            .timeout(CALL_TIME)
            .redirect(reqwest::redirect::Policy::none())
            // The key goes to Odoo alone.
            .no_proxy()
            .user_agent(concat!("mcp-webhookd/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &options.extra_ca {
            builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem)?);
        }
        Ok(Self { client: builder.build()?, options })
    }

    /// Calls a tool.
    pub(crate) async fn call(
        &self,
        principal: &Principal,
        tool: &str,
        arguments: &Value,
        client: Option<&str>,
        is_waiting: bool,
    ) -> Result<Value, Trouble> {
        let call = json!({"tool": tool, "arguments": arguments, "client": client, "is_waiting": is_waiting});
        self.post(principal, DOOR, &call).await
    }

    /// Whether Odoo knows who this is.
    pub(crate) async fn knows(&self, principal: &Principal) -> Result<(), Trouble> {
        self.post(principal, WHO, &json!({})).await.map(drop)
    }

    async fn post(&self, principal: &Principal, path: &str, body: &Value) -> Result<Value, Trouble> {
        let Principal::Key(key) = principal;
        let base = self.options.url.as_str().trim_end_matches('/');
        let mut request = self
            .client
            .post(format!("{base}/{path}"))
            .bearer_auth(key.expose())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_string());
        if let Some(database) = &self.options.database {
            request = request.header("X-Odoo-Database", database);
        }
        let response = request.send().await.map_err(|error| unanswered(&error))?;
        let status = response.status();
        let bytes = take_in(response).await?;
        judge(status, &bytes)
    }
}

/// What became of a call that has no answer.
fn unanswered(error: &reqwest::Error) -> Trouble {
    // Within the time for a connection nothing has been asked yet.
    if error.is_timeout() && !error.is_connect() { Trouble::Slow } else { Trouble::Unreachable }
}

async fn take_in(mut response: reqwest::Response) -> Result<Vec<u8>, Trouble> {
    let mut whole = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| unanswered(&error))? {
        if whole.len() + part.len() > ANSWER_BYTES {
            return Err(Trouble::Failed(response.status().as_u16()));
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole)
}

fn judge(status: StatusCode, bytes: &[u8]) -> Result<Value, Trouble> {
    let said = || serde_json::from_slice::<OdooError>(bytes).map(|error| error.message).unwrap_or_default();
    match status {
        StatusCode::OK => serde_json::from_slice(bytes).map_err(|_| Trouble::Failed(status.as_u16())),
        StatusCode::UNAUTHORIZED => Err(Trouble::UnknownKey),
        StatusCode::FORBIDDEN => Err(Trouble::Denied(said())),
        StatusCode::UNPROCESSABLE_ENTITY => Err(Trouble::Refused(said())),
        StatusCode::NOT_FOUND => Err(Trouble::NoAddon),
        StatusCode::CONFLICT => Err(Trouble::Busy),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Err(Trouble::Unreachable)
        }
        _ => Err(Trouble::Failed(status.as_u16())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_odoo_answers_is_told_in_words_and_its_traceback_is_not() {
        let body = br#"{"name": "odoo.exceptions.UserError", "message": "model: expected x.", "debug": "Traceback /srv"}"#;
        let refused = Trouble::Refused("model: expected x.".to_owned());
        let denied = Trouble::Denied("model: expected x.".to_owned());
        for (status, expected) in [
            (401, Trouble::UnknownKey),
            (403, denied),
            (404, Trouble::NoAddon),
            (409, Trouble::Busy),
            (422, refused),
            (500, Trouble::Failed(500)),
            (502, Trouble::Unreachable),
            (503, Trouble::Unreachable),
            (302, Trouble::Failed(302)),
        ] {
            let trouble = judge(StatusCode::from_u16(status).unwrap(), body).unwrap_err();
            assert_eq!(trouble, expected);
            assert!(!trouble.to_string().contains("Traceback"));
        }
        assert_eq!(judge(StatusCode::OK, b"{\"a\": 1}"), Ok(json!({"a": 1})));
        assert_eq!(judge(StatusCode::OK, b"<html>"), Err(Trouble::Failed(200)));
    }
}
