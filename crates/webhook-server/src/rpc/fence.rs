//! Who may send: a copy of the attached database can send nothing.

use webhook_api::ErrorKind;
use webhook_log::Log;

use super::error::RpcError;

/// Refuses callers of a database that is not the attached one.
pub fn check(log: &Log, database: Option<&str>) -> Result<(), RpcError> {
    let Some(attachment) = log.attachment() else { return Ok(()) };
    let expected = format!("{} {}", attachment.database.uuid, attachment.database.name);
    if database == Some(expected.as_str()) { Ok(()) } else { Err(fenced(log)) }
}

/// Another database is attached.
pub fn fenced(log: &Log) -> RpcError {
    let name = log.attachment().map_or_else(String::new, |attachment| attachment.database.name.clone());
    RpcError::new(
        ErrorKind::Fenced,
        format!(
            "this sidecar serves the database {name:?}; a copy of it can send nothing. If this database is production \
             now, take over from its settings in Odoo (system.attach with take_over)"
        ),
    )
}
