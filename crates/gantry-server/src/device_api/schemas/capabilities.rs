//! What a client says of a device, as the description shows it.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// What a device is and has. 64 KiB at most.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct DeviceCapabilities {
    /// `device.margo.org/v1alpha1`.
    api_version: Option<String>,
    kind: Option<CapabilitiesKind>,
    properties: DeviceProperties,
    /// For selectors: text, a number, true or false, or a list of texts or of numbers, each.
    labels: Option<BTreeMap<String, Value>>,
}

#[derive(ToSchema)]
enum CapabilitiesKind {
    DeviceCapabilitiesManifest,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
struct DeviceProperties {
    /// What the client calls the device. A device behind a gateway has the gateway's id before it, with `/` between.
    #[schema(max_length = 255, pattern = "^[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*$")]
    id: String,
    #[schema(min_length = 1)]
    vendor: String,
    #[schema(min_length = 1)]
    model_number: String,
    #[schema(min_length = 1)]
    serial_number: String,
    /// What the device runs: `Standalone Device` Compose packages, the clusters charts, a `Gateway` by itself nothing.
    #[schema(min_items = 1)]
    roles: Vec<DeviceRole>,
    /// Needed where a role says that the device runs workloads.
    resources: Option<DeviceResources>,
}

#[derive(ToSchema)]
enum DeviceRole {
    #[schema(rename = "Standalone Cluster")]
    StandaloneCluster,
    #[schema(rename = "Cluster Leader")]
    ClusterLeader,
    #[schema(rename = "Standalone Device")]
    StandaloneDevice,
    Gateway,
}

/// What workloads may use.
#[derive(ToSchema)]
struct DeviceResources {
    cpu: Processor,
    /// Such as `8Gi`.
    #[schema(pattern = "^[0-9]{1,10}[KMGTPE]i$")]
    memory: String,
    /// Such as `64Gi`.
    #[schema(pattern = "^[0-9]{1,10}[KMGTPE]i$")]
    storage: String,
    peripherals: Option<Vec<Peripheral>>,
    interfaces: Option<Vec<Interface>>,
}

#[derive(ToSchema)]
struct Processor {
    #[schema(exclusive_minimum = 0)]
    cores: f64,
    /// Several are alternatives: the cores are those of each.
    architectures: Vec<Architecture>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum Architecture {
    Amd64,
    #[schema(rename = "x86_64")]
    X86_64,
    Arm64,
    Arm,
    Riscv64,
    Other,
}

#[derive(ToSchema)]
struct Peripheral {
    #[schema(rename = "type")]
    kind: PeripheralType,
    manufacturer: Option<String>,
    model: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum PeripheralType {
    Gpu,
    Display,
    Camera,
    Microphone,
    Speaker,
    Other,
}

#[derive(ToSchema)]
struct Interface {
    #[schema(rename = "type")]
    kind: InterfaceType,
    manufacturer: Option<String>,
    model: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum InterfaceType {
    Ethernet,
    Wifi,
    Cellular,
    Bluetooth,
    Usb,
    Canbus,
    Rs232,
    Other,
}
