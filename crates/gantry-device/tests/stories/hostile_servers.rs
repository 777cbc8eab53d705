//! A fleet manager that misbehaves, and what stands in its place: each trick is played on the real
//! client, with the desired state from Git and over HTTP. The client asks no more often than its pauses
//! allow, stays with the desired state that is in force, and goes on when all is well again.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use testkit::certificates::{ALWAYS, Authority, Years};
use testkit::device::TestDevice;
use testkit::fleet::TestFleet;
use testkit::meddler::{Asked, Meddler, Part, say};
use testkit::{programs, wait};

use crate::support::{PRESS, example};

const HTML: (&str, &str) = ("content-type", "text/html");
/// No contact asks for more than this: onboarding, capabilities, each way once and each document.
const MOST_IN_A_CONTACT: u64 = 12;

/// A fleet manager behind a meddler, and a device that has revision 2 and runs nothing: its Compose
/// command does as it is told and does nothing.
struct Scene {
    meddler: Meddler,
    press: TestDevice,
    authority: Authority,
    fleet: TestFleet,
}

impl Scene {
    fn with(source: &str) -> Self {
        let mut fleet = TestFleet::start();
        let (port, _) = fleet.move_behind();
        fleet.start_server_unseen();
        let authority = Authority::of_fleet(&fleet.dir().join("data"));
        let tls = authority.server("localhost", ALWAYS);
        let meddler = Meddler::start(port, tls, Some(fleet.http_behind()));
        let configuration = format!(
            "[desired_state]\nsource = \"{source}\"\n[compose]\ncommand = [\"true\"]\nengine = [\"true\"]\n"
        );
        let press = TestDevice::start_with(&fleet, PRESS, &configuration);
        let scene = Self { meddler, press, authority, fleet };
        wait::until("the device to wait for approval", || {
            scene.gantry(&["client", "list"]).contains("waiting").then_some(())
        });
        scene.gantry(&["client", "approve", PRESS]);
        wait::until("the device to report its capabilities", || {
            let client: Value = serde_json::from_str(&scene.gantry(&["client", "show", PRESS, "-o", "json"])).ok()?;
            client["devices"].as_array().is_some_and(|it| !it.is_empty()).then_some(())
        });
        scene.gantry(&["application", "add", &example().to_string_lossy()]);
        scene.gantry(&["deploy", "com-gantry-hello", "--to", PRESS, "--name", "hello"]);
        scene.takes_up(2);
        scene
    }

    fn gantry(&self, arguments: &[&str]) -> String {
        programs::stdout_of(&mut self.fleet.gantry(arguments))
    }

    fn status(&self) -> Value {
        self.press.status().expect("the client has written it")
    }

    /// Waits until this revision is in force and all is well.
    fn takes_up(&self, revision: u64) {
        wait::until("the revision to be in force", || {
            let status = self.press.status()?;
            (status["revision"] == revision && status["lastError"].is_null()).then_some(())
        });
    }

    /// A change that the device has yet to see.
    fn change(&self, greeting: &str) {
        let greeting = format!("greeting={greeting}");
        self.gantry(&["deployment", "update", "hello", "--set", &greeting]);
    }

    /// Plays a trick on every request until the client says this; then all is well again.
    fn plays(&self, part: &Part, words: &str) {
        let part = part.clone();
        self.meddler.play(move |_| part.clone());
        self.is_told(words);
        self.meddler.play(|_| Part::Honest);
    }

    fn is_told(&self, words: &str) {
        wait::until(&format!("`{words}` to be told"), || {
            let status = self.status();
            let told = status["lastError"].as_str().is_some_and(|it| it.contains(words));
            told.then_some(()).or_else(|| {
                assert_eq!(status["revision"], 2, "what is in force stays: {status}");
                None
            })
        });
    }
}

/// Every trick, for one source.
fn no_trick_changes_anything(source: &str) {
    let scene = Scene::with(source);
    scene.press_changes_once_all_is_well();
}

