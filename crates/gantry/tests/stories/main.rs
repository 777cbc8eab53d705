//! Stories about the operators' command line. Each starts a whole `gantry-server` of its own and says
//! to it, with the real `gantry`, what an operator would; a test client plays the device.

mod applications;
mod clients;
mod deployments;
mod formats;
mod history;
mod many_clients;
mod operators_at_once;
mod repositories;
mod rollback;
mod session;
mod support;
mod terminal;
mod usage;
mod waiting;
