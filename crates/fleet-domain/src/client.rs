//! A client: the identity that talks for a device. It asks to be let in with its certificate, and
//! an operator decides.
//!
//! ```text
//!                 approve               revoke
//!   Waiting ──────────────► Approved ───────────► Revoked
//!     │  ▲ (asks again)        ▲                     ▲
//!     │  └─┘                   │ approve             │ revoke
//!     └──────────────────► Rejected ─────────────────┘
//!           reject
//! ```

use crate::ids::{ClientId, Sha256};

/// One client of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub id: ClientId,
    /// Of the certificate that it onboarded with; one certificate is one client.
    pub fingerprint: Sha256,
    /// SHA-256 of the certificate's public key: another certificate of this key is the same client.
    pub key: Sha256,
    /// What the authority that vouched for the certificate calls its owner: another certificate of this
    /// authority with the same name is the same client.
    pub issued_as: Option<Sha256>,
    pub certificate_der: Vec<u8>,
    /// The common name of its certificate: a help for people, never proof of anything.
    pub name: String,
    pub standing: Standing,
}

/// Whether a client may talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has proved that it holds its key. An operator has yet to decide.
    Waiting,
    Approved,
    /// Told to stay away. An operator may think better of it.
    Rejected,
    /// Was let in once and is not trusted any more. Final: its key stays refused.
    Revoked,
}

/// What becomes of a certificate that nobody has seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnboardingPolicy {
    /// It is turned away, unless an operator has registered it or an authority that vouches for it.
    AllowListed,
    /// Unless that is so, it waits for an operator.
    Approve,
    /// It is let in. For labs only.
    Open,
}

impl OnboardingPolicy {
    /// How a stranger begins; nothing for one that is turned away and not remembered.
    pub fn standing_of_stranger(self, vouched_for: bool) -> Option<Standing> {
        match (self, vouched_for) {
            (Self::Open, _) | (_, true) => Some(Standing::Approved),
            (Self::Approve, false) => Some(Standing::Waiting),
            (Self::AllowListed, false) => None,
        }
    }
}

/// What an operator decides about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Approve,
    Reject,
    Revoke,
}

/// Whether a verdict changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Changed,
    /// It was so before. Deciding twice is deciding once.
    Already,
}

/// Why a verdict does not fit a client's standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerdictRefused {
    #[error("the client is approved already; revoke it to take that back")]
    RejectApproved,
    #[error("the client is revoked for good; it has to onboard with a new key")]
    Revoked,
}

impl Client {
    /// Takes note of what an operator decided.
    pub fn decide(&mut self, verdict: Verdict) -> Result<Outcome, VerdictRefused> {
        let standing = match (self.standing, verdict) {
            (Standing::Waiting | Standing::Rejected, Verdict::Approve) => Standing::Approved,
            (Standing::Waiting, Verdict::Reject) => Standing::Rejected,
            (Standing::Waiting | Standing::Rejected | Standing::Approved, Verdict::Revoke) => {
                Standing::Revoked
            }
            (Standing::Approved, Verdict::Approve)
            | (Standing::Rejected, Verdict::Reject)
            | (Standing::Revoked, Verdict::Revoke) => return Ok(Outcome::Already),
            (Standing::Approved, Verdict::Reject) => return Err(VerdictRefused::RejectApproved),
            (Standing::Revoked, Verdict::Approve | Verdict::Reject) => {
                return Err(VerdictRefused::Revoked);
            }
        };
        self.standing = standing;
        Ok(Outcome::Changed)
    }
}

impl Standing {
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Approved, Self::Rejected, Self::Revoked];

    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Revoked => "revoked",
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn client(standing: Standing) -> Client {
        Client {
            id: ClientId::from_uuid(Uuid::from_u128(1)),
            fingerprint: Sha256::from_bytes([7; 32]),
            key: Sha256::from_bytes([8; 32]),
            issued_as: None,
            certificate_der: vec![1, 2, 3],
            name: "press-7".to_owned(),
            standing,
        }
    }

    #[test]
    fn a_waiting_client_can_be_approved_rejected_or_revoked() {
        for (verdict, standing) in [
            (Verdict::Approve, Standing::Approved),
            (Verdict::Reject, Standing::Rejected),
            (Verdict::Revoke, Standing::Revoked),
        ] {
            let mut client = client(Standing::Waiting);
            assert_eq!(client.decide(verdict), Ok(Outcome::Changed));
            assert_eq!(client.standing, standing);
            assert_eq!(client.decide(verdict), Ok(Outcome::Already));
        }
    }

    #[test]
    fn a_stranger_is_let_in_who_is_vouched_for_or_where_everybody_is() {
        use OnboardingPolicy::{AllowListed, Approve, Open};
        assert_eq!(AllowListed.standing_of_stranger(false), None);
        assert_eq!(Approve.standing_of_stranger(false), Some(Standing::Waiting));
        assert_eq!(Open.standing_of_stranger(false), Some(Standing::Approved));
        for policy in [AllowListed, Approve, Open] {
            assert_eq!(policy.standing_of_stranger(true), Some(Standing::Approved));
        }
    }

    #[test]
    fn revoking_is_for_ever() {
        let mut client = client(Standing::Revoked);
        assert_eq!(client.decide(Verdict::Approve), Err(VerdictRefused::Revoked));
        assert_eq!(client.decide(Verdict::Reject), Err(VerdictRefused::Revoked));
        assert_eq!(client.standing, Standing::Revoked);
    }

    #[test]
    fn an_approval_is_taken_back_by_revoking_and_a_rejection_by_approving() {
        let mut approved = client(Standing::Approved);
        assert_eq!(approved.decide(Verdict::Reject), Err(VerdictRefused::RejectApproved));
        assert_eq!(approved.standing, Standing::Approved);
        let mut rejected = client(Standing::Rejected);
        assert_eq!(rejected.decide(Verdict::Approve), Ok(Outcome::Changed));
    }
}
