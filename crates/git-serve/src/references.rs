//! `ls-refs`: the references in version 2, the whole of a poll that finds nothing new.

use gix_hash::ObjectId;

use crate::pkt_line::Packets;
use crate::request::{Malformed, line, text};
use crate::{BRANCH, pkt_line};

/// Which references to list, and with what beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListReferences {
    symrefs: bool,
    unborn: bool,
    prefixes: Prefixes,
}

/// Which names were asked for. There are only two, so no prefix has to be kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Prefixes {
    given: bool,
    head: bool,
    branch: bool,
}

impl ListReferences {
    pub(crate) fn parse(arguments: &mut Packets<'_>) -> Result<Self, Malformed> {
        let mut request = Self::default();
        while let Some(argument) = line(arguments)? {
            match argument {
                b"symrefs" => request.symrefs = true,
                b"unborn" => request.unborn = true,
                // There are no tags that could be peeled.
                b"peel" => {}
                other => {
                    let prefix = other
                        .strip_prefix(b"ref-prefix ")
                        .ok_or_else(|| Malformed::Unexpected(text(other)))?;
                    request.prefixes.add(prefix);
                }
            }
        }
        Ok(request)
    }

    /// The references of a repository whose newest commit is `head`. An empty one has none, but can
    /// say which branch its `HEAD` will lead to.
    pub fn answer(&self, head: Option<ObjectId>) -> Vec<u8> {
        let mut out = Vec::new();
        let symref = if self.symrefs { format!(" symref-target:{BRANCH}") } else { String::new() };
        let Prefixes { given, head: asks_for_head, branch: asks_for_branch } = self.prefixes;
        if asks_for_head || !given {
            match head {
                Some(head) => write(&mut out, &format!("{head} HEAD{symref}")),
                None if self.unborn && self.symrefs => {
                    write(&mut out, &format!("unborn HEAD{symref}"));
                }
                None => {}
            }
        }
        if let Some(head) = head.filter(|_| asks_for_branch || !given) {
            write(&mut out, &format!("{head} {BRANCH}"));
        }
        pkt_line::write_flush(&mut out);
        out
    }
}

impl Prefixes {
    fn add(&mut self, prefix: &[u8]) {
        self.given = true;
        self.head |= b"HEAD".starts_with(prefix);
        self.branch |= BRANCH.as_bytes().starts_with(prefix);
    }
}

fn write(out: &mut Vec<u8>, line: &str) {
    pkt_line::write(out, format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(arguments: &[&str], head: Option<ObjectId>) -> String {
        let mut bytes = Vec::new();
        for argument in arguments {
            write(&mut bytes, argument);
        }
        pkt_line::write_flush(&mut bytes);
        let request = ListReferences::parse(&mut Packets::of(&bytes)).expect("a request");
        String::from_utf8(request.answer(head)).expect("text")
    }

    fn lines(lines: &[&str]) -> String {
        let mut bytes = Vec::new();
        for line in lines {
            write(&mut bytes, line);
        }
        String::from_utf8(bytes).expect("text") + "0000"
    }

    #[test]
    fn references_are_listed_as_asked_for() {
        let id = ObjectId::from_hex(&[b'a'; 40]).expect("an id");
        let (head, branch) = (format!("{id} HEAD"), format!("{id} refs/heads/main"));
        let symref = format!("{head} symref-target:refs/heads/main");
        for (arguments, expected) in [
            (&["peel"][..], &[&head, &branch][..]),
            (&["symrefs"], &[&symref, &branch]),
            (&["ref-prefix refs/heads/"], &[&branch]),
            (&["ref-prefix refs/tags/"], &[]),
            (&["ref-prefix refs/tags/", "ref-prefix HEAD"], &[&head]),
            (&["ref-prefix "], &[&head, &branch]),
            (&["symrefs", "unborn", "ref-prefix HEAD"], &[&symref]),
        ] {
            let expected: Vec<&str> = expected.iter().map(|it| it.as_str()).collect();
            assert_eq!(list(arguments, Some(id)), lines(&expected), "{arguments:?}");
        }
    }

    #[test]
    fn an_empty_repository_says_which_branch_will_come_to_who_asks() {
        let unborn = lines(&["unborn HEAD symref-target:refs/heads/main"]);
        assert_eq!(list(&["symrefs", "unborn"], None), unborn);
        for arguments in [&["symrefs"][..], &["unborn"], &["symrefs", "unborn", "ref-prefix refs/"]]
        {
            assert_eq!(list(arguments, None), lines(&[]), "{arguments:?}");
        }
    }
}
