//! What the client refuses of a desired state, each with the former state seen to stay: on the disk, in the
//! status, and on the engine.

use std::ffi::OsString;

use tar::EntryType;
use testkit::archive::packed;

use super::*;

/// More bytes than any bundle may unpack to.
const TOO_LARGE: usize = 65 << 20;

/// What an archive holds: what it is, its name, and its content.
type Entry = (EntryType, String, Vec<u8>);

/// A desired state that is spoilt in one way, and what the client says of it.
struct Refused {
    what: &'static str,
    /// Four documents more, so that the client takes the bundle.
    with_bundle: bool,
    spoil: fn(&mut Offer),
    says: &'static str,
}

fn refused(what: &'static str, spoil: fn(&mut Offer), says: &'static str) -> Refused {
    Refused { what, with_bundle: false, spoil, says }
}

fn refused_bundle(what: &'static str, spoil: fn(&mut Offer), says: &'static str) -> Refused {
    Refused { what, with_bundle: true, spoil, says }
}

impl Refused {
    /// Offers it, and sees that all stays as it was.
    fn is_refused_by(&self, bench: &Bench, version: u64) {
        let Self { what, with_bundle, spoil, says } = self;
        let greetings: &[(u128, &str)] = match with_bundle {
            true => &[(1, "b"), (2, "b"), (3, "b"), (4, "b"), (5, "b")],
            false => &[(1, "b")],
        };
        let before = held(bench);
        let installs = bench.provider.installs.lock().expect("not poisoned").len();
        let asked = bench.requests().len();
        let mut offer = Offer::of(bench, version, greetings);
        spoil(&mut offer);
        offer.is_offered_by(bench);
        bench.run_for(10 * MINUTE);

        let why = said(bench, asked);
        assert!(why.contains(says), "{what}: {why}");
        assert_eq!(held(bench), before, "{what}: the former state stays");
        let status = bench.live.status().expect("told");
        assert_eq!(status.revision, Some(FIRST_VERSION), "{what}");
        assert_eq!(status.deployments[0].state, "installed", "{what}");
        let now = bench.provider.installs.lock().expect("not poisoned").len();
        assert_eq!((now, bench.provider.removals.load(Ordering::Relaxed)), (installs, 0), "{what}");
        let elsewhere = |it: &&Moment| it.path.contains("evil");
        assert!(bench.requests()[asked..].iter().find(elsewhere).is_none(), "{what}");

        offer.is_taken_away_from(bench);
        Offer::of(bench, FIRST_VERSION, &[(1, "a")]).is_offered_by(bench);
        bench.run_for(10 * MINUTE);
        assert_eq!(
            bench.live.status().expect("told").last_error,
            None,
            "{what}: all is well again"
        );
    }
}

fn are_refused(cases: &[Refused]) {
    let bench = settled();
    for (version, case) in (FIRST_VERSION + 1..).zip(cases) {
        case.is_refused_by(&bench, version);
    }
    // What is right is still taken.
    Offer::of(&bench, 99, &[(1, "c")]).is_offered_by(&bench);
    bench.run_for(10 * MINUTE);
    assert_eq!(bench.live.status().expect("told").revision, Some(99));
}

// margo(CW-2, CW-6, D-12, H-1, H-4, H-5, K-1, W-3)
#[test]
fn other_algorithms_and_wrong_digests_are_refused() {
    are_refused(&[
        refused(
            "a document with another algorithm",
            |it| it.says("/deployments/0/digest", json!(format!("sha512:{}", "0".repeat(128)))),
            "deployments[0].digest",
        ),
        refused(
            "a bundle with another algorithm",
            |it| it.says("/bundle/digest", json!(format!("md5:{}", "0".repeat(32)))),
            "bundle.digest",
        ),
        refused(
            "a digest in capitals",
            |it| it.says("/deployments/0/digest", json!(format!("sha256:{}", "A".repeat(64)))),
            "deployments[0].digest",
        ),
        refused(
            "a digest that is too short",
            |it| it.says("/deployments/0/digest", json!(format!("sha256:{}", "0".repeat(63)))),
            "deployments[0].digest",
        ),
        refused(
            "a document of other bytes",
            |it| it.documents[0].1.push(b'\n'),
            "a document does not have the manifest's digest",
        ),
        refused(
            "a document that is not there",
            |it| it.documents[0].0 = "/nowhere".to_owned(),
            "answers 404",
        ),
        refused_bundle(
            "a bundle of other bytes",
            |it| it.bundle.push(0),
            "the bundle does not have the manifest's digest",
        ),
        refused(
            "a manifest of other bytes than its ETag says",
            |it| it.etag = Some("\"sha256:00\""),
            "digest of its ETag",
        ),
        refused(
            "a manifest with a weak ETag",
            |it| it.etag = Some("W/\"1\""),
            "digest of its ETag",
        ),
    ]);
}

