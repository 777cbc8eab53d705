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

use margo_contract::component::ProfileType;
use serde_json::Value;

mod blame;
pub mod compose;
mod files;
pub mod helm;
mod offer;
pub mod process;
mod tool;
mod words;

pub use compose::ComposeProvider;
pub use helm::HelmProvider;
pub use offer::Offer;

/// What applies components of one kind.
pub trait Provider {
    /// Makes the workload run, or run in its present form when a former one runs already. Data
    /// volumes are kept. Doing it twice, or again after an interruption, does no harm.
    fn install(&self, workload: &Workload) -> Result<(), Failure>;

    /// As [`Provider::install`], for a workload that installing alone has not put in order: what is there
    /// of it is made anew. Data volumes are kept.
    fn remake(&self, workload: &Workload) -> Result<(), Failure> {
        self.install(workload)
    }

    /// Removes what [`Provider::install`] made. Data volumes are kept. Removing what is not there
    /// succeeds.
    fn remove(&self, workload: &Workload) -> Result<(), Failure>;

    /// Looks at what is really there.
    fn observe(&self, workload: &Workload) -> Result<Observed, Failure>;

    /// Asks the tools, and what they work on, whether they are there. It takes seconds at most.
    ///
    /// # Errors
    /// [`code::ENGINE_UNAVAILABLE`] where one of them is missing or does not answer.
    fn offers(&self) -> Result<Offer, Failure> {
        Ok(Offer::default())
    }
}

/// What a device can run: a provider for each kind of component. Whoever carries out a desired state
/// asks here, and knows none of them.
#[derive(Default)]
pub struct Providers(BTreeMap<ProfileType, Box<dyn Provider>>);

impl Providers {
    /// Adds what runs components of this kind.
    #[must_use]
    pub fn with(mut self, kind: ProfileType, provider: Box<dyn Provider>) -> Self {
        self.0.insert(kind, provider);
        self
    }

    /// The kinds that something is set up for, whether or not it answers at present.
    pub fn kinds(&self) -> impl Iterator<Item = ProfileType> {
        self.0.keys().copied()
    }

    /// What runs components of this kind.
    ///
    /// # Errors
    /// [`code::UNSUPPORTED_TYPE`] where there is nothing.
    pub fn of(&self, kind: ProfileType) -> Result<&dyn Provider, Failure> {
        let provider = self.0.get(&kind).map(Box::as_ref);
        provider.ok_or_else(|| {
            let message = format!("this device does not run {} components", kind.name());
            Failure::new(code::UNSUPPORTED_TYPE, message)
        })
    }
}

/// One component of a deployment, as a provider needs to know it.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Names the workload on this device: `[a-z0-9][a-z0-9_-]*`, at most 53 characters. Whatever
    /// carries this name on the engine belongs to the workload.
    pub name: String,
    /// The Kubernetes namespace, for providers that have one.
    pub namespace: String,
    /// The component's name in the deployment, for messages.
    pub component: String,
    /// A folder of this component alone, which outlives restarts. The provider makes it, fills it
    /// and empties it.
    pub directory: PathBuf,
    /// The component's package, whose origin the caller has verified. Only needed to install.
    pub package: PathBuf,
    /// The parameters by where they go: an environment variable, or a place among a chart's values.
    pub parameters: BTreeMap<String, Value>,
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
    /// Some of it, or not in order; what is amiss.
    Degraded(Failure),
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

/// The codes of [`Failure`]. They are for programs and never change; docs/error-codes.md explains each.
pub mod code {
    macro_rules! codes {
        ($($(#[$meaning:meta])* $name:ident = $code:literal;)*) => {
            $($(#[$meaning])* pub const $name: &str = $code;)*
            /// All of them.
            pub const ALL: &[&str] = &[$($name),*];
        };
    }

    codes! {
        /// The archive cannot be used.
        BAD_ARCHIVE = "bad-archive";
        /// A name or value given to the workload cannot be used.
        BAD_PARAMETER = "bad-parameter";
        /// The tool refuses the package as it is configured.
        BAD_PACKAGE = "bad-package";
        /// Nothing on this device runs components of this kind.
        UNSUPPORTED_TYPE = "unsupported-type";
        /// The package asks for what the device's owner does not allow.
        NOT_ALLOWED = "not-allowed";
        /// The tool or the engine behind it is missing or does not answer.
        ENGINE_UNAVAILABLE = "engine-unavailable";
        /// An image does not exist, or may not be pulled.
        IMAGE_UNAVAILABLE = "image-unavailable";
        /// The registry of an image cannot be reached.
        REGISTRY_UNREACHABLE = "registry-unreachable";
        /// The cluster has no node with room for a pod, or none that it may run on.
        UNSCHEDULABLE = "unschedulable";
        /// A port that the workload publishes is taken.
        PORT_TAKEN = "port-taken";
        /// Another container on the device has the name that a container of the workload is to have, or
        /// something else in the cluster that of what it is to make there.
        NAME_TAKEN = "name-taken";
        /// The device's disk refused to store the package or an image.
        STORAGE = "storage";
        /// The tool could not start the workload, for a reason without a code of its own.
        START_FAILED = "start-failed";
        /// A service ended although it should run, or did not finish well.
        SERVICE_EXITED = "service-exited";
        /// A service's health check failed.
        SERVICE_UNHEALTHY = "service-unhealthy";
        /// A service that was installed lacks a container, or has one that does not run.
        SERVICE_MISSING = "service-missing";
        /// A service that was installed has a container that is not as it was made, or a chart something in the
        /// cluster.
        SERVICE_CHANGED = "service-changed";
        /// It was not finished in the given time.
        TIMED_OUT = "timed-out";
        /// Something of the workload could not be removed.
        REMOVE_FAILED = "remove-failed";
        /// The client is being stopped; no fault of the workload.
        INTERRUPTED = "interrupted";
    }
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
