//! Encryption of what a copy of the file must not give away: secrets and header values.
//!
//! XChaCha20-Poly1305 with a random 24-byte nonce; the subscription's id is the associated data, so that
//! a sealed value moved to another row does not open.
//!
//! While a key is being replaced, the one before it still opens. What it opens is sealed anew when the log opens, so
//! that afterwards the new key is enough.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use zeroize::Zeroizing;

const NONCE: usize = 24;

/// The 256-bit key. It lives outside the store, in a file of its own.
#[derive(Clone)]
pub struct SealingKey {
    cipher: XChaCha20Poly1305,
    before: Option<XChaCha20Poly1305>,
}

/// Sealed for no subscription.
const CHECK: &[u8] = b"mcp-webhookd";
const CHECK_OWNER: u128 = u128::MAX;

/// The key that a store was sealed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyCheck {
    Present,
    /// The one that it replaces.
    Before,
}

/// What was sealed, opened.
pub(crate) struct Unsealed {
    /// The text.
    pub plain: Zeroizing<Vec<u8>>,
    /// Whether only the key before this one opened it.
    pub is_old: bool,
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

impl SealingKey {
    /// The key with these 32 bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(bytes.into()), before: None }
    }

    /// The same key, which also opens what was sealed with `before`.
    #[must_use]
    pub fn replacing(self, before: &[u8; 32]) -> Self {
        Self { before: Some(XChaCha20Poly1305::new(before.into())), ..self }
    }

    /// A new random key, and its bytes for the key file.
    ///
    /// # Errors
    /// The system's random source failed.
    pub fn generate() -> std::io::Result<(Self, Zeroizing<[u8; 32]>)> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice()).map_err(std::io::Error::other)?;
        Ok((Self::new(&bytes), bytes))
    }

    /// Something by which a store tells whether it is opened with the key that it was sealed with.
    pub(crate) fn make_check(&self) -> Option<Vec<u8>> {
        self.seal(CHECK_OWNER, CHECK)
    }

    /// Which key made this check; none of them: `None`.
    pub(crate) fn check(&self, sealed: &[u8]) -> Option<KeyCheck> {
        let opened = self.open(CHECK_OWNER, sealed).filter(|opened| opened.plain.as_slice() == CHECK)?;
        Some(if opened.is_old { KeyCheck::Before } else { KeyCheck::Present })
    }

    /// `plain`, readable only with this key and for this `owner`. `None` when the random source or the cipher fails.
    pub(crate) fn seal(&self, owner: u128, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).ok()?;
        let aad = owner.to_be_bytes();
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad }).ok()?;
        Some([nonce.as_slice(), &sealed].concat())
    }

    /// What was sealed for `owner`; `None` with another key, for another owner, or when a bit changed.
    pub(crate) fn open(&self, owner: u128, sealed: &[u8]) -> Option<Unsealed> {
        let (nonce, text) = sealed.split_at_checked(NONCE)?;
        let nonce: [u8; NONCE] = nonce.try_into().ok()?;
        let aad = owner.to_be_bytes();
        let open = |cipher: &XChaCha20Poly1305| {
            cipher.decrypt(&XNonce::from(nonce), Payload { msg: text, aad: &aad }).ok().map(Zeroizing::new)
        };
        if let Some(plain) = open(&self.cipher) {
            return Some(Unsealed { plain, is_old: false });
        }
        self.before.as_ref().and_then(open).map(|plain| Unsealed { plain, is_old: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_owner_open_it() {
        let (key, _) = SealingKey::generate().unwrap();
        let sealed = key.seal(1, b"whsec_canary").unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"canary"));
        assert_eq!(key.open(1, &sealed).unwrap().plain.as_slice(), b"whsec_canary");
        assert!(key.open(2, &sealed).is_none());
        assert!(SealingKey::generate().unwrap().0.open(1, &sealed).is_none());
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert!(key.open(1, &bent).is_none(), "bit flipped at {at}");
        }
        assert!(key.open(1, b"short").is_none());
    }

    #[test]
    fn the_key_before_opens_what_it_sealed_and_seals_nothing() {
        let (old, old_bytes) = SealingKey::generate().unwrap();
        let (new, _) = SealingKey::generate().unwrap();
        let both = new.clone().replacing(&old_bytes);
        let sealed = old.seal(1, b"whsec_canary").unwrap();
        let opened = both.open(1, &sealed).unwrap();
        assert!(opened.is_old && opened.plain.as_slice() == b"whsec_canary");
        let again = both.seal(1, &opened.plain).unwrap();
        assert!(old.open(1, &again).is_none() && !new.open(1, &again).unwrap().is_old);
    }
}
