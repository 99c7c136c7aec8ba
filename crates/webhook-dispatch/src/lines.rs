//! Where log lines go: to standard error, those of one turn of the loop in one write. A write costs more than the line.

use std::{
    cell::RefCell,
    io::{self, Write},
};

/// More is not held back.
const HELD_BYTES: usize = 32 << 10;

thread_local! {
    /// What this thread holds back, while it does.
    static HELD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// A writer to standard error for whatever formats log lines.
#[derive(Debug)]
pub struct Line(());

/// The place for one line.
pub fn line() -> Line {
    Line(())
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let is_held = HELD.with_borrow_mut(|held| match held {
            Some(held) if held.len() + line.len() <= HELD_BYTES => {
                held.extend_from_slice(line);
                true
            }
            _ => false,
        });
        if !is_held {
            let before = HELD.with_borrow_mut(|held| held.as_mut().map(std::mem::take)).unwrap_or_default();
            let mut stderr = io::stderr().lock();
            stderr.write_all(&before)?;
            stderr.write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines of this thread are held back until this ends, however it ends.
pub(crate) struct Together(());

impl Together {
    pub fn begin() -> Self {
        HELD.set(Some(Vec::new()));
        Self(())
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        let held = HELD.take().unwrap_or_default();
        if !held.is_empty() {
            // As for every other line: who closed our standard error does not want them.
            let _ = io::stderr().lock().write_all(&held);
        }
    }
}
