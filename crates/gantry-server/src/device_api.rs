//! The Margo device API in the signed profile (contract §16). The wire format lives here: documents
//! become domain values on the way in, and domain values documents on the way out.

pub(crate) mod capabilities;
mod conditional;
pub(crate) mod deployment_status;
pub(crate) mod desired_state;
pub(crate) mod onboarding;
pub(crate) mod repository;
pub(crate) mod security_events;
