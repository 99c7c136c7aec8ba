//! `template`: what a payload template makes of an event. Needs no running sidecar.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
};

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use webhook_model::{Dialect, Invalid};

use super::{Trouble, output};
use crate::{advice::Advise, rpc::template};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Render a template with a sample event, or with one of your own
    #[command(after_help = "Example:\n  \
                            echo '{\"text\": \"{{ model }} {{ record.name }}\"}' | mcp-webhookd template preview -")]
    Preview {
        /// The template: a file of JSON, or - for standard input
        template: PathBuf,
        /// An event, as `event.submit` takes it; fields that are left out get sample values
        #[arg(long, value_name = "FILE")]
        event: Option<PathBuf>,
        /// How values are escaped for the receiver
        #[arg(long, default_value = "plain")]
        dialect: Receiver,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Receiver {
    Plain,
    Slack,
    Discord,
    Teams,
    #[value(name = "google_chat")]
    GoogleChat,
}

/// Prints the payload.
pub fn run(command: &Command) -> Result<()> {
    let Command::Preview { template, event, dialect } = command;
    let event = event.as_deref().map_or_else(|| Ok(json!({})), read)?;
    let event = webhook_api::read::from_value(event, "event").map_err(refused)?;
    let dialect = match dialect {
        Receiver::Plain => Dialect::Plain,
        Receiver::Slack => Dialect::Slack,
        Receiver::Discord => Dialect::Discord,
        Receiver::Teams => Dialect::Teams,
        Receiver::GoogleChat => Dialect::GoogleChat,
    };
    let payload = template::render(&read(template)?, event, dialect).map_err(refused)?;
    Ok(writeln!(output::stdout(), "{}", output::clean(&payload))?)
}

fn refused(invalid: Invalid) -> Trouble {
    let place = invalid.pointer.as_deref().filter(|pointer| !pointer.is_empty());
    let place = place.map(|pointer| format!(" (at {pointer})")).unwrap_or_default();
    Trouble::Refused(format!("{invalid}{place}; correct the template and try again"))
}

fn read(path: &Path) -> Result<Value> {
    let is_stdin = path == Path::new("-");
    let name = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
    let text = if is_stdin {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.advise(format!("{name} cannot be read"), "give another file")?;
    serde_json::from_str(&text).advise(format!("{name} is not JSON"), "correct it and try again")
}
