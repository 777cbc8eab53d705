//! What a client shall run, and the orders that made it so.

use std::collections::BTreeMap;

use crate::ids::{
    ApplicationId, ApplicationVersion, DeploymentId, DeploymentName, OperatorName, RevisionNumber,
    Sha256,
};

/// All that a client shall run, as the documents that say so. Equal states have equal documents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesiredState {
    pub documents: BTreeMap<DeploymentId, Document>,
}

/// The bytes that order one deployment. They are written once and never again, margo(AD-5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub digest: Sha256,
    pub bytes: Vec<u8>,
}

/// Why a desired state came to be: what somebody ordered, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub operator: OperatorName,
    /// Seconds since 1970.
    pub at: i64,
    pub what: Ordered,
    pub reason: Option<String>,
}

/// What was ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ordered {
    /// The client was let in; its desired state begins.
    Admit {
        client: String,
    },
    Install {
        deployment: OrderedDeployment,
    },
    Update {
        deployment: OrderedDeployment,
    },
    Remove {
        deployment: OrderedDeployment,
    },
    /// The client shall run again what one of its revisions carried.
    RollBack {
        to: RevisionNumber,
        installed: Vec<OrderedDeployment>,
        updated: Vec<OrderedDeployment>,
        removed: Vec<OrderedDeployment>,
    },
}

/// The deployment that an order is about, as it was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderedDeployment {
    pub id: DeploymentId,
    pub name: DeploymentName,
    pub application: ApplicationId,
    pub version: ApplicationVersion,
    pub changes: Vec<ParameterChange>,
}

/// A parameter before and after an order, as text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterChange {
    pub name: String,
    pub before: Option<String>,
    pub after: Option<String>,
}
