//! Capabilities of both shapes, good ones and each kind of bad one.

use super::*;

const NEWER: &[u8] = include_bytes!("../../tests/fixtures/device-capabilities.json");
const SIGNED: &[u8] =
    include_bytes!("../../tests/fixtures/signed-profile/device-capabilities.json");
const GATEWAY: &[u8] = include_bytes!("../../tests/fixtures/gateway-capabilities.json");

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
    for (unit, bits) in [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)] {
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
        (SIGNED, "/properties/resources/cpu/cores", json!("4"), "properties.resources.cpu.cores"),
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
        let error = DeviceCapabilities::parse(document.to_string().as_bytes()).expect_err(field);
        assert!(error.faults().iter().any(|it| it.field == field), "{field}: {error}");
    }
}
