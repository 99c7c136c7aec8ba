//! Which addresses a webhook may be sent to.
