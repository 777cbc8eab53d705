//! Git objects, made ready for packs: each has its id and the compressed entry that every pack with
//! it contains.

use std::fmt;
use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use gix_hash::ObjectId;
use gix_object::WriteTo as _;
use gix_object::tree::{Entry, EntryKind};

/// An object and its entry in a pack: a header and the deflated content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedObject {
    /// What Git calls it: the SHA-1 of its kind, its size and its content.
    pub id: ObjectId,
    /// The pack entry.
    pub entry: Vec<u8>,
}

/// Who made a commit, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// As people call them.
    pub name: String,
    /// An address; it does not have to exist.
    pub email: String,
    /// Seconds since 1970, told in UTC.
    pub at: i64,
}

/// A commit before it has an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The files.
    pub tree: ObjectId,
    /// The commit before it, if it is not the first.
    pub parent: Option<ObjectId>,
    /// Who wanted it.
    pub author: Person,
    /// Who made it.
    pub committer: Person,
    /// Why.
    pub message: String,
}

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Child {
    /// A file with this content.
    File(ObjectId),
    /// A folder with these files.
    Folder(ObjectId),
}

/// An object cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The name would lead out of the folder, or into Git's own.
    #[error("`{0}` cannot be the name of a file in a repository")]
    Name(String),
    /// There is no room for the compressed bytes.
    #[error("compressing an object")]
    Compress(#[source] io::Error),
    /// Somebody has prepared the content so that two of them have one id.
    #[error("the SHA-1 of the content looks like a prepared collision")]
    Collision,
}

/// A file's content.
pub fn blob(content: &[u8]) -> Result<PackedObject, ObjectError> {
    packed(gix_object::Kind::Blob, content)
}

/// A folder.
pub fn tree(children: &[(&str, Child)]) -> Result<PackedObject, ObjectError> {
    let mut entries = Vec::new();
    for (name, child) in children {
        let forbidden = ["", ".", "..", ".git"].contains(name) || name.contains(['/', '\0']);
        if forbidden {
            return Err(ObjectError::Name((*name).to_owned()));
        }
        let (kind, oid) = match child {
            Child::File(oid) => (EntryKind::Blob, *oid),
            Child::Folder(oid) => (EntryKind::Tree, *oid),
        };
        entries.push(Entry { mode: kind.into(), filename: (*name).into(), oid });
    }
    // Git sorts a folder as if its name ended with a slash; `Ord` of an entry knows.
    entries.sort();
    let mut content = Vec::new();
    gix_object::Tree { entries }.write_to(&mut content).map_err(ObjectError::Compress)?;
    packed(gix_object::Kind::Tree, &content)
}

impl Commit {
    /// The commit as it is without a signature: what a signature is made over. Names lose what would
    /// end their line, so that they cannot forge a header.
    pub fn to_text(&self) -> String {
        format!("{}\n{}", self.headers(), self.message.replace('\0', ""))
    }

    /// The commit as an object. A signature stands in the header `gpgsig`, each further line of it
    /// behind a blank.
    pub fn pack(&self, signature: Option<&str>) -> Result<PackedObject, ObjectError> {
        let text = match signature {
            None => self.to_text(),
            Some(signature) => {
                let signature = signature.trim_end().replace('\n', "\n ");
                let message = self.message.replace('\0', "");
                format!("{}gpgsig {signature}\n\n{message}", self.headers())
            }
        };
        packed(gix_object::Kind::Commit, text.as_bytes())
    }

    fn headers(&self) -> String {
        let parent = self.parent.map(|parent| format!("parent {parent}\n")).unwrap_or_default();
        format!(
            "tree {}\n{parent}author {}\ncommitter {}\n",
            self.tree, self.author, self.committer
        )
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clean = |text: &str| -> String {
            text.chars().filter(|it| !it.is_control() && !['<', '>'].contains(it)).collect()
        };
        write!(f, "{} <{}> {} +0000", clean(&self.name), clean(&self.email), self.at.max(0))
    }
}

fn packed(kind: gix_object::Kind, content: &[u8]) -> Result<PackedObject, ObjectError> {
    let id = gix_object::compute_hash(gix_hash::Kind::Sha1, kind, content)
        .map_err(|_| ObjectError::Collision)?;
    let mut encoder = ZlibEncoder::new(entry_header(kind, content.len()), Compression::new(6));
    let entry = encoder
        .write_all(content)
        .and_then(|()| encoder.finish())
        .map_err(ObjectError::Compress)?;
    Ok(PackedObject { id, entry })
}

/// The kind and the size: four bits of it in the first byte, seven in each that follows.
fn entry_header(kind: gix_object::Kind, size: usize) -> Vec<u8> {
    let kind: u8 = match kind {
        gix_object::Kind::Commit => 1,
        gix_object::Kind::Tree => 2,
        gix_object::Kind::Blob => 3,
        gix_object::Kind::Tag => 4,
    };
    let mut header = Vec::new();
    let mut byte = (kind << 4) | low_bits(size, 4);
    let mut left = size >> 4;
    while left > 0 {
        header.push(byte | 0x80);
        byte = low_bits(left, 7);
        left >>= 7;
    }
    header.push(byte);
    header
}

fn low_bits(size: usize, bits: u32) -> u8 {
    u8::try_from(size & ((1 << bits) - 1)).expect("at most seven bits fit into a byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_git() {
        let hello = blob(b"hello\n").expect("a blob");
        assert_eq!(hello.id.to_string(), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(
            tree(&[]).expect("a tree").id.to_string(),
            "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
        );
    }

    #[test]
    fn the_header_of_an_entry_has_the_size_in_groups_of_bits() {
        assert_eq!(entry_header(gix_object::Kind::Blob, 5), [0x35]);
        assert_eq!(entry_header(gix_object::Kind::Blob, 16), [0xb0, 0x01]);
        assert_eq!(entry_header(gix_object::Kind::Commit, 0x7ff), [0x9f, 0x7f]);
        assert_eq!(entry_header(gix_object::Kind::Commit, 0x800), [0x90, 0x80, 0x01]);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        let oid = blob(b"").expect("a blob").id;
        for name in ["", ".", "..", ".git", "a/b", "a\0b"] {
            assert!(tree(&[(name, Child::File(oid))]).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_person_cannot_forge_a_header() {
        let person =
            Person { name: "A\nparent 0".to_owned(), email: "a> 1 +0000\nx <b".to_owned(), at: 7 };
        assert_eq!(person.to_string(), "Aparent 0 <a 1 +0000x b> 7 +0000");
    }
}
