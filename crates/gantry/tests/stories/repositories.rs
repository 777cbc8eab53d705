//! The Git repository of a client, opened for an operator, and the keys that sign its commits.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::fleet::TestFleet;
use testkit::programs;

use crate::support::{
    HELLO, argument, assert_has, bad, cells, fleet_with_press, good, published, run,
};

/// The real Git with no configuration but its own.
fn git(folder: &Path, arguments: &[&str]) -> Command {
    alone("git", folder, arguments)
}

fn alone(program: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", folder).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
    command
}

/// The value of a field of a text for people.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in:\n{text}")).trim()
}

/// The file that Git's `gpg.ssh.allowedSignersFile` names, with the last lines of a text.
fn allowed_signers(fleet: &TestFleet, told: &str) -> String {
    let (_, lines) = told.split_once("allowedSignersFile names:\n").expect("the lines follow");
    let file = fleet.dir().join("allowed_signers");
    fs::write(&file, lines).expect("the test's folder can be written");
    format!("gpg.ssh.allowedSignersFile={}", file.display())
}

#[test]
fn the_printed_command_clones_with_the_token_that_it_asks_for() {
    let (fleet, press) = fleet_with_press();
    good(&fleet, &["deploy", HELLO, "--to", "press-7", "--reason", "for the visitors"]);
    let id = published(&fleet, 2);
    let told = good(&fleet, &["client", "repository", "press-7"]);
    let url = format!("{}/git/{}.git", fleet.url(), press.id());
    assert_eq!((field(&told, "Url"), field(&told, "Branch")), (url.as_str(), "main"));
    assert_eq!(field(&told, "User name"), press.id());
    assert!(field(&told, "Expires").ends_with('Z'), "{told}");
    assert_has(field(&told, "Signed by"), &["ssh-ed25519 "]);
    let token = field(&told, "Token");

    let command = told.lines().last().expect("the command is the last line").trim();
    assert!(!command.contains(token), "{command}");
    let asked = fleet.dir().join("token");
    fs::write(&asked, format!("{token}\n")).expect("the test's folder can be written");
    let asked = fs::File::open(&asked).expect("it was just written");
    programs::stdout_of(alone("sh", fleet.dir(), &["-c", command]).stdin(asked));

    let clone = fleet.dir().join(press.id());
    let log = programs::stdout_of(&mut git(&clone, &["log"]));
    assert_has(&log, &["Reason: for the visitors", "Gantry-Operator: admin"]);
    assert!(clone.join(format!("deployments/{id}.yaml")).is_file());
    let kept = fs::read_to_string(clone.join(".git/config")).expect("a clone has one");
    assert!(!kept.contains(token), "{kept}");

    // Later it looks into the environment; without the token there is nothing to see.
    let fetch = ["fetch", "--quiet"];
    run(git(&clone, &fetch).env("GANTRY_REPOSITORY_TOKEN", token)).ends(0);
    run(git(&clone, &fetch).stdin(Stdio::null())).ends(128);
}

#[test]
fn only_an_approved_client_has_a_repository() {
    let fleet = TestFleet::start_with("[git]\nenabled = false\n");
    fleet.stranger("press-7").onboard().expect(403);
    let repository = |client| ["client", "repository", client];
    bad(&fleet, &repository("press-7"), 5, &["only an approved client"]);
    bad(&fleet, &repository("nobody"), 4, &["`nobody`"]);
    good(&fleet, &["client", "approve", "press-7"]);
    bad(&fleet, &repository("press-7"), 5, &["Git is switched off here"]);
}

#[test]
fn a_new_signing_key_is_introduced_by_the_one_before_it_and_then_signs() {
    let (fleet, _press) = fleet_with_press();
    let before = good(&fleet, &["signing-key", "list"]);
    let first = cells(&before)[1][0].to_owned();
    assert_eq!(cells(&before)[..2], [["PUBLIC KEY", "IN USE"], [first.as_str(), "yes"]]);

    let rotated = good(&fleet, &["signing-key", "rotate"]);
    let second = rotated.lines().next().and_then(|it| it.strip_suffix(" is in use now."));
    let second = second.expect("it says which key is new");
    assert_has(&rotated, &["Each client's next revision introduces it"]);
    let after = good(&fleet, &["signing-key", "list"]);
    assert_eq!(cells(&after)[1..3], [[first.as_str(), "no"], [second, "yes"]]);
    let line = |key: &str| format!("gantry@gantry.invalid namespaces=\"git\" {key}\n");
    assert!(after.ends_with(&(line(&first) + &line(second))), "{after}");

    good(&fleet, &["deploy", HELLO, "--to", "press-7"]);
    published(&fleet, 2);
    good(&fleet, &["deployment", "update", HELLO, "--set", "greeting=Moin"]);
    published(&fleet, 3);
    let told = good(&fleet, &["client", "repository", "press-7"]);
    let ca = format!("http.sslCAInfo={}", fleet.ca().display());
    let url = field(&told, "Url").replacen(
        "https://",
        &format!("https://{}:{}@", field(&told, "User name"), field(&told, "Token")),
        1,
    );
    let clone = fleet.dir().join("clone");
    let cloning = ["clone", "--quiet", "-c", &ca, &url, argument(&clone)];
    programs::stdout_of(&mut git(fleet.dir(), &cloning));
    let verify = |told: &str, commit: &str| {
        let allowed = allowed_signers(&fleet, told);
        run(&mut git(&clone, &["-c", &allowed, "verify-commit", commit]))
    };
    for (told, first, second, third) in [(&before, 0, 0, 1), (&rotated, 1, 1, 0), (&after, 0, 0, 0)]
    {
        for (commit, code) in [("HEAD~2", first), ("HEAD~1", second), ("HEAD", third)] {
            verify(told, commit).ends(code);
        }
    }
}
