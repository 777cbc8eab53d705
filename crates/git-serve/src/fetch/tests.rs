//! What clients get, in the words of each dialect.

use proptest::prelude::*;

use super::*;
use crate::request::Request;
use crate::version::Version;

const NEWEST: u64 = 9;

fn body(lines: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines {
        match *line {
            "0001" => pkt_line::write_delimiter(&mut out),
            "0000" => pkt_line::write_flush(&mut out),
            // As git sends and expects them.
            line if line.starts_with("shallow ") || line.starts_with("unshallow ") => {
                pkt_line::write(&mut out, line.as_bytes());
            }
            line => pkt_line::write(&mut out, format!("{line}\n").as_bytes()),
        }
    }
    out
}

fn commit(revision: u64) -> String {
    format!("{revision:040x}")
}

fn commit_id(revision: u64) -> ObjectId {
    object_id(commit(revision).as_bytes()).expect("an id")
}

/// A history of revisions up to the newest, asked as a store would be.
fn answer(fetch: &Fetch, newest: u64) -> Result<Answer, Refusal> {
    let asked_for = fetch.commits();
    let known = (1..=newest).map(|it| (commit_id(it), it));
    let revisions = known.filter(|(commit, _)| asked_for.contains(commit)).collect();
    let plan = fetch.plan(&revisions)?;
    Ok(plan.answer(plan.boundary().map(commit_id)))
}

fn parse(version: Version, lines: &[&str]) -> Fetch {
    match Request::parse(version, &body(lines)) {
        Ok(Request::Fetch(fetch)) => fetch,
        read => panic!("{lines:?}: {read:?}"),
    }
}

fn v2(arguments: &[&str]) -> Answer {
    let lines = [&["command=fetch", "agent=git/2", "0001"], arguments, &["0000"]].concat();
    answer(&parse(Version::V2, &lines), NEWEST).expect("an answer")
}

fn v0(lines: &[&str]) -> Answer {
    answer(&parse(Version::V0, lines), NEWEST).expect("an answer")
}

fn content_for(arguments: &[&str]) -> PackContent {
    match v2(arguments) {
        Answer::Pack { content, .. } => content,
        Answer::Whole(_) => panic!("no pack for {arguments:?}"),
    }
}

fn only(added: RangeInclusive<u64>) -> PackContent {
    PackContent { complete: None, added }
}

fn from(complete: u64, wanted: u64) -> PackContent {
    PackContent { complete: Some(complete), added: complete + 1..=wanted }
}

#[test]
fn a_client_gets_what_it_lacks() {
    let want = format!("want {}", commit(9));
    let have = format!("have {}", commit(4));
    let shallow = format!("shallow {}", commit(4));
    assert_eq!(content_for(&[&want, "done"]), only(1..=9));
    assert_eq!(content_for(&[&want]), only(1..=9), "who has nothing need not say so");
    assert_eq!(content_for(&[&want, &have]), only(5..=9));
    assert_eq!(content_for(&[&want, "deepen 1", "done"]), from(9, 9));
    assert_eq!(content_for(&[&want, "deepen 3", "done"]), from(7, 9));
    assert_eq!(content_for(&[&want, "deepen 99", "done"]), only(1..=9));
    assert_eq!(content_for(&[&want, &have, &shallow]), only(5..=9));
    assert_eq!(content_for(&[&want, &have, &shallow, "deepen 7"]), from(3, 9));
    assert_eq!(content_for(&[&want, &have, &shallow, "deepen 6"]), only(5..=9));
    assert_eq!(content_for(&[&want, &have, &shallow, "deepen 2"]), from(8, 9));
    assert_eq!(content_for(&[&want, &have, &shallow, "deepen-relative", "deepen 2"]), from(2, 9));
    assert_eq!(content_for(&[&want, &have, &shallow, "deepen 2147483647"]), only(1..=9));
}

#[test]
fn a_shallow_client_that_wants_what_is_before_its_history_gets_it() {
    let (want, have) = (format!("want {}", commit(3)), format!("have {}", commit(9)));
    let shallow = format!("shallow {}", commit(8));
    assert_eq!(content_for(&[&want, &have, &shallow, "done"]), only(1..=3));
    let answer = v2(&[&want, &have, &shallow, "deepen 1", "done"]);
    let boundary = format!("shallow {}", commit(3));
    let before = body(&["shallow-info", &boundary, "0001", "packfile"]);
    let Answer::Pack { before: start, content, .. } = answer else { panic!("a pack") };
    assert_eq!((start, content), (before, from(3, 3)), "8 stays the end of the newer history");
}

#[test]
fn a_want_that_is_not_ours_is_refused() {
    let want = format!("want {}", commit(77));
    let fetch = parse(Version::V0, &[&want, "0000", "done"]);
    assert_eq!(answer(&fetch, NEWEST), Err(Refusal::UnknownWant(commit_id(77))));
}

mod version_2 {
    use super::*;

