//! Why there is no good answer, in words that tell a device's owner where to look.

use std::io;
use std::time::Duration;

use margo_contract::problem::ProblemType;
use rustls::CertificateError;
use ureq::Timeout;

use crate::gate::Why;

/// Why there is no good answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the fleet manager cannot be reached")]
    Unreachable(#[source] NoAnswer),
    #[error("the fleet manager answers {status}: {detail}")]
    Refused {
        status: u16,
        /// What it says is wrong, where that is one of the registered conditions.
        kind: Option<ProblemType>,
        detail: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
        /// Whether the same request may do better soon.
        retryable: bool,
    },
    #[error("the fleet manager's answer makes no sense: {0}")]
    Nonsense(String),
    #[error("nothing is said now: {0}")]
    Quiet(#[from] Why),
}

/// Why a server cannot be spoken to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("its name is not known; is the network up, and is server.url right?")]
    Name,
    #[error(
        "its certificate is not from the pinned root; a captive portal or proxy may answer in its \
         place, or server.ca is another fleet manager's"
    )]
    Root(#[source] rustls::Error),
    #[error("the roots that are trusted for it cannot be read")]
    NoRoots(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("its certificate is for another name than that in server.url")]
    CertificateName(#[source] rustls::Error),
    #[error(
        "its certificate has expired; if the fleet manager's has not, this machine's clock is ahead"
    )]
    Expired(#[source] rustls::Error),
    #[error(
        "it does not speak TLS 1.3 as it has to; a captive portal or proxy may answer in its place"
    )]
    Tls(#[source] rustls::Error),
    #[error("it is too slow: {0}")]
    Slow(&'static str),
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    #[error("the request cannot be sent")]
    Other(#[source] Box<ureq::Error>),
}

impl LinkError {
    /// How long the server asked to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Unreachable(_) | Self::Nonsense(_) | Self::Quiet(_) => None,
        }
    }

    /// Whether the fleet manager may not know us any more, and not only something that we asked for.
    // margo(D-12, ER-3)
    pub(crate) fn is_about_us(&self) -> bool {
        match self {
            Self::Refused { status: 401, .. } => true,
            Self::Refused { status: 404, kind, .. } => {
                matches!(kind, None | Some(ProblemType::Blank))
            }
            Self::Refused { .. } | Self::Unreachable(_) | Self::Nonsense(_) | Self::Quiet(_) => {
                false
            }
        }
    }

    /// Whether it may be tried again before the next regular contact, margo(RT-2).
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { retryable, .. } => *retryable,
            Self::Unreachable(_) | Self::Nonsense(_) | Self::Quiet(_) => true,
        }
    }
}

impl From<ureq::Error> for LinkError {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Io(error) => of_io(error),
            ureq::Error::Rustls(error) => of_tls(error),
            ureq::Error::Timeout(which) => Self::Unreachable(NoAnswer::Slow(slow(which))),
            ureq::Error::HostNotFound => Self::Unreachable(NoAnswer::Name),
            ureq::Error::BodyExceedsLimit(largest) => {
                Self::Nonsense(format!("it is larger than {largest} bytes"))
            }
            ureq::Error::LargeResponseHeader(_, largest) => {
                Self::Nonsense(format!("its headers are larger than {largest} bytes"))
            }
            ureq::Error::Protocol(error) => {
                Self::Nonsense(format!("it is not HTTP ({error}); a proxy may answer in its place"))
            }
            error => Self::Unreachable(NoAnswer::Other(Box::new(error))),
        }
    }
}

/// What failed while a body was read.
impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::from(ureq::Error::from(error))
    }
}

fn of_io(error: io::Error) -> LinkError {
    if let Some(tls) = error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>()) {
        return of_tls(tls.clone());
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            LinkError::Nonsense("it ends before it is complete".to_owned())
        }
        _ => LinkError::Unreachable(NoAnswer::Broken(error)),
    }
}

fn of_tls(error: rustls::Error) -> LinkError {
    use CertificateError::{
        ApplicationVerificationFailure, BadSignature, Expired, ExpiredContext, NotValidForName,
        NotValidForNameContext, UnknownIssuer,
    };
    LinkError::Unreachable(match &error {
        rustls::Error::InvalidCertificate(reason) => match reason {
            Expired | ExpiredContext { .. } => NoAnswer::Expired(error),
            NotValidForName | NotValidForNameContext { .. } => NoAnswer::CertificateName(error),
            UnknownIssuer | BadSignature | ApplicationVerificationFailure => NoAnswer::Root(error),
            _ => NoAnswer::Tls(error),
        },
        _ => NoAnswer::Tls(error),
    })
}

fn slow(which: Timeout) -> &'static str {
    match which {
        Timeout::Resolve | Timeout::Connect => "no connection came about in time",
        Timeout::SendRequest | Timeout::SendBody | Timeout::PerWrite => {
            "it did not take the request in time"
        }
        Timeout::RecvResponse => "it did not begin to answer in time",
        Timeout::PerRead => "it stopped in the middle of its answer",
        _ => "its answer was not complete in time",
    }
}
