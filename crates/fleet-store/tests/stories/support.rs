//! A store on a real file or in a real PostgreSQL database (`GANTRY_TEST_DATABASE=postgres`), and things to put
//! into it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;

use fleet_domain::client::{Client, Standing};
use fleet_domain::contact::{Announcement, Contact, Quiet};
use fleet_domain::deployment::{Deployment, Failure, Progress, Report};
use fleet_domain::desired_state::{
    DesiredState, Document, Order, Ordered, OrderedDeployment, ParameterChange,
};
use fleet_domain::ids::{ClientId, ComponentName, DeploymentId, ObjectId, RevisionNumber, Sha256};
use fleet_store::{
    Application, AuditNote, Database, DeploymentEntry, GitObject, GitObjectKind, NewApplication,
    NewRevision, PackRange, Revision, Snapshot, Store, StoreOptions, Transaction,
};
use tempfile::TempDir;
use testkit::postgres::{Postgres, PostgresDatabase};
use uuid::Uuid;

/// A store in a database of its own.
pub(crate) struct TestStore {
    pub(crate) store: Store,
    place: Arc<Place>,
}

enum Place {
    Folder(TempDir),
    Postgres(PostgresDatabase),
}

impl TestStore {
    pub(crate) async fn new() -> Self {
        let place = match Postgres::of_tests() {
            Some(postgres) => Place::Postgres(postgres.database()),
            None => Place::Folder(tempfile::tempdir().expect("a place for a database")),
        };
        Self::open(Arc::new(place)).await
    }

    /// The same database, as another process would open it.
    pub(crate) async fn reopen(&self) -> Self {
        Self::open(self.place.clone()).await
    }

    async fn open(place: Arc<Place>) -> Self {
        let database = match &*place {
            Place::Folder(folder) => Database::sqlite(&folder.path().join("fleet #1 100%?.db")),
            Place::Postgres(database) => done(database.url().parse()),
        };
        Self { store: done(Store::open(&database, &StoreOptions::default()).await), place }
    }

    pub(crate) async fn begin(&self) -> Transaction {
        done(self.store.begin().await)
    }

    pub(crate) async fn read(&self) -> Snapshot {
        done(self.store.read().await)
    }

    /// A client for which an operator has ordered `pump-monitor`; the job to publish it waits.
    pub(crate) async fn with_an_ordered_deployment(&self) -> (Client, DeploymentEntry) {
        let (press, pumps) = (client(7), deployment(1, client(7).id, "pump-monitor"));
        let mut transaction = self.begin().await;
        done(transaction.add_client(&press, 100).await);
        done(transaction.add_application(&application("1.0.0", b"v1")).await);
        done(transaction.add_deployment(&pumps).await);
        done(transaction.append_order(press.id, &install(&pumps)).await);
        done(transaction.enqueue_job("publish", &press.id.to_string(), 100).await);
        done(transaction.commit().await);
        (press, pumps)
    }
}

pub(crate) fn done<T, E: Debug>(result: Result<T, E>) -> T {
    result.expect("the store does what the story tells")
}

pub(crate) fn id<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("the story uses proper names")
}

pub(crate) fn revision(number: u64) -> RevisionNumber {
    RevisionNumber::new(number).expect("the story counts from 1")
}

pub(crate) fn sha256(byte: u8) -> Sha256 {
    Sha256::from_bytes([byte; 32])
}

pub(crate) fn client(number: u8) -> Client {
    Client {
        id: ClientId::from_uuid(Uuid::from_u128(u128::from(number))),
        fingerprint: sha256(number),
        key: sha256(number),
        issued_as: None,
        certificate_der: vec![0x30, number],
        name: format!("press-{number}"),
        standing: Standing::Waiting,
    }
}

/// A client that is in its downtime until it calls `next`, or that does not say when it calls.
pub(crate) fn contact(last: i64, next: Option<i64>) -> Contact {
    let announcement = next.map(|next| Announcement {
        next,
        by: next + 60,
        quiet: Some(Quiet::Downtime),
        revision: Some(revision(3)),
        undelivered: 2,
    });
    Contact { last, announcement }
}

