//! Bearer tokens: made at random, compared in constant time.

use std::{fs, path::Path};

use anyhow::{Result, bail};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{advice::Advise, private::write_private};

/// A token's shortest length. The ones made here have 43 characters.
const SHORTEST: usize = 24;

/// Tokens that are all valid: one a line, so that a new one can be added before the old one goes.
#[derive(Clone)]
pub struct Tokens(Vec<Token>);

/// What is kept of one, instead of the token itself.
#[derive(Clone)]
struct Token {
    digest: [u8; 32],
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

impl Tokens {
    /// Reads a token file.
    ///
    /// # Errors
    /// It cannot be read, is empty, or holds a token that could be guessed.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .advise(format!("the token file {}", path.display()), "look whose it is")?;
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            bail!("the token file {} is empty; delete it and a new token is made", path.display());
        }
        if lines.iter().any(|line| line.len() < SHORTEST || !line.bytes().all(|b| b.is_ascii_graphic())) {
            bail!(
                "a token in {} is shorter than {SHORTEST} visible ASCII characters; write a longer one, such as that of: \
                 openssl rand -hex 32",
                path.display()
            );
        }
        lines.iter().map(|line| Token::of(line)).collect::<Result<_>>().map(Self)
    }

    /// Whether `token` is one of them. Takes as long for each wrong one.
    pub fn contains(&self, token: &str) -> bool {
        let given = digest(token);
        self.0.iter().fold(subtle::Choice::from(0), |found, known| found | known.digest.ct_eq(&given)).into()
    }

    /// For each of them the lower-case hex of HMAC-SHA256(token, "mcp-webhookd:" and the challenge): who knows one can
    /// tell that this process knows it, and nobody learns it.
    pub fn proofs(&self, challenge: &str) -> impl Iterator<Item = String> {
        self.0.iter().map(move |token| {
            let mac = token.mac.clone().chain_update("mcp-webhookd:").chain_update(challenge);
            mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
        })
    }
}

impl Token {
    fn of(text: &str) -> Result<Self> {
        let mac = Hmac::new_from_slice(text.as_bytes()).map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Self { digest: digest(text), mac })
    }
}

/// A step of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// A new token comes first in the file; those before stay, for nobody knows which of them Odoo has.
    Begin,
    /// Only the newest token stays.
    Finish,
}

/// Who may call.
#[derive(Debug)]
pub struct Callers {
    /// The addon.
    pub addon: Tokens,
    /// The sidecar's own commands.
    pub admin: Tokens,
}

/// Makes one step of a rotation in a token file.
///
/// # Errors
/// The file could not be read or written.
pub fn rotate(path: &Path, step: Rotation) -> Result<()> {
    let before = fs::read_to_string(path)
        .advise(format!("the token file {}", path.display()), "start the sidecar once, then it is there")?;
    let mut tokens: Vec<&str> = before.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let new = random()?;
    match step {
        Rotation::Begin => tokens.insert(0, &new),
        Rotation::Finish => tokens.truncate(1),
    }
    let after = format!("{}\n", tokens.join("\n"));
    write_private(path, after.as_bytes())
}

/// Digests have one length, so that comparing them tells nothing about the token's.
fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// A new token: 256 random bits in base64url.
///
/// # Errors
/// The system's random source failed.
pub fn random() -> Result<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0; 43];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the random source failed: {error}"))?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_keeps_the_old_token_until_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let old = random().unwrap();
        fs::write(&path, format!("{old}\n")).unwrap();
        rotate(&path, Rotation::Begin).unwrap();
        let tokens = Tokens::read(&path).unwrap();
        let new = fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
        assert!(new != old && tokens.contains(&new) && tokens.contains(&old));
        // Whoever rotates again has lost the new one, or forgotten where he was.
        rotate(&path, Rotation::Begin).unwrap();
        let tokens = Tokens::read(&path).unwrap();
        assert!(tokens.contains(&new) && tokens.contains(&old), "Odoo may have either of them");
        let newest = fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
        rotate(&path, Rotation::Finish).unwrap();
        let tokens = Tokens::read(&path).unwrap();
        assert!(tokens.contains(&newest) && !tokens.contains(&new) && !tokens.contains(&old));
    }

    /// Made by Python's `hmac`, which is what the addon has.
    #[test]
    fn a_proof_is_the_keyed_digest_of_the_challenge() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, format!("{}\n{}\n", "k".repeat(24), random().unwrap())).unwrap();
        let proofs: Vec<_> = Tokens::read(&path).unwrap().proofs(&"c".repeat(32)).collect();
        assert_eq!(proofs.len(), 2);
        assert_eq!(proofs[0], "5ddd56bb77190bd08bc5acc3b8e6ca7381d5e8e9cabcaf7831585f766f9bdf4d");
        assert_ne!(proofs[0], proofs[1]);
    }

    #[test]
    fn every_line_is_valid_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let (old, new) = (random().unwrap(), random().unwrap());
        fs::write(&path, format!("{old}\n\n {new} \n")).unwrap();
        let tokens = Tokens::read(&path).unwrap();
        assert!(tokens.contains(&old) && tokens.contains(&new));
        for wrong in ["", &old[1..], &format!("{old} "), &random().unwrap()] {
            assert!(!tokens.contains(wrong));
        }
        for bad in ["", "\n", "short\n"] {
            fs::write(&path, bad).unwrap();
            assert!(Tokens::read(&path).is_err(), "{bad:?}");
        }
    }
}
