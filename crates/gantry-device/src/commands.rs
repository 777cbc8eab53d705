//! What the client's commands do beside the running client.

pub(crate) mod config;
pub(crate) mod schedule;
