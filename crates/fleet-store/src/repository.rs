//! The Git repository of each client: the objects of its revisions, compressed once, and which
//! revision needs which.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use fleet_domain::ids::{ClientId, ObjectId, RevisionNumber};
use futures_util::TryStreamExt as _;

use crate::columns::{Columns, count_column, revision_column};
use crate::statements::none;
use crate::{Snapshot, StoreError, Transaction};

/// A Git object as it stands in a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitObject {
    pub id: ObjectId,
    pub kind: GitObjectKind,
    /// The pack entry: header and compressed content.
    pub entry: Vec<u8>,
}

/// What a Git object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitObjectKind {
    Blob,
    Tree,
    Commit,
}

/// An object that a revision of a client needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NeededObject<'a> {
    pub(crate) client: ClientId,
    pub(crate) revision: RevisionNumber,
    pub(crate) object: &'a GitObject,
}

/// Which objects of a repository a pack holds, each once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PackRange {
    /// Every object that this revision needs: for somebody who has nothing before it.
    pub complete_at: Option<RevisionNumber>,
    /// The objects that these revisions need beyond the one before each of them.
    pub added: RangeInclusive<u64>,
}

/// How far a pack has been read. The rows behind it never change, so a pack can be read in many short
/// snapshots.
#[derive(Debug, Clone)]
pub struct PackCursor {
    range: PackRange,
    part: Part,
    /// The last object that was read, with its revision.
    after: (i64, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Complete,
    Added,
    End,
}

impl PackRange {
    fn complete_column(&self) -> i64 {
        self.complete_at.map_or(NO_REVISION, revision_column)
    }

    fn first_added_column(&self) -> i64 {
        count_column(*self.added.start())
    }

    fn last_added_column(&self) -> i64 {
        count_column(*self.added.end())
    }
}

impl PackCursor {
    /// At the first object.
    pub fn start(range: PackRange) -> Self {
        let after = (range.complete_column(), String::new());
        let mut cursor = Self { range, part: Part::Complete, after };
        if cursor.range.complete_at.is_none() {
            cursor.next_part();
        }
        cursor
    }

    /// Whether it is known that no object comes any more.
    pub fn is_at_end(&self) -> bool {
        self.part == Part::End
    }

    fn next_part(&mut self) {
        match self.part {
            Part::Complete if !self.range.added.is_empty() => {
                self.part = Part::Added;
                self.after = (self.range.first_added_column(), String::new());
            }
            Part::Complete | Part::Added | Part::End => self.part = Part::End,
        }
    }
}

impl Snapshot {
    /// The commit of a revision.
    pub async fn commit(
        &mut self,
        client: ClientId,
        number: RevisionNumber,
    ) -> Result<Option<ObjectId>, StoreError> {
        let row =
            sqlx::query("SELECT git_commit FROM revisions WHERE client_id = $1 AND number = $2")
                .bind(client.to_string())
                .bind(revision_column(number))
                .fetch_optional(self.connection())
                .await?;
        row.map(|row| Columns::of("revisions", &row).parsed("git_commit")).transpose()
    }

    /// The revisions of those commits that are in the client's repository.
    pub(crate) async fn revisions_of_commits(
        &mut self,
        client: ClientId,
        commits: &[ObjectId],
    ) -> Result<BTreeMap<ObjectId, RevisionNumber>, StoreError> {
        let mut revisions = BTreeMap::new();
        for some in commits.chunks(COMMITS_AT_A_TIME) {
            let mut query = sqlx::query(
                "SELECT git_commit, number FROM revisions WHERE client_id = $1 AND git_commit IN \
                 ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
            )
            .bind(client.to_string());
            for place in 0..COMMITS_AT_A_TIME {
                query = query.bind(some.get(place).map_or("", ObjectId::as_str));
            }
            for row in query.fetch_all(self.connection()).await? {
                let row = Columns::of("revisions", &row);
                revisions.insert(row.parsed("git_commit")?, row.revision("number")?);
            }
        }
        Ok(revisions)
    }

