//! The wire: every JSON-RPC method of mcp-webhookd, with its parameters, its result and its errors as types.
//!
//! One table per namespace ([`subscription`], [`event`], [`delivery`], [`template`], [`system`], [`admin`]) names each
//! method once: its name, who may call it, how large its parameters may be, what it does, its handler and its types. From
//! that one entry come the trait that the server implements, the calls that clients make ([`Call`]), and the description
//! that `rpc.discover` returns ([`openrpc`]).
//!
//! To add a method: its entry and types in the namespace's file here, its handler in the file of that name in
//! `webhook-server/src/rpc`, a step in `tests/fixtures/rpc`. To add a kind of error: its line in [`error`].
//!
//! Parameters refuse what they do not know; results are read by clients that ignore it, so that either side may be the
//! newer one. A field that may be left out is a [`Given`], one that may be null an [`Option`].
//!
//! Reading order: [`method`] (what a table makes), [`field`] (what values may be), [`read`] (how parameters are read),
//! then any namespace.

pub mod admin;
pub mod delivery;
mod each;
pub mod error;
pub mod event;
pub mod field;
pub mod method;
pub mod openrpc;
pub mod read;
pub mod room;
pub mod subscription;
pub mod system;
pub mod template;

pub use each::Each;
pub use error::{Error, ErrorData, ErrorKind};
pub use field::{Given, Json, Wire};
pub use method::{Access, Call, Caller, Method, Serve};
pub use room::Room;

/// Every namespace.
pub trait Api:
    subscription::Subscriptions
    + event::Events
    + delivery::Deliveries
    + template::Templates
    + system::System
    + admin::Administration
{
    /// Every method, in the order of the documentation.
    fn methods() -> impl Iterator<Item = &'static Method<Self>> {
        let namespaces: [&'static [Method<Self>]; 6] = [
            <Self as subscription::Subscriptions>::METHODS,
            <Self as event::Events>::METHODS,
            <Self as delivery::Deliveries>::METHODS,
            <Self as template::Templates>::METHODS,
            <Self as system::System>::METHODS,
            <Self as admin::Administration>::METHODS,
        ];
        namespaces.into_iter().flatten()
    }
}

impl<S> Api for S where
    S: subscription::Subscriptions
        + event::Events
        + delivery::Deliveries
        + template::Templates
        + system::System
        + admin::Administration
{
}
