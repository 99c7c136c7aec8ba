//! Calls the running sidecar, as its administration.

use std::{io, path::Path, time::Duration};

use anyhow::Result;
use serde_json::{Value, json};

use super::Trouble;
use crate::{config::Config, files::DataDir, knock, tls};

/// A whole check of a big log takes its time.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Calls one sidecar.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Client {
    /// The sidecar of this data directory: `<data>/address` and `<data>/admin_token`.
    pub fn new(config: &Config) -> Result<Self> {
        let data = DataDir::choose(config.data_dir.clone())?;
        let address = read(&data.address(), data.path())?;
        let token = read(&data.admin_token(), data.path())?;
        let (scheme, http) = match &config.tls_cert_file {
            Some(certificate) => ("https", tls::client_of(certificate)?),
            None => ("http", knock::client()?),
        };
        Ok(Self { http, url: format!("{scheme}://{address}/"), token })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// One call.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let request = self.http.post(&self.url).bearer_auth(&self.token).timeout(PATIENCE);
        let answer = request.header("content-type", "application/json").body(body).send().await;
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| self.unreachable(&error))?;
        let Ok(mut answer) = serde_json::from_str::<Value>(&text) else {
            let what = match status.as_u16() {
                401 => "refuses the admin token; is another sidecar running there? Give its --data-dir DIR",
                _ => "is not mcp-webhookd; is another program on this port?",
            };
            return Err(
                Trouble::Refused(format!("what answers at {} (HTTP {status}) {what}", self.url)).into()
            );
        };
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(refused(method, &answer["error"]).into()),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Trouble {
        let what = if error.is_timeout() { "does not answer in time" } else { "cannot be reached" };
        Trouble::Unreachable(format!(
            "the sidecar at {} {what}; is it running? Start it with: mcp-webhookd serve",
            self.url
        ))
    }
}

/// What the sidecar said, and what to do about it.
fn refused(method: &str, error: &Value) -> Trouble {
    let message = error["message"].as_str().unwrap_or("the call was refused");
    // Administration is for operators alone: its refusals say what to do themselves.
    if method.starts_with("admin.") {
        return Trouble::Refused(message.to_owned());
    }
    let advice = match error["data"]["kind"].as_str() {
        Some("not_found") => "look for it with: mcp-webhookd deliveries list, or subscriptions list",
        Some("conflict") => "wait for it with: mcp-webhookd deliveries show",
        Some("inactive") => "activate the subscription in Odoo first",
        Some("store_unavailable") => "see what is in the way with: mcp-webhookd status",
        _ => "correct that and try again",
    };
    Trouble::Refused(format!("{message}; {advice}"))
}

fn read(path: &Path, folder: &Path) -> Result<String> {
    let folder = folder.display();
    let what = match std::fs::read_to_string(path) {
        Ok(text) => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => format!(
            "{} may only be read by the sidecar's own user; run this command as that user (sudo -u USER)",
            path.display()
        ),
        Err(_) => format!(
            "no sidecar is running with the data directory {folder}; start it with `mcp-webhookd serve`, or name another \
             with --data-dir DIR"
        ),
    };
    Err(Trouble::Unreachable(what).into())
}
