//! What is counted, and what is lost.

use std::fmt;

use serde_json::{Value, json};

use crate::ledger::Settled;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) of: Kind,
    /// What exactly, for people.
    pub(crate) what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An operator's doing that was acknowledged and is not there, or one that is half there.
    Order,
    /// A revision of which a part is missing or is not what another part says.
    Revision,
    /// A version that came after a greater one, or with two contents.
    Version,
    /// What a device has said and was heard, and is not there.
    Status,
}

impl Loss {
    pub(crate) fn of(of: Kind, what: impl Into<String>) -> Self {
        Self { of, what: what.into() }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.of {
            Kind::Order => "ORDER LOST",
            Kind::Revision => "HALF A REVISION",
            Kind::Version => "VERSION BACK",
            Kind::Status => "STATUS LOST",
        };
        write!(f, "{kind}: {}", self.what)
    }
}

/// The figures of the last line.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) seed: u64,
    /// Times that the server or the database was killed.
    pub(crate) kills: u64,
    pub(crate) losses: Vec<Loss>,
    /// What operators had acknowledged.
    pub(crate) orders: u64,
    /// What devices had acknowledged.
    pub(crate) statuses: u64,
    /// Revisions all of whose parts were compared.
    pub(crate) revisions: u64,
    /// What was asked for and had no answer when the kill came: found afterwards, or not.
    pub(crate) open_and_there: u64,
    pub(crate) open_and_not_there: u64,
}

impl Tally {
    pub(crate) fn is_clean(&self) -> bool {
        self.losses.is_empty()
    }

    /// Adds what came of a comparison.
    pub(crate) fn take<T>(&mut self, settled: &Settled<T>, losses: Vec<Loss>) {
        self.open_and_there += settled.open_and_there;
        self.open_and_not_there += settled.open_and_not_there;
        self.losses.extend(losses);
    }

    pub(crate) fn to_json(&self) -> Value {
        let lost = |kind| self.losses.iter().filter(|it| it.of == kind).count();
        json!({
            "kills": self.kills,
            "orders_lost": lost(Kind::Order),
            "half_revisions": lost(Kind::Revision),
            "versions_back": lost(Kind::Version),
            "statuses_lost": lost(Kind::Status),
            "seed": self.seed,
            "orders": self.orders,
            "statuses": self.statuses,
            "revisions": self.revisions,
        })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, orders, statuses, revisions, open_and_there, open_and_not_there, .. } =
            self;
        write!(
            f,
            "{kills} kills: {orders} orders, {statuses} statuses, {revisions} revisions; without an answer, \
             {open_and_there} were there and {open_and_not_there} were not"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_is_counted_where_it_belongs_and_none_is_clean() {
        let mut tally = Tally { kills: 3, orders: 5, ..Tally::default() };
        assert!(tally.is_clean());
        for (kind, times) in
            [(Kind::Order, 1), (Kind::Revision, 2), (Kind::Version, 3), (Kind::Status, 4)]
        {
            tally.losses.extend((0..times).map(|it| Loss::of(kind, format!("number {it}"))));
            assert!(!tally.is_clean());
        }
        let told = tally.to_json();
        let lost = ["orders_lost", "half_revisions", "versions_back", "statuses_lost"];
        assert_eq!(lost.map(|it| told[it].as_u64()), [Some(1), Some(2), Some(3), Some(4)]);
        assert_eq!((told["kills"].as_u64(), told["orders"].as_u64()), (Some(3), Some(5)));
    }
}
