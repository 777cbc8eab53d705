//! The documents of the Margo management API as Rust types: parse, check, write. Both generations
//! that are in use are read; what is written is the shape of the signed profile (contract §16.3).
//! No I/O and no clock.

pub mod application_deployment;
pub mod application_description;
pub mod bundle;
pub mod component;
pub mod compose_archive;
pub mod configuration;
pub mod deployment_status;
pub mod device_capabilities;
pub mod device_constraints;
pub mod digest;
pub mod document;
pub mod onboarding;
pub mod problem;
pub mod quantity;
pub mod state_manifest;
pub mod tar_stream;
pub mod yaml;
