//! `check-config`: the check itself happens before any command; this is the example.

use std::io::Write;

use anyhow::Result;
use clap::Args;

use crate::config;

#[derive(Debug, Args)]
pub struct Options {
    /// Print an example file instead: every key with its default and what it means
    #[arg(long)]
    pub example: bool,
}

/// Prints the annotated example.
pub fn example() -> Result<()> {
    Ok(super::output::stdout().write_all(config::example().as_bytes())?)
}
