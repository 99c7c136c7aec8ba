//! Inputs for fuzzing: a file of the corpus with a few edits. Edits are data, so that a fuzzing engine can shrink them.

use std::{fs, path::Path, time::Duration};

/// One edit: where (taken modulo the length), how, and with which byte or word.
pub type Edit = (u16, u8, u8);
/// Which file, and what is done to it.
pub type Recipe = (u8, Vec<Edit>);

/// The files of one target, in order of their names, and the words that its grammar knows.
#[derive(Debug)]
pub struct Corpus {
    files: Vec<Vec<u8>>,
    words: &'static [&'static str],
}

impl Corpus {
    /// Reads `corpus/<target>`.
    pub fn read(target: &str, words: &'static [&'static str]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        let mut paths: Vec<_> =
            fs::read_dir(folder).expect("a corpus").map(|entry| entry.expect("a file").path()).collect();
        paths.sort();
        let files: Vec<_> = paths.iter().map(|path| fs::read(path).expect("a file")).collect();
        assert!(!files.is_empty(), "the corpus of {target} is empty");
        Self { files, words }
    }

    /// The files as they are.
    pub fn files(&self) -> &[Vec<u8>] {
        &self.files
    }

    /// The input that a recipe makes.
    pub fn cook(&self, (file, edits): &Recipe) -> Vec<u8> {
        let mut bytes = self.files[usize::from(*file) % self.files.len()].clone();
        for (at, how, what) in edits.iter().take(16) {
            let at = usize::from(*at) % (bytes.len() + 1);
            let end = (at + usize::from(*what)).min(bytes.len());
            match how % 6 {
                0 if at < bytes.len() => bytes[at] = *what,
                1 => bytes.insert(at, *what),
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let again = bytes[at..end].to_vec();
                    drop(bytes.splice(at..at, again));
                }
                4 => {
                    let other = &self.files[usize::from(*what) % self.files.len()];
                    let other = other[at.min(other.len())..].to_vec();
                    bytes.truncate(at);
                    bytes.extend(other);
                }
                _ => {
                    let word = self.words[usize::from(*what) % self.words.len()].as_bytes();
                    drop(bytes.splice(at..at, word.iter().copied()));
                }
            }
        }
        bytes
    }
}

/// How long each target is fuzzed: `FUZZ_SECONDS`, else 2 s.
pub fn time() -> Duration {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(2))
}
