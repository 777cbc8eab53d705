//! What there is on the device to run workloads with: what the engines told last, and whether they are there.
//! It is part of the reported capabilities, and outlives restarts: an engine that starts later than the
//! client changes nothing of them.

use std::collections::{BTreeMap, BTreeSet};

use device_providers::Offer;
use margo_contract::component::ProfileType;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::state_dir::{StateDir, StateError};

const FILE: &str = "offers.json";
/// The label of what has been away for long.
const UNAVAILABLE: &str = "unavailable";

/// What is known, by the name of the kind of components.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offers(BTreeMap<String, Known>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Known {
    is_away: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    architecture: Option<String>,
}

/// What the capabilities say of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) kinds: BTreeSet<ProfileType>,
    pub(crate) architecture: Option<String>,
    /// The versions of the tools and engines.
    pub(crate) labels: Map<String, Value>,
}

impl Offers {
    pub(crate) fn load(state: &StateDir) -> Result<Self, StateError> {
        Ok(state.load(FILE)?.unwrap_or_default())
    }

    pub(crate) fn save(&self, state: &StateDir) -> Result<(), StateError> {
        state.save(FILE, self)
    }

    /// An engine has answered.
    pub(crate) fn note(&mut self, kind: ProfileType, offer: Offer) {
        let Offer { tool, engine, architecture } = offer;
        let known = Known { is_away: false, tool, engine, architecture };
        self.0.insert(kind.name().to_owned(), known);
    }

    /// An engine has not answered for long.
    pub(crate) fn note_away(&mut self, kind: ProfileType) {
        self.0.entry(kind.name().to_owned()).or_default().is_away = true;
    }

    /// What the device has, whether or not it answers at present: what is ordered waits for it.
    pub(crate) fn in_any_case(&self, kinds: impl Iterator<Item = ProfileType>) -> Offered {
        let kinds: BTreeSet<ProfileType> = kinds.collect();
        let known: Vec<_> = kinds.iter().filter_map(|it| Some((*it, self.of(*it)?))).collect();
        let mut labels = Map::new();
        for (kind, known) in &known {
            let versions = [("", &known.tool), ("-engine", &known.engine)];
            for (suffix, version) in versions {
                let key = format!("gantry.io/{}{suffix}", kind.name());
                labels.extend(version.clone().map(|it| (key, Value::String(it))));
            }
        }
        let architecture = known.iter().find_map(|(_, it)| it.architecture.clone());
        Offered { kinds, architecture, labels }
    }

    /// What is reported: without the kinds that nothing has run for long. Where none is left all of them
    /// stay, since the signed profile has no word for a device that runs nothing at present.
    pub(crate) fn at_present(&self, kinds: impl Iterator<Item = ProfileType>) -> Offered {
        let mut offered = self.in_any_case(kinds);
        let is_away = |kind: &ProfileType| self.of(*kind).is_some_and(|it| it.is_away);
        let (away, there): (BTreeSet<_>, BTreeSet<_>) =
            offered.kinds.iter().copied().partition(is_away);
        for kind in &away {
            offered.labels.insert(format!("gantry.io/{}", kind.name()), UNAVAILABLE.into());
        }
        if !there.is_empty() {
            offered.kinds = there;
        }
        offered
    }

    fn of(&self, kind: ProfileType) -> Option<&Known> {
        self.0.get(kind.name())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BOTH: [ProfileType; 2] = [ProfileType::Helm, ProfileType::Compose];

    fn compose() -> Offer {
        let text = |it: &str| Some(it.to_owned());
        Offer { tool: text("2.26.1"), engine: text("20.10.24"), architecture: text("arm64") }
    }

    #[test]
    fn versions_are_told_as_labels() {
        let mut offers = Offers::default();
        offers.note(ProfileType::Compose, compose());
        let offered = offers.at_present(BOTH.into_iter());
        assert_eq!(offered.kinds, BTreeSet::from(BOTH), "one that was not asked yet is believed");
        assert_eq!(offered.architecture.as_deref(), Some("arm64"));
        let labels = json!({"gantry.io/compose": "2.26.1", "gantry.io/compose-engine": "20.10.24"});
        assert_eq!(Value::Object(offered.labels), labels);
    }

    #[test]
    fn a_kind_that_is_away_is_not_reported_but_is_still_the_devices() {
        let mut offers = Offers::default();
        offers.note(ProfileType::Compose, compose());
        let before = offers.in_any_case(BOTH.into_iter());
        offers.note_away(ProfileType::Compose);
        let offered = offers.at_present(BOTH.into_iter());
        assert_eq!(offered.kinds, BTreeSet::from([ProfileType::Helm]));
        assert_eq!(offered.labels["gantry.io/compose"], "unavailable");
        assert_eq!(offers.in_any_case(BOTH.into_iter()), before);

        let alone = offers.at_present([ProfileType::Compose].into_iter());
        assert_eq!(alone.kinds, BTreeSet::from([ProfileType::Compose]), "no other is left");
        offers.note(ProfileType::Compose, compose());
        assert_eq!(offers.at_present(BOTH.into_iter()), before);
    }
}
