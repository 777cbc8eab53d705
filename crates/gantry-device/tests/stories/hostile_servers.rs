//! A fleet manager that misbehaves, and what stands in its place: each trick is played on the real
//! client, with the desired state from Git and over HTTP. The client asks no more often than its pauses
//! allow, stays with the desired state that is in force, and goes on when all is well again.

use std::time::Instant;

use serde_json::Value;
use testkit::certificates::{ALWAYS, Authority};
use testkit::meddler::{Asked, Part, say};
use testkit::wait;

use crate::scene::Scene;

/// The most that a contact asks for when every request fails: with Git where the repository is, what its
/// newest commit is, and what it has; then the manifest, once for all ways.
const MOST_IN_A_CONTACT: u64 = 4;

impl Scene {
    /// What the device holds: who it is, and what it has accepted.
    fn kept(&self) -> Vec<Option<Vec<u8>>> {
        let files = ["client.key", "onboarded.json", "accepted.json", "trust.json"];
        files.iter().map(|it| std::fs::read(self.press.state_dir().join(it)).ok()).collect()
    }

    /// Waits until the client says why it cannot talk; what is in force stays.
    fn says(&self, words: &str) {
        wait::until(&format!("`{words}` to be said"), || {
            let status = self.status();
            assert_eq!(status["revision"], 2, "what is in force stays: {status}");
            status["lastError"].as_str().filter(|it| it.contains(words)).map(drop)
        });
    }

    /// Plays a part on every request until the client says this; then all is well again.
    fn plays(&self, part: Part, words: &str) {
        let (began, before, kept) = (Instant::now(), self.meddler.connections(), self.kept());
        self.meddler.play(move |_| part.clone());
        self.says(words);
        // No two contacts are closer than a second, so more time only allows for more of them.
        let contacts = began.elapsed().as_secs() + 2;
        let calls = self.meddler.connections() - before;
        assert!(
            calls <= contacts * MOST_IN_A_CONTACT,
            "{calls} calls in {contacts} contacts: {words}"
        );
        assert_eq!(self.kept(), kept, "nothing changes: {words}");
        self.meddler.play(|_| Part::Honest);
        self.takes_up(2);
    }
}

fn no_trick_changes_anything(source: &str) {
    let scene = Scene::with(source);
    let bytes = |text: &str| text.as_bytes().to_vec();
    let html = [("content-type", "text/html")];
    let elsewhere = [("location", "https://evil.example/")];
    let huge = "HTTP/1.1 200 x\r\ncontent-length: 1073741824\r\n\r\n";
    for (part, words) in [
        (Part::Say(say(200, &html, b"<html>")), "captive portal or proxy"),
        (Part::Say(say(302, &elsewhere, b"")), "redirect to https://evil.example/"),
        (
            Part::Say(bytes("HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\n{")),
            "ends before it is complete",
        ),
        (Part::Say(bytes("220 mail.example ESMTP\r\n\r\n")), "not HTTP"),
        (Part::SayWithoutEnd(bytes(huge), vec![b' '; 16 << 10]), "larger than"),
        (
            Part::SayWithoutEnd(bytes("HTTP/1.1 200 x\r\na: "), vec![b'a'; 4096]),
            "headers are larger",
        ),
        (Part::Say(say(500, &[], b"")), "answers 500"),
        (Part::Say(say(503, &[("retry-after", "1")], b"")), "answers 503"),
    ] {
        scene.plays(part, words);
    }

    let peak = scene.press.peak_memory() >> 20;
    assert!(peak < 100, "{peak} MiB were needed for answers of a gibibyte");

    // What begins well and ends badly is not taken by half.
    scene.meddler.play(|asked| match is_content(asked) {
        true => Part::Say(b"HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\nx".to_vec()),
        false => Part::Honest,
    });
    scene.change("Moin");
    scene.says("ends before it is complete");
    scene.meddler.play(|_| Part::Honest);
    scene.takes_up(3);
}

/// What a desired state consists of, by whatever way.
fn is_content(asked: &Asked) -> bool {
    let fetches = String::from_utf8_lossy(&asked.body).contains("command=fetch");
    (asked.path.ends_with("/git-upload-pack") && fetches)
        || (asked.path.starts_with("/api/v1/clients/") && asked.path.contains("/deployments"))
}

#[test]
fn a_device_that_meets_a_captive_portal_first_is_let_in_later() {
    let scene = Scene::before_onboarding("git", |asked| match asked.path.as_str() {
        "/api/v1/onboarding" => Part::Say(say(200, &[("content-type", "text/html")], b"<html>")),
        _ => Part::Honest,
    });
    wait::until("the captive portal to be named", || {
        let status = scene.press.status()?;
        assert_eq!((&status["clientId"], &status["standing"]), (&Value::Null, &"waiting".into()));
        status["lastError"].as_str().filter(|it| it.contains("captive portal")).map(drop)
    });
    scene.meddler.play(|_| Part::Honest);
    scene.is_let_in();
}

