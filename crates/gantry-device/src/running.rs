//! What this client has applied, or is applying: written before and after each step, so that a
//! restart knows what was going on.

use std::collections::BTreeMap;

use margo_contract::component::ProfileType;
use margo_contract::deployment_status::State;
use margo_contract::digest::Digest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::state_dir::{StateDir, StateError};
use crate::upkeep::Upkeep;

const FILE: &str = "running.json";

/// All deployments that have left or may leave a trace on this device.
pub(crate) type Running = BTreeMap<Uuid, Deployment>;

/// One deployment on this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deployment {
    /// The document's name for it, for messages.
    pub(crate) name: String,
    /// Of the document that is being, or was, applied.
    pub(crate) digest: Digest,
    /// The manifest version whose content was taken up, margo(V-1).
    pub(crate) adopted: u64,
    /// In the order of installation.
    pub(crate) components: Vec<Component>,
    /// Components of former content that have yet to go. They are not reported about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) leaving: Vec<Component>,
    /// Failed attempts in a row.
    #[serde(default)]
    pub(crate) attempts: u32,
    /// Milliseconds since 1970; before that nothing is tried again.
    #[serde(default)]
    pub(crate) retry_at: i64,
    /// Its removal was begun, and told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) withdrawn: bool,
    /// What it took to keep this content running, if it gave trouble lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upkeep: Option<Upkeep>,
}

/// One component on this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Component {
    pub(crate) name: String,
    /// Which provider runs it.
    #[serde(with = "kind")]
    pub(crate) kind: ProfileType,
    /// What it is called on the engine.
    pub(crate) project: String,
    /// The Kubernetes namespace that the document names.
    pub(crate) namespace: String,
    pub(crate) state: Progress,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Error>,
}

/// Why a component failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Error {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// How far a component has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Progress {
    Pending,
    Installing,
    Installed,
    Failed,
    Removing,
    Removed,
}

impl Progress {
    pub(crate) fn state(self) -> State {
        match self {
            Self::Pending => State::Pending,
            Self::Installing => State::Installing,
            Self::Installed => State::Installed,
            Self::Failed => State::Failed,
            Self::Removing => State::Removing,
            Self::Removed => State::Removed,
        }
    }
}

impl Component {
    /// Whether both are the same thing on the engine.
    pub(crate) fn is_same_workload(&self, other: &Self) -> bool {
        let place = |it: &Self| (it.kind, it.project.clone(), it.namespace.clone());
        place(self) == place(other)
    }
}

impl Deployment {
    /// The state of the whole: that of its gravest component, margo(S-2).
    pub(crate) fn overall(&self) -> State {
        State::overall(self.components.iter().map(|it| it.state.state())).unwrap_or(State::Pending)
    }

    /// Whether an attempt at what it is to be has failed, which was told.
    pub(crate) fn has_failed(&self) -> bool {
        self.overall() == State::Failed && self.attempts > 0
    }

    /// Whether it was found out of order, or nobody can say how it is, and nothing was tried since.
    pub(crate) fn awaits_repair(&self) -> bool {
        self.overall() == State::Failed && self.attempts == 0 && !self.withdrawn
    }

    /// Whether it was made true, so that from time to time somebody has to see whether it still is.
    pub(crate) fn is_watched(&self) -> bool {
        self.overall() == State::Installed || self.awaits_repair()
    }
}

/// A kind by its name.
mod kind {
    use margo_contract::component::ProfileType;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(kind: &ProfileType, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(kind.name())
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<ProfileType, D::Error> {
        let name = String::deserialize(from)?;
        ProfileType::parse(&name).ok_or_else(|| D::Error::custom("it is no kind of components"))
    }
}

pub(crate) fn load(state: &StateDir) -> Result<Running, StateError> {
    Ok(state.load(FILE)?.unwrap_or_default())
}

pub(crate) fn save(running: &Running, state: &StateDir) -> Result<(), StateError> {
    state.save(FILE, running)
}
