//! What a device is and has (contract §5). Read in the newer shape and in that of the signed
//! profile, which is also what is written.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::component::ProfileType;
use crate::document::{self, DocumentError, Node};
use crate::quantity;

const API_VERSION: &str = "device.margo.org/v1alpha1";
const KIND: &str = "DeviceCapabilitiesManifest";

/// The capabilities of one device.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceCapabilities {
    /// Segments of letters, digits, `.`, `_`, `~` and `-`; children below their gateway.
    pub id: String,
    pub vendor: String,
    pub model_number: String,
    pub serial_number: String,
    /// Entries stand side by side; their cores are never added up, margo(C-24).
    pub cpus: Vec<Cpu>,
    /// Bytes.
    pub memory: Option<u128>,
    /// Bytes.
    pub storage: Option<u128>,
    /// What kinds of components it runs; none for a device that hosts nothing, margo(C-21).
    pub deployment_types: BTreeSet<ProfileType>,
    pub labels: Map<String, Value>,
    /// The properties in the newer shape, for selectors, margo(EL-6).
    pub properties: Value,
}

/// One kind of processor.
#[derive(Debug, Clone, PartialEq)]
pub struct Cpu {
    pub cores: f64,
    pub architecture: String,
}

/// What a client says of the machine that it runs on.
#[derive(Debug, Clone, PartialEq)]
pub struct HostingDevice {
    pub id: String,
    pub vendor: String,
    pub model_number: String,
    pub serial_number: String,
    pub cores: f64,
    pub architecture: String,
    /// Bytes.
    pub memory: u64,
    /// Bytes.
    pub storage: u64,
    /// Types, such as `camera`.
    pub peripherals: Vec<String>,
    /// Types, such as `ethernet`.
    pub interfaces: Vec<String>,
    /// What kinds of components it runs: one or more.
    pub deployment_types: BTreeSet<ProfileType>,
    pub labels: Map<String, Value>,
}

impl DeviceCapabilities {
    /// Reads and checks a document of either shape.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        document::read(&document::json(bytes)?, read)
    }
}

impl DeviceCapabilities {
    /// As [`DeviceCapabilities::parse`]; the document has to be about this device, margo(C-5).
    pub fn parse_about(bytes: &[u8], device: &str) -> Result<Self, DocumentError> {
        document::read(&document::json(bytes)?, |root| {
            let properties = root.get("properties");
            let named = properties.as_ref().and_then(|it| it.value().get("id")?.as_str());
            if let Some(named) = named.filter(|it| *it != device) {
                let message = format!("`{named}` is not the `{device}` of the path");
                root.fault_of("properties.id", message);
            }
            read(root)
        })
    }
}

impl HostingDevice {
    /// The document in the signed profile's shape, which tells by roles what the device runs.
    // margo(SP-45, SP-51)
    pub fn to_json(&self) -> Value {
        let role = |kind: &ProfileType| match kind {
            ProfileType::Compose => Some("Standalone Device"),
            ProfileType::Helm => Some("Standalone Cluster"),
            ProfileType::Custom => None,
        };
        let roles: Vec<&str> = self.deployment_types.iter().filter_map(role).collect();
        let typed = |types: &[String]| -> Vec<Value> {
            types.iter().map(|it| json!({"type": it})).collect()
        };
        let mut document = json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "properties": {
                "id": self.id,
                "vendor": self.vendor,
                "modelNumber": self.model_number,
                "serialNumber": self.serial_number,
                "roles": roles,
                "resources": {
                    "cpu": {"cores": self.cores, "architectures": [self.architecture]},
                    "memory": quantity::in_mebibytes(self.memory),
                    "storage": quantity::in_mebibytes(self.storage),
                    "peripherals": typed(&self.peripherals),
                    "interfaces": typed(&self.interfaces),
                },
            },
        });
        if !self.labels.is_empty() {
            document["labels"] = Value::Object(self.labels.clone());
        }
        document
    }
}

