//! The binary `mcp-webhookd`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    webhook_server::cli::run(webhook_server::cli::Cli::parse())
}
