//! Errors that `gantry` finds by itself, as far as the exit code depends on them.

use crate::exit_code::ExitCode;

/// An error that says how the program ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The arguments, a file that they name, or the configuration.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    NotSignedIn(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Conflict(String),
    /// Something that the fleet manager refused with this HTTP status, beside what it took.
    #[error("{text}")]
    Refused { status: u16, text: String },
    #[error("{0}")]
    DeploymentFailed(String),
    #[error("{0}")]
    TimedOut(String),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::Usage,
            Self::NotSignedIn(_) => ExitCode::Denied,
            Self::NotFound(_) => ExitCode::NotFound,
            Self::Conflict(_) => ExitCode::Conflict,
            Self::Refused { status, .. } => ExitCode::of_status(*status),
            Self::DeploymentFailed(_) => ExitCode::DeploymentFailed,
            Self::TimedOut(_) => ExitCode::TimedOut,
        }
    }
}
