//! The session that `gantry login` keeps: where the fleet manager is, whom to trust, and the token.
//! Variables of the environment go before the file, so that scripts need none.

use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

const LARGEST_FILE: u64 = 1 << 20;
const URL: &str = "GANTRY_URL";
const TOKEN: &str = "GANTRY_TOKEN";
const CA: &str = "GANTRY_CA";

/// A token. Nothing prints it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Token(String);

impl Token {
    /// Takes the first line of what a file or variable holds.
    pub(crate) fn read(text: &str) -> Result<Self, Failure> {
        let token = text.trim();
        let printable = token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.is_empty() || token.len() > 4096 || !printable {
            let message = "the token has to be one line of printable characters without spaces";
            return Err(Failure::Usage(message.to_owned()));
        }
        Ok(Self(token.to_owned()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(..)")
    }
}

/// All that is needed to speak with a fleet manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Session {
    /// `https://HOST[:PORT]`, without a slash at the end.
    pub(crate) url: String,
    pub(crate) token: Token,
    /// The PEM text of the only certificate authorities to trust.
    pub(crate) ca: String,
}

/// What the environment says.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    pub(crate) url: Option<String>,
    pub(crate) token: Option<String>,
    /// A path.
    pub(crate) ca: Option<PathBuf>,
}

impl Environment {
    pub(crate) fn read() -> Self {
        let text = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self { url: text(URL), token: text(TOKEN), ca: text(CA).map(PathBuf::from) }
    }
}

/// The list of variables for `--help`.
pub(crate) fn help() -> String {
    format!(
        "Environment, before what `gantry login` keeps:\n  \
         {URL:12}  where the fleet manager is\n  \
         {TOKEN:12}  the operator's token\n  \
         {CA:12}  the PEM file with the only certificate authority to trust\n"
    )
}

/// The session in force.
pub(crate) fn session(file: &Path, environment: &Environment) -> Result<Session> {
    let kept = load(file)?;
    let url = environment.url.as_deref().map(origin).transpose()?;
    // A kept token is for the fleet manager that it was given for, and goes to no other.
    let kept = kept.filter(|kept| url.as_ref().is_none_or(|url| *url == kept.url));
    let url = url.or_else(|| kept.as_ref().map(|kept| kept.url.clone()));
    let url = url.ok_or_else(|| {
        Failure::NotSignedIn(
            "not signed in; run `gantry login URL --token-file FILE --ca FILE`".to_owned(),
        )
    })?;
    let token = match &environment.token {
        Some(token) => Some(Token::read(token)?),
        None => kept.as_ref().map(|kept| kept.token.clone()),
    };
    let token = token.ok_or_else(|| {
        Failure::NotSignedIn(format!(
            "no token for {url}; set GANTRY_TOKEN, or run `gantry login {url} --token-file FILE`"
        ))
    })?;
    let ca = match &environment.ca {
        Some(path) => Some(read_ca(path)?),
        None => kept.map(|kept| kept.ca),
    };
    let ca = ca.ok_or_else(|| Failure::Usage(no_ca(&url)))?;
    Ok(Session { url, token, ca })
}

pub(crate) fn no_ca(url: &str) -> String {
    format!(
        "no certificate authority to trust for {url}; name its PEM file with `gantry login --ca FILE` or \
         GANTRY_CA"
    )
}

/// The kept session, when there is one.
pub(crate) fn load(file: &Path) -> Result<Option<Session>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("reading {}", file.display()));
        }
    };
    // The error of the parser would quote the line, and the line may be the token.
    toml::from_str(&text).map(Some).map_err(|error| {
        let message = format!("{} is damaged: {}", file.display(), error.message());
        Failure::Usage(format!("{message}; sign in again with `gantry login`")).into()
    })
}

/// Replaces the kept session and, before it, the file of its certificate authority.
pub(crate) fn save(file: &Path, session: &Session) -> Result<()> {
    let text = toml::to_string(session).context("writing the configuration")?;
    replace(&ca_file(file), &session.ca)?;
    replace(file, &text)
}

/// Where the certificate authority of the session in `file` is kept once more, for programs that take
/// nothing but a file, as Git does.
pub(crate) fn ca_file(file: &Path) -> PathBuf {
    file.with_extension("ca.pem")
}

