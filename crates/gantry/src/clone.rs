//! The command with which an operator clones a client's repository. Git gets the token from a variable of
//! the one shell that runs it: it stands on no command line, and in no file.

use std::path::Path;

use anyhow::{Context as _, Result};
use operator_api::RepositoryAccess;

/// Where the clone's credential helper looks for the token, then and later.
const TOKEN: &str = "GANTRY_REPOSITORY_TOKEN";

/// A line for a shell, which asks for the token and clones.
pub(crate) fn command(access: &RepositoryAccess, ca_file: &Path) -> Result<String> {
    // It stays in the configuration of the clone, which may be anywhere.
    let ca_file = std::path::absolute(ca_file).context("where the certificate authority is")?;
    let origin = origin(&access.url);
    let settings = [
        format!("http.sslCAInfo={}", ca_file.display()),
        // No other helper gets the token to keep, and ours gives it to this server alone.
        "credential.helper=".to_owned(),
        format!("credential.{origin}.username={}", access.username),
        format!(r#"credential.{origin}.helper=!f() {{ printf "password=%s\n" "${TOKEN}"; }}; f"#),
    ];
    let settings: String = settings.iter().map(|it| format!("-c {} ", quoted(it))).collect();
    let url = quoted(&access.url);
    Ok(format!(
        "(printf 'Token: ' && read -r {TOKEN} && export {TOKEN} && git clone {settings}{url})"
    ))
}

/// Scheme, host and port of a URL.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |it| it + 3);
    let end = url[host..].find('/').map_or(url.len(), |it| host + it);
    &url[..end]
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "@%+=:,./_-".contains(it);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_not_in_the_command_and_goes_to_its_server_alone() {
        let access = RepositoryAccess {
            url: "https://fleet.example:8443/git/c.git".to_owned(),
            branch: "main".to_owned(),
            username: "c".to_owned(),
            token: "secret".to_owned(),
            expires_at: "t".to_owned(),
            signers: Vec::new(),
        };
        let command = command(&access, Path::new("/ca's.pem")).expect("an absolute path");
        assert!(!command.contains("secret"), "{command}");
        for needle in [
            r"-c 'http.sslCAInfo=/ca'\''s.pem' ",
            "-c credential.helper= ",
            "-c credential.https://fleet.example:8443.username=c ",
            "-c 'credential.https://fleet.example:8443.helper=!f() { ",
            " https://fleet.example:8443/git/c.git)",
        ] {
            assert!(command.contains(needle), "{needle} is missing in {command}");
        }
    }

    #[test]
    fn a_word_cannot_become_another_command() {
        assert_eq!(quoted("https://a/b.git"), "https://a/b.git");
        assert_eq!(quoted("a; $(b) 'c'"), r"'a; $(b) '\''c'\'''");
        assert_eq!(quoted(""), "''");
    }
}
