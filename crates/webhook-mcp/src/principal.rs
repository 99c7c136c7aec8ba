//! Who calls.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// An Odoo API key. It is never shown, and gone from memory with its last holder.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<String>);

impl Key {
    /// A key as a header or the environment has it: visible ASCII, at most 256 bytes.
    pub fn new(text: &str) -> Option<Self> {
        let is_one = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_one.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// What tells keys apart and tells nothing of them.
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// With whose rights a request is worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Principal {
    /// The user to whom this key belongs.
    Key(Key),
}
