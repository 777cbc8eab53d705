//! The same on other engines than a Docker Engine of root: Podman, and both without root. Each test
//! starts an engine of its own. An engine without root belongs to a user, and so does all that uses
//! it: there the test starts itself once more, as that user.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;

use device_providers::compose::Commands;
use device_providers::{Observed, code};
use tempfile::TempDir;
use testkit::wait::until;

use super::stage::{Stage, pack, run, service, services, words};

/// The user of engines without root (scripts/set-up.sh test).
const USER: &str = "gantry-rootless";
/// Tells the test that it is that user, with the engine's commands.
const AS_USER: &str = "GANTRY_TEST_AS_USER";
/// The example does not end when it is asked to.
const GRACE: &str = "stop_grace_period: 1s";

#[test]
fn podman_is_driven_over_its_socket_and_by_its_own_command() {
    let folder = engine_folder(None);
    let engine = Podman::start(folder.path(), None);
    thread::scope(|scope| {
        scope.spawn(|| lives(&engine.by_docker()));
        scope.spawn(|| lives(&engine.by_podman()));
        scope.spawn(|| health_checks_decide(&engine.by_podman()));
    });
}

#[test]
fn podman_is_driven_without_root() {
    as_user("engines::podman_is_driven_without_root", |user, folder| {
        let engine = Podman::start(folder, Some(user));
        let commands = engine.by_podman();
        (commands, engine)
    });
}

#[test]
fn docker_is_driven_without_root() {
    as_user("engines::docker_is_driven_without_root", |user, folder| {
        let socket = folder.join("run/docker.sock");
        let mut command = user.command(folder, &["dockerd-rootless.sh"]);
        command.arg("--data-root").arg(folder.join("data")).args(["--storage-driver", "vfs"]);
        let server = Server::start(command, &socket, folder);
        let commands = over_socket(&socket);
        run(&commands.engine, &["load", "--quiet", "--input", &text(&saved_image(folder))]);
        (commands, server)
    });
}

/// What every engine has to do for a workload.
fn lives(commands: &Commands) {
    let job = "  job:\n    image: gantry-hello:1\n    stop_grace_period: 1s\n    command: [check]\n    \
               network_mode: 'service:web'\n    depends_on: [web]\n";
    let package = |greeting: &str, job: &str| {
        let mounts = "volumes: ['data:/data', './state:/state', './web.conf:/web.conf:ro']";
        let web = service("web", &["ports: ['127.0.0.1::8080']", mounts, GRACE]);
        let web = web.replace("GREETING: x", &format!("GREETING: {greeting}"));
        services(&[web, job.to_owned(), "volumes: {data: {}}\n".to_owned()])
    };
    let mut stage = Stage::on(commands.clone(), "lives", "services: {}");
    let archive = stage.workload.package.clone();
    let pack = |compose: &str| pack(&archive, &[("compose.yaml", compose), ("web.conf", "x")]);
    assert_eq!(stage.observe(), Observed::Absent);
    pack(&package("Hello", ""));
    stage.install();
    let volumes = stage.labelled(&["volume", "ls"]);
    assert_eq!(volumes.len(), 1);
    let web = stage.container_of("web");
    pack(&package("Hello", job));
    stage.install();
    assert_eq!(stage.observe(), Observed::Running, "the service runs and the job has ended well");
    assert_eq!(stage.container_of("web"), web, "it has not changed");

    // The job lives in the network of the service that is made anew.
    stage.hurry();
    pack(&package("Moin", job));
    stage.install();
    assert!(stage.environment_of("web").contains(&"GREETING=Moin".to_owned()));
    let web = stage.container_of("web");

    // What cannot be fetched leaves all as it was.
    let image = |name: &str| format!("  web:\n    image: {name}\n    pull_policy: always\n");
    pack(&services(&[image("127.0.0.1:9/none:1")]));
    let failure = stage.fail();
    assert_eq!(failure.code, code::REGISTRY_UNREACHABLE, "{failure}");
    assert_eq!(stage.container_of("web"), web);
    assert!(failure.message.contains("of it run now: `web`"), "{failure}");
    // What cannot be started is undone.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("a bound port").port();
    pack(&services(&[service("web", &[&format!("ports: ['127.0.0.1:{port}:8080']"), GRACE])]));
    let failure = stage.fail();
    assert_eq!(failure.code, code::PORT_TAKEN, "{failure}");
    let told = "the former version was put back\nof it run now: `web`";
    assert!(failure.message.contains(told), "{failure}");

    // What fails is told with its last words.
    stage.workload.wait = true;
    pack(&services(&[service("pump", &["command: [nonsense]"])]));
    let failure = stage.fail();
    assert_eq!(failure.code, code::SERVICE_EXITED, "{failure}");
    assert!(failure.message.contains("service `pump` exited with code 1"), "{failure}");
    assert!(failure.message.contains("unknown argument \"nonsense\""), "{failure}");

    stage.remove();
    assert_eq!(stage.observe(), Observed::Absent);
    assert!(stage.labelled(&["network", "ls"]).is_empty());
    assert_eq!(stage.labelled(&["volume", "ls"]), volumes, "volumes stay");
}

