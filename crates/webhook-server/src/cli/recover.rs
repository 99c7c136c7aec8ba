//! `recover`: goes on with a delivery log that a start refuses. Says first what would be lost, and asks.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use webhook_log::{Left, Plan, SealingKey, medium::OpenError};

use super::output;
use crate::{advice, config::Config, files::DataDir};

#[derive(Debug, Args)]
pub struct Options {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Go on although the key is lost that secrets in the log were sealed with
    #[arg(long)]
    forget_secrets: bool,
}

/// Recovers the log of a sidecar that is stopped.
pub fn run(config: &Config, options: &Options) -> Result<()> {
    let data = DataDir::choose(config.data_dir.clone())?;
    if !data.path().exists() {
        bail!("there is no {}; give --data-dir DIR", data.path().display());
    }
    data.check_entries()?;
    let key = key(&data, options)?;
    let looking = output::waiting("looking at what is left");
    let plan = webhook_log::plan(&data.store(), key.get(), options.forget_secrets);
    looking.finish_and_clear();
    let Some(plan) = plan.map_err(|error| anyhow!(advice::of_open(&error)))? else {
        key.put(&data)?;
        eprintln!("mcp-webhookd: nothing to recover: the delivery log opens, or there is none yet");
        return Ok(());
    };
    eprintln!("mcp-webhookd: {}", plan.reason);
    eprintln!("mcp-webhookd: {}", left(&plan));
    eprintln!("mcp-webhookd: {}", lost(&plan, options));
    eprintln!(
        "mcp-webhookd: the log gets a new identity: an attached Odoo sends its subscriptions and what waits there again, \
         and nothing is sent before that"
    );
    if !options.yes && !is_agreed()? {
        bail!("nothing was changed");
    }
    key.put(&data)?;
    let kept = webhook_log::recover(&data.store(), key.get(), &plan);
    let kept = kept.map_err(|error| anyhow!(advice::of_open(&error)))?;
    let kept: Vec<String> = kept.iter().map(|file| file.display().to_string()).collect();
    let copies = match kept.as_slice() {
        [] => String::new(),
        files => format!("; what was there is kept in {}: delete that when all is well", files.join(" and ")),
    };
    eprintln!("mcp-webhookd: recovered{copies}. Start the sidecar");
    Ok(())
}

/// The key that is there, or a new one in the place of one that is lost, which is not on disk yet.
enum Key {
    Present(SealingKey),
    New(SealingKey, zeroize::Zeroizing<[u8; 32]>),
}

fn key(data: &DataDir, options: &Options) -> Result<Key> {
    match data.present_key() {
        Ok(Some(key)) => return Ok(Key::Present(key)),
        Ok(None) if data.has_store() && !options.forget_secrets => return Err(data.key_is_missing()),
        Err(error) if !options.forget_secrets => return Err(error),
        Ok(None) | Err(_) => {}
    }
    let (key, bytes) = SealingKey::generate()?;
    Ok(Key::New(key, bytes))
}

impl Key {
    fn get(&self) -> &SealingKey {
        match self {
            Self::Present(key) | Self::New(key, _) => key,
        }
    }

    fn put(&self, data: &DataDir) -> Result<()> {
        match self {
            Self::Present(_) => Ok(()),
            Self::New(_, bytes) => data.replace_key(bytes.as_slice()),
        }
    }
}

fn left(plan: &Plan) -> String {
    match plan.left {
        Left::Nothing => "what is left: nothing that can be read; a new log begins".to_owned(),
        Left::Store { events, pending, replayed } => format!(
            "what is left: {events} events, {pending} of them pending; {replayed} commits of that come from the journal"
        ),
    }
}

fn lost(plan: &Plan, options: &Options) -> String {
    let what = match (&plan.reason, &plan.left) {
        (_, Left::Nothing) => {
            "every subscription, event and outcome that Odoo does not have; how many cannot be known"
        }
        (OpenError::JournalLost(_), Left::Store { .. }) => {
            "what was accepted, recorded and changed behind that, at most what fits into 16 MB; how much cannot be known"
        }
        _ => "nothing of that",
    };
    let secrets = if options.forget_secrets && plan.left != Left::Nothing {
        "; and signing secrets and header values: deliveries of their subscriptions wait until Odoo has sent these again"
    } else {
        ""
    };
    format!("what is lost: {what}{secrets}")
}

fn is_agreed() -> Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!("nothing was changed; to go on without being asked give --yes");
    }
    eprint!("Go on? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
