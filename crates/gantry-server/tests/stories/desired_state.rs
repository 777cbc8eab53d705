//! Manifest, documents and bundle, as a client fetches them (contract §6, §16.1).

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::GzDecoder;
use serde_json::json;
use testkit::fleet::TestFleet;

use crate::support::{fleet_with_deployment, manifest, sha256};

const IMMUTABLE: &str = "private, max-age=31536000, immutable";

// margo(D-2, D-5, SM-3, SM-4, K-1, K-2, K-3, H-3, H-5, SP-5, SP-60, X-18): a client without deployments has a manifest too.
#[test]
fn the_first_manifest_is_empty_and_its_version_is_one() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let answer = press.get(&press.path("/deployments"), &[]).expect(200);

    assert_eq!(answer.json(), json!({"bundle": null, "deployments": [], "manifestVersion": 1}));
    assert_eq!(answer.header("content-type"), Some("application/vnd.margo.manifest.v1+json"));
    assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
    // Strong, quoted, the digest of the whole body.
    assert_eq!(answer.header("etag"), Some(format!("\"{}\"", sha256(&answer.body)).as_str()));
}

// margo(SM-1, K-4, SP-5).
#[test]
fn a_manifest_that_the_client_has_is_not_sent_again() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let path = press.path("/deployments");
    let first = press.get(&path, &[]).expect(200);
    let etag = first.header("etag").expect("a manifest has an ETag");

    let list = format!("\"other\", {etag}");
    for condition in [etag, list.as_str(), "*"] {
        let unchanged = press.get(&path, &[("if-none-match", condition)]).expect(304);
        assert!(unchanged.body.is_empty());
        assert_eq!(unchanged.header("etag"), Some(etag));
        assert_eq!(unchanged.header("cache-control"), Some("private, no-cache"));
    }
    press.get(&path, &[("if-none-match", "\"other\"")]).expect(200);
}

// margo(SM-2, SP-5)
#[test]
fn a_manifest_comes_in_one_type_only() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let path = press.path("/deployments");
    for accept in
        ["application/vnd.margo.manifest.v1+json", "*/*", "application/*", "text/html, */*;q=0.1"]
    {
        press.get(&path, &[("accept", accept)]).expect(200);
    }
    for accept in ["application/json", "text/html", "application/vnd.margo.manifest.v1+json;q=0"] {
        press.get(&path, &[("accept", accept)]).expect_problem(
            406,
            "#server-cannot-generate-response",
            "application/vnd.margo.manifest.v1+json",
        );
    }
}

// margo(D-10, D-13, D-20, D-22, D-24, D-25, D-27, H-2, H-3, K-1, K-3, K-4, SM-5, SP-6, SP-7, SP-9, SP-60, X-17, X-18).
#[test]
fn every_digest_of_the_manifest_is_that_of_the_bytes_behind_its_url() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let manifest = manifest(&press);
    assert_eq!(manifest["manifestVersion"], 2);

    let listed = &manifest["deployments"][0];
    assert_eq!(listed["deploymentId"], deployment.as_str());
    let url = listed["url"].as_str().expect("a URL is text");
    assert_eq!(
        url,
        press.path(&format!(
            "/deployments/{deployment}/{}",
            listed["digest"].as_str().unwrap_or("")
        ))
    );
    let document = press.get(url, &[]).expect(200);
    assert_eq!(document.header("content-type"), Some("application/yaml"));
    assert_eq!(document.header("cache-control"), Some(IMMUTABLE));
    assert_eq!(listed["digest"], sha256(&document.body).as_str());
    assert_eq!(listed["sizeBytes"], document.body.len());
    let etag = format!("\"{}\"", sha256(&document.body));
    assert_eq!(document.header("etag"), Some(etag.as_str()));
    let unchanged = press.get(url, &[("if-none-match", &etag)]).expect(304);
    assert_eq!(unchanged.header("etag"), Some(etag.as_str()));

    let bundle = &manifest["bundle"];
    assert_eq!(bundle["mediaType"], "application/vnd.margo.bundle.v1+tar+gzip");
    let url = bundle["url"].as_str().expect("a URL is text");
    let archive = press.get(url, &[]).expect(200);
    assert_eq!(archive.header("content-type"), Some("application/vnd.margo.bundle.v1+tar+gzip"));
    assert_eq!(archive.header("cache-control"), Some(IMMUTABLE));
    assert_eq!(archive.header("content-encoding"), None);
    assert_eq!(bundle["digest"], sha256(&archive.body).as_str());
    let etag = format!("\"{}\"", sha256(&archive.body));
    assert_eq!(archive.header("etag"), Some(etag.as_str()));
    let unchanged = press.get(url, &[("if-none-match", &etag)]).expect(304);
    assert!(unchanged.body.is_empty());
    assert_eq!(unchanged.header("etag"), Some(etag.as_str()));
    assert_eq!(unchanged.header("cache-control"), Some(IMMUTABLE));
    assert_eq!(
        unpack(&archive.body),
        BTreeMap::from([(format!("{deployment}.yaml"), document.body)])
    );
    drop(fleet);
}

