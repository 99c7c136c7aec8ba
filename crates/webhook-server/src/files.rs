//! The data directory: who may read it, and the small files in it. Every file has mode 0600, the folder 0700.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use webhook_log::{SealingKey, medium};
use zeroize::Zeroizing;

use crate::{
    advice::Advise,
    private::{OTHER_DIR, SAME_USER, check_not_world_readable, check_private, write_private},
    token::{self, Callers, Tokens},
};

/// Where the sidecar keeps what must outlive it.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

/// What is made on the first start, and read on every one.
pub struct Opened {
    /// Who may call.
    pub callers: Callers,
    /// For what is sealed in the store.
    pub key: SealingKey,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opened(..)")
    }
}

impl DataDir {
    /// `given`, else `$STATE_DIRECTORY`, else `$XDG_STATE_HOME/mcp-webhookd`, else `~/.local/state/mcp-webhookd`.
    ///
    /// # Errors
    /// None of them is set.
    pub fn choose(given: Option<PathBuf>) -> Result<Self> {
        let variable =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let chosen = given
            .or_else(|| variable("STATE_DIRECTORY"))
            .or_else(|| variable("XDG_STATE_HOME").map(|home| home.join("mcp-webhookd")))
            .or_else(|| variable("HOME").map(|home| home.join(".local/state/mcp-webhookd")));
        match chosen {
            Some(path) => Ok(Self(path)),
            None => bail!(
                "no data directory: give --data-dir DIR, or set STATE_DIRECTORY, XDG_STATE_HOME or HOME"
            ),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.0.join("log.redb")
    }

    /// Whether there is a store, or what is left of one.
    pub fn has_store(&self) -> bool {
        self.store().exists() || medium::journal(&self.store()).exists()
    }

    /// What secrets in the store are sealed with.
    pub fn key(&self) -> PathBuf {
        self.0.join("key")
    }

    /// The addon's token, unless the configuration names another file.
    pub fn token(&self) -> PathBuf {
        self.0.join("token")
    }

    /// The token of the sidecar's own commands.
    pub fn admin_token(&self) -> PathBuf {
        self.0.join("admin_token")
    }

    /// Where the running sidecar listens.
    pub fn address(&self) -> PathBuf {
        self.0.join("address")
    }

    /// Where the running MCP server listens.
    pub fn mcp_address(&self) -> PathBuf {
        self.0.join("mcp_address")
    }

    /// Names the Unix socket on which the running sidecar listens; empty where there is none.
    pub fn socket_path(&self) -> PathBuf {
        self.0.join("socket_path")
    }

    /// Makes the folder and its files where they are missing, and refuses those that others can read.
    ///
    /// # Errors
    /// The file system said no, or a file is open to others.
    pub fn open(&self, token_file: Option<&Path>) -> Result<Opened> {
        let key = self.key_for_start()?;
        Ok(Opened { callers: self.callers_for_start(token_file)?, key })
    }

    /// The folder, made where it is missing and refused where others can read it, and the key in it. A new key is made
    /// only where nothing is sealed yet.
    ///
    /// # Errors
    /// The file system said no, a file is open to others, or the key of a store is missing.
    pub fn key_for_start(&self) -> Result<SealingKey> {
        let folder = self.0.display();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .advise(format!("the data directory {folder} cannot be made"), OTHER_DIR)?;
        self.check_entries()?;
        match self.read_keys()? {
            (None, Some(before)) => Ok(self.new_key()?.replacing(&before)),
            (Some(_), _) => self.present_key()?.ok_or_else(|| self.key_is_missing()),
            _ if self.has_store() => Err(self.key_is_missing()),
            _ => self.new_key(),
        }
    }

    /// Makes a key where there is none.
    ///
    /// # Errors
    /// The file system said no.
    pub fn new_key(&self) -> Result<SealingKey> {
        let (key, bytes) = SealingKey::generate().context("make a sealing key")?;
        write_private(&self.key(), bytes.as_slice())?;
        Ok(key)
    }

    /// Puts a new key in the place of one that cannot be used, which stays beside it.
    ///
    /// # Errors
    /// The file system said no.
    pub fn replace_key(&self, bytes: &[u8]) -> Result<()> {
        let key = self.key();
        if key.exists() {
            let kept = key.with_extension("discarded");
            fs::rename(&key, &kept).advise(format!("{} cannot be moved away", key.display()), SAME_USER)?;
        }
        write_private(&key, bytes)
    }

    /// What to do about a store whose key is not there.
    pub fn key_is_missing(&self) -> anyhow::Error {
        anyhow!(
            "{} is missing, but there is a delivery log that was sealed with it; put the file back from where you keep it \
             beside the backups; if it is lost, `mcp-webhookd recover --forget-secrets` goes on without the secrets, which \
             Odoo then sends again",
            self.key().display()
        )
    }

    /// Refuses a folder and files that others can read.
    ///
    /// # Errors
    /// One of them is open to others.
    pub fn check_entries(&self) -> Result<()> {
        check_private(&self.0)?;
        for entry in fs::read_dir(&self.0).advise(self.0.display(), SAME_USER)? {
            check_private(&entry?.path())?;
        }
        Ok(())
    }

    /// The tokens, made where they are missing.
    ///
    /// # Errors
    /// The file system said no, or a file cannot be used.
    pub fn callers_for_start(&self, token_file: Option<&Path>) -> Result<Callers> {
        let token_file = self.token_file(token_file);
        if make_token(&token_file)? {
            tracing::info!(file = %token_file.display(), "made a bearer token; Odoo needs what is in this file");
        }
        make_token(&self.admin_token())?;
        self.read_callers(&token_file)
    }

    /// Where the addon's tokens are; `configured` is `[server] token_file`.
    pub fn token_file(&self, configured: Option<&Path>) -> PathBuf {
        configured.map_or_else(|| self.token(), Path::to_path_buf)
    }

    /// Reads the token files that are there.
    ///
    /// # Errors
    /// One of them cannot be used, or others can read it.
    pub fn callers(&self, token_file: Option<&Path>) -> Result<Callers> {
        let token_file = self.token_file(token_file);
        check_private(&token_file)?;
        check_private(&self.admin_token())?;
        self.read_callers(&token_file)
    }

    fn read_callers(&self, token_file: &Path) -> Result<Callers> {
        Ok(Callers { addon: Tokens::read(token_file)?, admin: Tokens::read(&self.admin_token())? })
    }

    /// The key that seals secrets in the store; none where there is none. Makes nothing.
    ///
    /// # Errors
    /// A key file cannot be used.
    pub fn present_key(&self) -> Result<Option<SealingKey>> {
        Ok(match self.read_keys()? {
            (Some(present), None) => Some(SealingKey::new(&present)),
            (Some(present), Some(before)) => Some(SealingKey::new(&present).replacing(&before)),
            // The next start makes its successor.
            (None, Some(before)) => Some(SealingKey::new(&before)),
            (None, None) => None,
        })
    }

    /// The key, and the one that it replaces.
    ///
    /// It is systemd's credential `key`, else the file `key`. What it replaces is `key.old` beside it, or, where the
    /// credential is new, the file `key`.
    fn read_keys(&self) -> Result<(Option<KeyBytes>, Option<KeyBytes>)> {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let beside = |name: &str| match &credentials {
            Some(folder) => read_key(&folder.join(name)),
            None => Ok(None),
        };
        let (file, old) = (read_key(&self.key())?, read_key(&self.old_key())?);
        Ok(match beside("key")? {
            Some(credential) => (Some(credential), beside("key.old")?.or(file).or(old)),
            None => (file, old),
        })
    }

    /// The key before the present one: to replace a key, rename `key` to this, and start.
    fn old_key(&self) -> PathBuf {
        self.0.join("key.old")
    }
}

type KeyBytes = Zeroizing<[u8; 32]>;

/// A key file's 32 bytes, or none where there is no such file.
fn read_key(path: &Path) -> Result<Option<KeyBytes>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).advise(path.display(), SAME_USER),
    };
    check_not_world_readable(path)?;
    match bytes.as_slice().try_into() {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(_) => {
            bail!(
                "{} has {} bytes, 32 are expected; put the right file back; if it is lost, `mcp-webhookd recover \
                 --forget-secrets` goes on without the secrets",
                path.display(),
                bytes.len()
            )
        }
    }
}

/// Makes a token file where there is none; answers whether it did.
fn make_token(path: &Path) -> Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    write_private(path, format!("{}\n", token::random()?).as_bytes())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn the_first_start_makes_private_files_and_the_second_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir(folder.path().join("data"));
        data.open(None).unwrap();
        let token = fs::read_to_string(data.token()).unwrap();
        assert!(data.open(None).unwrap().callers.addon.contains(token.trim()));
        for name in ["token", "admin_token", "key"] {
            let mode = fs::metadata(data.path().join(name)).unwrap().mode() & 0o777;
            assert_eq!(mode, 0o600, "{name}");
        }
    }

    #[test]
    fn files_that_others_can_read_are_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir(folder.path().join("data"));
        data.open(None).unwrap();
        fs::set_permissions(data.token(), fs::Permissions::from_mode(0o644)).unwrap();
        let error = data.open(None).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_store_without_its_key_is_not_started_with_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir(folder.path().join("data"));
        data.open(None).unwrap();
        fs::remove_file(data.path().join("key")).unwrap();
        write_private(&data.store(), b"x").unwrap();
        assert!(data.open(None).unwrap_err().to_string().contains("key is missing"));
    }
}
