//! What the client's commands do beside the running client.

pub(crate) mod config;
pub(crate) mod downtime;
pub(crate) mod running;
pub(crate) mod schedule;
pub(crate) mod status;
