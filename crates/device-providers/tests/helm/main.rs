//! The Helm provider on a real API server, with Helm 3 and Helm 4. These tests need what
//! `scripts/set-up.sh test` builds, and fail without it.

mod chart;
mod drift;
mod failures;
mod interruptions;
mod life;
mod refusals;
mod removal;
mod stage;
