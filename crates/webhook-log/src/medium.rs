//! Where the log lives: a file that is made safely, or memory in tests.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use redb::{Database, DatabaseError, StorageBackend, StorageError, backends::FileBackend};
use sha2::{Digest, Sha256};

pub use crate::journal::Life;

/// redb's own page cache. Lanes are read in pages, so more brings little.
const CACHE_BYTES: usize = 8 << 20;

/// Something that can open the database and its journal, again after trouble.
pub trait Medium: Send {
    /// Size of the journal in bytes. With a larger one the store is synced less often, and a start after a crash takes
    /// longer: this one less than half a second.
    const JOURNAL: u64 = 16 << 20;

    /// Opens the database, and makes it where there is none.
    ///
    /// # Errors
    /// See [`OpenError`].
    fn open(&mut self) -> Result<Database, OpenError>;

    /// The database's bytes, to be looked at; none where there is none.
    ///
    /// # Errors
    /// See [`OpenError`].
    fn look(&mut self) -> Result<Option<Box<dyn StorageBackend>>, OpenError>;

    /// The journal that belongs to it, as it is; none where there is none.
    ///
    /// # Errors
    /// See [`OpenError`].
    fn journal(&mut self) -> Result<Option<Box<dyn StorageBackend>>, OpenError>;

    /// The same; where there is none, an empty one.
    ///
    /// # Errors
    /// See [`OpenError`].
    fn make_journal(&mut self) -> Result<Box<dyn StorageBackend>, OpenError>;

    /// A sync failed: what is read from now on must come from the disk itself. The system's cache may hold pages that
    /// it will never write.
    fn distrust(&mut self) {}

    /// All of it is about to be read, in no order of the disk's.
    fn read_ahead(&mut self) {}

    /// Tells whether the machine, or the file, may have become another one since the store was last open. `None`:
    /// nobody can know. Then all of the store is compared with its checksums before it is believed.
    fn life(&self) -> Option<Life> {
        None
    }
}

/// Why the store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("another process has the store open; one sidecar serves one data directory")]
    Locked,
    /// The file is not a store, or is damaged.
    #[error(
        "the store is damaged or is not a store of mcp-webhookd ({0}); restore a backup, or begin anew with \
         `mcp-webhookd recover`, which says first what would be lost"
    )]
    Damaged(String),
    /// The journal is there, the store is not.
    #[error(
        "the store is missing, but its journal, the file beside it whose name ends in -journal, is there; put the store \
         back, or restore a backup; to begin anew run `mcp-webhookd recover`"
    )]
    StoreMissing,
    /// What is sealed in the store does not open.
    #[error(
        "the store was sealed with another key than the present one; put the key back that belongs to it; if it is lost, \
         `mcp-webhookd recover --forget-secrets` goes on without the secrets, which Odoo then sends again"
    )]
    WrongKey,
    /// What was committed since the store's last sync cannot be read.
    #[error(
        "the store was not closed, and its journal, the file beside it whose name ends in -journal, cannot be used: {0}; put \
         that file back, or restore a backup; to go on with what can be read run `mcp-webhookd recover`, which says first \
         what would be lost"
    )]
    JournalLost(String),
    /// Written by a newer version.
    #[error(
        "the store has format {found}, this version reads up to {known}; install the newer mcp-webhookd again"
    )]
    Newer {
        /// What the file says.
        found: u32,
        /// What this version reads.
        known: u32,
    },
    /// The file system said no.
    #[error("the store could not be opened: {0}")]
    Io(#[from] io::Error),
    /// redb said no.
    #[error("the store could not be opened: {0}")]
    Store(#[source] Box<redb::Error>),
}

impl From<redb::Error> for OpenError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Corrupted(text) => Self::Damaged(text),
            redb::Error::Io(error) if is_cut_or_nonsense(&error) => Self::Damaged(error.to_string()),
            error => Self::Store(Box::new(error)),
        }
    }
}

/// The disk is well, and what is on it is not.
fn is_cut_or_nonsense(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

impl From<DatabaseError> for OpenError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::Locked,
            DatabaseError::Storage(StorageError::Io(error)) if is_cut_or_nonsense(&error) => {
                Self::Damaged(error.to_string())
            }
            DatabaseError::Storage(StorageError::Io(error)) => Self::Io(error),
            DatabaseError::Storage(StorageError::Corrupted(text)) => Self::Damaged(text),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// A file. It comes into being whole: made under another name, synced, renamed, and the folder synced.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    /// It is looked at closely, whatever it is.
    is_strange: bool,
}

