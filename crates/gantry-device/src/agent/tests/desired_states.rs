//! What a fleet manager may offer as a desired state, over HTTP: what is only unusual is taken, and the
//! client chooses how it comes.

use std::fs;

use margo_contract::bundle;
use margo_contract::digest::Digest;
use serde_json::{Value, json};
use uuid::Uuid;

use super::server::MANIFEST;
use super::*;

mod refused;

const START: &str = "2026-06-01T12:00:00Z";
const PACKAGE: &str = "/packages/web.tar.gz";
const BUNDLE: &str = "/bundle";
/// What is in force before anything is offered.
const FIRST_VERSION: u64 = 5;

/// A desired state with all that belongs to it.
#[derive(Clone)]
struct Offer {
    manifest: Value,
    /// What is at the URL of each document.
    documents: Vec<(String, Vec<u8>)>,
    bundle: Vec<u8>,
    etag: Option<&'static str>,
}

impl Offer {
    /// These deployments, each with a greeting.
    fn of(bench: &Bench, version: u64, greetings: &[(u128, &str)]) -> Self {
        let documents: Vec<(Uuid, String)> = greetings
            .iter()
            .map(|(number, greeting)| (id(*number), document(bench, *number, greeting)))
            .collect();
        let listed: Vec<Value> = documents
            .iter()
            .map(|(id, text)| {
                let digest = Digest::of(text.as_bytes());
                json!({"deploymentId": id, "digest": digest, "sizeBytes": text.len(),
                    "url": format!("/documents/{digest}")})
            })
            .collect();
        let archive = bundle::write(documents.iter().map(|(id, text)| (*id, text.as_bytes())));
        let archive = archive.expect("writing to memory");
        let reference = json!({"mediaType": bundle::MEDIA_TYPE, "digest": Digest::of(&archive),
            "sizeBytes": archive.len(), "url": BUNDLE});
        let at = |text: &str| format!("/documents/{}", Digest::of(text.as_bytes()));
        Self {
            manifest: json!({"manifestVersion": version, "bundle": reference, "deployments": listed}),
            documents: documents.into_iter().map(|(_, it)| (at(&it), it.into_bytes())).collect(),
            bundle: archive,
            etag: None,
        }
    }

    /// What it would be with another document in the place of one; the manifest says so.
    fn replace_document(&mut self, place: usize, text: String) {
        let digest = Digest::of(text.as_bytes());
        let url = format!("/documents/{digest}");
        self.manifest["deployments"][place]["digest"] = json!(digest);
        self.manifest["deployments"][place]["url"] = json!(url);
        self.documents[place] = (url, text.into_bytes());
    }

    /// Lets the manifest say this at a place.
    fn says(&mut self, pointer: &str, value: Value) {
        *self.manifest.pointer_mut(pointer).expect("the place is there") = value;
    }

    fn text(&self, place: usize) -> String {
        String::from_utf8(self.documents[place].1.clone()).expect("a document is text")
    }

    fn is_offered_by(&self, bench: &Bench) {
        for (url, bytes) in &self.documents {
            bench.server.put(url, bytes.clone());
        }
        bench.server.put(BUNDLE, self.bundle.clone());
        bench.server.put(PACKAGE, b"a package".to_vec());
        bench.server.put(MANIFEST, self.manifest.to_string().into_bytes());
        bench.server.tag(self.etag);
    }

