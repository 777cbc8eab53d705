//! Takes a request through all steps up to the pack, as a server with a store would.

use git_serve::fetch::{Answer, Fetch};
use git_serve::request::Request;
use git_serve::version::Version;

/// Parses, looks up, plans and answers. What breaks a promise of the library panics.
pub fn ask(version: Version, body: &[u8]) {
    match Request::parse(version, body) {
        Ok(Request::Fetch(fetch)) => {
            // The first byte of a commit says whether the store has it, and which revision it is.
            for bound in [0, 128, 255] {
                fetch_from_store(&fetch, bound);
            }
        }
        Ok(Request::ListReferences(request)) => {
            assert!(request.answer(None).ends_with(b"0000"));
        }
        Ok(Request::Nothing) | Err(_) => {}
    }
}

fn fetch_from_store(fetch: &Fetch, bound: u8) {
    let known = fetch.commits().into_iter().filter(|it| it.as_slice()[0] <= bound);
    let revisions = known.map(|it| (it, u64::from(it.as_slice()[0]) + 1)).collect();
    let Ok(plan) = fetch.plan(&revisions) else { return };
    let boundary = plan.boundary().map(|_| git_serve::ObjectId::null(Default::default()));
    if let Answer::Pack { content, .. } = plan.answer(boundary) {
        let newest = u64::from(bound) + 1;
        assert!(content.complete.is_none_or(|it| (1..=newest).contains(&it)));
        assert!(*content.added.end() <= newest);
    }
}
