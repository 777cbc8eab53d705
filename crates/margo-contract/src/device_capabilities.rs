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
mod tests {
    use super::*;

    const NEWER: &[u8] = include_bytes!("../tests/fixtures/device-capabilities.json");
    const SIGNED: &[u8] =
        include_bytes!("../tests/fixtures/signed-profile/device-capabilities.json");
    const GATEWAY: &[u8] = include_bytes!("../tests/fixtures/gateway-capabilities.json");

    // margo(C-21, SP-45, SP-51, GW-3)
    #[test]
    fn both_shapes_are_read() {
        let newer = DeviceCapabilities::parse(NEWER).expect("good capabilities");
        assert_eq!(newer.cpus.len(), 2);
        assert_eq!(newer.memory, Some(7680 << 20));
        assert!(newer.deployment_types.contains(&ProfileType::Compose));
        assert_eq!(newer.labels.len(), 3);

        let signed = DeviceCapabilities::parse(SIGNED).expect("good capabilities");
        assert_eq!(signed.deployment_types, BTreeSet::from([ProfileType::Helm]));
        assert_eq!(signed.properties["supportedDeploymentTypes"], json!(["helm"]));
        assert_eq!(signed.cpus, [Cpu { cores: 4.0, architecture: "amd64".to_owned() }]);

        let gateway = DeviceCapabilities::parse(GATEWAY).expect("good capabilities");
        assert!(gateway.deployment_types.is_empty());
    }

    // margo(SP-51, SP-52, X-10)
    #[test]
    fn roles_say_what_a_device_runs_and_architectures_are_alternatives() {
        let mut document: Value = serde_json::from_slice(SIGNED).expect("JSON");
        let mut parse = |role: &str, architectures: Value| {
            document["properties"]["roles"] = json!([role]);
            document["properties"]["resources"]["cpu"] =
                json!({"cores": 4, "architectures": architectures});
            DeviceCapabilities::parse(document.to_string().as_bytes()).expect(role)
        };
        for (role, kind) in [
            ("Standalone Cluster", ProfileType::Helm),
            ("Cluster Leader", ProfileType::Helm),
            ("Standalone Device", ProfileType::Compose),
        ] {
            let read = parse(role, json!(["arm64", "x86_64"]));
            assert_eq!(read.deployment_types, BTreeSet::from([kind]), "{role}");
            assert_eq!(read.properties["supportedRuntimes"], json!(["oci"]));
            assert_eq!(read.properties["otelCollector"], true);
            let cpu = |it: &str| Cpu { cores: 4.0, architecture: it.to_owned() };
            assert_eq!(read.cpus, [cpu("arm64"), cpu("amd64")]);
        }
        assert!(parse("Gateway", json!(["arm"])).deployment_types.is_empty());
    }

    // margo(SP-45)
    #[test]
    fn what_is_written_is_read() {
        let device = HostingDevice {
            id: "press-7".to_owned(),
            vendor: "Example".to_owned(),
            model_number: "EM-100".to_owned(),
            serial_number: "0007".to_owned(),
            cores: 4.0,
            architecture: "amd64".to_owned(),
            memory: 8 << 30,
            storage: 64 << 30,
            peripherals: vec!["camera".to_owned()],
            interfaces: vec!["ethernet".to_owned()],
            deployment_types: BTreeSet::from([ProfileType::Helm, ProfileType::Compose]),
            labels: Map::from_iter([("site".to_owned(), json!("north"))]),
        };
        let read = DeviceCapabilities::parse(device.to_json().to_string().as_bytes())
            .expect("our own document");
        assert_eq!(read.memory, Some(8 << 30));
        assert_eq!(read.deployment_types, device.deployment_types);
        assert_eq!(read.labels["site"], "north");
    }

