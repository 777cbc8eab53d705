//! What the machine tells about itself, for the capabilities that its owner has not set.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use margo_contract::device_capabilities::HostingDevice;
use margo_contract::quantity;

use crate::config::Config;
use crate::offers::Offered;

/// Architectures that the specification has a name for.
const KNOWN: [&str; 4] = ["amd64", "arm64", "arm", "riscv64"];

/// The device as it is reported: configured, completed with what the machine tells, and with what there is
/// to run workloads with.
// margo(C-3)
pub(crate) fn hosting_device(config: &Config, offered: Offered) -> HostingDevice {
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
        architecture: set.architecture.clone().unwrap_or_else(|| architecture(&offered)),
        memory: amount(&set.memory).unwrap_or_else(memory),
        storage: amount(&set.storage).unwrap_or_else(|| storage(&config.state_dir)),
        peripherals: set.peripherals.clone(),
        interfaces: set.interfaces.clone().unwrap_or_else(interfaces),
        deployment_types: offered.kinds,
        // What the owner says goes first.
        labels: offered.labels.into_iter().chain(device.labels.clone()).collect(),
    }
}

fn cores() -> f64 {
    thread::available_parallelism().map_or(1.0, |it| it.get() as f64)
}

/// That of the engine, which runs the containers, or else that of this program.
fn architecture(offered: &Offered) -> String {
    let name = match offered.architecture.as_deref().unwrap_or(std::env::consts::ARCH) {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    if KNOWN.contains(&name) { name } else { "other" }.to_owned()
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

    // margo(C-3)
    #[test]
    fn what_the_owner_sets_aside_is_reported_and_only_the_rest_is_the_machines() {
        let example = include_str!("../gantry-device.example.toml");
        let report = |more: &str| {
            let text = example.replacen("[capabilities]\n", &format!("[capabilities]\n{more}"), 1);
            let config = Config::parse(&text).expect("valid");
            hosting_device(&config, Offered::default())
        };
        let set = report("cores = 1.5\nmemory = \"512Mi\"\nstorage = \"2Gi\"\n");
        assert_eq!((set.cores, set.memory, set.storage), (1.5, 512 << 20, 2 << 30));
        let told = report("memory = \"512Mi\"\n");
        assert_eq!((told.cores, told.memory), (cores(), 512 << 20));
        assert_eq!(report("").memory, memory());
    }

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

    #[test]
    fn the_engine_knows_for_which_architecture_it_runs_containers() {
        for (told, reported) in [("aarch64", "arm64"), ("amd64", "amd64"), ("s390x", "other")] {
            let offered = Offered { architecture: Some(told.to_owned()), ..Offered::default() };
            assert_eq!(architecture(&offered), reported);
        }
    }
}
