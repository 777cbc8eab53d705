//! Packages of components: fetched from where the document says, checked, and kept on disk, so that a
//! workload can be made true again without a network.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use margo_contract::component::Source;
use margo_contract::digest::Digest;
use ring::digest::{Context as Hasher, SHA256};

use crate::accepted;
use crate::fleet_manager::{Ask, FleetManager, LinkError};
use crate::state_dir::{StateDir, StateError};

/// Where packages are kept in the state directory.
pub(crate) const FOLDER: &str = "packages";
/// How much of a package is in memory at once, in bytes.
const PIECE: usize = 16 << 10;

/// Why a package is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error("packages from OCI registries are not supported yet; use a packageLocation")]
    Registry,
    #[error("the package signature key `{0}` cannot be checked yet; leave keyLocation out")]
    Signed(String),
    #[error("the package location `{0}` is not an https URL")]
    NotHttps(String),
    /// No fault of the package: it is fetched when it is a time for it, and the fleet manager is there.
    #[error("the package cannot be fetched now")]
    NotNow(#[source] Option<LinkError>),
    #[error("the package cannot be fetched")]
    Fetch(#[source] LinkError),
    #[error("the package does not have the digest {0} that its location names")]
    Digest(Digest),
    #[error("the package cannot be kept")]
    State(#[from] StateError),
}

/// The file of a component's package; it is fetched unless it is there. Without a `keyid` it is not a
/// time to fetch anything.
pub(crate) fn fetch(
    source: &Source,
    link: &FleetManager,
    keyid: Option<&str>,
    state: &StateDir,
) -> Result<PathBuf, PackageError> {
    let location = match source {
        Source::Registry { .. } => return Err(PackageError::Registry),
        Source::Package { key_location: Some(key), .. } => {
            return Err(PackageError::Signed(key.clone()));
        }
        Source::Package { location, key_location: None } => location,
    };
    if !location.starts_with("https://") {
        return Err(PackageError::NotHttps(location.clone()));
    }
    let promised = promised_digest(location);
    let file = format!("{FOLDER}/{}", name_of(location));
    if is_kept(&state.join(&file), promised)? {
        return Ok(state.join(&file));
    }
    let keyid = keyid.ok_or(PackageError::NotNow(None))?;
    let own = location.strip_prefix(link.origin()).filter(|it| it.starts_with('/'));
    let mut incoming = match own {
        Some(path) => link.open(Ask::Package, path, keyid, &[], None).map_err(of_fleet_manager)?,
        None => link.open_elsewhere(location).map_err(|error| of_elsewhere(link, error))?,
    };
    let of_link = |error| match own {
        Some(_) => of_fleet_manager(error),
        None => of_elsewhere(link, error),
    };
    state.save_pieces(&file, |out| {
        let mut hasher = Hasher::new(&SHA256);
        let mut piece = vec![0; PIECE];
        loop {
            let length = incoming.read_piece(&mut piece).map_err(of_link)?;
            if length == 0 {
                break;
            }
            hasher.update(&piece[..length]);
            out.write_all(&piece[..length])
                .map_err(|cause| disk("write", &state.join(&file), cause))?;
        }
        match promised {
            Some(promised) if finish(hasher) != promised => Err(PackageError::Digest(promised)),
            _ => Ok(()),
        }
    })?;
    Ok(state.join(&file))
}

/// Whether the file is there, and whole as far as its location promises.
fn is_kept(path: &Path, promised: Option<Digest>) -> Result<bool, PackageError> {
    let reading = |cause| disk("read", path, cause);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(cause) => return Err(reading(cause)),
    };
    let Some(promised) = promised else { return Ok(true) };
    let mut hasher = Hasher::new(&SHA256);
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece).map_err(reading)? {
            0 => return Ok(finish(hasher) == promised),
            length => hasher.update(&piece[..length]),
        }
    }
}

fn finish(hasher: Hasher) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(hasher.finish().as_ref());
    Digest::from_bytes(digest)
}

fn disk(what: &'static str, path: &Path, cause: io::Error) -> PackageError {
    PackageError::State(StateError::Io { what, path: path.to_owned(), cause })
}

/// What a component's package is called in its folder.
pub(crate) fn file_name(source: &Source) -> Option<String> {
    match source {
        Source::Package { location, .. } => Some(name_of(location)),
        Source::Registry { .. } => None,
    }
}

/// The digest that a location ends with, as those of a fleet manager do.
fn promised_digest(location: &str) -> Option<Digest> {
    location.rsplit('/').next()?.parse().ok()
}

/// Without a digest the location stands for what is there: the same place is the same package.
fn name_of(location: &str) -> String {
    let name = promised_digest(location).unwrap_or_else(|| Digest::of(location.as_bytes()));
    accepted::file_name(&name, "tar.gz")
}

