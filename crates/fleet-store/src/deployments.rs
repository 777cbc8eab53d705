//! Deployments: what was ordered, and how far it has got.

use std::collections::{BTreeMap, BTreeSet};

use fleet_domain::deployment::{Deployment, DeploymentRecord, Life};
use fleet_domain::desired_state::{DesiredState, Document};
use fleet_domain::ids::{
    ApplicationId, ApplicationVersion, ClientId, DeploymentId, DeploymentName, DeviceId,
    OperatorName, RevisionNumber,
};

use crate::columns::{Columns, count_column, revision_column};
use crate::encoding::{from_json, optional_report, report_json, to_json};
use crate::statements::{ABOUT_A_REPORT, query_of, query_with};
use crate::{Snapshot, StoreError, Transaction};

/// A deployment and what was ordered with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentEntry {
    pub deployment: Deployment,
    pub client: ClientId,
    pub device: DeviceId,
    pub name: DeploymentName,
    pub application: ApplicationId,
    pub version: ApplicationVersion,
    /// The values that the operator gave, as a JSON object.
    pub parameters: String,
    /// What the device shall be told, whether it is published yet or not.
    pub document: Document,
    /// Who ordered the present content, and when.
    pub ordered_by: OperatorName,
    pub ordered_at: i64,
    /// When the device last spoke of it.
    pub heard_at: Option<i64>,
}

/// What came of adding a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddDeployment {
    Added,
    /// This one brings the application to the device already.
    ApplicationAlreadyThere(DeploymentId),
    /// This one, of the same client, has the name.
    NameTaken(DeploymentId),
}

impl Snapshot {
    pub async fn deployment(
        &mut self,
        id: DeploymentId,
    ) -> Result<Option<DeploymentEntry>, StoreError> {
        let row = sqlx::query("SELECT * FROM deployments WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.connection())
            .await?;
        row.map(|row| entry(&Columns::of("deployments", &row))).transpose()
    }

    /// Those of some deployments that there are.
    pub async fn deployments_with_ids(
        &mut self,
        ids: &[DeploymentId],
    ) -> Result<Vec<DeploymentEntry>, StoreError> {
        let query = query_of("SELECT * FROM deployments WHERE id IN", ids, "");
        let rows = query.fetch_all(self.connection()).await?;
        rows.iter().map(|row| entry(&Columns::of("deployments", row))).collect()
    }

    /// The deployments of all clients, the newest order first, from the first on or from the one behind this
    /// one, which was ordered then.
    pub async fn deployments(
        &mut self,
        after: Option<(i64, DeploymentId)>,
        limit: u32,
    ) -> Result<Vec<DeploymentEntry>, StoreError> {
        let (ordered_at, id) = after.unzip();
        let rows = sqlx::query(
            "SELECT * FROM deployments WHERE $1 IS NULL OR ordered_at < $1 \
             OR (ordered_at = $1 AND id > $2) ORDER BY ordered_at DESC, id LIMIT $3",
        )
        .bind(ordered_at)
        .bind(id.map(|it| it.to_string()))
        .bind(count_column(limit))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| entry(&Columns::of("deployments", row))).collect()
    }