    #[test]
    fn a_client_with_nothing_in_common_is_asked_to_go_on_but_not_for_ever() {
        let want = format!("want {}", commit(9));
        let strangers: Vec<String> =
            (0..256).map(|it| format!("have {}", commit(it + 1000))).collect();
        let mut arguments = vec![want.as_str()];
        arguments.extend(strangers[..255].iter().map(String::as_str));
        let go_on = body(&["acknowledgments", "NAK", "0000"]);
        assert_eq!(v2(&arguments), Answer::Whole(go_on));
        arguments.push(&strangers[255]);
        let before = body(&["acknowledgments", "ready", "0001", "packfile"]);
        let framing = Framing::SideBand64k;
        assert_eq!(v2(&arguments), Answer::Pack { before, content: only(1..=9), framing });
    }

    #[test]
    fn a_commit_in_common_makes_the_server_ready() {
        let want = format!("want {}", commit(9));
        let (strange, have) = (format!("have {}", commit(77)), format!("have {}", commit(5)));
        let shallow = format!("shallow {}", commit(5));
        let answer = v2(&[&want, &strange, &have, &shallow, "deepen 7"]);
        let before = body(&[
            "acknowledgments",
            &format!("ACK {}", commit(5)),
            "ready",
            "0001",
            "shallow-info",
            &format!("shallow {}", commit(3)),
            &format!("unshallow {}", commit(5)),
            "0001",
            "packfile",
        ]);
        let framing = Framing::SideBand64k;
        assert_eq!(answer, Answer::Pack { before, content: from(3, 9), framing });
    }
}

mod version_0 {
    use super::*;

    fn want(capabilities: &str) -> String {
        format!("want {} {capabilities}", commit(9))
    }

    fn ack(revision: u64, word: &str) -> String {
        format!("ACK {}{word}", commit(revision))
    }

    /// What comes before the pack, or the whole answer.
    fn start(answer: Answer) -> (bool, Vec<u8>) {
        match answer {
            Answer::Whole(bytes) => (false, bytes),
            Answer::Pack { before, .. } => (true, before),
        }
    }

    const PACK: bool = true;
    const NO_PACK: bool = false;

    #[test]
    fn the_framing_of_the_pack_is_the_best_that_the_client_knows() {
        for (capabilities, framing) in [
            ("", Framing::Bare),
            ("side-band", Framing::SideBand),
            ("side-band side-band-64k", Framing::SideBand64k),
            ("side-band-64k side-band ofs-delta agent=git/2", Framing::SideBand64k),
        ] {
            let answer = v0(&[&want(capabilities), "0000", "done"]);
            let before = body(&["NAK"]);
            assert_eq!(answer, Answer::Pack { before, content: only(1..=9), framing });
        }
    }

    #[test]
    fn commits_in_common_are_acknowledged_as_the_client_can_read_it() {
        let haves = [77, 5, 4].map(|it| format!("have {}", commit(it)));
        let [strange, five, four] = haves.each_ref().map(String::as_str);
        let first = [ack(5, "")];
        let all = [ack(5, " continue"), ack(4, " continue")];
        let detailed = [ack(5, " common"), ack(4, " common")];
        let (ready, last) = (ack(4, " ready"), ack(4, ""));
        for (capabilities, end, expected) in [
            ("", "0000", (NO_PACK, vec![first[0].as_str()])),
            ("", "done", (PACK, vec![&first[0]])),
            ("multi_ack", "0000", (NO_PACK, vec![&all[0], &all[1], "NAK"])),
            ("multi_ack", "done", (PACK, vec![&all[0], &all[1], &last])),
            (
                "multi_ack multi_ack_detailed",
                "0000",
                (NO_PACK, vec![&detailed[0], &detailed[1], &ready, "NAK"]),
            ),
            ("multi_ack_detailed", "done", (PACK, vec![&detailed[0], &detailed[1], &last])),
            (
                "multi_ack_detailed no-done",
                "0000",
                (PACK, vec![&detailed[0], &detailed[1], &ready, "NAK", &last]),
            ),
            ("multi_ack_detailed no-done", "done", (PACK, vec![&detailed[0], &detailed[1], &last])),
        ] {
            let answer = v0(&[&want(capabilities), "0000", strange, five, four, end]);
            let (has_pack, lines) = expected;
            assert_eq!(start(answer), (has_pack, body(&lines)), "{capabilities} {end}");
        }
    }

    #[test]
    fn a_client_with_nothing_in_common_is_told_so_and_gets_all_when_it_is_done() {
        let have = format!("have {}", commit(77));
        for capabilities in ["", "multi_ack", "multi_ack_detailed no-done"] {
            let want = want(capabilities);
            let answer = |end| start(v0(&[&want, "0000", &have, end]));
            assert_eq!(answer("0000"), (NO_PACK, body(&["NAK"])), "{capabilities}");
            assert_eq!(answer("done"), (PACK, body(&["NAK"])), "{capabilities}");
        }
    }

