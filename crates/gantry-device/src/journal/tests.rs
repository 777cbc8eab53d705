//! Whatever is done to the journal, and wherever the power fails: what was promised is there, in order.

use std::fs;
use std::io;

use proptest::prelude::*;

use super::*;

const SMALL: Bounds = Bounds { entries: 6, bytes: 1 << 20, idle_file: 600 };

fn entry(deployment: u128, state: &str) -> Entry {
    let document = format!("{{\"status\": \"{state}\"}}");
    let deployment = Uuid::from_u128(deployment);
    Entry { deployment, adopted: 1, state: state.trim_end_matches('+').to_owned(), document }
}

fn state_dir() -> (tempfile::TempDir, StateDir) {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let state = StateDir::open(folder.path()).expect("nobody else has it");
    (folder, state)
}

fn entries(journal: &Journal) -> Vec<Entry> {
    journal.entries.iter().map(|it| it.entry.clone()).collect()
}

fn load(state: &StateDir) -> Journal {
    Journal::load_bounded(state, SMALL).expect("readable")
}

#[test]
fn what_is_written_down_is_there_in_order_until_it_is_struck_out() {
    let (_folder, state) = state_dir();
    let mut journal = load(&state);
    for it in ["pending", "installing", "installed", "installed"] {
        journal.append(entry(1, it), &state).expect("writable");
    }
    assert_eq!(journal.len(), 3, "saying the same again is no transition");
    for expected in ["pending", "installing", "installed"] {
        let mut again = load(&state);
        assert_eq!(again.oldest().expect("there is more").state, expected);
        again.strike_out(&state).expect("writable");
    }
    let mut journal = load(&state);
    assert_eq!(journal.len(), 0);
    journal.strike_out(&state).expect("there is nothing to strike out");
    journal.append(entry(1, "installed"), &state).expect("writable");
    assert_eq!(load(&state).len(), 1);
}

#[test]
fn whoever_only_looks_counts_the_same_and_writes_nothing() {
    let (_folder, state) = state_dir();
    assert_eq!(Journal::undelivered(&state).expect("readable"), 0);
    assert!(!state.join(FILE).exists());
    let mut journal = load(&state);
    for number in 0..9 {
        journal.append(entry(number, "installed"), &state).expect("writable");
    }
    journal.strike_out(&state).expect("writable");
    assert_eq!(journal.len(), SMALL.entries - 1);
    let half = [&fs::read(state.join(FILE)).expect("readable")[..], b"half a li"].concat();
    fs::write(state.join(FILE), &half).expect("writable");
    assert_eq!(Journal::undelivered(&state).expect("readable"), journal.len());
    assert_eq!(fs::read(state.join(FILE)).expect("readable"), half);
}

#[test]
fn a_full_journal_lets_go_of_the_middle_of_a_state_first_and_keeps_both_ends_of_each_change() {
    let (_folder, state) = state_dir();
    let mut journal = load(&state);
    for (deployment, it) in [
        (1, "installing"),
        (2, "installing"),
        (1, "installing+"),
        (1, "installing++"),
        (1, "installed"),
        (2, "installed"),
        (1, "failed"),
        (1, "installed"),
    ] {
        journal.append(entry(deployment, it), &state).expect("writable");
    }
    let left: Vec<String> = entries(&journal).into_iter().map(|it| it.document).collect();
    let expected = [
        (1, "installing"),
        (2, "installing"),
        (1, "installed"),
        (2, "installed"),
        (1, "failed"),
        (1, "installed"),
    ];
    let expected = expected.map(|(deployment, it)| entry(deployment, it).document);
    assert_eq!(left, expected, "first the middle of a state, then the middle of a deployment");
    assert_eq!(entries(&load(&state)), entries(&journal));
}

#[test]
fn a_journal_full_of_other_deployments_lets_go_of_the_oldest_and_is_bounded_in_bytes_too() {
    let (_folder, state) = state_dir();
    let mut journal = load(&state);
    for deployment in 0..9 {
        journal.append(entry(deployment, "installed"), &state).expect("writable");
    }
    let left: Vec<u128> = entries(&journal).iter().map(|it| it.deployment.as_u128()).collect();
    assert_eq!(left, [3, 4, 5, 6, 7, 8]);

    let (_folder, state) = state_dir();
    let bounds = Bounds { bytes: 5_000, ..SMALL };
    let mut journal = Journal::load_bounded(&state, bounds).expect("readable");
    for deployment in 0..5 {
        let long = Entry { document: "x".repeat(2_000), ..entry(deployment, "failed") };
        journal.append(long, &state).expect("writable");
    }
    assert_eq!(journal.len(), 2);
}

#[test]
fn a_year_of_changes_leaves_a_small_file() {
    let (_folder, state) = state_dir();
    let mut journal = load(&state);
    for it in 0..2_000 {
        journal.append(entry(1, &format!("{it}")), &state).expect("writable");
        if it % 3 == 0 {
            journal.strike_out(&state).expect("writable");
        }
        let length = state.join(FILE).metadata().expect("it is there").len();
        assert!(length < 8_000, "{length} bytes after {it}");
    }
    assert_eq!(entries(&load(&state)), entries(&journal));
}

