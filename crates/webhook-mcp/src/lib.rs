//! The MCP server: what an AI sees of the webhooks of an Odoo database.
//!
//! It holds no power and keeps no key: each tool call goes to Odoo's JSON-2 with the key that the caller brings, and
//! Odoo's rights, company rules and approval policy decide. What the tools do is in the addon; here are their schemas
//! and words, the two transports, and the waiting.

mod errors;
mod events;
mod guide;
mod handler;
mod http_door;
mod odoo;
mod parameters;
mod principal;
mod stdio;
mod tools;

pub use crate::{
    handler::Handler,
    http_door::{Body, Door},
    odoo::{Odoo, OdooOptions},
    principal::{Key, Principal},
    stdio::serve_stdio,
};
