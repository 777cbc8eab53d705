//! Makes an upload of an application package: a tar or tar.gz is sent as it is, a folder is packed in
//! memory. Nothing is left out silently; what cannot be sent is named.

use std::fs::{self, File};
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::failure::Failure;

/// The limits of the fleet manager, checked here too so that an error comes before the upload.
const LARGEST_UPLOAD: u64 = 64 << 20;
const LARGEST_CONTENT: u64 = 128 << 20;
const MOST_FILES: usize = 5_000;
const DEEPEST: usize = 32;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What is sent.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) content_type: &'static str,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn read(path: &Path) -> Result<Upload> {
    let metadata = fs::metadata(path).map_err(|error| refuse(path, &error.to_string()))?;
    let bytes = if metadata.is_dir() { pack(path)? } else { read_bounded(path, LARGEST_UPLOAD)? };
    if bytes.len() as u64 > LARGEST_UPLOAD {
        return Err(too_large(path, "packed", LARGEST_UPLOAD).into());
    }
    let zipped = bytes.starts_with(&GZIP_MAGIC);
    let content_type = if zipped { "application/gzip" } else { "application/x-tar" };
    Ok(Upload { content_type, bytes })
}

fn pack(folder: &Path) -> Result<Vec<u8>> {
    if !folder.join("margo.yaml").is_file() {
        return Err(refuse(folder, "there is no margo.yaml in this folder").into());
    }
    let mut files = Vec::new();
    collect(folder, Path::new(""), 0, &mut files)?;
    files.sort();
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let mut left = LARGEST_CONTENT;
    for name in &files {
        let bytes = read_bounded(&folder.join(name), left)
            .with_context(|| format!("a package may have {LARGEST_CONTENT} bytes"))?;
        left -= bytes.len() as u64;
        append(&mut archive, name, &bytes)?;
    }
    let compressed = archive.into_inner().and_then(GzEncoder::finish);
    compressed.context("packing the folder")
}

/// Lists the files below `folder`. A folder has no entry of its own in the archive.
fn collect(folder: &Path, below: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let here = folder.join(below);
    if depth > DEEPEST {
        return Err(refuse(&here, &format!("folders may be nested {DEEPEST} deep")).into());
    }
    let entries = fs::read_dir(&here).map_err(|error| refuse(&here, &error.to_string()))?;
    for entry in entries {
        let entry = entry.map_err(|error| refuse(&here, &error.to_string()))?;
        let (path, name) = (entry.path(), below.join(entry.file_name()));
        let kind = entry.file_type().map_err(|error| refuse(&path, &error.to_string()))?;
        if name.to_str().is_none() {
            return Err(refuse(&path, "the name is not UTF-8").into());
        }
        if kind.is_dir() {
            collect(folder, &name, depth + 1, files)?;
        } else if kind.is_file() {
            files.push(name);
        } else {
            let problem = "only files and folders can be packed, no links or special files";
            return Err(refuse(&path, problem).into());
        }
        if files.len() > MOST_FILES {
            return Err(refuse(&path, &format!("a package may have {MOST_FILES} files")).into());
        }
    }
    Ok(())
}

/// The same files always make the same bytes: no times, owners or modes of this machine.
fn append<W: Write>(archive: &mut tar::Builder<W>, name: &Path, bytes: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    archive
        .append_data(&mut header, name, bytes)
        .with_context(|| format!("packing {}", name.display()))
}

fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| refuse(path, &error.to_string()))?;
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| refuse(path, &error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(too_large(path, "here", limit).into());
    }
    Ok(bytes)
}

fn too_large(path: &Path, when: &str, limit: u64) -> Failure {
    refuse(path, &format!("{when} more than {limit} bytes, which is too large"))
}

fn refuse(path: &Path, problem: &str) -> Failure {
    Failure::Usage(format!("{}: {problem}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn a_package() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("hello/nested")).expect("folders");
        for name in ["margo.yaml", "hello/compose.yaml", "hello/nested/.env"] {
            fs::write(folder.path().join(name), name).expect("written");
        }
        folder
    }

    #[test]
    fn a_folder_is_packed_whole_and_always_alike() {
        let upload = read(a_package().path()).expect("packed");
        assert_eq!(upload.content_type, "application/gzip");
        assert_eq!(upload.bytes, read(a_package().path()).expect("packed").bytes);
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&upload.bytes[..]));
        let mut files = BTreeMap::new();
        for entry in archive.entries().expect("a tar") {
            let mut entry = entry.expect("an entry");
            let name = entry.path().expect("a path").display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("text");
            files.insert(name, text);
        }
        let names = ["margo.yaml", "hello/compose.yaml", "hello/nested/.env"];
        assert_eq!(files, names.map(|name| (name.to_owned(), name.to_owned())).into());
    }

    #[test]
    fn a_link_is_refused_by_name() {
        let folder = a_package();
        let link = folder.path().join("hello/link");
        std::os::unix::fs::symlink("/etc/passwd", &link).expect("a link");
        let error = read(folder.path()).expect_err("a link");
        assert!(error.to_string().contains("hello/link"), "{error}");
    }

    #[test]
    fn a_folder_without_a_description_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(read(folder.path()).expect_err("empty").to_string().contains("margo.yaml"));
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused_by_name() {
        let folder = a_package();
        let error = read_bounded(&folder.path().join("margo.yaml"), 3).expect_err("too large");
        assert!(error.to_string().contains("margo.yaml"), "{error}");
    }
}
