//! Application packages as operators upload them: a tar, or tar.gz, with `margo.yaml`, its resources
//! and, for Compose components, their archives. All of it is checked before anything is kept.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use flate2::read::GzDecoder;
use margo_contract::application_description::ApplicationDescription;
use margo_contract::component::Source;
use margo_contract::compose_archive::{ArchiveError, ComposeArchive, safe_segments};
use margo_contract::document::DocumentError;
use margo_contract::tar_stream;

/// What a package may unpack to, in bytes.
pub(crate) const LARGEST_UNPACKED: u64 = 128 << 20;
const MOST_FILES: usize = 5_000;
/// Folders count as well: each costs time.
const MOST_ENTRIES: usize = 2 * MOST_FILES;
const DESCRIPTION: &str = "margo.yaml";
/// A device looks for the signature beside the package, and there is nothing beside those kept here.
const KEY_WITHOUT_SIGNATURE: &str = "keyLocation goes with a package at an https URL, which has its \
    signature beside it; what is in this package is sent to devices by its digest";

/// A package that holds what it promises.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) description: ApplicationDescription,
    /// The bytes of `margo.yaml`.
    pub(crate) description_bytes: Vec<u8>,
    /// The Compose archives by the location that the description gives.
    pub(crate) archives: BTreeMap<String, Vec<u8>>,
}

/// Why a package is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error("the package is not a readable tar or tar.gz")]
    Unreadable(#[source] io::Error),
    #[error("in the package: {0}")]
    Entry(#[source] ArchiveError),
    #[error(
        "the package has `{0}`, a link or another special file; only files and folders are allowed"
    )]
    Special(String),
    #[error("the package has `{0}` twice")]
    Twice(String),
    #[error("the package has more than {MOST_FILES} files")]
    TooMany,
    #[error("the package unpacks to more than {LARGEST_UNPACKED} bytes")]
    TooLarge,
    #[error("the package has no `{DESCRIPTION}` in its root")]
    NoDescription,
    #[error("margo.yaml: {0}")]
    Description(DocumentError),
    #[error("margo.yaml names the file `{0}`, which the package does not have")]
    MissingFile(String),
    #[error("the component `{component}` has its package at `{location}`: {problem}")]
    Component { component: String, location: String, problem: String },
}

impl Package {
    /// Reads and checks an upload in memory.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, PackageError> {
        let files = unpack(bytes)?;
        let files = below_one_folder(files);
        let description_bytes = files.get(DESCRIPTION).ok_or(PackageError::NoDescription)?.clone();
        let description =
            ApplicationDescription::parse(&description_bytes).map_err(PackageError::Description)?;
        for resource in &description.resources {
            if !files.contains_key(&normal(resource)) {
                return Err(PackageError::MissingFile(resource.clone()));
            }
        }
        let mut archives = BTreeMap::new();
        for component in description.profiles.iter().flat_map(|it| &it.components) {
            let Source::Package { location, key_location } = &component.source else { continue };
            let wrong = |problem| {
                let (component, location) = (component.name.clone(), location.clone());
                PackageError::Component { component, location, problem }
            };
            let archive = archive_at(location, &component.name, &files).map_err(wrong)?;
            if archive.is_some() && key_location.is_some() {
                return Err(wrong(KEY_WITHOUT_SIGNATURE.to_owned()));
            }
            if let Some(archive) = archive {
                archives.insert(location.clone(), archive);
            }
        }
        Ok(Self { description, description_bytes, archives })
    }
}

/// The archive of a component: a file of the package, a folder of it that is packed here, or nothing
/// where it is at a URL.
fn archive_at(
    location: &str,
    component: &str,
    files: &BTreeMap<String, Vec<u8>>,
) -> Result<Option<Vec<u8>>, String> {
    if location.starts_with("https://") {
        return Ok(None);
    }
    if location.contains("://") {
        return Err("only https URLs and paths in the package are allowed".to_owned());
    }
    let path = normal(location);
    if let Some(file) = files.get(&path) {
        // margo(R-35)
        ComposeArchive::read(file).map_err(|error| error.to_string())?;
        return Ok(Some(file.clone()));
    }
    let folder: BTreeMap<String, Vec<u8>> = files
        .iter()
        .filter_map(|(name, bytes)| {
            let below = name.strip_prefix(&path)?.strip_prefix('/')?;
            Some((below.to_owned(), bytes.clone()))
        })
        .collect();
    if folder.is_empty() {
        return Err("the package has no such file or folder".to_owned());
    }
    let archive = ComposeArchive::of_files(folder).map_err(|error| error.to_string())?;
    archive.pack(component).map(Some).map_err(|error| error.to_string())
}

