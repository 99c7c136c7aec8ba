//! `mcp`: the MCP server for a client that starts it, at standard input and output.

use anyhow::{Result, anyhow, bail};
use webhook_mcp::{Key, Principal, serve_stdio};

use crate::{config::Config, mcp};

/// Where the key is: in no file of ours, and on no command line that others can list.
const KEY: &str = "ODOO_API_KEY";

/// Serves until the client goes.
pub async fn run(config: &Config) -> Result<()> {
    let text = std::env::var(KEY).unwrap_or_default();
    let Some(key) = Key::new(text.trim()) else {
        bail!(
            "there is no key in the environment; set {KEY} to an API key of yours (Odoo: My Profile > Account Security > \
             New API Key)"
        );
    };
    let odoo = mcp::odoo(config)?;
    let served = serve_stdio(odoo, Principal::Key(key)).await;
    served.map_err(|error| {
        anyhow!("the client was not served: {error}; it must speak MCP at standard input and output")
    })
}
