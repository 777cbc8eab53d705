//! Fills the store of a server that does not run with clients of three revisions each, with keys and
//! certificates of their own: let in, an application installed, a parameter changed. Made by the code that
//! makes them in a real fleet, but many clients share one transaction.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use commit_signature::SigningKey;
use fleet_domain::client::{Client, Standing};
use fleet_domain::deployment::Deployment;
use fleet_domain::desired_state::{
    DesiredState, Document, Order, Ordered, OrderedDeployment, ParameterChange,
};
use fleet_domain::ids::{ClientId, DeploymentId, DeviceId, ObjectId, OperatorName, Sha256};
use fleet_publish::Previous;
pub use fleet_store::Database;
use fleet_store::{
    DeploymentEntry, DeviceEntry, DeviceReport, GitObject, GitObjectKind, NewRevision, Revision,
    Store, StoreOptions, Transaction,
};
use git_serve::object::PackedObject;
use margo_contract::digest::Digest;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use ring::hmac;
use uuid::Uuid;

/// So many are made ahead of the store, and written with the same statements.
const CLIENTS_IN_A_TRANSACTION: usize = 100;
const PROGRESS: usize = 20_000;
/// The name of the setting with the key of all tokens for Git.
const TOKEN_KEY: &str = "repository-token-key";
/// How long the tokens of the benchmark last, in seconds.
const TOKEN_LIFETIME: i64 = 24 * 60 * 60;

/// A client with three revisions, and what it proves itself with.
#[derive(Debug, Clone)]
pub struct Member {
    pub client: ClientId,
    /// Its key, in PKCS#8.
    pub key: Vec<u8>,
    /// The value of the header `Authorization` for its repository.
    pub authorization: String,
    /// The commits of its repository, the oldest first.
    pub commits: [git_serve::ObjectId; 3],
    /// The digest of its newest manifest.
    pub manifest: Sha256,
    /// Its one deployment, of one component, [`COMPONENT`].
    pub deployment: DeploymentId,
}

/// The component of every deployment.
pub const COMPONENT: &str = "hello";

/// A client, ready to be written.
struct Prepared {
    key: Vec<u8>,
    client: Client,
    deployment: DeploymentEntry,
    update: DeploymentEntry,
    orders: [Order; 3],
    revisions: [NewRevision; 3],
}

/// Adds so many clients to the store in this file.
pub fn populate(database: &Database, count: usize, step: &dyn Fn(&str)) -> Vec<Member> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    let (sender, prepared) = sync_channel(CLIENTS_IN_A_TRANSACTION);
    thread::scope(|scope| {
        scope.spawn(move || {
            let key = SigningKey::generate().expect("the system has randomness");
            let keys = [SigningKey::from_pkcs8_der(&key).expect("a new key can be used")];
            for _ in 0..count {
                // Nobody listens when writing has failed, which says so itself.
                if sender.send(prepare(&keys)).is_err() {
                    return;
                }
            }
        });
        runtime.block_on(write(database, count, prepared, step))
    })
}

async fn write(
    database: &Database,
    count: usize,
    prepared: Receiver<Prepared>,
    step: &dyn Fn(&str),
) -> Vec<Member> {
    let store = Store::open(database, &StoreOptions::default()).await;
    let store = store.expect("the server's store can be opened");
    let mut snapshot = store.read().await.expect("the store can be read");
    let key = snapshot.setting(TOKEN_KEY).await.expect("the store can be read");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key.expect("the server has made its key"));
    drop(snapshot);

    let mut members = Vec::with_capacity(count);
    while members.len() < count {
        let mut transaction = store.begin().await.expect("nobody else writes");
        let some: Vec<Prepared> = prepared.iter().take(CLIENTS_IN_A_TRANSACTION).collect();
        add(&mut transaction, &some).await.expect("new clients can be added");
        transaction.commit().await.expect("there is room on the disk");
        members.extend(some.into_iter().map(|it| member(it, &key)));
        if members.len().is_multiple_of(PROGRESS) && members.len() < count {
            step(&format!("  {} of {count}", members.len()));
        }
    }
    store.close().await;
    members
}

/// Adds the device of each of these clients, of which `capabilities` says by its name what it is.
pub fn describe(database: &Database, members: &[Member], capabilities: &dyn Fn(&str) -> String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    runtime.block_on(async {
        let store = Store::open(database, &StoreOptions::default()).await;
        let store = store.expect("the server's store can be opened");
        for some in members.chunks(CLIENTS_IN_A_TRANSACTION) {
            let mut transaction = store.begin().await.expect("nobody else writes");
            for member in some {
                let device = name(member.client.as_uuid());
                let capabilities = capabilities(&device);
                let described = describe_one(&mut transaction, member, &device, capabilities);
                described.await.expect("a device can be added");
            }
            transaction.commit().await.expect("there is room on the disk");
        }
        store.close().await;
    });
}