pub(crate) fn application(version: &str, description: &[u8]) -> NewApplication {
    let package = sha256(0xb1);
    NewApplication {
        application: Application {
            id: id("com-example-pumps"),
            version: id(version),
            name: "Pump monitor".to_owned(),
            digest: sha256(description[0]),
            description: description.to_vec(),
            added_at: 90,
            added_by: id("ada"),
            packages: BTreeMap::from([("compose".to_owned(), package)]),
        },
        packages: BTreeMap::from([(package, vec![0x1f, 0x8b])]),
    }
}

pub(crate) fn deployment(number: u128, client: ClientId, name: &str) -> DeploymentEntry {
    let deployment = DeploymentId::from_uuid(Uuid::from_u128(number));
    DeploymentEntry {
        deployment: done(Deployment::order(deployment, [id::<ComponentName>("api")])),
        client,
        device: id("press-7"),
        name: id(name),
        application: id("com-example-pumps"),
        version: id("1.0.0"),
        parameters: r#"{"greeting":"Moin"}"#.to_owned(),
        document: Document { digest: sha256(0xd0), bytes: b"id: 1\n".to_vec() },
        ordered_by: id("ada"),
        ordered_at: 100,
        heard_at: None,
    }
}

pub(crate) fn install(entry: &DeploymentEntry) -> Order {
    let change = ParameterChange {
        name: "greeting".to_owned(),
        before: None,
        after: Some("Moin".to_owned()),
    };
    Order {
        operator: entry.ordered_by.clone(),
        at: entry.ordered_at,
        what: Ordered::Install {
            deployment: OrderedDeployment {
                id: entry.deployment.id(),
                name: entry.name.clone(),
                application: entry.application.clone(),
                version: entry.version.clone(),
                changes: vec![change],
            },
        },
        reason: Some("night shift".to_owned()),
    }
}

pub(crate) fn failure(message: &str) -> Failure {
    Failure { code: "pull".to_owned(), source: "compose".to_owned(), message: message.to_owned() }
}

pub(crate) fn report(progress: Progress) -> Report {
    done(Report::new(progress.clone(), [(id("api"), progress)]))
}

pub(crate) async fn desired_state(snapshot: &mut Snapshot, client: ClientId) -> DesiredState {
    done(snapshot.desired_states(&[client]).await).remove(&client).unwrap_or_default()
}

pub(crate) async fn pending_orders(snapshot: &mut Snapshot, client: ClientId) -> Vec<Order> {
    done(snapshot.pending_orders(&[client]).await).remove(&client).unwrap_or_default()
}

/// An object id that starts with two digits which tell objects apart.
pub(crate) fn oid(digits: &str) -> ObjectId {
    id(&format!("{digits}{}", "0".repeat(38)))
}

pub(crate) fn object(digits: &str) -> GitObject {
    let kind = match &digits[..1] {
        "c" => GitObjectKind::Commit,
        "d" => GitObjectKind::Tree,
        _ => GitObjectKind::Blob,
    };
    GitObject { id: oid(digits), kind, entry: digits.as_bytes().to_vec() }
}

/// A revision whose first object is its commit.
pub(crate) fn new_revision(number: u64, desired: DesiredState, objects: &[&str]) -> NewRevision {
    let operators = BTreeSet::from([id("ada"), id("grace")]);
    NewRevision {
        revision: Revision {
            number: revision(number),
            commit: oid(objects[0]),
            manifest: format!("{{\"manifestVersion\":{number}}}").into_bytes(),
            manifest_digest: sha256(0xa0),
            published_at: 104,
            message: "Install com-example-pumps".to_owned(),
            operators: operators.into_iter().collect(),
            signer: Some("ssh-ed25519 AAAA".to_owned()),
        },
        desired,
        bundle: Some(Document { digest: sha256(0xbb), bytes: vec![0x1f, 0x8b, 0] }),
        objects: objects.iter().map(|it| object(it)).collect(),
    }
}

/// Everything that a revision needs, and nothing else.
pub(crate) fn all_of(number: u64) -> PackRange {
    PackRange { complete_at: Some(revision(number)), added: number + 1..=number }
}

pub(crate) fn note(action: &str) -> AuditNote {
    AuditNote {
        at: 100,
        actor: "ada".to_owned(),
        action: action.to_owned(),
        subject: "press-7".to_owned(),
        detail: String::new(),
    }
}
