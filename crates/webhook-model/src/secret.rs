//! Signing secrets: kept as typed, never shown.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::{Invalid, InvalidKind};

const LENGTH: std::ops::RangeInclusive<usize> = 16..=256;
const PREFIX: &str = "whsec_";

/// A signing secret. Wiped from memory when dropped; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret {
    typed: Zeroizing<String>,
    key: Zeroizing<Vec<u8>>,
}

impl SigningSecret {
    /// Reads a secret as somebody typed it: 16 to 256 visible ASCII characters; behind `whsec_`, valid base64.
    ///
    /// # Errors
    /// [`InvalidKind::Secret`] on the field `secret`; the message does not repeat it.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refused = |message: &str| Err(Invalid::new(InvalidKind::Secret, "secret", message));
        if !LENGTH.contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return refused("expected 16 to 256 visible ASCII characters without spaces");
        }
        let key = match text.strip_prefix(PREFIX) {
            None => text.as_bytes().to_vec(),
            Some(encoded) => match STANDARD.decode(encoded) {
                Ok(key) if !key.is_empty() => key,
                _ => {
                    return refused(
                        "behind whsec_ expected standard base64 with padding (as Standard Webhooks has it)",
                    );
                }
            },
        };
        Ok(Self { typed: Zeroizing::new(text.to_owned()), key: Zeroizing::new(key) })
    }

    /// The secret as typed: the key of `X-MCP-Signature`.
    pub fn expose(&self) -> &str {
        &self.typed
    }

    /// The key of `webhook-signature`: the decoded part of a `whsec_` secret, else the secret as typed.
    pub fn standard_key(&self) -> &[u8] {
        &self.key
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_visible_ascii_of_a_fair_length() {
        #[track_caller]
        fn check(text: &str, accepted: bool) {
            let read = SigningSecret::parse(text);
            assert_eq!(read.is_ok(), accepted, "{text:?}");
            if let Err(error) = read {
                assert!(text.is_empty() || !error.to_string().contains(text), "{error}");
            }
        }
        check("0123456789abcdef", true);
        check(&"x".repeat(256), true);
        check("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", true);
        for wrong in [
            "",
            "0123456789abcde",
            &"x".repeat(257),
            "0123456789 abcdef",
            "0123456789abcdef\n",
            "0123456789abcdé0",
        ] {
            check(wrong, false);
        }
        for wrong in ["whsec_not*base64*at*all", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "whsec_=========="]
        {
            check(wrong, false);
        }
    }

    #[test]
    fn the_key_is_what_the_prefix_hides() {
        let secret = SigningSecret::parse("whsec_AAECAwQFBgcICQoLDA0ODw==").unwrap();
        assert_eq!(secret.standard_key(), (0..16).collect::<Vec<u8>>());
        assert_eq!(format!("{secret:?}"), "SigningSecret(..)");
    }
}
