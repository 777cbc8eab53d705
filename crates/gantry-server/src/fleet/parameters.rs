//! The values that an order sets: how they are read, which of them may not change, and what has changed.

use std::collections::{BTreeMap, BTreeSet};

use fleet_domain::desired_state::ParameterChange;
use margo_contract::application_description::ApplicationDescription;
use margo_contract::configuration::{ParameterFault, as_text};
use serde_json::Value;

use super::FleetError;

/// A value for a parameter.
#[derive(Debug, Clone)]
pub(crate) enum GivenValue {
    /// Null takes back what was set before.
    Typed(Value),
    /// To be read as the parameter's schema says.
    Text(String),
}

/// By parameter.
pub(super) type Values = BTreeMap<String, Value>;

/// What is given, over what was set before and still is a parameter of the application.
pub(super) fn set_over(
    before: &Values,
    description: &ApplicationDescription,
    given: &BTreeMap<String, GivenValue>,
) -> Values {
    let mut set = before.clone();
    set.retain(|name, _| description.parameters.contains_key(name));
    set.extend(given.iter().map(|(name, value)| match value {
        GivenValue::Typed(value) => (name.clone(), value.clone()),
        GivenValue::Text(text) => (name.clone(), description.typed(name, text)),
    }));
    set
}

/// What is set once nulls have taken values back.
pub(super) fn without_nulls(mut set: Values) -> Values {
    set.retain(|_, value| !value.is_null());
    set
}

/// What was installed with `before`, and may not be installed with `after`. Defaults count: another
/// version of the application may have another one.
// margo(CF-8)
pub(super) fn immutable_faults(
    (installed, before): (&ApplicationDescription, &Values),
    (wanted, after): (&ApplicationDescription, &Values),
) -> Vec<ParameterFault> {
    let settings = wanted.configuration.settings.iter();
    settings
        .filter(|(_, setting)| setting.immutable)
        .filter_map(|(name, _)| {
            let old = effective(installed, before, name)?;
            let new = effective(wanted, after, name);
            (new != Some(old)).then(|| ParameterFault {
                parameter: name.clone(),
                value: new.cloned(),
                message: format!(
                    "cannot change once it was used to install; it is {}",
                    as_text(old)
                ),
            })
        })
        .collect()
}

fn effective<'a>(
    description: &'a ApplicationDescription,
    set: &'a Values,
    name: &str,
) -> Option<&'a Value> {
    let default = || description.parameters.get(name)?.default.as_ref();
    set.get(name).filter(|it| !it.is_null()).or_else(default)
}

pub(super) fn changes(before: &Values, after: &Values) -> Vec<ParameterChange> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    changed
        .map(|name| ParameterChange {
            name: name.clone(),
            before: before.get(name).map(as_text),
            after: after.get(name).map(as_text),
        })
        .collect()
}

/// What was kept of values that were given.
pub(super) fn kept(json: &str) -> Result<Values, FleetError> {
    serde_json::from_str(json).map_err(|_| FleetError::Corrupt("set of parameters"))
}

pub(super) fn json(values: &Values) -> String {
    serde_json::to_string(values).expect("a map of JSON values is JSON")
}
