//! JSON-RPC on jsonrpsee, authentication, configuration and the command line of mcp-webhookd.
//!
//! [`serve`] wires everything; [`front`] lets requests in; [`rpc`] carries out the methods of `webhook-api`.

mod advice;
pub mod cli;
pub mod config;
pub mod files;
pub mod front;
pub mod guests;
pub mod health;
pub mod hosts;
pub mod knock;
pub mod listener;
pub mod live;
pub mod mcp;
pub mod metrics;
mod private;
pub mod rpc;
pub mod serve;
pub mod space;
pub mod systemd;
pub mod tls;
pub mod token;
mod unread;
mod upkeep;
pub mod vitals;
