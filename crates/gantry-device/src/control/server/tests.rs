//! The control socket: who may open it, and what is asked and answered.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;

use margo_contract::digest::Digest;
use testkit::meddler::{Meddler, Part, say};

use super::*;
use crate::announcement::Announcement;
use crate::clock::SystemClock;
use crate::control::{AskError, ask};
use crate::fleet_manager::scripted::Scripted;
use crate::live::Voice;
use crate::onboarding::Onboarded;
use crate::schedule::{Hours, Purpose};
use crate::state_dir::StateDir;
use crate::status::ClientStatus;

struct Bench {
    folder: tempfile::TempDir,
    config: Config,
    gate: Arc<Gate>,
    live: Arc<Live>,
    woken: mpsc::Receiver<Wake>,
}

fn bench(more: &str) -> Bench {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let example = include_str!("../../../gantry-device.example.toml");
    let state_dir = folder.path().join("state").display().to_string();
    let text = example.replace("/var/lib/gantry-device", &state_dir);
    let config = Config::parse(&format!("{text}\n{more}")).expect("valid");
    let state = Arc::new(StateDir::open(&config.state_dir).expect("nobody else has it"));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let hours = Hours { ..config.hours.clone() };
    let gate = Arc::new(Gate::new(Arc::clone(&clock), hours, state).expect("readable"));
    let (wake, woken) = mpsc::channel();
    let live = Arc::<Live>::default();
    let control = Control { gate: Arc::clone(&gate), live: Arc::clone(&live), clock, wake };
    control.listen(&config).expect("it can listen");
    Bench { folder, config, gate, live, woken }
}

impl Bench {
    /// A fleet manager that has let the client in.
    fn is_let_in(&self) -> Meddler {
        let Scripted { meddler, link, .. } = Scripted::start(self.folder.path());
        let server = link.origin().to_owned();
        let client = Onboarded { client_id: "me".to_owned(), server, reported_capabilities: None };
        let in_force = Some(Digest::of(b"in force"));
        let voice = Voice { link: link.behind(Arc::clone(&self.gate)), client, in_force };
        self.live.set(ClientStatus::default(), Some(voice));
        let next = clock::now_ms() / 1000 + 60;
        self.gate.announce(Announcement {
            next,
            by: next + 96,
            quiet: None,
            revision: Some(7),
            undelivered: 3,
        });
        meddler
    }

    /// What is said of a downtime of an hour.
    fn starts(&self, now: bool) -> String {
        let length = Length::ForSeconds(3600);
        let reason = "press moved".to_owned();
        match self.ask(&Question::DowntimeStart { length, reason, now }) {
            Answer::Done(text) => text,
            other => panic!("it is started: {other:?}"),
        }
    }

    fn ask(&self, question: &Question) -> Answer {
        ask(&self.config.control_socket(), question).expect("an answer")
    }
}

#[test]
fn a_downtime_is_in_force_as_soon_as_it_is_answered_and_a_contact_has_to_be_forced_in_it() {
    let bench = bench("");
    let start = Question::DowntimeStart {
        length: Length::ForSeconds(3600),
        reason: "press moved".to_owned(),
        now: false,
    };
    let Answer::Done(text) = bench.ask(&start) else { panic!("it is started") };
    assert!(text.starts_with("downtime until "), "{text}");
    assert!(bench.gate.permit("GET /").is_err());
    assert_eq!(bench.woken.recv().expect("told"), Wake::Look);
    let Answer::Downtimes(listed) = bench.ask(&Question::DowntimeList) else { panic!("a list") };
    assert_eq!(listed[0].reason, "press moved");

    let Answer::Refused(why) = bench.ask(&Question::PollNow { force: false }) else {
        panic!("it is refused")
    };
    assert!(why.contains("downtime: press moved") && why.contains("--force"), "{why}");
    assert!(matches!(bench.ask(&Question::PollNow { force: true }), Answer::Done(_)));
    assert_eq!(bench.woken.recv().expect("told"), Wake::Poll);
    assert!(bench.gate.permit("GET /").is_ok());
    bench.gate.contact_is_over();
    assert!(bench.gate.permit("GET /").is_err());

    assert!(matches!(bench.ask(&Question::DowntimeStop), Answer::Done(_)));
    assert!(bench.gate.permit("GET /").is_ok());
}

#[test]
fn the_answer_says_whether_a_request_is_still_under_way() {
    let bench = bench("");
    let permit = bench.gate.permit("GET /").expect("it is a time to talk");
    let length = Length::ForSeconds(60);
    let start = Question::DowntimeStart { length, reason: String::new(), now: true };
    let Answer::Done(text) = bench.ask(&start) else { panic!("it is started") };
    assert!(text.contains("a request is under way"), "{text}");
    drop(permit);
    let Answer::Done(text) = bench.ask(&start) else { panic!("it is started") };
    assert!(!text.contains("under way"), "{text}");
}

