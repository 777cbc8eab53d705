//! A download that goes on where it broke off, in the next attempt or after a restart. What is there of
//! it lies beside its place, with a note of what it is a part of: the digest of the whole, or the strong
//! validator that its server gave. What is not known to be of the same bytes is never added to.
//!
//! Only what is on the disk for sure counts: bytes are synced before the note says so, so a power cut
//! costs the bytes since then and nothing else.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use margo_contract::digest::Digest;
use ring::digest::{Context as Hasher, SHA256};
use serde::{Deserialize, Serialize};

use super::failure::PackageError;
use super::origin::Origin;
use super::{PIECE, disk, finish};
use crate::fleet_manager::{Incoming, LinkError};
use crate::state_dir::{StateDir, StateError};

/// How many bytes a power cut may cost.
const SYNC_EVERY: u64 = 4 << 20;
const RANGE_NOT_SATISFIABLE: u16 = 416;

/// What is to be fetched, and where it grows.
pub(super) struct Download<'a> {
    pub(super) state: &'a StateDir,
    /// The names of its files, in the state directory.
    pub(super) files: &'a Files,
    /// What the bytes are: the same for two downloads only if both are of the same thing.
    pub(super) identity: String,
    /// What the bytes have to hash to.
    pub(super) digest: Option<Digest>,
    /// How many they may be.
    pub(super) largest: u64,
}

/// The names of a package's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    /// Where it is once it is whole and checked.
    pub(super) whole: String,
    /// Where it grows.
    pub(super) part: String,
    /// What it is a part of.
    pub(super) note: String,
}

/// What the part is a part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    identity: String,
    /// The server's strong validator (RFC 9110 section 8.8.1).
    validator: Option<String>,
    /// How many of its bytes are on the disk for sure.
    kept: u64,
    /// Whether these are all.
    #[serde(default)]
    is_whole: bool,
}

/// What came of one attempt.
enum Attempt {
    Whole,
    /// What was there before cannot be gone on with.
    Anew,
}

