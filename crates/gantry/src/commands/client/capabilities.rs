//! `gantry client capabilities`: what a client says of its devices, and what it said before.

use anyhow::Result;
use operator_api::{CapabilitiesReport, Client, Device, Page};
use serde_json::Value;

use super::Context;
use crate::api::segment;
use crate::{output, table};

/// A device with its capabilities as they were reported.
pub(super) fn device(device: &Device) -> String {
    let heading = format!("Device {}, reported {}:", device.id, device.reported_at);
    let capabilities = table::clean_lines(&format!("{:#}\n", device.capabilities));
    format!("{}\n{capabilities}", table::clean(&heading))
}

pub(super) fn history(client: &Client, device: Option<&str>, context: &Context) -> Result<()> {
    let mut path = format!("/clients/{}/capabilities", segment(&client.id));
    if let Some(device) = device {
        path.push_str(&format!("?device={}", segment(device)));
    }
    let reports: Page<CapabilitiesReport> = context.api.get(&path)?;
    output::result(context.format, &reports, |it| {
        it.items.iter().flat_map(lines).map(|line| table::clean(&line) + "\n").collect()
    })
}

fn lines(report: &CapabilitiesReport) -> Vec<String> {
    let what = match &report.capabilities {
        None => "was taken back",
        Some(_) if report.changes.is_empty() => "was reported for the first time",
        Some(_) => "changed",
    };
    let said = |value: &Option<Value>| {
        value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string)
    };
    let changes = report
        .changes
        .iter()
        .map(|it| format!("  {}: {} -> {}", it.field, said(&it.before), said(&it.after)));
    let heading = format!("{} {} {what}", report.at, report.device_id);
    [heading].into_iter().chain(changes).collect()
}
