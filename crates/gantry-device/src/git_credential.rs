//! Git's credential helper protocol, so that any Git on the device can follow the desired state
//! without a token in a command line or a file.

use std::path::Path;

use crate::config::Config;
use crate::source::git::RepositoryAccess;

/// The answer to what Git asked, if it asked about the client's repository or its host.
pub(crate) fn answer(asked: &str, access: &RepositoryAccess) -> Option<String> {
    let of = |key: &str| asked.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let origin = format!("{}://{}", of("protocol")?, of("host")?);
    let below = access.url.strip_prefix(&origin)?;
    if !below.starts_with('/') {
        return None;
    }
    Some(format!("username={}\npassword={}\n", access.username, access.token))
}

/// Where the repository is and how to clone it, for a person. Without the token.
pub(crate) fn describe(access: &RepositoryAccess, config_file: &Path, config: &Config) -> String {
    let helper = format!("!gantry-device --config {} git-credential", config_file.display());
    format!(
        "url:      {url}\nbranch:   {branch}\nusername: {username}\nexpires:  {expires} (a fresh token is given each time)\n\n\
         Clone it with:\n  git clone -c http.sslCAInfo={ca} -c credential.helper= -c 'credential.helper={helper}' {url}",
        url = access.url,
        branch = access.branch,
        username = access.username,
        expires = access.expires_at,
        ca = config.server.ca.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> RepositoryAccess {
        RepositoryAccess {
            url: "https://fleet.example:8443/git/c.git".to_owned(),
            branch: "main".to_owned(),
            username: "c".to_owned(),
            token: "secret".to_owned(),
            expires_at: jiff::Timestamp::UNIX_EPOCH,
            signers: Vec::new(),
        }
    }

    #[test]
    fn git_gets_the_token_for_the_fleet_manager_and_for_nobody_else() {
        let asked = "protocol=https\nhost=fleet.example:8443\n\n";
        assert_eq!(answer(asked, &access()).as_deref(), Some("username=c\npassword=secret\n"));
        for asked in [
            "protocol=http\nhost=fleet.example:8443\n",
            "protocol=https\nhost=fleet.example\n",
            "protocol=https\nhost=evil.example\n",
            "",
        ] {
            assert_eq!(answer(asked, &access()), None, "{asked}");
        }
    }

    #[test]
    fn a_token_is_not_printed_for_debugging() {
        assert!(!format!("{:?}", access()).contains("secret"));
    }
}
