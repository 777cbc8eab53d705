//! What is counted, and whether all is well.

use serde_json::{Value, json};

/// The figures of the last line.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Times that the client was killed.
    pub(crate) kills: u64,
    /// Steps of a life after which the workloads were not as desired in time.
    pub(crate) unconverged: u64,
    /// Containers that were made or ran beside another one for the same component.
    pub(crate) doubled: u64,
    /// Volumes that were gone or had lost what was in them.
    pub(crate) volumes_lost: u64,
    /// Transitions that were in the client's journal and are not among the fleet manager's events.
    pub(crate) reports_lost: u64,
}

impl Tally {
    pub(crate) fn is_clean(&self) -> bool {
        self.unconverged + self.doubled + self.volumes_lost + self.reports_lost == 0
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "kills": self.kills,
            "unconverged": self.unconverged,
            "doubled": self.doubled,
            "volumes_lost": self.volumes_lost,
            "reports_lost": self.reports_lost,
        })
    }
}