// margo(RT-3)
#[test]
fn with_git_no_trick_changes_anything() {
    no_trick_changes_anything("git");
}

// margo(W-3, CW-6, RT-3)
#[test]
fn over_http_no_trick_changes_anything() {
    no_trick_changes_anything("http");
}

#[test]
fn who_has_no_good_certificate_hears_nothing_and_changes_nothing() {
    let scene = Scene::with("git");
    for (tls, words) in [
        (Authority::new().server("localhost", ALWAYS), "not from the pinned root"),
        (scene.authority.server("fleet.example", ALWAYS), "for another name"),
        (scene.authority.server("localhost", (2000, 2020)), "has expired"),
    ] {
        scene.meddler.show(tls);
        scene.says(words);
        let (asked, calls) = (scene.meddler.asked().len(), scene.meddler.connections());
        wait::until("another call", || (scene.meddler.connections() > calls).then_some(()));
        scene.says(words);
        assert_eq!(scene.meddler.asked().len(), asked, "nothing is said to it: {words}");
        scene.meddler.show(scene.authority.server("localhost", ALWAYS));
        scene.takes_up(2);
    }
}

#[test]
fn a_server_that_hangs_is_given_up_and_asked_again_later() {
    let scene = Scene::with("git");
    scene.plays(Part::SayAndHang(Vec::new()), "did not begin to answer in time");
    scene.change("Moin");
    scene.takes_up(3);
}

#[test]
fn a_server_that_hangs_in_the_middle_is_given_up_and_asked_again_later() {
    let scene = Scene::with("http");
    let middle = b"HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\nx".to_vec();
    scene.plays(Part::SayAndHang(middle), "stopped in the middle");
    scene.change("Moin");
    scene.takes_up(3);
}

#[test]
fn a_client_that_waits_for_a_server_that_hangs_ends_at_once_when_it_is_asked_to() {
    let scene = &mut Scene::with("http");
    let middle = b"HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\nx".to_vec();
    for (ends, part) in
        [Part::SayAndHang(Vec::new()), Part::SayAndHang(middle)].into_iter().enumerate()
    {
        scene.meddler.play(move |_| part.clone());
        let asked = scene.meddler.asked().len();
        wait::until("it to ask", || (scene.meddler.asked().len() > asked).then_some(()));
        assert_eq!(scene.press.stop(), Some(0));
        let log = scene.press.log();
        assert_eq!(log.matches("INFO gantry_device::agent: stopped").count(), ends + 1, "{log}");
        assert!(
            log.contains("nothing is wrong error=") && log.contains("the client is being stopped"),
            "{log}"
        );
        assert!(!log.contains("too slow"), "it did not wait for the server: {log}");
        let failures = log.matches("cannot talk to the fleet manager").count();
        assert_eq!(failures, 1, "only before it was let in: {log}");
        scene.meddler.play(|_| Part::Honest);
        scene.press.start_program();
        scene.takes_up(2);
    }
}

// margo(RT-2)
#[test]
fn a_server_that_wants_to_be_left_alone_is_asked_by_no_other_way_and_not_before_its_time() {
    let scene = &mut Scene::with("git");
    scene.change("Moin");
    scene.meddler.play(|asked| match asked.path.contains("/git/") {
        true => Part::Say(say(503, &[("retry-after", "86400")], b"")),
        false => Part::Honest,
    });
    scene.says("answers 503");
    let last = scene.meddler.asked().pop().expect("it was asked");
    assert!(last.path.contains("/git/"), "{}", last.path);
    let status = scene.status();
    let time = |name: &str| -> jiff::Timestamp {
        status[name].as_str().expect("a time").parse().expect("RFC 3339")
    };
    let pause = time("nextContact").duration_since(time("lastContact"));
    assert!(pause.as_hours() >= 23, "{status}");
    let calls = scene.meddler.connections();
    scene.meddler.play(|_| Part::Honest);
    // The loop goes on meanwhile: it ends when it is asked to.
    assert_eq!(scene.press.stop(), Some(0));
    assert_eq!(scene.meddler.connections(), calls);
    scene.press.start_program();
    scene.takes_up(3);
}

#[test]
fn a_device_whose_clock_differs_from_the_servers_says_so_once_and_works() {
    let scene = Scene::with("http");
    // Every answer claims another time; the real server would refuse what is signed by it.
    let date = "Tue, 19 Jan 2038 03:14:08 GMT".to_owned();
    scene.meddler.play(move |_| Part::Dated(date.clone()));
    wait::until("the difference to be told", || {
        scene.press.log().contains("direction=\"behind\"").then_some(())
    });
    scene.meddler.play(|_| Part::Honest);
    scene.change("Moin");
    scene.takes_up(3);
    let log = scene.press.log();
    assert_eq!(log.matches("direction=\"behind\"").count(), 1, "{log}");
    assert!(log.contains("direction=\"right\""), "{log}");
}
