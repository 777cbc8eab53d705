//! The revisions of each client's desired state. They are added, and never changed.

use std::collections::BTreeMap;

use fleet_domain::desired_state::{DesiredState, Document};
use fleet_domain::ids::{
    ApplicationId, ApplicationVersion, ClientId, DeploymentId, DeploymentName, ObjectId,
    OperatorName, RevisionNumber, Sha256,
};

use crate::columns::{Columns, count_column, revision_column};
use crate::encoding::{from_json, to_json};
use crate::recent::Published;
use crate::{DeploymentEntry, Event, GitObject, Snapshot, StoreError, Transaction};

/// One revision, without the documents that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    pub number: RevisionNumber,
    pub commit: ObjectId,
    /// The state manifest, as it is served.
    pub manifest: Vec<u8>,
    pub manifest_digest: Sha256,
    pub published_at: i64,
    /// The commit message.
    pub message: String,
    /// Whose orders it carries out.
    pub operators: Vec<OperatorName>,
    /// The SSH public key whose signature the commit carries.
    pub signer: Option<String>,
}

/// A deployment as a revision has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisedDeployment {
    pub id: DeploymentId,
    pub name: DeploymentName,
    pub application: ApplicationId,
    pub version: ApplicationVersion,
    /// The values that operators had given, as a JSON object.
    pub parameters: String,
    pub document: Document,
}

impl From<&DeploymentEntry> for RevisedDeployment {
    /// As the next revision will have it.
    fn from(entry: &DeploymentEntry) -> Self {
        Self {
            id: entry.deployment.id(),
            name: entry.name.clone(),
            application: entry.application.clone(),
            version: entry.version.clone(),
            parameters: entry.parameters.clone(),
            document: entry.document.clone(),
        }
    }
}

/// A revision with all that makes it fetchable.
#[derive(Debug, Clone)]
pub struct NewRevision {
    pub revision: Revision,
    pub desired: DesiredState,
    /// Digest and bytes; none for an empty desired state.
    pub bundle: Option<Document>,
    /// The commit and every object of its tree, whether an earlier revision had it or not.
    pub objects: Vec<GitObject>,
}

impl Snapshot {
    pub async fn newest_revision(
        &mut self,
        client: ClientId,
    ) -> Result<Option<Revision>, StoreError> {
        Ok(self.revisions(client, 1).await?.pop())
    }

    pub async fn revision(
        &mut self,
        client: ClientId,
        number: RevisionNumber,
    ) -> Result<Option<Revision>, StoreError> {
        let row = sqlx::query("SELECT * FROM revisions WHERE client_id = $1 AND number = $2")
            .bind(client.to_string())
            .bind(revision_column(number))
            .fetch_optional(self.connection())
            .await?;
        row.map(|row| revision(&Columns::of("revisions", &row))).transpose()
    }

    /// The revisions of a client, newest first.
    pub async fn revisions(
        &mut self,
        client: ClientId,
        limit: u32,
    ) -> Result<Vec<Revision>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM revisions WHERE client_id = $1 ORDER BY number DESC LIMIT $2",
        )
        .bind(client.to_string())
        .bind(count_column(limit))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| revision(&Columns::of("revisions", row))).collect()
    }

    /// Which documents a revision names.
    pub async fn revision_documents(
        &mut self,
        client: ClientId,
        number: RevisionNumber,
    ) -> Result<BTreeMap<DeploymentId, Sha256>, StoreError> {
        let rows = sqlx::query(
            "SELECT deployment_id, digest FROM revision_documents \
             WHERE client_id = $1 AND revision = $2",
        )
        .bind(client.to_string())
        .bind(revision_column(number))
        .fetch_all(self.connection())
        .await?;
        let rows = rows.iter().map(|row| Columns::of("revision_documents", row));
        rows.map(|row| Ok((row.parsed("deployment_id")?, row.parsed("digest")?))).collect()
    }

    /// The deployments of a revision, with their documents and what these were made of.
    pub async fn revised_deployments(
        &mut self,
        client: ClientId,
        number: RevisionNumber,
    ) -> Result<Vec<RevisedDeployment>, StoreError> {
        let rows = sqlx::query(
            "SELECT revised.deployment_id, revised.digest, revised.application_version, \
             revised.parameters, documents.bytes, deployments.name, deployments.application_id \
             FROM revision_documents AS revised \
             JOIN documents ON documents.client_id = revised.client_id \
             AND documents.deployment_id = revised.deployment_id \
             AND documents.digest = revised.digest \
             JOIN deployments ON deployments.id = revised.deployment_id \
             WHERE revised.client_id = $1 AND revised.revision = $2 ORDER BY revised.deployment_id",
        )
        .bind(client.to_string())
        .bind(revision_column(number))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| revised(&Columns::of("revision_documents", row))).collect()
    }

    /// The bytes of a document that some revision of the client named.
    // margo(D-11, D-15)
    pub async fn document(
        &mut self,
        client: ClientId,
        deployment: DeploymentId,
        digest: &Sha256,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let row = sqlx::query(
            "SELECT bytes FROM documents \
             WHERE client_id = $1 AND deployment_id = $2 AND digest = $3",
        )
        .bind(client.to_string())
        .bind(deployment.to_string())
        .bind(digest.to_string())
        .fetch_optional(self.connection())
        .await?;
        row.map(|row| Columns::of("documents", &row).bytes("bytes")).transpose()
    }

    /// The bytes of a bundle that some revision of the client named.
    // margo(D-21)
    pub async fn bundle(
        &mut self,
        client: ClientId,
        digest: &Sha256,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let row = sqlx::query("SELECT bytes FROM bundles WHERE client_id = $1 AND digest = $2")
            .bind(client.to_string())
            .bind(digest.to_string())
            .fetch_optional(self.connection())
            .await?;
        row.map(|row| Columns::of("bundles", &row).bytes("bytes")).transpose()
    }
}