/// What fails between us and the fleet manager passes; only a clear no is about the package.
fn of_fleet_manager(error: LinkError) -> PackageError {
    match error {
        LinkError::Refused { status: 400 | 404 | 410 | 422, .. } => PackageError::Fetch(error),
        LinkError::Refused { .. }
        | LinkError::Unreachable(_)
        | LinkError::Nonsense(_)
        | LinkError::Quiet(_) => PackageError::NotNow(Some(error)),
    }
}

/// What fails because nothing is to be said any more says nothing about the package either.
fn of_elsewhere(link: &FleetManager, error: LinkError) -> PackageError {
    match link.is_quiet() {
        Some(_) => PackageError::NotNow(Some(error)),
        None => PackageError::Fetch(error),
    }
}

#[cfg(test)]
mod tests {
    use http_signature::SigningKey;
    use testkit::certificates::{ALWAYS, Authority};
    use testkit::meddler::{Meddler, Part, say};

    use super::*;

    struct Stage {
        folder: tempfile::TempDir,
        meddler: Meddler,
        link: FleetManager,
        state: StateDir,
    }

    impl Stage {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a temporary directory can be made");
            let state = StateDir::open(&folder.path().join("state")).expect("nobody else has it");
            let authority = Authority::new();
            let ca = folder.path().join("ca.pem");
            std::fs::write(&ca, authority.pem()).expect("writable");
            let meddler = Meddler::start(0, authority.server("localhost", ALWAYS), None);
            let pair = rcgen::KeyPair::generate().expect("a key can be made");
            let key = SigningKey::from_pkcs8_der(pair.serialized_der()).expect("a good key");
            let origin = format!("https://localhost:{}", meddler.port());
            let link = FleetManager::new(&origin, &ca, key).expect("a client");
            Self { folder, meddler, link, state }
        }

        fn fetch(&self, digest: &Digest) -> Result<PathBuf, PackageError> {
            let location = format!("{}/packages/{digest}", self.link.origin());
            let source = Source::Package { location, key_location: None };
            fetch(&source, &self.link, Some("me"), &self.state)
        }

        fn files(&self) -> usize {
            let folder = self.folder.path().join("state").join(FOLDER);
            std::fs::read_dir(folder).map_or(0, Iterator::count)
        }
    }

    #[test]
    fn a_package_is_fetched_once_and_again_when_its_file_is_not_what_it_was() {
        let stage = Stage::new();
        let bytes = vec![7; 100_000];
        let digest = Digest::of(&bytes);
        stage.meddler.play(move |_| Part::Say(say(200, &[], &bytes)));
        for asked in [1, 1] {
            let path = stage.fetch(&digest).expect("it is there");
            assert_eq!(std::fs::read(path).expect("readable").len(), 100_000);
            assert_eq!(stage.meddler.asked().len(), asked);
        }
        let path = stage.fetch(&digest).expect("it is there");
        std::fs::write(&path, b"cut off").expect("writable");
        stage.fetch(&digest).expect("it is there");
        assert_eq!(stage.meddler.asked().len(), 2);
    }

    #[test]
    fn what_is_no_package_leaves_nothing_behind() {
        let stage = Stage::new();
        let digest = Digest::of(b"whole");
        let half = b"HTTP/1.1 200 x\r\ncontent-length: 5\r\n\r\nwho".to_vec();
        let huge = b"HTTP/1.1 200 x\r\n\r\n".to_vec();
        for (part, words) in [
            (Part::Say(half), "ends before it is complete"),
            (Part::Say(say(200, &[], b"other")), "does not have the digest"),
            (Part::Say(say(200, &[("content-type", "text/html")], b"whole")), "captive portal"),
            (Part::Say(say(404, &[], b"")), "answers 404"),
            (Part::SayWithoutEnd(huge, vec![0; 1 << 20]), "larger than"),
        ] {
            stage.meddler.play(move |_| part.clone());
            let error = stage.fetch(&digest).expect_err("no package");
            assert!(crate::chain(&error).contains(words), "{words}: {}", crate::chain(&error));
            assert_eq!(stage.files(), 0, "{words}");
        }
    }

    #[test]
    fn a_full_disk_is_told_as_one() {
        let stage = Stage::new();
        let digest = Digest::of(b"whole");
        stage.meddler.play(|_| Part::Say(say(200, &[], b"whole")));
        let path = stage.fetch(&digest).expect("it is there");
        std::fs::remove_file(&path).expect("removable");
        std::os::unix::fs::symlink("/dev/full", path.with_extension("new")).expect("a link");
        let error = stage.fetch(&digest).expect_err("no room");
        assert!(matches!(error, PackageError::State(_)), "{}", crate::chain(&error));
        assert_eq!(stage.files(), 0);
    }
}
