//! `verify`: the whole check of the delivery log, with a progress bar; of a running sidecar through the sidecar. The log
//! stays as it is, byte for byte.

use anyhow::{Result, bail};
use webhook_api::admin::Verify;
use webhook_log::{Look, medium};

use super::{Trouble, client::Client, output};
use crate::{advice, config::Config, files::DataDir};

/// Verifies it.
pub fn run(config: &Config) -> Result<()> {
    let data = DataDir::choose(config.data_dir.clone())?;
    if !data.has_store() {
        bail!("there is no delivery log in {}; give --data-dir DIR", data.path().display());
    }
    data.check_entries()?;
    let key = match data.present_key() {
        Ok(Some(key)) => key,
        Ok(None) => return Err(Trouble::Unsound(data.key_is_missing().to_string()).into()),
        Err(error) => return Err(Trouble::Unsound(format!("{error:#}")).into()),
    };
    match Look::closely(&data.store(), &key) {
        Ok(Some(log)) => {
            let (faults, events, attempts) = look(&log)?;
            judge(&faults, events, attempts)
        }
        Ok(None) => bail!("there is no delivery log in {}; give --data-dir DIR", data.path().display()),
        Err(medium::OpenError::Locked) => super::block_on(ask(config)),
        Err(error) => Err(Trouble::Unsound(advice::of_open(&error)).into()),
    }
}

fn look(log: &Look) -> Result<(Vec<String>, u64, u64)> {
    Ok(log.read(|snapshot| {
        let (events, attempts) = snapshot.size()?;
        let bar = output::progress(events, "events");
        let faults = snapshot.check_with(|looked_at| bar.set_position(looked_at))?;
        bar.finish_and_clear();
        Ok((faults, events, attempts))
    })?)
}

/// The sidecar runs, so it looks itself.
async fn ask(config: &Config) -> Result<()> {
    eprintln!(
        "mcp-webhookd: the sidecar is running and looks itself; this takes about a second per 100,000 events"
    );
    let waiting = output::waiting("verifying");
    let found = Client::new(config)?.call(&Verify {}).await;
    waiting.finish_and_clear();
    let found = found?;
    judge(&found.faults, found.events, found.attempts)
}

fn judge(faults: &[String], events: u64, attempts: u64) -> Result<()> {
    if faults.is_empty() {
        eprintln!("mcp-webhookd: the delivery log is sound: {events} events, {attempts} attempts");
        return Ok(());
    }
    faults.iter().for_each(|fault| eprintln!("mcp-webhookd: {fault}"));
    let count = faults.len();
    Err(Trouble::Unsound(format!("the delivery log has {count} faults; restore a backup, or report them"))
        .into())
}
