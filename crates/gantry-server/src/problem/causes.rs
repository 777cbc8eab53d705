//! Which problem an error becomes, and what the log says of it.

use std::error::Error;

use axum::http::StatusCode;
use margo_contract::document::DocumentError;
use margo_contract::problem::{FieldError, ProblemType};

use super::{Problem, Reason, UNAVAILABLE_RETRY_SECONDS};
use crate::fleet::{FleetError, Outage};
use crate::identity;
use crate::room::NoRoom;

impl Problem {
    /// 503 where the store cannot be used for now, else 500; the cause goes to the log and not to the
    /// caller.
    pub(crate) fn internal(error: &(dyn Error + 'static)) -> Self {
        if causes(error).any(|it| matches!(it.downcast_ref(), Some(FleetError::NoRoom(_)))) {
            return NoRoom.into();
        }
        let cause = chain(error);
        let outage = causes(error).find_map(|it| it.downcast_ref::<FleetError>()?.outage());
        if let Some(outage) = outage {
            tracing::error!(error = cause, advice = outage.advice(), "the store cannot be used");
            return Self::outage(outage);
        }
        tracing::error!(error = cause, "a request failed");
        let detail = "the server could not do it; its log says why";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(ProblemType::Blank, status, Reason::Failure, detail)
            .retryable_after(UNAVAILABLE_RETRY_SECONDS)
    }

    fn outage(outage: Outage) -> Self {
        match outage {
            Outage::Busy => Self::unavailable(Reason::DatabaseBusy, "the database is busy"),
            Outage::Full => Self::unavailable(Reason::DiskFull, "the server has no room left"),
            Outage::Away => Self::unavailable(Reason::DatabaseAway, "the database does not answer"),
        }
    }
}

impl From<FleetError> for Problem {
    fn from(error: FleetError) -> Self {
        match error {
            FleetError::Replayed => identity::replayed(),
            error => Self::internal(&error),
        }
    }
}

impl From<NoRoom> for Problem {
    fn from(error: NoRoom) -> Self {
        Self::unavailable(Reason::Overload, &error.to_string())
    }
}

impl From<DocumentError> for Problem {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Malformed(detail) => Self::malformed(detail),
            DocumentError::Semantic(faults) => {
                let errors = faults.0.into_iter();
                let errors =
                    errors.map(|it| FieldError { field: it.field, message: it.message }).collect();
                Self::semantic("the document breaks rules; `errors` names each", errors)
            }
        }
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// An error, and what caused it, and so on.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&it| it.source())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fleet_store::StoreError;

    use super::*;
    use crate::fleet::DecideError;

    #[test]
    fn a_store_that_cannot_be_used_for_now_is_told_from_one_that_is_broken() {
        let cause = || Arc::new(std::io::Error::other("the disk says so"));
        for (error, status, reason) in [
            (StoreError::Busy(cause()), 503, Reason::DatabaseBusy),
            (StoreError::Full(cause()), 503, Reason::DiskFull),
            (StoreError::Unreachable(cause()), 503, Reason::DatabaseAway),
            (StoreError::Duplicate(cause()), 500, Reason::Failure),
            (StoreError::Failed(cause()), 500, Reason::Failure),
        ] {
            let error = DecideError::Fleet(error.into());
            let problem = Problem::internal(&error);
            assert_eq!((problem.body.status, problem.reason), (status, reason), "{error:?}");
            assert!(problem.body.retryable && problem.body.retry_after_seconds.is_some());
        }
    }

    #[test]
    fn who_finds_no_room_for_a_package_comes_back_later() {
        let problem = Problem::internal(&FleetError::from(NoRoom));
        assert_eq!((problem.body.status, problem.reason), (503, Reason::Overload));
    }
}
