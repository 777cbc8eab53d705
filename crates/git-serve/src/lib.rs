//! A read-only Git server as a library: it makes objects, and answers the smart HTTP protocol
//! (version 2) from them. Bytes in, bytes out; it knows neither fleets nor a web framework, and does
//! no I/O.
//!
//! It serves one kind of repository: one branch whose history is linear and only grows. So a fetch is
//! "the objects first added after the revision that you have", and objects are compressed once, when
//! they are made.

pub mod advertisement;
pub mod object;
pub mod pack;
pub mod pkt_line;
pub mod upload_pack;

pub use gix_hash::ObjectId;

/// The one branch.
pub const BRANCH: &str = "refs/heads/main";
