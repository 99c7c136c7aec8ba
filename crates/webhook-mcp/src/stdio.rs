//! A client that starts the program itself: one user, whose key is in the environment.

use rmcp::ServiceExt;

use crate::{handler::Handler, odoo::Odoo, principal::Principal};

/// Serves the client at standard input and output until it goes.
///
/// # Errors
/// What was read is no MCP, or the streams broke.
pub async fn serve_stdio(
    odoo: Odoo,
    principal: Principal,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let service = Handler::for_one(odoo, principal).serve(rmcp::transport::stdio()).await?;
    service.waiting().await?;
    Ok(())
}