impl Transaction {
    /// Remembers a revision with its documents, bundle and Git objects, counts the pending orders of
    /// the client as carried out, and notes on each deployment whose content it is the first to
    /// carry that it is published.
    // margo(D-4)
    pub async fn publish(&mut self, client: ClientId, new: &NewRevision) -> Result<(), StoreError> {
        self.add_revision(client, &new.revision).await?;
        for (deployment, document) in &new.desired.documents {
            self.add_document(client, new.revision.number, *deployment, document).await?;
        }
        if let Some(bundle) = &new.bundle {
            sqlx::query(
                "INSERT INTO bundles (client_id, digest, bytes) VALUES ($1, $2, $3) \
                 ON CONFLICT DO NOTHING",
            )
            .bind(client.to_string())
            .bind(bundle.digest.to_string())
            .bind(bundle.bytes.as_slice())
            .execute(self.connection())
            .await?;
        }
        let Revision { number, commit, .. } = &new.revision;
        let added = self.add_objects(client, *number, &new.objects).await?;
        self.publishes(client, Published::new(*number, commit, &new.objects, &added));
        self.settle_orders(client, new.revision.number).await?;
        self.note_published(client, new).await
    }

    async fn add_revision(
        &mut self,
        client: ClientId,
        revision: &Revision,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO revisions (client_id, number, git_commit, manifest, manifest_digest, \
             published_at, message, operators, signer) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(client.to_string())
        .bind(revision_column(revision.number))
        .bind(revision.commit.as_str())
        .bind(revision.manifest.as_slice())
        .bind(revision.manifest_digest.to_string())
        .bind(revision.published_at)
        .bind(revision.message.as_str())
        .bind(to_json(&revision.operators))
        .bind(revision.signer.as_deref())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn add_document(
        &mut self,
        client: ClientId,
        revision: RevisionNumber,
        deployment: DeploymentId,
        document: &Document,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO documents (client_id, deployment_id, digest, bytes) \
             VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(client.to_string())
        .bind(deployment.to_string())
        .bind(document.digest.to_string())
        .bind(document.bytes.as_slice())
        .execute(self.connection())
        .await?;
        sqlx::query(
            "INSERT INTO revision_documents (client_id, revision, deployment_id, digest, \
             application_version, parameters) SELECT $1, $2, $3, $4, application_version, parameters \
             FROM deployments WHERE id = $3",
        )
        .bind(client.to_string())
        .bind(revision_column(revision))
        .bind(deployment.to_string())
        .bind(document.digest.to_string())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn note_published(
        &mut self,
        client: ClientId,
        new: &NewRevision,
    ) -> Result<(), StoreError> {
        let Revision { number, published_at, .. } = new.revision;
        for mut entry in self.unpublished(client).await? {
            let carried = new.desired.documents.get(&entry.deployment.id());
            if carried.is_none_or(|carried| carried.digest != entry.document.digest) {
                continue;
            }
            entry.deployment.publish(number);
            self.save_deployment(&entry).await?;
            let event = Event::Published { revision: number };
            self.append_event(entry.deployment.id(), published_at, &event).await?;
        }
        Ok(())
    }
}

fn revised(row: &Columns<'_>) -> Result<RevisedDeployment, StoreError> {
    Ok(RevisedDeployment {
        id: row.parsed("deployment_id")?,
        name: row.parsed("name")?,
        application: row.parsed("application_id")?,
        version: row.parsed("application_version")?,
        parameters: row.text("parameters")?,
        document: Document { digest: row.parsed("digest")?, bytes: row.bytes("bytes")? },
    })
}

fn revision(row: &Columns<'_>) -> Result<Revision, StoreError> {
    Ok(Revision {
        number: row.revision("number")?,
        commit: row.parsed("git_commit")?,
        manifest: row.bytes("manifest")?,
        manifest_digest: row.parsed("manifest_digest")?,
        published_at: row.integer("published_at")?,
        message: row.text("message")?,
        operators: from_json(row, "operators")?,
        signer: row.optional_text("signer")?,
    })
}
