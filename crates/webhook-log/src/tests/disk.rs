//! Disks that fail in the ways of kernels: a page that was not written looks as if it had been, and a read fails.

use super::*;

/// A disk behind a cache. A sync that fails makes the pages clean that it did not write, as Linux does: the cache shows
/// them, and no later sync writes them.
#[derive(Debug, Clone, Default)]
struct Cached {
    files: [Arc<Mutex<Pages>>; 2],
    which: usize,
    fail_syncs: Arc<AtomicUsize>,
    fail_reads: Arc<AtomicBool>,
    fired: Arc<AtomicUsize>,
}

#[derive(Debug, Clone, Default)]
struct Pages {
    cache: Vec<u8>,
    platter: Vec<u8>,
    /// What the next sync writes: place and bytes; a length alone is a change of size.
    dirty: Vec<(usize, Vec<u8>)>,
    sizes: Vec<usize>,
}

impl Cached {
    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.files[self.which].lock().unwrap()
    }

    /// The power fails: what is on the platters is left.
    fn power_cut(&self) -> Self {
        let cut = |pages: &Arc<Mutex<Pages>>| {
            let platter = pages.lock().unwrap().platter.clone();
            Arc::new(Mutex::new(Pages { cache: platter.clone(), platter, ..Pages::default() }))
        };
        Self { files: [cut(&self.files[0]), cut(&self.files[1])], ..Self::default() }
    }
}

impl StorageBackend for Cached {
    fn len(&self) -> io::Result<u64> {
        Ok(self.pages().cache.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.fail_reads.load(SeqCst) {
            self.fired.fetch_add(1, SeqCst);
            return Err(io::Error::other("the disk said no"));
        }
        let (pages, start) = (self.pages(), offset as usize);
        out.copy_from_slice(pages.cache.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut pages = self.pages();
        pages.cache.resize(len as usize, 0);
        pages.sizes.push(len as usize);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut pages = self.pages();
        let (dirty, sizes) = (std::mem::take(&mut pages.dirty), std::mem::take(&mut pages.sizes));
        sizes.into_iter().for_each(|len| pages.platter.resize(len, 0));
        if self.fail_syncs.load(SeqCst) > 0 {
            self.fail_syncs.fetch_sub(1, SeqCst);
            self.fired.fetch_add(1, SeqCst);
            return Err(io::Error::other("the disk said no"));
        }
        for (at, bytes) in dirty {
            if pages.platter.len() >= at + bytes.len() {
                pages.platter[at..at + bytes.len()].copy_from_slice(&bytes);
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (mut pages, start) = (self.pages(), offset as usize);
        pages.cache[start..start + data.len()].copy_from_slice(data);
        pages.dirty.push((start, data.to_vec()));
        Ok(())
    }
}

impl Medium for Cached {
    const JOURNAL: u64 = 64 << 10;

    fn open(&mut self) -> Result<redb::Database, OpenError> {
        Ok(medium::builder().create_with_backend(self.clone())?)
    }

    fn look(&mut self) -> Result<Option<Box<dyn StorageBackend>>, OpenError> {
        Ok((self.len()? > 0).then(|| Box::new(self.clone()) as Box<dyn StorageBackend>))
    }

    fn journal(&mut self) -> Result<Option<Box<dyn StorageBackend>>, OpenError> {
        let journal = self.make_journal()?;
        Ok((journal.len()? > 0).then_some(journal))
    }

    fn make_journal(&mut self) -> Result<Box<dyn StorageBackend>, OpenError> {
        Ok(Box::new(Self { which: 1, ..self.clone() }))
    }

    /// Pages that are clean go; the others are still to be written.
    fn distrust(&mut self) {
        for pages in &self.files {
            let mut pages = pages.lock().unwrap();
            let Pages { platter, dirty, sizes, .. } = pages.clone();
            pages.cache = platter;
            sizes.into_iter().for_each(|len| pages.cache.resize(len, 0));
            for (at, bytes) in dirty {
                pages.cache[at..at + bytes.len()].copy_from_slice(&bytes);
            }
        }
    }
}

/// Waits until the log works again.
fn healed(log: &Log) {
    let mut health = log.health();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(health.wait_for(|health| *health == Health::Ready)).unwrap();
}

#[test]
fn what_is_acknowledged_behind_a_failed_sync_outlives_a_power_cut() {
    // Wherever the failure hits: a record, a title, the store's own commit, or the opening behind it.
    for (before, failures) in (0..24).flat_map(|before| [1, 2, 5].map(|failures| (before, failures))) {
        let disk = Cached::default();
        let log = Log::open(disk.clone(), SealingKey::new(&KEY)).unwrap();
        log.change_subscriptions(|set| drop(set.put(subscription(1)))).wait().unwrap();
        let mut acknowledged = Vec::new();
        for id in 1..=40 {
            if id == 10 + before {
                disk.fail_syncs.store(failures, SeqCst);
            }
            match log.accept(vec![submission(id, 1)], NOW, Millis(0)).wait() {
                Ok(_) => acknowledged.push(id),
                Err(Unavailable) => healed(&log),
            }
        }
        assert_eq!(disk.fired.load(SeqCst), failures, "the fault fired");
        let left = open_cached(&disk.power_cut());
        sound(&left);
        for id in acknowledged {
            let found = left.read(|s| s.attempts(EventId::from_u128(id))).unwrap();
            assert!(found.is_some(), "sync {before} failed {failures} times: event {id} is lost");
        }
    }
}

fn open_cached(disk: &Cached) -> Log {
    Log::open(disk.clone(), SealingKey::new(&KEY)).unwrap()
}

#[test]
fn a_read_that_fails_is_told_at_once_and_heals_without_a_write() {
    let disk = Cached::default();
    let log = open_cached(&disk);
    log.change_subscriptions(|set| drop(set.put(subscription(1)))).wait().unwrap();
    let large = |id| Submission { body: vec![b'x'; 200 << 10].into(), ..submission(id, 1) };
    (1..=100).for_each(|id| drop(accept(&log, vec![large(id)])));
    disk.fail_reads.store(true, SeqCst);
    let all =
        |log: &Log| (1..=100).try_for_each(|id| log.read(|s| s.attempts(EventId::from_u128(id))).map(drop));
    assert_eq!(all(&log), Err(Unavailable), "more than the cache of redb holds");
    assert!(!log.health().borrow().works(), "whoever asks is told");
    assert!(disk.fired.load(SeqCst) > 0, "the fault fired");
    disk.fail_reads.store(false, SeqCst);
    healed(&log);
    assert_eq!(all(&log), Ok(()));
    assert_eq!(accept(&log, vec![submission(1000, 1)]), [Acceptance::Accepted]);
    sound(&log);
}

#[test]
fn nobody_waits_for_a_compaction_that_waits_for_a_long_reader() {
    let (_, log) = with(&[1]);
    let reader = log.clone();
    let ((begun, wait), (end, ended)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
    let looking = std::thread::spawn(move || {
        reader.read(|_| {
            begun.send(()).unwrap();
            ended.recv().unwrap();
            Ok(())
        })
    });
    wait.recv().unwrap();
    assert_eq!(log.compact().wait(), Err(Unavailable), "somebody reads at length");
    assert_eq!(accept(&log, vec![submission(1, 1)]), [Acceptance::Accepted], "and everybody else goes on");
    log.read(|s| s.pending()).unwrap();
    end.send(()).unwrap();
    looking.join().unwrap().unwrap();
    assert!(log.compact().wait().is_ok());
}
