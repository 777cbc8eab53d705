//! Applications: what can be deployed.

use std::collections::BTreeMap;

use fleet_domain::ids::{ApplicationId, ApplicationVersion, InvalidId, OperatorName, Sha256};
use fleet_store::{AddApplication, Application, NewApplication, RemoveApplication, StoreError};
use margo_contract::application_description::ApplicationDescription;
use margo_contract::digest::Digest;

use super::{Fleet, FleetError, LONGEST_LIST, audit};
use crate::package::Package;

/// Why an application was not added.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddApplicationError {
    #[error(transparent)]
    Id(#[from] InvalidId),
    #[error("{0} {1} is there with other content; a changed application needs a new version")]
    OtherContent(ApplicationId, ApplicationVersion),
    #[error("the application could not be remembered")]
    Fleet(#[from] FleetError),
}

/// Why an application was not removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoveApplicationError {
    #[error("there is no such application")]
    Unknown,
    #[error("a deployment of it is wanted; remove that first")]
    InUse,
    #[error("the application could not be removed")]
    Fleet(#[from] FleetError),
}

impl From<StoreError> for AddApplicationError {
    fn from(error: StoreError) -> Self {
        Self::Fleet(error.into())
    }
}

impl From<StoreError> for RemoveApplicationError {
    fn from(error: StoreError) -> Self {
        Self::Fleet(error.into())
    }
}

impl Fleet {
    /// Keeps a package. Returns whether it is new; the same content again is no change.
    pub(crate) async fn add_application(
        &self,
        operator: &OperatorName,
        package: Package,
        now: i64,
    ) -> Result<(Application, bool), AddApplicationError> {
        let (mut packages, mut locations) = (BTreeMap::new(), BTreeMap::new());
        for (location, archive) in package.archives {
            let digest = sha256(&archive);
            packages.insert(digest, archive);
            locations.insert(location, digest);
        }
        // What a package is, is its description together with its archives.
        let mut content = package.description_bytes.clone();
        for (location, digest) in &locations {
            content.extend_from_slice(format!("\n{location} {digest}").as_bytes());
        }
        let application = Application {
            id: package.description.id.parse()?,
            version: package.description.version.parse()?,
            name: package.description.name,
            digest: sha256(&content),
            description: package.description_bytes,
            added_at: now,
            added_by: operator.clone(),
            packages: locations,
        };
        let new = NewApplication { application: application.clone(), packages };

        let mut transaction = self.inner.store.begin().await?;
        let name = format!("{} {}", application.id, application.version);
        match transaction.add_application(&new).await? {
            AddApplication::Added => {
                let detail = application.digest.to_string();
                audit(&mut transaction, now, operator, "application.add", &name, detail).await?;
                self.commit(transaction).await?;
                tracing::info!(application = name, %operator, "an application is added");
                Ok((application, true))
            }
            AddApplication::AlreadyThere => {
                // Who added it, and when, is what was kept the first time.
                let kept = transaction.application(&application.id, &application.version).await?;
                Ok((kept.unwrap_or(application), false))
            }
            AddApplication::OtherContent => {
                Err(AddApplicationError::OtherContent(application.id, application.version))
            }
        }
    }

    pub(crate) async fn applications(&self) -> Result<Vec<Application>, FleetError> {
        Ok(self.inner.store.read().await?.applications(LONGEST_LIST).await?)
    }

    /// The versions of an application, the newest first.
    pub(crate) async fn versions(
        &self,
        id: &ApplicationId,
    ) -> Result<Vec<Application>, FleetError> {
        Ok(self.inner.store.read().await?.versions(id, LONGEST_LIST).await?)
    }

    pub(crate) async fn application(
        &self,
        id: &ApplicationId,
        version: &ApplicationVersion,
    ) -> Result<Option<Application>, FleetError> {
        Ok(self.inner.store.read().await?.application(id, version).await?)
    }

    /// Removes a version that no deployment wants.
    pub(crate) async fn remove_application(
        &self,
        operator: &OperatorName,
        id: &ApplicationId,
        version: &ApplicationVersion,
        now: i64,
    ) -> Result<(), RemoveApplicationError> {
        let mut transaction = self.inner.store.begin().await?;
        match transaction.remove_application(id, version).await? {
            RemoveApplication::Removed => {
                let name = format!("{id} {version}");
                audit(&mut transaction, now, operator, "application.remove", name, "").await?;
                Ok(self.commit(transaction).await?)
            }
            RemoveApplication::InUse => Err(RemoveApplicationError::InUse),
            RemoveApplication::Unknown => Err(RemoveApplicationError::Unknown),
        }
    }
}

/// Reads the description of a kept application.
pub(super) fn description(application: &Application) -> Result<ApplicationDescription, FleetError> {
    ApplicationDescription::parse(&application.description)
        .map_err(|_| FleetError::Corrupt("application description"))
}

fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(*Digest::of(bytes).as_bytes())
}
