//! `admin.*`: for the sidecar's own commands. The addon's token is told that these methods do not exist.

use std::{path::PathBuf, time::Duration};

use webhook_api::{
    Caller, ErrorKind, Wire,
    admin::{
        Administration, BackedUp, Backlog, Backup, Commits, Compact, Compacted, Database, GetStatus, Reload,
        Reloaded, RotateToken, Rotated, Status, Verified, Verify,
    },
    field::LogId,
};

use super::{error::RpcError, service::Service};
use crate::{advice, health, metrics, token::Rotation};

/// Attempts under way end within this time.
const QUIET_TIME: Duration = Duration::from_secs(75);

impl Administration for Service {
    async fn status(&self, _: &Caller, _: GetStatus) -> Result<Status, RpcError> {
        let states = metrics::backlog_by_state(&self.vitals).unwrap_or_default();
        let backlog = states.iter().map(|(state, found)| {
            let found = Backlog { count: found.count, oldest: found.oldest.map(Wire) };
            (state.as_str().to_owned(), found)
        });
        let attempts = metrics::outcomes(&self.vitals.counters).filter(|(_, n)| *n > 0);
        let commits = self.log.commits();
        let mean_ms = (commits.count > 0).then(|| commits.seconds * 1000.0 / commits.count as f64);
        let attachment = self.log.attachment();
        let database =
            |found: &webhook_log::Database| Database { uuid: found.uuid.clone(), name: found.name.clone() };
        Ok(Status {
            version: self.vitals.version.to_owned(),
            log_id: Wire(LogId(self.log.log_id().to_string())),
            uptime_s: self.vitals.started.elapsed().as_secs(),
            reasons: health::reasons(&self.vitals),
            database: attachment.as_ref().map(|attachment| database(&attachment.database)),
            wake_url: attachment.as_ref().and_then(|attachment| attachment.wake_url.clone()),
            last_pull_at: self.vitals.last_pull().map(Wire),
            pull_lag: self.vitals.pull_lag(),
            cursor: self.log.cursor(),
            subscriptions: self.log.subscriptions().len(),
            backlog: backlog.collect(),
            events: self.vitals.submitted().map(|(word, n)| (word.to_owned(), n)).collect(),
            attempts: attempts.map(|(word, n)| (word.to_owned(), n)).collect(),
            store_bytes: self.vitals.store_bytes(),
            commits: Commits { count: commits.count, mean_ms },
        })
    }

    /// As SIGHUP.
    async fn reload(&self, _: &Caller, _: Reload) -> Result<Reloaded, RpcError> {
        let message = self.live.reload().map_err(|error| failed(&error))?;
        tracing::info!("reloaded: {message}");
        Ok(Reloaded { message: message.to_owned() })
    }

    async fn rotate_token(&self, _: &Caller, wish: RotateToken) -> Result<Rotated, RpcError> {
        let step = if wish.finish.0.unwrap_or(false) { Rotation::Finish } else { Rotation::Begin };
        let file = self.live.rotate_token(step).map_err(|error| failed(&error))?;
        tracing::info!(file = %file.display(), ?step, "the bearer token rotates");
        Ok(Rotated { file: file.display().to_string() })
    }

    /// While the log is in use.
    async fn verify(&self, _: &Caller, _: Verify) -> Result<Verified, RpcError> {
        let log = self.log.clone();
        let look = move || log.read(|snapshot| Ok((snapshot.check()?, snapshot.size()?)));
        let looked = tokio::task::spawn_blocking(look).await;
        let (faults, (events, attempts)) = looked.map_err(|_| {
            RpcError::new(ErrorKind::StoreUnavailable, "the check ended early; see the log")
        })??;
        Ok(Verified { faults, events, attempts })
    }

    /// While the log is in use.
    async fn backup(&self, _: &Caller, wish: Backup) -> Result<BackedUp, RpcError> {
        let file = PathBuf::from(&wish.file.0.0);
        let log = self.log.clone();
        let place = file.clone();
        let copied =
            tokio::task::spawn_blocking(move || log.read(|snapshot| Ok(snapshot.backup(&place, |_| ()))));
        let rows = copied
            .await
            .map_err(|_| RpcError::new(ErrorKind::StoreUnavailable, "the backup ended early; see the log"))??
            .map_err(|error| RpcError::new(ErrorKind::InvalidParams, advice::of_backup(&file, &error)))?;
        tracing::info!(file = %file.display(), rows, "backed up the delivery log");
        Ok(BackedUp { file: wish.file.0.0, rows })
    }

    /// Intake and sending wait meanwhile.
    async fn compact(&self, _: &Caller, _: Compact) -> Result<Compacted, RpcError> {
        let before = self.vitals.store_bytes();
        // What would end meanwhile could not be recorded for minutes, and a stop would lose it.
        let quiet = tokio::time::timeout(QUIET_TIME, self.quiet.begin()).await;
        let _quiet = quiet.map_err(|_| {
            let message = "what is under way did not end and come to disk; see the log, and try again";
            RpcError::new(ErrorKind::StoreUnavailable, message)
        })?;
        self.log.compact().await?;
        let after = self.vitals.store_bytes();
        tracing::info!(before, after, "compacted the delivery log");
        Ok(Compacted { before_bytes: before, after_bytes: after })
    }
}

fn failed(error: &anyhow::Error) -> RpcError {
    RpcError::new(ErrorKind::InvalidParams, format!("{error:#}"))
}
