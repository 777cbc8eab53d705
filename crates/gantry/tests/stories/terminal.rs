//! What a terminal shows: lines that are redrawn while something happens, and no commands to the
//! terminal from words of strangers.

use std::fs;
use std::process::{Command, Stdio};

use testkit::fleet::TestFleet;

use crate::support::{
    HELLO, Told, Waiting, argument, assert_has, fleet_with_press, gantry, good, package, published,
    report, report_failure, run,
};

/// Moves the cursor, clears the screen, sets the title: with ESC, and with CSI as one character.
const HOSTILE: &str = "evil\u{1b}[2J\u{9b}1A\u{1b}]0;title\u{7}\u{7f}\r";

/// The command on a terminal of its own, which `script` gives it.
fn on_terminal(command: &Command) -> Command {
    let quoted = |text: &std::ffi::OsStr| {
        let text = text.to_str().expect("the words of a test are UTF-8");
        format!("'{}'", text.replace('\'', r"'\''"))
    };
    let line: Vec<String> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
    script.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    script.stdin(Stdio::null());
    script
}

/// What is on the screen after all that was printed. Panics where that has a command that `gantry`
/// does not use.
fn screen(printed: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut row = 0;
    let mut rest = printed.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '\n' => {
                row += 1;
                lines.resize_with(lines.len().max(row + 1), String::new);
            }
            '\r' => assert_eq!(rest.peek(), Some(&'\n'), "{printed:?}"),
            '\u{1b}' => {
                let mut command = String::new();
                while !command.ends_with(|it: char| it.is_ascii_alphabetic()) {
                    command.push(rest.next().unwrap_or_else(|| panic!("cut off: {printed:?}")));
                }
                match command.strip_prefix('[').and_then(|it| it.strip_suffix('A')) {
                    Some(up) => row -= up.parse::<usize>().expect("a number of lines"),
                    None if command == "[2K" => lines[row].clear(),
                    None => assert!(["[?7l", "[?7h"].contains(&command.as_str()), "{printed:?}"),
                }
            }
            other => {
                assert!(!other.is_control(), "{printed:?}");
                lines[row].push(other);
            }
        }
    }
    lines
}

#[test]
fn waiting_redraws_one_line_for_each_component() {
    let (fleet, press) = fleet_with_press();
    let deploy = fleet.gantry(&["deploy", HELLO, "--to", "press-7", "--wait"]);
    let mut waiting = Waiting::start_command(&fleet, &mut on_terminal(&deploy));
    let id = published(&fleet, 2);
    report(&press, &id, "pending");
    waiting.says("hello: pending");
    report(&press, &id, "installing");
    waiting.says("hello: installing");
    report(&press, &id, "installed");
    let told = waiting.ends(0);

    assert_has(&told.stdout, &["hello: pending", "hello: installing", "\u{1b}[2A"]);
    let screen = screen(&told.stdout);
    assert_eq!(screen[0], format!("Ordered {HELLO} on press-7 ({id})."));
    assert_has(&screen[1], &["com-gantry-hello: published in revision 2"]);
    assert_has(&screen[2], &["hello: installed"]);
    assert_eq!(screen[3..], ["com-gantry-hello is installed.", ""]);
}

#[test]
fn a_terminal_is_told_why_a_device_has_failed() {
    let (fleet, press) = fleet_with_press();
    let deploy = fleet.gantry(&["deploy", HELLO, "--to", "press-7", "--wait"]);
    let waiting = Waiting::start_command(&fleet, &mut on_terminal(&deploy));
    report_failure(&press, &published(&fleet, 2), HOSTILE);
    let told = waiting.ends(7);
    let screen = screen(&told.stdout);
    let harmless = "evil\u{fffd}[2J\u{fffd}1A\u{fffd}]0;title\u{fffd}\u{fffd}";
    assert!(screen.iter().any(|line| line.contains("hello: failed: evil")), "{screen:?}");
    assert_has(&screen[screen.len() - 2], &["failed on the device", harmless, "(PULL)"]);
}

/// Everything that the fleet manager tells, in one form.
fn everything(fleet: &TestFleet, client: &str, deployment: &str, format: &str) -> Vec<Told> {
    let commands: [&[&str]; 9] = [
        &["client", "list"],
        &["client", "show", client],
        &["application", "list"],
        &["application", "show", HELLO],
        &["deployment", "list"],
        &["deployment", "show", deployment],
        &["desired-state", "log", "press-7"],
        &["desired-state", "show", "press-7"],
        &["desired-state", "diff", "press-7"],
    ];
    let told = commands.map(|command| gantry(fleet, &[command, &["-o", format]].concat()).ends(0));
    told.into()
}

#[test]
fn a_rollback_asks_on_a_terminal_and_yes_is_the_one_answer_that_counts() {
    let (fleet, press) = fleet_with_press();
    good(&fleet, &["deploy", HELLO, "--to", "press-7"]);
    published(&fleet, 2);
    good(&fleet, &["deployment", "update", HELLO, "--set", "greeting=Moin"]);
    published(&fleet, 3);
    let answer = fleet.dir().join("answer");
    let rollback = ["desired-state", "rollback", "press-7", "--to", "2", "--reason", "asked"];
    let asked = |said: &str| {
        fs::write(&answer, said).expect("the test's folder can be written");
        let answer = fs::File::open(&answer).expect("it was just written");
        run(on_terminal(&fleet.gantry(&rollback)).stdin(answer))
    };
    for said in ["\n", "n\n", "maybe\n"] {
        let told = asked(said).ends(2);
        let told = [" is changed\r\n", "Roll back? [y/N] ", "gantry: nothing is changed\r\n"]
            .iter()
            .all(|needle| told.stdout.contains(needle));
        assert!(told, "{said:?}");
    }
    let told = asked("y\n").ends(0);
    assert_has(&told.stdout, &["Ordered the content of revision 2 for press-7."]);
    fleet.operator().revision_reached(press.id(), 4);
}

#[test]
fn words_of_strangers_command_no_terminal() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    fleet.stranger(HOSTILE).onboard().expect(403);
    let clients = fleet.operator().get("/clients");
    let mut items = clients["items"].as_array().expect("a list of clients").iter();
    let evil = items.find(|it| it["standing"] == "waiting").expect("a client that waits");
    let evil = evil["id"].as_str().expect("an id is text");

    let written = r#""evil\e[2J\x9b1A\e]0;title\a\x7f\r""#;
    let hostile = package(&fleet, "hostile", |text| {
        text.replace("name: Hello\n", &format!("name: {written}\n"))
            .replace("description: A web", &format!("description: {written} #"))
            .replace("description: What the server answers.", &format!("description: {written}"))
    });
    good(&fleet, &["application", "add", argument(&hostile)]);
    let greeting = format!("greeting={HOSTILE}");
    let words = ["--set", &greeting, "--reason", HOSTILE];
    good(&fleet, &[&["deploy", HELLO, "--to", "press-7"][..], &words].concat());
    let id = published(&fleet, 2);
    report_failure(&press, &id, HOSTILE);

    for format in ["table", "json", "yaml"] {
        for told in everything(&fleet, evil, &id, format) {
            let text = told.stdout + &told.stderr;
            let control = text.chars().find(|it| it.is_control() && *it != '\n');
            assert_eq!(control, None, "{format}: {text:?}");
        }
    }
    let told = gantry(&fleet, &["client", "show", HOSTILE]).ends(4);
    assert_has(&told.stderr, &["evil\u{fffd}[2J\u{fffd}1A"]);
}
