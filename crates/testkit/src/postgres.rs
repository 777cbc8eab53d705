//! A real PostgreSQL for tests: Debian's, as a cluster of their own that nothing else uses, and that goes with
//! whoever started it, however that ends.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::{env, fs};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::certificates::Authority;
use crate::disk::SmallDisk;
use crate::port;
use crate::{programs, wait};

const USER: &str = "gantry";
/// Needs to be written otherwise in a URL.
const PASSWORD: &str = "p@ss:word/1";
const PASSWORD_IN_URL: &str = "p%40ss%3Aword%2F1";

/// Waits until whoever holds its standard input has ended, then stops the cluster.
const WATCHMAN: &str = r#"
cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
rm -rf "$1"
"#;

/// A cluster, running or not.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    port: u16,
    options: Vec<&'static str>,
    server: Mutex<Option<Child>>,
    watchman: Child,
    databases: AtomicU64,
}

/// A database, which goes when this is dropped.
#[derive(Debug)]
pub struct PostgresDatabase {
    folder: PathBuf,
    port: u16,
    /// The port in its URL.
    called_at: u16,
    name: String,
}

impl Postgres {
    /// Starts a cluster that is as durable as one is by default.
    pub fn start() -> Self {
        Self::start_with(temporary_folder(), Vec::new())
    }

    /// As [`Postgres::start`], on this disk.
    pub fn start_on(disk: &SmallDisk) -> Self {
        let folder = disk.path().join("cluster");
        fs::create_dir(&folder).expect("there is room");
        for folder in folder.ancestors().take(3) {
            let everybody = fs::Permissions::from_mode(0o755);
            fs::set_permissions(folder, everybody).expect("it is ours");
        }
        // Less than it keeps by default, for a disk that is small.
        Self::start_with(folder, vec!["min_wal_size=32MB", "max_wal_size=32MB"])
    }

    /// The cluster of all tests of a program. It waits for no disk: it is never cut off from power.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| {
            Self::start_with(temporary_folder(), vec!["fsync=off", "max_connections=400"])
        })
    }

    /// The cluster of all tests, where they are to run on PostgreSQL: `GANTRY_TEST_DATABASE=postgres`.
    pub fn of_tests() -> Option<&'static Self> {
        match env::var("GANTRY_TEST_DATABASE").as_deref() {
            Ok("postgres") => Some(Self::shared()),
            Ok("sqlite") | Err(_) => None,
            Ok(other) => panic!("GANTRY_TEST_DATABASE is `{other}`, not sqlite or postgres"),
        }
    }

    fn start_with(folder: PathBuf, options: Vec<&'static str>) -> Self {
        let authority = Authority::new();
        authority.write_server("localhost", &folder);
        let write = |file: &str, text: &str| {
            fs::write(folder.join(file), text).expect("the folder can be written");
        };
        write("ca.pem", authority.pem());
        write("password", PASSWORD);
        let key = fs::Permissions::from_mode(0o600);
        fs::set_permissions(folder.join("server.key"), key).expect("it is ours");
        give_away(&folder);
        let mut make = program("initdb");
        make.arg("--pgdata").arg(folder.join("data")).arg("--pwfile").arg(folder.join("password"));
        make.args(["--username", USER, "--auth", "scram-sha-256", "--encoding", "UTF8"]);
        programs::stdout_of(make.args(["--no-locale", "--no-sync"]));
        let watchman = Command::new("sh")
            .args(["-c", WATCHMAN, "watchman"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let server = Mutex::new(None);
        let databases = AtomicU64::new(0);
        let cluster = Self { folder, port: port::free(), options, server, watchman, databases };
        cluster.start_again();
        cluster
    }

    /// A new database. What it sorts it sorts by the rules of a language, as many do.
    pub fn database(&self) -> PostgresDatabase {
        let name = format!("fleet_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql(&format!(
            "CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
        ));
        let (folder, port) = (self.folder.clone(), self.port);
        PostgresDatabase { folder, port, called_at: port, name }
    }

    /// What `psql` says to a statement, as an administrator of the cluster.
    pub fn psql(&self, statement: &str) -> String {
        psql(&self.folder, self.port, "postgres", statement)
    }

    /// Starts the server of a cluster that was stopped or killed, and waits until it answers.
    pub fn start_again(&self) {
        let mut postgres = program("postgres");
        postgres.arg("-D").arg(self.folder.join("data"));
        let at = |file: &str| self.folder.join(file).display().to_string();
        for option in [
            format!("port={}", self.port),
            "listen_addresses=localhost".to_owned(),
            format!("unix_socket_directories={}", self.folder.display()),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", at("server.pem")),
            format!("ssl_key_file={}", at("server.key")),
        ] {
            postgres.arg("-c").arg(option);
        }
        for option in &self.options {
            postgres.arg("-c").arg(option);
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log"));
        let log = log.expect("the folder can be written");
        let server = postgres.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        *self.server() = Some(server.expect("postgres can be started"));
        wait::until("PostgreSQL to answer", || {
            let mut asked = program("pg_isready");
            asked.arg("--host").arg(&self.folder).arg("--port").arg(self.port.to_string());
            programs::run(&mut asked).status.success().then_some(())
        });
    }

    /// As [`Postgres::start_again`], unless it runs.
    pub fn start_again_if_it_ended(&self) {
        let ended = self.server().as_mut().is_none_or(|it| matches!(it.try_wait(), Ok(Some(_))));
        if ended {
            self.start_again();
        }
    }

    /// Takes all processes of the server away without a warning.
    pub fn kill(&self) {
        let mut server = self.take_server();
        let id = pid(&server);
        let others = children(id);
        for process in [vec![id], others].concat() {
            // Some end by themselves when the first one is gone.
            let _ = rustix::process::kill_process(process, Signal::KILL);
        }
        server.wait().expect("a killed program ends");
    }

    /// Stops the server, whoever is connected.
    pub fn stop(&self) {
        let mut server = self.take_server();
        rustix::process::kill_process(pid(&server), Signal::INT).expect("the program is ours");
        server.wait().expect("a program that is asked to ends");
    }

    /// The port of the server, on `localhost`.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn take_server(&self) -> Child {
        self.server().take().expect("the server runs")
    }

    fn server(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.watchman.stdin.take());
        if let Some(mut server) = self.server().take() {
            let _ = server.wait();
        }
        let _ = self.watchman.wait();
    }
}

