//! `subscriptions`: who wants which events, as the sidecar has them.

use anyhow::Result;
use clap::Subcommand;
use webhook_api::{
    Wire,
    field::Whole,
    subscription::{GetSubscription, ListSubscriptions, Subscription},
};

use super::{
    client::{Client, parameter},
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
        Command::Show { id } => {
            let wish = GetSubscription { id: parameter("id", id)? };
            output::json(&client.call(&wish).await?)
        }
        Command::List { json } => {
            let found = all(&client).await?;
            if *json { found.iter().try_for_each(output::json_line) } else { print(&found) }
        }
    }
}

async fn all(client: &Client) -> Result<Vec<Subscription>> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let wish = ListSubscriptions { after: after.into(), limit: Wire(Whole(1000)).into() };
        let page = client.call(&wish).await?;
        for subscription in &page.subscriptions {
            found.push(subscription.read()?);
        }
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

/// Of the URL only the host: for some receivers the rest is the secret.
fn print(found: &[Subscription]) -> Result<()> {
    let state = |subscription: &Subscription| match (subscription.paused, subscription.active) {
        (true, _) => "paused",
        (false, true) => "active",
        (false, false) => "inactive",
    };
    let host = |subscription: &Subscription| {
        let url = subscription.url.as_deref().and_then(|text| url::Url::parse(text).ok());
        url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| "-".to_owned())
    };
    let row = |subscription: &Subscription| {
        let what = format!("{} {}", cell(&subscription.model), subscription.event_type.0.as_str());
        vec![
            cell(subscription.id.0),
            state(subscription).to_owned(),
            what,
            host(subscription),
            cell(&subscription.name),
        ]
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    let none = "there are no subscriptions; they are made in Odoo under MCP Server > Event Subscriptions";
    output::table(&["ID", "STATE", "EVENTS", "HOST", "NAME"], &rows, none)
}
