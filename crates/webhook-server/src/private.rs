//! Files that only their owner can read.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use anyhow::{Result, bail};

use crate::advice::Advise;

/// What to do about a folder that is not the sidecar's.
pub const OTHER_DIR: &str = "give a folder of the sidecar's own with --data-dir DIR";
/// What to do about what cannot be read or written.
pub const SAME_USER: &str =
    "look whose it is: everything here belongs to the sidecar's user, who runs its commands too";

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
        // A bare name is one of the present folder.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(folder)?.sync_all()
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
