//! What the machine tells about itself, for the capabilities that its owner has not set.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use margo_contract::device_capabilities::HostingDevice;
use margo_contract::quantity;

use crate::config::Config;

/// The device as it is reported: configured, completed with what the machine tells.
pub(crate) fn hosting_device(config: &Config) -> HostingDevice {
    let (device, set) = (&config.device, &config.capabilities);
    let amount = |text: &Option<String>| {
        text.as_deref().and_then(quantity::parse).and_then(|it| u64::try_from(it).ok())
    };
    HostingDevice {
        id: device.id.clone(),
        vendor: device.vendor.clone(),
        model_number: device.model_number.clone(),
        serial_number: device.serial_number.clone(),
        cores: set.cores.unwrap_or_else(cores),
        architecture: set.architecture.clone().unwrap_or_else(architecture),
        memory: amount(&set.memory).unwrap_or_else(memory),
        storage: amount(&set.storage).unwrap_or_else(|| storage(&config.state_dir)),
        peripherals: set.peripherals.clone(),
        interfaces: set.interfaces.clone().unwrap_or_else(interfaces),
        labels: device.labels.clone(),
    }
}

fn cores() -> f64 {
    thread::available_parallelism().map_or(1.0, |it| it.get() as f64)
}

fn architecture() -> String {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
    .to_owned()
}

fn memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    total_memory(&text).unwrap_or_default()
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|it| it.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn storage(folder: &Path) -> u64 {
    let existing = folder.ancestors().find(|it| it.exists()).unwrap_or(Path::new("/"));
    rustix::fs::statvfs(existing).map_or(0, |it| it.f_blocks.saturating_mul(it.f_frsize))
}

/// Kinds of network interfaces that belong to hardware; bridges and tunnels are none of ours.
fn interfaces() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    let kinds: BTreeSet<&str> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("device").exists())
        .map(|entry| if entry.path().join("wireless").exists() { "wifi" } else { "ethernet" })
        .collect();
    kinds.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_tells_its_memory_and_storage() {
        assert_eq!(
            total_memory("MemTotal:       24684096 kB\nMemFree: 1 kB\n"),
            Some(24_684_096 * 1024)
        );
        assert_eq!(total_memory("nothing"), None);
        assert!(storage(Path::new("/no/such/folder")) > 0);
        assert!(cores() >= 1.0);
    }
}
