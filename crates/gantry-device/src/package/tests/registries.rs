//! Packages from OCI registries, and who is told what.

use serde_json::json as value;

use super::*;

const LAYER: &str = "application/vnd.org.margo.component.compose.tar+gzip";

fn manifest(package: &[u8]) -> Value {
    value!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.org.margo.component.compose+json",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}"), "size": 2},
        "layers": [{"mediaType": LAYER, "digest": Digest::of(package), "size": package.len(),
            "annotations": {"org.margo.component.type": "compose", "org.margo.component.version": "1.0.0"}}],
    })
}

fn pull(stage: &Stage, host: &str) -> Result<PathBuf, PackageError> {
    let (repository, revision) = (format!("oci://{host}/plant/hello"), "1.0.0".to_owned());
    stage.fetch_from(ProfileType::Compose, Source::Registry { repository, revision })
}

/// A registry that wants a token, which `realm` gives.
fn registry(asked: &Asked, realm: &str, package: &[u8]) -> Part {
    let challenge =
        format!("Bearer realm=\"{realm}\",service=\"r\",scope=\"repository:plant/hello:pull\"");
    match (asked.header("authorization"), asked.path.as_str()) {
        (Some("Bearer granted"), "/v2/plant/hello/manifests/1.0.0") => json(
            200,
            &[("content-type", "application/vnd.oci.image.manifest.v1+json")],
            &manifest(package),
        ),
        (Some("Bearer granted"), path) if path.starts_with("/v2/plant/hello/blobs/sha256:") => {
            file(asked, package, "\"1\"")
        }
        (Some("Bearer granted"), _) => Part::Say(say(404, &[], b"")),
        _ => Part::Say(say(401, &[("www-authenticate", &challenge)], b"")),
    }
}

// margo(R-10)
#[test]
fn a_token_is_got_where_the_registry_says_and_with_the_credentials_of_that_host_alone() {
    let mut stage = Stage::new();
    let (server, tokens) = (stage.another(), stage.another());
    let realm = format!("https://{}/token?x=1", host(&tokens));
    server.play(move |asked| registry(asked, &realm, b"package"));
    tokens.play(|_| json(200, &[], &value!({"access_token": "granted"})));
    stage.with_password(&host(&server), "of the registry");
    let path = pull(&stage, &host(&server)).expect("it is there");
    assert_eq!(std::fs::read(path).expect("readable"), b"package");
    let asked = tokens.asked();
    assert_eq!(asked.len(), 1, "one token is enough");
    assert_eq!(asked[0].path, "/token?x=1&service=r&scope=repository%3Aplant%2Fhello%3Apull");
    assert_eq!(asked[0].header("authorization"), None, "those are of another host");

    let mut stage = Stage::new();
    stage.with_password("localhost:1", "of nobody");
    let (server, tokens) = (stage.another(), stage.another());
    let realm = format!("https://{}/token", host(&tokens));
    server.play(move |asked| registry(asked, &realm, b"package"));
    tokens.play(|asked| match asked.header("authorization") {
        Some("Basic cHJlc3M6b3BlbnM=") => json(200, &[], &value!({"token": "granted"})),
        _ => Part::Say(say(401, &[], b"")),
    });
    let error = pull(&stage, &host(&server)).expect_err("nobody is known");
    assert_eq!(error.code(), "registry-denied");
    assert!(chain(&error).contains("no [[registry]] section has credentials for that host"));
    stage.with_password(&host(&tokens), "opens");
    pull(&stage, &host(&server)).expect("it is there");
}

#[test]
fn basic_credentials_and_bearer_tokens_are_read_when_they_are_needed() {
    let mut stage = Stage::new();
    let server = stage.another();
    server.play(|asked| match asked.header("authorization") {
        Some("Basic cHJlc3M6bmV3") if asked.path.contains("manifests") => {
            json(200, &[], &manifest(b"package"))
        }
        Some("Basic cHJlc3M6bmV3") => file(asked, b"package", "\"1\""),
        _ => Part::Say(say(401, &[("www-authenticate", "Basic realm=\"x\"")], b"")),
    });
    let error = pull(&stage, &host(&server)).expect_err("nobody is known");
    assert!(chain(&error).contains("no [[registry]] section has credentials"), "{}", chain(&error));
    stage.with_password(&host(&server), "old");
    let error = pull(&stage, &host(&server)).expect_err("it is out of date");
    assert_eq!(error.code(), "registry-denied");
    assert!(!chain(&error).contains("old"), "{}", chain(&error));
    std::fs::write(stage.folder.path().join("password-0"), "new\n").expect("writable");
    pull(&stage, &host(&server)).expect("it is there");

    let other = stage.another();
    other.play(|asked| match asked.header("authorization") {
        Some("Bearer new") if asked.path.contains("manifests") => {
            json(200, &[], &manifest(b"another package"))
        }
        Some("Bearer new") => file(asked, b"another package", "\"1\""),
        _ => Part::Say(say(401, &[("www-authenticate", "Bearer realm=\"https://no.where\"")], b"")),
    });
    let token = Credentials::Token { file: stage.folder.path().join("password-0") };
    let rule = RegistryConfig { credentials: Some(token), ..rule(&host(&other)) };
    stage.config.registries.push(rule);
    pull(&stage, &host(&other)).expect("it is there");
}

