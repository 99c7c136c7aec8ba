//! The journal: what was committed since the store was last synced, in one append and one fsync a commit.
//!
//! A durable commit of redb costs two fsyncs, and on a grown store hundreds of kilobytes for the state of its page
//! allocator. So a commit's rows go to this small file first, and to redb without a sync; only when the journal is full
//! does redb sync, and the journal begins anew. A start replays the unbroken row of records that follow the store.
//!
//! * A record says which row has which value, never "add": the row of records can be replayed over a store that has
//!   some of it already, or all of it.
//! * Its hash covers a random number, new with each sync of the store and kept in it, so that neither an older record
//!   nor bytes that somebody put into an event can be taken for one that follows.
//! * It begins on a block of its own: a write that the power cuts short damages no record that was acknowledged.
//! * The file has its full size from the start, so that an append changes no metadata, which a sync would write too.
//! * Its first two blocks are titles, each with the file's size and the number of one sync. The title of the next sync
//!   is written before it and in the place of the older one, so that the store always finds its own: a journal that was
//!   cut, or is of another state of the store, is known before anything is read from it.
//! * A title also names the life in which it was written ([`Life`]): in another one the store's pages are not believed
//!   before each was compared with its checksum, because a disk may have lost some that it said it had.

use std::io;

use redb::StorageBackend;
use sha2::{Digest, Sha256};

/// No write to a disk tears more than this apart from its neighbours.
const BLOCK: usize = 4096;
/// Length and number of the record, and the hash.
const HEADER: usize = 4 + 4 + 16;
/// What one record can carry; a commit of more is a sync of the store itself.
const LARGEST: usize = 4 << 20;
/// A commit ends here: more would only cost memory, and make the first of its callers wait.
const ENOUGH: usize = 1 << 20;
/// A title begins with this.
const MAGIC: [u8; 8] = *b"mcpwjrn3";
/// Magic, size, epoch, life, and the hash of them.
const TITLE: usize = 8 + 8 + 16 + 16 + 16;
/// Where nobody can tell lives apart.
const NO_LIFE: Life = [0; 16];
/// Two blocks of titles stand before the records.
const TITLES: u64 = 2 * BLOCK as u64;
/// Memory that is kept for the next record.
const KEPT: usize = 256 << 10;

/// The random number that names one sync of the store.
pub(crate) type Epoch = [u8; 16];

/// Names a machine since its start, and a file there: what was written in it can only be lost by a program.
pub type Life = [u8; 16];

/// A number that nobody can foretell.
///
/// # Errors
/// The random source failed.
pub(crate) fn new_epoch() -> io::Result<Epoch> {
    let mut epoch = Epoch::default();
    getrandom::fill(&mut epoch).map_err(|_| io::Error::other("the random source failed"))?;
    Ok(epoch)
}

/// What a commit changes, row by row, as it happens.
pub(crate) struct Redo {
    /// The header's place, then (table, key length, value length + 1 or 0 for a removal, key, value) for each row.
    bytes: Vec<u8>,
    /// It became too much for one record, or is not wanted.
    is_off: bool,
}

/// One row that was put or removed.
pub(crate) struct Change<'a> {
    pub table: u8,
    pub key: &'a [u8],
    /// None: removed.
    pub value: Option<&'a [u8]>,
}

impl Redo {
    /// Notes nothing: for what is not committed by way of the journal.
    pub fn off() -> Self {
        Self { bytes: Vec::new(), is_off: true }
    }

    pub fn note(&mut self, change: &Change<'_>) {
        let value = change.value.unwrap_or_default();
        if self.is_off || self.bytes.len() + change.key.len() + value.len() > LARGEST {
            *self = Self::off();
            return;
        }
        let length = change.value.map_or(0, |value| value.len() as u32 + 1);
        self.bytes.push(change.table);
        self.bytes.push(change.key.len() as u8);
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(change.key);
        self.bytes.extend(value);
    }

    /// Whether the commit should end here, and leave the rest to the next one.
    pub fn is_enough(&self) -> bool {
        self.is_off || self.bytes.len() >= ENOUGH
    }
}

/// The changes of a record, in order. What was hashed is well-formed; what is not ends the row.
pub(crate) fn changes(mut record: &[u8]) -> impl Iterator<Item = Change<'_>> {
    std::iter::from_fn(move || {
        let (&[table, key, a, b, c, d], rest) = record.split_first_chunk::<6>()?;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let (key, rest) = rest.split_at_checked(key.into())?;
        let (value, rest) = rest.split_at_checked(length.saturating_sub(1))?;
        record = rest;
        Some(Change { table, key, value: (length > 0).then_some(value) })
    })
}

