//! The versions of Git's protocol, and how a client asks for one.

/// A version of the protocol. Version 1 is version 0 with a line that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// What clients speak that do not ask for a version.
    V0,
    /// As version 0, but for the first line of the advertisement.
    V1,
    /// Commands, each with sections of its own.
    V2,
}

impl Version {
    /// The highest version that the header `Git-Protocol` asks for; the oldest one without it.
    pub fn from_header(git_protocol: Option<&str>) -> Self {
        let asked_for = git_protocol.unwrap_or_default().split(':').map(str::trim);
        asked_for.fold(Self::V0, |highest, pair| match (pair, highest) {
            ("version=2", _) => Self::V2,
            ("version=1", Self::V0) => Self::V1,
            _ => highest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_is_found_among_other_words() {
        for (header, version) in [
            (None, Version::V0),
            (Some(""), Version::V0),
            (Some("version=0"), Version::V0),
            (Some("version=1"), Version::V1),
            (Some("version=2"), Version::V2),
            (Some("x=y:version=2"), Version::V2),
            (Some("version=2:version=1"), Version::V2),
            (Some("version=1:version=2"), Version::V2),
            (Some("version=22"), Version::V0),
        ] {
            assert_eq!(Version::from_header(header), version, "{header:?}");
        }
    }
}