    // margo(C-20, C-21, C-23, DC-1, DC-3, DC-4, X-11, X-13)
    #[test]
    fn every_value_of_the_specification_is_taken() {
        let mut document: Value = serde_json::from_slice(NEWER).expect("JSON");
        let typed = |types: &[&str]| -> Value {
            types.iter().map(|it| json!({"type": it, "manufacturer": "m", "model": "n"})).collect()
        };
        document["properties"]["cpus"] = ["amd64", "arm64", "arm"]
            .iter()
            .map(|it| json!({"cores": 0.5, "architecture": it}))
            .collect();
        document["properties"]["peripherals"] = typed(&PERIPHERALS);
        document["properties"]["interfaces"] = typed(&INTERFACES);
        document["properties"]["memory"] = json!("59 Gi");
        document["properties"]["supportedRuntimes"] = json!(["oci", "custom"]);
        document["properties"]["supportedDeploymentTypes"] = json!(["helm", "compose", "custom"]);
        let parse = |it: &Value| DeviceCapabilities::parse(it.to_string().as_bytes());
        let read = parse(&document).expect("good capabilities");
        assert_eq!((read.cpus.len(), read.memory), (3, Some(59 << 30)));
        for (unit, bits) in [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)]
        {
            document["properties"]["storage"] = json!(format!("3{unit}"));
            assert_eq!(parse(&document).expect("a quantity").storage, Some(3_u128 << bits));
        }
        document["labels"] = json!({"a": true, "B": 1.5, "example.com/c": ["x", "y"], "d": [1, 2]});
        assert_eq!(parse(&document).expect("good labels").labels.len(), 4);
        document["labels"] = json!({});
        assert_eq!(parse(&document).expect_err("custom").faults()[0].field, "labels");
    }

    // margo(EX-4, X-12)
    #[test]
    fn what_nobody_asked_for_at_the_root_does_no_harm() {
        let mut document: Value = serde_json::from_slice(NEWER).expect("JSON");
        let plain = DeviceCapabilities::parse(document.to_string().as_bytes());
        document["apiVersion"] = json!("device.margo.org/v1alpha1");
        document["kind"] = json!("DeviceCapabilitiesManifest");
        document["x-dockworks-extensions"] = json!({"crane": {"reach": 40}});
        assert_eq!(DeviceCapabilities::parse(document.to_string().as_bytes()), plain);
        assert!(plain.is_ok());
    }

    // margo(C-20)
    #[test]
    fn whoever_has_anything_of_a_host_is_a_host() {
        let faults = |document: &Value| -> Vec<String> {
            match DeviceCapabilities::parse(document.to_string().as_bytes()) {
                Ok(_) => Vec::new(),
                Err(error) => error.faults().iter().map(|it| it.field.clone()).collect(),
            }
        };
        let mut gateway: Value = serde_json::from_slice(GATEWAY).expect("JSON");
        assert_eq!(faults(&gateway), Vec::<String>::new());
        gateway["properties"]["memory"] = json!("4Gi");
        let missing = [
            "properties.otelCollector",
            "properties.supportedRuntimes",
            "properties.supportedDeploymentTypes",
        ];
        assert_eq!(faults(&gateway), missing);

        let mut host: Value = serde_json::from_slice(NEWER).expect("JSON");
        let properties = host["properties"].as_object_mut().expect("an object");
        for resource in ["cpus", "memory", "storage", "peripherals", "interfaces"] {
            properties.remove(resource);
        }
        assert_eq!(faults(&host), Vec::<String>::new(), "a sample of the specification has none");
        let mut signed: Value = serde_json::from_slice(SIGNED).expect("JSON");
        signed["properties"].as_object_mut().expect("an object").remove("resources");
        assert_eq!(faults(&signed), ["properties.resources"]);
    }

    // margo(C-20, DC-1, DC-2, DC-3, DC-4, SP-55)
    #[test]
    fn each_broken_rule_names_its_field() {
        for (document, pointer, value, field) in [
            (SIGNED, "/kind", json!("Device"), "kind"),
            (SIGNED, "/properties/id", json!("a b"), "properties.id"),
            (SIGNED, "/properties/vendor", Value::Null, "properties.vendor"),
            (SIGNED, "/properties/roles", json!(["King"]), "properties.roles"),
            (SIGNED, "/properties/roles", json!([]), "properties.roles"),
            (SIGNED, "/properties/resources/memory", json!("7"), "properties.resources.memory"),
            (
                SIGNED,
                "/properties/resources/cpu/cores",
                json!("4"),
                "properties.resources.cpu.cores",
            ),
            (
                SIGNED,
                "/properties/resources/cpu/architectures",
                json!(["riscv"]),
                "properties.resources.cpu.architectures",
            ),
            (
                SIGNED,
                "/properties/resources/peripherals/0/type",
                json!("oven"),
                "properties.resources.peripherals[0].type",
            ),
            (NEWER, "/properties/otelCollector", json!(false), "properties.otelCollector"),
            (NEWER, "/properties/supportedRuntimes", json!([]), "properties.supportedRuntimes"),
            (
                NEWER,
                "/properties/supportedDeploymentTypes",
                json!(["vm"]),
                "properties.supportedDeploymentTypes",
            ),
            (NEWER, "/properties/interfaces/0/type", json!("nic"), "properties.interfaces[0].type"),
            (NEWER, "/labels", json!({"a": {}}), "labels.a"),
            (NEWER, "/labels", json!({"a": ["b", 1]}), "labels.a"),
            (NEWER, "/properties/peripherals/0/model", json!(7), "properties.peripherals[0].model"),
            (NEWER, "/properties/memory", json!("59 Zi"), "properties.memory"),
            (
                NEWER,
                "/properties/cpus/0/architecture",
                json!("mips"),
                "properties.cpus[0].architecture",
            ),
        ] {
            let mut document: Value = serde_json::from_slice(document).expect("JSON");
            *document.pointer_mut(pointer).expect("the field is there") = value;
            let error =
                DeviceCapabilities::parse(document.to_string().as_bytes()).expect_err(field);
            assert!(error.faults().iter().any(|it| it.field == field), "{field}: {error}");
        }
    }
}
