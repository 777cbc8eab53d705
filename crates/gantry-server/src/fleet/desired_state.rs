//! Desired states: published by jobs, fetched by clients over HTTP, read by operators.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;

use commit_signature::Signer;
use fleet_domain::deployment::Life;
use fleet_domain::desired_state::{DesiredState, Document, Order};
use fleet_domain::ids::{ClientId, DeploymentId, OperatorName, RevisionNumber, Sha256};
use fleet_publish::{Lost, Previous};
use fleet_store::{
    Event, GitObject, GitObjectKind, Job, NewRevision, RevisedDeployment, Revision, Snapshot,
    Transaction,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use git_serve::object::PackedObject;
use tracing::Instrument as _;
use tracing::field::Empty;

use super::repository::{domain_id, git_id};
use super::{Fleet, FleetError, LONGEST_LIST, PUBLISH, signers};
use crate::{problem, traces};

const JOBS_AT_A_TIME: u32 = 256;
/// So many of them are done in one transaction. Whoever else wants to write waits for no more of them.
const JOBS_TOGETHER: usize = 32;
/// While one transaction waits for the disk the next one is made.
const TRANSACTIONS_AT_A_TIME: usize = 2;
/// A job that fails is tried again after this many seconds, and after twice as many each time.
const FIRST_RETRY_SECONDS: i64 = 1;
const LONGEST_RETRY_SECONDS: i64 = 300;

/// The manifest of a client, as it is served.
pub(crate) struct PublishedManifest {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Sha256,
}

/// A revision with its deployments, for operators.
pub(crate) struct RevisionView {
    pub(crate) revision: Revision,
    pub(crate) deployments: Vec<RevisedDeployment>,
}

impl Fleet {
    /// Does the jobs that are due; how many were done. One that fails is put off and stops no other. Many
    /// share the ways to the database and the wait for the disk.
    pub(crate) async fn do_due_jobs(&self, now: i64) -> Result<usize, FleetError> {
        let jobs = self.inner.store.read().await?.due_jobs(now, JOBS_AT_A_TIME).await?;
        let together: Vec<Vec<Job>> = jobs.chunks(JOBS_TOGETHER).map(<[Job]>::to_vec).collect();
        let done = stream::iter(together)
            .map(async |jobs| self.do_together(&jobs, now).await)
            .buffer_unordered(TRANSACTIONS_AT_A_TIME);
        done.try_fold(0, async |sum, done| Ok(sum + done)).await
    }

    /// How many of the jobs were done. Where they fail together each is tried alone.
    async fn do_together(&self, jobs: &[Job], now: i64) -> Result<usize, FleetError> {
        match jobs {
            [job] => self.do_or_postpone(job, now).await.map(usize::from),
            jobs => {
                let span = tracing::trace_span!(
                    target: traces::TARGET,
                    "jobs",
                    otel.status_code = Empty,
                    gantry.jobs = jobs.len(),
                );
                if self.do_jobs(jobs, now).instrument(span.clone()).await.is_ok() {
                    return Ok(jobs.len());
                }
                span.record("otel.status_code", "ERROR");
                let mut done = 0;
                for job in jobs {
                    done += usize::from(self.do_or_postpone(job, now).await?);
                }
                Ok(done)
            }
        }
    }

    /// Whether the job was done.
    async fn do_or_postpone(&self, job: &Job, now: i64) -> Result<bool, FleetError> {
        let span = tracing::trace_span!(
            target: traces::TARGET,
            "job",
            otel.name = job.kind,
            otel.status_code = Empty,
            gantry.client = job.subject,
            gantry.attempt = job.attempts + 1,
        );
        let done = self.do_jobs(slice::from_ref(job), now).instrument(span.clone()).await;
        let Err(error) = done else { return Ok(true) };
        span.record("otel.status_code", "ERROR");
        self.inner.counters.job_failures.inc();
        let doublings = job.attempts.min(16);
        let pause = (FIRST_RETRY_SECONDS << doublings).min(LONGEST_RETRY_SECONDS);
        tracing::error!(
            job = job.kind,
            subject = job.subject,
            retry_in_seconds = pause,
            error = problem::chain(&error),
            "a job failed"
        );
        let mut transaction = self.inner.store.begin().await?;
        transaction.postpone_job(job, now + pause).await?;
        transaction.commit().await?;
        Ok(false)
    }

    /// All of them or none.
    async fn do_jobs(&self, jobs: &[Job], now: i64) -> Result<(), FleetError> {
        let mut transaction = self.inner.store.begin().await?;
        let mut clients = BTreeSet::new();
        for job in transaction.take_jobs(jobs).await? {
            match (job.kind.as_str(), job.subject.parse::<ClientId>()) {
                (PUBLISH, Ok(client)) => clients.insert(client),
                (_, _) => return Err(FleetError::Corrupt("job")),
            };
        }
        let clients: Vec<ClientId> = clients.into_iter().collect();
        let published = publish(&mut transaction, &clients, None, now).await?;
        transaction.commit().await?;
        self.count_publications(published);
        Ok(())
    }

    /// The digest of the newest manifest, which the client is about to be told. The first manifest is
    /// made if its job has not run yet, margo(D-5).
    pub(crate) async fn manifest_digest(
        &self,
        client: ClientId,
        now: i64,
    ) -> Result<Sha256, FleetError> {
        let mut state = self.client_state(client).await?;
        if state.as_ref().is_none_or(|it| it.newest.is_none()) {
            let mut transaction = self.inner.store.begin().await?;
            let published = publish(&mut transaction, &[client], None, now).await?;
            transaction.commit().await?;
            self.count_publications(published);
            state = self.client_state(client).await?;
        }
        let newest = state.as_ref().and_then(|it| it.newest.as_ref());
        let newest = newest.ok_or(FleetError::Corrupt("first revision"))?;
        self.note_given(client, newest.number).await?;
        Ok(newest.manifest_digest)
    }

    /// The newest manifest, after [`manifest_digest`](Self::manifest_digest) has seen that there is one.
    pub(crate) async fn manifest(&self, client: ClientId) -> Result<PublishedManifest, FleetError> {
        let newest = self.inner.store.read().await?.newest_revision(client).await?;
        let newest = newest.ok_or(FleetError::Corrupt("newest revision"))?;
        self.note_given(client, newest.number).await?;
        Ok(PublishedManifest { bytes: newest.manifest, digest: newest.manifest_digest })
    }

    pub(super) fn count_publications(&self, published: usize) {
        self.inner.counters.publications.inc_by(published as u64);
    }

    // margo(A-4, D-15)
    pub(crate) async fn document(
        &self,
        client: ClientId,
        deployment: DeploymentId,
        digest: Sha256,
    ) -> Result<Option<Vec<u8>>, FleetError> {
        Ok(self.inner.store.read().await?.document(client, deployment, &digest).await?)
    }

    // margo(A-4, D-15)
    pub(crate) async fn bundle(
        &self,
        client: ClientId,
        digest: Sha256,
    ) -> Result<Option<Vec<u8>>, FleetError> {
        Ok(self.inner.store.read().await?.bundle(client, &digest).await?)
    }

    /// The revisions of a client, the newest first.
    pub(crate) async fn revisions(
        &self,
        client: ClientId,
        limit: u32,
    ) -> Result<Vec<Revision>, FleetError> {
        let mut snapshot = self.inner.store.read().await?;
        Ok(snapshot.revisions(client, limit.min(LONGEST_LIST)).await?)
    }

    /// One revision of a client, or the newest.
    pub(crate) async fn revision(
        &self,
        client: ClientId,
        number: Option<RevisionNumber>,
    ) -> Result<Option<RevisionView>, FleetError> {
        let mut snapshot = self.inner.store.read().await?;
        let revision = match number {
            Some(number) => snapshot.revision(client, number).await?,
            None => snapshot.newest_revision(client).await?,
        };
        let Some(revision) = revision else { return Ok(None) };
        let deployments = snapshot.revised_deployments(client, revision.number).await?;
        Ok(Some(RevisionView { revision, deployments }))
    }
}

/// Publishes the desired states of different clients, each if it has changed, or if versions of it were
/// lost; how many were published.
pub(super) async fn publish(
    transaction: &mut Transaction,
    clients: &[ClientId],
    lost: Option<Lost>,
    now: i64,
) -> Result<usize, FleetError> {
    let mut previous = previous(transaction, clients).await?;
    let mut desired = transaction.desired_states(clients).await?;
    let mut orders = transaction.pending_orders(clients).await?;
    let keys = signers::keys(transaction).await?;
    let (mut new, mut unchanged) = (Vec::new(), Vec::new());
    for client in clients {
        let previous = previous.remove(client);
        let desired = desired.remove(client).unwrap_or_default();
        let orders = orders.remove(client).unwrap_or_default();
        let made = fleet_publish::publish(
            *client,
            previous.as_ref(),
            &desired,
            &orders,
            &keys,
            lost,
            now,
        )?;
        match (made, previous) {
            (Some(made), _) => new.push((*client, new_revision(made, desired, orders, now)?)),
            // Orders that cancelled each other out: the newest revision carries them all.
            (None, Some(previous)) => unchanged.push((*client, previous.number)),
            (None, None) => {}
        }
    }
    transaction.settle_orders(&unchanged).await?;
    for (client, number) in unchanged {
        settle_unchanged(transaction, client, number, now).await?;
    }
    transaction.publish(&new).await?;
    if lost.is_some() {
        for (client, new) in &new {
            publish_anew(transaction, *client, new.revision.number).await?;
        }
    }
    let published: Vec<ClientId> = new.iter().map(|(client, _)| *client).collect();
    forget_untold(transaction, &published, now).await?;
    for (client, new) in &new {
        tracing::info!(%client, revision = %new.revision.number, "published");
    }
    Ok(new.len())
}

fn new_revision(
    made: fleet_publish::Revision,
    desired: DesiredState,
    orders: Vec<Order>,
    now: i64,
) -> Result<NewRevision, FleetError> {
    let commit = git_object(&made.commit, GitObjectKind::Commit)?;
    let id = commit.id.clone();
    let mut objects = vec![commit];
    for object in &made.objects {
        let kind = if is_tree(object) { GitObjectKind::Tree } else { GitObjectKind::Blob };
        objects.push(git_object(object, kind)?);
    }
    let mut operators: Vec<OperatorName> = orders.into_iter().map(|it| it.operator).collect();
    operators.dedup();
    Ok(NewRevision {
        revision: Revision {
            number: made.number,
            commit: id,
            manifest: made.manifest,
            manifest_digest: made.manifest_digest,
            published_at: now,
            message: made.message,
            operators,
            signer: Some(made.signer.to_string()),
        },
        desired,
        bundle: made.bundle.map(|it| Document { digest: it.digest, bytes: it.bytes }),
        objects,
    })
}

/// What the device says of versions that were lost is not about what was ordered here.
async fn publish_anew(
    transaction: &mut Transaction,
    client: ClientId,
    revision: RevisionNumber,
) -> Result<(), FleetError> {
    for mut entry in transaction.deployments_of(client, LONGEST_LIST).await? {
        let before = entry.deployment.published();
        entry.deployment.publish_anew(revision);
        if entry.deployment.published() != before {
            transaction.save_deployment(&entry).await?;
        }
    }
    Ok(())
}

/// Withdrawn deployments that the clients were never told of need no word from them: they are gone.
async fn forget_untold(
    transaction: &mut Transaction,
    clients: &[ClientId],
    now: i64,
) -> Result<(), FleetError> {
    for mut entry in transaction.withdrawn_and_untold(clients).await? {
        if entry.deployment.forget_untold() {
            transaction.save_deployment(&entry).await?;
            transaction.append_event(entry.deployment.id(), now, &Event::Forgotten).await?;
        }
    }
    Ok(())
}

async fn previous(
    snapshot: &mut Snapshot,
    clients: &[ClientId],
) -> Result<BTreeMap<ClientId, Previous>, FleetError> {
    let newest = snapshot.newest_revisions(clients).await?;
    let numbers: Vec<_> = newest.iter().map(|(client, newest)| (*client, newest.number)).collect();
    let mut documents = snapshot.revision_documents(&numbers).await?;
    let previous = |(client, newest): (ClientId, Revision)| {
        let previous = Previous {
            number: newest.number,
            commit: git_id(&newest.commit)?,
            documents: documents.remove(&client).unwrap_or_default(),
            signer: signers::signer_of(&newest),
            introduces: Signer::introduced_by(&newest.message),
        };
        Ok((client, previous))
    };
    newest.into_iter().map(previous).collect()
}

/// Content that was changed and changed back is what the newest revision carries, and what the device
/// has spoken of.
async fn settle_unchanged(
    transaction: &mut Transaction,
    client: ClientId,
    newest: RevisionNumber,
    now: i64,
) -> Result<(), FleetError> {
    for mut entry in transaction.deployments_of(client, LONGEST_LIST).await? {
        if !entry.deployment.is_wanted() || entry.deployment.published().is_some() {
            continue;
        }
        entry.deployment.publish(newest);
        let before = match entry.deployment.life() {
            Life::Ordered { before } => before.clone(),
            Life::Known(_) | Life::Withdrawn(_) | Life::Gone => None,
        };
        let id = entry.deployment.id();
        transaction.append_event(id, now, &Event::Published { revision: newest }).await?;
        if let Some(report) = before
            && entry.deployment.hear(report.clone(), None, newest).is_ok()
        {
            transaction.append_event(id, now, &Event::Reported(report)).await?;
        }
        transaction.save_deployment(&entry).await?;
    }
    Ok(())
}

fn git_object(object: &PackedObject, kind: GitObjectKind) -> Result<GitObject, FleetError> {
    Ok(GitObject { id: domain_id(&object.id)?, kind, entry: object.entry.clone() })
}

/// The kind stands in the first bits of an entry.
fn is_tree(object: &PackedObject) -> bool {
    object.entry.first().is_some_and(|it| (it >> 4) & 0x7 == 2)
}

#[cfg(test)]
mod tests {
    use super::super::contacts::tests::{fleet_with, id};
    use super::*;

    #[tokio::test]
    async fn of_jobs_that_fail_together_only_the_one_that_cannot_be_done_is_put_off() {
        let (fleet, _folder) = fleet_with(1..41).await;
        let mut transaction = fleet.inner.store.begin().await.expect("nobody else writes");
        let clients: Vec<ClientId> = (1..41).map(id).collect();
        let mut subjects: BTreeSet<String> = clients.iter().map(ToString::to_string).collect();
        subjects.insert("nobody".to_owned());
        transaction.enqueue_jobs(PUBLISH, &subjects, 100).await.expect("there is room");
        transaction.commit().await.expect("there is room");

        let done = fleet.do_due_jobs(100).await.expect("the store answers");
        assert_eq!(done, clients.len());
        let mut snapshot = fleet.inner.store.read().await.expect("the store answers");
        let newest = snapshot.newest_revisions(&clients).await.expect("the store answers");
        assert_eq!(newest.len(), clients.len());
        assert_eq!(snapshot.due_jobs(100, 10).await.expect("the store answers"), []);
        let left = snapshot.due_jobs(200, 10).await.expect("the store answers");
        assert!(matches!(&left[..], [job] if job.subject == "nobody" && job.attempts == 1));
        drop(snapshot);
        assert_eq!(fleet.counters().job_failures.get(), 1);
        assert_eq!(fleet.counters().publications.get(), clients.len() as u64);
    }
}
