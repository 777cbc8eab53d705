//! A revision is one thing in four forms, and each form says the same.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use fleet_domain::desired_state::{Document, Ordered, OrderedDeployment, ParameterChange};
use uuid::Uuid;

use super::*;

const NOW: i64 = 1_800_000_000;

/// Always the same one.
fn key() -> SigningKey {
    static KEY: OnceLock<Vec<u8>> = OnceLock::new();
    let der = KEY.get_or_init(|| SigningKey::generate().expect("there is randomness"));
    SigningKey::from_pkcs8_der(der).expect("it was just made")
}

fn client() -> ClientId {
    ClientId::from_uuid(Uuid::from_u128(7))
}

fn id(number: u128) -> DeploymentId {
    DeploymentId::from_uuid(Uuid::from_u128(number))
}

fn desired(documents: &[(u128, &str)]) -> DesiredState {
    let document =
        |text: &str| Document { digest: sha256(text.as_bytes()), bytes: text.as_bytes().to_vec() };
    DesiredState {
        documents: documents.iter().map(|(it, text)| (id(*it), document(text))).collect(),
    }
}

fn order(what: fn(OrderedDeployment) -> Ordered, reason: Option<&str>) -> Order {
    let deployment = OrderedDeployment {
        id: id(1),
        name: "hello".parse().expect("a name"),
        application: "com-gantry-hello".parse().expect("an id"),
        version: "1.0.0".parse().expect("a version"),
        changes: vec![ParameterChange {
            name: "greeting".to_owned(),
            before: Some("Hello".to_owned()),
            after: Some("Moin".to_owned()),
        }],
    };
    Order {
        operator: "ada".parse().expect("a name"),
        at: NOW - 1,
        what: what(deployment),
        reason: reason.map(str::to_owned),
    }
}

fn revision(previous: Option<&Previous>, desired: &DesiredState, orders: &[Order]) -> Revision {
    publish(client(), previous, desired, orders, &[key()], None, NOW)
        .expect("it can be made")
        .expect("it is new")
}

fn previous(revision: &Revision, desired: &DesiredState) -> Previous {
    let documents = desired.documents.iter().map(|(id, it)| (*id, it.digest));
    Previous {
        number: revision.number,
        commit: revision.commit.id,
        documents: documents.collect(),
        signer: Some(revision.signer.clone()),
        introduces: Signer::introduced_by(&revision.message),
    }
}