impl Scene {
    fn press_changes_once_all_is_well(&self) {
        let half = b"HTTP/1.1 200 x\r\ncontent-length: 100000\r\n\r\n{".to_vec();
        let huge = b"HTTP/1.1 200 x\r\ncontent-length: 1073741824\r\n\r\n".to_vec();
        // A device that is up to date sees the tricks, too: then one that has something to fetch.
        for (part, words) in [
            (Part::Say(say(200, &[HTML], b"<html>")), "captive portal or proxy"),
            (Part::Say(say(302, &[("location", "https://evil.example/")], b"")), "redirect to"),
            (Part::Say(half), "ends before it is complete"),
            (Part::Say(b"220 mail.example ESMTP\r\n\r\n".to_vec()), "not HTTP"),
            (Part::SayWithoutEnd(huge, vec![b' '; 16 << 10]), "larger than"),
            (Part::SayWithoutEnd(b"HTTP/1.1 200 x\r\na: ".to_vec(), vec![b'a'; 4096]), "headers are larger"),
            (Part::Say(say(500, &[], b"")), "answers 500"),
            (Part::Say(say(503, &[("retry-after", "1")], b"")), "answers 503"),
        ] {
            self.plays(&part, words);
            self.takes_up(2);
        }
        // Nor does what was begun well and ended badly leave half a state.
        self.meddler.play(|asked| {
            if is_content(asked) { Part::Say(b"HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\nx".to_vec()) } else { Part::Honest }
        });
        self.change("Moin");
        self.is_told("");
        assert_eq!(self.status()["revision"], 2);
        self.meddler.play(|_| Part::Honest);
        self.takes_up(3);
    }
}

/// What a desired state consists of, by whatever way.
fn is_content(asked: &Asked) -> bool {
    let is_fetch = asked.path.ends_with("/git-upload-pack")
        && String::from_utf8_lossy(&asked.body).contains("command=fetch");
    is_fetch || asked.path.contains("/deployments")
}

#[test]
fn with_git_no_trick_changes_anything() {
    no_trick_changes_anything("git");
}

#[test]
fn over_http_no_trick_changes_anything() {
    no_trick_changes_anything("http");
}

#[test]
fn somebody_else_with_a_certificate_gets_nothing_and_changes_nothing() {
    let scene = Scene::with("git");
    let own = |name: &str, years: Years| scene.authority.server(name, years);
    for (tls, words) in [
        (Authority::new().server("localhost", ALWAYS), "not from the pinned root"),
        (own("fleet.example", ALWAYS), "for another name"),
        (own("localhost", (2000, 2020)), "has expired"),
    ] {
        scene.meddler.show(tls);
        scene.is_told(words);
        let asked = scene.meddler.asked().len();
        let calls = scene.meddler.connections();
        wait::until("another call", || (scene.meddler.connections() > calls).then_some(()));
        assert_eq!(scene.meddler.asked().len(), asked, "nothing was said: {words}");
        scene.meddler.show(own("localhost", ALWAYS));
        scene.takes_up(2);
    }
}

#[test]
fn a_server_that_hangs_is_given_up_and_comes_back() {
    let scene = Scene::with("http");
    scene.plays(&Part::SayAndHang(Vec::new()), "did not begin to answer in time");
    scene.takes_up(2);
    let middle = b"HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\nx".to_vec();
    scene.plays(&Part::SayAndHang(middle), "stopped in the middle");
    scene.change("Moin");
    scene.takes_up(3);
}

// margo(§11.3).
#[test]
fn a_server_that_asks_to_be_left_alone_is_not_asked_again_by_any_way() {
    let scene = Scene::with("git");
    scene.meddler.play(|asked| {
        let is_git = asked.path.contains("/git/");
        if is_git { Part::Say(say(503, &[("retry-after", "86400")], b"")) } else { Part::Honest }
    });
    scene.is_told("answers 503");
    let next = scene.status()["nextContact"].as_str().expect("a time").to_owned();
    let asked = scene.meddler.asked().len();
    assert!(!scene.meddler.asked()[asked - 1].path.contains("/deployments"), "HTTP is not tried");
    // A restart is an owner's way to ask at once.
    wait::until("some turns of the loop", || {
        let status = scene.status();
        assert_eq!(status["nextContact"], next.as_str(), "{status}");
        Some(())
    });
    assert_eq!(scene.meddler.asked().len(), asked);
}

/// A year of failing contacts cannot be waited for: the pauses are proved in `schedule`. Here each
/// contact is counted, and what it asks for is bounded.
#[test]
fn a_contact_that_fails_asks_for_little() {
    let scene = Scene::with("git");
    static CONTACTS: AtomicU64 = AtomicU64::new(0);
    let before = scene.meddler.asked().len() as u64;
    scene.meddler.play(|asked| {
        if asked.path.ends_with("/repository") || asked.path.contains("/git/") {
            return Part::Honest;
        }
        CONTACTS.fetch_add(1, Ordering::Relaxed);
        Part::Say(say(500, &[], b""))
    });
    scene.change("Moin");
    scene.takes_up(3);
    let after = scene.meddler.asked().len() as u64;
    assert!(after - before < 60 * MOST_IN_A_CONTACT, "{}", after - before);
}
