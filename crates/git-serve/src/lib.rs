//! A read-only Git server as a library: it makes objects, and answers the smart HTTP protocol
//! (versions 0, 1 and 2) from them. Bytes in, bytes out; it knows neither fleets nor a web framework,
//! and does no I/O.
//!
//! It serves one kind of repository: one branch whose history is linear and only grows. So a fetch is
//! "the objects first added after the revision that you have", and objects are compressed once, when
//! they are made. Revisions are counted from 1; each has one commit.
//!
//! A fetch takes these steps, and whoever calls does the I/O between them:
//!
//! 1. [`request::Request::parse`] reads the body of the request.
//! 2. [`fetch::Fetch::commits`] says of which commits the revisions have to be looked up. That is a few,
//!    however long the history is.
//! 3. [`fetch::Fetch::plan`] decides. [`fetch::Plan::boundary`] says which commit has to be looked up in
//!    turn, if any, and [`fetch::Plan::answer`] gives the answer, or the beginning of one that goes on
//!    with a pack.
//! 4. [`pack::PackWriter`] writes that pack, a few objects at a time.

#![warn(missing_docs)]

pub mod advertisement;
pub mod fetch;
pub mod object;
pub mod pack;
pub mod pkt_line;
pub mod references;
pub mod request;
pub mod version;

pub use gix_hash::ObjectId;

/// The one branch.
pub const BRANCH: &str = "refs/heads/main";