impl Download<'_> {
    /// Fetches what is missing. Afterwards the part is whole, and has the digest that it has to have.
    pub(super) fn run(&self, origin: &mut dyn Origin) -> Result<(), PackageError> {
        let note = self.note()?;
        let from = note.kept;
        match self.attempt(note, origin)? {
            Attempt::Whole => return Ok(()),
            Attempt::Anew => {
                tracing::info!(from, "a download cannot be gone on with and begins anew");
                self.discard()?;
            }
        }
        match self.attempt(self.beginning(), origin)? {
            Attempt::Whole => Ok(()),
            Attempt::Anew => Err(origin.broken(LinkError::Nonsense(
                "it is not from the first byte on, though all of it was asked for".to_owned(),
            ))),
        }
    }

    /// The file that is whole after [`Download::run`], before it is put in its place.
    pub(super) fn part(&self) -> PathBuf {
        self.state.join(&self.files.part)
    }

    /// Takes what was fetched for good.
    // margo(R-36)
    pub(super) fn keep(&self) -> Result<PathBuf, StateError> {
        self.state.put_in_place(&self.files.part, &self.files.whole)?;
        self.state.remove(&self.files.note)?;
        Ok(self.state.join(&self.files.whole))
    }

    /// Leaves what was fetched where it is: it is whole, and cannot be taken yet. If it is still the same
    /// at its server, it is not fetched again.
    pub(super) fn hold(&self) -> Result<(), PackageError> {
        let Some(note) = self.state.load::<Note>(&self.files.note)? else { return Ok(()) };
        let part = File::open(self.part()).map_err(|cause| disk("read", &self.part(), cause))?;
        let kept = part.metadata().map_err(|cause| disk("read", &self.part(), cause))?.len();
        self.sync(&part, &Note { kept, is_whole: true, ..note })
    }

    /// Lets go of what was fetched.
    pub(super) fn discard(&self) -> Result<(), StateError> {
        // The part first: without its note nothing would be known of it, with a wrong one too much.
        self.state.remove(&self.files.part)?;
        self.state.remove(&self.files.note)
    }

    fn beginning(&self) -> Note {
        Note { identity: self.identity.clone(), validator: None, kept: 0, is_whole: false }
    }

    /// What is there and may be added to.
    fn note(&self) -> Result<Note, PackageError> {
        // A damaged note says nothing.
        let note = self.state.load::<Note>(&self.files.note).ok().flatten();
        let length = std::fs::metadata(self.part()).map_or(0, |it| it.len());
        let is_of_this = |it: &Note| {
            let is_known = self.digest.is_some() || it.validator.is_some();
            it.identity == self.identity && is_known && it.kept > 0 && it.kept <= length
        };
        match note.filter(is_of_this) {
            Some(note) => Ok(note),
            None => {
                self.discard()?;
                Ok(self.beginning())
            }
        }
    }

    fn attempt(&self, mut note: Note, origin: &mut dyn Origin) -> Result<Attempt, PackageError> {
        let asked_from = note.kept;
        let range = format!("bytes={asked_from}-");
        let mut headers = Vec::new();
        if asked_from > 0 {
            headers.push(("range", range.as_str()));
            headers.extend(note.validator.as_deref().map(|it| ("if-range", it)));
        }
        let mut incoming = match origin.open(&headers) {
            Err(error) if asked_from > 0 && error.status() == Some(RANGE_NOT_SATISFIABLE) => {
                // There is nothing after the last byte of what the validator stands for.
                let is_whole = note.is_whole && note.validator.is_some();
                return Ok(if is_whole { Attempt::Whole } else { Attempt::Anew });
            }
            other => other?,
        };
        if incoming.status() == 206 {
            if asked_from == 0 || !self.continues(&incoming, &note) {
                return Ok(Attempt::Anew);
            }
        } else if asked_from > 0 {
            // The server gives all of it: what is there may be of former bytes.
            self.discard()?;
            note = self.beginning();
        }
        if note.kept == 0 {
            note.validator = strong_validator(&incoming);
            self.state.save(&self.files.note, &note)?;
        }
        let announced = incoming.header("content-length").and_then(|it| it.parse::<u64>().ok());
        if announced.is_some_and(|it| note.kept.saturating_add(it) > self.largest) {
            self.discard()?;
            return Err(PackageError::TooLarge(self.largest));
        }
        let digest = self.receive(&mut note, &mut incoming, origin)?;
        match self.digest {
            Some(promised) if promised != digest && asked_from > 0 => Ok(Attempt::Anew),
            Some(promised) if promised != digest => {
                self.discard()?;
                Err(PackageError::Digest(promised))
            }
            _ => Ok(Attempt::Whole),
        }
    }

    /// Whether a partial answer is the rest of what is there.
    fn continues(&self, incoming: &Incoming, note: &Note) -> bool {
        let first_byte = incoming.header("content-range").and_then(first_byte);
        let is_same = match (&note.validator, strong_validator(incoming)) {
            (Some(known), Some(now)) => *known == now,
            _ => true,
        };
        first_byte == Some(note.kept) && is_same
    }

    /// Adds the answer to the part and gives the digest of all of it.
    fn receive(
        &self,
        note: &mut Note,
        incoming: &mut Incoming,
        origin: &dyn Origin,
    ) -> Result<Digest, PackageError> {
        let mut file = self.state.open_growing(&self.files.part)?;
        let outcome = self.append(&mut file, note, incoming, origin);
        match &outcome {
            Ok(_) => {}
            // What was written in vain must not take the room that is wanting.
            Err(PackageError::State(_) | PackageError::TooLarge(_)) => self.discard()?,
            Err(_) if self.digest.is_none() && note.validator.is_none() => self.discard()?,
            Err(_) => self.sync(&file, note)?,
        }
        outcome
    }

    fn append(
        &self,
        file: &mut File,
        note: &mut Note,
        incoming: &mut Incoming,
        origin: &dyn Origin,
    ) -> Result<Digest, PackageError> {
        let writing = |cause| disk("write", &self.part(), cause);
        let mut hasher = Hasher::new(&SHA256);
        let mut piece = vec![0; PIECE];
        file.set_len(note.kept).map_err(writing)?;
        file.seek(SeekFrom::Start(0)).map_err(writing)?;
        let mut left = note.kept;
        while left > 0 {
            let wanted = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let length = file.read(&mut piece[..wanted]).map_err(writing)?;
            if length == 0 {
                return Err(writing(std::io::ErrorKind::UnexpectedEof.into()));
            }
            hasher.update(&piece[..length]);
            left -= length as u64;
        }
        let mut synced = note.kept;
        loop {
            let length = incoming.read_piece(&mut piece).map_err(|error| origin.broken(error))?;
            if length == 0 {
                return Ok(finish(hasher));
            }
            if note.kept + length as u64 > self.largest {
                return Err(PackageError::TooLarge(self.largest));
            }
            hasher.update(&piece[..length]);
            file.write_all(&piece[..length]).map_err(writing)?;
            note.kept += length as u64;
            if note.kept - synced >= SYNC_EVERY {
                self.sync(file, note)?;
                synced = note.kept;
            }
        }
    }

    fn sync(&self, file: &File, note: &Note) -> Result<(), PackageError> {
        file.sync_data().map_err(|cause| disk("write", &self.part(), cause))?;
        Ok(self.state.save(&self.files.note, note)?)
    }
}

/// An entity tag that promises the same bytes; a weak one does not, nor does a date.
fn strong_validator(incoming: &Incoming) -> Option<String> {
    let tag = incoming.header("etag")?;
    (tag.len() > 2 && tag.len() <= 512 && tag.starts_with('"')).then(|| tag.to_owned())
}

/// The first byte of a range (RFC 9110 section 14.4).
fn first_byte(text: &str) -> Option<u64> {
    let (from, _) = text.trim().strip_prefix("bytes ")?.split_once('-')?;
    from.trim().parse().ok()
}
