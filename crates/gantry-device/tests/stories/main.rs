//! Stories about the device client. Each runs the real `gantry-device` against a real `gantry-server`
//! of its own, with the real Docker Engine and the real `git`; operators use the real `gantry`.
//!
//! They need the image `gantry-hello:1` (scripts/build-hello-image.sh), and fail without it.

mod command_line;
mod crashes;
mod failures;
mod hostile_servers;
mod main_job;
mod offline;
mod refusals;
mod standing;
mod support;
