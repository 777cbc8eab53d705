//! How deployments differ between two desired states, and what others ordered meanwhile, for people: versions
//! and parameters.

use operator_api::{ChangeKind, DeploymentChange, EventKind, OrderMeanwhile, ParameterChange};

use crate::table;

/// A paragraph about one deployment.
pub(crate) fn paragraph(change: &DeploymentChange) -> String {
    let (sign, what) = match change.what {
        ChangeKind::Added => ('+', "added"),
        ChangeKind::Removed => ('-', "removed"),
        ChangeKind::Changed => ('~', "changed"),
    };
    let DeploymentChange { name, deployment_id, application_id, .. } = change;
    let mut lines = vec![
        format!("{sign} {name} ({deployment_id}) is {what}"),
        format!("    {application_id} {}", version(change)),
    ];
    lines.extend(change.parameters.iter().map(|it| format!("    {}", parameter(it, change.what))));
    lines.iter().map(|line| table::clean(line) + "\n").collect()
}

/// A line about an order that came first, and one for each parameter.
pub(crate) fn meanwhile(order: &OrderMeanwhile) -> String {
    let OrderMeanwhile { at, by, name, application_id, application_version, .. } = order;
    let what = match order.what {
        EventKind::Withdrawn => format!("withdrew {name}"),
        EventKind::Updated => format!("changed {name} ({application_id} {application_version})"),
        _ => format!("ordered {name} ({application_id} {application_version})"),
    };
    let mut line = format!("  {at} {by} {what}");
    if let Some(revision) = order.rolled_back_to {
        line.push_str(&format!(" with a rollback to revision {revision}"));
    }
    if let Some(reason) = &order.reason {
        line.push_str(&format!(": {reason}"));
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "(not set)".to_owned());
    let parameters = order
        .parameters
        .iter()
        .map(|it| format!("    {}: {} -> {}", it.name, text(&it.before), text(&it.after)));
    std::iter::once(line).chain(parameters).map(|line| table::clean(&line) + "\n").collect()
}

fn version(change: &DeploymentChange) -> String {
    match (change.version_before.as_deref(), change.version_after.as_deref()) {
        (Some(before), Some(after)) if before != after => format!("{before} -> {after}"),
        (before, after) => after.or(before).unwrap_or_default().to_owned(),
    }
}

fn parameter(change: &ParameterChange, what: ChangeKind) -> String {
    let text = |value: &Option<serde_json::Value>| {
        value.as_ref().map_or_else(|| "(not set)".to_owned(), ToString::to_string)
    };
    let (before, after) = (text(&change.before), text(&change.after));
    match what {
        ChangeKind::Added => format!("{} = {after}", change.name),
        ChangeKind::Removed => format!("{} = {before}", change.name),
        ChangeKind::Changed => format!("{}: {before} -> {after}", change.name),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(what: &str, versions: [Option<&str>; 2]) -> DeploymentChange {
        serde_json::from_value(json!({
            "deploymentId": "d-1", "name": "hello", "applicationId": "a", "what": what,
            "versionBefore": versions[0], "versionAfter": versions[1], "parameters": [
                {"name": "greeting", "before": "8080", "after": "Moin\u{1b}[2J"},
                {"name": "port", "before": 8080},
            ],
        }))
        .expect("a change")
    }

    #[test]
    fn a_change_tells_the_version_and_each_value_before_and_after() {
        assert_eq!(
            paragraph(&change("changed", [Some("1"), Some("2")])),
            "~ hello (d-1) is changed\n    a 1 -> 2\n    greeting: \"8080\" -> \"Moin\\u001b[2J\"\n    \
             port: 8080 -> (not set)\n"
        );
        let same = paragraph(&change("changed", [Some("1"), Some("1")]));
        assert!(same.contains("\n    a 1\n"), "{same}");
    }

    #[test]
    fn an_order_that_came_first_tells_who_when_what_and_why() {
        let order = |more: serde_json::Value| {
            let mut order = json!({
                "at": "2026-01-02T12:00:01Z", "by": "bob", "what": "updated", "deploymentId": "d-1",
                "name": "hello", "applicationId": "a", "applicationVersion": "2", "parameters": [],
            });
            let members = more.as_object().expect("an object").clone();
            order.as_object_mut().expect("an object").extend(members);
            meanwhile(&serde_json::from_value(order).expect("an order"))
        };
        let parameters = json!([{"name": "greeting", "before": "Hello", "after": "Moin\u{1b}[2J"},
            {"name": "port", "before": "8080"}]);
        assert_eq!(
            order(json!({"parameters": parameters, "reason": "night shift"})),
            "  2026-01-02T12:00:01Z bob changed hello (a 2): night shift\n    \
             greeting: Hello -> Moin\u{fffd}[2J\n    port: 8080 -> (not set)\n"
        );
        let withdrawn = order(json!({"what": "withdrawn", "rolledBackTo": 7}));
        let expected = "  2026-01-02T12:00:01Z bob withdrew hello with a rollback to revision 7\n";
        assert_eq!(withdrawn, expected);
    }

    #[test]
    fn what_is_added_or_removed_has_one_version_and_one_value() {
        let added = paragraph(&change("added", [None, Some("2")]));
        assert!(added.starts_with("+ hello (d-1) is added\n    a 2\n    greeting = "), "{added}");
        let removed = paragraph(&change("removed", [Some("1"), None]));
        assert!(removed.starts_with("- hello (d-1) is removed\n    a 1\n"), "{removed}");
        assert!(removed.ends_with("    port = 8080\n"), "{removed}");
    }
}