    fn is_taken_away_from(&self, bench: &Bench) {
        for (url, _) in &self.documents {
            bench.server.take_away(url);
        }
    }
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn document(bench: &Bench, number: u128, greeting: &str) -> String {
    format!(
        "apiVersion: application.margo.org/v1alpha1\nkind: ApplicationDeployment\nmetadata:\n  \
         annotations: {{id: {}, applicationId: web}}\n  name: web-{number}\n  namespace: default\n\
         spec:\n  deploymentProfile:\n    type: compose\n    components:\n      - name: web\n        \
         properties: {{packageLocation: \"{}{PACKAGE}\"}}\n  parameters:\n    \
         greeting: {{value: {greeting}, targets: [{{pointer: GREETING, components: [web]}}]}}\n",
        id(number),
        bench.server.url
    )
}

/// A client with one workload that runs.
fn settled() -> Bench {
    let bench = Bench::at(START, "1m", "");
    Offer::of(&bench, FIRST_VERSION, &[(1, "a")]).is_offered_by(&bench);
    bench.run_for(10 * MINUTE);
    let status = bench.live.status().expect("told");
    assert_eq!(status.revision, Some(FIRST_VERSION));
    assert_eq!(status.deployments[0].state, "installed");
    bench
}

/// What the client says of what it was offered since so many requests: why it failed, or what it has told
/// the fleet manager that it refused.
fn said(bench: &Bench, asked: usize) -> String {
    let events = bench.requests().into_iter().skip(asked);
    let told = events.rev().find(|it| it.path.ends_with("/security-events"));
    let failed = bench.live.status().expect("told").last_error;
    failed.or(told.map(|it| it.body)).unwrap_or_default()
}

/// A desired state that is unusual in one way.
type Unusual = (&'static str, fn(&mut Offer, &Bench));

// margo(SM-5, D-8, K-1, X-16, G-4, EX-3, D-24, SP-54, CW-2)
#[test]
fn what_is_only_unusual_is_taken() {
    let unusual: [Unusual; 10] = [
        ("wrong sizes", |it, _| {
            it.says("/bundle/sizeBytes", json!(1));
            it.says("/deployments/0/sizeBytes", json!(u64::MAX >> 12));
        }),
        ("no sizes", |it, _| {
            for object in ["/bundle", "/deployments/0"] {
                let object = it.manifest.pointer_mut(object).and_then(Value::as_object_mut);
                object.expect("an object").remove("sizeBytes");
            }
        }),
        ("members that nobody knows", |it, _| {
            for object in ["", "/bundle", "/deployments/0"] {
                it.manifest.pointer_mut(object).expect("an object")["news"] = json!({"a": [1]});
            }
            let text = it.text(0);
            it.replace_document(0, format!("{text}  x-dockworks-extensions: {{a: 1}}\nnews: 7\n"));
        }),
        ("an ETag without quotes", |it, _| it.etag = Some("=")),
        ("no ETag", |it, _| it.etag = Some("")),
        ("whole URLs of the same origin", |it, bench| {
            let origin = bench.server.url.replace("localhost", "LocalHost");
            for url in ["/bundle/url", "/deployments/0/url"] {
                let url = it.manifest.pointer_mut(url).expect("a URL");
                *url = json!(format!("{origin}{}", url.as_str().expect("text")));
            }
        }),
        ("a path before /api/v1", |it, _| {
            let url = "/margo/api/v1/clients/c1/deployments/x".to_owned();
            it.says("/deployments/0/url", json!(url));
            it.documents[0].0 = url;
        }),
        ("a version with a point", |it, _| {
            let version = it.manifest["manifestVersion"].as_f64().expect("a number");
            it.says("/manifestVersion", json!(version));
        }),
        ("a document that names this device", |it, _| {
            let text = it.text(0);
            let named = text.replacen("  namespace:", "  deviceId: press-7\n  namespace:", 1);
            it.replace_document(0, named);
        }),
        ("the shape of the newer generation", |it, _| {
            let text = it.text(0);
            let top = format!("id: {}\nmetadata:\n  name: web-1", id(1));
            let text = text.split_once("  namespace:").map(|(_, it)| it).expect("it has one");
            let text = format!("{top}\n  namespace:{text}");
            it.replace_document(0, text.replacen("spec:\n", "spec:\n  applicationId: web\n", 1));
        }),
    ];
    let bench = settled();
    for (version, (what, change)) in (FIRST_VERSION + 1..).zip(unusual) {
        let greeting = format!("g{version}");
        let mut offer = Offer::of(&bench, version, &[(1, &greeting)]);
        change(&mut offer, &bench);
        offer.is_offered_by(&bench);
        if offer.etag == Some("=") {
            let digest = Digest::of(offer.manifest.to_string().as_bytes()).to_string();
            bench.server.tag(Some(&digest));
        }
        bench.run_for(10 * MINUTE);
        let why = said(&bench, 0);
        let status = bench.live.status().expect("told");
        assert_eq!(status.revision, Some(version), "{what}: {why}");
        assert_eq!(status.deployments[0].state, "installed", "{what}");
        let last = bench.state.join("documents");
        assert_eq!(fs::read_dir(last).expect("readable").count(), 1, "{what}");
    }
    assert_eq!(said(&bench, 0), "", "nothing of all this was an event");
}

// margo(CW-1, CW-4, SM-1)
#[test]
fn the_same_version_with_the_same_bytes_is_calm() {
    let bench = settled();
    // A server that knows what the client has says so, and its ETag is not looked at.
    bench.server.tag(Some("\"other\""));
    bench.run_for(10 * MINUTE);
    assert_eq!(said(&bench, 0), "", "it was a 304");
    bench.server.tag(None);
    bench.server.is_forgetful.store(true, Ordering::Relaxed);
    let (before, asked) = (bench.files(), bench.requests().len());
    bench.run_for(30 * MINUTE);
    let later = &bench.requests()[asked..];
    assert!(later.len() > 20 && later.iter().all(|it| it.path == MANIFEST), "{later:?}");
    assert_eq!(bench.files(), before);
    assert_eq!(said(&bench, 0), "");
}

// margo(CW-3)
#[test]
fn a_refusal_is_told_again_when_the_accepted_state_was_offered_in_between() {
    let bench = settled();
    let events =
        || bench.requests().iter().filter(|it| it.path.ends_with("/security-events")).count();
    let (good, older) = (
        Offer::of(&bench, FIRST_VERSION, &[(1, "a")]),
        Offer::of(&bench, FIRST_VERSION - 1, &[(1, "b")]),
    );
    for (offer, told) in [(&older, 1), (&older, 1), (&good, 1), (&older, 2), (&good, 2)] {
        offer.is_offered_by(&bench);
        bench.run_for(10 * MINUTE);
        assert_eq!(events(), told);
    }
    let before = bench.files();
    bench.run_for(30 * MINUTE);
    assert_eq!(bench.files(), before, "what is over is written down once");
}

// margo(CW-5, CW-9, D-12, V-1, V-4, V-6, W-4, X-39)
#[test]
fn much_that_is_new_comes_as_a_bundle_and_little_as_single_documents() {
    let bench = settled();
    let fetched = |version: u64, greetings: &[(u128, &str)]| {
        let asked = bench.requests().len();
        Offer::of(&bench, version, greetings).is_offered_by(&bench);
        bench.run_for(10 * MINUTE);
        let status = bench.live.status().expect("told");
        assert_eq!((status.revision, status.deployments.len()), (Some(version), greetings.len()));
        let later: Vec<String> =
            bench.requests()[asked..].iter().map(|it| it.path.clone()).collect();
        let bundles = later.iter().filter(|it| *it == BUNDLE).count();
        (bundles, later.iter().filter(|it| it.starts_with("/documents/")).count())
    };
    let five = [(1, "a"), (2, "a"), (3, "a"), (4, "a"), (5, "a")];
    assert_eq!(fetched(6, &five), (1, 0), "four are new");
    let one_other = [(1, "a"), (2, "b"), (3, "a"), (4, "a"), (5, "a")];
    assert_eq!(fetched(7, &one_other), (0, 1), "of five one is new");
    let three_other = [(1, "c"), (2, "c"), (3, "c"), (4, "a"), (5, "a")];
    assert_eq!(fetched(8, &three_other), (0, 3));
    let all_other = [(1, "d"), (2, "d"), (3, "d"), (4, "d"), (5, "d")];
    assert_eq!(fetched(9, &all_other), (1, 0));
    assert_eq!(fetched(10, &all_other[..2]), (0, 0), "what goes brings nothing");
    assert_eq!(bench.provider.removals.load(Ordering::Relaxed), 3);
    let reports = bench.requests().into_iter().filter(|it| it.path.ends_with("/status"));
    let removals = reports.filter(|it| it.body.contains("\"removed\""));
    let adopted: Vec<String> = removals.map(|it| it.adopted).collect();
    assert_eq!(adopted, ["9", "9", "9"], "the last version that they were taken up from");
}