fn unpack(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, PackageError> {
    let reader: Box<dyn Read + '_> = if bytes.starts_with(&[0x1f, 0x8b]) {
        Box::new(GzDecoder::new(bytes))
    } else {
        Box::new(Cursor::new(bytes))
    };
    let mut archive = tar_stream::bounded(reader, LARGEST_UNPACKED, MOST_ENTRIES);
    let mut files = BTreeMap::new();
    let mut left = LARGEST_UNPACKED;
    for (count, entry) in archive.entries().map_err(unreadable)?.enumerate() {
        let entry = entry.map_err(unreadable)?;
        if count >= MOST_ENTRIES || files.len() >= MOST_FILES {
            return Err(PackageError::TooMany);
        }
        let kind = entry.header().entry_type();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = safe_segments(&name).map_err(PackageError::Entry)?.join("/");
        if kind.is_dir() || kind == tar::EntryType::XGlobalHeader {
            continue;
        }
        if !kind.is_file() {
            return Err(PackageError::Special(name));
        }
        let mut content = Vec::new();
        entry.take(left + 1).read_to_end(&mut content).map_err(unreadable)?;
        left = left.checked_sub(content.len() as u64).ok_or(PackageError::TooLarge)?;
        if files.insert(path, content).is_some() {
            return Err(PackageError::Twice(name));
        }
    }
    Ok(files)
}

fn unreadable(error: io::Error) -> PackageError {
    if tar_stream::is_too_large(&error) {
        PackageError::TooLarge
    } else {
        PackageError::Unreadable(error)
    }
}

/// Takes the one folder off that all files are in, unless the description is beside it.
fn below_one_folder(files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    if files.contains_key(DESCRIPTION) {
        return files;
    }
    let top =
        files.keys().next().and_then(|it| it.split_once('/')).map(|(top, _)| format!("{top}/"));
    match top {
        Some(top) if files.keys().all(|it| it.starts_with(&top)) => {
            files.into_iter().map(|(name, bytes)| (name[top.len()..].to_owned(), bytes)).collect()
        }
        _ => files,
    }
}

fn normal(path: &str) -> String {
    let segments = path.split('/').filter(|it| !it.is_empty() && *it != ".");
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARGO: &str = include_str!("../../../examples/hello/margo.yaml");
    const COMPOSE: &str = include_str!("../../../examples/hello/compose/hello/compose.yaml");

    fn tar(files: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            archive.append(&header, text.as_bytes()).expect("writing to memory");
        }
        archive.into_inner().expect("writing to memory")
    }

    fn hello() -> Vec<(&'static str, &'static str)> {
        vec![
            ("margo.yaml", MARGO),
            ("compose/hello/compose.yaml", COMPOSE),
            ("resources/description.md", "# Hello"),
        ]
    }

    #[test]
    fn a_folder_of_the_package_becomes_the_archive_of_its_component() {
        let package = Package::read(&tar(&hello())).expect("a good package");
        let archive = &package.archives["compose/hello"];
        let archive = ComposeArchive::read(archive).expect("a good archive");
        assert_eq!(archive.files()["compose.yaml"], COMPOSE.as_bytes());

        let nested: Vec<(String, &str)> =
            hello().into_iter().map(|(path, text)| (format!("./hello/{path}"), text)).collect();
        let nested: Vec<(&str, &str)> =
            nested.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        let again = Package::read(&tar(&nested)).expect("one folder around it is fine");
        assert_eq!(again.archives, package.archives);
    }

    #[test]
    fn a_package_that_lacks_what_it_names_is_refused() {
        let without = |name: &str| {
            let files: Vec<_> = hello().into_iter().filter(|(path, _)| *path != name).collect();
            Package::read(&tar(&files)).expect_err(name).to_string()
        };
        assert!(without("margo.yaml").contains("margo.yaml"));
        assert!(without("resources/description.md").contains("resources/description.md"));
        let error = without("compose/hello/compose.yaml");
        assert!(error.contains("`hello`") && error.contains("compose/hello"), "{error}");
    }

    // margo(SP-44, CP-1)
    #[test]
    fn components_elsewhere_are_taken_as_they_are_and_a_key_needs_a_signature_beside_the_package() {
        let read = |location: &str| {
            let description = MARGO.replace("packageLocation: compose/hello", location);
            assert_ne!(description, MARGO);
            let mut files = hello();
            files[0].1 = &description;
            Package::read(&tar(&files))
        };
        for location in [
            "repository: oci://registry.example:5000/plant/hello\n          revision: 1.0.0_b",
            "packageLocation: https://x.example/hello.tar.gz\n          keyLocation: https://x.example/key.asc",
        ] {
            let package = read(location).unwrap_or_else(|error| panic!("{location}: {error}"));
            assert!(package.archives.is_empty());
        }
        let key =
            "packageLocation: compose/hello\n          keyLocation: https://x.example/key.asc";
        let error = read(key).expect_err("no signature").to_string();
        assert!(error.contains("keyLocation goes with"), "{error}");
    }

    #[test]
    fn what_leads_out_of_the_package_is_refused() {
        for path in ["../evil", "/etc/evil", "a/../../evil"] {
            let mut files = hello();
            files.push((path, "x"));
            assert!(matches!(Package::read(&tar(&files)), Err(PackageError::Entry(_))), "{path}");
        }
        assert!(Package::read(b"nothing").is_err());
        let description = MARGO.replace("packageLocation: compose/hello", "packageLocation: ../x");
        let mut files = hello();
        files[0].1 = &description;
        assert!(matches!(Package::read(&tar(&files)), Err(PackageError::Component { .. })));
    }
}