/// One name for each architecture, margo(X-10).
pub(crate) fn architecture(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

// margo(DC-1, DC-2, X-12, EX-4)
fn read(root: &Node<'_>) -> Option<DeviceCapabilities> {
    if let Some(kind) = root.get_text("kind").filter(|it| it != KIND) {
        root.fault_of("kind", format!("`{kind}` has to be {KIND}"));
    }
    root.get_text("apiVersion");
    let node = root.need("properties")?;
    let id = node.need_text("id");
    if let Some(id) = &id
        && !is_device_id(id)
    {
        node.fault_of(
            "id",
            "has to be segments of letters, digits, `.`, `_`, `~`, `-` with `/` between them",
        );
    }
    let vendor = node.need_text("vendor");
    let model_number = node.need_text("modelNumber");
    let serial_number = node.need_text("serialNumber");
    let labels = read_labels(root);
    check_custom(root, &labels);

    let signed_profile = node.get("roles").is_some() || node.get("resources").is_some();
    let hosting = if signed_profile { read_signed_profile(&node) } else { read_newer(&node) };
    let mut properties = json!({
        "id": id, "vendor": vendor, "modelNumber": model_number, "serialNumber": serial_number,
    });
    if let (Some(all), Some(more)) = (properties.as_object_mut(), hosting.properties.as_object()) {
        all.extend(more.clone());
    }
    Some(DeviceCapabilities {
        id: id?,
        vendor: vendor?,
        model_number: model_number?,
        serial_number: serial_number?,
        cpus: hosting.cpus,
        memory: hosting.memory,
        storage: hosting.storage,
        deployment_types: hosting.deployment_types,
        labels,
        properties,
    })
}

#[derive(Default)]
struct Hosting {
    cpus: Vec<Cpu>,
    memory: Option<u128>,
    storage: Option<u128>,
    deployment_types: BTreeSet<ProfileType>,
    properties: Value,
}

const ARCHITECTURES: [&str; 6] = ["amd64", "x86_64", "arm64", "arm", "riscv64", "other"];
const PERIPHERALS: [&str; 6] = ["gpu", "display", "camera", "microphone", "speaker", "other"];
const INTERFACES: [&str; 8] =
    ["ethernet", "wifi", "cellular", "bluetooth", "usb", "canbus", "rs232", "other"];

// margo(C-21, GW-3)
fn read_newer(node: &Node<'_>) -> Hosting {
    const HOSTING: [&str; 8] = [
        "cpus",
        "memory",
        "storage",
        "peripherals",
        "interfaces",
        "otelCollector",
        "supportedRuntimes",
        "supportedDeploymentTypes",
    ];
    let present: Vec<&str> = HOSTING.into_iter().filter(|key| node.get(key).is_some()).collect();
    if present.is_empty() {
        return Hosting { properties: json!({}), ..Hosting::default() };
    }
    // margo(C-20)
    if node.get("otelCollector").is_none_or(|it| it.value() != &Value::Bool(true)) {
        node.fault_of("otelCollector", "a hosting device reports true");
    }
    let named = |key, known: &[&str]| -> Vec<String> {
        let names = node.texts_of(key);
        if names.is_empty() {
            node.fault_of(key, "needs one entry or more");
        }
        for unknown in names.iter().filter(|it| !known.contains(&it.as_str())) {
            node.fault_of(key, format!("`{unknown}` is not one of {}", known.join(", ")));
        }
        names
    };
    named("supportedRuntimes", &["oci", "custom"]);
    let types = named("supportedDeploymentTypes", &["helm", "helm.v3", "compose", "custom"]);
    let cpus = node
        .items_of("cpus")
        .iter()
        .filter_map(|cpu| read_cpu(cpu, "architecture"))
        .flatten()
        .collect();
    check_types(node, "peripherals", &PERIPHERALS);
    check_types(node, "interfaces", &INTERFACES);
    let properties = present.iter().map(|key| ((*key).to_owned(), node.value()[*key].clone()));
    Hosting {
        cpus,
        memory: read_quantity(node, "memory"),
        storage: read_quantity(node, "storage"),
        deployment_types: types.iter().filter_map(|it| ProfileType::parse(it)).collect(),
        properties: Value::Object(properties.collect()),
    }
}

// margo(SP-45, SP-51, SP-55)
fn read_signed_profile(node: &Node<'_>) -> Hosting {
    let mut deployment_types = BTreeSet::new();
    let roles = node.need("roles").map(|_| node.texts_of("roles")).unwrap_or_default();
    if roles.is_empty() {
        node.fault_of("roles", "needs one role or more");
    }
    for role in &roles {
        match role.as_str() {
            "Standalone Cluster" | "Cluster Leader" => drop(deployment_types.insert(ProfileType::Helm)),
            "Standalone Device" => drop(deployment_types.insert(ProfileType::Compose)),
            "Gateway" => {}
            other => node.fault_of(
                "roles",
                format!("`{other}` is not one of Standalone Cluster, Cluster Leader, Standalone Device, Gateway"),
            ),
        }
    }
    let Some(resources) = node.get("resources") else {
        if !deployment_types.is_empty() {
            node.fault_of("resources", "is missing for a device that hosts workloads");
        }
        return Hosting { deployment_types, properties: json!({}), ..Hosting::default() };
    };
    let cpu = resources.need("cpu");
    let architectures = if cpu.as_ref().is_some_and(|it| it.get("architectures").is_some()) {
        "architectures"
    } else {
        "architecture"
    };
    let cpus: Vec<Cpu> = cpu.and_then(|it| read_cpu(&it, architectures)).unwrap_or_default();
    for key in ["memory", "storage"] {
        resources.need(key);
    }
    check_types(&resources, "peripherals", &PERIPHERALS);
    check_types(&resources, "interfaces", &INTERFACES);
    let entries: Vec<Value> =
        cpus.iter().map(|it| json!({"cores": it.cores, "architecture": it.architecture})).collect();
    let types: Vec<&str> = deployment_types.iter().map(|it| it.name()).collect();
    let mut properties = json!({
        "cpus": entries,
        "otelCollector": true,
        "supportedRuntimes": ["oci"],
        "supportedDeploymentTypes": types,
    });
    for key in ["memory", "storage", "peripherals", "interfaces"] {
        if let Some(value) = resources.get(key) {
            properties[key] = value.value().clone();
        }
    }
    Hosting {
        cpus,
        memory: read_quantity(&resources, "memory"),
        storage: read_quantity(&resources, "storage"),
        deployment_types,
        properties,
    }
}

/// One entry for each architecture, with the same cores: alternatives.
// margo(SP-52, SP-55, DC-4)
fn read_cpu(node: &Node<'_>, architectures: &str) -> Option<Vec<Cpu>> {
    let cores = node.need("cores")?;
    let count = cores.value().as_f64().filter(|it| *it > 0.0);
    if count.is_none() {
        cores.fault("has to be a number above 0");
    }
    let names = node.need(architectures).map(|_| node.texts_of(architectures))?;
    for name in names.iter().filter(|it| !ARCHITECTURES.contains(&it.as_str())) {
        node.fault_of(
            architectures,
            format!("`{name}` is not one of {}", ARCHITECTURES.join(", ")),
        );
    }
    let count = count?;
    Some(
        names
            .iter()
            .map(|it| Cpu { cores: count, architecture: architecture(it).to_owned() })
            .collect(),
    )
}

/// A custom runtime or type means nothing by itself, margo(C-23).
fn check_custom(root: &Node<'_>, labels: &Map<String, Value>) {
    let custom = |key: &str| {
        let named = root.value()["properties"][key].as_array();
        named.is_some_and(|it| it.iter().any(|it| it == "custom"))
    };
    if labels.is_empty() && (custom("supportedRuntimes") || custom("supportedDeploymentTypes")) {
        root.fault_of("labels", "is missing for a device with a custom runtime or type");
    }
}

// margo(DC-3)
fn read_quantity(node: &Node<'_>, key: &str) -> Option<u128> {
    let text = node.get_text(key)?;
    let amount = quantity::parse(&text);
    if amount.is_none() {
        node.fault_of(
            key,
            format!("`{text}` has to be a whole number with Ki, Mi, Gi, Ti, Pi or Ei"),
        );
    }
    amount
}

// margo(DC-4, X-11)
fn check_types(node: &Node<'_>, key: &str, known: &[&str]) {
    for item in node.items_of(key) {
        if let Some(kind) = item.need_text("type").filter(|it| !known.contains(&it.as_str())) {
            item.fault_of("type", format!("`{kind}` is not one of {}", known.join(", ")));
        }
        for said in ["manufacturer", "model"] {
            item.get_text(said);
        }
    }
}

// margo(DC-1)
fn read_labels(root: &Node<'_>) -> Map<String, Value> {
    let Some(labels) = root.get("labels") else { return Map::new() };
    for (_, label) in labels.fields() {
        let value = label.value();
        let list_fits = value.as_array().is_none_or(|items| {
            items.iter().all(Value::is_string) || items.iter().all(Value::is_number)
        });
        if value.is_object() || !list_fits {
            label.fault("has to be text, a number, true or false, or a list of texts or numbers");
        }
    }
    labels.value().as_object().cloned().unwrap_or_default()
}

// margo(DC-2, GW-1)
fn is_device_id(id: &str) -> bool {
    id.len() <= 255
        && id.split('/').all(|segment| {
            !segment.is_empty()
                && segment.bytes().all(|it| it.is_ascii_alphanumeric() || b"._~-".contains(&it))
        })
}

#[cfg(test)]
mod tests;