impl PostgresDatabase {
    /// Its URL, with the password, for whoever trusts the cluster's certificate alone.
    pub fn url(&self) -> String {
        format!(
            "postgres://{USER}:{PASSWORD_IN_URL}@localhost:{}/{}?sslmode=verify-full&sslrootcert={}",
            self.called_at,
            self.name,
            self.folder.join("ca.pem").display()
        )
    }

    /// The same, which is called by way of another port of this machine.
    pub fn through(self, port: u16) -> Self {
        let mut other = self;
        other.called_at = port;
        other
    }

    /// What `psql` says to a statement, without headings.
    pub fn psql(&self, statement: &str) -> String {
        psql(&self.folder, self.port, &self.name, statement)
    }

    /// A tool of PostgreSQL, such as `pg_dump`, that is to be told of nothing but what to do.
    pub fn tool(&self, name: &str) -> Command {
        let mut tool = program(name);
        tool.env("PGHOST", &self.folder)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", USER)
            .env("PGPASSWORD", PASSWORD)
            .env("PGDATABASE", &self.name);
        tool
    }

    /// The bytes that it takes on the disk.
    pub fn size(&self) -> u64 {
        let size = self.psql("SELECT pg_database_size(current_database())");
        size.trim().parse().expect("a number of bytes")
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // The cluster may be gone.
        let _ = programs::run(&mut command(&self.folder, self.port, "postgres", &drop));
    }
}

fn temporary_folder() -> PathBuf {
    tempfile::tempdir().map(TempDir::keep).expect("a temporary directory can be made")
}

fn psql(folder: &Path, port: u16, database: &str, statement: &str) -> String {
    programs::stdout_of(&mut command(folder, port, database, statement))
}

fn command(folder: &Path, port: u16, database: &str, statement: &str) -> Command {
    let mut psql = program("psql");
    psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1"])
        .arg("--host")
        .arg(folder)
        .args(["--port", &port.to_string(), "--username", USER, "--dbname", database])
        .args(["--command", statement])
        .env("PGPASSWORD", PASSWORD);
    psql
}

/// A program of PostgreSQL, the newest that is there, for the user `postgres`: the server does not run as root.
fn program(name: &str) -> Command {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("scripts/set-up.sh test was run");
    let versions = versions.filter_map(|it| it.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let newest = versions.max().expect("scripts/set-up.sh test was run");
    let path = format!("/usr/lib/postgresql/{newest}/bin/{name}");
    let mut command = if rustix::process::getuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--", &path]);
        command
    } else {
        Command::new(path)
    };
    // Wherever the test is, the user may not be let in.
    command.current_dir("/").env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
    command
}

/// Gives a folder and the files in it to the user of [`program`].
fn give_away(folder: &Path) {
    if !rustix::process::getuid().is_root() {
        return;
    }
    let id = |option: &str| -> u32 {
        let id = programs::stdout_of(Command::new("id").args([option, "postgres"]));
        id.trim().parse().expect("an id is a number")
    };
    let (user, group) = (id("-u"), id("-g"));
    let files = fs::read_dir(folder).expect("it is ours").filter_map(Result::ok);
    for path in files.map(|it| it.path()).chain([folder.to_owned()]) {
        chown(path, Some(user), Some(group)).expect("root may give files away");
    }
}

fn pid(child: &Child) -> Pid {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    id.expect("a running program has a process id")
}

/// The processes that a process has started.
fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().to_string();
    let processes = fs::read_dir("/proc").expect("there is a /proc").filter_map(Result::ok);
    let child = |process: fs::DirEntry| {
        let id: i32 = process.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        // After the name, which is in parentheses: the state, and the parent.
        let of = stat.rsplit_once(") ")?.1.split(' ').nth(1)?;
        if of == parent { Pid::from_raw(id) } else { None }
    };
    processes.filter_map(child).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_keeps_what_it_has_when_it_is_killed_and_goes_when_it_is_dropped() {
        let postgres = Postgres::start();
        let database = postgres.database();
        database.psql("CREATE TABLE numbers (it BIGINT); INSERT INTO numbers VALUES (7)");
        postgres.kill();
        postgres.start_again();
        assert_eq!(database.psql("SELECT it FROM numbers").trim(), "7");
        postgres.stop();
        postgres.start_again();
        assert_eq!(database.psql("SELECT it FROM numbers").trim(), "7");
        assert!(database.size() > 1 << 20);
        drop(database);
        assert_eq!(
            postgres.psql("SELECT COUNT(*) FROM pg_database WHERE datname LIKE 'fleet%'").trim(),
            "0"
        );
        let folder = postgres.folder.clone();
        drop(postgres);
        assert!(!folder.exists());
    }
}
