//! `admin.*`: for the sidecar's own commands. The addon's token is told that these methods do not exist.

use std::{collections::BTreeMap, path::PathBuf, sync::atomic::Ordering::Relaxed};

use serde_json::{Value, json};
use webhook_model::Millis;

use super::{
    Answer, Params, Service,
    error::{Kind, RpcError},
    fields::{self, Fields},
};
use crate::{advice, health, metrics, token::Rotation};

/// `admin.status`: everything that tells how the sidecar is.
pub async fn status(service: &Service, params: Params<'_>) -> Answer {
    Fields::parse(params)?.finish()?;
    let states = metrics::backlog_by_state(service).unwrap_or_default();
    let backlog: BTreeMap<&str, Value> = states
        .iter()
        .map(|(state, found)| {
            (state.as_str(), json!({"count": found.count, "oldest": found.oldest.map(|at| at.to_string())}))
        })
        .collect();
    let submitted: BTreeMap<&str, u64> =
        metrics::SUBMITTED.iter().zip(&service.submitted).map(|(word, n)| (*word, n.load(Relaxed))).collect();
    let attempts: BTreeMap<&str, u64> =
        metrics::outcomes(&service.counters).filter(|(_, n)| *n > 0).collect();
    let set = service.log.subscriptions();
    let commits = service.log.commits();
    let mean_ms = (commits.count > 0).then(|| commits.seconds * 1000.0 / commits.count as f64);
    let attachment = service.log.attachment();
    let pulled = service.pulled_at.load(Relaxed);
    Ok(json!({
        "version": service.version,
        "log_id": &*service.log.log_id(),
        "uptime_s": service.started.elapsed().as_secs(),
        "reasons": health::reasons(service),
        "database": attachment.as_ref().map(|a| json!({"uuid": a.database.uuid, "name": a.database.name})),
        "wake_url": attachment.as_ref().and_then(|a| a.wake_url.clone()),
        "last_pull_at": (pulled > 0).then(|| Millis(pulled).to_string()),
        "pull_lag": service.pull_lag(),
        "cursor": service.log.cursor(),
        "subscriptions": set.len(),
        "backlog": backlog,
        "events": submitted,
        "attempts": attempts,
        "store_bytes": std::fs::metadata(service.data.store()).map(|found| found.len()).ok(),
        "commits": {"count": commits.count, "mean_ms": mean_ms},
    })
    .into())
}

/// `admin.reload`: as SIGHUP.
pub async fn reload(service: &Service, params: Params<'_>) -> Answer {
    Fields::parse(params)?.finish()?;
    let done = service.live.reload().map_err(|error| failed(&error))?;
    tracing::info!("reloaded: {done}");
    Ok(json!({"message": done}).into())
}

/// `admin.rotate_token`: a new token for the addon beside the old one; with `finish`, the old one's end instead.
pub async fn rotate_token(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let finish = fields.optional("finish", "true or false", Value::as_bool)?.unwrap_or(false);
    fields.finish()?;
    let step = if finish { Rotation::Finish } else { Rotation::Begin };
    let file = service.live.rotate_token(step).map_err(|error| failed(&error))?;
    tracing::info!(file = %file.display(), ?step, "the bearer token rotates");
    Ok(json!({"file": file}).into())
}

/// `admin.verify`: the whole check of the log, while it is in use.
pub async fn verify(service: &Service, params: Params<'_>) -> Answer {
    Fields::parse(params)?.finish()?;
    let log = service.log.clone();
    let look = move || log.read(|snapshot| Ok((snapshot.check()?, snapshot.size()?)));
    let looked = tokio::task::spawn_blocking(look).await;
    let (faults, (events, attempts)) =
        looked.map_err(|_| RpcError::new(Kind::StoreUnavailable, "the check ended early; see the log"))??;
    Ok(json!({"faults": faults, "events": events, "attempts": attempts}).into())
}

/// `admin.backup`: a copy of the log in a new file of the sidecar's machine, while it is in use.
pub async fn backup(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let file = PathBuf::from(fields.required("file", "a path", fields::string)?);
    fields.finish()?;
    let log = service.log.clone();
    let place = file.clone();
    let copied =
        tokio::task::spawn_blocking(move || log.read(|snapshot| Ok(snapshot.backup(&place, |_| ()))));
    let rows = copied
        .await
        .map_err(|_| RpcError::new(Kind::StoreUnavailable, "the backup ended early; see the log"))??
        .map_err(|error| RpcError::new(Kind::InvalidParams, advice::of_backup(&file, &error)))?;
    tracing::info!(file = %file.display(), rows, "backed up the delivery log");
    Ok(json!({"file": file, "rows": rows}).into())
}

/// `admin.compact`: gives free pages back to the file system. Intake and sending wait meanwhile.
pub async fn compact(service: &Service, params: Params<'_>) -> Answer {
    Fields::parse(params)?.finish()?;
    let length = || std::fs::metadata(service.data.store()).map(|found| found.len()).ok();
    let before = length();
    service.log.compact().await?;
    let after = length();
    tracing::info!(before, after, "compacted the delivery log");
    Ok(json!({"before_bytes": before, "after_bytes": after}).into())
}

fn failed(error: &anyhow::Error) -> RpcError {
    RpcError::new(Kind::InvalidParams, format!("{error:#}"))
}
