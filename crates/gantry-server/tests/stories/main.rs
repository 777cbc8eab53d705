//! Stories about the fleet manager. Each starts a whole `gantry-server` of its own and speaks to it
//! over HTTPS as a client or as an operator does. None looks into its store.
//! All but those about a SQLite file or about PostgreSQL itself run on either: `GANTRY_TEST_DATABASE=postgres`.

mod applications;
mod capabilities;
mod collector;
mod contacts;
mod crashes;
mod desired_state;
mod device_api;
mod doctor;
mod faults;
mod git;
mod git_protocol;
mod limits;
mod load_balancer;
mod long_lists;
mod many_orders;
mod matrix;
mod metrics;
mod migration;
mod onboarding;
mod openapi;
mod operators;
mod operators_at_once;
mod orders;
mod real_git;
mod replays;
mod replicas;
mod restores;
mod rollback;
mod signature_keys;
mod signatures;
mod signing_keys;
mod statuses;
mod support;
mod traces;
mod transport;
