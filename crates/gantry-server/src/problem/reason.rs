//! Why requests are refused: the short names that logs and counters share.

/// Why a request was not answered as it asked. Closed, so that each reason has its counter and no label
/// of a metric is anything that a caller has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The request or its body cannot be read.
    Malformed,
    /// `Content-Digest` is not that of the body.
    Digest,
    /// Nothing is signed, or not what has to be.
    Unsigned,
    /// The signature is not by the key of the client.
    Signature,
    /// The signature is too old or from the future: a clock is wrong.
    SignatureTime,
    /// The same signed request came before.
    Replay,
    /// Nobody has the client's id.
    UnknownClient,
    /// An operator has yet to decide about the client.
    Waiting,
    /// The client was rejected or revoked, or is not on the list.
    NotAccepted,
    /// The certificate that an onboarding client shows is no good.
    Certificate,
    /// The certificate of a client has ended.
    CertificateExpired,
    /// No token, or one that is wrong or has expired.
    Token,
    /// The operator's role does not allow it.
    Role,
    /// Somebody would push, or read the files of a repository.
    ReadOnly,
    NotFound,
    Method,
    NotAcceptable,
    Conflict,
    TooLarge,
    MediaType,
    /// What the body says breaks rules.
    Semantic,
    /// This client asks too often.
    Rate,
    /// All together ask for more than there is room for.
    Overload,
    Timeout,
    /// Others hold the database.
    DatabaseBusy,
    DiskFull,
    /// The database cannot be reached, read or written.
    DatabaseAway,
    /// A fault of the server that it knows how to tell.
    Failure,
    /// A fault of the server that it does not.
    Panic,
}

impl Reason {
    pub(crate) const ALL: [Self; Self::Panic as usize + 1] = [
        Self::Malformed,
        Self::Digest,
        Self::Unsigned,
        Self::Signature,
        Self::SignatureTime,
        Self::Replay,
        Self::UnknownClient,
        Self::Waiting,
        Self::NotAccepted,
        Self::Certificate,
        Self::CertificateExpired,
        Self::Token,
        Self::Role,
        Self::ReadOnly,
        Self::NotFound,
        Self::Method,
        Self::NotAcceptable,
        Self::Conflict,
        Self::TooLarge,
        Self::MediaType,
        Self::Semantic,
        Self::Rate,
        Self::Overload,
        Self::Timeout,
        Self::DatabaseBusy,
        Self::DiskFull,
        Self::DatabaseAway,
        Self::Failure,
        Self::Panic,
    ];

    /// As it stands in logs and in the label `reason`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Digest => "digest",
            Self::Unsigned => "unsigned",
            Self::Signature => "signature",
            Self::SignatureTime => "signature_time",
            Self::Replay => "replay",
            Self::UnknownClient => "unknown_client",
            Self::Waiting => "waiting",
            Self::NotAccepted => "not_accepted",
            Self::Certificate => "certificate",
            Self::CertificateExpired => "certificate_expired",
            Self::Token => "token",
            Self::Role => "role",
            Self::ReadOnly => "read_only",
            Self::NotFound => "not_found",
            Self::Method => "method",
            Self::NotAcceptable => "not_acceptable",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::MediaType => "media_type",
            Self::Semantic => "semantic",
            Self::Rate => "rate",
            Self::Overload => "overload",
            Self::Timeout => "timeout",
            Self::DatabaseBusy => "database_busy",
            Self::DiskFull => "disk_full",
            Self::DatabaseAway => "database_away",
            Self::Failure => "failure",
            Self::Panic => "panic",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_reason_has_a_place_and_a_name_of_its_own() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{reason:?}");
        }
        let names: BTreeSet<&str> = Reason::ALL.map(Reason::name).into();
        assert_eq!(names.len(), Reason::ALL.len());
    }
}
