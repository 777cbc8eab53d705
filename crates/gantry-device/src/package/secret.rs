//! Secrets that the owner keeps in files of their own. They are read when they are needed, so one that is
//! replaced counts at once, and they are in no log, no error and no debug output.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::failure::Trouble;
use crate::config::{Credentials, is_open_to_others};

/// The longest secret, in bytes. Tokens are long.
const LONGEST: u64 = 16 << 10;

/// The value of an `Authorization` header.
#[derive(Clone)]
pub(super) struct Authorization(String);

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(…)")
    }
}

impl Authorization {
    pub(super) fn basic(username: &str, password: &str) -> Self {
        Self(format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{password}"))))
    }

    pub(super) fn bearer(token: &str) -> Self {
        Self(format!("Bearer {token}"))
    }

    /// Of what the owner's configuration names.
    pub(super) fn read(credentials: &Credentials) -> Result<Self, Trouble> {
        Ok(match credentials {
            Credentials::Password { username, file } => Self::basic(username, &secret(file)?),
            Credentials::Token { file } => Self::bearer(&secret(file)?),
        })
    }

    /// For the request alone.
    pub(super) fn header(&self) -> &str {
        &self.0
    }
}

fn secret(file: &Path) -> Result<String, Trouble> {
    let wrong = |problem: String| Trouble::Secret { file: file.to_owned(), problem };
    if is_open_to_others(file) {
        return Err(wrong("others can read it; `chmod 600` takes that from them".to_owned()));
    }
    let mut text = String::new();
    let read = File::open(file).and_then(|it| it.take(LONGEST + 1).read_to_string(&mut text));
    read.map_err(|error| wrong(error.to_string()))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    let fits = !secret.is_empty() && secret.len() as u64 <= LONGEST;
    if !fits || secret.chars().any(char::is_control) {
        return Err(wrong("it has to be one line that is not empty".to_owned()));
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_one_line_of_a_file_that_is_its_owners_alone_and_never_shown() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let file = folder.path().join("password");
        let credentials =
            Credentials::Password { username: "press".to_owned(), file: file.clone() };
        let write = |text: &str, mode| {
            std::fs::write(&file, text).expect("writable");
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&file, mode).expect("it is ours");
            Authorization::read(&credentials)
        };
        let good = write("opens\n", 0o600).expect("a good secret");
        assert_eq!(good.header(), "Basic cHJlc3M6b3BlbnM=");
        assert!(!format!("{good:?}").contains("cHJl"), "{good:?}");
        for (text, mode) in [("hidden\n", 0o640), ("", 0o600), ("hidden\nhidden\n", 0o600)] {
            let error = write(text, mode).expect_err("no good secret").to_string();
            assert!(error.contains("password") && !error.contains("hidden"), "{error}");
        }
        std::fs::remove_file(&file).expect("removable");
        assert!(Authorization::read(&credentials).is_err());
    }
}