// margo(CW-3, D-7)
#[test]
fn versions_that_do_not_rise_are_refused_and_told() {
    are_refused(&[
        refused(
            "the same version of other bytes",
            |it| it.says("/manifestVersion", json!(FIRST_VERSION)),
            "does not rise above 5",
        ),
        refused(
            "an older version",
            |it| it.says("/manifestVersion", json!(FIRST_VERSION - 1)),
            "does not rise above 5",
        ),
        refused(
            "an older version whose documents are gone",
            |it| {
                it.says("/manifestVersion", json!(1));
                it.documents[0].0 = "/nowhere".to_owned();
            },
            "manifest version 1 does not rise above 5",
        ),
        refused(
            "no version",
            |it| it.says("/manifestVersion", json!(0)),
            "manifestVersion: has to be 1 or more",
        ),
        refused("half a version", |it| it.says("/manifestVersion", json!(6.5)), "manifestVersion"),
    ]);
}

// margo(D-22, D-26, CW-6)
#[test]
fn bundles_with_anything_but_the_documents_of_the_manifest_are_refused() {
    fn entries(offer: &Offer) -> Vec<Entry> {
        let documents = offer.documents.iter().enumerate();
        documents
            .map(|(place, (_, bytes))| (EntryType::Regular, format!("{place}.yaml"), bytes.clone()))
            .collect()
    }
    fn file(name: &str, content: &[u8]) -> Entry {
        (EntryType::Regular, name.to_owned(), content.to_vec())
    }
    fn with(offer: &mut Offer, change: fn(&mut Vec<Entry>)) {
        let mut entries = entries(offer);
        change(&mut entries);
        let entries: Vec<(EntryType, &str, &[u8])> =
            entries.iter().map(|it| (it.0, it.1.as_str(), it.2.as_slice())).collect();
        offer.bundle = packed(&entries);
        offer.manifest["bundle"]["digest"] = json!(Digest::of(&offer.bundle));
    }
    are_refused(&[
        refused_bundle("a missing entry", |it| with(it, |it| drop(it.pop())), "lacks the document"),
        refused_bundle(
            "an extra entry",
            |it| {
                with(it, |it| it.push(file("more.yaml", b"x")));
            },
            "`more.yaml`, whose content the manifest does not name",
        ),
        refused_bundle(
            "an entry twice",
            |it| {
                with(it, |it| it.push(file("again.yaml", &it[0].2)));
            },
            "`again.yaml`",
        ),
        refused_bundle(
            "a symbolic link",
            |it| with(it, |it| it[0].0 = EntryType::Symlink),
            "`0.yaml`, which is no regular file",
        ),
        refused_bundle(
            "a hard link",
            |it| with(it, |it| it[0].0 = EntryType::Link),
            "`0.yaml`, which is no regular file",
        ),
        refused_bundle(
            "a folder",
            |it| with(it, |it| it.insert(0, (EntryType::Directory, "a/".to_owned(), Vec::new()))),
            "`a/`, which is no regular file in its root",
        ),
        refused_bundle(
            "an entry in a folder",
            |it| with(it, |it| it[0].1 = "a/0.yaml".to_owned()),
            "`a/0.yaml`, which is no regular file in its root",
        ),
        refused_bundle(
            "an entry that escapes",
            |it| with(it, |it| it[0].1 = "../0.yaml".to_owned()),
            "`../0.yaml`, which is no regular file in its root",
        ),
        refused_bundle(
            "an entry from the root of the file system",
            |it| with(it, |it| it[0].1 = "/0.yaml".to_owned()),
            "`/0.yaml`, which is no regular file in its root",
        ),
        refused_bundle(
            "an entry that is too large",
            |it| with(it, |it| it[0].2 = vec![b' '; TOO_LARGE]),
            "unpacks to more than",
        ),
        refused_bundle(
            "no archive at all",
            |it| {
                it.bundle = b"nothing of the kind".to_vec();
                it.says("/bundle/digest", json!(Digest::of(&it.bundle)));
            },
            "not a readable tar.gz",
        ),
        refused(
            "an archive of another kind",
            |it| it.says("/bundle/mediaType", json!("application/zip")),
            "bundle.mediaType",
        ),
        refused("no archive", |it| it.says("/bundle", Value::Null), "null exactly when"),
    ]);
}