/// Replaces a file; at every instant it is the old one or the new one.
fn replace(file: &Path, text: &str) -> Result<()> {
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("creating {}", folder.display()))?;
    let name = file.file_name().context("the configuration file has no name")?;
    let draft = folder.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let written = write_private(&draft, text).and_then(|()| fs::rename(&draft, file));
    if written.is_err() {
        // The first error is the one to tell; the draft may not exist.
        let _ = fs::remove_file(&draft);
    }
    written.with_context(|| format!("writing {}", file.display()))
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Where the session is kept when nobody says otherwise.
pub(crate) fn default_path() -> Result<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
    let base = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
    let base = base.ok_or_else(|| {
        Failure::Usage("neither XDG_CONFIG_HOME nor HOME is set; name a file with --config".into())
    })?;
    Ok(base.join("gantry").join("config.toml"))
}

/// Checks where a fleet manager is said to be.
pub(crate) fn origin(url: &str) -> Result<String, Failure> {
    let url = url.trim_end_matches('/');
    let host = url.strip_prefix("https://").unwrap_or_default();
    let odd = |it: char| it.is_whitespace() || it.is_control() || "/?#@\\".contains(it);
    if host.is_empty() || host.contains(odd) {
        return Err(Failure::Usage(format!("`{url}` is not of the form https://HOST[:PORT]")));
    }
    Ok(url.to_owned())
}

/// Reads a small text file that the operator named. It may be a pipe.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let refuse = |problem: String| Failure::Usage(format!("{}: {problem}", path.display()));
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_string(&mut text))
        .map_err(|error| refuse(error.to_string()))?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(refuse(format!("the file has more than {LARGEST_FILE} bytes")));
    }
    Ok(text)
}

/// Reads the certificate authorities that the operator named.
pub(crate) fn read_ca(path: &Path) -> Result<String, Failure> {
    let text = read_text(path)?;
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        let problem = "there is no certificate in PEM form in this file";
        return Err(Failure::Usage(format!("{}: {problem}", path.display())));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn a_session() -> Session {
        Session {
            url: "https://fleet.example".to_owned(),
            token: Token::read("secret-1\n").expect("a token"),
            ca: "PEM".to_owned(),
        }
    }

    #[test]
    fn a_saved_session_is_private_and_comes_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("new").join("config.toml");
        save(&file, &a_session()).expect("saved");
        save(&file, &a_session()).expect("saved again");
        let mode = fs::metadata(&file).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(load(&file).expect("read"), Some(a_session()));
        assert_eq!(fs::read_to_string(ca_file(&file)).expect("it is kept too"), "PEM");
        let left = fs::read_dir(folder.path().join("new")).expect("a folder").count();
        assert_eq!(left, 2);
    }

    #[test]
    fn a_kept_token_goes_to_no_other_server() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config.toml");
        save(&file, &a_session()).expect("saved");
        let url = Some("https://other.example".to_owned());
        let other = Environment { url, ..Environment::default() };
        let error = session(&file, &other).expect_err("no token for it");
        assert!(error.to_string().contains("GANTRY_TOKEN"), "{error}");
        let url = Some("https://fleet.example/".to_owned());
        let same = Environment { url, token: Some("t2".to_owned()), ca: None };
        let session = session(&file, &same).expect("the CA is kept");
        assert_eq!(session.token.expose(), "t2");
    }

    #[test]
    fn a_damaged_file_is_reported_without_the_token() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config.toml");
        fs::write(&file, "url = \"x\"\ntoken = \"secret-1\" oops\n").expect("written");
        let error = load(&file).expect_err("damaged");
        assert!(!format!("{error:#}").contains("secret-1"), "{error:#}");
        assert!(!format!("{:?}", a_session()).contains("secret-1"));
    }

    #[test]
    fn a_file_without_an_end_is_not_read_to_its_end() {
        let error = read_text(Path::new("/dev/zero")).expect_err("endless");
        assert!(error.to_string().contains("/dev/zero: the file has more than"), "{error}");
    }

    #[test]
    fn an_address_is_https_and_nothing_but_a_host() {
        assert_eq!(origin("https://a:8443/").expect("good"), "https://a:8443");
        for bad in ["http://a", "https://", "https://u@a", "https://a/x", "a", "https://a?b"] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
