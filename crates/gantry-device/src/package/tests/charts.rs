//! Charts from chart repositories.

use super::*;

fn chart_from(stage: &Stage, server: &Meddler, revision: &str) -> Result<PathBuf, PackageError> {
    let repository = format!("https://{}/stable", host(server));
    let source = Source::ChartRepository { repository, revision: revision.to_owned() };
    stage.fetch_from(ProfileType::Helm, source)
}

// margo(P-1, P-4).
#[test]
fn a_chart_is_looked_up_in_the_index_by_its_name_and_version() {
    let mut stage = Stage::new();
    let (server, files) = (stage.another(), stage.another());
    stage.with_password(&host(&server), "opens");
    let digest = Digest::of(b"the chart").to_string();
    let index = format!(
        "apiVersion: v1\nentries:\n  gauge:\n  - version: 2.0.0\n    urls: [gauge-2.0.0.tgz]\n    \
         digest: {}\n  - version: 1.0.0+b\n    urls: [\"https://{}/gauge-1.tgz\"]\n  \
         - version: 3.0.0\n    urls: [\"http://x.example/gauge-3.tgz\"]\n  \
         - {{version: 4.0.0, urls: [gauge-4.0.0.tgz], digest: 00}}\n  \
         - {{version: 5.0.0, urls: [gauge-5.0.0.tgz], digest: {}}}\n",
        digest.trim_start_matches("sha256:"),
        host(&files),
        "0".repeat(64),
    );
    server.play(move |asked| match (asked.header("authorization"), asked.path.as_str()) {
        (None, _) => Part::Say(say(401, &[("www-authenticate", "Basic realm=\"x\"")], b"")),
        (_, "/stable/index.yaml") => Part::Say(say(200, &[], index.as_bytes())),
        (_, path) if path.starts_with("/stable/gauge-") => file(asked, b"the chart", "\"1\""),
        _ => Part::Say(say(404, &[], b"")),
    });
    files.play(|asked| file(asked, b"the older chart", "\"1\""));
    let read = |path: PathBuf| std::fs::read(path).expect("readable");
    assert_eq!(read(chart_from(&stage, &server, "2.0.0").expect("it is there")), b"the chart");
    assert_eq!(
        read(chart_from(&stage, &server, "1.0.0_b").expect("it is there")),
        b"the older chart"
    );
    assert_eq!(files.asked()[0].header("authorization"), None, "it is another host");

    for (version, code, words) in [
        ("9.0.0", "package-not-found", "it has 5 versions of the chart `gauge`, and not 9.0.0"),
        ("3.0.0", "package-unavailable", "which is not https"),
        ("4.0.0", "package-unavailable", "its digest of `gauge` is none"),
        ("5.0.0", "bad-digest", "does not have the digest"),
    ] {
        let error = chart_from(&stage, &server, version).expect_err(version);
        assert_eq!(error.code(), code, "{}", chain(&error));
        assert!(chain(&error).contains(words), "{}", chain(&error));
    }
}

#[test]
fn an_index_that_breaks_off_or_is_none_is_told_for_what_it_is() {
    let stage = Stage::new();
    let server = stage.another();
    for (part, code) in [
        (half(b"entries: {gauge: []}", "\"1\""), "registry-unreachable"),
        (Part::Say(say(200, &[], b"- not an index")), "package-unavailable"),
        (Part::Say(say(404, &[], b"")), "package-not-found"),
        (Part::Say(say(503, &[("retry-after", "120")], b"")), "registry-unreachable"),
        (
            Part::SayWithoutEnd(b"HTTP/1.1 200 x\r\n\r\n".to_vec(), vec![b'#'; 1 << 16]),
            "registry-unreachable",
        ),
    ] {
        server.play(move |_| part.clone());
        let error = chart_from(&stage, &server, "1.0.0").expect_err(code);
        assert_eq!(error.code(), code, "{}", chain(&error));
        let asked_for = (error.retry_after().is_some()).then_some(120);
        assert_eq!(error.retry_after().map(|it| it.as_secs()), asked_for);
    }
    assert!(server.written() < 64 << 20, "it is not read without end");
}
