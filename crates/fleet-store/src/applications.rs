//! Applications and the packages that they brought along. What was added under an id and a version
//! never changes.

use std::collections::BTreeMap;

use fleet_domain::ids::{ApplicationId, ApplicationVersion, OperatorName, Sha256};

use crate::columns::{Columns, count_column};
use crate::{Snapshot, StoreError, Transaction};

/// One version of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    pub id: ApplicationId,
    pub version: ApplicationVersion,
    pub name: String,
    /// Of all its content. Equal digests are equal applications.
    pub digest: Sha256,
    /// The application description (`margo.yaml`) as it was uploaded.
    pub description: Vec<u8>,
    pub added_at: i64,
    pub added_by: OperatorName,
    /// Where the description says that a package lies, and the digest under which it is kept.
    pub packages: BTreeMap<String, Sha256>,
}

/// An application with the bytes of its packages.
#[derive(Debug, Clone)]
pub struct NewApplication {
    pub application: Application,
    /// Each digest that `application.packages` names.
    pub packages: BTreeMap<Sha256, Vec<u8>>,
}

/// What came of adding an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddApplication {
    Added,
    /// This very application was there before.
    AlreadyThere,
    /// There is another application of this id and version. It stays.
    OtherContent,
}

/// What came of removing an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveApplication {
    Removed,
    /// A deployment that is still wanted was made of it.
    InUse,
    Unknown,
}

impl Snapshot {
    pub async fn application(
        &mut self,
        id: &ApplicationId,
        version: &ApplicationVersion,
    ) -> Result<Option<Application>, StoreError> {
        let row = sqlx::query("SELECT * FROM applications WHERE id = $1 AND version = $2")
            .bind(id.as_str())
            .bind(version.as_str())
            .fetch_optional(self.connection())
            .await?;
        let Some(row) = row else { return Ok(None) };
        self.with_packages(application(&Columns::of("applications", &row))?).await.map(Some)
    }

    /// The versions of an application, the one added last first.
    pub async fn versions(
        &mut self,
        id: &ApplicationId,
        limit: u32,
    ) -> Result<Vec<Application>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM applications WHERE id = $1 ORDER BY sequence DESC LIMIT $2")
                .bind(id.as_str())
                .bind(count_column(limit))
                .fetch_all(self.connection())
                .await?;
        let mut versions = Vec::with_capacity(rows.len());
        for row in &rows {
            let version = application(&Columns::of("applications", row))?;
            versions.push(self.with_packages(version).await?);
        }
        Ok(versions)
    }

    /// All applications in all versions, by id, the version added last first.
    pub async fn applications(&mut self, limit: u32) -> Result<Vec<Application>, StoreError> {
        let rows = sqlx::query("SELECT * FROM applications ORDER BY id, sequence DESC LIMIT $1")
            .bind(count_column(limit))
            .fetch_all(self.connection())
            .await?;
        let mut applications = Vec::with_capacity(rows.len());
        for row in &rows {
            let one = application(&Columns::of("applications", row))?;
            applications.push(self.with_packages(one).await?);
        }
        Ok(applications)
    }

    /// The bytes of a package that an application brought along.
    pub async fn package(&mut self, digest: &Sha256) -> Result<Option<Vec<u8>>, StoreError> {
        let row = sqlx::query("SELECT bytes FROM packages WHERE digest = $1")
            .bind(digest.to_string())
            .fetch_optional(self.connection())
            .await?;
        row.map(|row| Columns::of("packages", &row).bytes("bytes")).transpose()
    }

    async fn with_packages(
        &mut self,
        mut application: Application,
    ) -> Result<Application, StoreError> {
        let rows = sqlx::query(
            "SELECT location, digest FROM application_packages \
             WHERE application_id = $1 AND application_version = $2",
        )
        .bind(application.id.as_str())
        .bind(application.version.as_str())
        .fetch_all(self.connection())
        .await?;
        for row in &rows {
            let row = Columns::of("application_packages", row);
            application.packages.insert(row.text("location")?, row.parsed("digest")?);
        }
        Ok(application)
    }
}

impl Transaction {
    pub async fn add_application(
        &mut self,
        new: &NewApplication,
    ) -> Result<AddApplication, StoreError> {
        let application = &new.application;
        if let Some(present) = self.application(&application.id, &application.version).await? {
            return Ok(if present.digest == application.digest {
                AddApplication::AlreadyThere
            } else {
                AddApplication::OtherContent
            });
        }
        let sequence = self.count_up("applications", 1).await?;
        sqlx::query(
            "INSERT INTO applications (id, version, name, digest, description, added_at, added_by, \
             sequence) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(application.id.as_str())
        .bind(application.version.as_str())
        .bind(application.name.as_str())
        .bind(application.digest.to_string())
        .bind(application.description.as_slice())
        .bind(application.added_at)
        .bind(application.added_by.as_str())
        .bind(count_column(sequence))
        .execute(self.connection())
        .await?;
        self.add_packages(new).await?;
        Ok(AddApplication::Added)
    }

    /// Removes an application, and the packages that no other one shares.
    pub async fn remove_application(
        &mut self,
        id: &ApplicationId,
        version: &ApplicationVersion,
    ) -> Result<RemoveApplication, StoreError> {
        let wanted = sqlx::query(
            "SELECT id FROM deployments WHERE application_id = $1 AND application_version = $2 \
             AND wanted = 1 LIMIT 1",
        )
        .bind(id.as_str())
        .bind(version.as_str())
        .fetch_optional(self.connection())
        .await?;
        if wanted.is_some() {
            return Ok(RemoveApplication::InUse);
        }
        sqlx::query(
            "DELETE FROM application_packages \
             WHERE application_id = $1 AND application_version = $2",
        )
        .bind(id.as_str())
        .bind(version.as_str())
        .execute(self.connection())
        .await?;
        let removed = sqlx::query("DELETE FROM applications WHERE id = $1 AND version = $2")
            .bind(id.as_str())
            .bind(version.as_str())
            .execute(self.connection())
            .await?;
        sqlx::query(
            "DELETE FROM packages WHERE NOT EXISTS (SELECT 1 FROM application_packages \
             WHERE application_packages.digest = packages.digest)",
        )
        .execute(self.connection())
        .await?;
        Ok(match removed.rows_affected() {
            0 => RemoveApplication::Unknown,
            _ => RemoveApplication::Removed,
        })
    }

    async fn add_packages(&mut self, new: &NewApplication) -> Result<(), StoreError> {
        for (digest, bytes) in &new.packages {
            sqlx::query(
                "INSERT INTO packages (digest, bytes) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            )
            .bind(digest.to_string())
            .bind(bytes.as_slice())
            .execute(self.connection())
            .await?;
        }
        for (location, digest) in &new.application.packages {
            sqlx::query(
                "INSERT INTO application_packages \
                 (application_id, application_version, location, digest) VALUES ($1, $2, $3, $4)",
            )
            .bind(new.application.id.as_str())
            .bind(new.application.version.as_str())
            .bind(location.as_str())
            .bind(digest.to_string())
            .execute(self.connection())
            .await?;
        }
        Ok(())
    }
}

fn application(row: &Columns<'_>) -> Result<Application, StoreError> {
    Ok(Application {
        id: row.parsed("id")?,
        version: row.parsed("version")?,
        name: row.text("name")?,
        digest: row.parsed("digest")?,
        description: row.bytes("description")?,
        added_at: row.integer("added_at")?,
        added_by: row.parsed("added_by")?,
        packages: BTreeMap::new(),
    })
}
