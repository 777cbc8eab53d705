//! Signing in and out: what is kept, whom it is told to, and what is never printed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::fleet::TestFleet;

use crate::support::{Told, argument, assert_has, bad, good, run};

fn login(fleet: &TestFleet, url: &str, ca: &Path, token_file: &Path) -> Told {
    let mut command = fleet.bare_gantry(&["login", url]);
    run(command.arg("--ca").arg(ca).arg("--token-file").arg(token_file))
}

fn token(fleet: &TestFleet) -> String {
    fs::read_to_string(fleet.token_file()).expect("the token file can be read").trim().to_owned()
}

/// `gantry` of somebody who has never signed in.
fn stranger(fleet: &TestFleet, arguments: &[&str]) -> Command {
    let mut command = fleet.bare_gantry(arguments);
    command.env("GANTRY_CONFIG", fleet.dir().join("nobody.toml"));
    command
}

#[test]
fn a_session_is_kept_privately_until_logout() {
    let fleet = TestFleet::start();
    let session = fleet.dir().join("operator.toml");
    bad(&fleet, &["whoami", "--config", "none.toml"], 3, &["not signed in", "gantry login URL"]);

    let told = login(&fleet, &fleet.url(), &fleet.ca(), &fleet.token_file()).ends(0);
    assert_eq!(told.stdout, format!("Signed in to {} as admin (administrator).\n", fleet.url()));
    let mode = fs::metadata(&session).expect("the session is kept").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let ca = fleet.dir().join("operator.ca.pem");
    assert!(ca.exists());
    assert_eq!(good(&fleet, &["whoami"]), "Name: admin\nRole: administrator\n");

    // The certificate authority is kept too, so that it need not be named again.
    let tokens = fleet.token_file();
    let again = ["login", &fleet.url(), "--token-file", argument(&tokens)];
    run(&mut fleet.bare_gantry(&again)).ends(0);

    assert_has(&good(&fleet, &["logout"]), &["Signed out"]);
    assert!(!session.exists() && !ca.exists());
    assert_eq!(run(&mut fleet.bare_gantry(&["logout"])).ends(0).stdout, "Nobody was signed in.\n");
    run(&mut fleet.bare_gantry(&["whoami"])).refuses(3, &["not signed in"]);
}

#[test]
fn a_token_may_come_from_standard_input() {
    let fleet = TestFleet::start();
    let file = fs::File::open(fleet.token_file()).expect("the token file can be read");
    let mut command = fleet.bare_gantry(&["login", &fleet.url(), "--token-file", "-"]);
    run(command.arg("--ca").arg(fleet.ca()).stdin(file)).ends(0);
    good(&fleet, &["whoami"]);

    let mut empty = fleet.bare_gantry(&["login", &fleet.url(), "--token-file", "-"]);
    run(empty.stdin(Stdio::null())).refuses(2, &["the token has to be one line"]);
}

#[test]
fn a_login_that_fails_says_what_is_wrong_and_keeps_the_former_session() {
    let fleet = TestFleet::start();
    let (url, ca, tokens) = (fleet.url(), fleet.ca(), fleet.token_file());
    let none = fleet.dir().join("none");
    good(&fleet, &["whoami"]);

    let wrong = fleet.dir().join("wrong.token");
    fs::write(&wrong, "gantry_wrong\n").expect("the token can be written");
    login(&fleet, &url, &ca, &wrong).refuses(3, &["the token is not that of an operator"]);

    let other = TestFleet::start();
    let told = login(&fleet, &url, &other.ca(), &tokens);
    told.refuses(9, &[&url, "a certificate that is not to be trusted", "--ca FILE"]);
    login(&fleet, &url, &tokens, &tokens).refuses(2, &[argument(&tokens), "no certificate"]);
    login(&fleet, &url, &none, &tokens).refuses(2, &[argument(&none), "No such file"]);
    login(&fleet, &url, &ca, &none).refuses(2, &[argument(&none), "No such file"]);

    let gone = "https://localhost:1";
    let told = login(&fleet, gone, &ca, &tokens);
    told.refuses(9, &["cannot reach https://localhost:1", "Check that the fleet manager runs"]);
    let plain = url.replace("https", "http");
    login(&fleet, &plain, &ca, &tokens).refuses(2, &[&plain, "https://HOST[:PORT]"]);

    good(&fleet, &["whoami"]);
}

#[test]
fn the_first_login_has_to_name_the_certificate_authority() {
    let fleet = TestFleet::start();
    let tokens = fleet.token_file();
    let arguments = ["login", &fleet.url(), "--token-file", argument(&tokens)];
    run(&mut stranger(&fleet, &arguments)).refuses(2, &["--ca FILE", "GANTRY_CA"]);
    run(stranger(&fleet, &arguments).env("GANTRY_CA", fleet.ca())).ends(0);
}

