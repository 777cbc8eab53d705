//! What the tools behind a provider say that they are.

use serde_json::Value;

/// The longest version that is passed on, in characters.
const LONGEST: usize = 64;

/// What is there to run components of one kind with, as far as it is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// The version of the tool, such as Compose or Helm.
    pub tool: Option<String>,
    /// The version of what runs the containers: the engine, or the cluster.
    pub engine: Option<String>,
    /// For which architecture it runs them, as containers name it: `amd64`, `arm64`.
    pub architecture: Option<String>,
}

/// A version as a tool prints it alone on a line.
pub(crate) fn version(printed: &str) -> Option<String> {
    word(printed)
        .filter(|it| it.trim_start_matches('v').starts_with(|it: char| it.is_ascii_digit()))
}

/// The first line that says something, if that is one word.
fn word(printed: &str) -> Option<String> {
    let line = printed.lines().map(str::trim).find(|it| !it.is_empty())?;
    let is_word = line.len() <= LONGEST && line.chars().all(|it| it.is_ascii_graphic());
    is_word.then(|| line.to_owned())
}

/// The version and the architecture of an engine, as `docker version` and `podman version` print them in
/// JSON. Podman is no server, unless it runs as one.
pub(crate) fn engine(printed: &[u8]) -> (Option<String>, Option<String>) {
    let told: Value = serde_json::from_slice(printed).unwrap_or_default();
    let engine = [&told["Server"], &told["Client"]].into_iter().find(|it| it.is_object());
    let text = |key| engine.and_then(|it| word(it[key].as_str()?));
    let of_both = || Some(text("OsArch")?.rsplit_once('/')?.1.to_owned());
    (text("Version"), text("Arch").or_else(of_both))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_tell_their_version_and_architecture() {
        let docker = br#"{"Client":{"Version":"28.2.2","Arch":"amd64"},
            "Server":{"Version":"20.10.24+dfsg1","Arch":"arm64"}}"#;
        let told = |version: &str, architecture: &str| {
            (Some(version.to_owned()), Some(architecture.to_owned()))
        };
        assert_eq!(engine(docker), told("20.10.24+dfsg1", "arm64"));
        let podman = br#"{"Client":{"Version":"5.2.1","OsArch":"linux/arm64"},"Server":null}"#;
        assert_eq!(engine(podman), told("5.2.1", "arm64"));
        assert_eq!(engine(b"something else"), (None, None));
    }

    #[test]
    fn what_is_no_version_is_not_passed_on() {
        assert_eq!(version("\n 2.26.1-4 \n").as_deref(), Some("2.26.1-4"));
        assert_eq!(version("v3.16.2+g13654a5").as_deref(), Some("v3.16.2+g13654a5"));
        for printed in
            ["", "Docker Compose version v2", "{}", "2.26 or so", &"9".repeat(LONGEST + 1)]
        {
            assert_eq!(version(printed), None, "{printed}");
        }
    }
}
