//! `backup`, `restore` and `compact`: the delivery log as a file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use webhook_api::{
    Call, Wire,
    admin::{Backup, Compact},
    field::FilePath,
};
use webhook_log::{Log, Look, SealingKey, medium};

use super::{Trouble, client::Client, output};
use crate::{
    advice::{self, Advise},
    config::Config,
    files::DataDir,
};

#[derive(Debug, Args)]
pub struct BackupOptions {
    /// The file to make; it must not exist yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
pub struct RestoreOptions {
    /// A file that `backup` made
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Go on although the key is lost that secrets in the backup were sealed with
    #[arg(long)]
    forget_secrets: bool,
}

/// Copies the log into a new file, also while the sidecar runs.
pub fn backup(config: &Config, options: &BackupOptions) -> Result<()> {
    let file = std::path::absolute(&options.file).context("find out where the file is to be")?;
    let is_absent = |folder: &&Path| {
        std::fs::metadata(folder).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    if let Some(folder) = file.parent().filter(is_absent) {
        bail!("there is no folder {}; make it, or name a file elsewhere", folder.display());
    }
    let data = store(config)?;
    let rows = match look(&data) {
        Ok(log) => {
            let bar = output::spinner("rows copied");
            let copied = log.read(|snapshot| Ok(snapshot.backup(&file, |rows| bar.set_position(rows))))?;
            bar.finish_and_clear();
            copied.map_err(|error| anyhow!(advice::of_backup(&file, &error)))?
        }
        Err(error) if is_locked(&error) => {
            eprintln!("mcp-webhookd: the sidecar is running and makes the copy itself");
            let path = file.to_str().ok_or_else(|| anyhow!("a path must be UTF-8; name another file"))?;
            ask(config, "copying", &Backup { file: Wire(FilePath(path.to_owned())) })?.rows
        }
        Err(error) => return Err(unopened(&error)),
    };
    eprintln!(
        "mcp-webhookd: made {}, {rows} rows; secrets in it are sealed: keep {} as well, in another place",
        file.display(),
        data.key().display()
    );
    Ok(())
}

/// Puts a backup in the place of the log.
pub fn restore(config: &Config, options: &RestoreOptions) -> Result<()> {
    std::fs::File::open(&options.file).advise(
        options.file.display(),
        "name a file that `mcp-webhookd backup` made and that the sidecar's user may read",
    )?;
    let data = DataDir::choose(config.data_dir.clone())?;
    let key = key_for_restore(&data, options)?;
    let waiting = output::waiting("verifying and restoring");
    let restored = webhook_log::restore(&options.file, &data.store(), &key, options.forget_secrets);
    waiting.finish_and_clear();
    match restored {
        Ok(replaced) => {
            let was = replaced.map_or_else(String::new, |old| {
                format!("; the log that was there is {} now, delete it when all is well", old.display())
            });
            eprintln!(
                "mcp-webhookd: restored {}{was}. It has a new identity, so Odoo sends its subscriptions and what waits there \
                 again. What was pending in the backup is sent again under the same webhook-id. Start the sidecar",
                options.file.display()
            );
            Ok(())
        }
        Err(webhook_log::CopyError::Open(medium::OpenError::Locked)) => {
            bail!("the sidecar is running; stop it, restore, and start it again")
        }
        Err(error) => Err(Trouble::Unsound(advice::of_restore(&error)).into()),
    }
}

/// The key in the data directory, which must be the one of the backup.
fn key_for_restore(data: &DataDir, options: &RestoreOptions) -> Result<SealingKey> {
    if data.path().exists() {
        data.check_entries()?;
        match data.present_key()? {
            Some(key) => return Ok(key),
            None if options.forget_secrets => return data.new_key(),
            None => {}
        }
    } else if options.forget_secrets {
        return data.key_for_start();
    }
    bail!(
        "{} is missing, and a backup is sealed with it; put the key there from where you keep it (mode 600, the folder 700); \
         if it is lost, --forget-secrets restores the rest, and Odoo sends the secrets again",
        data.key().display()
    )
}

/// Gives free pages back to the file system.
pub fn compact(config: &Config) -> Result<()> {
    let data = store(config)?;
    let before = length(&data.store());
    match open(config, &data) {
        Ok(log) => {
            let waiting = output::waiting("compacting");
            let compacted = log.compact().wait();
            waiting.finish_and_clear();
            log.close();
            compacted.advise("the delivery log was not made smaller", "look at the disk, and try again")?;
        }
        Err(error) if is_locked(&error) => {
            eprintln!(
                "mcp-webhookd: the sidecar is running; it compacts, and intake and sending wait meanwhile"
            );
            ask(config, "compacting", &Compact {})?;
        }
        Err(error) => return Err(unopened(&error)),
    }
    let mb = |bytes: u64| bytes as f64 / 1e6;
    eprintln!(
        "mcp-webhookd: the delivery log had {:.1} MB and has {:.1} MB",
        mb(before),
        mb(length(&data.store()))
    );
    Ok(())
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

fn store(config: &Config) -> Result<DataDir> {
    let data = DataDir::choose(config.data_dir.clone())?;
    if !data.store().exists() {
        bail!("there is no delivery log in {}; give --data-dir DIR", data.path().display());
    }
    Ok(data)
}

/// The log of a sidecar that is stopped, which stays as it is.
fn look(data: &DataDir) -> Result<Look> {
    data.check_entries()?;
    let key = data.present_key()?.ok_or_else(|| data.key_is_missing())?;
    Look::at(&data.store(), &key)?
        .ok_or_else(|| anyhow!("there is no delivery log in {}", data.path().display()))
}

fn open(config: &Config, data: &DataDir) -> Result<Log> {
    let opened = data.open(config.token_file.as_deref())?;
    Ok(Log::open(medium::File::new(data.store()), opened.key)?)
}

/// The running sidecar does it.
fn ask<C: Call>(config: &Config, doing: &'static str, params: &C) -> Result<C::Result> {
    let waiting = output::waiting(doing);
    let answer = super::block_on(async { Client::new(config)?.call(params).await });
    waiting.finish_and_clear();
    answer
}

fn is_locked(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(medium::OpenError::Locked))
}

/// Why the log did not open, with what to do.
fn unopened(error: &anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(opened) => anyhow!(advice::of_open(opened)),
        None => anyhow!("{error:#}"),
    }
}
