//! The file of a backup: a tar archive with a description first, which names every other file in it with its
//! digest, so that a damaged or incomplete backup is told before anything is done with it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use fleet_store::Contents;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

/// The files of a backup, called as in the data directory.
pub(super) const DATABASE: &str = "gantry.db";
pub(super) const CA_CERTIFICATE: &str = "ca.pem";
pub(super) const CA_KEY: &str = "ca.key";

const DESCRIPTION: &str = "backup.json";
const LONGEST_DESCRIPTION: u64 = 1 << 20;
/// A change that older servers cannot read makes it another one.
const FORMAT: u32 = 1;
const PIECE: usize = 256 << 10;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Description {
    format: u32,
    /// The server that has made it.
    version: String,
    /// RFC 3339.
    pub(super) made_at: String,
    pub(super) clients: u64,
    pub(super) revisions: u64,
    files: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    name: String,
    bytes: u64,
    /// Hexadecimal.
    sha256: String,
}

/// A backup that was written.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) description: Description,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Why a backup cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnpackError {
    #[error("it is no backup of gantry-server, or the beginning of it is damaged")]
    NoBackup,
    #[error("it has the format {0}, which a newer gantry-server writes; restore it with that one")]
    Newer(u32),
    #[error("it names the file `{0}`, which a backup does not have")]
    Unexpected(String),
    #[error("the file `{0}` in it is damaged")]
    Damaged(String),
    #[error("the file `{0}` is missing in it, as if it had been cut off")]
    Missing(String),
    #[error("it cannot be read, as if it had been cut off")]
    Read(#[source] io::Error),
    #[error("{} cannot be written", file.display())]
    Write {
        file: PathBuf,
        #[source]
        cause: io::Error,
    },
}

/// Writes these files, under these names, and waits for the disk.
pub(super) fn write(
    out: File,
    files: &[(&str, PathBuf)],
    contents: Contents,
    made_at: &str,
) -> io::Result<Sealed> {
    let mut parts = Vec::new();
    for (name, file) in files {
        let mut hashing = Hashing::new(io::sink());
        let bytes = io::copy(&mut File::open(file)?, &mut hashing)?;
        parts.push(Part { name: (*name).to_owned(), bytes, sha256: hashing.hex() });
    }
    let description = Description {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: made_at.to_owned(),
        clients: contents.clients,
        revisions: contents.revisions,
        files: parts,
    };
    let mut archive = tar::Builder::new(Hashing::new(out));
    let text = serde_json::to_vec_pretty(&description)?;
    append(&mut archive, DESCRIPTION, text.len() as u64, text.as_slice())?;
    for ((name, file), part) in files.iter().zip(&description.files) {
        append(&mut archive, name, part.bytes, File::open(file)?)?;
    }
    let hashing = archive.into_inner()?;
    hashing.inner.sync_all()?;
    let bytes = hashing.inner.metadata()?.len();
    Ok(Sealed { description, bytes, sha256: hashing.hex() })
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    name: &str,
    bytes: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    archive.append_data(&mut header, name, content)
}

/// Unpacks a backup into an empty folder and checks every file of it, down to the disk.
pub(super) fn unpack(backup: File, folder: &Path) -> Result<Description, UnpackError> {
    let mut archive = tar::Archive::new(backup);
    let mut entries = archive.entries().map_err(UnpackError::Read)?;
    let first = entries.next().and_then(Result::ok).ok_or(UnpackError::NoBackup)?;
    let description = description(first)?;
    let mut missing: BTreeSet<&str> = description.files.iter().map(|it| it.name.as_str()).collect();
    missing.insert(DATABASE);
    for entry in entries {
        let mut entry = entry.map_err(UnpackError::Read)?;
        let path = entry.path().map_err(UnpackError::Read)?.into_owned();
        let name = path.to_string_lossy();
        let part = description.files.iter().find(|it| it.name == name);
        let part = part.filter(|it| missing.remove(it.name.as_str()));
        let part = part.ok_or_else(|| UnpackError::Unexpected(name.into_owned()))?;
        extract(&mut entry, part, folder)?;
    }
    match missing.first() {
        Some(name) => Err(UnpackError::Missing((*name).to_owned())),
        None => Ok(description),
    }
}

fn description(entry: tar::Entry<'_, File>) -> Result<Description, UnpackError> {
    if entry.path().map_or(true, |it| it.as_os_str() != DESCRIPTION) {
        return Err(UnpackError::NoBackup);
    }
    let mut text = Vec::new();
    entry.take(LONGEST_DESCRIPTION).read_to_end(&mut text).map_err(UnpackError::Read)?;
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let format: Format = serde_json::from_slice(&text).map_err(|_| UnpackError::NoBackup)?;
    if format.format != FORMAT {
        return Err(UnpackError::Newer(format.format));
    }
    let description: Description =
        serde_json::from_slice(&text).map_err(|_| UnpackError::NoBackup)?;
    // A name leads to a file, so only those that are known may stand there.
    let known = [DATABASE, CA_CERTIFICATE, CA_KEY];
    match description.files.iter().find(|it| !known.contains(&it.name.as_str())) {
        Some(part) => Err(UnpackError::Unexpected(part.name.clone())),
        None => Ok(description),
    }
}

