//! The application description, `margo.yaml`: what an application is made of and how it can be
//! configured (contract §12). Read in the newer shape and in that of the signed profile.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::component::{self, Component, ProfileType};
use crate::configuration::{self, Configuration};
use crate::device_constraints::DeviceConstraints;
use crate::document::{self, DocumentError, Node};
use crate::yaml;

/// One version of one application.
#[derive(Debug, Clone, PartialEq)]
pub struct ApplicationDescription {
    /// 1 to 200 lower-case letters, digits and dashes.
    pub id: String,
    /// What people call it.
    pub name: String,
    pub version: String,
    pub description: Option<String>,
    /// In the author's order, which is the order of preference, margo(AP-5).
    pub profiles: Vec<Profile>,
    pub parameters: BTreeMap<String, Parameter>,
    pub configuration: Configuration,
    /// Files of the package that the catalogue names.
    pub resources: Vec<String>,
}

/// One way to run the application.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    pub kind: ProfileType,
    pub id: String,
    pub components: Vec<Component>,
    pub constraints: DeviceConstraints,
    /// The constraints as they were written; a deployment carries them unchanged, margo(DD-1).
    pub constraints_as_written: Option<Value>,
    pub extensions: Map<String, Value>,
}

/// A value that can be set, and where it goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    pub default: Option<Value>,
    pub targets: Vec<Target>,
}

/// Where a value goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Helm: a path into the values. Compose: the name of an environment variable.
    pub pointer: String,
    pub components: Vec<String>,
}

impl ApplicationDescription {
    /// Reads and checks a description.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        document::read(&yaml::parse(bytes)?, read)
    }

    /// The profile with this id.
    pub fn profile(&self, id: &str) -> Option<&Profile> {
        self.profiles.iter().find(|it| it.id == id)
    }
}

// margo(DE-1, SP-42, X-12, X-22, X-28, EX-1)
fn read(root: &Node<'_>) -> Option<ApplicationDescription> {
    check_generation(root);
    let metadata = root.need("metadata")?;
    let id_holder = if root.get("id").is_some() { root } else { &metadata };
    let id = id_holder.need_text("id");
    if let Some(id) = &id {
        let fits = id.len() <= 200
            && id.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-');
        if !fits {
            id_holder.fault_of("id", "has to be 1 to 200 lower-case letters, digits and dashes");
        }
    }
    let name = metadata.need_text("name");
    if name.as_ref().is_some_and(|it| it.contains('\0')) {
        metadata.fault_of("name", "has a NUL character");
    }
    let version = metadata.need_text("version");
    let resources = read_catalog(&metadata);

    let profiles = root.need("deploymentProfiles").map(|it| it.items()).unwrap_or_default();
    if profiles.is_empty() {
        root.fault_of("deploymentProfiles", "needs one profile or more");
    }
    let profiles: Vec<Profile> = profiles.iter().filter_map(read_profile).collect();
    let mut ids = BTreeSet::new();
    if let Some(twice) = profiles.iter().find(|it| !ids.insert(&it.id)) {
        root.fault_of("deploymentProfiles", format!("has the id `{}` twice", twice.id));
    }

    let parameters = read_parameters(root);
    let configuration = configuration::read(root, &parameters);
    Some(ApplicationDescription {
        id: id?,
        name: name?,
        version: version?,
        description: metadata.get_text("description"),
        profiles,
        parameters,
        configuration,
        resources,
    })
}

// margo(SP-42, SP-47, G-4)
fn check_generation(root: &Node<'_>) {
    let api_version = root.need_text("apiVersion");
    match (api_version.as_deref(), root.get_text("kind").as_deref()) {
        (Some("v1") | None, None | Some("ApplicationDescription")) => {}
        (Some("margo.org/v1-alpha1"), Some("ApplicationDescription" | "application")) => {}
        (Some("margo.org/v1-alpha1"), None) => root.fault_of("kind", "is missing"),
        (Some("v1" | "margo.org/v1-alpha1") | None, Some(_)) => {
            root.fault_of("kind", "has to be ApplicationDescription");
        }
        (Some(other), _) => {
            root.fault_of("apiVersion", format!("`{other}` is not v1 or margo.org/v1-alpha1"));
        }
    }
}

