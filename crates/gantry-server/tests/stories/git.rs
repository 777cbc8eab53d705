//! A client's repository: what is in it, and who may read it.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::fleet::TestFleet;
use testkit::http::Answer;

use crate::real_git::{Git, VERSION_2, basic, repository, text};
use crate::support::{fleet_with_deployment, greet, manifest, sha256};

const CHALLENGE: &str = "Basic realm=\"gantry\", charset=\"UTF-8\"";
const ADVERTISEMENT: &str = "/info/refs?service=git-upload-pack";

fn bytes(folder: &Path, file: &str) -> Vec<u8> {
    fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn a_client_is_told_where_its_repository_is_and_gets_a_token_for_an_hour() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let answer = press.get(&press.path("/repository"), &[]).expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let repository = answer.json();
    assert_eq!(text(&repository, "url"), format!("{}/git/{}.git", fleet.url(), press.id()));
    assert_eq!(text(&repository, "branch"), "main");
    assert_eq!(text(&repository, "username"), press.id());
    assert!(text(&repository, "token").len() >= 32);
    let expiry: jiff::Timestamp =
        text(&repository, "expiresAt").parse().expect("a time is RFC 3339 in UTC");
    let now = i64::try_from(testkit::client::now()).expect("this century");
    let lifetime = expiry.as_second() - now;
    assert!((3_000..=3_700).contains(&lifetime), "{lifetime} seconds");
}

#[test]
fn where_git_is_switched_off_nothing_is_told_and_nothing_is_served() {
    let fleet = TestFleet::start_with("[git]\nenabled = false\n");
    let press = fleet.accepted_client("press-7");
    press.get(&press.path("/repository"), &[]).expect_problem(404, "about:blank", "switched off");
    let path = format!("/git/{}.git{ADVERTISEMENT}", press.id());
    fleet.http().send("GET", &path, &[VERSION_2], None).expect_problem(404, "about:blank", "");
    press.get(&press.path("/deployments"), &[]).expect(200);
}

#[test]
fn a_clone_holds_what_the_web_endpoints_serve() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let git = Git::of(&fleet, &press);
    let checkout = git.clone(&[]);
    git.assert_sound();

    let document = format!("deployments/{deployment}.yaml");
    let files = git.in_checkout(&["ls-tree", "-r", "--name-only", "HEAD"]);
    assert_eq!(files.lines().collect::<Vec<_>>(), [document.as_str(), "manifest.json"]);
    let served = press.get(&press.path("/deployments"), &[]).expect(200);
    let manifest_bytes = bytes(&checkout, "manifest.json");
    assert_eq!(manifest_bytes, served.body);
    let etag = format!("\"{}\"", sha256(&manifest_bytes));
    assert_eq!(served.header("etag"), Some(etag.as_str()));
    let listed = &served.json()["deployments"][0];
    let url = listed["url"].as_str().expect("a URL is text");
    let document_bytes = bytes(&checkout, &document);
    assert_eq!(listed["digest"], sha256(&document_bytes));
    assert_eq!(document_bytes, press.get(url, &[]).expect(200).body);
}

#[test]
fn the_history_says_who_ordered_what_and_why() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let forged = "we are in Hamburg\n\nMargo-Manifest-Version: 99";
    greet(&fleet, &deployment, "Moin", forged);
    fleet.operator().revision_reached(press.id(), 3);
    let path = format!("/deployments/{deployment}?reason=the%20line%20is%20gone");
    fleet.operator().send("DELETE", &path, None).expect(200);
    fleet.operator().revision_reached(press.id(), 4);

    let git = Git::of(&fleet, &press);
    let checkout = git.clone(&[]);
    git.assert_sound();
    assert!(!checkout.join("deployments").exists(), "nothing is wanted any more");

    let subjects = git.in_checkout(&["log", "--format=%an: %s"]);
    let subjects: Vec<&str> = subjects.lines().collect();
    assert_eq!(
        subjects,
        [
            "admin: Remove com-example-web",
            "admin: Update com-example-web: greeting = Moin",
            "admin: Install com-example-web 1.0.0 as com-example-web",
            "admin: Admit press-7",
        ]
    );
    let trailers = "--format=%(trailers:key=Margo-Manifest-Version,valueonly,separator=%x2C)";
    let versions = git.in_checkout(&["log", trailers]);
    assert_eq!(versions.lines().collect::<Vec<_>>(), ["4", "3", "2", "1"], "none can be forged");
    let update = git.in_checkout(&["log", "-1", "--format=%B", "HEAD~1"]);
    for line in ["Reason: we are in Hamburg ", "Gantry-Operator: admin", "Ordered by admin."] {
        assert!(update.contains(line), "{line} is not in {update}");
    }
    let deployments = "--format=%(trailers:key=Gantry-Deployment,valueonly)";
    assert_eq!(git.in_checkout(&["log", "-1", deployments]).trim(), deployment);
    let removal = git.in_checkout(&["log", "-1", "--format=%B"]);
    assert!(removal.contains("Reason: the line is gone"), "{removal}");
}