// margo(R-21, R-36)
#[test]
fn what_a_registry_says_wrong_is_told_with_a_code_and_changes_nothing() {
    type Play = fn(&Asked) -> Part;
    let cases: [(Play, &str, &str); 9] = [
        (|_| Part::Say(say(403, &[], b"")), "registry-denied", "answers 403"),
        (|_| Part::Say(say(404, &[], b"")), "package-not-found", "answers 404"),
        (|_| Part::Say(say(503, &[], b"")), "registry-unreachable", "answers 503"),
        (
            |_| Part::Say(say(200, &[], &vec![b' '; 2 << 20])),
            "registry-unreachable",
            "larger than 1048576",
        ),
        (
            |_| Part::Say(say(307, &[("location", "/x")], b"")),
            "registry-unreachable",
            "for packages only",
        ),
        (
            |_| {
                json(
                    200,
                    &[("docker-content-digest", &Digest::of(b"x").to_string())],
                    &manifest(b"p"),
                )
            },
            "bad-digest",
            "does not have the digest",
        ),
        (|_| json(200, &[], &value!({"manifests": []})), "package-unavailable", "index of several"),
        (
            |asked| match asked.path.contains("manifests") {
                true => json(200, &[], &manifest(b"package")),
                false => file(asked, b"another", "\"1\""),
            },
            "bad-digest",
            "does not have the digest",
        ),
        (
            |_| {
                let mut large = manifest(b"package");
                large["layers"][0]["size"] = (65_u64 << 20).into();
                json(200, &[], &large)
            },
            "package-too-large",
            "[packages] largest",
        ),
    ];
    for (play, code, words) in cases {
        let stage = Stage::new();
        let server = stage.another();
        server.play(play);
        let error = pull(&stage, &host(&server)).expect_err(words);
        assert_eq!(error.code(), code, "{}", chain(&error));
        assert!(chain(&error).contains(words), "{words}: {}", chain(&error));
        assert_eq!(stage.files(), 0, "{words}");
    }
}

#[test]
fn a_realm_without_tls_gets_nothing() {
    let mut stage = Stage::new();
    let server = stage.another();
    server.play(|asked| registry(asked, "http://localhost:1/token", b"package"));
    stage.with_password(&host(&server), "opens");
    let error = pull(&stage, &host(&server)).expect_err("no token");
    assert!(chain(&error).contains("which is not https"), "{}", chain(&error));
}

#[test]
fn a_host_is_trusted_by_the_pinned_root_or_by_the_one_that_its_section_names() {
    let mut stage = Stage::new();
    let stranger = Authority::new();
    let server = Meddler::start(0, stranger.server("localhost", ALWAYS), None);
    server.play(|asked| match asked.path.contains("manifests") {
        true => json(200, &[], &manifest(b"package")),
        false => file(asked, b"package", "\"1\""),
    });
    let error = pull(&stage, &host(&server)).expect_err("a stranger");
    assert_eq!(error.code(), "registry-unreachable");
    assert!(chain(&error).contains("name that with `ca` in a [[registry]] section"));
    let ca = stage.folder.path().join("other.pem");
    stage.config.registries.push(RegistryConfig { ca: Some(ca.clone()), ..rule(&host(&server)) });
    let error = pull(&stage, &host(&server)).expect_err("there is no such file");
    assert!(chain(&error).contains("other.pem"), "{}", chain(&error));
    std::fs::write(&ca, stranger.pem()).expect("writable");
    pull(&stage, &host(&server)).expect("it is trusted now");
}

// margo(R-25).
#[test]
fn a_mirror_is_asked_in_place_of_its_host_with_its_own_rules() {
    let mut stage = Stage::new();
    let mirror = stage.another();
    mirror.play(|asked| match asked.header("authorization") {
        None => Part::Say(say(401, &[("www-authenticate", "Basic realm=\"x\"")], b"")),
        Some(_) if asked.path == "/v2/cache/docker/plant/hello/manifests/1.0.0" => {
            json(200, &[], &manifest(b"package"))
        }
        Some(_) if asked.path.starts_with("/v2/cache/docker/plant/hello/blobs/") => {
            file(asked, b"package", "\"1\"")
        }
        Some(_) if asked.path == "/cache/docker/files/a.tgz" => file(asked, b"file", "\"1\""),
        Some(_) => Part::Say(say(404, &[], b"")),
    });
    let to = Mirror { host: host(&mirror), prefix: "cache/docker/".to_owned() };
    stage.config.registries.push(RegistryConfig { mirror: Some(to), ..rule("registry.invalid") });
    stage.with_password(&host(&mirror), "opens");
    pull(&stage, "registry.invalid").expect("the mirror has it");
    let location = "https://registry.invalid/files/a.tgz".to_owned();
    let source = Source::Package { location, key_location: None };
    stage.fetch_from(ProfileType::Compose, source).expect("the mirror has it, too");
}

// margo(R-25).
#[test]
fn plain_http_is_spoken_only_where_the_owner_says_so() {
    let mut stage = Stage::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let host = format!("localhost:{}", listener.local_addr().expect("it is bound").port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = vec![0; 4096];
            let length = io::Read::read(&mut stream, &mut head).expect("readable");
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let answer = match head.starts_with("GET /v2/plant/hello/manifests/1.0.0 ") {
                true => say(200, &[], manifest(b"package").to_string().as_bytes()),
                false => say(200, &[], b"package"),
            };
            // Whoever wants TLS hangs up.
            let _ = io::Write::write_all(&mut stream, &answer);
        }
    });
    let error = pull(&stage, &host).expect_err("no TLS");
    assert_eq!(error.code(), "registry-unreachable", "{}", chain(&error));
    stage.config.registries.push(RegistryConfig { plain_http: true, ..rule(&host) });
    pull(&stage, &host).expect("it is there");
}
