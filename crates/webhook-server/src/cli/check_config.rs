//! `check-config`: the keys are checked before any command; this is the files that they name, and the example.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use webhook_dispatch::transport::HttpTransport;

use crate::{
    config::{self, Config, Fault},
    live,
    tls::Greeter,
    token::Tokens,
};

#[derive(Debug, Args)]
pub struct Options {
    /// Print an example file instead: every key with its default and what it means
    #[arg(long)]
    pub example: bool,
}

/// What is wrong with the files that the configuration names.
pub fn named_files(config: &Config) -> Vec<Fault> {
    let fault = |section: &str, error: anyhow::Error| Fault {
        place: section.to_owned(),
        message: format!("{error:#}"),
    };
    let token = config.token_file.as_deref().filter(|file| file.exists()).map(Tokens::read);
    let token = token.and_then(Result::err).map(|error| fault("[server]", error));
    let listener = Greeter::new(config).err().map(|error| fault("[server]", error));
    let network = HttpTransport::new(live::network_policy(config, 0)).err();
    let network = network.map(|error| fault("[network]", error.into()));
    token.into_iter().chain(listener).chain(network).collect()
}

/// Prints the annotated example.
pub fn example() -> Result<()> {
    Ok(super::output::stdout().write_all(config::example().as_bytes())?)
}