async fn describe_one(
    transaction: &mut Transaction,
    member: &Member,
    device: &str,
    capabilities: String,
) -> Result<(), fleet_store::StoreError> {
    let (device, at): (DeviceId, i64) = (device.parse().expect("it is a device id"), now());
    let kept = Some(capabilities.clone());
    let report =
        DeviceReport { device: device.clone(), at, capabilities: kept, changes: "[]".to_owned() };
    transaction.append_device_report(member.client, &report).await?;
    let entry = DeviceEntry { id: device, capabilities, reported_at: at };
    transaction.record_device(member.client, &entry).await.map(drop)
}

async fn add(
    transaction: &mut Transaction,
    prepared: &[Prepared],
) -> Result<(), fleet_store::StoreError> {
    for it in prepared {
        transaction.add_client(&it.client, now()).await?;
    }
    publish(transaction, prepared, 0).await?;
    let new: Vec<_> = prepared.iter().map(|it| it.deployment.clone()).collect();
    transaction.add_deployments(&new).await?;
    publish(transaction, prepared, 1).await?;
    for it in prepared {
        transaction.save_deployment(&it.update).await?;
    }
    publish(transaction, prepared, 2).await
}

/// Orders and publishes one of the three revisions of each client.
async fn publish(
    transaction: &mut Transaction,
    prepared: &[Prepared],
    place: usize,
) -> Result<(), fleet_store::StoreError> {
    let orders: Vec<_> = prepared.iter().map(|it| (it.client.id, &it.orders[place])).collect();
    transaction.append_orders(&orders).await?;
    let revisions: Vec<_> =
        prepared.iter().map(|it| (it.client.id, it.revisions[place].clone())).collect();
    transaction.publish(&revisions).await
}

/// Everything of a client, as an operator's three orders would make it.
fn prepare(keys: &[SigningKey]) -> Prepared {
    let (key, client) = client();
    let id = DeploymentId::from_uuid(Uuid::new_v4());
    let deployment = deployment(id, &client, "Hello");
    let mut update = deployment.clone();
    update.document = document(id, client.id, "Moin");
    update.parameters = r#"{"greeting":"Moin"}"#.to_owned();
    let component = COMPONENT.parse().expect("it is a name");
    update.deployment.reorder([component]).expect("it is wanted and has a component");

    let change = |before: Option<&str>, after: &str| OrderedDeployment {
        id,
        name: deployment.name.clone(),
        application: deployment.application.clone(),
        version: deployment.version.clone(),
        changes: vec![ParameterChange {
            name: "greeting".to_owned(),
            before: before.map(str::to_owned),
            after: Some(after.to_owned()),
        }],
    };
    let orders = [
        Ordered::Admit { client: client.name.clone() },
        Ordered::Install { deployment: change(None, "Hello") },
        Ordered::Update { deployment: change(Some("Hello"), "Moin") },
    ];
    let orders = orders.map(|what| Order { operator: operator(), at: now(), what, reason: None });
    let states = [None, Some(&deployment.document), Some(&update.document)];
    let mut previous: Option<Previous> = None;
    let revisions = [0, 1, 2].map(|number: usize| {
        let documents = states[number].map(|it| (id, it.clone())).into_iter().collect();
        let desired = DesiredState { documents };
        let order = std::slice::from_ref(&orders[number]);
        let made = fleet_publish::publish(
            client.id,
            previous.as_ref(),
            &desired,
            order,
            keys,
            None,
            now(),
        );
        let made = made.expect("a revision can be made").expect("something has changed");
        let documents: BTreeMap<DeploymentId, Sha256> =
            desired.documents.iter().map(|(id, it)| (*id, it.digest)).collect();
        previous = Some(Previous {
            number: made.number,
            commit: made.commit.id,
            documents,
            signer: Some(made.signer.clone()),
            introduces: None,
        });
        stored(made, desired)
    });
    Prepared { key, client, deployment, update, orders, revisions }
}

fn client() -> (Vec<u8>, Client) {
    let id = Uuid::new_v4();
    let name = name(id);
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("P-256 keys can be made");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name.as_str());
    let certificate = params.self_signed(&pair).expect("a key can sign its own certificate");
    let client = Client {
        id: ClientId::from_uuid(id),
        fingerprint: sha256(certificate.der()),
        key: sha256(&pair.subject_public_key_info()),
        issued_as: None,
        certificate_der: certificate.der().to_vec(),
        name,
        standing: Standing::Approved,
    };
    (pair.serialize_der(), client)
}

