//! Packs of a long history, on a real store in a file.

use fleet_domain::client::{Client, OnboardingPolicy, Standing};
use fleet_domain::desired_state::DesiredState;
use fleet_domain::ids::Sha256;
use fleet_store::{GitObject, GitObjectKind, NewRevision, Revision};
use git_serve::object::{self, Child, Commit, PackedObject, Person};
use git_serve::request::Request;
use git_serve::version::Version;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::fleet::FleetOptions;

const REVISIONS: u64 = 200;
/// What each revision adds: a commit, a folder and a file that cannot be compressed.
const ADDED: u64 = 3;
const FILE: usize = 8 << 10;

struct LongHistory {
    fleet: Fleet,
    client: ClientId,
    newest: git_serve::ObjectId,
    folder: TempDir,
}

impl LongHistory {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let options = FleetOptions {
            onboarding: OnboardingPolicy::Approve,
            origin: "https://localhost".to_owned(),
        };
        let database = fleet_store::Database::sqlite(&folder.path().join("fleet.db"));
        let fleet = Fleet::open(&database, options).await.expect("a new database opens");
        let client = Client {
            id: ClientId::from_uuid(Uuid::from_u128(7)),
            fingerprint: Sha256::from_bytes([7; 32]),
            key: Sha256::from_bytes([7; 32]),
            issued_as: None,
            certificate_der: vec![0x30],
            name: "press-7".to_owned(),
            standing: Standing::Approved,
        };
        let mut transaction = fleet.inner.store.begin().await.expect("nobody else writes");
        transaction.add_client(&client, 0).await.expect("the client is new");
        let mut newest = None;
        for number in 1..=REVISIONS {
            let revision = revision(number, newest);
            newest = Some(git_id(&revision.revision.commit).expect("an id"));
            transaction
                .publish(&[(client.id, revision.clone())])
                .await
                .expect("the revision is new");
        }
        transaction.commit().await.expect("there is room on the disk");
        let newest = newest.expect("there are revisions");
        Self { fleet, client: client.id, newest, folder }
    }

    /// A fetch that gets a pack in pieces.
    async fn fetch(&self, capabilities: &str, arguments: &str) -> Box<PackStream> {
        match self.fetched(capabilities, arguments).await {
            Fetched::Pack(pack) => pack,
            Fetched::Whole(_) => panic!("a pack in pieces: {capabilities} {arguments}"),
        }
    }

    async fn fetched(&self, capabilities: &str, arguments: &str) -> Fetched {
        let want = format!("want {} {capabilities}\n", self.newest);
        let body = format!("{:04x}{want}0000{arguments}0009done\n", want.len() + 4);
        let Ok(Request::Fetch(fetch)) = Request::parse(Version::V0, body.as_bytes()) else {
            panic!("a fetch: {body}");
        };
        let fetched = self.fleet.git_fetch(self.client, Reader::Client, &fetch).await;
        fetched.expect("the store can be read")
    }
}

fn revision(number: u64, parent: Option<git_serve::ObjectId>) -> NewRevision {
    let mut seed = number;
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed.to_be_bytes()[0]
    });
    let file = object::blob(&noise.take(FILE).collect::<Vec<_>>()).expect("a blob");
    let tree = object::tree(&[("file", Child::File(file.id))]).expect("a tree");
    let author = Person { name: "ada".to_owned(), email: "ada@fleet".to_owned(), at: 0 };
    let (committer, message) = (author.clone(), format!("Revision {number}\n"));
    let commit = Commit { tree: tree.id, parent, author, committer, message };
    let commit = commit.pack(None).expect("a commit");
    let stored = |object: &PackedObject, kind| GitObject {
        id: domain_id(&object.id).expect("an id"),
        kind,
        entry: object.entry.clone(),
    };
    NewRevision {
        revision: Revision {
            number: RevisionNumber::new(number).expect("it counts from 1"),
            commit: domain_id(&commit.id).expect("an id"),
            manifest: b"{}".to_vec(),
            manifest_digest: Sha256::from_bytes([0; 32]),
            published_at: 0,
            message: String::new(),
            operators: Vec::new(),
            signer: None,
        },
        desired: DesiredState::default(),
        bundle: None,
        objects: vec![
            stored(&commit, GitObjectKind::Commit),
            stored(&tree, GitObjectKind::Tree),
            stored(&file, GitObjectKind::Blob),
        ],
    }
}

