//! Stories about the device client. Each runs the real `gantry-device` against a real `gantry-server`
//! of its own, with the real Docker Engine and the real `git`; operators use the real `gantry`.
//!
//! They need the images `gantry-hello:1` and `gantry-device:test`, which scripts/test.sh builds, and
//! fail without them; and the programs `docker-registry` and `gpg`, which scripts/set-up.sh installs. Some start
//! an engine of their own, for which they need `dockerd` and root.

mod charts;
mod command_line;
mod contacts;
mod container;
mod crashes;
mod drift;
mod engine_restarts;
mod failures;
mod hostile_servers;
mod keys;
mod main_job;
mod offline;
mod own_engine;
mod packages;
mod refusals;
mod restores;
mod scene;
mod standing;
mod support;
mod traffic;