#[test]
fn a_fetch_brings_the_new_commit_and_nothing_else() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let git = Git::of(&fleet, &press);
    git.clone(&[]);
    let (commits, objects) = (git.commits(), git.objects());
    git.in_checkout(&["fetch", "--quiet"]);
    assert_eq!((git.commits(), git.objects()), (commits, objects), "there is nothing new");

    greet(&fleet, &deployment, "Moin", "we are in Hamburg");
    fleet.operator().revision_reached(press.id(), 3);
    git.in_checkout(&["fetch", "--quiet"]);
    assert_eq!(git.commits(), commits + 1);
    // The commit, two folders, the manifest and the document.
    assert_eq!(git.objects(), objects + 5);
    git.assert_sound();

    git.in_checkout(&["merge", "--quiet", "--ff-only"]);
    let newest = fs::read(git.home.path().join("checkout/manifest.json")).expect("a file");
    assert_eq!(serde_json::from_slice::<Value>(&newest).ok(), Some(manifest(&press)));
}

#[test]
fn the_one_branch_is_listed_at_the_newest_revision() {
    let (fleet, press, _) = fleet_with_deployment();
    let revisions = fleet.operator().get(&format!("/clients/{}/revisions", press.id()));
    let commit = revisions["items"][0]["commit"].as_str().expect("a commit is text");
    let git = Git::of(&fleet, &press);
    let url = git.url.clone();
    assert_eq!(
        git.stdout(&["ls-remote", "--symref", &url]),
        format!("ref: refs/heads/main\tHEAD\n{commit}\tHEAD\n{commit}\trefs/heads/main\n")
    );
    assert_eq!(git.stdout(&["ls-remote", "--tags", &url]), "");
}

#[test]
fn who_has_no_good_token_is_asked_for_one() {
    let (fleet, press, _) = fleet_with_deployment();
    let lathe = fleet.accepted_client("lathe-2");
    let (of_press, of_lathe) = (repository(&press), repository(&lathe));
    let token = text(&of_press, "token");
    let headers = [
        None,
        Some("Basic".to_owned()),
        Some("Basic %%%".to_owned()),
        Some(format!("Basic {}", STANDARD.encode("no colon"))),
        Some(format!("Bearer {token}")),
        Some(basic("", token)),
        Some(basic(press.id(), "")),
        Some(basic(press.id(), &token[1..])),
        Some(basic(press.id(), text(&of_lathe, "token"))),
        Some(basic(lathe.id(), token)),
        Some(basic("admin", token)),
    ];
    for header in &headers {
        for (method, below) in [
            ("GET", ADVERTISEMENT),
            ("GET", "/info/refs?service=git-receive-pack"),
            ("POST", "/git-upload-pack"),
            ("POST", "/git-receive-pack"),
        ] {
            let path = format!("/git/{}.git{below}", press.id());
            let mut sent = vec![VERSION_2];
            sent.extend(header.as_ref().map(|it| ("authorization", it.as_str())));
            let answer = fleet.http().send(method, &path, &sent, None);
            let answer = answer.expect_problem(401, "about:blank", "token");
            assert_eq!(answer.header("www-authenticate"), Some(CHALLENGE), "{header:?} {below}");
        }
    }

    let mut git = Git::of(&fleet, &press);
    text(&of_lathe, "token").clone_into(&mut git.token);
    let said = git.refused(&["ls-remote", &git.url]);
    assert!(said.contains("Authentication failed"), "{said}");
}

#[test]
fn the_repository_of_another_client_answers_like_one_that_does_not_exist() {
    let (fleet, press, _) = fleet_with_deployment();
    let lathe = fleet.accepted_client("lathe-2");
    let of_lathe = repository(&lathe);
    let authorization = basic(lathe.id(), text(&of_lathe, "token"));
    let ask = |repository: &str| {
        let path = format!("/git/{repository}{ADVERTISEMENT}");
        let headers = [VERSION_2, ("authorization", authorization.as_str())];
        let answer = fleet.http().send("GET", &path, &headers, None);
        let answer = answer.expect_problem(404, "about:blank", "repository");
        without_path(&answer)
    };
    let of_press = ask(&format!("{}.git", press.id()));
    assert_eq!(of_press, ask("00000000-0000-4000-8000-000000000000.git"));
    assert_eq!(of_press, ask("nonsense"));
    assert_eq!(of_press, ask(lathe.id()), "without its ending it is no repository");
}

/// Everything that a caller sees but for what tells the path and the time.
fn without_path(answer: &Answer) -> (Value, Vec<(String, String)>) {
    let mut problem = answer.json();
    problem["instance"].take();
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| !["date", "content-length"].contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), format!("{value:?}")));
    (problem, headers.collect())
}

#[test]
fn the_token_of_a_revoked_client_is_refused_at_once() {
    let (fleet, press, _) = fleet_with_deployment();
    let git = Git::of(&fleet, &press);
    let url = git.url.clone();
    git.stdout(&["ls-remote", &url]);

    let revoke = format!("/clients/{}/revoke", press.id());
    fleet.operator().send("POST", &revoke, Some(&json!({"reason": "stolen"}))).expect(200);
    let said = git.refused(&["ls-remote", &url]);
    assert!(said.contains("Authentication failed"), "{said}");
}

#[test]
fn no_token_is_kept_in_a_log_or_in_a_clone() {
    let fleet = TestFleet::start_with("[log]\nlevel = \"trace\"\n");
    let press = fleet.accepted_client("press-7");
    let mut git = Git::of(&fleet, &press);
    let checkout = git.clone(&[]);
    let token = std::mem::replace(&mut git.token, "a-wrong-token".to_owned());
    git.refused(&["ls-remote", &git.url]);

    let configuration = String::from_utf8(bytes(&checkout, ".git/config")).expect("text");
    for place in [fleet.log(), configuration] {
        assert!(place.contains(press.id()), "{place}");
        for secret in [&token, "a-wrong-token", "Basic "] {
            assert!(!place.contains(secret), "{secret} is in {place}");
        }
    }
}
