//! Encryption of what a copy of the file must not give away: secrets and header values.
//!
//! XChaCha20-Poly1305 with a random 24-byte nonce; the subscription's id is the associated data, so that
//! a sealed value moved to another row does not open.

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
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

impl SealingKey {
    /// The key with these 32 bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(bytes.into()) }
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

    /// `plain`, readable only with this key and for this `owner`. `None` when the random source or the cipher fails.
    pub(crate) fn seal(&self, owner: u128, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).ok()?;
        let aad = owner.to_be_bytes();
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad }).ok()?;
        Some([nonce.as_slice(), &sealed].concat())
    }

    /// What was sealed for `owner`; `None` with another key, for another owner, or when a bit changed.
    pub(crate) fn open(&self, owner: u128, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, text) = sealed.split_at_checked(NONCE)?;
        let nonce: [u8; NONCE] = nonce.try_into().ok()?;
        let aad = owner.to_be_bytes();
        self.cipher.decrypt(&XNonce::from(nonce), Payload { msg: text, aad: &aad }).ok().map(Zeroizing::new)
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
        assert_eq!(key.open(1, &sealed).unwrap().as_slice(), b"whsec_canary");
        assert!(key.open(2, &sealed).is_none());
        assert!(SealingKey::generate().unwrap().0.open(1, &sealed).is_none());
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert!(key.open(1, &bent).is_none(), "bit flipped at {at}");
        }
        assert!(key.open(1, b"short").is_none());
    }
}
