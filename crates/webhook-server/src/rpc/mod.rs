//! The JSON-RPC methods of `webhook-api`, carried out: one file per namespace.
//!
//! [`middleware`] hands a call to [`calls`], which finds its method and hands it to the [`service`]; the namespaces'
//! files implement it. Shapes of the wire are mapped by hand to the model ([`wire`]).

pub mod admin;
pub mod calls;
pub mod delivery;
pub mod error;
pub mod event;
pub mod fence;
pub mod middleware;
pub mod service;
pub mod subscription;
pub mod system;
pub mod template;
pub mod wire;
