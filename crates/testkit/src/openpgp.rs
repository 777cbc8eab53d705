//! Real OpenPGP keys, made with GnuPG in a home of the test's own.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A keyring that nobody else uses. Dropping it ends the agent that goes with it.
pub struct Keyring {
    home: TempDir,
}

impl Keyring {
    pub fn new() -> Self {
        // The path of the agent's socket may not be long.
        let home = tempfile::Builder::new().prefix("gpg").tempdir_in("/tmp");
        Self { home: home.expect("a temporary directory can be made") }
    }

    /// Makes a key that may sign, such as `ed25519` or `rsa3072`, and gives its fingerprint. It expires
    /// after a time such as `1y`, or `never`.
    pub fn make(&self, user: &str, algorithm: &str, expires: &str) -> String {
        self.gpg(&["--quick-generate-key", user, algorithm, "cert,sign", expires], b"");
        self.fingerprint(user)
    }

    /// Gives a key a part that may sign as well; it is what signs from then on.
    pub fn add_signing_part(&self, fingerprint: &str, algorithm: &str) {
        self.gpg(&["--quick-add-key", fingerprint, algorithm, "sign", "1y"], b"");
    }

    /// Revokes a key.
    pub fn revoke(&self, fingerprint: &str) {
        let file = self.home.path().join(format!("openpgp-revocs.d/{fingerprint}.rev"));
        let text = fs::read_to_string(file).expect("GnuPG makes one with each key");
        self.gpg(&["--import"], text.replace(":-----BEGIN", "-----BEGIN").as_bytes());
    }

    /// The public key, armored.
    pub fn public(&self, user: &str) -> Vec<u8> {
        self.gpg(&["--armor", "--export", user], b"")
    }

    /// A detached signature over these bytes; `more` are further options, such as `--armor`.
    pub fn sign(&self, user: &str, bytes: &[u8], more: &[&str]) -> Vec<u8> {
        let detached = ["--local-user", user, "--detach-sign"];
        self.gpg(&[more, &detached].concat(), bytes)
    }

    /// Runs gpg with these arguments and input, and gives what it prints.
    pub fn gpg(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = self
            .command("gpg")
            .args(["--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run gpg (the package gnupg): {error}"));
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input).expect("gpg reads its input");
        drop(stdin);
        let output = child.wait_with_output().expect("gpg ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gpg {arguments:?}: {stderr}");
        output.stdout
    }

    fn fingerprint(&self, user: &str) -> String {
        let listed = self.gpg(&["--with-colons", "--fingerprint", user], b"");
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let line = listed.lines().find(|it| it.starts_with("fpr:")).expect("a key has one");
        line.split(':').nth(9).expect("it is the tenth field").to_owned()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("GNUPGHOME", self.home.path());
        command
    }
}

impl Default for Keyring {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        // It would end by itself when its folder is gone, but later.
        let _ = self.command("gpgconf").args(["--kill", "all"]).status();
    }
}
