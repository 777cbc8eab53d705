//! What a script learns from the end of `gantry`: the one list of exit codes, and which error leads to
//! which of them.

use std::fmt::Write as _;

use crate::api::ApiError;
use crate::failure::Failure;

/// How `gantry` ended. The numbers are an interface: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitCode {
    Ok = 0,
    Unexpected = 1,
    Usage = 2,
    Denied = 3,
    NotFound = 4,
    Conflict = 5,
    Refused = 6,
    DeploymentFailed = 7,
    TimedOut = 8,
    Unreachable = 9,
}

const MEANINGS: [(ExitCode, &str); 10] = [
    (ExitCode::Ok, "done"),
    (ExitCode::Unexpected, "unexpected error"),
    (ExitCode::Usage, "wrong use of the command line, its files or its configuration"),
    (ExitCode::Denied, "not signed in, or not allowed"),
    (ExitCode::NotFound, "no such resource"),
    (ExitCode::Conflict, "conflict with what is there"),
    (ExitCode::Refused, "the fleet manager refused the input"),
    (ExitCode::DeploymentFailed, "the deployment failed on the device (--wait)"),
    (ExitCode::TimedOut, "timed out waiting for the device (--wait)"),
    (ExitCode::Unreachable, "the fleet manager is unreachable, busy or not to be trusted"),
];

impl ExitCode {
    /// The code for an error, wherever in its chain the one that decides is.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        for cause in error.chain() {
            if let Some(failure) = cause.downcast_ref::<Failure>() {
                return failure.exit_code();
            }
            if let Some(error) = cause.downcast_ref::<ApiError>() {
                return Self::of_api(error);
            }
        }
        Self::Unexpected
    }

    fn of_api(error: &ApiError) -> Self {
        match error {
            ApiError::Unreachable { .. } | ApiError::Untrusted { .. } => Self::Unreachable,
            ApiError::Refused(refusal) => Self::of_status(refusal.status),
            ApiError::Unreadable { .. } => Self::Unexpected,
        }
    }

    /// The code for what was refused with an HTTP status.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Denied,
            404 => Self::NotFound,
            409 => Self::Conflict,
            400 | 413 | 415 | 422 => Self::Refused,
            429 | 502 | 503 | 504 => Self::Unreachable,
            _ => Self::Unexpected,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// The list for `--help`.
pub(crate) fn help() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for (code, meaning) in MEANINGS {
        writeln!(text, "  {}  {meaning}", code as u8).expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::api::Refusal;

    fn refused(status: u16) -> anyhow::Error {
        ApiError::Refused(Box::new(Refusal { status, ..Refusal::default() })).into()
    }

    #[test]
    fn the_status_of_a_refusal_decides_on_the_exit_code() {
        let code = |status| ExitCode::of(&refused(status));
        assert_eq!(code(401), ExitCode::Denied);
        assert_eq!(code(404), ExitCode::NotFound);
        assert_eq!(code(409), ExitCode::Conflict);
        assert_eq!(code(422), ExitCode::Refused);
        assert_eq!(code(503), ExitCode::Unreachable);
        assert_eq!(code(500), ExitCode::Unexpected);
    }

    #[test]
    fn context_does_not_hide_the_error_that_decides() {
        let error = Err::<(), _>(refused(404)).context("asking").expect_err("an error");
        assert_eq!(ExitCode::of(&error), ExitCode::NotFound);
    }

    #[test]
    fn the_help_names_every_code_once_and_in_order() {
        for (place, (code, _)) in MEANINGS.iter().enumerate() {
            assert_eq!(*code as usize, place);
        }
    }
}
