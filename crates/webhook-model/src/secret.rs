//! Signing secrets.