async fn next(pack: &mut PackStream) -> Option<Vec<u8>> {
    pack.next().await.expect("the store can be read")
}

/// Whether these bytes are a whole pack of so many objects.
fn assert_pack(bytes: &[u8], objects: u64) {
    let (content, checksum) = bytes.split_at(bytes.len() - 20);
    let count = u32::try_from(objects).expect("few objects").to_be_bytes();
    assert_eq!(content[..12], [b"PACK\0\0\0\x02".as_slice(), &count].concat());
    assert_eq!(digest(&SHA1_FOR_LEGACY_USE_ONLY, content).as_ref(), checksum);
}

#[tokio::test]
async fn a_pack_is_made_in_pieces_of_a_bounded_size() {
    let history = LongHistory::new().await;
    let mut pack = history.fetch("", "").await;
    let (mut pieces, mut answer) = (0, Vec::new());
    while let Some(piece) = next(&mut pack).await {
        assert!(piece.len() < PIECE + FILE + 100, "{} bytes", piece.len());
        pieces += 1;
        answer.extend(piece);
    }
    assert!(pieces > 4, "{pieces} pieces");
    let bytes = answer.strip_prefix(b"0008NAK\n").expect("nothing is in common");
    assert_pack(bytes, REVISIONS * ADDED);
    assert!(bytes.len() > PIECE * 4);
    drop(history.folder);
}

#[tokio::test]
async fn a_fetch_of_one_revision_is_whole_at_once_however_long_the_history_is() {
    let history = LongHistory::new().await;
    let newest = RevisionNumber::new(REVISIONS - 1).expect("it counts from 1");
    let mut snapshot = history.fleet.inner.store.read().await.expect("the store can be read");
    let before = snapshot.commit(history.client, newest).await.expect("the store can be read");
    let before = before.expect("there is such a revision");
    drop(snapshot);

    let fetched = history.fetched("", &format!("0032have {before}\n")).await;
    let Fetched::Whole(answer) = fetched else { panic!("it is small") };
    let acknowledgment = format!("0031ACK {before}\n");
    let bytes = answer.strip_prefix(acknowledgment.as_bytes()).expect("one is in common");
    assert_pack(bytes, ADDED);
}

#[tokio::test]
async fn clients_that_stop_reading_keep_nobody_from_the_store() {
    let history = LongHistory::new().await;
    let mut packs = Vec::new();
    // More than the store has connections.
    for _ in 0..40 {
        let mut pack = history.fetch("side-band-64k", "").await;
        assert!(next(&mut pack).await.is_some());
        packs.push(pack);
    }
    let mut transaction = history.fleet.inner.store.begin().await.expect("nobody else writes");
    let newest = revision(REVISIONS + 1, Some(history.newest));
    transaction.publish(&[(history.client, newest.clone())]).await.expect("the revision is new");
    transaction.commit().await.expect("there is room on the disk");
    let head = history.fleet.git_head(history.client).await.expect("the store can be read").commit;
    assert_eq!(head.map(|it| it.to_string()), Some(newest.revision.commit.to_string()));

    let mut last = Vec::new();
    while let Some(piece) = next(&mut packs[0]).await {
        last = piece;
    }
    assert!(last.ends_with(b"0000"), "what is published meanwhile does not change a pack");
}

#[tokio::test]
async fn a_pack_that_cannot_go_on_says_so_where_the_protocol_has_a_place_for_it() {
    let history = LongHistory::new().await;
    let mut packs = Vec::new();
    for (capabilities, reason) in [("side-band-64k", &b"000b\x03sorry\n"[..]), ("", b"")] {
        let mut pack = history.fetch(capabilities, "").await;
        assert!(next(&mut pack).await.is_some());
        packs.push((pack, reason));
    }
    history.fleet.close().await;
    for (mut pack, reason) in packs {
        assert!(pack.next().await.is_err());
        assert_eq!(pack.fail("sorry"), reason);
        assert!(matches!(pack.next().await, Ok(None)));
    }
}