#[test]
fn outside_the_polling_period_the_owner_may_ask_for_a_contact() {
    let bench = bench("[[polling.period]]\ndates = [\"2001-01-01\"]\n");
    assert!(bench.gate.shut(Purpose::Look).is_some());
    assert!(matches!(bench.ask(&Question::PollNow { force: false }), Answer::Done(_)));
    assert!(bench.gate.shut(Purpose::Look).is_none());
}

#[test]
fn the_socket_is_private_and_what_makes_no_sense_is_answered_in_words() {
    let bench = bench("");
    let socket = bench.config.control_socket();
    let mode = fs::metadata(&socket).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(&socket).expect("it listens");
    stream.write_all(b"dance\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.contains("makes no sense"), "{answer}");
    let mut stream = UnixStream::connect(&socket).expect("it listens");
    let _ = stream.write_all(&vec![b' '; 64 << 10]);
    assert!(matches!(bench.ask(&Question::DowntimeList), Answer::Downtimes(_)), "it goes on");

    let nowhere = bench.folder.path().join("nowhere.sock");
    let asked = ask(&nowhere, &Question::Status);
    assert!(matches!(asked, Err(AskError::NotRunning)));
}

#[test]
fn a_group_gets_the_socket_and_what_is_in_its_way_is_named() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let path = folder.path().join("run/control.sock");
    // The one group that every user of a machine may give files to is its own.
    let own = rustix::process::getgid().as_raw().to_string();
    for _ in 0..2 {
        let _listener = bind(&path, Some(&own)).expect("also over the socket of a killed client");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
    }
    assert!(matches!(bind(&path, Some("no such group")), Err(ControlError::NoGroup(_))));
    let file = folder.path().join("file");
    fs::write(&file, "").expect("writable");
    assert!(matches!(bind(&file, None), Err(ControlError::InTheWay(_))));
    assert!(file.is_file());
}

#[test]
fn groups_are_known_by_name_and_number() {
    assert_eq!(group_id("root"), Some(0));
    assert_eq!(group_id("4711"), Some(4711));
    assert_eq!(group_id("no such group"), None);
}

#[test]
fn the_fleet_manager_is_told_of_a_downtime_by_one_request_that_was_let_through_before_it() {
    let bench = bench("");
    let meddler = bench.is_let_in();
    let (gate, refused) = (Arc::clone(&bench.gate), Arc::new(AtomicUsize::new(0)));
    let (socket, counted) = (bench.config.control_socket(), Arc::clone(&refused));
    meddler.play(move |_| {
        counted.fetch_add(usize::from(gate.permit("GET /").is_err()), Relaxed);
        let listed = ask(&socket, &Question::DowntimeList);
        counted.fetch_add(usize::from(matches!(listed, Ok(Answer::Downtimes(_)))), Relaxed);
        Part::Say(say(304, &[], b""))
    });
    let text = bench.starts(false);
    assert!(text.ends_with("; the fleet manager was told"), "{text}");
    assert_eq!(refused.load(Relaxed), 2, "nothing else passes, and nobody else waits");
    let asked = meddler.asked();
    let [last] = &asked[..] else { panic!("one request: {asked:?}") };
    assert_eq!((last.method.as_str(), &last.path[..]), ("GET", "/api/v1/clients/me/deployments"));
    assert_eq!(last.header("if-none-match"), Some(Digest::of(b"in force").etag().as_str()));
    assert!(last.header("signature").is_some());
    let end = bench.gate.started_downtimes()[0].end / 1000;
    let told = format!("next={end}, by={}, quiet=downtime, revision=7, undelivered=3", end + 96);
    assert_eq!(last.header("gantry-contact"), Some(told.as_str()));

    let text = bench.starts(false);
    assert!(text.contains("was not told: it was quiet already: downtime: press moved"), "{text}");
    assert_eq!(meddler.asked().len(), 1);
}

#[test]
fn a_downtime_begins_whether_or_not_the_fleet_manager_can_be_told() {
    let bench = bench("");
    let text = bench.starts(false);
    assert!(text.contains("was not told: it has not let this client in"), "{text}");
    let meddler = bench.is_let_in();
    let stops = || assert!(matches!(bench.ask(&Question::DowntimeStop), Answer::Done(_)));
    stops();
    let text = bench.starts(true);
    assert!(text.contains("was not told: as it was asked for"), "{text}");
    assert!(meddler.asked().is_empty() && bench.gate.permit("GET /").is_err());
    stops();
    meddler.play(|_| Part::Say(say(500, &[], b"")));
    let text = bench.starts(false);
    assert!(text.contains("was not told: the fleet manager answers 500"), "{text}");
    assert!(meddler.asked().len() == 1 && bench.gate.permit("GET /").is_err());
}
