//! A device, a fleet manager, and between them a server that does what a story tells it to.

use serde_json::Value;
use testkit::certificates::{ALWAYS, Authority};
use testkit::device::TestDevice;
use testkit::fleet::TestFleet;
use testkit::http::Http;
use testkit::meddler::{Asked, Meddler, Part};
use testkit::{programs, wait};

use crate::support::{PRESS, example, json};

/// A fleet manager behind a meddler, and a device that has revision 2 and runs nothing: its Compose
/// command takes every package for an empty one and does nothing.
pub(crate) struct Scene {
    pub(crate) meddler: Meddler,
    pub(crate) press: TestDevice,
    pub(crate) authority: Authority,
    pub(crate) fleet: TestFleet,
}

impl Scene {
    /// A device that has revision 2.
    pub(crate) fn with(source: &str) -> Self {
        let scene = Self::before_onboarding(source, |_| Part::Honest);
        scene.is_let_in();
        scene
    }

    /// A device that has just been started, and what it meets first.
    pub(crate) fn before_onboarding(source: &str, play: fn(&Asked) -> Part) -> Self {
        let mut fleet = TestFleet::start();
        let (port, behind) = fleet.move_behind();
        let authority = Authority::of_fleet(&fleet.dir().join("data"));
        let tls = authority.server("localhost", ALWAYS);
        let behind = Http::new(&format!("https://localhost:{behind}"), &fleet.ca());
        let meddler = Meddler::start(port, tls, Some(behind));
        fleet.start_server();
        let configuration = format!(
            "[desired_state]\nsource = \"{source}\"\n\
             [compose]\ncommand = [\"sh\", \"-c\", \"echo {{}}\"]\nengine = [\"true\"]\n"
        );
        meddler.play(play);
        let press = TestDevice::start_with(&fleet, PRESS, &configuration);
        Self { meddler, press, authority, fleet }
    }

    pub(crate) fn is_let_in(&self) {
        wait::until("the device to wait for approval", || {
            self.gantry(&["client", "list"]).contains("waiting").then_some(())
        });
        self.gantry(&["client", "approve", PRESS]);
        wait::until("the device to report its capabilities", || {
            let client = json(&self.gantry(&["client", "show", PRESS, "-o", "json"]));
            client["devices"].as_array().is_some_and(|it| !it.is_empty()).then_some(())
        });
        self.gantry(&["application", "add", &example().to_string_lossy()]);
        self.gantry(&["deploy", "com-gantry-hello", "--to", PRESS, "--name", "hello"]);
        self.takes_up(2);
    }

    pub(crate) fn gantry(&self, arguments: &[&str]) -> String {
        programs::stdout_of(&mut self.fleet.gantry(arguments))
    }

    pub(crate) fn status(&self) -> Value {
        self.press.status().expect("the client has written it")
    }

    /// Waits until this revision is in force and all is well.
    pub(crate) fn takes_up(&self, revision: u64) {
        wait::until("the revision to be in force", || {
            let status = self.status();
            (status["revision"] == revision && status["lastError"].is_null()).then_some(())
        });
    }

    /// A change that the device has yet to see.
    pub(crate) fn change(&self, greeting: &str) {
        let greeting = format!("greeting={greeting}");
        self.gantry(&["deployment", "update", "hello", "--set", &greeting]);
    }
}