    #[test]
    fn a_new_depth_is_told_before_anything_else_and_alone_when_nothing_else_is_asked() {
        let want = want("multi_ack_detailed deepen-relative shallow");
        let shallow = format!("shallow {}", commit(5));
        let have = format!("have {}", commit(9));
        let wants = [want.as_str(), &shallow, "deepen 2", "0000"];
        let depth = [
            format!("shallow {}", commit(3)),
            format!("unshallow {}", commit(5)),
            "0000".to_owned(),
        ];
        let depth = depth.each_ref().map(String::as_str);
        assert_eq!(start(v0(&wants)), (NO_PACK, body(&depth)));
        let (common, last) = (ack(9, " common"), ack(9, ""));
        let answer = v0(&[&wants[..], &[&have, "done"]].concat());
        let before = body(&[&depth[..], &[&common, &last]].concat());
        let framing = Framing::Bare;
        assert_eq!(answer, Answer::Pack { before, content: from(3, 9), framing });
    }

    #[test]
    fn who_only_names_what_it_wants_gets_an_empty_answer() {
        assert_eq!(v0(&[&want("multi_ack"), "0000"]), Answer::Whole(Vec::new()));
        let shallow = format!("shallow {}", commit(5));
        assert_eq!(v0(&[&want(""), &shallow, "0000"]), Answer::Whole(Vec::new()));
    }
}

/// A clone that has some stretches of history.
#[derive(Debug, Clone)]
struct LocalClone {
    /// The revisions of which it has everything.
    complete: BTreeSet<u64>,
    /// Where its history ends.
    shallow: BTreeSet<u64>,
    /// The newest revision of each stretch.
    tips: Vec<u64>,
}

impl LocalClone {
    /// Of the revisions in order, `true` says that the clone has this one.
    fn with(had: &[bool]) -> Self {
        let mut clone =
            Self { complete: BTreeSet::new(), shallow: BTreeSet::new(), tips: Vec::new() };
        for (revision, _) in (1..).zip(had).filter(|(_, had)| **had) {
            let follows = clone.complete.contains(&(revision - 1));
            if follows {
                clone.tips.pop();
            } else if revision > 1 {
                clone.shallow.insert(revision);
            }
            clone.complete.insert(revision);
            clone.tips.push(revision);
        }
        clone
    }

    /// Takes in a pack: what a revision adds is enough for who has the one before it.
    fn take(&mut self, content: &PackContent) {
        self.complete.extend(content.complete);
        for revision in content.added.clone() {
            if revision == 1 || self.complete.contains(&(revision - 1)) {
                self.complete.insert(revision);
            }
        }
    }

    /// The first revision that is missing on the way from this one to where history ends.
    fn missing_below(&self, revision: u64) -> Option<u64> {
        let end = self.shallow.range(..=revision).next_back().copied().unwrap_or(1);
        (end..=revision).rev().find(|it| !self.complete.contains(it))
    }
}

proptest! {
    /// Whatever a client has and asks for: after the answer nothing is missing in its history.
    #[test]
    fn a_clone_is_never_left_with_a_hole(
        had in prop::collection::vec(any::<bool>(), 12),
        named in any::<u16>(),
        wants in prop::collection::vec(1_u64..=12, 1..3),
        depth in prop::option::of(1_u64..14),
        depth_is_relative in any::<bool>(),
    ) {
        let mut clone = LocalClone::with(&had);
        let named = (0..).zip(&clone.tips).filter(|(place, _)| named & (1 << place) != 0);
        let haves: Vec<u64> = named.map(|(_, tip)| *tip).collect();
        let ids = |revisions: &[u64]| revisions.iter().copied().map(commit_id).collect();
        let shallow: Vec<u64> = clone.shallow.iter().copied().collect();
        let wishes = Wishes {
            wants: ids(&wants),
            haves: ids(&haves),
            shallow: ids(&shallow),
            depth,
            depth_is_relative,
        };
        let fetch = Fetch { wishes, dialect: Dialect::V2(v2::Manner::default()) };
        let revisions = (1..=12).map(|it| (commit_id(it), it)).collect();
        let plan = fetch.plan(&revisions).expect("all wants are known");

        clone.take(&plan.content);
        clone.shallow.extend(plan.boundary());
        for commit in plan.deepening.iter().flat_map(|it| &it.unshallow) {
            let revision = revisions[commit];
            prop_assert!(clone.shallow.remove(&revision), "{} was not shallow", revision);
        }
        for tip in wants.iter().chain(&clone.tips) {
            prop_assert_eq!(clone.missing_below(*tip), None, "below {}: {:?}", tip, plan);
        }
        if let (Some(depth), false) = (depth, depth_is_relative) {
            let oldest = wants.iter().min().expect("there is a want").saturating_sub(depth - 1);
            let all_are_there = (oldest.max(1)..=wants[0]).all(|it| clone.complete.contains(&it));
            prop_assert!(all_are_there, "a depth of {} from {:?}: {:?}", depth, wants, plan);
        }
    }
}
