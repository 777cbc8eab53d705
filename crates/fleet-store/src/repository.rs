//! The Git repository of each client: the objects of its revisions, compressed once, and which
//! revision needs which.

use std::ops::RangeInclusive;

use fleet_domain::ids::{ClientId, ObjectId, RevisionNumber};

use crate::columns::{Columns, count_column, revision_column};
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

/// Which objects of a repository a pack holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRange {
    /// Every object that this revision needs: for somebody who has nothing before it.
    pub complete_at: Option<RevisionNumber>,
    /// The objects that these revisions need beyond the one before each of them.
    pub added: RangeInclusive<u64>,
}

impl Snapshot {
    /// The commits of the client's repository, from the first revision to the newest.
    pub async fn commits(&mut self, client: ClientId) -> Result<Vec<ObjectId>, StoreError> {
        let rows =
            sqlx::query("SELECT git_commit FROM revisions WHERE client_id = $1 ORDER BY number")
                .bind(client.to_string())
                .fetch_all(self.connection())
                .await?;
        rows.iter().map(|row| Columns::of("revisions", row).parsed("git_commit")).collect()
    }

    /// The objects of a pack in the order of their ids, at most `limit` of those that come after
    /// `after`: a long history does not have to fit into memory.
    pub async fn pack_objects(
        &mut self,
        client: ClientId,
        range: &PackRange,
        after: Option<&ObjectId>,
        limit: u32,
    ) -> Result<Vec<GitObject>, StoreError> {
        let rows = sqlx::query(
            "SELECT oid, kind, entry FROM git_objects WHERE client_id = $1 AND oid > $5 \
             AND oid IN (SELECT oid FROM revision_objects WHERE client_id = $1 \
             AND (revision = $2 OR (added = 1 AND revision BETWEEN $3 AND $4))) \
             ORDER BY oid LIMIT $6",
        )
        .bind(client.to_string())
        .bind(range.complete_at.map_or(NO_REVISION, revision_column))
        .bind(count_column(*range.added.start()))
        .bind(count_column(*range.added.end()))
        .bind(after.map_or("", ObjectId::as_str))
        .bind(count_column(limit))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| git_object(&Columns::of("git_objects", row))).collect()
    }
}

impl Transaction {
    /// Adds the objects that a revision needs. Those that an earlier one brought are only noted.
    pub(crate) async fn add_objects(
        &mut self,
        client: ClientId,
        revision: RevisionNumber,
        objects: &[GitObject],
    ) -> Result<(), StoreError> {
        for object in objects {
            sqlx::query(
                "INSERT INTO git_objects (client_id, oid, kind, entry) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT DO NOTHING",
            )
            .bind(client.to_string())
            .bind(object.id.as_str())
            .bind(object.kind.name())
            .bind(object.entry.as_slice())
            .execute(self.connection())
            .await?;
            // Added again after a time without it counts as added: a shallow clone from in between
            // does not have it. Two equal files in a tree are one object.
            sqlx::query(
                "INSERT INTO revision_objects (client_id, revision, oid, added) \
                 SELECT $1, $2, $3, CASE WHEN COUNT(*) = 0 THEN 1 ELSE 0 END FROM revision_objects \
                 WHERE client_id = $1 AND revision = $4 AND oid = $3 ON CONFLICT DO NOTHING",
            )
            .bind(client.to_string())
            .bind(revision_column(revision))
            .bind(object.id.as_str())
            .bind(revision_column(revision) - 1)
            .execute(self.connection())
            .await?;
        }
        Ok(())
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

fn git_object(row: &Columns<'_>) -> Result<GitObject, StoreError> {
    let kind = row.text("kind")?;
    let kind = GitObjectKind::ALL.into_iter().find(|it| it.name() == kind);
    Ok(GitObject {
        id: row.parsed("oid")?,
        kind: kind.ok_or_else(|| row.corrupt("kind", "no such kind of object"))?,
        entry: row.bytes("entry")?,
    })
}