/// What a client and its device are called.
fn name(id: Uuid) -> String {
    format!("press-{id}")
}

fn deployment(id: DeploymentId, client: &Client, greeting: &str) -> DeploymentEntry {
    let component = COMPONENT.parse().expect("it is a name");
    DeploymentEntry {
        deployment: Deployment::order(id, [component]).expect("it has a component"),
        client: client.id,
        device: client.name.parse().expect("it is a device id"),
        name: "com-gantry-hello".parse().expect("it is a name"),
        application: "com-gantry-hello".parse().expect("it is an application id"),
        version: "1.0.0".parse().expect("it is a version"),
        parameters: format!(r#"{{"greeting":"{greeting}"}}"#),
        document: document(id, client.id, greeting),
        ordered_by: operator(),
        ordered_at: now(),
        heard_at: None,
    }
}

/// What the fleet manager writes for `examples/hello`.
fn document(id: DeploymentId, client: ClientId, greeting: &str) -> Document {
    let package = sha256(b"package");
    let bytes = format!(
        "apiVersion: application.margo.org/v1alpha1\nkind: ApplicationDeployment\nmetadata:\n  \
         annotations:\n    applicationId: com-gantry-hello\n    id: {id}\n  \
         name: com-gantry-hello\n  namespace: default\nspec:\n  deploymentProfile:\n    \
         type: compose\n    components:\n    - name: hello\n      properties:\n        \
         packageLocation: https://localhost/api/v1/clients/{client}/packages/{package}\n        \
         timeout: 2m0s\n        wait: true\n  parameters:\n    greeting:\n      \
         value: {greeting}\n      targets:\n      - pointer: GREETING\n        components:\n        \
         - hello\n    port:\n      value: 18080\n      targets:\n      - pointer: HELLO_PORT\n        \
         components:\n        - hello\n"
    );
    Document { digest: sha256(bytes.as_bytes()), bytes: bytes.into_bytes() }
}

fn stored(made: fleet_publish::Revision, desired: DesiredState) -> NewRevision {
    let commit = domain_id(&made.commit.id);
    let objects = [&made.commit].into_iter().chain(&made.objects);
    NewRevision {
        revision: Revision {
            number: made.number,
            commit,
            manifest: made.manifest,
            manifest_digest: made.manifest_digest,
            published_at: now(),
            message: made.message,
            operators: vec![operator()],
            signer: Some(made.signer.to_string()),
        },
        desired,
        bundle: made.bundle.map(|it| Document { digest: it.digest, bytes: it.bytes }),
        objects: objects.map(git_object).collect(),
    }
}

/// The kind stands in the first bits of an entry of a pack.
fn git_object(object: &PackedObject) -> GitObject {
    let kind = match object.entry.first().map(|it| (it >> 4) & 7) {
        Some(1) => GitObjectKind::Commit,
        Some(2) => GitObjectKind::Tree,
        _ => GitObjectKind::Blob,
    };
    GitObject { id: domain_id(&object.id), kind, entry: object.entry.clone() }
}

fn member(prepared: Prepared, token_key: &hmac::Key) -> Member {
    let commit = |revision: &NewRevision| {
        let hex = revision.revision.commit.as_str().as_bytes();
        git_serve::ObjectId::from_hex(hex).expect("a commit has an id")
    };
    let [first, second, third] = &prepared.revisions;
    Member {
        client: prepared.client.id,
        authorization: authorization(&prepared.client, token_key),
        commits: [commit(first), commit(second), commit(third)],
        manifest: third.revision.manifest_digest,
        deployment: prepared.deployment.deployment.id(),
        key: prepared.key,
    }
}

/// A token as the server makes it; asking it for each of many thousands would take longer than all the
/// rest.
fn authorization(client: &Client, key: &hmac::Key) -> String {
    let expiry = (now() + TOKEN_LIFETIME).to_be_bytes();
    let id = client.id.as_uuid();
    let purpose = b"gantry repository\0".as_slice();
    let signed = [purpose, id.as_bytes(), client.key.as_bytes(), &expiry].concat();
    let tag = hmac::sign(key, &signed);
    let token = URL_SAFE_NO_PAD.encode([&expiry[..], tag.as_ref()].concat());
    format!("Basic {}", STANDARD.encode(format!("{}:{token}", client.id)))
}

fn operator() -> OperatorName {
    "administrator".parse().expect("it is a name")
}

fn domain_id(id: &git_serve::ObjectId) -> ObjectId {
    id.to_string().parse().expect("an id of Git is one of ours")
}

fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(*Digest::of(bytes).as_bytes())
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    i64::try_from(now.as_secs()).expect("the clock is before the end of all time")
}