fn unpack(bundle: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(GzDecoder::new(bundle));
    let entries = archive.entries().expect("a bundle is a tar.gz");
    entries
        .map(|entry| {
            let mut entry = entry.expect("a bundle is a tar.gz");
            let path = entry.path().expect("a path is text").to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("an entry can be read");
            (path, bytes)
        })
        .collect()
}

// margo(D-2, D-3, D-15, W-4, SM-4, D-23).
#[test]
fn a_change_gives_a_greater_version_and_leaves_old_documents_readable() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let before = manifest(&press);
    let update = json!({"parameters": {"greeting": "Moin"}, "reason": "we are in Hamburg"});
    fleet
        .operator()
        .send("PATCH", &format!("/deployments/{deployment}"), Some(&update))
        .expect(200);
    fleet.operator().revision_reached(press.id(), 3);

    let after = manifest(&press);
    assert_eq!(after["manifestVersion"], 3);
    assert_eq!(after["deployments"][0]["deploymentId"], deployment.as_str());
    assert_ne!(after["deployments"][0]["digest"], before["deployments"][0]["digest"]);
    for manifest in [&before, &after] {
        for url in [&manifest["deployments"][0]["url"], &manifest["bundle"]["url"]] {
            press.get(url.as_str().expect("a URL is text"), &[]).expect(200);
        }
    }

    fleet
        .operator()
        .send("PATCH", &format!("/deployments/{deployment}"), Some(&update))
        .expect(200);
    fleet.operator().send("DELETE", &format!("/deployments/{deployment}"), None).expect(200);
    fleet.operator().revision_reached(press.id(), 4);
    let empty = json!({"bundle": null, "deployments": [], "manifestVersion": 4});
    assert_eq!(manifest(&press), empty, "an order that changes nothing makes no revision");
}

// margo(A-4, A-8, D-11, D-21, H-1, H-6, SP-6, SP-7).
#[test]
fn what_is_not_the_callers_answers_like_what_does_not_exist() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let lathe = fleet.accepted_client("lathe-2");
    let manifest = manifest(&press);
    let digest = manifest["deployments"][0]["digest"].as_str().expect("a digest is text");
    let bundle = manifest["bundle"]["digest"].as_str().expect("a digest is text");
    let nothing = sha256(b"nothing");

    // What is spelt otherwise is no digest.
    for digest in [digest, &nothing, "sha256:", "nothing", &nothing.to_uppercase()] {
        lathe.get(&lathe.path(&format!("/deployments/{deployment}/{digest}")), &[]).expect_problem(
            404,
            "#deployment-not-found",
            "",
        );
    }
    for digest in [bundle, &nothing, "sha256:", "nothing", &nothing.to_uppercase()] {
        lathe.get(&lathe.path(&format!("/bundles/{digest}")), &[]).expect_problem(
            404,
            "#invalid-bundle",
            "",
        );
    }
    press.get(&press.path(&format!("/deployments/{deployment}/{nothing}")), &[]).expect_problem(
        404,
        "#deployment-not-found",
        "",
    );
}

#[test]
fn the_compose_archive_of_a_package_reaches_the_client_that_needs_it_and_no_other() {
    let (fleet, press, _) = fleet_with_deployment();
    let lathe = fleet.accepted_client("lathe-2");
    let manifest = manifest(&press);
    let url = manifest["deployments"][0]["url"].as_str().expect("a URL is text");
    let document = press.get(url, &[]).expect(200).text();
    let location = document
        .lines()
        .find_map(|line| line.trim().trim_start_matches("- ").strip_prefix("packageLocation:"))
        .expect("the document says where the package is")
        .trim()
        .trim_matches(['"', '\''])
        .to_owned();
    let path = location.strip_prefix(&fleet.url()).expect("the fleet manager keeps the package");

    let archive = press.get(path, &[]).expect(200);
    let (_, digest) = path.rsplit_once('/').expect("a path has segments");
    assert_eq!(sha256(&archive.body), digest);
    assert!(unpack(&archive.body).keys().any(|it| it.ends_with("/compose.yaml")));

    lathe.get(&lathe.path(&format!("/packages/{digest}")), &[]).expect(404);
    fleet.http().send("GET", path, &[], None).expect(401);
}

// margo(E-3).
#[test]
fn unknown_paths_and_methods_are_named() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    fleet.http().send("GET", "/api/v1/nothing", &[], None).expect_problem(404, "about:blank", "");
    let wrong_method = press.signed("PATCH", &press.path("/deployments"), None, &[]);
    let answer = press.send(&wrong_method).expect_problem(405, "about:blank", "");
    assert!(answer.header("allow").is_some_and(|it| it.contains("GET")));
}

// RFC 9110, section 15.5.17.
#[test]
fn who_asks_for_more_than_there_is_gets_a_problem_that_says_how_much_there_is() {
    let (_fleet, press, _) = fleet_with_deployment();
    let whole = press.get(&press.path("/deployments"), &[]).expect(200);
    let length = whole.body.len();
    let answer = press.get(&press.path("/deployments"), &[("range", &format!("bytes={length}-"))]);
    let answer = answer.expect_problem(416, "about:blank", &length.to_string());
    assert_eq!(answer.header("content-range"), Some(format!("bytes */{length}").as_str()));
    assert_eq!(answer.header("etag"), whole.header("etag"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}