    /// How many objects a pack has.
    pub async fn count_pack_objects(
        &mut self,
        client: ClientId,
        range: &PackRange,
    ) -> Result<u64, StoreError> {
        let complete = sqlx::query(
            "SELECT COUNT(*) AS it FROM revision_objects WHERE client_id = $1 AND revision = $2",
        )
        .bind(client.to_string())
        .bind(range.complete_column())
        .fetch_one(self.connection())
        .await?;
        let added = sqlx::query(COUNT_ADDED)
            .bind(client.to_string())
            .bind(range.first_added_column())
            .bind(range.last_added_column())
            .bind(range.first_added_column())
            .bind("")
            .bind(range.complete_column())
            .fetch_one(self.connection())
            .await?;
        let count = |row| Columns::of("revision_objects", row).count("it");
        Ok(count(&complete)? + count(&added)?)
    }

    /// The next objects of a pack: one at least and `most_bytes` of them or little more, so that no
    /// pack has to fit into memory. None at its end.
    pub async fn pack_objects(
        &mut self,
        client: ClientId,
        cursor: &mut PackCursor,
        most_bytes: usize,
    ) -> Result<Vec<GitObject>, StoreError> {
        while !cursor.is_at_end() {
            let objects = self.pack_part(client, cursor, most_bytes).await?;
            if !objects.is_empty() {
                return Ok(objects);
            }
        }
        Ok(Vec::new())
    }

