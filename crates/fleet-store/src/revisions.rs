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
use crate::repository::NeededObject;
use crate::statements::{none, query_of, query_with};
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

    /// The newest revisions of those of these clients that have one.
    pub async fn newest_revisions(
        &mut self,
        clients: &[ClientId],
    ) -> Result<BTreeMap<ClientId, Revision>, StoreError> {
        let query = query_of(
            "SELECT revisions.* FROM clients JOIN revisions ON revisions.client_id = clients.id \
             AND revisions.number = (SELECT MAX(number) FROM revisions AS newest \
             WHERE newest.client_id = clients.id) WHERE clients.id IN",
            clients,
            "",
        );
        let mut newest = BTreeMap::new();
        for row in query.fetch_all(self.connection()).await? {
            let row = Columns::of("revisions", &row);
            newest.insert(row.parsed("client_id")?, revision(&row)?);
        }
        Ok(newest)
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

    /// Which documents the revisions of several clients name, one revision of each. One that names none is
    /// left out.
    pub async fn revision_documents(
        &mut self,
        revisions: &[(ClientId, RevisionNumber)],
    ) -> Result<BTreeMap<ClientId, BTreeMap<DeploymentId, Sha256>>, StoreError> {
        let mut documents = BTreeMap::<_, BTreeMap<_, _>>::new();
        if revisions.is_empty() {
            return Ok(documents);
        }
        let query = query_with(
            "SELECT it.client_id, it.deployment_id, it.digest FROM (VALUES",
            2,
            revisions,
            ") AS asked JOIN revision_documents AS it ON it.client_id = asked.column1 \
             AND it.revision = asked.column2",
            |query, (client, number)| query.bind(client.to_string()).bind(revision_column(*number)),
        );
        for row in query.fetch_all(self.connection()).await? {
            let row = Columns::of("revision_documents", &row);
            let of = documents.entry(row.parsed("client_id")?).or_default();
            of.insert(row.parsed("deployment_id")?, row.parsed("digest")?);
        }
        Ok(documents)
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
    /// Remembers revisions of different clients, each with its documents, bundle and Git objects. Counts the
    /// pending orders of the clients as carried out, and notes on each deployment whose content a revision is
    /// the first to carry that it is published.
    // margo(D-4)
    pub async fn publish(&mut self, new: &[(ClientId, NewRevision)]) -> Result<(), StoreError> {
        self.add_revisions(new).await?;
        self.add_documents(new).await?;
        self.add_bundles(new).await?;
        self.add_repositories(new).await?;
        let numbers: Vec<_> =
            new.iter().map(|(client, new)| (*client, new.revision.number)).collect();
        self.settle_orders(&numbers).await?;
        self.note_published(new).await
    }

    async fn add_revisions(&mut self, new: &[(ClientId, NewRevision)]) -> Result<(), StoreError> {
        let added = self.write_rows(
            "INSERT INTO revisions (client_id, number, git_commit, manifest, manifest_digest, \
             published_at, message, operators, signer) VALUES",
            9,
            new,
            |(_, new)| new.revision.manifest.len() + new.revision.message.len(),
            "",
            |query, (client, NewRevision { revision, .. })| {
                query
                    .bind(client.to_string())
                    .bind(revision_column(revision.number))
                    .bind(revision.commit.as_str())
                    .bind(revision.manifest.as_slice())
                    .bind(revision.manifest_digest.to_string())
                    .bind(revision.published_at)
                    .bind(revision.message.as_str())
                    .bind(to_json(&revision.operators))
                    .bind(revision.signer.as_deref())
            },
        );
        added.await.map(drop)
    }

    async fn add_documents(&mut self, new: &[(ClientId, NewRevision)]) -> Result<(), StoreError> {
        let documents: Vec<(ClientId, RevisionNumber, DeploymentId, &Document)> = new
            .iter()
            .flat_map(|(client, new)| {
                let number = new.revision.number;
                let documents = new.desired.documents.iter();
                documents.map(move |(id, document)| (*client, number, *id, document))
            })
            .collect();
        let added = self.write_rows(
            "INSERT INTO documents (client_id, deployment_id, digest, bytes) VALUES",
            4,
            &documents,
            |it| it.3.bytes.len(),
            "ON CONFLICT DO NOTHING",
            |query, (client, _, deployment, document)| {
                query
                    .bind(client.to_string())
                    .bind(deployment.to_string())
                    .bind(document.digest.to_string())
                    .bind(document.bytes.as_slice())
            },
        );
        added.await?;
        let named = self.write_rows(
            "INSERT INTO revision_documents (client_id, revision, deployment_id, digest, \
             application_version, parameters) SELECT new.column1, new.column2, new.column3, \
             new.column4, deployments.application_version, deployments.parameters FROM (VALUES",
            4,
            &documents,
            none,
            ") AS new JOIN deployments ON deployments.id = new.column3",
            |query, (client, revision, deployment, document)| {
                query
                    .bind(client.to_string())
                    .bind(revision_column(*revision))
                    .bind(deployment.to_string())
                    .bind(document.digest.to_string())
            },
        );
        named.await.map(drop)
    }

    async fn add_bundles(&mut self, new: &[(ClientId, NewRevision)]) -> Result<(), StoreError> {
        let bundles: Vec<(ClientId, &Document)> =
            new.iter().filter_map(|(client, new)| Some((*client, new.bundle.as_ref()?))).collect();
        let added = self.write_rows(
            "INSERT INTO bundles (client_id, digest, bytes) VALUES",
            3,
            &bundles,
            |it| it.1.bytes.len(),
            "ON CONFLICT DO NOTHING",
            |query, (client, bundle)| {
                query
                    .bind(client.to_string())
                    .bind(bundle.digest.to_string())
                    .bind(bundle.bytes.as_slice())
            },
        );
        added.await.map(drop)
    }

    async fn add_repositories(
        &mut self,
        new: &[(ClientId, NewRevision)],
    ) -> Result<(), StoreError> {
        let needed: Vec<NeededObject<'_>> = new
            .iter()
            .flat_map(|(client, new)| {
                let (client, revision) = (*client, new.revision.number);
                new.objects.iter().map(move |object| NeededObject { client, revision, object })
            })
            .collect();
        let mut added = self.add_objects(&needed).await?;
        for (client, NewRevision { revision, objects, .. }) in new {
            let added = added.remove(client).unwrap_or_default();
            let published = Published::new(revision.number, &revision.commit, objects, &added);
            self.publishes(*client, published);
        }
        Ok(())
    }

    async fn note_published(&mut self, new: &[(ClientId, NewRevision)]) -> Result<(), StoreError> {
        let of: BTreeMap<ClientId, &NewRevision> =
            new.iter().map(|(client, new)| (*client, new)).collect();
        let clients: Vec<ClientId> = of.keys().copied().collect();
        let mut published = self.unpublished(&clients).await?;
        let mut news = BTreeMap::<i64, Vec<(DeploymentId, Event)>>::new();
        published.retain_mut(|entry| {
            let Some(new) = of.get(&entry.client) else { return false };
            let id = entry.deployment.id();
            let carried = new.desired.documents.get(&id);
            if carried.is_none_or(|carried| carried.digest != entry.document.digest) {
                return false;
            }
            let Revision { number, published_at, .. } = new.revision;
            entry.deployment.publish(number);
            let event = Event::Published { revision: number };
            news.entry(published_at).or_default().push((id, event));
            true
        });
        self.save_progress(&published).await?;
        for (at, events) in &news {
            let events: Vec<_> = events.iter().map(|(id, event)| (*id, event)).collect();
            self.append_events(*at, &events).await?;
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
