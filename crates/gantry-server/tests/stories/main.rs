//! Stories about the fleet manager. Each starts a whole `gantry-server` of its own and speaks to it
//! over HTTPS as a client or as an operator does. None looks into its store.

mod applications;
mod capabilities;
mod desired_state;
mod git;
mod git_protocol;
mod onboarding;
mod orders;
mod real_git;
mod signatures;
mod statuses;
mod support;
