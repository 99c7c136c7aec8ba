//! The data directory: who may read it, and the small files in it. Every file has mode 0600, the folder 0700.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use webhook_log::SealingKey;
use zeroize::Zeroizing;

use crate::{
    advice::Advise,
    live::Callers,
    token::{self, Tokens},
};

/// What to do about a folder that is not the sidecar's.
const OTHER_DIR: &str = "give a folder of the sidecar's own with --data-dir DIR";
/// What to do about what cannot be read or written.
const SAME_USER: &str =
    "look whose it is: everything here belongs to the sidecar's user, who runs its commands too";

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

    /// Makes the folder and its files where they are missing, and refuses those that others can read.
    ///
    /// # Errors
    /// The file system said no, or a file is open to others.
    pub fn open(&self, token_file: Option<&Path>) -> Result<Opened> {
        let folder = self.0.display();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .advise(format!("the data directory {folder} cannot be made"), OTHER_DIR)?;
        check_private(&self.0)?;
        for entry in fs::read_dir(&self.0).advise(folder, SAME_USER)? {
            check_private(&entry?.path())?;
        }
        let token_file = self.token_file(token_file);
        if make_token(&token_file)? {
            tracing::info!(file = %token_file.display(), "made a bearer token; Odoo needs what is in this file");
        }
        make_token(&self.admin_token())?;
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let key = self.sealing_key(credentials.as_deref())?;
        Ok(Opened { callers: self.read_callers(&token_file)?, key })
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

    /// The key that seals secrets in the store, and the one before it while it is being replaced.
    ///
    /// It is systemd's credential `key`, else the file `key`. What it replaces is `key.old` beside it, or, where the
    /// credential is new, the file `key`.
    fn sealing_key(&self, credentials: Option<&Path>) -> Result<SealingKey> {
        let credential = match credentials {
            Some(folder) => read_key(&folder.join("key"))?,
            None => None,
        };
        let (file, old) = (read_key(&self.key())?, read_key(&self.old_key())?);
        let (present, before) = match (credential, file) {
            (Some(credential), file) => {
                let beside =
                    credentials.map(|folder| read_key(&folder.join("key.old"))).transpose()?.flatten();
                (credential, beside.or(file).or(old))
            }
            (None, Some(file)) => (file, old),
            (None, None) if old.is_none() && self.store().exists() => bail!(
                "{} is missing, but there is a store that was written with it; restore it from a backup, or move {} away to begin anew",
                self.key().display(),
                self.store().display()
            ),
            (None, None) => {
                let (_, bytes) = SealingKey::generate().context("make a sealing key")?;
                write_private(&self.key(), bytes.as_slice())?;
                (bytes, old)
            }
        };
        let key = SealingKey::new(&present);
        Ok(before.map_or(key.clone(), |before| key.replacing(&before)))
    }

    /// The key before the present one: to replace a key, rename `key` to this, and start.
    fn old_key(&self) -> PathBuf {
        self.0.join("key.old")
    }
}

/// A key file's 32 bytes, or none where there is no such file.
fn read_key(path: &Path) -> Result<Option<Zeroizing<[u8; 32]>>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).advise(path.display(), SAME_USER),
    };
    check_not_world_readable(path)?;
    match bytes.as_slice().try_into() {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(_) => {
            bail!("{} has {} bytes, 32 are expected; restore it from a backup", path.display(), bytes.len())
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

/// Writes a file that only its owner can read, whole or not at all.
///
/// # Errors
/// The file system said no.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = path.with_extension("unfinished");
    let write = || -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    };
    write().advise(format!("{} cannot be written", path.display()), SAME_USER)
}

/// A file or folder that others can read is refused: it may hold secrets.
///
/// # Errors
/// It is open to others, or is not there.
pub fn check_private(path: &Path) -> Result<()> {
    let place = path.display();
    let found = fs::metadata(path).advise(&place, "look whether it is there, and whose it is")?;
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 && found.is_dir() {
        // Not everybody who names a folder by mistake should close it.
        bail!(
            "{place} is open to others (mode {mode:o}); if it is the sidecar's alone, run: chmod 700 {place}; else {OTHER_DIR}"
        );
    }
    if mode & 0o077 != 0 {
        bail!("{place} is open to others (mode {mode:o}); run: chmod 600 {place}");
    }
    Ok(())
}

/// A file outside the data directory is refused when everybody can read it. A group may: keys of certificates often
/// have one, and systemd's credentials show one.
///
/// # Errors
/// It is open to everybody, or is not there.
pub fn check_not_world_readable(path: &Path) -> Result<()> {
    let found = fs::metadata(path).advise(path.display(), "look whether it is there, and whose it is")?;
    let mode = found.mode() & 0o777;
    if mode & 0o007 != 0 {
        bail!("{} is open to everybody (mode {mode:o}); run: chmod o= {}", path.display(), path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
