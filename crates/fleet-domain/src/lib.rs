//! What a fleet manager decides: who may talk, what runs where, who may order it. Everything here is
//! a function of its arguments: no I/O, no clock, no randomness.

pub mod client;
pub mod contact;
pub mod deployment;
pub mod desired_state;
pub mod ids;
pub mod permission;
