//! The archive of a Compose component: a gzip tar with one folder that holds `compose.yaml` and the
//! files it names (contract §15.3). Both ends check it before they use it.

use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::read::GzDecoder;

use crate::bundle::tar_gz;
use crate::tar_stream;

/// The most files in one archive.
pub const MOST_FILES: usize = 2_000;
/// The most bytes that all files of an archive have together.
pub const LARGEST_UNPACKED: u64 = 64 << 20;
/// Folders count as well: each costs time.
const MOST_ENTRIES: usize = 2 * MOST_FILES;
/// The longest path of a file.
const LONGEST_PATH: usize = 250;

/// The files of an archive by their path below its one folder, with `/` between segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposeArchive {
    files: BTreeMap<String, Vec<u8>>,
}

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("the archive is not a readable tar.gz")]
    Unreadable(#[source] io::Error),
    #[error("`{0}` leads out of the archive: absolute paths and `..` are not allowed")]
    Escapes(String),
    #[error(
        "`{0}` is a link, a device or another special file; only files and folders are allowed"
    )]
    Special(String),
    #[error("`{0}` stands beside the one folder that an archive has")]
    Beside(String),
    #[error("`{0}` is there twice")]
    Twice(String),
    #[error("the path `{0}` is too long or has characters that not every system can store")]
    Path(String),
    #[error("the archive has more than {MOST_FILES} files")]
    TooMany,
    #[error("the archive unpacks to more than {LARGEST_UNPACKED} bytes")]
    TooLarge,
    #[error("the archive has no `compose.yaml` in its folder; other names are not valid")]
    NoComposeFile,
}

impl ArchiveError {
    fn of(error: io::Error) -> Self {
        if tar_stream::is_too_large(&error) { Self::TooLarge } else { Self::Unreadable(error) }
    }
}

impl ComposeArchive {
    /// Unpacks and checks an archive in memory.
    // margo(R-30, R-33, R-37)
    pub fn read(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let mut archive =
            tar_stream::bounded(GzDecoder::new(bytes), LARGEST_UNPACKED, MOST_ENTRIES);
        let mut files = BTreeMap::new();
        let mut folder: Option<String> = None;
        let mut left = LARGEST_UNPACKED;
        let mut entries = 0;
        for entry in archive.entries().map_err(ArchiveError::of)? {
            let entry = entry.map_err(ArchiveError::of)?;
            entries += 1;
            if entries > MOST_ENTRIES || files.len() == MOST_FILES {
                return Err(ArchiveError::TooMany);
            }
            let kind = entry.header().entry_type();
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            if kind == tar::EntryType::XGlobalHeader {
                continue;
            }
            if !kind.is_file() && !kind.is_dir() {
                return Err(ArchiveError::Special(name));
            }
            let segments = safe_segments(&name)?;
            let Some((top, below)) = segments.split_first() else { continue };
            if *folder.get_or_insert_with(|| (*top).to_owned()) != **top
                || (below.is_empty() && kind.is_file())
            {
                return Err(ArchiveError::Beside(name));
            }
            if kind.is_dir() {
                continue;
            }
            let mut content = Vec::new();
            let path = below.join("/");
            entry.take(left + 1).read_to_end(&mut content).map_err(ArchiveError::of)?;
            left = left.checked_sub(content.len() as u64).ok_or(ArchiveError::TooLarge)?;
            if files.insert(path, content).is_some() {
                return Err(ArchiveError::Twice(name));
            }
        }
        Self::of_files(files)
    }

    /// Checks files that are not in an archive yet.
    pub fn of_files(files: BTreeMap<String, Vec<u8>>) -> Result<Self, ArchiveError> {
        for path in files.keys() {
            safe_segments(path)?;
        }
        if files.len() > MOST_FILES {
            return Err(ArchiveError::TooMany);
        }
        if files.values().map(|it| it.len() as u64).sum::<u64>() > LARGEST_UNPACKED {
            return Err(ArchiveError::TooLarge);
        }
        // margo(R-31)
        if !files.contains_key("compose.yaml") {
            return Err(ArchiveError::NoComposeFile);
        }
        Ok(Self { files })
    }

    /// The files by path. Every path is relative and stays inside.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// Packs the files below one folder of this name; the same files give the same bytes.
    pub fn pack(&self, folder: &str) -> io::Result<Vec<u8>> {
        tar_gz(self.files.iter().map(|(path, bytes)| (format!("{folder}/{path}"), bytes)))
    }
}

