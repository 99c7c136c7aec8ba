//! A file that is looked at: reads come from it, writes stay in memory.

use std::{
    collections::HashMap,
    io,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use redb::{BackendError, StorageBackend};

const BLOCK: usize = 4096;

/// What would become of a file. Locks are the file's own, so that nobody works on what is being looked at.
#[derive(Debug)]
pub(crate) struct Overlay {
    under: Box<dyn StorageBackend>,
    over: Mutex<Over>,
}

#[derive(Debug)]
struct Over {
    len: u64,
    /// Up to here the file's own bytes count, where no block replaces them.
    visible: u64,
    blocks: HashMap<u64, Box<[u8]>>,
}

impl Overlay {
    pub fn new(under: Box<dyn StorageBackend>) -> io::Result<Self> {
        let len = under.len()?;
        Ok(Self { under, over: Mutex::new(Over { len, visible: len, blocks: HashMap::new() }) })
    }

    fn over(&self) -> MutexGuard<'_, Over> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file's own bytes of a block; zeros behind its end.
    fn own(&self, visible: u64, block: u64) -> io::Result<Box<[u8]>> {
        let mut bytes = vec![0; BLOCK];
        let start = block * BLOCK as u64;
        let length = visible.saturating_sub(start).min(BLOCK as u64) as usize;
        if length > 0 {
            self.under.read(start, &mut bytes[..length])?;
        }
        Ok(bytes.into())
    }
}

/// The pieces of a range, by block: the block, the range within it, the range within the whole.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % BLOCK as u64) as usize;
        let taken = (BLOCK - within).min(length - done);
        let piece = (at / BLOCK as u64, within..within + taken, done);
        done += taken;
        Some(piece)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.over().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let over = self.over();
        if offset + out.len() as u64 > over.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let is_own = pieces(offset, out.len()).all(|(block, ..)| !over.blocks.contains_key(&block));
        if is_own && offset + out.len() as u64 <= over.visible {
            return self.under.read(offset, out);
        }
        for (block, within, done) in pieces(offset, out.len()) {
            let target = &mut out[done..done + within.len()];
            match over.blocks.get(&block) {
                Some(bytes) => target.copy_from_slice(&bytes[within]),
                None => target.copy_from_slice(&self.own(over.visible, block)?[within]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut over = self.over();
        if len < over.len {
            // What is cut off is zeros when the file grows again.
            let last = len / BLOCK as u64;
            over.blocks.retain(|block, _| *block <= last);
            if let Some(bytes) = over.blocks.get_mut(&last) {
                bytes[(len % BLOCK as u64) as usize..].fill(0);
            }
            over.visible = over.visible.min(len);
        }
        over.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut over = self.over();
        let visible = over.visible;
        for (block, within, done) in pieces(offset, data.len()) {
            let piece = &data[done..done + within.len()];
            if let Some(bytes) = over.blocks.get_mut(&block) {
                bytes[within].copy_from_slice(piece);
                continue;
            }
            let mut bytes = self.own(visible, block)?;
            bytes[within].copy_from_slice(piece);
            over.blocks.insert(block, bytes);
        }
        over.len = over.len.max(offset + data.len() as u64);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.under.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.under.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.under.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.under.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.under.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.under.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.under.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;

    use super::*;

    proptest! {
        /// Whatever is done to it, it reads like a file to which that was done, and the file under it stays.
        #[test]
        fn it_is_like_the_file_and_the_file_stays(
            length in 0..9000_u64,
            steps in prop::collection::vec((0..3_u8, 0..12_000_u64, 0..9000_usize, any::<u8>()), 0..20),
        ) {
            let file = || {
                let file = InMemoryBackend::new();
                file.set_len(length).unwrap();
                file.write(0, &vec![7; length as usize]).unwrap();
                file
            };
            let all = |file: &dyn StorageBackend| {
                let mut bytes = vec![0; file.len().unwrap() as usize];
                file.read(0, &mut bytes).unwrap();
                bytes
            };
            let (plain, overlay) = (file(), Overlay::new(Box::new(file())).unwrap());
            for (what, at, size, byte) in steps {
                if what == 0 {
                    plain.set_len(at).unwrap();
                    overlay.set_len(at).unwrap();
                } else if at + size as u64 <= plain.len().unwrap() {
                    plain.write(at, &vec![byte; size]).unwrap();
                    overlay.write(at, &vec![byte; size]).unwrap();
                }
                prop_assert_eq!(all(&plain), all(&overlay));
            }
            prop_assert_eq!(all(&*overlay.under), vec![7; length as usize]);
        }
    }
}