    /// The deployments of one client, the newest order first.
    pub async fn deployments_of(
        &mut self,
        client: ClientId,
        limit: u32,
    ) -> Result<Vec<DeploymentEntry>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM deployments WHERE client_id = $1 ORDER BY ordered_at DESC, id LIMIT $2",
        )
        .bind(client.to_string())
        .bind(count_column(limit))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| entry(&Columns::of("deployments", row))).collect()
    }

    /// All that each of these clients shall run, by what was ordered last. One that shall run nothing is
    /// left out.
    pub async fn desired_states(
        &mut self,
        clients: &[ClientId],
    ) -> Result<BTreeMap<ClientId, DesiredState>, StoreError> {
        let query = query_of(
            "SELECT client_id, id, document_digest, document FROM deployments \
             WHERE wanted = 1 AND client_id IN",
            clients,
            "",
        );
        let mut desired = BTreeMap::<_, DesiredState>::new();
        for row in query.fetch_all(self.connection()).await? {
            let row = Columns::of("deployments", &row);
            let state = desired.entry(row.parsed("client_id")?).or_default();
            state.documents.insert(row.parsed("id")?, document(&row)?);
        }
        Ok(desired)
    }

    /// Deployments of these clients that are withdrawn, that no device has spoken of, and that no revision
    /// has named which the client was given. Revisions before the first with the newest content count only
    /// where former content is still with the device, which an earlier life under the same id is not.
    pub async fn withdrawn_and_untold(
        &mut self,
        clients: &[ClientId],
    ) -> Result<Vec<DeploymentEntry>, StoreError> {
        let query = query_of(
            "SELECT * FROM deployments WHERE client_id IN",
            clients,
            "AND life = 'withdrawn' \
             AND report IS NULL AND NOT EXISTS (SELECT 1 FROM revision_documents AS told \
             WHERE told.client_id = deployments.client_id AND told.deployment_id = deployments.id \
             AND (told.revision >= deployments.published OR deployments.former_components <> '[]') \
             AND told.revision <= (SELECT COALESCE(fetched, 0) FROM clients \
             WHERE clients.id = deployments.client_id))",
        );
        let rows = query.fetch_all(self.connection()).await?;
        rows.iter().map(|row| entry(&Columns::of("deployments", row))).collect()
    }

    /// Deployments that are withdrawn, that no device has spoken of, and whose client has said that it runs
    /// a revision behind all that name them and has nothing left to report. It was given one that does, and
    /// never took it up.
    pub async fn withdrawn_and_never_had(
        &mut self,
        limit: u32,
    ) -> Result<Vec<DeploymentEntry>, StoreError> {
        let rows = sqlx::query(
            "SELECT deployments.* FROM deployments \
             JOIN contacts ON contacts.client_id = deployments.client_id \
             WHERE life = 'withdrawn' AND report IS NULL AND contacts.undelivered = 0 \
             AND EXISTS (SELECT 1 FROM revisions WHERE revisions.client_id = deployments.client_id \
             AND revisions.number = contacts.running) \
             AND NOT EXISTS (SELECT 1 FROM revision_documents AS has \
             WHERE has.client_id = deployments.client_id AND has.revision >= contacts.running \
             AND has.deployment_id = deployments.id) LIMIT $1",
        )
        .bind(count_column(limit))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| entry(&Columns::of("deployments", row))).collect()
    }

    /// Deployments that are gone without a word from the device, and that one of these revisions names.
    pub async fn gone_unheard(
        &mut self,
        given: &BTreeMap<ClientId, RevisionNumber>,
    ) -> Result<Vec<DeploymentEntry>, StoreError> {
        if given.is_empty() {
            return Ok(Vec::new());
        }
        let given: Vec<_> = given.iter().collect();
        let query = query_with(
            "SELECT deployments.* FROM (VALUES",
            2,
            &given,
            ") AS given JOIN revision_documents AS told \
             ON told.client_id = given.column1 AND told.revision = given.column2 \
             JOIN deployments ON deployments.id = told.deployment_id \
             WHERE deployments.life = 'gone' AND deployments.heard_at IS NULL",
            |query, (client, revision)| {
                query.bind(client.to_string()).bind(revision_column(**revision))
            },
        );
        let rows = query.fetch_all(self.connection()).await?;
        rows.iter().map(|row| entry(&Columns::of("deployments", row))).collect()
    }

    /// Wanted deployments of these clients whose present content no revision has carried yet.
    pub(crate) async fn unpublished(
        &mut self,
        clients: &[ClientId],
    ) -> Result<Vec<DeploymentEntry>, StoreError> {
        let query = query_of(
            "SELECT * FROM deployments WHERE client_id IN",
            clients,
            "AND wanted = 1 AND published IS NULL",
        );
        let rows = query.fetch_all(self.connection()).await?;
        rows.iter().map(|row| entry(&Columns::of("deployments", row))).collect()
    }

    async fn who_is_in_the_way(
        &mut self,
        entry: &DeploymentEntry,
    ) -> Result<AddDeployment, StoreError> {
        let same_application = sqlx::query(
            "SELECT id FROM deployments WHERE client_id = $1 AND device_id = $2 \
             AND application_id = $3 AND wanted = 1",
        )
        .bind(entry.client.to_string())
        .bind(entry.device.as_str())
        .bind(entry.application.as_str())
        .fetch_optional(self.connection())
        .await?;
        if let Some(row) = same_application {
            let id = Columns::of("deployments", &row).parsed("id")?;
            return Ok(AddDeployment::ApplicationAlreadyThere(id));
        }
        let same_name = sqlx::query(
            "SELECT id FROM deployments WHERE client_id = $1 AND name = $2 AND wanted = 1",
        )
        .bind(entry.client.to_string())
        .bind(entry.name.as_str())
        .fetch_optional(self.connection())
        .await?;
        match same_name {
            Some(row) => {
                Ok(AddDeployment::NameTaken(Columns::of("deployments", &row).parsed("id")?))
            }
            None => {
                Err(StoreError::Duplicate(StoreError::cause("there is a deployment of this id")))
            }
        }
    }
}

