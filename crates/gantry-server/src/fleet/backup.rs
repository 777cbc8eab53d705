//! The fleet in a file that is taken away, and put back later: perhaps on another machine, and perhaps after
//! more has happened than is in it.

use std::path::Path;

use fleet_domain::client::OnboardingPolicy;
use fleet_store::{AuditNote, BackupError, Contents, Database};

use super::{Fleet, FleetError, FleetOptions, OpenFleetError};

/// Who stands in the audit log for a command that is given at the server's machine.
const AT_THE_SERVER: &str = "gantry-server";

/// Why a fleet cannot be put back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PutBackError {
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Open(#[from] OpenFleetError),
    #[error("the versions of desired states cannot be raised")]
    Recover(#[from] FleetError),
}

/// Copies the database of a fleet, which a server may be using, into an empty file.
pub(crate) async fn copy(database: &Database, into: &Path) -> Result<Contents, BackupError> {
    fleet_store::copy(database, into).await?;
    fleet_store::check(&Database::sqlite(into)).await
}

/// Makes a copy that nobody uses yet fit to be served again: all of it is read, its tables are brought up to
/// date, and each client gets its desired state above all versions that it may have seen since the copy was
/// made at `made_at`. Gives how many clients have one.
pub(crate) async fn prepare(copy: &Path, made_at: &str, now: i64) -> Result<u64, PutBackError> {
    let copy = Database::sqlite(copy);
    fleet_store::check(&copy).await?;
    // Neither is asked for while nobody is let in and nothing is served.
    let options = FleetOptions { onboarding: OnboardingPolicy::AllowListed, origin: String::new() };
    let fleet = Fleet::open(&copy, options).await?;
    let recovered = fleet.recover_all(now).await?;
    fleet.note_restore(made_at, now).await?;
    fleet.close().await;
    fleet_store::settle(&copy).await?;
    Ok(recovered)
}

impl Fleet {
    async fn note_restore(&self, made_at: &str, now: i64) -> Result<(), FleetError> {
        let mut transaction = self.inner.store.begin().await?;
        let note = AuditNote {
            at: now,
            actor: AT_THE_SERVER.to_owned(),
            action: "fleet.restore".to_owned(),
            subject: "fleet".to_owned(),
            detail: format!("from a backup of {made_at}; what was done since then is forgotten"),
        };
        transaction.append_audit(&[note]).await?;
        transaction.commit().await?;
        Ok(())
    }
}
