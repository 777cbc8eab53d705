//! Packages with a key: what is asked for, and what a refusal costs.

use testkit::openpgp::Keyring;

use super::*;

const PACKAGE: &[u8] = b"a signed package";

fn fetch(stage: &Stage, server: &Meddler) -> Result<PathBuf, PackageError> {
    let at = |path: &str| format!("https://{}{path}", host(server));
    let (location, key_location) = (at("/app.tgz?x=1"), Some(at("/key.asc")));
    stage.fetch_from(ProfileType::Compose, Source::Package { location, key_location })
}

fn paths(server: &Meddler) -> Vec<String> {
    server.asked().iter().map(|it| it.path.clone()).collect()
}

#[test]
fn a_package_whose_signature_is_put_right_is_not_fetched_again() {
    let stage = Stage::new();
    let server = stage.another();
    let keys = Keyring::new();
    keys.make("maker", "ed25519", "1y");
    let key = keys.public("maker");
    let serve = |signature: Option<Vec<u8>>, etag: &'static str| {
        let key = key.clone();
        server.play(move |asked| match (asked.path.as_str(), &signature) {
            ("/app.tgz?x=1", _) => file(asked, PACKAGE, etag),
            ("/key.asc", _) => Part::Say(say(200, &[], &key)),
            ("/app.tgz.sig?x=1", Some(signature)) => Part::Say(say(200, &[], signature)),
            _ => Part::Say(say(404, &[], b"")),
        });
    };
    serve(None, "\"1\"");
    let error = fetch(&stage, &server).expect_err("no signature");
    assert_eq!(error.code(), "bad-signature");
    assert_eq!(paths(&server), ["/key.asc", "/app.tgz.asc?x=1", "/app.tgz.sig?x=1"]);

    serve(Some(keys.sign("maker", b"another", &[])), "\"1\"");
    let error = fetch(&stage, &server).expect_err("a wrong signature");
    assert_eq!(error.code(), "bad-signature", "{}", chain(&error));
    serve(Some(keys.sign("maker", PACKAGE, &[])), "\"1\"");
    let path = fetch(&stage, &server).expect("it is right now");
    assert_eq!(std::fs::read(path).expect("readable"), PACKAGE);
    let ranges: Vec<_> =
        server.asked().into_iter().filter(|it| it.path == "/app.tgz?x=1").collect();
    let ranges: Vec<_> = ranges.iter().map(|it| it.header("range")).collect();
    assert_eq!(ranges, [None, Some("bytes=16-")]);
    assert_eq!(stage.files(), 1);
}

#[test]
fn another_key_is_refused_before_the_package_is_fetched() {
    let stage = Stage::new();
    let server = stage.another();
    let keys = Keyring::new();
    keys.make("maker", "ed25519", "1y");
    keys.make("stranger", "ed25519", "1y");
    let serve = |user: &'static str| {
        let (key, signature) = (keys.public(user), keys.sign(user, PACKAGE, &["--armor"]));
        server.play(move |asked| match asked.path.as_str() {
            "/app.tgz?x=1" => file(asked, PACKAGE, "\"1\""),
            "/key.asc" => Part::Say(say(200, &[], &key)),
            "/app.tgz.asc?x=1" => Part::Say(say(200, &[], &signature)),
            _ => Part::Say(say(404, &[], b"")),
        });
    };
    serve("maker");
    let path = fetch(&stage, &server).expect("the first key");
    std::fs::remove_file(path).expect("removable");
    serve("stranger");
    let before = server.asked().len();
    let error = fetch(&stage, &server).expect_err("another key");
    assert_eq!(error.code(), "key-changed", "{}", chain(&error));
    assert_eq!(paths(&server)[before..], ["/key.asc", "/app.tgz.asc?x=1"]);
    assert_eq!(stage.files(), 0);
}

#[test]
fn what_was_fetched_without_a_check_is_not_taken_where_one_is_wanted() {
    let stage = Stage::new();
    let server = stage.another();
    server.play(|asked| match asked.path.as_str() {
        "/app.tgz?x=1" => file(asked, PACKAGE, "\"1\""),
        _ => Part::Say(say(404, &[], b"")),
    });
    let location = format!("https://{}/app.tgz?x=1", host(&server));
    let unsigned = Source::Package { location, key_location: None };
    stage.fetch_from(ProfileType::Compose, unsigned).expect("nobody wants a signature");
    let error = fetch(&stage, &server).expect_err("somebody does");
    assert_eq!(error.code(), "bad-signature");
    assert!(chain(&error).contains("there is no key at https://localhost"), "{}", chain(&error));
}
