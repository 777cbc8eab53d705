//! How workloads run on a device.
//!
//! A [`Provider`] makes one component of a deployment true with a well-kept tool of the field, and
//! says what it finds. It does what it is told, once: when to try again, and what comes first, is
//! for the caller to decide. Success means that the workload is seen to run, never that a command
//! exited 0. [`process`] is the one place in the product that starts programs.

#![warn(missing_docs)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub mod compose;
pub mod process;

pub use compose::ComposeProvider;

/// What applies components of one kind.
pub trait Provider {
    /// Makes the workload run, or run in its present form when a former one runs already. Data
    /// volumes are kept. Doing it twice, or again after an interruption, does no harm.
    fn install(&self, workload: &Workload) -> Result<(), Failure>;

    /// Removes what [`Provider::install`] made. Data volumes are kept. Removing what is not there
    /// succeeds.
    fn remove(&self, workload: &Workload) -> Result<(), Failure>;

    /// Looks at what is really there.
    fn observe(&self, workload: &Workload) -> Result<Observed, Failure>;
}

/// One component of a deployment, as a provider needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Names the workload on this device: `[a-z0-9][a-z0-9_-]*`, at most 63 characters. Whatever
    /// carries this name on the engine belongs to the workload.
    pub project: String,
    /// The component's name in the deployment, for messages.
    pub component: String,
    /// A folder of this component alone, which outlives restarts. The provider makes it, fills it
    /// and empties it.
    pub directory: PathBuf,
    /// The component's archive, whose digest the caller has verified. Only needed to install.
    pub archive: PathBuf,
    /// The parameters, in text form, by environment variable.
    pub environment: BTreeMap<String, String>,
    /// Whether installing waits until the workload runs and is healthy.
    pub wait: bool,
    /// How long installing or removing may take before it has failed.
    pub timeout: Duration,
}

/// What is there of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// Nothing of it.
    Absent,
    /// All of it, running or properly finished.
    Running,
    /// Some of it, or not in order.
    Degraded {
        /// What is amiss, for a person.
        detail: String,
    },
}

/// Why a provider could not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Which kind of failure: one of [`code`], for programs.
    pub code: &'static str,
    /// What happened, for a person: at most some thousand characters.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The codes of [`Failure`].
pub mod code {
    /// The archive cannot be used.
    pub const BAD_ARCHIVE: &str = "bad-archive";
    /// A name or value given to the workload cannot be used.
    pub const BAD_PARAMETER: &str = "bad-parameter";
    /// The tool refuses the package as it is configured.
    pub const BAD_PACKAGE: &str = "bad-package";
    /// The tool or the engine behind it is missing or does not answer.
    pub const ENGINE_UNAVAILABLE: &str = "engine-unavailable";
    /// The device's disk refused to store the package.
    pub const STORAGE: &str = "storage";
    /// The tool could not start the workload.
    pub const START_FAILED: &str = "start-failed";
    /// A service ended although it should run, or did not finish well.
    pub const SERVICE_EXITED: &str = "service-exited";
    /// A service's health check failed.
    pub const SERVICE_UNHEALTHY: &str = "service-unhealthy";
    /// It was not finished in the given time.
    pub const TIMED_OUT: &str = "timed-out";
    /// Something of the workload could not be removed.
    pub const REMOVE_FAILED: &str = "remove-failed";
    /// The client is being stopped; no fault of the workload.
    pub const INTERRUPTED: &str = "interrupted";
}

/// An error with its causes on one line, for a message.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