// margo(D-8)
#[test]
fn manifests_that_point_to_another_origin_are_refused_and_nobody_is_asked_there() {
    let own = "not on the fleet manager's own origin";
    are_refused(&[
        refused(
            "another host",
            |it| it.says("/deployments/0/url", json!("https://evil.example/d")),
            own,
        ),
        refused(
            "another host for the bundle, which is not needed",
            |it| it.says("/bundle/url", json!("https://evil.example/b")),
            own,
        ),
        refused(
            "another port",
            |it| it.says("/deployments/0/url", json!("https://localhost:1/evil")),
            own,
        ),
        refused(
            "a name before the host",
            |it| it.says("/deployments/0/url", json!("https://localhost@evil.example/d")),
            own,
        ),
        refused(
            "another host without a scheme",
            |it| it.says("/deployments/0/url", json!("//evil.example/d")),
            "deployments[0].url",
        ),
        refused(
            "no TLS",
            |it| it.says("/deployments/0/url", json!("http://localhost/evil")),
            "deployments[0].url",
        ),
        refused(
            "a path that hangs in the air",
            |it| it.says("/deployments/0/url", json!("evil")),
            "deployments[0].url",
        ),
    ]);
}

// margo(CW-7, SP-11, SP-54, X-20)
#[test]
fn documents_whose_ids_disagree_or_that_are_for_somebody_else_are_refused() {
    fn with(offer: &mut Offer, from: &str, to: &str) {
        let text = offer.text(0);
        assert!(text.contains(from), "{text}");
        offer.replace_document(0, text.replacen(from, to, 1));
    }
    are_refused(&[
        refused(
            "the id of another deployment",
            |it| with(it, &id(1).to_string(), &id(9).to_string()),
            "calls itself 00000000-0000-0000-0000-000000000009",
        ),
        refused(
            "two ids",
            |it| with(it, "metadata:", &format!("id: {}\nmetadata:", id(9))),
            "contradict each other",
        ),
        refused(
            "an id that is none",
            |it| with(it, &id(1).to_string(), "seven"),
            "has to be a UUID",
        ),
        refused(
            "another device",
            |it| with(it, "  namespace:", "  deviceId: lathe-2\n  namespace:"),
            "for the device `lathe-2`",
        ),
        refused(
            "a child of a gateway that this is not",
            |it| with(it, "  namespace:", "  deviceId: \"press-7/*\"\n  namespace:"),
            "for the device `press-7/*`",
        ),
        refused("no schema", |it| with(it, "type: compose", "type: submarine"), "submarine"),
        refused(
            "a deployment twice",
            |it| {
                let listed = it.manifest["deployments"][0].clone();
                it.says("/deployments", json!([listed, listed]));
            },
            "names a deployment twice",
        ),
    ]);
}

/// What the client holds of its desired state, on the disk.
fn held(bench: &Bench) -> (Vec<u8>, Vec<OsString>) {
    let accepted = fs::read(bench.state.join("accepted.json")).expect("it was accepted");
    let documents = fs::read_dir(bench.state.join("documents")).expect("there are some");
    let mut names: Vec<_> = documents.map(|it| it.expect("readable").file_name()).collect();
    names.sort();
    (accepted, names)
}