// margo(D-2, D-5, D-23, SM-4)
#[test]
fn the_first_revision_is_number_one_and_may_be_empty() {
    let first = revision(None, &desired(&[]), &[]);
    assert_eq!(first.number.get(), 1);
    assert_eq!(first.manifest, br#"{"bundle":null,"deployments":[],"manifestVersion":1}"#);
    assert_eq!(first.bundle, None);
}

// margo(D-2, D-3)
#[test]
fn a_change_makes_the_next_revision_and_no_change_none() {
    let one = desired(&[(1, "a: 1\n")]);
    let first = revision(None, &one, &[]);
    let before = previous(&first, &one);
    let again = publish(client(), Some(&before), &one, &[], &[key()], None, NOW + 9);
    assert_eq!(again.expect("fine"), None);

    let two = desired(&[(1, "a: 2\n")]);
    assert_eq!(revision(Some(&before), &two, &[]).number.get(), 2);
    assert_eq!(revision(Some(&before), &desired(&[]), &[]).number.get(), 2);
}

// margo(D-22, D-25, SM-5, G-0)
#[test]
fn manifest_bundle_and_tree_hold_the_same_documents() {
    let desired = desired(&[(1, "a: 1\n"), (2, "b: 2\n")]);
    let revision = revision(None, &desired, &[]);
    let manifest = StateManifest::parse(&revision.manifest).expect("our own manifest");
    let bundle = revision.bundle.as_ref().expect("there are documents");
    let unpacked = margo_contract::bundle::read(&bundle.bytes, &manifest).expect("our own bundle");
    for (listed, document) in manifest.deployments.iter().zip(desired.documents.values()) {
        assert_eq!(unpacked[&listed.digest], document.bytes);
        let blob = object::blob(&document.bytes).expect("a blob");
        assert!(revision.objects.contains(&blob));
        assert_eq!(
            listed.url,
            format!(
                "/api/v1/clients/{}/deployments/{}/{}",
                client(),
                listed.deployment_id,
                listed.digest
            )
        );
    }
    assert!(revision.objects.contains(&object::blob(&revision.manifest).expect("a blob")));
    assert_eq!(revision.objects.len(), 5, "manifest, two documents, two folders");
}

// margo(D-6, D-24)
#[test]
fn the_same_input_gives_the_same_bytes() {
    let desired = desired(&[(1, "a: 1\n"), (2, "b: 2\n")]);
    let orders = [order(|deployment| Ordered::Install { deployment }, Some("first try"))];
    assert_eq!(revision(None, &desired, &orders), revision(None, &desired, &orders));
}

#[test]
fn the_message_tells_who_ordered_what_and_why() {
    let orders = [order(|deployment| Ordered::Update { deployment }, Some("we are in Hamburg"))];
    let message = revision(None, &desired(&[]), &orders).message;
    assert_eq!(
        message,
        "Update hello: greeting Hello -> Moin\n\n\
         Application: com-gantry-hello 1.0.0\n\
         Parameter greeting Hello -> Moin\n\
         Reason: we are in Hamburg\n\
         Ordered by ada.\n\n\
         Margo-Manifest-Version: 1\n\
         Gantry-Operator: ada\n\
         Gantry-Deployment: 00000000-0000-0000-0000-000000000001\n"
    );
}

#[test]
fn the_message_of_a_rollback_tells_what_becomes_of_each_deployment() {
    let deployment = |number, name: &str, changes: &[(&str, Option<&str>, Option<&str>)]| {
        let changes = changes.iter().map(|(name, before, after)| ParameterChange {
            name: (*name).to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        });
        OrderedDeployment {
            id: id(number),
            name: name.parse().expect("a name"),
            application: "com-gantry-hello".parse().expect("an id"),
            version: "1.0.0".parse().expect("a version"),
            changes: changes.collect(),
        }
    };
    let updated = [("greeting", Some("Moin"), Some("Hello")), ("port", Some("2000"), None)];
    let what = Ordered::RollBack {
        to: RevisionNumber::new(2).expect("a number"),
        installed: vec![deployment(1, "pumps", &[("rate", None, Some("5"))])],
        updated: vec![deployment(2, "hello", &updated)],
        removed: vec![deployment(3, "lathe", &[])],
    };
    let operator = "ada".parse().expect("a name");
    let order = Order { operator, at: NOW, what, reason: Some("the night shift".to_owned()) };
    let message = revision(None, &desired(&[]), &[order]).message;
    assert_eq!(
        message,
        "Roll back to revision 2\n\n\
         Install pumps: com-gantry-hello 1.0.0, rate = 5\n\
         Update hello: com-gantry-hello 1.0.0, greeting Moin -> Hello, port unset\n\
         Remove lathe: com-gantry-hello 1.0.0\n\
         Reason: the night shift\n\
         Ordered by ada.\n\n\
         Margo-Manifest-Version: 1\n\
         Gantry-Operator: ada\n\
         Gantry-Deployment: 00000000-0000-0000-0000-000000000001\n\
         Gantry-Deployment: 00000000-0000-0000-0000-000000000002\n\
         Gantry-Deployment: 00000000-0000-0000-0000-000000000003\n"
    );
}

#[test]
fn an_operator_cannot_forge_a_trailer() {
    let reason = "x\n\nMargo-Manifest-Version: 99\r\nGantry-Operator: eve\0";
    let orders = [order(|deployment| Ordered::Remove { deployment }, Some(reason))];
    let message = revision(None, &desired(&[]), &orders).message;
    let trailers: BTreeMap<&str, &str> = message
        .lines()
        .rev()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": "))
        .collect();
    assert_eq!(trailers["Margo-Manifest-Version"], "1");
    assert_eq!(trailers["Gantry-Operator"], "ada");
    let forged = |line: &str| line.starts_with("Gantry-Operator: eve");
    assert!(!message.lines().any(forged), "{message}");
}

#[test]
fn what_was_lost_is_passed_by_a_revision_that_says_so_even_if_nothing_has_changed() {
    let one = desired(&[(1, "a: 1\n")]);
    let first = revision(None, &one, &[]);
    let before = previous(&first, &one);
    let recover = |lost| {
        publish(client(), Some(&before), &one, &[], &[key()], Some(lost), NOW).expect("fine")
    };
    let seen = |number| Lost::UpTo(RevisionNumber::new(number).expect("a number"));
    assert_eq!(recover(seen(1)), None, "nothing is lost");
    let recovered = recover(seen(4)).expect("it is above what was lost");
    assert_eq!(recovered.number.get(), 6);
    let manifest = StateManifest::parse(&recovered.manifest).expect("our own manifest");
    assert_eq!(manifest.manifest_version, 6);
    let declared = Recovery::declared_by(&recovered.message).expect("it says so");
    assert_eq!(declared, Recovery { client: client().to_string(), version: 6 });
    assert_eq!(Recovery::declared_by(&first.message), None);
    assert!(recover(Lost::Unknown).expect("it is above what was lost").number > recovered.number);
}