impl Transaction {
    /// Adds a wanted deployment. On one device an application can be wanted once, and among the wanted
    /// deployments of a client a name can be used once.
    pub async fn add_deployment(
        &mut self,
        entry: &DeploymentEntry,
    ) -> Result<AddDeployment, StoreError> {
        let mut added = self.add_deployments(std::slice::from_ref(entry)).await?;
        Ok(added.pop().unwrap_or(AddDeployment::Added))
    }

    /// As [`add_deployment`](Self::add_deployment), of several with different ids: what came of each. Of two
    /// that are in each other's way the first is added.
    pub async fn add_deployments(
        &mut self,
        entries: &[DeploymentEntry],
    ) -> Result<Vec<AddDeployment>, StoreError> {
        let returned = self.write_returning(
            "INSERT INTO deployments (id, client_id, device_id, name, application_id, \
             application_version, parameters, document_digest, document, components, \
             former_components, published, wanted, life, report, ordered_by, ordered_at, heard_at) \
             VALUES",
            18,
            entries,
            |it| it.document.bytes.len() + it.parameters.len(),
            "ON CONFLICT DO NOTHING RETURNING id",
            |query, entry| {
                let record = entry.deployment.record();
                query
                    .bind(record.id.to_string())
                    .bind(entry.client.to_string())
                    .bind(entry.device.as_str())
                    .bind(entry.name.as_str())
                    .bind(entry.application.as_str())
                    .bind(entry.version.as_str())
                    .bind(entry.parameters.as_str())
                    .bind(entry.document.digest.to_string())
                    .bind(entry.document.bytes.as_slice())
                    .bind(to_json(&record.components))
                    .bind(to_json(&record.former_components))
                    .bind(record.published.map(revision_column))
                    .bind(i64::from(entry.deployment.is_wanted()))
                    .bind(life_name(&record.life))
                    .bind(life_report(&record.life))
                    .bind(entry.ordered_by.as_str())
                    .bind(entry.ordered_at)
                    .bind(entry.heard_at)
            },
        );
        let mut new = BTreeSet::<DeploymentId>::new();
        for row in returned.await? {
            new.insert(Columns::of("deployments", &row).parsed("id")?);
        }
        let mut outcomes = Vec::with_capacity(entries.len());
        for entry in entries {
            outcomes.push(if new.contains(&entry.deployment.id()) {
                AddDeployment::Added
            } else {
                self.who_is_in_the_way(entry).await?
            });
        }
        Ok(outcomes)
    }

    /// Remembers what has become of several deployments, no one twice. Their content stays as it is.
    pub async fn save_progress(&mut self, entries: &[DeploymentEntry]) -> Result<(), StoreError> {
        let saved = self.write_rows(
            "UPDATE deployments SET components = said.column2, former_components = said.column3, \
             published = said.column4, wanted = said.column5, life = said.column6, \
             report = said.column7, heard_at = said.column8 FROM (VALUES",
            8,
            entries,
            |_| ABOUT_A_REPORT,
            ") AS said WHERE deployments.id = said.column1",
            |query, entry| {
                let record = entry.deployment.record();
                query
                    .bind(record.id.to_string())
                    .bind(to_json(&record.components))
                    .bind(to_json(&record.former_components))
                    .bind(record.published.map(revision_column))
                    .bind(i64::from(entry.deployment.is_wanted()))
                    .bind(life_name(&record.life))
                    .bind(life_report(&record.life))
                    .bind(entry.heard_at)
            },
        );
        if saved.await? == entries.len() as u64 {
            return Ok(());
        }
        Err(StoreError::UnknownReference(StoreError::cause("there is no such deployment")))
    }