// margo(DE-1)
fn read_catalog(metadata: &Node<'_>) -> Vec<String> {
    let Some(catalog) = metadata.need("catalog") else { return Vec::new() };
    let organizations = catalog.need("organization").map(|it| it.items()).unwrap_or_default();
    for organization in &organizations {
        organization.need_text("name");
    }
    for author in catalog.items_of("author") {
        author.get_text("name");
        author.get_text("email");
    }
    let Some(application) = catalog.get("application") else { return Vec::new() };
    ["descriptionFile", "icon", "licenseFile", "releaseNotes"]
        .into_iter()
        .filter_map(|key| application.get_text(key))
        .filter(|file| !file.contains("://"))
        .collect()
}

// margo(DE-2, SP-42, EX-2)
fn read_profile(node: &Node<'_>) -> Option<Profile> {
    let kind = component::profile_type(node);
    let id = node.need_text("id");
    let components = component::components(node, kind?);
    let constraints_as_written = node.get("deviceConstraints").map(|it| it.value().clone());
    let constraints = match (node.get("deviceConstraints"), node.get("requiredResources")) {
        (Some(constraints), _) => DeviceConstraints::read(&constraints),
        (None, Some(resources)) => DeviceConstraints::read_required_resources(&resources),
        (None, None) => DeviceConstraints::default(),
    };
    Some(Profile {
        kind: kind?,
        id: id?,
        components,
        constraints,
        constraints_as_written,
        extensions: node.extensions(),
    })
}

// margo(DE-3)
fn read_parameters(root: &Node<'_>) -> BTreeMap<String, Parameter> {
    let components = component_names(root);
    let mut taken = BTreeSet::new();
    let mut parameters = BTreeMap::new();
    for (name, node) in root.get("parameters").map(|it| it.fields()).unwrap_or_default() {
        let default = node.get("value").map(|it| it.value().clone());
        if default.as_ref().is_some_and(|it| !is_parameter_value(it)) {
            node.fault_of(
                "value",
                "has to be text, a number, true or false, or a list of one of these",
            );
        }
        let targets: Vec<Target> = node
            .need("targets")
            .map(|it| it.items())
            .unwrap_or_default()
            .iter()
            .filter_map(read_target)
            .collect();
        for (target, place) in
            targets.iter().flat_map(|it| it.components.iter().map(move |place| (it, place)))
        {
            if !components.contains(place.as_str()) {
                node.fault_of("targets", format!("there is no component `{place}`"));
            }
            // margo(PA-5)
            if !taken.insert((place.clone(), target.pointer.clone())) {
                let message =
                    format!("`{}` of `{place}` is the target of two parameters", target.pointer);
                node.fault_of("targets", message);
            }
        }
        parameters.insert(name.to_owned(), Parameter { default, targets });
    }
    parameters
}

/// Also those of components with faults: these are told where they are, and not again at each target.
fn component_names<'a>(root: &Node<'a>) -> BTreeSet<&'a str> {
    let profiles = root.value()["deploymentProfiles"].as_array().into_iter().flatten();
    let components = profiles.flat_map(|it| it["components"].as_array().into_iter().flatten());
    components.filter_map(|it| it["name"].as_str()).collect()
}

/// Reads one target; the prefix `ENV.` of the oldest documents is dropped, margo(SP-47, SP-49).
pub(crate) fn read_target(node: &Node<'_>) -> Option<Target> {
    let pointer = node.need_text("pointer")?;
    let pointer = pointer.strip_prefix("ENV.").unwrap_or(&pointer).to_owned();
    let components = node.need("components").map(|_| node.texts_of("components"))?;
    Some(Target { pointer, components })
}

