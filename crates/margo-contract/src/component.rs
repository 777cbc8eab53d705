//! Components of a deployment profile and what they are made of (contract §10). Descriptions and
//! deployments share them.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::document::Node;

/// How a device runs a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProfileType {
    Helm,
    Compose,
    Custom,
}

/// One Helm chart or Compose package.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Lower-case letters, digits and dashes; unique among its profile's, margo(P-1).
    pub name: String,
    pub source: Source,
    /// Finish this component before the next one starts.
    pub wait: bool,
    /// Seconds after which an unfinished installation has failed; nothing for the client's default.
    pub timeout: Option<u64>,
    pub extensions: Map<String, Value>,
}

/// Where a component's content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An OCI registry, `oci://host/path`, and a tag in it.
    Registry { repository: String, revision: String },
    /// A chart repository of the kind that Helm had before OCI: an https URL below which `index.yaml`
    /// lies, and the version of the chart (a tolerant reading of R-20).
    ChartRepository { repository: String, revision: String },
    /// A tar.gz at a URL, or, for Compose, at a path inside the application package.
    Package { location: String, key_location: Option<String> },
}

impl ProfileType {
    /// Reads a name of any generation, margo(SP-48, X-09).
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "helm" | "helm.v3" => Some(Self::Helm),
            "compose" | "docker-compose" => Some(Self::Compose),
            "custom" => Some(Self::Custom),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Helm => "helm",
            Self::Compose => "compose",
            Self::Custom => "custom",
        }
    }
}

/// Reads the type of a profile.
pub(crate) fn profile_type(node: &Node<'_>) -> Option<ProfileType> {
    let name = node.need_text("type")?;
    let kind = ProfileType::parse(&name);
    if kind.is_none() {
        node.fault_of("type", format!("`{name}` is not one of helm, compose, custom"));
    }
    kind
}

/// Reads the components of a profile of this type.
pub(crate) fn components(node: &Node<'_>, kind: ProfileType) -> Vec<Component> {
    let Some(list) = node.need("components") else { return Vec::new() };
    let items = list.items();
    if items.is_empty() {
        list.fault("needs one component or more");
    }
    let components: Vec<Component> =
        items.iter().filter_map(|item| component(item, kind)).collect();
    let mut seen = BTreeSet::new();
    for component in &components {
        if !seen.insert(&component.name) {
            list.fault(format!("has the component `{}` twice", component.name));
        }
    }
    components
}

/// The name of a component, margo(P-1).
pub(crate) fn read_name(node: &Node<'_>) -> Option<String> {
    let name = node.need_text("name")?;
    if !is_name(&name) {
        node.fault_of("name", "has to be lower-case letters, digits and dashes, 200 at most");
    }
    Some(name)
}

/// Whether a text can name a component.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= 200
        && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
}

fn component(node: &Node<'_>, kind: ProfileType) -> Option<Component> {
    let name = read_name(node)?;
    let properties = node.need("properties")?;
    let source = source(&properties, kind);
    let wait = properties.get("wait").is_none_or(|it| boolean(&it).unwrap_or(true));
    let timeout = properties.get_text("timeout").and_then(|text| {
        let seconds = seconds(&text);
        if seconds.is_none() {
            properties.fault_of("timeout", format!("`{text}` has to look like 5m30s"));
        }
        seconds
    });
    let extensions = node.extensions();
    Some(Component { name, source: source?, wait, timeout, extensions })
}

// margo(CP-1, R-20, SP-44, X-29)
fn source(node: &Node<'_>, kind: ProfileType) -> Option<Source> {
    let has = |key| node.get(key).is_some();
    let is_archive = match kind {
        ProfileType::Compose => !has("repository"),
        ProfileType::Helm => !has("repository") && has("packageLocation"),
        ProfileType::Custom => false,
    };
    if is_archive {
        let location = node.need_text("packageLocation")?;
        if kind == ProfileType::Helm && !has_rest(&location, "https://") {
            node.fault_of("packageLocation", "of a chart has to be an https URL");
        }
        return Some(Source::Package { location, key_location: node.get_text("keyLocation") });
    }
    let repository = node.need_text("repository");
    let revision = node.need_text("revision");
    let (repository, revision) = (repository?, revision?);
    let is_chart_repository = kind == ProfileType::Helm && has_rest(&repository, "https://");
    if !is_chart_repository && !has_rest(&repository, "oci://") {
        let or = if kind == ProfileType::Helm { " or https://" } else { "" };
        node.fault_of("repository", format!("has to start with oci://{or}"));
    }
    // margo(P-4, P-6): `_` stands for `+`, and there is no leading `v`.
    if semver::Version::parse(&revision.replacen('_', "+", 1)).is_err() || revision.contains('+') {
        node.fault_of("revision", format!("`{revision}` is no SemVer version without leading v"));
    }
    Some(match is_chart_repository {
        true => Source::ChartRepository { repository, revision },
        false => Source::Registry { repository, revision },
    })
}