    /// Remembers what has become of a deployment, and its new content if it was ordered anew. Whose it
    /// is, on which device and under which name stays as it was added.
    pub async fn save_deployment(&mut self, entry: &DeploymentEntry) -> Result<(), StoreError> {
        let record = entry.deployment.record();
        let result = sqlx::query(
            "UPDATE deployments SET application_version = $1, parameters = $2, \
             document_digest = $3, document = $4, components = $5, former_components = $6, \
             published = $7, wanted = $8, life = $9, report = $10, ordered_by = $11, \
             ordered_at = $12, heard_at = $13 WHERE id = $14",
        )
        .bind(entry.version.as_str())
        .bind(entry.parameters.as_str())
        .bind(entry.document.digest.to_string())
        .bind(entry.document.bytes.as_slice())
        .bind(to_json(&record.components))
        .bind(to_json(&record.former_components))
        .bind(record.published.map(revision_column))
        .bind(i64::from(entry.deployment.is_wanted()))
        .bind(life_name(&record.life))
        .bind(life_report(&record.life))
        .bind(entry.ordered_by.as_str())
        .bind(entry.ordered_at)
        .bind(entry.heard_at)
        .bind(record.id.to_string())
        .execute(self.connection())
        .await?;
        match result.rows_affected() {
            0 => {
                Err(StoreError::UnknownReference(StoreError::cause("there is no such deployment")))
            }
            _ => Ok(()),
        }
    }
}

fn entry(row: &Columns<'_>) -> Result<DeploymentEntry, StoreError> {
    let deployment = Deployment::restore(DeploymentRecord {
        id: row.parsed("id")?,
        components: from_json(row, "components")?,
        former_components: from_json(row, "former_components")?,
        published: row.optional_revision("published")?,
        life: life(row)?,
    });
    Ok(DeploymentEntry {
        deployment: deployment.map_err(|cause| row.corrupt("components", cause))?,
        client: row.parsed("client_id")?,
        device: row.parsed("device_id")?,
        name: row.parsed("name")?,
        application: row.parsed("application_id")?,
        version: row.parsed("application_version")?,
        parameters: row.text("parameters")?,
        document: document(row)?,
        ordered_by: row.parsed("ordered_by")?,
        ordered_at: row.integer("ordered_at")?,
        heard_at: row.optional_integer("heard_at")?,
    })
}

fn document(row: &Columns<'_>) -> Result<Document, StoreError> {
    Ok(Document { digest: row.parsed("document_digest")?, bytes: row.bytes("document")? })
}

fn life_name(life: &Life) -> &'static str {
    match life {
        Life::Ordered { .. } => "ordered",
        Life::Known(_) => "known",
        Life::Withdrawn(_) => "withdrawn",
        Life::Gone => "gone",
    }
}

fn life_report(life: &Life) -> Option<String> {
    match life {
        Life::Ordered { before } => before.as_ref().map(report_json),
        Life::Known(report) => Some(report_json(report)),
        Life::Withdrawn(report) => report.as_ref().map(report_json),
        Life::Gone => None,
    }
}

fn life(row: &Columns<'_>) -> Result<Life, StoreError> {
    let report = optional_report(row, "report")?;
    match (row.text("life")?.as_str(), report) {
        ("ordered", before) => Ok(Life::Ordered { before }),
        ("known", Some(report)) => Ok(Life::Known(report)),
        ("known", None) => Err(row.corrupt("report", "a known deployment has a report")),
        ("withdrawn", report) => Ok(Life::Withdrawn(report)),
        ("gone", _) => Ok(Life::Gone),
        (_, _) => Err(row.corrupt("life", "no such stage of life")),
    }
}