/// The open journal.
pub(crate) struct Journal {
    file: Box<dyn StorageBackend>,
    size: u64,
    epoch: Epoch,
    life: Life,
    /// Which of the two titles names `epoch`.
    title: u64,
    /// Where the records begin.
    first: u64,
    /// Where the next record goes, and its number behind the sync.
    at: u64,
    number: u32,
    spare: Vec<u8>,
}

/// What a journal is to a store that was not closed.
pub(crate) enum Found {
    /// All of it.
    Whole(Journal),
    /// Its beginning.
    Cut(Journal),
    /// None of its own.
    Foreign(&'static str),
}

impl Journal {
    /// Looks for the records that follow the sync that `epoch` names, and changes nothing. Journals of format 2 had no
    /// titles and at least `untitled` bytes.
    ///
    /// # Errors
    /// The disk said no.
    pub fn find(file: Box<dyn StorageBackend>, epoch: Epoch, untitled: Option<u64>) -> io::Result<Found> {
        let length = file.len()?;
        if length == 0 {
            return Ok(Found::Foreign("it is empty"));
        }
        let titles = [read_title(&*file, 0)?, read_title(&*file, 1)?];
        let own = titles.iter().position(|title| title.as_ref().is_some_and(|title| title.epoch == epoch));
        let (size, title, first) = match (own, untitled) {
            (Some(own), _) => (titles[own].as_ref().map_or(0, |title| title.size), own as u64, TITLES),
            (None, Some(least)) if matches!(titles, [None, None]) => (least, 0, 0),
            (None, _) if matches!(titles, [None, None]) => {
                return Ok(Found::Foreign("it is cut short, or its beginning is damaged"));
            }
            (None, _) => {
                return Ok(Found::Foreign("it belongs to another state of this store, or to another store"));
            }
        };
        let journal = Self {
            file,
            size: length,
            epoch,
            life: NO_LIFE,
            title,
            first,
            at: first,
            number: 0,
            spare: Vec::new(),
        };
        Ok(if length < size { Found::Cut(journal) } else { Found::Whole(journal) })
    }

    /// Makes a journal of at least `size` bytes of whatever is there. The store must not need what it held, and was
    /// found sound in this life.
    ///
    /// # Errors
    /// The disk said no.
    pub fn make(file: Box<dyn StorageBackend>, size: u64, life: Option<Life>) -> io::Result<Self> {
        let length = file.len()?;
        if length < size {
            // Written, not only set: what is allocated at an append would be metadata to sync.
            let zeros = vec![0; KEPT];
            file.set_len(size)?;
            for at in (length..size).step_by(KEPT) {
                file.write(at, &zeros[..KEPT.min((size - at) as usize)])?;
            }
            file.sync_data()?;
        }
        let size = length.max(size);
        let life = life.unwrap_or(NO_LIFE);
        if read_title(&*file, 0)?.is_some_and(|title| title.life != life) {
            // The other one is written next, and synced.
            file.write(0, &[0; BLOCK])?;
        }
        Ok(Self {
            file,
            size,
            epoch: Epoch::default(),
            life,
            title: 0,
            first: TITLES,
            at: TITLES,
            number: 0,
            spare: Vec::new(),
        })
    }

    /// Says which sync comes next, on disk, while what belongs to the present one stays.
    ///
    /// # Errors
    /// The disk said no.
    pub fn announce(&mut self, epoch: &Epoch) -> io::Result<()> {
        let mut bytes = vec![0; BLOCK];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.size.to_le_bytes());
        bytes[16..32].copy_from_slice(epoch);
        bytes[32..48].copy_from_slice(&self.life);
        let hash = hash(epoch, &bytes[..TITLE - 16], &[]);
        bytes[TITLE - 16..TITLE].copy_from_slice(&hash);
        self.file.write((1 - self.title) * BLOCK as u64, &bytes)?;
        self.file.sync_data()
    }

    /// The store was synced and says `epoch`, which was announced: what the journal has is in the store.
    pub fn restart(&mut self, epoch: Epoch) {
        (self.epoch, self.title) = (epoch, 1 - self.title);
        (self.at, self.number) = (self.first, 0);
    }

