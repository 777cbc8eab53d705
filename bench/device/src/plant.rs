//! A client that carries a workload on the Docker Engine of this machine and has nothing to do but to
//! poll. Dropping it removes the workload.

use std::path::Path;
use std::process::{self, Command};

use testkit::device::TestDevice;
use testkit::fleet::TestFleet;
use testkit::port;
use testkit::programs;
use testkit::wire::Polls;

const PRESS: &str = "press-7";

/// Where the client fetches its desired state.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    Git,
    Http,
}

pub(crate) struct Plant {
    pub(crate) polls: Polls,
    /// The name of the deployment.
    name: String,
}

impl Plant {
    /// Starts it and waits until the workload runs.
    pub(crate) fn start(source: Source, program: &Path) -> Self {
        let source = match source {
            Source::Git => "git",
            Source::Http => "http",
        };
        let configuration = format!("jitter_percent = 0\n[desired_state]\nsource = \"{source}\"\n");
        let polls = Polls::start(|fleet| {
            let mut device = TestDevice::prepare(fleet, PRESS, &configuration);
            device.set_executable(program);
            device.start_program();
            device
        });
        let plant = Self { polls, name: format!("gantry-bench-{}-{source}", process::id()) };
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hello");
        plant.gantry(&["application", "add", &example.to_string_lossy()]);
        let port = format!("port={}", port::free());
        plant.gantry(
            &[
                &["deploy", "com-gantry-hello", "--to", PRESS, "--name", &plant.name],
                &["--set", "greeting=Hello", "--set", &port, "--wait", "--timeout", "60s"][..],
            ]
            .concat(),
        );
        plant
    }

    /// Updates the workload and waits until that is done.
    pub(crate) fn change_workload(&self) {
        let change = ["--set", "greeting=Moin", "--wait", "--timeout", "60s"];
        self.gantry(&[&["deployment", "update", &self.name][..], &change].concat());
    }

    fn fleet(&self) -> &TestFleet {
        &self.polls.fleet
    }

    fn gantry(&self, arguments: &[&str]) {
        programs::stdout_of(&mut self.fleet().gantry(arguments));
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        // The client first, or it would repair what is taken away.
        self.polls.device.end();
        let project = format!("{}-hello", self.name);
        let mut down = Command::new("docker");
        programs::run(down.args(["compose", "--project-name", &project, "down", "--timeout", "1"]));
    }
}
