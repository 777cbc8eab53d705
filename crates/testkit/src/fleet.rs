//! A whole fleet manager for one test: the real `gantry-server` on a free port, with a data
//! directory that goes with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::{env, fs};

use tempfile::TempDir;

use crate::client::{self, TestClient};
use crate::disk::SmallDisk;
use crate::http::Http;
use crate::operator::Operator;
use crate::port;
use crate::postgres::{Postgres, PostgresDatabase};
use crate::programs::{self, Running};
use crate::wait;

/// A running fleet manager, its files, and ways to talk to it.
pub struct TestFleet {
    /// Of the data directory, if that is not on the disk of all tests. Goes before the folder that it is in.
    disk: Option<SmallDisk>,
    dir: TempDir,
    /// The port that everybody calls.
    port: u16,
    /// The port of the server itself.
    listen: u16,
    /// Whether who calls the port that everybody calls calls another server.
    is_replica: bool,
    server: Option<Running>,
    /// Where it keeps everything, if that is not a file in the data directory.
    database: Option<Arc<PostgresDatabase>>,
    /// A shared library that is loaded into the server before all others.
    preloaded: Option<PathBuf>,
    /// Variables of the server's environment.
    variables: Vec<(String, String)>,
}

impl TestFleet {
    /// Starts a fleet manager on an empty data directory and waits until it answers. With
    /// `GANTRY_TEST_DATABASE=postgres` its database is one of PostgreSQL.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// As [`TestFleet::start`], with more lines of configuration.
    pub fn start_with(configuration: &str) -> Self {
        Self::start_in(None, temporary_folder(), new_database(), configuration)
    }

    /// As [`TestFleet::start`], on this database.
    pub fn start_on(database: PostgresDatabase) -> Self {
        Self::start_in(None, temporary_folder(), Some(Arc::new(database)), "")
    }

    /// Starts another server of the same database, with a data directory of its own that has the same root
    /// certificate. It is called by the same URL; who speaks to it by way of what is returned speaks to it.
    pub fn replica(&self) -> Self {
        let dir = temporary_folder();
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("it is empty");
        for file in ["ca.pem", "ca.key", "administrator.token"] {
            let from = self.dir.path().join("data").join(file);
            fs::copy(from, data.join(file)).expect("the first server has made it");
        }
        let database = self.database.clone();
        assert!(database.is_some(), "several servers need a database that is not a file");
        let (port, listen) = (self.port, port::free());
        let mut fleet = Self {
            disk: None,
            dir,
            port,
            listen,
            is_replica: true,
            server: None,
            database,
            preloaded: None,
            variables: Vec::new(),
        };
        fleet.configure("");
        fleet.start_server();
        fleet
    }

    /// As [`TestFleet::start`], on a SQLite file whatever other tests run on.
    pub fn start_on_sqlite() -> Self {
        Self::start_in(None, temporary_folder(), None, "")
    }

    /// As [`TestFleet::start`], with the data directory on a disk of its own of this size, such as `16m`.
    pub fn start_on_small_disk(size: &str) -> Self {
        let dir = temporary_folder();
        let disk = SmallDisk::mount(dir.path().join("data"), size);
        Self::start_in(Some(disk), dir, None, "")
    }

    fn start_in(
        disk: Option<SmallDisk>,
        dir: TempDir,
        database: Option<Arc<PostgresDatabase>>,
        configuration: &str,
    ) -> Self {
        let port = port::free();
        let mut fleet = Self {
            disk,
            dir,
            port,
            listen: port,
            is_replica: false,
            server: None,
            database,
            preloaded: None,
            variables: Vec::new(),
        };
        fleet.configure(configuration);
        fleet.start_server();
        fleet
    }

    /// Replaces the further lines of configuration; they count from the server's next start.
    pub fn configure(&self, configuration: &str) {
        let database = self.database.as_ref().map(|it| format!("database = \"{}\"\n", it.url()));
        let toml = format!(
            "data_dir = \"{}\"\nlisten = \"127.0.0.1:{}\"\npublic_url = \"https://localhost:{}\"\n{}{configuration}",
            self.dir.path().join("data").display(),
            self.listen,
            self.port,
            database.unwrap_or_default(),
        );
        fs::write(self.dir.path().join("server.toml"), toml)
            .expect("the configuration can be written");
    }

    /// Starts the server again on the same data directory, after [`TestFleet::kill`], and waits until it answers.
    pub fn start_server(&mut self) {
        self.launch_server();
        self.await_server();
    }

    /// Waits until the running server can do its work.
    pub fn await_server(&mut self) {
        wait::until("gantry-server to answer", || {
            self.server.as_mut().expect("the server is running").assert_running();
            if !self.ca().is_file() {
                return None;
            }
            self.http().try_send("GET", "/readyz", &[], None).ok().filter(|it| it.status == 200)
        });
    }