/// Whether a value is a scalar, or a list of scalars of one type, margo(DE-3, DD-3).
pub(crate) fn is_parameter_value(value: &Value) -> bool {
    let kind = |it: &Value| match it {
        Value::String(_) => Some(0),
        Value::Number(_) => Some(1),
        Value::Bool(_) => Some(2),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    match value {
        Value::Array(items) => {
            let kinds: BTreeSet<_> = items.iter().map(kind).collect();
            kinds.len() <= 1 && !kinds.contains(&None)
        }
        scalar => kind(scalar).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWER: &str = include_str!("../tests/fixtures/application-description.yaml");
    const SIGNED: &str =
        include_str!("../tests/fixtures/signed-profile/application-description.yaml");

    // margo(SP-42, SP-44, SP-48, DE-1, DE-2, CP-2)
    #[test]
    fn both_shapes_are_read() {
        let newer = ApplicationDescription::parse(NEWER.as_bytes()).expect("a good description");
        assert_eq!((newer.id.as_str(), newer.version.as_str()), ("tidewater-gauge", "2.4.0"));
        assert_eq!(newer.profiles.len(), 2);
        assert_eq!(newer.profiles[0].components[1].timeout, Some(210));
        assert!(newer.profiles[0].constraints_as_written.is_some());
        assert_eq!(newer.parameters.len(), 10);
        assert_eq!(newer.resources.len(), 4);
        assert!(newer.profiles[1].components[0].extensions.contains_key("x-dockworks-extensions"));

        let signed = ApplicationDescription::parse(SIGNED.as_bytes()).expect("a good description");
        assert_eq!(signed.id, "tidewater-gauge");
        assert_eq!(signed.profiles[0].kind, ProfileType::Helm);
        assert!(matches!(
            &signed.profiles[1].components[0].source,
            component::Source::Package { key_location: Some(_), .. }
        ));
    }

    // margo(DE-1, DE-2, DE-3, DE-4, P-6, CP-1, CP-2, PA-5, CF-9, X-12)
    #[test]
    fn each_broken_rule_names_its_field() {
        for (from, to, field) in [
            ("apiVersion: v1", "apiVersion: v9", "apiVersion"),
            ("id: tidewater-gauge\n", "id: Tidewater.Gauge\n", "id"),
            ("type: compose", "type: helmchart", "deploymentProfiles[1].type"),
            ("id: tidewater-gauge-compose", "id: tidewater-gauge-kubernetes", "deploymentProfiles"),
            (
                "revision: 1.7.2",
                "revision: v1.7.2",
                "deploymentProfiles[0].components[0].properties.revision",
            ),
            (
                "revision: 1.7.2",
                "revision: 1.7",
                "deploymentProfiles[0].components[0].properties.revision",
            ),
            (
                "oci://registry.tidewater.example/charts/gauge-store",
                "http://x",
                "deploymentProfiles[0].components[0].properties.repository",
            ),
            (
                "timeout: 6m0s",
                "timeout: 360",
                "deploymentProfiles[0].components[0].properties.timeout",
            ),
            (
                "components: [gauge-store, gauge-core]",
                "components: [gauge-shop]",
                "parameters.siteCode.targets",
            ),
            ("pointer: AUDIT_TRAIL", "pointer: SITE_CODE", "parameters.siteCode.targets"),
            (
                "- parameter: datum",
                "- parameter: date",
                "configuration.sections[0].settings[1].parameter",
            ),
            ("schema: yesNo", "schema: yesno", "configuration.sections[0].settings[2].schema"),
            ("dataType: integer", "dataType: int", "configuration.schema[2].dataType"),
            ("regexMatch: ^[A-Z]{3}", "regexMatch: ^[A-Z{3}", "configuration.schema[0].regexMatch"),
            (
                "memory: 1024Mi",
                "memory: 1024",
                "deploymentProfiles[0].deviceConstraints.capacityRequirements.memory",
            ),
            (
                "operator: Exists",
                "operator: Is",
                "deploymentProfiles[0].deviceConstraints.eligibilityRules[0].labelSelector.matchExpressions[0].operator",
            ),
        ] {
            assert!(NEWER.contains(from), "{from}");
            let spoiled = NEWER.replacen(from, to, 1);
            let error = ApplicationDescription::parse(spoiled.as_bytes()).expect_err(field);
            let fields: Vec<&str> = error.faults().iter().map(|it| it.field.as_str()).collect();
            assert!(fields.contains(&field), "{field}: {error}");
        }
    }

    // margo(SP-47, SP-48, SP-49)
    #[test]
    fn descriptions_of_2024_are_read() {
        let text = "apiVersion: margo.org/v1-alpha1\nkind: application\nmetadata:\n  id: gauge\n  \
                    name: Gauge\n  version: 1.0.0\n  catalog: {organization: [{name: Example}]}\n\
                    deploymentProfiles:\n  - type: docker-compose\n    id: gauge-compose\n    \
                    components: [{name: web, properties: {packageLocation: web}}]\n\
                    parameters:\n  site: {targets: [{pointer: ENV.SITE, components: [web]}]}\n";
        let read = ApplicationDescription::parse(text.as_bytes()).expect("a good description");
        assert_eq!(read.profiles[0].kind, ProfileType::Compose);
        assert_eq!(read.parameters["site"].targets[0].pointer, "SITE");
    }

    // margo(SP-42)
    #[test]
    fn a_document_of_another_kind_is_refused() {
        let other =
            SIGNED.replace("kind: ApplicationDescription", "kind: ApplicationSpecification");
        assert!(ApplicationDescription::parse(other.as_bytes()).is_err());
        assert!(matches!(
            ApplicationDescription::parse(b"- a\n"),
            Err(DocumentError::Malformed(_))
        ));
    }
}