#[test]
fn the_environment_goes_before_the_kept_session() {
    let fleet = TestFleet::start();
    let whoami = |url: Option<&str>, token: Option<&str>, ca: Option<&Path>| {
        let mut command = stranger(&fleet, &["whoami"]);
        let variables = [("GANTRY_URL", url), ("GANTRY_TOKEN", token)];
        command.envs(variables.into_iter().filter_map(|(name, value)| Some((name, value?))));
        command.envs(ca.map(|ca| ("GANTRY_CA", ca)));
        run(&mut command)
    };
    let (url, token, ca) = (fleet.url(), token(&fleet), fleet.ca());
    assert_has(&whoami(Some(&url), Some(&token), Some(&ca)).ends(0).stdout, &["admin"]);
    whoami(Some(&url), None, Some(&ca)).refuses(3, &["GANTRY_TOKEN"]);
    whoami(Some(&url), Some(&token), None).refuses(2, &["GANTRY_CA"]);
    whoami(None, Some(&token), Some(&ca)).refuses(3, &["not signed in"]);
    whoami(Some(&url), Some("wrong"), Some(&ca)).refuses(3, &["GANTRY_TOKEN"]);

    // A kept token is told to no other fleet manager.
    let elsewhere = "https://localhost:1";
    let mut kept = fleet.gantry(&["whoami"]);
    run(kept.env("GANTRY_URL", elsewhere)).refuses(3, &["no token for https://localhost:1"]);
    run(fleet.gantry(&["whoami"]).env("GANTRY_TOKEN", "wrong")).refuses(3, &["GANTRY_TOKEN"]);
}

#[test]
fn the_token_is_never_printed() {
    let fleet = TestFleet::start();
    let token = token(&fleet);
    let session = fleet.dir().join("operator.toml");
    let mut all = vec![login(&fleet, &fleet.url(), &fleet.ca(), &fleet.token_file())];
    for format in ["table", "json", "yaml"] {
        all.push(run(&mut fleet.gantry(&["whoami", "-o", format])));
    }
    let text = fs::read_to_string(&session).expect("the session can be read");
    assert!(text.contains(&token));
    fs::write(&session, text.replace("token = ", "token = oops ")).expect("it can be damaged");
    all.push(run(&mut fleet.bare_gantry(&["whoami"])).refuses(2, &["damaged", "gantry login"]));
    let mut cut = stranger(&fleet, &["whoami"]);
    cut.env("GANTRY_URL", fleet.url()).env("GANTRY_TOKEN", format!("{token} {token}"));
    all.push(run(&mut cut).refuses(2, &["the token has to be one line"]));
    for told in all {
        assert!(!told.stdout.contains(&token) && !told.stderr.contains(&token), "{told:?}");
    }
}

#[test]
fn an_operator_is_added_with_a_token_and_a_role_and_removed_again() {
    let fleet = TestFleet::start();
    let told = good(&fleet, &["operator", "add", "ada", "--role", "viewer"]);
    assert_has(&told, &["Name:  ada", "Role:  viewer", "not shown again"]);
    let token = told.lines().find_map(|line| line.strip_prefix("Token: ")).expect("a token");
    let as_ada = |arguments: &[&str]| {
        let mut command = stranger(&fleet, arguments);
        command.env("GANTRY_URL", fleet.url()).env("GANTRY_TOKEN", token);
        run(command.env("GANTRY_CA", fleet.ca()))
    };
    assert_eq!(as_ada(&["whoami"]).ends(0).stdout, "Name: ada\nRole: viewer\n");
    as_ada(&["client", "list"]).ends(0);
    as_ada(&["operator", "list"]).refuses(3, &["role viewer does not allow"]);
    assert_has(&good(&fleet, &["operator", "list"]), &["admin", "administrator", "ada", "viewer"]);
    assert!(!good(&fleet, &["operator", "list"]).contains("gantry_"), "no token is told twice");

    bad(&fleet, &["operator", "add", "ada", "--role", "operator"], 5, &["called ada already"]);
    bad(&fleet, &["operator", "add", "a b", "--role", "operator"], 6, &["name", "letters"]);
    bad(&fleet, &["operator", "remove", "admin"], 5, &["last administrator"]);
    bad(&fleet, &["operator", "remove", "nobody"], 4, &["no such operator"]);
    assert_has(&good(&fleet, &["operator", "remove", "ada"]), &["Removed ada"]);
    as_ada(&["whoami"]).refuses(3, &["token"]);
    assert!(!fleet.log().contains(token));
}