    async fn pack_part(
        &mut self,
        client: ClientId,
        cursor: &mut PackCursor,
        most_bytes: usize,
    ) -> Result<Vec<GitObject>, StoreError> {
        let (revision, object) = cursor.after.clone();
        let query = if cursor.part == Part::Complete {
            sqlx::query(READ_COMPLETE).bind(client.to_string()).bind(revision).bind(object)
        } else {
            sqlx::query(READ_ADDED)
                .bind(client.to_string())
                .bind(cursor.range.first_added_column())
                .bind(cursor.range.last_added_column())
                .bind(revision)
                .bind(object)
                .bind(cursor.range.complete_column())
        };
        let mut rows = query.fetch(self.connection());
        let (mut objects, mut bytes) = (Vec::new(), 0);
        let most_bytes = most_bytes.max(1);
        while bytes < most_bytes {
            let Some(row) = rows.try_next().await? else { break };
            let row = Columns::of("git_objects", &row);
            let object = git_object(&row)?;
            cursor.after = (row.integer("revision")?, object.id.as_str().to_owned());
            bytes += object.entry.len();
            objects.push(object);
        }
        if bytes < most_bytes && objects.len() < OBJECTS_AT_A_TIME {
            cursor.next_part();
        }
        Ok(objects)
    }
}

impl Transaction {
    /// Adds the objects that revisions need, one revision of each client. Those that an earlier one brought
    /// are only noted; the others are named in the answer.
    pub(crate) async fn add_objects(
        &mut self,
        objects: &[NeededObject<'_>],
    ) -> Result<BTreeMap<ClientId, Vec<ObjectId>>, StoreError> {
        self.keep_objects(objects).await?;
        self.note_objects(objects).await
    }

    async fn keep_objects(&mut self, objects: &[NeededObject<'_>]) -> Result<(), StoreError> {
        let kept = self.write_rows(
            "INSERT INTO git_objects (client_id, oid, kind, entry) VALUES",
            4,
            objects,
            |it| it.object.entry.len(),
            "ON CONFLICT DO NOTHING",
            |query, NeededObject { client, object, .. }| {
                query
                    .bind(client.to_string())
                    .bind(object.id.as_str())
                    .bind(object.kind.name())
                    .bind(object.entry.as_slice())
            },
        );
        kept.await.map(drop)
    }

    /// Notes what revisions need, and gives what the one before each does not: its number is not always one
    /// less. Added again after a time without it counts as added: a shallow clone from in between does not
    /// have it. Two equal files in a tree are one object.
    async fn note_objects(
        &mut self,
        objects: &[NeededObject<'_>],
    ) -> Result<BTreeMap<ClientId, Vec<ObjectId>>, StoreError> {
        let written = self.write_returning(
            "INSERT INTO revision_objects (client_id, revision, oid, added) \
             SELECT new.column1, new.column2, new.column3, \
             CASE WHEN EXISTS (SELECT 1 FROM revision_objects AS former \
             WHERE former.client_id = new.column1 AND former.revision = \
             (SELECT MAX(number) FROM revisions WHERE client_id = new.column1 AND number < new.column2) \
             AND former.oid = new.column3) THEN 0 ELSE 1 END \
             FROM (VALUES",
            3,
            objects,
            none,
            ") AS new WHERE TRUE ON CONFLICT DO NOTHING RETURNING client_id, oid, added",
            |query, NeededObject { client, revision, object }| {
                query
                    .bind(client.to_string())
                    .bind(revision_column(*revision))
                    .bind(object.id.as_str())
            },
        );
        let mut added = BTreeMap::<_, Vec<_>>::new();
        for row in written.await? {
            let row = Columns::of("revision_objects", &row);
            if row.integer("added")? == 1 {
                added.entry(row.parsed("client_id")?).or_default().push(row.parsed("oid")?);
            }
        }
        Ok(added)
    }
}

impl GitObjectKind {
    const ALL: [Self; 3] = [Self::Blob, Self::Tree, Self::Commit];

    fn name(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Tree => "tree",
            Self::Commit => "commit",
        }
    }
}

/// Revisions start at 1.
const NO_REVISION: i64 = 0;
/// As many as a query has places for.
const COMMITS_AT_A_TIME: usize = 16;
/// Bounds what the database gives before its bytes are counted. The queries below have it in their
/// text: SQLite compiles a query anew whenever another value is bound to its limit.
const OBJECTS_AT_A_TIME: usize = 64;

const READ_COMPLETE: &str = "SELECT r.revision, r.oid, o.kind, o.entry FROM revision_objects r \
     JOIN git_objects o ON o.client_id = r.client_id AND o.oid = r.oid \
     WHERE r.client_id = $1 AND r.revision = $2 AND r.oid > $3 ORDER BY r.oid LIMIT 64";

/// What the revisions up to $3 have added, after what was read before. An object that was added, taken
/// away and added again counts at the first time only, and not at all when the complete revision $6 has
/// it: some clients refuse a pack that has an object twice.
macro_rules! added {
    () => {
        "r.client_id = $1 AND r.added = 1 AND r.revision <= $3 AND (r.revision, r.oid) > ($4, $5) \
         AND NOT EXISTS (SELECT 1 FROM revision_objects e WHERE e.client_id = $1 AND e.oid = r.oid \
         AND e.added = 1 AND e.revision >= $2 AND e.revision < r.revision) \
         AND NOT EXISTS (SELECT 1 FROM revision_objects c WHERE c.client_id = $1 \
         AND c.revision = $6 AND c.oid = r.oid)"
    };
}
const COUNT_ADDED: &str = concat!("SELECT COUNT(*) AS it FROM revision_objects r WHERE ", added!());
const READ_ADDED: &str = concat!(
    "SELECT r.revision, r.oid, o.kind, o.entry FROM revision_objects r \
     JOIN git_objects o ON o.client_id = r.client_id AND o.oid = r.oid WHERE ",
    added!(),
    " ORDER BY r.revision, r.oid LIMIT 64"
);

fn git_object(row: &Columns<'_>) -> Result<GitObject, StoreError> {
    let kind = row.text("kind")?;
    let kind = GitObjectKind::ALL.into_iter().find(|it| it.name() == kind);
    Ok(GitObject {
        id: row.parsed("oid")?,
        kind: kind.ok_or_else(|| row.corrupt("kind", "no such kind of object"))?,
        entry: row.bytes("entry")?,
    })
}
