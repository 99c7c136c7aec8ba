//! `subscriptions`: who wants which events, as the sidecar has them.

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    client::Client,
    output::{self, cell},
};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// All of them; they are made and changed in Odoo
    List {
        /// One JSON object a line, for programs
        #[arg(long)]
        json: bool,
    },
    /// One of them with everything but its secret, as JSON
    Show {
        /// The subscription's UUID, as `list` and Odoo show it
        id: String,
    },
}

/// Runs one of them.
pub async fn run(config: &Config, command: &Command) -> Result<()> {
    let client = Client::new(config)?;
    match command {
        Command::Show { id } => output::json(&client.call("subscription.get", json!({"id": id})).await?),
        Command::List { json } => {
            let found = all(&client).await?;
            if *json { found.iter().try_for_each(output::json_line) } else { print(&found) }
        }
    }
}

async fn all(client: &Client) -> Result<Vec<Value>> {
    let (mut found, mut after) = (Vec::new(), Value::Null);
    loop {
        let mut params = json!({"limit": 1000});
        if !after.is_null() {
            params["after"] = after;
        }
        let mut page = client.call("subscription.list", params).await?;
        if let Some(subscriptions) = page["subscriptions"].as_array_mut() {
            found.append(subscriptions);
        }
        after = page["next"].take();
        if after.is_null() {
            return Ok(found);
        }
    }
}

/// Of the URL only the host: for some receivers the rest is the secret.
fn print(found: &[Value]) -> Result<()> {
    let state = |subscription: &Value| {
        let flag = |name: &str| subscription[name].as_bool().unwrap_or(false);
        if flag("paused") {
            "paused"
        } else if flag("active") {
            "active"
        } else {
            "inactive"
        }
    };
    let host = |subscription: &Value| {
        let url = subscription["url"].as_str().and_then(|text| url::Url::parse(text).ok());
        url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| "-".to_owned())
    };
    let row = |subscription: &Value| {
        let field = |name: &str| cell(&subscription[name]);
        let what = format!("{} {}", field("model"), field("event_type"));
        vec![field("id"), state(subscription).to_owned(), what, host(subscription), field("name")]
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    let none = "there are no subscriptions; they are made in Odoo under MCP Server > Event Subscriptions";
    output::table(&["ID", "STATE", "EVENTS", "HOST", "NAME"], &rows, none)
}
