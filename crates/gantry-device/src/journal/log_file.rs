//! A file of lines that only grows: each line with a checksum, one write and one sync for each that
//! counts. What a power cut tore off at the end was never promised to anybody, and is dropped. When most
//! of the file is of no use any more, it is replaced as a whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};

use margo_contract::digest::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::state_dir::{StateDir, StateError};

const CHECKSUM: usize = 16;

/// The file, open for more lines.
#[derive(Debug)]
pub(super) struct LogFile {
    name: &'static str,
    file: File,
    /// The end of the last whole line, in bytes.
    length: u64,
}

/// Whether the power may fail right after a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    Now,
    /// With the next line that is durable at once, or when the system gets to it.
    Later,
}

/// What was in a file.
#[derive(Debug)]
pub(super) struct Lines<T> {
    pub(super) whole: Vec<T>,
    /// All bytes of it, when lines that once were whole cannot be read.
    pub(super) damaged: Option<Vec<u8>>,
}

impl LogFile {
    /// Opens the file or makes an empty one, and reads what is whole in it.
    pub(super) fn open<T: DeserializeOwned>(
        name: &'static str,
        state: &StateDir,
    ) -> Result<(Self, Lines<T>), StateError> {
        let Some(bytes) = state.load_bytes(name)? else {
            let empty = Lines { whole: Vec::new(), damaged: None };
            return Ok((Self::make(name, &[], state)?, empty));
        };
        let (lines, length) = parse(&bytes);
        let is_damaged = lines.iter().any(Option::is_none);
        let whole = lines.into_iter().flatten().collect();
        let mut log = Self { name, file: open(name, state)?, length: length as u64 };
        log.forget_after_end().map_err(|cause| failed(name, state, cause))?;
        Ok((log, Lines { whole, damaged: is_damaged.then_some(bytes) }))
    }

    /// What is whole in a file that belongs to another program.
    pub(super) fn look<T: DeserializeOwned>(
        name: &str,
        state: &StateDir,
    ) -> Result<Vec<T>, StateError> {
        let bytes = state.load_bytes(name)?.unwrap_or_default();
        Ok(parse(&bytes).0.into_iter().flatten().collect())
    }

    /// Replaces the file by one with these lines, durably.
    pub(super) fn replace<'a, T: Serialize + 'a>(
        &mut self,
        lines: impl IntoIterator<Item = &'a T>,
        state: &StateDir,
    ) -> Result<(), StateError> {
        let mut bytes = Vec::new();
        for it in lines {
            bytes.extend_from_slice(&line(it).map_err(|cause| failed(self.name, state, cause))?);
        }
        *self = Self::make(self.name, &bytes, state)?;
        Ok(())
    }

    /// Adds a line. When that fails, the file is as it was.
    pub(super) fn append<T: Serialize>(
        &mut self,
        document: &T,
        durability: Durability,
        state: &StateDir,
    ) -> Result<(), StateError> {
        let mut write = || -> io::Result<u64> {
            let line = line(document)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            self.file.write_all(&line)?;
            if durability == Durability::Now {
                self.file.sync_data()?;
            }
            Ok(line.len() as u64)
        };
        match write() {
            Ok(length) => {
                self.length += length;
                Ok(())
            }
            Err(cause) => {
                // Half a line may be there. If it cannot be taken away, the next one is written over it.
                let _ = self.forget_after_end();
                Err(failed(self.name, state, cause))
            }
        }
    }

    /// The length of the file, in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    fn make(name: &'static str, bytes: &[u8], state: &StateDir) -> Result<Self, StateError> {
        state.save_bytes(name, bytes)?;
        Ok(Self { name, file: open(name, state)?, length: bytes.len() as u64 })
    }

    fn forget_after_end(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)
    }
}

fn open(name: &str, state: &StateDir) -> Result<File, StateError> {
    let opened = OpenOptions::new().write(true).open(state.join(name));
    opened.map_err(|cause| failed(name, state, cause))
}

fn failed(name: &str, state: &StateDir, cause: io::Error) -> StateError {
    StateError::Io { what: "write", path: state.join(name), cause }
}

/// The checksum, a blank, and JSON, which has no line breaks.
fn line<T: Serialize>(document: &T) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(document)?;
    Ok([checksum(&json).as_bytes(), b" ", &json, b"\n"].concat())
}

fn checksum(bytes: &[u8]) -> String {
    let digits = Digest::of(bytes).to_string();
    digits.trim_start_matches("sha256:").chars().take(CHECKSUM).collect()
}

/// The lines, nothing for each that is damaged, and where the last of them ends.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> (Vec<Option<T>>, usize) {
    let whole = bytes.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1);
    let lines = bytes[..whole].split_inclusive(|it| *it == b'\n');
    (lines.map(|line| read_line(&line[..line.len() - 1])).collect(), whole)
}

fn read_line<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let (sum, rest) = line.split_at_checked(CHECKSUM)?;
    let json = rest.strip_prefix(b" ")?;
    (checksum(json).as_bytes() == sum).then(|| serde_json::from_slice(json).ok())?
}

#[cfg(test)]
impl LogFile {
    /// Writes into another file from now on.
    pub(super) fn divert(&mut self, file: File) {
        self.file = file;
    }
}
