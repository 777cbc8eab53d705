//! A Git library under test: where it is installed, and how its program is started.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use tempfile::TempDir;
use testkit::programs;

/// What the programs exit with when user name and token were refused.
const REFUSED: i32 = 3;

/// User name, token and CA, as a program gets them.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) username: String,
    pub(crate) token: String,
    pub(crate) ca: PathBuf,
}

/// A library with a home of its own.
pub(crate) struct Follower {
    program: PathBuf,
    home: TempDir,
    version: Option<&'static str>,
}

impl Follower {
    /// Panics unless the library is installed with the program and the pins of this source tree.
    pub(crate) fn new(library: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let source = root.join("tests/git_clients").join(library);
        let installed = root.join("../../target/git-clients").join(library);
        let complete = installed.join("stamp").is_file();
        let current = fs::read_dir(&source).expect("each library has a folder").all(|file| {
            let file = file.expect("a folder can be read");
            let copy = fs::read(installed.join(file.file_name())).ok();
            copy == Some(fs::read(file.path()).expect("a file of the source tree can be read"))
        });
        assert!(
            complete && current,
            "{library} is not installed as its folder in {} says: run `scripts/set-up.sh test`",
            source.display()
        );
        let home = tempfile::tempdir().expect("a temporary directory can be made");
        Self { program: installed.join("follow"), home, version: None }
    }

    /// Asks for a version of the protocol, of a library that speaks more than one. JGit reads Git's
    /// setting, dulwich Git's variable.
    pub(crate) fn speaking(self, version: &'static str) -> Self {
        let setting = format!("[protocol]\n\tversion = {version}\n");
        fs::write(self.home.path().join(".gitconfig"), setting).expect("a home can be written");
        Self { version: Some(version), ..self }
    }

    /// Where a clone of this name is.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The real `git` in a clone.
    pub(crate) fn git(&self, clone: &str, arguments: &[&str]) -> Output {
        let mut command = self.command(Path::new("git"));
        programs::run(command.arg("-C").arg(clone).args(arguments))
    }

    /// What the program prints when it succeeds.
    pub(crate) fn run(&self, access: &Access, arguments: &[&str]) -> Vec<u8> {
        let output = self.start(access, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        output.stdout
    }

    /// Panics unless the library says that the server refused user name and token.
    pub(crate) fn is_refused(&self, access: &Access, arguments: &[&str]) {
        let output = self.start(access, arguments);
        assert_eq!(output.status.code(), Some(REFUSED), "{arguments:?}: {}", said(&output));
    }

    /// Panics unless the program fails for another reason than user name and token, and says so.
    pub(crate) fn fails(&self, access: &Access, arguments: &[&str]) -> String {
        let output = self.start(access, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    fn start(&self, access: &Access, arguments: &[&str]) -> Output {
        let mut command = self.command(&self.program);
        command
            .args(arguments)
            .env("GANTRY_GIT_USERNAME", &access.username)
            .env("GANTRY_GIT_TOKEN", &access.token)
            .env("GANTRY_GIT_CA", &access.ca)
            .envs(self.version.map(|version| ("GIT_PROTOCOL", format!("version={version}"))));
        programs::run(&mut command)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("LC_ALL", "C.UTF-8")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }
}

fn said(output: &Output) -> String {
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{}\n{stdout}{stderr}", output.status)
}