/// The segments of a path that stays where it is put, margo(R-33).
pub fn safe_segments(path: &str) -> Result<Vec<&str>, ArchiveError> {
    if path.starts_with('/') {
        return Err(ArchiveError::Escapes(path.to_owned()));
    }
    let segments: Vec<&str> = path.split('/').filter(|it| !it.is_empty() && *it != ".").collect();
    if segments.contains(&"..") {
        return Err(ArchiveError::Escapes(path.to_owned()));
    }
    let storable = |it: char| !it.is_control() && it != '\\' && it != char::REPLACEMENT_CHARACTER;
    if path.len() > LONGEST_PATH || !path.chars().all(storable) {
        return Err(ArchiveError::Path(path.chars().take(80).collect()));
    }
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::EntryType::{Block, Fifo, Link, Regular, Symlink};

    use super::*;

    fn packed(entries: &[(tar::EntryType, &str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (kind, path, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            archive.append(&header, *bytes).expect("writing to memory");
        }
        archive.into_inner().and_then(GzEncoder::finish).expect("writing to memory")
    }

    const COMPOSE: (tar::EntryType, &str, &[u8]) = (Regular, "web/compose.yaml", b"services: {}");

    // margo(R-30, R-31)
    #[test]
    fn an_archive_has_one_folder_with_a_compose_file() {
        let bytes = packed(&[COMPOSE, (Regular, "./web/conf/web.env", b"A=1")]);
        let archive = ComposeArchive::read(&bytes).expect("a good archive");
        let paths: Vec<&str> = archive.files().keys().map(String::as_str).collect();
        assert_eq!(paths, ["compose.yaml", "conf/web.env"]);
        let again = archive.pack("other").expect("writing to memory");
        assert_eq!(ComposeArchive::read(&again).expect("a good archive"), archive);
        assert_eq!(again, archive.pack("other").expect("writing to memory"));
    }

    // margo(R-34)
    #[test]
    fn permissions_and_set_id_bits_do_not_come_along() {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o7777);
        archive.append_data(&mut header, "web/compose.yaml", &b"a: "[..]).expect("in memory");
        let bytes = archive.into_inner().and_then(GzEncoder::finish).expect("in memory");
        let again = ComposeArchive::read(&bytes).expect("a good archive").pack("web");
        let again = again.expect("in memory");
        let mut packed = tar::Archive::new(flate2::read::GzDecoder::new(again.as_slice()));
        for entry in packed.entries().expect("readable") {
            let mode = entry.expect("readable").header().mode().expect("it has one");
            assert_eq!(mode, 0o644);
        }
    }

    // margo(R-33, R-37)
    #[test]
    fn what_leads_out_of_the_archive_is_refused() {
        for path in ["/etc/passwd", "web/../../x", "../web/compose.yaml", "web/.."] {
            let bytes = packed(&[COMPOSE, (Regular, path, b"x")]);
            assert!(
                matches!(ComposeArchive::read(&bytes), Err(ArchiveError::Escapes(_))),
                "{path}"
            );
        }
        for kind in [Symlink, Link, Fifo, Block] {
            let bytes = packed(&[COMPOSE, (kind, "web/x", b"")]);
            assert!(matches!(ComposeArchive::read(&bytes), Err(ArchiveError::Special(_))));
        }
    }

    // margo(R-30, R-31)
    #[test]
    fn an_archive_of_another_layout_is_refused() {
        let read = |entries: &[_]| ComposeArchive::read(&packed(entries));
        assert!(matches!(read(&[COMPOSE, (Regular, "db/x", b"x")]), Err(ArchiveError::Beside(_))));
        assert!(matches!(read(&[(Regular, "compose.yaml", b"x")]), Err(ArchiveError::Beside(_))));
        assert!(matches!(read(&[COMPOSE, COMPOSE]), Err(ArchiveError::Twice(_))));
        for name in ["web/compose.yml", "web/docker-compose.yaml", "web/sub/compose.yaml"] {
            assert!(matches!(read(&[(Regular, name, b"x")]), Err(ArchiveError::NoComposeFile)));
        }
        assert!(matches!(read(&[]), Err(ArchiveError::NoComposeFile)));
        assert!(matches!(ComposeArchive::read(b"nothing"), Err(ArchiveError::Unreadable(_))));
        assert!(matches!(
            read(&[COMPOSE, (Regular, "web/a\\b", b"x")]),
            Err(ArchiveError::Path(_))
        ));
    }

    // margo(R-37)
    #[test]
    fn an_archive_that_swells_is_refused() {
        let zeros = vec![0; usize::try_from(LARGEST_UNPACKED).expect("64 bits") + 1];
        let bomb = packed(&[COMPOSE, (Regular, "web/zeros", &zeros)]);
        assert!(matches!(ComposeArchive::read(&bomb), Err(ArchiveError::TooLarge)));
        let zeros = zeros.repeat(2);
        let long_name = (tar::EntryType::GNULongName, "././@LongLink", zeros.as_slice());
        let bomb = packed(&[COMPOSE, long_name, (Regular, "web/x", b"")]);
        assert!(matches!(ComposeArchive::read(&bomb), Err(ArchiveError::TooLarge)));
        let names: Vec<String> = (0..=MOST_FILES).map(|it| format!("web/{it}")).collect();
        let many: Vec<_> = names.iter().map(|it| (Regular, it.as_str(), &b""[..])).collect();
        assert!(matches!(ComposeArchive::read(&packed(&many)), Err(ArchiveError::TooMany)));
    }
}
