//! `token`: the secret between Odoo and the sidecar.

use std::io::Write;

use anyhow::Result;
use clap::Subcommand;
use webhook_api::admin::RotateToken;

use super::{client::Client, output};
use crate::{
    config::Config,
    files::DataDir,
    token::{self, Rotation},
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new token, or end the old one
    #[command(after_help = "In two steps, so that nothing is refused meanwhile:\n  \
                            1. mcp-webhookd token rotate            now both tokens are valid\n     \
                            enter the file's first line in Odoo under MCP Server > Settings\n  \
                            2. mcp-webhookd token rotate --finish   now only the new one is")]
    Rotate {
        /// The second step: only the newest token stays valid
        #[arg(long)]
        finish: bool,
    },
    /// Print where the token file is
    Path,
}

/// Runs one of them.
pub async fn run(config: &Config, command: &Command) -> Result<()> {
    let data = DataDir::choose(config.data_dir.clone())?;
    let file = data.token_file(config.token_file.as_deref());
    let mut out = output::stdout();
    let Command::Rotate { finish } = command else {
        return Ok(writeln!(out, "{}", file.display())?);
    };
    let step = if *finish { Rotation::Finish } else { Rotation::Begin };
    if data.address().exists() {
        Client::new(config)?.call(&RotateToken { finish: (*finish).into() }).await?;
    } else {
        token::rotate(&file, step)?;
    }
    let file = file.display();
    match step {
        Rotation::Begin => writeln!(
            out,
            "the new token is the first line of {file}; those before stay valid.\nEnter the new one in Odoo under MCP \
             Server > Settings, then run: mcp-webhookd token rotate --finish"
        )?,
        Rotation::Finish => writeln!(out, "only the first line of {file} is valid now")?,
    }
    Ok(())
}
