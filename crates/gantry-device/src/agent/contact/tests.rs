//! What becomes of the pace when contacts fail.

use testkit::certificates::Authority;

use super::*;
use crate::clock::SystemClock;
use crate::identity::Identity;
use crate::schedule::Hours;

fn contact(folder: &std::path::Path) -> Contact {
    let state = StateDir::open(&folder.join("state")).expect("nobody else has it");
    let state = Arc::new(state);
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, Authority::new().pem()).expect("writable");
    let key = Identity::open_or_make(&state, "me").expect("a key").key;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let hours = Hours { zone: jiff::tz::TimeZone::UTC, periods: Vec::new(), downtimes: Vec::new() };
    let gate = Gate::new(Arc::clone(&clock), hours, Arc::clone(&state));
    Contact {
        link: FleetManager::new("https://localhost", &ca, key).expect("a client"),
        onboarded: None,
        journal: Journal::load(&state).expect("an empty journal"),
        security_events: SecurityEvents::load(&state).expect("none"),
        gate: Arc::new(gate.expect("readable")),
        state,
        clock,
        rate: Rate::default(),
        pace: Pace::default(),
        chance: 0.5,
        is_open: true,
        because: Because::Nothing,
        due: 0,
        was_kept: false,
        last_at: None,
        last_error: None,
    }
}

// margo(RT-2, RT-3, W-3)
#[test]
fn pauses_grow_until_all_of_a_contact_goes_well_and_what_is_final_waits_its_turn() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let mut contact = contact(folder.path());
    let error = LinkError::Nonsense("half a package".to_owned());
    for failures in 1..9 {
        contact.note_outcome(Ok(()));
        assert!(contact.is_open);
        contact.note_outcome(Err(&error));
        contact.end_well();
        assert_eq!((contact.is_open, contact.pace.failures), (false, failures));
    }
    contact.note_outcome(Ok(()));
    contact.end_well();
    assert_eq!(contact.pace, Pace::default());

    let mut refused = |retry_after, retryable| {
        let detail = String::new();
        let error = LinkError::Refused { status: 403, kind: None, detail, retry_after, retryable };
        contact.note_outcome(Err(&error));
        (contact.pace.retry_after, contact.pace.is_final)
    };
    assert_eq!(refused(None, false), (None, true));
    assert_eq!(refused(None, true), (None, false));
    let five = Some(Duration::from_secs(5));
    assert_eq!(refused(five, false), (five, true), "while a client waits for approval");
}