    /// The next record behind the sync of the store; `None` where the unbroken row ends.
    ///
    /// # Errors
    /// The disk said no.
    pub fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some((content, end)) = self.record(self.at, self.number)? else { return Ok(None) };
        self.at = end.next_multiple_of(BLOCK as u64);
        self.number += 1;
        Ok(Some(content))
    }

    /// The record with this number, where it is at this place, and its end.
    fn record(&self, at: u64, number: u32) -> io::Result<Option<(Vec<u8>, u64)>> {
        if at + HEADER as u64 > self.size {
            return Ok(None);
        }
        let mut header = [0; HEADER];
        self.file.read(at, &mut header)?;
        let (length, found) = (u32::from_le_bytes(part(&header, 0)), u32::from_le_bytes(part(&header, 4)));
        let end = at + HEADER as u64 + u64::from(length);
        if found != number || end > self.size {
            return Ok(None);
        }
        let mut content = vec![0; length as usize];
        self.file.read(at + HEADER as u64, &mut content)?;
        Ok((header[8..] == hash(&self.epoch, &header[..8], &content)).then_some((content, end)))
    }

    /// Whether records follow behind the end of the unbroken row. None can, unless the disk lost what it had synced: a
    /// record is synced before the next is written.
    ///
    /// # Errors
    /// The disk said no.
    pub fn is_torn_apart(&self) -> io::Result<bool> {
        let mut header = [0; HEADER];
        let blocks = (self.at..self.size).step_by(BLOCK).take_while(|at| at + HEADER as u64 <= self.size);
        for at in blocks {
            self.file.read(at, &mut header)?;
            let found = u32::from_le_bytes(part(&header, 4));
            let is_later = found > self.number && u64::from(found) <= self.size / BLOCK as u64;
            if is_later && self.record(at, found)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a commit is to note its rows in.
    pub fn redo(&mut self) -> Redo {
        let mut bytes = std::mem::take(&mut self.spare);
        bytes.resize(HEADER, 0);
        Redo { bytes, is_off: false }
    }

    /// Makes a commit durable; answers false where it does not fit, and the store must be synced instead.
    ///
    /// # Errors
    /// The disk said no. Whether the record is there is unknown.
    pub fn append(&mut self, redo: Redo) -> io::Result<bool> {
        let Redo { mut bytes, is_off } = redo;
        if is_off || self.at + bytes.len().next_multiple_of(BLOCK) as u64 > self.size {
            return Ok(false);
        }
        let length = (bytes.len() - HEADER) as u32;
        let (header, content) = bytes.split_at_mut(HEADER);
        header[..4].copy_from_slice(&length.to_le_bytes());
        header[4..8].copy_from_slice(&self.number.to_le_bytes());
        let hash = hash(&self.epoch, &header[..8], content);
        header[8..].copy_from_slice(&hash);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        self.file.write(self.at, &bytes)?;
        self.file.sync_data()?;
        self.at += bytes.len() as u64;
        self.number += 1;
        bytes.clear();
        bytes.shrink_to(KEPT);
        self.spare = bytes;
        Ok(true)
    }
}

/// What a title tells.
struct Title {
    size: u64,
    epoch: Epoch,
    life: Life,
}

/// Whether the journal was written in this life, and in no other.
///
/// # Errors
/// The disk said no.
pub(crate) fn is_of(file: &dyn StorageBackend, life: Life) -> io::Result<bool> {
    let titles = [read_title(file, 0)?, read_title(file, 1)?];
    let mut lives = titles.iter().flatten().map(|title| title.life).peekable();
    Ok(lives.peek().is_some() && lives.all(|found| found == life))
}

/// One of the two titles; none where it is none.
fn read_title(file: &dyn StorageBackend, number: u64) -> io::Result<Option<Title>> {
    let at = number * BLOCK as u64;
    if file.len()? < at + TITLE as u64 {
        return Ok(None);
    }
    let mut bytes = [0; TITLE];
    file.read(at, &mut bytes)?;
    let epoch: Epoch = part(&bytes, 16);
    let is_one = bytes[..8] == MAGIC && bytes[TITLE - 16..] == hash(&epoch, &bytes[..TITLE - 16], &[]);
    Ok(is_one.then(|| Title { size: u64::from_le_bytes(part(&bytes, 8)), epoch, life: part(&bytes, 32) }))
}

fn hash(epoch: &Epoch, header: &[u8], content: &[u8]) -> [u8; 16] {
    let digest = Sha256::new().chain_update(epoch).chain_update(header).chain_update(content).finalize();
    part(&digest, 0)
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[at..at + N]);
    part
}