impl File {
    /// The store in `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), is_strange: false }
    }

    /// The same, to be read from the disk and compared with its checksums.
    pub(crate) fn closely(path: impl Into<PathBuf>) -> Self {
        let mut file = Self { path: path.into(), is_strange: true };
        file.distrust();
        file
    }

    /// redb is not crash-safe before the second write of a new file's header, so that write must come before the
    /// name does.
    fn make(&self) -> Result<(), OpenError> {
        let unfinished = self.path.with_extension("unfinished");
        drop(create(&unfinished)?);
        Ok(take_name(&unfinished, &self.path)?)
    }
}

impl Medium for File {
    fn open(&mut self) -> Result<Database, OpenError> {
        match fs::metadata(&self.path) {
            Ok(found) if found.len() == 0 => {
                return Err(OpenError::Damaged("the file is empty".to_owned()));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make()?,
            Err(error) => return Err(error.into()),
        }
        open(&self.path)
    }

    fn look(&mut self) -> Result<Option<Box<dyn StorageBackend>>, OpenError> {
        let found = as_it_is(&self.path)?;
        match found.as_ref().map(|file| file.len()).transpose()? {
            Some(0) => Err(OpenError::Damaged("the file is empty".to_owned())),
            _ => Ok(found),
        }
    }

    fn journal(&mut self) -> Result<Option<Box<dyn StorageBackend>>, OpenError> {
        as_it_is(&journal(&self.path))
    }

    fn make_journal(&mut self) -> Result<Box<dyn StorageBackend>, OpenError> {
        let path = journal(&self.path);
        let is_new = !path.exists();
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path)?;
        if is_new {
            sync_folder(&path)?;
        }
        Ok(Box::new(FileBackend::new(file)?))
    }

    /// Pages that the system holds for clean are dropped, so that the next read goes to the disk.
    fn distrust(&mut self) {
        for path in [&self.path, &journal(&self.path)] {
            if let Ok(file) = fs::File::open(path) {
                let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
            }
        }
    }

    fn read_ahead(&mut self) {
        if let Ok(file) = fs::File::open(&self.path) {
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::WillNeed);
        }
    }

    /// The machine since its start, and the file: not one that was put in its place.
    fn life(&self) -> Option<Life> {
        let boot = fs::read(BOOT_ID).ok().filter(|_| !self.is_strange)?;
        let file = fs::metadata(&self.path).ok()?;
        let names = Sha256::new().chain_update(boot).chain_update(file.dev().to_le_bytes());
        // Numbers of files are used again.
        let born = file.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let names = names.chain_update(file.ino().to_le_bytes()).chain_update(born.as_nanos().to_le_bytes());
        let names = names.finalize();
        names.first_chunk().copied()
    }
}

/// Where Linux tells one start of the machine from another; `random(4)`.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A file to be looked at. On a disk that cannot be written it is not locked.
fn as_it_is(path: &Path) -> Result<Option<Box<dyn StorageBackend>>, OpenError> {
    match fs::OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => Ok(Some(Box::new(FileBackend::new(file)?))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Ok(Some(Box::new(ReadOnly(FileBackend::new(fs::File::open(path)?)?))))
        }
        Err(error) => Err(error.into()),
    }
}

/// A file without locks, which need the right to write.
#[derive(Debug)]
struct ReadOnly(FileBackend);

impl StorageBackend for ReadOnly {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// Where the journal of a store is: beside it.
pub fn journal(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push("-journal");
    name.into()
}

/// Opens a file that is there.
pub(crate) fn open(path: &Path) -> Result<Database, OpenError> {
    Ok(builder().open(path)?)
}

/// Makes a file that only its owner can read, in the place of an unfinished one.
pub(crate) fn create(unfinished: &Path) -> Result<Database, OpenError> {
    let database = builder().create_with_backend(FileBackend::new(private(unfinished)?)?)?;
    let txn = database.begin_write().map_err(redb::Error::from)?;
    txn.commit().map_err(redb::Error::from)?;
    Ok(database)
}

/// A file that goes away again, unless it was finished and has another name by then.
#[derive(Debug)]
pub(crate) struct Unfinished(PathBuf);

impl Unfinished {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A finished file gets its name, and that is on disk.
pub(crate) fn take_name(unfinished: &Path, path: &Path) -> io::Result<()> {
    fs::File::open(unfinished)?.sync_all()?;
    fs::rename(unfinished, path)?;
    sync_folder(path)
}

/// The name of a file is on disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

pub(crate) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// A new file, in the place of an unfinished one. It is the owner's alone from the start: a crash in between must not
/// leave one that the next start refuses.
pub(crate) fn private(unfinished: &Path) -> io::Result<fs::File> {
    match fs::remove_file(unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(unfinished)
}