/// Podman has systemd run health checks; where there is none, something else has to.
fn health_checks_decide(commands: &Commands) {
    let check = "healthcheck: {test: [CMD, /hello-server, check], interval: 1s, retries: 20}";
    let stage = Stage::on(commands.clone(), "health", &services(&[service("web", &[check])]));
    thread::scope(|scope| {
        let checks = scope.spawn(|| {
            let container = until("the container runs", || {
                stage.labelled(&["ps", "--filter", "status=running"]).pop()
            });
            assert!(matches!(stage.observe(), Observed::Degraded(_)), "it is not healthy yet");
            until("the check succeeds", || {
                let mut command = Command::new(&stage.commands.engine[0]);
                command.args(&stage.commands.engine[1..]).args(["healthcheck", "run", &container]);
                let output = command.output().expect("podman is installed");
                output.status.success().then_some(())
            });
        });
        stage.install();
        checks.join().expect("the checks were made");
    });
    assert_eq!(stage.observe(), Observed::Running);
}

/// An engine that ends with the value.
struct Podman {
    server: Option<Server>,
    folder: PathBuf,
    socket: PathBuf,
    podman: Vec<String>,
}

impl Podman {
    /// With storage, networks and a socket of its own, and with what works without systemd.
    fn start(folder: &Path, user: Option<&User>) -> Self {
        let at = |it: &str| text(&folder.join(it));
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
            at("graph"),
            at("run/storage")
        );
        // Containers get limits that this process may set.
        let containers = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n\
             [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
             [network]\nnetwork_backend = \"netavark\"\nnetwork_config_dir = \"{}\"\n",
            at("networks")
        );
        fs::write(at("storage.conf"), storage).expect("a folder of ours");
        fs::write(at("containers.conf"), containers).expect("a folder of ours");
        let podman = [
            "env",
            &format!("CONTAINERS_STORAGE_CONF={}", at("storage.conf")),
            &format!("CONTAINERS_CONF={}", at("containers.conf")),
            "podman",
        ];
        let socket = folder.join("run/podman.sock");
        let command = |arguments: &[&str]| {
            let all = [&podman[..], arguments].concat();
            user.map_or_else(|| plain(&all), |it| it.command(folder, &all))
        };
        let image = text(&saved_image(folder));
        let loaded = command(&["load", "--quiet", "--input", &image]).status();
        assert!(loaded.expect("podman is installed").success());
        let serve = ["system", "service", "--time", "0", &format!("unix://{}", text(&socket))];
        let server = Some(Server::start(command(&serve), &socket, folder));
        Self { server, folder: folder.to_owned(), socket, podman: words(&podman) }
    }

    /// As on a device with Docker's command: all over the socket.
    fn by_docker(&self) -> Commands {
        over_socket(&self.socket)
    }

    /// `podman compose` starts `docker-compose` with the socket's address (and is not in Podman 4.3).
    fn by_podman(&self) -> Commands {
        let places = ["/usr/local/lib", "/usr/local/libexec", "/usr/lib", "/usr/libexec"];
        let programs = places.map(|it| format!("{it}/docker/cli-plugins/docker-compose"));
        let program = programs.iter().find(|it| Path::new(it).exists()).expect("Compose");
        let host = format!("DOCKER_HOST=unix://{}", text(&self.socket));
        Commands { compose: words(&["env", &host, program]), engine: self.podman.clone() }
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.server.take();
        // Without root a process holds the user's namespace, and another answers for names.
        for file in ["libpod/tmp/pause.pid", "containers/networks/aardvark-dns/aardvark.pid"] {
            if let Ok(pid) = fs::read_to_string(self.folder.join("run").join(file)) {
                // It may have ended just now, which is as well.
                let _ = Command::new("kill").args(["-KILL", pid.trim()]).status();
            }
        }
    }
}

