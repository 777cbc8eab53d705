//! What a fleet manager remembers, in the words of its use cases: domain types in, domain types out,
//! and no SQL in any signature.
//!
//! [`Store::read`] gives a [`Snapshot`], [`Store::begin`] a [`Transaction`], which reads as a snapshot
//! does and also writes. What belongs together (load, decide, remember, ask for a job, write down who
//! did it) happens on one transaction: after [`Transaction::commit`] all of it is durable, and a
//! transaction that is dropped has changed nothing.
//!
//! Expected conflicts are outcomes ([`Added`], [`AddApplication`], ...); a [`StoreError`] is trouble.
//! Times are seconds since 1970, and they come from the caller. Lists take a limit.

mod applications;
mod audit;
mod authorities;
mod backup;
mod clients;
mod columns;
mod contacts;
mod counters;
mod counts;
mod database;
mod deployments;
mod device_reports;
mod devices;
mod encoding;
mod engine;
mod error;
mod events;
mod inspection;
mod jobs;
mod known;
mod lost;
mod notifications;
mod operators;
mod orders;
mod recent;
mod relocation;
mod repository;
mod revisions;
mod schema;
mod settings;
mod signatures;
mod statements;
mod store;
mod writer;

pub use applications::{AddApplication, Application, NewApplication, RemoveApplication};
pub use audit::{AuditEntry, AuditNote};
pub use authorities::Authority;
pub use backup::{BackupError, Contents, check, copy, settle};
pub use clients::{ClientEntry, Decision, SecurityEvent};
pub use counts::FleetCounts;
pub use database::{Database, Engine};
pub use deployments::{AddDeployment, DeploymentEntry};
pub use device_reports::{DeviceReport, KEPT_REPORTS};
pub use devices::{DeviceEntry, Recorded};
pub use error::{OpenError, StoreError};
pub use events::{DeploymentEvent, Event, KEPT_EVENTS};
pub use inspection::{Inspection, inspect};
pub use jobs::Job;
pub use known::{ClientState, NewestRevision};
pub use operators::Operator;
pub use recent::PackEntries;
pub use relocation::{Relocated, RelocationError, RelocationStep, relocate};
pub use repository::{GitObject, GitObjectKind, PackCursor, PackRange};
pub use revisions::{NewRevision, RevisedDeployment, Revision};
pub use schema::Schema;
pub use store::{Snapshot, Store, StoreOptions, Transaction};

/// Whether something new was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    New,
    /// It was there before; nothing changed.
    AlreadyThere,
}
