//! The application deployment: the document that orders one application on one device (contract §8).
//! Read in both shapes, written in that of the signed profile.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::application_description::{Target, is_parameter_value, read_target};
use crate::component::{self, Component, ProfileType};
use crate::device_constraints::DeviceConstraints;
use crate::document::{self, DocumentError, Node};
use crate::yaml::{self, UnwritableYaml};

const API_VERSION: &str = "application.margo.org/v1alpha1";
const KIND: &str = "ApplicationDeployment";

/// One application on one device.
#[derive(Debug, Clone, PartialEq)]
pub struct ApplicationDeployment {
    pub id: Uuid,
    pub application_id: String,
    /// A Kubernetes object name, chosen by the fleet manager.
    pub name: String,
    pub namespace: String,
    // margo(DD-2, SP-54)
    /// The signed profile leaves it out: then it is the client's only device.
    pub device_id: Option<String>,
    pub kind: ProfileType,
    /// In the order of installation, margo(AD-2).
    pub components: Vec<Component>,
    pub constraints: DeviceConstraints,
    pub constraints_as_written: Option<Value>,
    pub profile_extensions: Map<String, Value>,
    pub parameters: BTreeMap<String, SetParameter>,
}

/// A parameter with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct SetParameter {
    pub value: Value,
    pub targets: Vec<Target>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Metadata<'a>,
    spec: Spec<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    annotations: Value,
    name: &'a str,
    namespace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    deployment_profile: Map<String, Value>,
    parameters: BTreeMap<&'a str, Value>,
}

impl ApplicationDeployment {
    /// Reads and checks a document of either shape.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        document::read(&yaml::parse(bytes)?, read)
    }

    /// The document in the shape of the signed profile. Equal deployments give equal text.
    // margo(SP-43, SP-11, G-4)
    pub fn to_yaml(&self) -> Result<String, UnwritableYaml> {
        let mut profile = Map::new();
        profile.insert("type".to_owned(), self.kind.name().into());
        profile.insert("components".to_owned(), self.components.iter().map(written).collect());
        if let Some(constraints) = &self.constraints_as_written {
            profile.insert("deviceConstraints".to_owned(), constraints.clone());
        }
        profile.extend(self.profile_extensions.clone());
        let parameters = self.parameters.iter().map(|(name, parameter)| {
            let targets: Vec<Value> = parameter
                .targets
                .iter()
                .map(|it| json!({"pointer": it.pointer, "components": it.components}))
                .collect();
            (name.as_str(), json!({"value": parameter.value, "targets": targets}))
        });
        yaml::write(&Written {
            api_version: API_VERSION,
            kind: KIND,
            metadata: Metadata {
                annotations: json!({
                    "id": self.id.to_string(), "applicationId": self.application_id,
                }),
                name: &self.name,
                namespace: &self.namespace,
                device_id: self.device_id.as_deref(),
            },
            spec: Spec { deployment_profile: profile, parameters: parameters.collect() },
        })
    }

    /// The values that go to one component, by pointer.
    pub fn values_of(&self, component: &str) -> BTreeMap<String, &Value> {
        let parameters = self.parameters.values();
        parameters
            .flat_map(|parameter| parameter.targets.iter().map(move |it| (it, &parameter.value)))
            .filter(|(target, _)| target.components.iter().any(|it| it == component))
            .map(|(target, value)| (target.pointer.clone(), value))
            .collect()
    }
}

fn written(component: &Component) -> Value {
    let mut written = Map::new();
    written.insert("name".to_owned(), component.name.as_str().into());
    written.insert("properties".to_owned(), component::properties(component).into());
    written.extend(component.extensions.clone());
    Value::Object(written)
}

// margo(DD-1, SP-11, SP-43, X-15, EX-3)
fn read(root: &Node<'_>) -> Option<ApplicationDeployment> {
    if let Some(kind) = root.get_text("kind").filter(|it| it != KIND) {
        root.fault_of("kind", format!("`{kind}` has to be {KIND}"));
    }
    let metadata = root.need("metadata")?;
    let spec = root.need("spec")?;
    let annotations = metadata.get("annotations");
    let annotated = |key| annotations.as_ref().and_then(|it| it.get_text(key));
    let id = one_of(root, "id", [root.get_text("id"), annotated("id")])?;
    let parsed = Uuid::try_parse(&id).ok();
    if parsed.is_none() {
        root.fault_of("id", format!("`{id}` has to be a UUID"));
    }
    let application_id = one_of(
        &spec,
        "applicationId",
        [spec.get_text("applicationId"), annotated("applicationId")],
    )?;
    let name = metadata.need_text("name");
    let namespace = metadata.get_text("namespace").unwrap_or_else(|| "default".to_owned());

    let profile = spec.need("deploymentProfile")?;
    let kind = component::profile_type(&profile)?;
    let components = component::components(&profile, kind);
    let constraints = profile.get("deviceConstraints");
    let parameters = spec.get("parameters").map(|it| it.fields()).unwrap_or_default();
    Some(ApplicationDeployment {
        id: parsed?,
        application_id,
        name: name?,
        namespace,
        device_id: metadata.get_text("deviceId"),
        kind,
        components,
        constraints: constraints.as_ref().map(DeviceConstraints::read).unwrap_or_default(),
        constraints_as_written: constraints.map(|it| it.value().clone()),
        profile_extensions: profile.extensions(),
        parameters: parameters
            .into_iter()
            .filter_map(|(name, it)| Some((name.to_owned(), read_parameter(&it)?)))
            .collect(),
    })
}

