//! What of a life is on the engine: containers, and volumes with a marker in them.

use std::fs;
use std::process::Command;

use serde_json::Value;
use testkit::programs;

const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const IMAGE: &str = "gantry-hello:1";

/// A container of a Compose project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Container {
    pub(crate) project: String,
    pub(crate) service: String,
    pub(crate) greeting: String,
    pub(crate) is_running: bool,
}

/// The part of the engine whose names begin with a prefix. Dropping it removes all of that.
#[derive(Debug)]
pub(crate) struct Engine {
    prefix: String,
}

impl Engine {
    pub(crate) fn new(prefix: &str) -> Self {
        docker(&["image", "inspect", IMAGE]);
        Self { prefix: prefix.to_owned() }
    }

    /// The containers of all projects, sorted.
    pub(crate) fn containers(&self) -> Vec<Container> {
        let name = format!("name={}", self.prefix);
        let ids = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &name]);
        if ids.trim().is_empty() {
            return Vec::new();
        }
        // One that went away since it was listed makes the exit code bad, and the rest good.
        let inspected = programs::run(
            Command::new("docker").args(["inspect", "--type", "container"]).args(ids.lines()),
        );
        let described: Vec<Value> =
            serde_json::from_slice(&inspected.stdout).expect("the engine describes in JSON");
        let mut containers: Vec<Container> = described.iter().filter_map(container).collect();
        containers.sort();
        containers
    }

    /// Removes every second container and stops the others.
    pub(crate) fn damage(&self) {
        let name = format!("name={}", self.prefix);
        let ids = docker(&["ps", "--quiet", "--filter", &name]);
        for (place, id) in ids.lines().enumerate() {
            let how = if place % 2 == 0 { ["rm", "--force"] } else { ["stop", "--time=1"] };
            docker(&[&how[..], &[id]].concat());
        }
    }

    /// Puts a marker into a volume.
    pub(crate) fn mark(&self, volume: &str, text: &str) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        fs::write(file.path(), text).expect("a temporary file can be written");
        self.with(volume, |id| {
            docker(&["cp", &file.path().to_string_lossy(), &format!("{id}:/data/marker")]);
        });
    }

    /// The marker in a volume, if it is there.
    pub(crate) fn marker(&self, volume: &str) -> Option<String> {
        if !docker(&["volume", "ls", "--quiet"]).lines().any(|it| it == volume) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let file = folder.path().join("marker");
        self.with(volume, |id| {
            let (from, to) = (format!("{id}:/data/marker"), file.to_string_lossy());
            programs::run(Command::new("docker").args(["cp", &from, &to]));
        });
        fs::read_to_string(file).ok()
    }

    /// Does something with a container that has the volume and is never started.
    fn with(&self, volume: &str, act: impl FnOnce(&str)) {
        let (name, mount) = (format!("{}-marker", self.prefix), format!("{volume}:/data"));
        docker(&["create", "--name", &name, "--volume", &mount, IMAGE]);
        act(&name);
        docker(&["rm", "--force", &name]);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let name = format!("name={}", self.prefix);
        for (kind, remove) in [
            (&["ps", "--all"][..], &["rm", "--force"][..]),
            (&["network", "ls"], &["network", "rm"]),
            (&["volume", "ls"], &["volume", "rm"]),
        ] {
            let list = [kind, &["--quiet", "--filter", &name]].concat();
            let listed = programs::run(Command::new("docker").args(list));
            for it in String::from_utf8_lossy(&listed.stdout).lines() {
                programs::run(Command::new("docker").args(remove).arg(it));
            }
        }
    }
}

/// What a Docker command prints; panics when it fails.
fn docker(arguments: &[&str]) -> String {
    programs::stdout_of(Command::new("docker").args(arguments))
}

fn container(described: &Value) -> Option<Container> {
    let label = |name: &str| Some(described["Config"]["Labels"][name].as_str()?.to_owned());
    let environment = described["Config"]["Env"].as_array()?;
    let greeting = environment
        .iter()
        .find_map(|it| it.as_str()?.strip_prefix("GREETING="))
        .unwrap_or_default();
    Some(Container {
        project: label(PROJECT)?,
        service: label(SERVICE)?,
        greeting: greeting.to_owned(),
        is_running: described["State"]["Running"] == true,
    })
}
