//! Reads the tar archives of strangers. A few kilobytes of gzip can hold gigabytes, and not only in
//! files: long names, and what stands behind a folder, have to be read to get past them. So the whole
//! stream has a bound, and not only the content of the files.

use std::io::{self, Read};

/// The most bytes that an entry takes beside its content: its header, headers for a long name with
/// that name, and what fills up the last block.
const LARGEST_OVERHEAD: u64 = 4 << 10;
/// What `tar` writes behind the last entry.
const LARGEST_END: u64 = 1 << 20;

/// A tar whose files may have `content` bytes together, in `entries` entries. Who reads further gets an
/// error that [`is_too_large`] knows.
pub fn bounded<R: Read>(stream: R, content: u64, entries: usize) -> tar::Archive<Bounded<R>> {
    let left = content + entries as u64 * LARGEST_OVERHEAD + LARGEST_END;
    tar::Archive::new(Bounded { stream, left })
}

/// Whether an archive could not be read because it is larger than it may be.
pub fn is_too_large(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::FileTooLarge
}

/// A stream that fails after so many bytes.
#[derive(Debug)]
pub struct Bounded<R> {
    stream: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_long_name(length: usize) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (kind, size) in [(tar::EntryType::GNULongName, length), (tar::EntryType::Regular, 0)] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(size as u64);
            header.set_cksum();
            archive.append(&header, vec![b'a'; size].as_slice()).expect("writing to memory");
        }
        archive.into_inner().expect("writing to memory")
    }

    fn first_entry(tar: &[u8]) -> io::Result<usize> {
        let mut archive = bounded(tar, 0, 1);
        let entry = archive.entries()?.next().expect("the archive has an entry")?;
        Ok(entry.path_bytes().len())
    }

    #[test]
    fn a_long_name_counts() {
        assert_eq!(first_entry(&with_long_name(200)).expect("it is small enough"), 200);
        let error = first_entry(&with_long_name(2 << 20)).expect_err("it is too large");
        assert!(is_too_large(&error), "{error}");
    }

    #[test]
    fn an_archive_that_ends_early_is_not_too_large() {
        let tar = with_long_name(2_000);
        let error = first_entry(&tar[..1_024]).expect_err("it is cut off");
        assert!(!is_too_large(&error), "{error}");
    }
}
