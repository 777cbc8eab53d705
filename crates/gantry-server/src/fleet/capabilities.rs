//! What clients say of their devices: the newest of it counts, and what they said before is kept for a while.

use fleet_domain::ids::{ClientId, DeviceId};
use fleet_store::{DeviceEntry, DeviceReport, KEPT_REPORTS, StoreError, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Fleet, FleetError};
use crate::identity::VerifiedClient;

/// More devices than a client speaks for.
const MOST_DEVICES: usize = 1_000;

/// What differs between two reports of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Difference {
    /// The field, such as `properties.memory`.
    pub(crate) field: String,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

/// A report as it is kept.
pub(crate) struct KeptReport {
    pub(crate) report: DeviceReport,
    pub(crate) differences: Vec<Difference>,
}

/// Why a device was not remembered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordCapabilitiesError {
    #[error("the gateway `{0}` has to be reported before what stands behind it")]
    UnknownGateway(DeviceId),
    #[error("this client has {MOST_DEVICES} devices already")]
    TooMany,
    #[error("the device could not be remembered")]
    Fleet(#[from] FleetError),
}

impl From<StoreError> for RecordCapabilitiesError {
    fn from(error: StoreError) -> Self {
        Self::Fleet(error.into())
    }
}

impl Fleet {
    /// Remembers what a client says of a device, as it says it.
    // margo(C-4, A-5, C-21)
    pub(crate) async fn record_capabilities(
        &self,
        client: &VerifiedClient,
        device: DeviceId,
        reported: &str,
        now: i64,
    ) -> Result<(), RecordCapabilitiesError> {
        let mut transaction = self.begin_signed(client).await?;
        let client = client.id();
        // margo(C-6, C-7, GW-2)
        if let Some(gateway) = device.gateway()
            && transaction.device(client, &gateway).await?.is_none()
        {
            return Err(RecordCapabilitiesError::UnknownGateway(gateway));
        }
        let former = transaction.device(client, &device).await?;
        if former.is_none() && transaction.devices(client).await?.len() >= MOST_DEVICES {
            return Err(RecordCapabilitiesError::TooMany);
        }
        let differences = differences(former.as_ref(), reported);
        if former.is_none() || !differences.is_empty() {
            let capabilities = Some(reported.to_owned());
            note(&mut transaction, client, &device, capabilities, &differences, now).await?;
            tracing::info!(%client, %device, changed = differences.len(), "a client reports a device");
        }
        let entry = DeviceEntry { id: device, capabilities: reported.to_owned(), reported_at: now };
        transaction.record_device(client, &entry).await?;
        Ok(self.commit(transaction).await?)
    }

    /// Forgets a device, and with a gateway what stands behind it; whether there was one. What is deployed
    /// there is left to operators: a gateway that is only taken back for a while must not lose it.
    // margo(C-8, C-9)
    pub(crate) async fn forget_device(
        &self,
        client: &VerifiedClient,
        device: &DeviceId,
        now: i64,
    ) -> Result<bool, FleetError> {
        let mut transaction = self.begin_signed(client).await?;
        let client = client.id();
        let devices = transaction.devices(client).await?.into_iter().map(|it| it.id);
        let taken_back: Vec<DeviceId> =
            devices.filter(|it| it == device || it.gateway().as_ref() == Some(device)).collect();
        let known = taken_back.contains(device);
        for device in taken_back.iter().filter(|_| known) {
            transaction.forget_device(client, device).await?;
            note(&mut transaction, client, device, None, &[], now).await?;
            tracing::info!(%client, %device, "a client takes a device back");
        }
        self.commit(transaction).await?;
        Ok(known)
    }

    /// What a client said of its devices or of one of them, the newest first; nothing where there is no
    /// such client.
    pub(crate) async fn reported_capabilities(
        &self,
        client: ClientId,
        device: Option<&DeviceId>,
    ) -> Result<Option<Vec<KeptReport>>, FleetError> {
        let mut snapshot = self.inner.store.read().await?;
        if snapshot.client(client).await?.is_none() {
            return Ok(None);
        }
        let reports = snapshot.device_reports(client, device, KEPT_REPORTS).await?;
        let kept = reports.into_iter().map(|report| {
            let differences = serde_json::from_str(&report.changes);
            let differences =
                differences.map_err(|_| FleetError::Corrupt("history of a device"))?;
            Ok(KeptReport { report, differences })
        });
        kept.collect::<Result<Vec<_>, FleetError>>().map(Some)
    }
}

async fn note(
    transaction: &mut Transaction,
    client: ClientId,
    device: &DeviceId,
    capabilities: Option<String>,
    differences: &[Difference],
    now: i64,
) -> Result<(), StoreError> {
    let changes = serde_json::to_string(differences).expect("a list of JSON values is JSON");
    let report = DeviceReport { device: device.clone(), at: now, capabilities, changes };
    transaction.append_device_report(client, &report).await
}

/// What a new report changes; nothing where there was none before.
fn differences(former: Option<&DeviceEntry>, reported: &str) -> Vec<Difference> {
    let Some(former) = former else { return Vec::new() };
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let mut differences = Vec::new();
    compare("", Some(&parse(&former.capabilities)), Some(&parse(reported)), &mut differences);
    differences
}

/// Objects are compared field by field, all else as a whole.
fn compare(
    field: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    differences: &mut Vec<Difference>,
) {
    if before == after {
        return;
    }
    let (Some(Value::Object(former)), Some(Value::Object(newer))) = (before, after) else {
        let (before, after) = (before.cloned(), after.cloned());
        return differences.push(Difference { field: field.to_owned(), before, after });
    };
    let added = newer.keys().filter(|key| !former.contains_key(*key));
    for key in former.keys().chain(added) {
        let below = if field.is_empty() { key.clone() } else { format!("{field}.{key}") };
        compare(&below, former.get(key), newer.get(key), differences);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_compared_field_by_field() {
        let entry = |capabilities: Value| DeviceEntry {
            id: "press-7".parse().expect("a device id"),
            capabilities: capabilities.to_string(),
            reported_at: 1,
        };
        let former =
            entry(json!({"properties": {"memory": "8Gi", "roles": ["a"], "gone": 1}, "kind": "k"}));
        let newer = json!({"properties": {"memory": "16Gi", "roles": ["a", "b"]}, "kind": "k",
            "labels": {"site": "north"}});
        let found = differences(Some(&former), &newer.to_string());
        let fields: Vec<&str> = found.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(fields, ["properties.gone", "properties.memory", "properties.roles", "labels"]);
        assert_eq!((&found[0].before, &found[0].after), (&Some(json!(1)), &None));
        assert_eq!(found[1].after, Some(json!("16Gi")));
        // Blanks are no news.
        assert_eq!(differences(Some(&former), &format!("  {} ", former.capabilities)), []);
        assert_eq!(differences(None, "{}"), []);
    }
}
