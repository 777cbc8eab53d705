//! Polls of a repository that has nothing new, and the token that they need.

use std::sync::Arc;

use http_signature::SigningKey;
use testkit::certificates::{ALWAYS, Authority};
use testkit::meddler::{Meddler, Part, say};

use super::*;
use crate::fleet_manager::Patience;

const COMMIT: &str = "536d0c69466aa5e30d400aa59e94a25ca7af35ee";
const YEAR_MS: i64 = 365 * 24 * 3_600_000;
/// Thu, 12 Mar 2026 09:00:00 GMT.
const MORNING: i64 = 1_773_306_000_000;

/// How often a device whose clock is off by this much asks for a token in three polls, the second at the
/// same time as the first and the third two hours later.
fn tokens_asked_for(off_ms: i64) -> Vec<usize> {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let state = StateDir::open(&folder.path().join("state")).expect("nobody else has it");
    let trust = format!("{{\"commit\": \"{COMMIT}\", \"signers\": []}}");
    state.save_bytes("trust.json", trust.as_bytes()).expect("writable");
    let authority = Authority::new();
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, authority.pem()).expect("writable");
    let meddler = Meddler::start(0, authority.server("localhost", ALWAYS), None);
    let origin = format!("https://localhost:{}", meddler.port());
    let url = format!("{origin}/git/me.git");
    let access = format!(
        "{{\"url\": \"{url}\", \"branch\": \"main\", \"username\": \"me\", \"token\": \"t\", \
         \"expiresAt\": \"2026-03-12T10:00:00Z\"}}"
    );
    let newest = format!("003d{COMMIT} refs/heads/main\n0000");
    let plays = move |date: &'static str| {
        let (access, newest) = (access.clone(), newest.clone());
        move |asked: &testkit::meddler::Asked| {
            let (kind, body) = match asked.path.ends_with("/repository") {
                true => ("application/json", &access),
                false => ("application/x-git-upload-pack-result", &newest),
            };
            Part::Say(say(200, &[("content-type", kind), ("date", date)], body.as_bytes()))
        }
    };
    let pair = rcgen::KeyPair::generate().expect("a key can be made");
    let key = SigningKey::from_pkcs8_der(pair.serialized_der()).expect("a good key");
    let machine = Arc::new(move || MORNING + off_ms);
    let link = FleetManager::with(&origin, &ca, key, machine, Patience::default());
    let link = link.expect("a client");
    let client =
        Onboarded { client_id: "me".to_owned(), server: origin, reported_capabilities: None };
    let mut source = GitSource::new(&state, FirstContact::default()).expect("readable");
    let mut asked = Vec::new();
    for (date, later_ms) in [
        ("Thu, 12 Mar 2026 09:00:00 GMT", 0),
        ("Thu, 12 Mar 2026 09:00:00 GMT", 0),
        ("Thu, 12 Mar 2026 11:00:00 GMT", 7_200_000),
    ] {
        meddler.play(plays(date));
        let fetched = source.fetch(&link, &client, Some(7), MORNING + off_ms + later_ms);
        assert!(fetched.expect("a good answer").is_none(), "nothing is new");
        asked.push(meddler.asked().iter().filter(|it| it.path.ends_with("/repository")).count());
    }
    asked
}

#[test]
fn a_token_lasts_as_long_as_the_fleet_manager_means_whatever_the_devices_clock_says() {
    for years in [0, 10, -10, -56] {
        assert_eq!(tokens_asked_for(years * YEAR_MS), [1, 1, 2], "off by {years} years");
    }
}