fn extract(content: &mut impl Read, part: &Part, folder: &Path) -> Result<(), UnpackError> {
    let file = folder.join(&part.name);
    let mode = if part.name == CA_CERTIFICATE { 0o644 } else { 0o600 };
    let failed = |cause| UnpackError::Write { file: file.clone(), cause };
    let out = OpenOptions::new().create_new(true).write(true).mode(mode).open(&file);
    let mut out = Hashing::new(out.map_err(failed)?);
    let mut piece = vec![0; PIECE];
    loop {
        let length = content.read(&mut piece).map_err(UnpackError::Read)?;
        if length == 0 {
            break;
        }
        out.write_all(&piece[..length]).map_err(failed)?;
    }
    out.inner.sync_all().map_err(failed)?;
    let bytes = fs::metadata(&file).map_err(failed)?.len();
    if (bytes, out.hex()) != (part.bytes, part.sha256.clone()) {
        return Err(UnpackError::Damaged(part.name.clone()));
    }
    Ok(())
}

/// Writes on, and computes the SHA-256 of all that came through.
struct Hashing<W> {
    inner: W,
    digest: Context,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, digest: Context::new(&SHA256) }
    }

    fn hex(&self) -> String {
        let digest = self.digest.clone().finish();
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.digest.update(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const MADE_AT: &str = "2027-01-15T08:00:00Z";

    fn folder() -> TempDir {
        tempfile::tempdir().expect("a temporary directory can be made")
    }

    /// A backup of two files, in a folder of its own.
    fn backup() -> (TempDir, PathBuf) {
        let folder = folder();
        let (database, key) = (folder.path().join("copy"), folder.path().join("key"));
        fs::write(&database, vec![7; PIECE + 1]).expect("writable");
        fs::write(&key, b"secret").expect("writable");
        let file = folder.path().join("backup.tar");
        let out = File::create(&file).expect("writable");
        let contents = Contents { clients: 2, revisions: 9 };
        let sealed = write(out, &[(DATABASE, database), (CA_KEY, key)], contents, MADE_AT);
        let sealed = sealed.expect("it can be written");
        assert_eq!(sealed.bytes, fs::metadata(&file).expect("it is there").len());
        assert_eq!((sealed.description.clients, sealed.description.revisions), (2, 9));
        (folder, file)
    }

    fn unpacked(file: &Path) -> (TempDir, Result<Description, UnpackError>) {
        let folder = folder();
        let description = unpack(File::open(file).expect("it is there"), folder.path());
        (folder, description)
    }

    #[test]
    fn what_is_packed_is_unpacked_and_secrets_stay_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_keep, file) = backup();
        let (folder, description) = unpacked(&file);
        assert_eq!(description.expect("a good backup").made_at, MADE_AT);
        let read = |name| fs::read(folder.path().join(name)).expect("it was in it");
        assert_eq!(read(DATABASE), vec![7; PIECE + 1]);
        assert_eq!(read(CA_KEY), b"secret");
        for name in [DATABASE, CA_KEY] {
            let metadata = fs::metadata(folder.path().join(name)).expect("it is there");
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_byte_that_changed_or_an_end_that_is_missing_is_told() {
        let (folder, file) = backup();
        let whole = fs::read(&file).expect("readable");
        let other = folder.path().join("other");
        let try_it = |bytes: &[u8]| {
            fs::write(&other, bytes).expect("writable");
            unpacked(&other).1.expect_err("it is damaged")
        };
        let place = whole.iter().rposition(|it| *it == 7).expect("the database is in it");
        let mut changed = whole.clone();
        changed[place] = 8;
        assert!(matches!(try_it(&changed), UnpackError::Damaged(name) if name == DATABASE));
        assert!(matches!(try_it(&whole[..place]), UnpackError::Read(_) | UnpackError::Damaged(_)));
        assert!(matches!(try_it(b"SQLite format 3\0"), UnpackError::NoBackup));
        assert!(matches!(try_it(b""), UnpackError::NoBackup));
        // A header begins with the name of its file.
        let is_key = |block: &[u8]| block.starts_with(b"ca.key\0");
        let end = 512 * whole.chunks(512).position(is_key).expect("the key is in it");
        let cut = [&whole[..end], &[0; 1024]].concat();
        assert!(matches!(try_it(&cut), UnpackError::Missing(name) if name == CA_KEY));
    }

    #[test]
    fn what_a_backup_does_not_have_is_not_unpacked() {
        let folder = folder();
        let file = folder.path().join("backup.tar");
        let write_with = |format: u32, name: &str| {
            let part = Part { name: name.to_owned(), bytes: 0, sha256: String::new() };
            let description = Description {
                format,
                version: String::new(),
                made_at: MADE_AT.to_owned(),
                clients: 0,
                revisions: 0,
                files: vec![part],
            };
            let mut archive = tar::Builder::new(File::create(&file).expect("writable"));
            let text = serde_json::to_vec(&description).expect("JSON");
            append(&mut archive, DESCRIPTION, text.len() as u64, text.as_slice()).expect("room");
            archive.into_inner().expect("room");
            unpacked(&file).1.expect_err("it is refused")
        };
        let refused = write_with(FORMAT, "../ca.key");
        assert!(matches!(refused, UnpackError::Unexpected(name) if name == "../ca.key"));
        assert!(matches!(write_with(FORMAT + 1, DATABASE), UnpackError::Newer(2)));
        assert!(matches!(write_with(FORMAT, DATABASE), UnpackError::Missing(_)));
    }
}
