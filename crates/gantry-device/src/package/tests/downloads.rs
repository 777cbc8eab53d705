//! Downloads from the fleet manager and from other places: what goes on, and what begins anew.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::fleet_manager::LinkError;
use crate::gate::Gate;
use crate::schedule::Hours;

fn bytes() -> Vec<u8> {
    (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
}

impl Stage {
    /// A package at the meddler that is not the fleet manager's, without a digest in its name.
    fn fetch_file(&self, server: &Meddler) -> Result<PathBuf, PackageError> {
        let location = format!("https://{}/app.tar.gz", host(server));
        self.fetch_from(ProfileType::Compose, Source::Package { location, key_location: None })
    }
}

#[test]
fn a_package_is_fetched_once_and_again_when_its_file_is_not_what_it_was() {
    let stage = Stage::new();
    let bytes = vec![7; 100_000];
    let digest = Digest::of(&bytes);
    stage.meddler.play(move |_| Part::Say(say(200, &[], &bytes)));
    for asked in [1, 1] {
        let path = stage.fetch(&digest).expect("it is there");
        assert_eq!(std::fs::read(path).expect("readable").len(), 100_000);
        assert_eq!(stage.meddler.asked().len(), asked);
    }
    let path = stage.fetch(&digest).expect("it is there");
    std::fs::write(&path, b"cut off").expect("writable");
    stage.fetch(&digest).expect("it is there");
    assert_eq!(stage.meddler.asked().len(), 2);
    assert_eq!(stage.files(), 1, "nothing lies beside it");
}

#[test]
fn what_is_no_package_leaves_nothing_behind() {
    let mut stage = Stage::new();
    stage.config.largest = 1 << 20;
    let digest = Digest::of(b"whole");
    let huge = b"HTTP/1.1 200 x\r\n\r\n".to_vec();
    let announced = b"HTTP/1.1 200 x\r\ncontent-length: 99999999\r\n\r\n".to_vec();
    for (part, words) in [
        (Part::Say(say(200, &[], b"other")), "does not have the digest"),
        (Part::Say(say(200, &[("content-type", "text/html")], b"whole")), "captive portal"),
        (Part::Say(say(404, &[], b"")), "answers 404"),
        (Part::SayWithoutEnd(huge, vec![0; 1 << 20]), "is larger than 1048576 bytes"),
        (Part::SayAndHang(announced), "is larger than 1048576 bytes"),
    ] {
        stage.meddler.play(move |_| part.clone());
        let error = stage.fetch(&digest).expect_err("no package");
        assert!(chain(&error).contains(words), "{words}: {}", chain(&error));
        assert_eq!(stage.files(), 0, "{words}");
    }
}

#[test]
fn a_full_disk_is_told_as_one() {
    let stage = Stage::new();
    let digest = Digest::of(b"whole");
    stage.meddler.play(|_| Part::Say(say(200, &[], b"whole")));
    let path = stage.fetch(&digest).expect("it is there");
    std::fs::remove_file(&path).expect("removable");
    std::os::unix::fs::symlink("/dev/full", path.with_extension("").with_extension("new"))
        .expect("a link");
    let error = stage.fetch(&digest).expect_err("no room");
    assert!(matches!(error, PackageError::State(_)), "{}", chain(&error));
    assert_eq!(error.code(), "package-unavailable");
    assert_eq!(stage.files(), 0);
}

#[test]
fn what_broke_off_goes_on_at_the_next_attempt() {
    let stage = Stage::new();
    let digest = Digest::of(&bytes());
    stage.meddler.play(|_| half(&bytes(), "\"1\""));
    let error = stage.fetch(&digest).expect_err("it breaks off");
    assert!(chain(&error).contains("ends before it is complete"), "{}", chain(&error));
    // As much again: only the connection was lost.
    stage.meddler.play(|asked| match file(asked, &bytes(), "\"1\"") {
        Part::Say(whole) => Part::Say(whole[..whole.len() - 10].to_vec()),
        other => other,
    });
    stage.fetch(&digest).expect_err("it breaks off again");
    stage.meddler.play(|asked| file(asked, &bytes(), "\"1\""));
    let path = stage.fetch(&digest).expect("the rest comes");
    assert_eq!(std::fs::read(path).expect("readable"), bytes());
    let ranges: Vec<_> =
        stage.meddler.asked().iter().map(|it| it.header("range").map(str::to_owned)).collect();
    let rest = Some("bytes=399990-".to_owned());
    assert_eq!(ranges, [None, Some("bytes=200000-".to_owned()), rest]);
    assert_eq!(stage.files(), 1);
}

// RFC 9110 sections 14.2 and 15.3.7.
#[test]
fn what_is_not_the_rest_is_never_added() {
    type Play = fn(&Asked) -> Part;
    let ignored: Play = |_| Part::Say(say(200, &[], &bytes()));
    let elsewhere: Play = |asked| match asked.header("range") {
        Some(_) => Part::Say(say(206, &[("content-range", "bytes 7-9/10")], b"xxx")),
        None => Part::Say(say(200, &[], &bytes())),
    };
    let nowhere: Play = |asked| match asked.header("range") {
        Some(_) => Part::Say(say(206, &[], b"xxx")),
        None => Part::Say(say(200, &[], &bytes())),
    };
    let unsatisfiable: Play = |asked| match asked.header("range") {
        Some(_) => Part::Say(say(416, &[("content-range", "bytes */10")], b"")),
        None => Part::Say(say(200, &[], &bytes())),
    };
    let others_rest: Play = |asked| file(asked, &vec![0; bytes().len()], "\"1\"");
    for (play, is_well) in [
        (ignored, true),
        (elsewhere, true),
        (nowhere, true),
        (unsatisfiable, true),
        (others_rest, false),
    ] {
        let stage = Stage::new();
        let digest = Digest::of(&bytes());
        stage.meddler.play(|_| half(&bytes(), "\"1\""));
        stage.fetch(&digest).expect_err("it breaks off");
        stage.meddler.play(play);
        match stage.fetch(&digest) {
            Ok(path) => assert!(is_well && std::fs::read(path).expect("readable") == bytes()),
            Err(error) => assert!(!is_well && error.code() == "bad-digest", "{}", chain(&error)),
        }
    }
}

#[test]
fn without_a_digest_a_download_goes_on_only_with_a_strong_validator_that_has_not_changed() {
    let stage = Stage::new();
    let server = stage.another();
    let new: Vec<u8> = bytes().into_iter().rev().collect();
    // A weak one promises nothing, and none promises nothing either.
    for etag in ["W/\"1\"", ""] {
        server.play(move |_| half(&bytes(), etag));
        stage.fetch_file(&server).expect_err("it breaks off");
        assert_eq!(stage.files(), 0, "{etag}");
    }
    server.play(|_| half(&bytes(), "\"1\""));
    stage.fetch_file(&server).expect_err("it breaks off");
    let changed = new.clone();
    server.play(move |asked| file(asked, &changed, "\"2\""));
    let path = stage.fetch_file(&server).expect("the new one as a whole");
    assert_eq!(std::fs::read(&path).expect("readable"), new);
    let last = server.asked().last().cloned().expect("it was asked");
    assert_eq!(
        (last.header("range"), last.header("if-range")),
        (Some("bytes=200000-"), Some("\"1\""))
    );
    std::fs::remove_file(path).expect("removable");

    // A server that does not know If-Range gives the rest of the new one: its tag gives it away.
    server.play(|_| half(&bytes(), "\"1\""));
    stage.fetch_file(&server).expect_err("it breaks off");
    let changed = new.clone();
    server.play(move |asked| match asked.header("range") {
        Some(_) => {
            let headers = [("content-range", "bytes 200000-399999/400000"), ("etag", "\"2\"")];
            Part::Say(say(206, &headers, &changed[200_000..]))
        }
        None => Part::Say(say(200, &[("etag", "\"2\"")], &changed)),
    });
    let path = stage.fetch_file(&server).expect("the new one as a whole");
    assert_eq!(std::fs::read(path).expect("readable"), new);
}

#[test]
fn bytes_that_a_power_cut_has_spoilt_are_found_out_and_fetched_again() {
    let stage = Stage::new();
    let digest = Digest::of(&bytes());
    stage.meddler.play(|_| half(&bytes(), "\"1\""));
    stage.fetch(&digest).expect_err("it breaks off");
    let part = stage.state.join(&format!("{FOLDER}/{}", accepted::file_name(&digest, "part")));
    let mut spoilt = std::fs::read(&part).expect("it is there");
    // What came after the last that is known to be on the disk does not count, so it may be anything.
    spoilt.extend([0; 1000]);
    std::fs::write(&part, &spoilt).expect("writable");
    stage.meddler.play(|asked| file(asked, &bytes(), "\"1\""));
    stage.fetch(&digest).expect("the rest comes");
    assert_eq!(stage.meddler.asked().len(), 2);

    stage
        .state
        .remove(&format!("{FOLDER}/{}", accepted::file_name(&digest, "tar.gz")))
        .expect("ours");
    stage.meddler.play(|_| half(&bytes(), "\"1\""));
    stage.fetch(&digest).expect_err("it breaks off");
    let mut spoilt = std::fs::read(&part).expect("it is there");
    spoilt[1000] ^= 1;
    std::fs::write(&part, &spoilt).expect("writable");
    stage.meddler.play(|asked| file(asked, &bytes(), "\"1\""));
    let path = stage.fetch(&digest).expect("all of it, again");
    assert_eq!(std::fs::read(path).expect("readable"), bytes());
}

#[test]
fn the_downloads_of_two_packages_do_not_meet() {
    let stage = Stage::new();
    let (first, second) = (bytes(), bytes().into_iter().rev().collect::<Vec<u8>>());
    let cut = first.clone();
    stage.meddler.play(move |_| half(&cut, "\"1\""));
    stage.fetch(&Digest::of(&first)).expect_err("it breaks off");
    let whole = second.clone();
    stage.meddler.play(move |asked| file(asked, &whole, "\"1\""));
    stage.fetch(&Digest::of(&second)).expect("another one");
    assert_eq!(
        stage.meddler.asked().last().and_then(|it| it.header("range").map(str::to_owned)),
        None
    );
    assert_eq!(stage.files(), 3, "one package, and the beginning of the other with its note");
}

#[test]
fn a_redirect_of_a_package_is_followed_once_over_https_and_without_credentials() {
    let mut stage = Stage::new();
    let (server, store) = (stage.another(), stage.another());
    stage.with_password(&host(&server), "opens");
    let to = format!("https://{}/blob?signature=hidden", host(&store));
    server.play(move |asked| match asked.header("authorization") {
        Some(_) => Part::Say(say(307, &[("location", &to)], b"")),
        None => Part::Say(say(401, &[("www-authenticate", "Basic realm=\"x\"")], b"")),
    });
    store.play(|_| Part::Say(say(200, &[], b"package")));
    stage.fetch_file(&server).expect("it is there");
    let asked = &store.asked()[0];
    assert_eq!(
        (asked.path.as_str(), asked.header("authorization")),
        ("/blob?signature=hidden", None)
    );

    for (to, words) in [
        ("http://localhost:1/blob?signature=hidden", "which is not https"),
        ("ftp://localhost/blob?signature=hidden", "to nowhere"),
        ("", "to nowhere"),
    ] {
        let stage = Stage::new();
        let server = stage.another();
        server.play(move |_| Part::Say(say(302, &[("location", to)], b"")));
        let error = stage.fetch_file(&server).expect_err("it leads nowhere");
        // A location that is empty leads here again, which is one redirect too many.
        let told = chain(&error);
        assert!(told.contains(words) || to.is_empty(), "{words}: {told}");
        assert!(!told.contains("hidden"), "{told}");
        assert_eq!(stage.files(), 0);
    }
    let stage = Stage::new();
    let server = stage.another();
    server.play(|_| Part::Say(say(302, &[("location", "/again")], b"")));
    let error = stage.fetch_file(&server).expect_err("it goes round");
    assert!(chain(&error).contains("one redirect is followed"), "{}", chain(&error));
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn while_it_is_not_a_time_to_fetch_anything_nothing_is_asked() {
    let mut stage = Stage::new();
    let server = stage.another();
    let (repository, revision) = (format!("oci://{}/a", host(&server)), "1.0.0".to_owned());
    let registry = Source::Registry { repository, revision };
    let component = Component {
        name: "gauge".to_owned(),
        source: registry.clone(),
        wait: true,
        timeout: None,
        extensions: Map::new(),
    };
    let packages =
        Packages { link: &stage.link, state: &stage.state, config: &stage.config, keyid: None };
    let wanted =
        Wanted { application: APPLICATION, kind: ProfileType::Compose, component: &component };
    assert!(matches!(packages.fetch(&wanted), Err(PackageError::NotNow(None))));

    // The gate itself is shut: nobody's failure, and no request.
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let hours = Hours { zone: TimeZone::UTC, periods: Vec::new(), downtimes: Vec::new() };
    let of_gate = StateDir::open(&stage.folder.path().join("gate")).expect("nobody else has it");
    let gate = Gate::new(Arc::clone(&clock), hours, Arc::new(of_gate)).expect("readable");
    gate.start_downtime(clock.now_ms() + 60 * 60 * 1000, "moving").expect("it can be started");
    stage.link = stage.link.clone().behind(Arc::new(gate));
    let error = stage.fetch_from(ProfileType::Compose, registry).expect_err("a downtime");
    assert!(matches!(error, PackageError::NotNow(Some(LinkError::Quiet(_)))), "{}", chain(&error));
    stage.fetch_file(&server).expect_err("a downtime");
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_client_that_is_stopped_breaks_off_what_it_fetches_elsewhere() {
    let mut stage = Stage::new();
    let stranger = Authority::new();
    let server = Meddler::start(0, stranger.server("localhost", ALWAYS), None);
    server.play(|_| Part::SayAndHang(Vec::new()));
    let ca = stage.folder.path().join("other.pem");
    std::fs::write(&ca, stranger.pem()).expect("writable");
    stage.config.registries.push(RegistryConfig { ca: Some(ca), ..rule(&host(&server)) });
    let (link, server) = (stage.link.clone(), Arc::new(server));
    let asked = Arc::clone(&server);
    let stopping = std::thread::spawn(move || {
        testkit::wait::until("a request", || (!asked.asked().is_empty()).then_some(()));
        link.hang_up();
    });
    let error = stage.fetch_file(&server).expect_err("it is stopped");
    stopping.join().expect("it does not panic");
    assert!(!chain(&error).contains("in time"), "nobody waited for the server: {}", chain(&error));
}
