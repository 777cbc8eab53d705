//! How a fleet manager that has lost the newest part of a client's history says where it goes on.
//!
//! After a restore of an older backup the history that a device follows ends in a commit that nobody has any
//! more. So the first commit after such a loss says in a trailer, under its signature, whose history it goes
//! on with and at which version. A device that cannot find what it follows may go on from there, and from
//! nowhere else.

use crate::trailer;

const RECOVERY: &str = "Gantry-Recovers-History";

/// The place where a history goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The id of the client whose history it is: one key signs the histories of all.
    pub client: String,
    /// The manifest version of the commit that says so.
    pub version: u64,
}

impl Recovery {
    /// The trailer of a commit message that says so.
    pub fn declaration(&self) -> String {
        format!("{RECOVERY}: {} {}", self.client, self.version)
    }

    /// What a commit with this message says, if anything.
    pub fn declared_by(message: &str) -> Option<Self> {
        let (client, version) = trailer(message, RECOVERY)?.split_once(' ')?;
        Some(Self { client: client.to_owned(), version: version.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_is_declared_by_the_trailers_of_a_message_alone() {
        let recovery = Recovery { client: "press-7".to_owned(), version: 12 };
        let line = recovery.declaration();
        let declared = Recovery::declared_by(&format!("Subject\n\nBody.\n\nA: b\n{line}\n"));
        assert_eq!(declared, Some(recovery));
        assert_eq!(Recovery::declared_by(&format!("Subject\n\n{line}\n\nA: b\n")), None);
        for other in ["", "Gantry-Recovers-History: a", "Gantry-Recovers-History: a -1"] {
            assert_eq!(Recovery::declared_by(other), None, "{other}");
        }
    }
}
