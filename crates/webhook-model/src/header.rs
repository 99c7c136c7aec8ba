//! Custom headers of a subscription.