    /// As [`TestFleet::start_server`], without waiting for it.
    pub fn launch_server(&mut self) {
        let mut command = Command::new(programs::path("gantry-server"));
        command.arg("--config").arg(self.dir.path().join("server.toml"));
        if let Some(library) = &self.preloaded {
            command.env("LD_PRELOAD", library);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        self.server = Some(Running::start(&mut command, &self.dir.path().join("server.log")));
    }

    /// Loads a shared library into the server from its next start on, for failures and delays that cannot
    /// be had otherwise.
    pub fn preload(&mut self, library: &Path) {
        self.preloaded = Some(library.to_owned());
    }

    /// Sets a variable in the environment of the server from its next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Takes the server away without a warning.
    pub fn kill(&mut self) {
        self.server.take().expect("the server is running").kill();
    }

    /// Lets the server keep everything in this database from its next start on.
    pub fn move_to(&mut self, database: PostgresDatabase) {
        self.database = Some(Arc::new(database));
        self.configure("");
    }

    /// Asks the server to stop.
    pub fn terminate(&self) {
        self.server().terminate();
    }

    /// The server, which runs.
    pub fn server(&self) -> &Running {
        self.server.as_ref().expect("the server is running")
    }

    /// Asks the server to read its certificate again.
    pub fn hang_up(&self) {
        self.server().hang_up();
    }

    /// Asks the server to stop and gives its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.server.take().expect("the server is running").stop()
    }

    /// Stops the server and lets it listen on another port from its next start on; the caller has to
    /// hand on what comes to the port that everybody calls. Gives both, that one first.
    pub fn move_behind(&mut self) -> (u16, u16) {
        self.stop();
        self.listen = port::free();
        self.configure("");
        (self.port, self.listen)
    }

    /// The port of the server itself.
    pub fn listen(&self) -> u16 {
        self.listen
    }

    /// The process id of the running server.
    pub fn server_id(&self) -> u32 {
        self.server().id()
    }

    /// The database, if it is not a file.
    pub fn postgres(&self) -> Option<&PostgresDatabase> {
        self.database.as_deref()
    }

    /// Where the SQLite file of the server lies, if it has one.
    pub fn database_file(&self) -> PathBuf {
        self.dir.path().join("data/gantry.db")
    }

    /// All that the server has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }

    /// The disk of the data directory.
    pub fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("the fleet was started on a small disk")
    }

    /// The folder of this test; the data directory is `data` in it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Whether the folder stays when this value goes, for somebody to look into it.
    pub fn keep_dir(&mut self, is_kept: bool) {
        self.dir.disable_cleanup(is_kept);
    }

    /// The root certificate that everyone pins.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("data/ca.pem")
    }

    /// The origin of all URLs.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The file with the first administrator's token.
    pub fn token_file(&self) -> PathBuf {
        self.dir.path().join("data/administrator.token")
    }

    pub fn http(&self) -> Http {
        if self.is_replica {
            Http::through(&self.url(), &self.ca(), self.listen)
        } else {
            Http::new(&self.url(), &self.ca())
        }
    }

    /// The first administrator.
    pub fn operator(&self) -> Operator {
        Operator::new(self.http(), self.token())
    }

    fn token(&self) -> String {
        let token = fs::read_to_string(self.token_file()).expect("the token file can be read");
        token.trim().to_owned()
    }

    /// A client with a certificate of its own that has not spoken yet.
    pub fn stranger(&self, name: &str) -> TestClient {
        TestClient::new(self.http(), name)
    }

    /// A client that has onboarded, was approved and reported a device of its own name.
    pub fn accepted_client(&self, name: &str) -> TestClient {
        let mut client = self.stranger(name);
        self.accept(&mut client);
        client
    }

    /// Lets a client onboard, approves it, and lets it report a device of its own name.
    pub fn accept(&self, client: &mut TestClient) {
        client.onboard().expect(403);
        self.operator().approve(&self.operator().client_called(client.name()));
        client.onboard().expect(201);
        client.report_capabilities().expect(201);
    }

    /// Makes an accepted client overdue: it says that it calls again in a second, and does not.
    pub fn make_overdue(&self, client: &TestClient) {
        let mut by = 0;
        wait::until("the client to be overdue", || {
            let seen = self.operator().get(&format!("/clients/{}", client.id()));
            if seen["contact"]["standing"] == "overdue" {
                return Some(());
            }
            // On a busy machine what it says may come when it is over already.
            if client::now() > by + 1 {
                by = client::now() + 1;
                client.announce(&format!("next={by}, by={by}, undelivered=0")).expect(200);
            }
            None
        });
    }

    /// The command line, signed in as the first administrator.
    pub fn gantry(&self, arguments: &[&str]) -> Command {
        let configuration = self.dir.path().join("operator.toml");
        if !configuration.is_file() {
            let mut login = self.bare_gantry(&["login", &self.url()]);
            login.arg("--ca").arg(self.ca()).arg("--token-file").arg(self.token_file());
            programs::stdout_of(&mut login);
        }
        self.bare_gantry(arguments)
    }

    /// The command line, signed in or not.
    pub fn bare_gantry(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(programs::path("gantry"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("GANTRY_CONFIG", self.dir.path().join("operator.toml"));
        command
    }
}

fn new_database() -> Option<Arc<PostgresDatabase>> {
    Postgres::of_tests().map(|it| Arc::new(it.database()))
}

fn temporary_folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}