fn has_rest(text: &str, start: &str) -> bool {
    text.strip_prefix(start).is_some_and(|it| !it.is_empty())
}

// margo(SP-43): `wait` is sometimes the text `"true"`.
fn boolean(node: &Node<'_>) -> Option<bool> {
    match node.value() {
        Value::Bool(value) => Some(*value),
        Value::String(text) if text == "true" => Some(true),
        Value::String(text) if text == "false" => Some(false),
        _ => {
            node.fault("has to be true or false");
            None
        }
    }
}

/// `5m30s` in seconds.
// margo(CP-2)
fn seconds(text: &str) -> Option<u64> {
    let (minutes, seconds) = text.strip_suffix('s')?.split_once('m')?;
    let number = |digits: &str| {
        let fits = (1..=6).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit());
        fits.then(|| digits.parse::<u64>().ok()).flatten()
    };
    Some(number(minutes)? * 60 + number(seconds)?)
}

/// The `properties` of a component as they are written.
pub(crate) fn properties(component: &Component) -> Map<String, Value> {
    let mut properties = Map::new();
    match &component.source {
        Source::Registry { repository, revision }
        | Source::ChartRepository { repository, revision } => {
            properties.insert("repository".to_owned(), repository.as_str().into());
            properties.insert("revision".to_owned(), revision.as_str().into());
        }
        Source::Package { location, key_location } => {
            properties.insert("packageLocation".to_owned(), location.as_str().into());
            if let Some(key) = key_location {
                properties.insert("keyLocation".to_owned(), key.as_str().into());
            }
        }
    }
    properties.insert("wait".to_owned(), component.wait.into());
    if let Some(timeout) = component.timeout {
        properties
            .insert("timeout".to_owned(), format!("{}m{}s", timeout / 60, timeout % 60).into());
    }
    properties
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::document;

    // margo(CP-2)
    #[test]
    fn a_timeout_is_minutes_and_seconds() {
        assert_eq!(seconds("5m30s"), Some(330));
        assert_eq!(seconds("0m0s"), Some(0));
        for bad in ["5m", "30s", "m1s", "5m30", "-1m0s", "1h0m0s", "9999999m0s", ""] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    fn read(kind: ProfileType, properties: &Value) -> Result<Source, String> {
        let profile = json!({"components": [{"name": "gauge", "properties": properties}]});
        let components = document::read(&profile, |it| Some(components(it, kind)));
        components.map(|it| it[0].source.clone()).map_err(|it| it.to_string())
    }

    // margo(CP-1, R-20, SP-44, X-29)
    #[test]
    fn charts_also_come_from_chart_repositories_and_archives_but_only_over_https() {
        let of = |repository: &str| json!({"repository": repository, "revision": "1.0.0_b"});
        let (repository, revision) = ("https://charts.example/stable", "1.0.0_b".to_owned());
        let expected = Source::ChartRepository { repository: repository.to_owned(), revision };
        assert_eq!(read(ProfileType::Helm, &of(repository)), Ok(expected.clone()));
        let written = properties(&Component {
            name: "gauge".to_owned(),
            source: expected,
            wait: true,
            timeout: None,
            extensions: Map::new(),
        });
        assert_eq!(
            (&written["repository"], &written["revision"]),
            (&repository.into(), &"1.0.0_b".into())
        );
        for bad in ["http://charts.example", "charts.example", "https://", "oci://", "file:///x"] {
            let error = read(ProfileType::Helm, &of(bad)).expect_err(bad);
            assert!(error.contains("repository: has to start with oci:// or https://"), "{error}");
        }
        assert!(read(ProfileType::Compose, &of(repository)).is_err());
        let at = |location: &str| json!({"packageLocation": location, "keyLocation": "https://k"});
        let archive = read(ProfileType::Helm, &at("https://charts.example/gauge-1.0.0.tgz"));
        assert!(
            matches!(archive, Ok(Source::Package { key_location: Some(_), .. })),
            "{archive:?}"
        );
        assert!(read(ProfileType::Helm, &at("charts/gauge")).is_err());
        assert!(read(ProfileType::Helm, &json!({})).expect_err("nothing").contains("repository"));
    }

    // margo(SP-48, X-09)
    #[test]
    fn the_names_of_all_generations_are_read() {
        for (name, kind) in [
            ("helm.v3", ProfileType::Helm),
            ("docker-compose", ProfileType::Compose),
            ("custom", ProfileType::Custom),
        ] {
            assert_eq!(ProfileType::parse(name), Some(kind));
        }
        assert_eq!(ProfileType::parse("helmchart"), None);
    }
}
