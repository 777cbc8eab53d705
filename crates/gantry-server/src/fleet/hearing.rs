//! Hears what devices say of their deployments. Reports that come together are heard together: one way to
//! the database for each kind of thing that is asked there, and one wait for the disk, for all of them.
//! Each stands for itself all the same: one that is refused changes nothing, and spoils no other.

use std::collections::{HashMap, HashSet};

use fleet_domain::deployment::{Heard, Report, ReportRefused};
use fleet_domain::ids::{ClientId, DeploymentId, RevisionNumber};
use fleet_store::{DeploymentEntry, Event, Store, StoreError, Transaction};
use tokio::sync::{mpsc, oneshot};

use super::{Fleet, FleetError};
use crate::identity::{SignedOnce, VerifiedClient};

/// How many are heard together at most.
const TOGETHER: usize = 128;
/// How many can wait before others wait for a place.
pub(super) const LINE: usize = 1024;

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordReportError {
    #[error("the client has no such deployment")]
    UnknownDeployment,
    #[error(transparent)]
    Refused(#[from] ReportRefused),
    #[error("the report could not be remembered")]
    Fleet(#[from] FleetError),
}

/// What a client says of one of its deployments.
pub(super) struct Said {
    client: ClientId,
    signed: SignedOnce,
    deployment: DeploymentId,
    report: Report,
    adopted: Option<RevisionNumber>,
    /// The newest revision when it was said: the client can have taken up no later one.
    newest: RevisionNumber,
    at: i64,
    answer: oneshot::Sender<Answer>,
}

impl From<StoreError> for RecordReportError {
    fn from(error: StoreError) -> Self {
        Self::Fleet(error.into())
    }
}

type Answer = Result<Heard, RecordReportError>;

impl Fleet {
    /// Hears what a device says of a deployment of its client. It is remembered with its signature when
    /// this returns, so that the same request changes nothing twice.
    pub(crate) async fn record_report(
        &self,
        client: &VerifiedClient,
        deployment: DeploymentId,
        report: Report,
        adopted: Option<RevisionNumber>,
        now: i64,
    ) -> Answer {
        if let Some(adopted) = adopted {
            self.recover_above(client.id(), adopted, now).await?;
        }
        let state = self.client_state(client.id()).await?;
        let newest = state.as_ref().and_then(|it| it.newest.as_ref());
        let newest = newest.map_or(RevisionNumber::first(), |it| it.number);
        let (answer, heard) = oneshot::channel();
        let said = Said {
            client: client.id(),
            signed: client.signed().clone(),
            deployment,
            report,
            adopted,
            newest,
            at: now,
            answer,
        };
        self.inner.said.send(said).await.map_err(|_| StoreError::closed())?;
        let heard = heard.await.map_err(|_| StoreError::closed())?;
        if heard.is_ok() {
            self.inner.announced.notify_one();
        }
        heard
    }
}

/// Hears, as long as somebody can say something.
pub(super) async fn hear_all(store: &Store, mut line: mpsc::Receiver<Said>) {
    let mut next = None;
    while let Some(first) = match next.take() {
        Some(first) => Some(first),
        None => line.recv().await,
    } {
        let mut of = HashSet::from([first.deployment]);
        let mut together = vec![first];
        while together.len() < TOGETHER
            && let Ok(said) = line.try_recv()
        {
            // What is said of the same deployment later is heard later.
            if !of.insert(said.deployment) {
                next = Some(said);
                break;
            }
            together.push(said);
        }
        answer_all(store, together).await;
    }
}

async fn answer_all(store: &Store, said: Vec<Said>) {
    let failed = match hear_together(store, &said).await {
        Ok(heard) => {
            for (said, heard) in said.into_iter().zip(heard) {
                // Who has hung up meanwhile says it again.
                drop(said.answer.send(heard));
            }
            return;
        }
        Err(failed) => failed,
    };
    // A deployment that cannot be read is nobody else's trouble.
    let is_of_one = matches!(failed, StoreError::Corrupt { .. });
    for said in said {
        let alone = if is_of_one {
            hear_together(store, std::slice::from_ref(&said)).await
        } else {
            Err(failed.clone())
        };
        let answer = alone.and_then(|mut it| it.pop().ok_or_else(StoreError::closed));
        drop(said.answer.send(answer.unwrap_or_else(|error| Err(error.into()))));
    }
}

/// What comes of one report, before it is written down.
struct Change {
    entry: DeploymentEntry,
    heard: Heard,
    event: Option<Event>,
}

/// What comes of each, in the same order.
async fn hear_together(store: &Store, said: &[Said]) -> Result<Vec<Answer>, StoreError> {
    let mut transaction = store.begin().await?;
    let ids: Vec<DeploymentId> = said.iter().map(|it| it.deployment).collect();
    let entries = transaction.deployments_with_ids(&ids).await?;
    let mut entries: HashMap<DeploymentId, DeploymentEntry> =
        entries.into_iter().map(|it| (it.deployment.id(), it)).collect();
    let mut changes = Vec::with_capacity(said.len());
    for said in said {
        let entry = entries.remove(&said.deployment);
        changes.push(decide(&mut transaction, entry, said).await?);
    }

    let taken = said.iter().zip(&changes).filter(|(_, change)| change.is_ok());
    let names: Vec<_> = taken.map(|(said, _)| (said.signed.name, said.signed.until)).collect();
    let new = transaction.remember_signatures(&names).await?;
    for (said, change) in said.iter().zip(&mut changes) {
        if change.is_ok() && !new.contains(&said.signed.name) {
            *change = Err(FleetError::Replayed.into());
        }
    }

    let (mut saved, mut answers) = (Vec::new(), Vec::with_capacity(said.len()));
    let mut news = Vec::new();
    for change in changes {
        answers.push(change.map(|Change { entry, heard, event }| {
            news.extend(event.map(|event| (entry.deployment.id(), event)));
            saved.push(entry);
            heard
        }));
    }
    transaction.save_progress(&saved).await?;
    let news: Vec<(DeploymentId, &Event)> = news.iter().map(|(id, event)| (*id, event)).collect();
    let at = said.iter().map(|it| it.at).max().unwrap_or_default();
    transaction.append_events(at, &news).await?;
    transaction.commit().await?;
    Ok(answers)
}

async fn decide(
    transaction: &mut Transaction,
    entry: Option<DeploymentEntry>,
    said: &Said,
) -> Result<Result<Change, RecordReportError>, StoreError> {
    let Some(mut entry) = entry.filter(|it| it.client == said.client) else {
        return Ok(Err(RecordReportError::UnknownDeployment));
    };
    let before = entry.deployment.clone();
    let heard = match entry.deployment.hear(said.report.clone(), said.adopted, said.newest) {
        Ok(heard) => heard,
        Err(refused) => return Ok(Err(refused.into())),
    };
    // margo(S-5): a deployment that was gone and came back has been heard of before.
    let heard = if entry.heard_at.is_some() { Heard::Again } else { heard };
    entry.heard_at = Some(said.at);
    let event = Event::Reported(said.report.clone());
    let is_news = entry.deployment != before || {
        // A device that never got its answer says the same again.
        let newest = transaction.newest_deployment_event(said.deployment).await?;
        newest.is_none_or(|newest| newest.event != event)
    };
    Ok(Ok(Change { entry, heard, event: is_news.then_some(event) }))
}

#[cfg(test)]
mod tests {
    use fleet_domain::client::{Client, Standing};
    use fleet_domain::deployment::{Deployment, Progress};
    use fleet_domain::desired_state::Document;
    use fleet_domain::ids::Sha256;
    use fleet_store::{Database, StoreOptions};
    use tempfile::TempDir;
    use uuid::Uuid;

    use super::*;

    const HASH: Sha256 = Sha256::from_bytes([7; 32]);
    /// After every signature of these tests.
    const UNTIL: i64 = 460;

    fn client(number: u128) -> ClientId {
        ClientId::from_uuid(Uuid::from_u128(number))
    }

    fn deployment(number: u128) -> DeploymentId {
        DeploymentId::from_uuid(Uuid::from_u128(number))
    }

    /// A store with one client that has deployments of these numbers, each of one component, `web`.
    async fn store_with(numbers: std::ops::RangeInclusive<u128>) -> (Store, TempDir) {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let database = Database::sqlite(&folder.path().join("fleet.db"));
        let store = Store::open(&database, &StoreOptions::default()).await.expect("it opens");
        let mut transaction = store.begin().await.expect("nobody else writes");
        let known = Client {
            id: client(1),
            fingerprint: HASH,
            key: HASH,
            issued_as: None,
            certificate_der: vec![0x30],
            name: "press-7".to_owned(),
            standing: Standing::Approved,
        };
        transaction.add_client(&known, 0).await.expect("the client is new");
        for number in numbers {
            let web = "web".parse().expect("a name");
            let order = Deployment::order(deployment(number), [web]);
            let entry = DeploymentEntry {
                deployment: order.expect("it has a component"),
                client: client(1),
                device: format!("device-{number}").parse().expect("a device id"),
                name: format!("app-{number}").parse().expect("a name"),
                application: "com-example-app".parse().expect("an id"),
                version: "1.0.0".parse().expect("a version"),
                parameters: "{}".to_owned(),
                document: Document { digest: HASH, bytes: b"id: 1".to_vec() },
                ordered_by: "ada".parse().expect("a name"),
                ordered_at: 0,
                heard_at: None,
            };
            transaction.add_deployment(&entry).await.expect("there is room on the disk");
        }
        transaction.commit().await.expect("there is room on the disk");
        (store, folder)
    }

    /// What a client says under a signature of this name, and where the answer would go.
    fn says(by: ClientId, number: u128, component: &str, name: u8) -> Said {
        let component = component.parse().expect("a name");
        let report = Report::new(Progress::Installing, [(component, Progress::Installing)]);
        Said {
            client: by,
            signed: SignedOnce { name: [name; 32], until: UNTIL },
            deployment: deployment(number),
            report: report.expect("it does not contradict itself"),
            adopted: None,
            newest: RevisionNumber::first(),
            at: 100,
            answer: oneshot::channel().0,
        }
    }

    async fn events(store: &Store, number: u128) -> usize {
        let mut snapshot = store.read().await.expect("the store answers");
        let events = snapshot.deployment_events(deployment(number), 0, 100).await;
        events.expect("the store answers").len()
    }

    #[tokio::test]
    async fn what_is_said_together_is_judged_one_by_one() {
        let (store, _folder) = store_with(1..=6).await;
        let first = [says(client(1), 1, "web", 1)];
        let heard = hear_together(&store, &first).await.expect("the store answers");
        assert!(matches!(heard[..], [Ok(Heard::First)]), "{heard:?}");

        let together = [
            says(client(1), 2, "web", 2),
            says(client(2), 3, "web", 3),
            says(client(1), 99, "web", 4),
            says(client(1), 4, "database", 5),
            says(client(1), 5, "web", 1),
            says(client(1), 1, "web", 6),
            says(client(1), 6, "web", 7),
        ];
        let heard = hear_together(&store, &together).await.expect("the store answers");
        assert!(matches!(heard[0], Ok(Heard::First)), "{heard:?}");
        assert!(matches!(heard[1], Err(RecordReportError::UnknownDeployment)), "not its own");
        assert!(matches!(heard[2], Err(RecordReportError::UnknownDeployment)), "nobody's");
        assert!(matches!(heard[3], Err(RecordReportError::Refused(_))), "{heard:?}");
        let replayed = &heard[4];
        assert!(matches!(replayed, Err(RecordReportError::Fleet(FleetError::Replayed))));
        assert!(matches!(heard[5], Ok(Heard::Again)), "{heard:?}");
        assert!(matches!(heard[6], Ok(Heard::First)), "{heard:?}");
        for (number, expected) in [(1, 1), (2, 1), (3, 0), (4, 0), (5, 0), (6, 1)] {
            assert_eq!(events(&store, number).await, expected, "deployment {number}");
        }
        let mut snapshot = store.read().await.expect("the store answers");
        for (number, expected) in [(2, Some(100)), (3, None), (4, None), (5, None)] {
            let entry = snapshot.deployment(deployment(number)).await.expect("the store answers");
            assert_eq!(entry.expect("it is there").heard_at, expected, "deployment {number}");
        }
    }

    #[tokio::test]
    async fn a_crowd_is_answered_and_what_is_said_of_the_same_deployment_is_heard_in_order() {
        let (store, _folder) = store_with(1..=200).await;
        let (sender, line) = mpsc::channel(LINE);
        let mut answers = Vec::new();
        for name in 0..=200_u8 {
            let (answer, heard) = oneshot::channel();
            // The last two are of one deployment.
            let number = u128::from(name.min(199)) + 1;
            let said = Said { answer, ..says(client(1), number, "web", name) };
            assert!(sender.try_send(said).is_ok(), "there is room in the line");
            answers.push(heard);
        }
        drop(sender);
        hear_all(&store, line).await;
        let mut heard = Vec::new();
        for answer in answers {
            heard.push(answer.await.expect("everybody is answered").expect("it is well said"));
        }
        assert!(heard[..200].iter().all(|it| *it == Heard::First), "{heard:?}");
        assert_eq!(heard[200], Heard::Again);
    }

    #[tokio::test]
    async fn a_deployment_that_cannot_be_read_is_nobody_elses_trouble() {
        let (store, folder) = store_with(1..=2).await;
        let url = format!("sqlite://{}", folder.path().join("fleet.db").display());
        let pool = sqlx::AnyPool::connect(&url).await.expect("the database opens twice");
        let damage = "UPDATE deployments SET life = 'none' WHERE name = 'app-1'";
        sqlx::query(damage).execute(&pool).await.expect("there is such a row");
        let mut together = Vec::new();
        let mut answers = Vec::new();
        for number in 1..=2_u8 {
            let (answer, heard) = oneshot::channel();
            let said = says(client(1), u128::from(number), "web", number);
            together.push(Said { answer, ..said });
            answers.push(heard);
        }
        answer_all(&store, together).await;
        let mut heard = Vec::new();
        for answer in answers {
            heard.push(answer.await.expect("everybody is answered"));
        }
        let failed = &heard[0];
        let corrupt = |it: &Answer| {
            matches!(
                it,
                Err(RecordReportError::Fleet(FleetError::Store(StoreError::Corrupt { .. })))
            )
        };
        assert!(corrupt(failed), "{failed:?}");
        assert!(matches!(heard[1], Ok(Heard::First)), "{heard:?}");
    }
}