/// A program that serves on a socket, with all that it starts.
struct Server(Child);

impl Server {
    fn start(mut command: Command, socket: &Path, folder: &Path) -> Self {
        let log = folder.join("server.log");
        let output = File::create(&log).expect("a folder of ours");
        let errors = output.try_clone().expect("an open file");
        let child = command.process_group(0).stdout(output).stderr(errors).spawn();
        let mut server = Self(child.expect("an engine that is installed"));
        until("the engine answers", || {
            let ended = server.0.try_wait().expect("a child of ours");
            let said = || fs::read_to_string(&log).unwrap_or_default();
            assert!(ended.is_none(), "the engine did not start: {}", said());
            UnixStream::connect(socket).ok()
        });
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        run(&["kill"], &["-TERM", "--", &group]);
        until("the engine ends", || self.0.try_wait().expect("a child of ours"));
    }
}

/// Somebody who is not root.
struct User {
    id: u32,
}

impl User {
    fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        let id = self.id.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--init-groups", "--"]).args(arguments);
        let mut path = env::var_os("PATH").unwrap_or_default();
        path.push(":/usr/sbin:/sbin:/usr/share/docker.io/contrib");
        command.env_clear().env("PATH", path).env("HOME", folder).env("TMPDIR", folder);
        command.env("XDG_RUNTIME_DIR", folder.join("run")).current_dir(folder);
        command
    }
}

/// Runs `lives` as the user, on an engine that is started for them.
fn as_user<T>(test: &str, start: impl FnOnce(&User, &Path) -> (Commands, T)) {
    if let Ok(given) = env::var(AS_USER) {
        let lines = |it: &str| it.lines().map(str::to_owned).collect();
        let (compose, engine) = given.split_once("\n\n").expect("two commands");
        return lives(&Commands { compose: lines(compose), engine: lines(engine) });
    }
    let id = run(&["id"], &["--user", USER]).trim().parse().expect("a number");
    let user = User { id };
    let folder = engine_folder(Some(&user));
    let (commands, engine) = start(&user, folder.path());
    // The program may lie where only root can go. What we have open for writing ourselves cannot be run while a
    // program that another test is just starting has it, too.
    let program = folder.path().join("test");
    run(&["cp"], &[&text(&env::current_exe().expect("a program")), &text(&program)]);
    let mut command = user.command(folder.path(), &[&text(&program), "--exact", test]);
    command.env(AS_USER, [commands.compose.join("\n"), commands.engine.join("\n")].join("\n\n"));
    let output = command.output().expect("a program of ours");
    drop(engine);
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "as {USER}: {said}{errors}");
}

/// A folder for an engine's data, with a `run` for its sockets.
fn engine_folder(user: Option<&User>) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    fs::create_dir(folder.path().join("run")).expect("a folder of ours");
    for path in [folder.path().to_owned(), folder.path().join("run")] {
        fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("a folder of ours");
        if let Some(User { id }) = user {
            chown(&path, Some(*id), Some(*id)).expect("root's rights");
        }
    }
    folder
}

fn over_socket(socket: &Path) -> Commands {
    let engine = words(&["docker", "--host", &format!("unix://{}", text(socket))]);
    Commands { compose: [&engine[..], &words(&["compose"])].concat(), engine }
}

/// The image of the example application, from the Docker Engine of this machine.
fn saved_image(folder: &Path) -> PathBuf {
    let image = folder.join("hello.tar");
    run(&["docker"], &["save", "--output", &text(&image), "gantry-hello:1"]);
    fs::set_permissions(&image, Permissions::from_mode(0o644)).expect("a file of ours");
    image
}

fn plain(arguments: &[&str]) -> Command {
    let mut command = Command::new(arguments[0]);
    command.args(&arguments[1..]);
    command
}

fn text(path: &Path) -> String {
    OsString::from(path).into_string().expect("a path of ours")
}