// margo(X-20): read from every place; two that differ are an error.
fn one_of(node: &Node<'_>, key: &str, found: [Option<String>; 2]) -> Option<String> {
    match found {
        [Some(one), Some(other)] if one != other => {
            node.fault_of(key, format!("`{one}` and `{other}` contradict each other"));
            None
        }
        [Some(one), _] | [None, Some(one)] => Some(one),
        [None, None] => {
            node.fault_of(key, "is missing");
            None
        }
    }
}

// margo(DD-3, X-21)
fn read_parameter(node: &Node<'_>) -> Option<SetParameter> {
    let value = node.need("value")?;
    if !is_parameter_value(value.value()) {
        value.fault("has to be text, a number, true or false, or a list of one of these");
    }
    let targets = node.need("targets")?.items().iter().filter_map(read_target).collect();
    Some(SetParameter { value: value.value().clone(), targets })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWER: &str = include_str!("../tests/fixtures/application-deployment-helm.yaml");
    const SIGNED: &str =
        include_str!("../tests/fixtures/signed-profile/application-deployment-compose.yaml");
    const SIGNED_HELM: &str =
        include_str!("../tests/fixtures/signed-profile/application-deployment-helm-v3.yaml");

    fn parse(text: &str) -> ApplicationDeployment {
        ApplicationDeployment::parse(text.as_bytes()).expect("a good deployment")
    }

    // margo(X-15, DD-1, DD-2, DD-3, G-4, SP-11, SP-43, SP-48)
    #[test]
    fn both_shapes_are_read() {
        let newer = parse(NEWER);
        assert_eq!(newer.device_id.as_deref(), Some("edge-berth-07"));
        assert_eq!(newer.components.len(), 2);
        let values = newer.values_of("gauge-core");
        assert_eq!(values["sampling.periodSeconds"], &json!(30));
        assert_eq!(values["alarm.channels"], &json!(["siren", "lamp"]));
        assert!(!newer.values_of("gauge-store").contains_key("alarm.channels"));

        let signed = parse(SIGNED);
        assert_eq!(signed.id.to_string(), "c2f8a9d4-61b3-4e77-8a0c-3e94d75b1c22");
        assert_eq!(signed.application_id, "tidewater-gauge");
        assert_eq!(signed.kind, ProfileType::Compose);
        assert_eq!(parse(SIGNED_HELM).kind, ProfileType::Helm, "helm.v3 with wait: \"true\"");
    }

    // margo(X-21, P-6, CP-2)
    #[test]
    fn parameters_may_be_missing_and_one_component_may_stand_without_a_list() {
        let scalar = SIGNED.replacen("components: [gauge-box]", "components: gauge-box", 1);
        assert_ne!(scalar, SIGNED);
        assert_eq!(parse(&scalar), parse(SIGNED));
        let (without, _) = SIGNED.split_once("  parameters:").expect("it has parameters");
        let parsed = parse(without);
        assert!(parsed.parameters.is_empty());
        assert_eq!(parsed.components[0].timeout, parse(SIGNED).components[0].timeout);
    }

    // margo(G-4, SP-43, DD-1)
    #[test]
    fn what_is_written_is_read_the_same() {
        for text in [NEWER, SIGNED, SIGNED_HELM] {
            let deployment = parse(text);
            let written = deployment.to_yaml().expect("it can be written");
            assert_eq!(parse(&written), deployment, "{written}");
            assert_eq!(parse(&written).to_yaml().expect("it can be written"), written);
            assert!(written.contains("apiVersion: application.margo.org/v1alpha1"), "{written}");
        }
    }

    // margo(DD-1, DD-3, X-20)
    #[test]
    fn each_broken_rule_names_its_field() {
        for (text, from, to, field) in [
            (SIGNED, "id: c2f8a9d4-61b3-4e77-8a0c-3e94d75b1c22", "id: seven", "id"),
            (SIGNED, "kind: ApplicationDeployment", "kind: Deployment", "kind"),
            (SIGNED, "    applicationId: tidewater-gauge\n", "", "spec.applicationId"),
            (
                SIGNED,
                "      - name: gauge-box",
                "      - name: Gauge",
                "spec.deploymentProfile.components[0].name",
            ),
            (SIGNED, "value: QUA02", "value: {a: b}", "spec.parameters.siteCode.value"),
            (NEWER, "applicationId: tidewater-gauge", "applicationId: 7", "spec.applicationId"),
        ] {
            assert!(text.contains(from), "{from}");
            let spoiled = text.replacen(from, to, 1);
            let error = ApplicationDeployment::parse(spoiled.as_bytes()).expect_err(field);
            assert!(error.faults().iter().any(|it| it.field == field), "{field}: {error}");
        }
        let contradiction =
            SIGNED.replace("kind: App", "id: 00000000-0000-4000-8000-000000000001\nkind: App");
        assert!(ApplicationDeployment::parse(contradiction.as_bytes()).is_err());
    }
}