#[test]
fn a_full_disk_changes_nothing_and_what_follows_is_whole() {
    let (_folder, state) = state_dir();
    let mut journal = load(&state);
    journal.append(entry(1, "pending"), &state).expect("writable");
    let file = || fs::OpenOptions::new().write(true).open(state.join(FILE)).expect("it is there");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    journal.log.divert(full);
    let error = journal.append(entry(1, "installing"), &state).expect_err("no room");
    let StateError::Io { cause, .. } = &error else { panic!("{error}") };
    assert_eq!(cause.kind(), io::ErrorKind::StorageFull);
    assert_eq!(journal.len(), 1);
    assert_eq!(entries(&load(&state)), entries(&journal));

    // What was taken is not sent again and again because that cannot be written down.
    journal.strike_out(&state).expect_err("no room");
    assert_eq!(journal.len(), 0);
    journal.log.divert(file());
    journal.append(entry(1, "installed"), &state).expect("there is room again");
    journal.strike_out(&state).expect("writable");
    assert_eq!(load(&state).len(), 0, "the later line says it for the earlier one");
}

#[test]
fn of_a_damaged_journal_the_rest_is_kept_and_the_file_is_set_aside_once() {
    let (_folder, state) = state_dir();
    let mut journal = load(&state);
    for it in ["pending", "installing", "installed"] {
        journal.append(entry(1, it), &state).expect("writable");
    }
    for (damaged, expected) in
        [("installing", ["pending", "installed"].as_slice()), ("pending", &["installed"])]
    {
        let mut bytes = fs::read(state.join(FILE)).expect("readable");
        // One letter of a word is another: still JSON, and not what was written.
        let place = bytes.windows(damaged.len()).position(|it| it == damaged.as_bytes());
        let place = place.expect("it is in the file");
        bytes[place] ^= 1;
        fs::write(state.join(FILE), &bytes).expect("writable");
        let journal = load(&state);
        let left: Vec<String> = entries(&journal).into_iter().map(|it| it.state).collect();
        assert_eq!(left, expected);
        assert_eq!(fs::read(state.join(DAMAGED)).expect("it was set aside"), bytes);
    }
    let files = fs::read_dir(state.join("")).expect("readable").count();
    assert_eq!(files, 3, "the lock, the journal, and one damaged file");
    fs::write(state.join(DAMAGED), b"seen").expect("writable");
    load(&state);
    assert_eq!(fs::read(state.join(DAMAGED)).expect("readable"), b"seen", "it is whole again");
}

#[test]
fn any_bytes_are_a_journal_that_can_be_used() {
    let (_folder, state) = state_dir();
    for bytes in [&b"\n\n\n"[..], b"\0\0\0\0", b"0123456789abcdef {}\n", &[0xff; 5_000], b"[]"] {
        fs::write(state.join(FILE), bytes).expect("writable");
        let mut journal = load(&state);
        assert_eq!(journal.len(), 0);
        journal.append(entry(1, "pending"), &state).expect("writable");
        assert_eq!(load(&state).len(), 1);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(u128, u8),
    StrikeOut,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..3_u128, 0..4_u8).prop_map(|(deployment, state)| Step::Append(deployment, state)),
        2 => Just(Step::StrikeOut),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// After each step the file may be cut off at any byte that was not there before the step: what it
    /// holds is the journal before the step or after it, and nothing in between.
    #[test]
    fn wherever_the_power_fails_nothing_promised_is_lost(steps in prop::collection::vec(step(), 1..40)) {
        let (_folder, state) = state_dir();
        let (_other, torn) = state_dir();
        let mut journal = load(&state);
        for step in steps {
            let (before, old) = (entries(&journal), fs::read(state.join(FILE)).expect("readable"));
            match step {
                Step::Append(deployment, it) => {
                    journal.append(entry(deployment, &it.to_string()), &state).expect("writable");
                }
                Step::StrikeOut => journal.strike_out(&state).expect("writable"),
                Step::Restart => journal = load(&state),
            }
            let (after, new) = (entries(&journal), fs::read(state.join(FILE)).expect("readable"));
            prop_assert!(after.len() <= SMALL.entries);
            prop_assert_eq!(&entries(&load(&state)), &after);
            // A file that was replaced as a whole is the old one or the new one.
            let cuts = if new.starts_with(&old) { old.len()..new.len() } else { 0..0 };
            for cut in cuts {
                fs::write(torn.join(FILE), &new[..cut]).expect("writable");
                prop_assert_eq!(&entries(&load(&torn)), &before, "cut off at {}", cut);
                prop_assert!(!torn.join(DAMAGED).exists(), "torn is not damaged");
            }
        }
    }
}
