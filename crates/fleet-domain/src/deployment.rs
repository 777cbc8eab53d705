//! A deployment: ordered by an operator, carried out by a device, withdrawn by an operator.
//!
//! ```text
//!             report on the newest content     withdraw              report: removed
//!  Ordered ───────────────────────► Known ──────────────► Withdrawn ─────────────────► Gone
//!   │  ▲ ▲                           │  ▲ │                  ▲  ▲ │
//!   │  │ └── report on former content│  └─┘ report           │  └─┘ report: anything else
//!   │  └─────────────────────────────┘                       │
//!   │            reorder                                     │
//!   └────────────────────────────────────────────────────────┘
//!                          withdraw
//! ```
//!
//! From every state an operator can return to former content; then it is `Ordered`.
//!
//! Devices lose their connection, retry and restart, and the specification sets no order for what
//! they report. So each report is taken at its word: what is known is what was heard last. Refused is
//! a report that contradicts itself or does not fit the deployment.

use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, mem};

use crate::ids::{ComponentName, DeploymentId, RevisionNumber};

/// One application on one device, from the operator's order until the device has let go of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    id: DeploymentId,
    // Invariant: never empty.
    components: BTreeSet<ComponentName>,
    // What the device may still speak of, until it has taken up the newest content. Empty when no
    // other content was ever published.
    former_components: BTreeSet<ComponentName>,
    // The revision that first carried the newest content.
    published: Option<RevisionNumber>,
    life: Life,
}

/// Where a deployment is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    /// Wanted as it was last ordered. The device has not spoken of that yet; what it said before, if
    /// anything, was about former content.
    Ordered { before: Option<Report> },
    /// Wanted. This is what the device last said.
    Known(Report),
    /// No longer wanted. This is what the device last said, if anything.
    Withdrawn(Option<Report>),
    /// The device has let go of it. Nothing follows, unless an operator returns to it.
    Gone,
}

/// All that there is to know of a deployment, for keeping it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentRecord {
    pub id: DeploymentId,
    pub components: BTreeSet<ComponentName>,
    pub former_components: BTreeSet<ComponentName>,
    pub published: Option<RevisionNumber>,
    pub life: Life,
}

/// What a device says about a deployment. Holds no contradictions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    overall: Progress,
    components: BTreeMap<ComponentName, Progress>,
}

/// How far a device has got, with one component or with a whole deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    Pending,
    Installing,
    Installed,
    Removing,
    Removed,
    Failed(Failure),
}

/// Why a device gave up, in its own words. Any of them may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    pub code: String,
    pub source: String,
    pub message: String,
}

/// Whether a report was the first about its deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    First,
    Again,
}

/// An operator ordered a deployment of nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a deployment needs at least one component")]
pub struct NoComponents;

/// Why new content cannot be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReorderRefused {
    #[error(transparent)]
    NoComponents(#[from] NoComponents),
    #[error("the deployment has been withdrawn; deploy the application again")]
    Withdrawn,
}

/// Why a report was refused. A refused report changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportRefused {
    #[error("component `{0}` is reported twice")]
    RepeatedComponent(ComponentName),
    #[error("component `{0}` is not part of the deployment")]
    UnknownComponent(ComponentName),
    #[error("component `{0}` is left out")]
    MissingComponent(ComponentName),
    #[error("the deployment cannot be {overall} while a component is {gravest}")]
    Contradiction { overall: &'static str, gravest: &'static str },
    #[error("manifest version {adopted} has not been published; the newest is {newest}")]
    UnpublishedRevision { adopted: u64, newest: u64 },
    #[error("the device has already let go of the deployment")]
    Gone,
}

impl Deployment {
    /// A deployment that an operator has just ordered.
    pub fn order(
        id: DeploymentId,
        components: impl IntoIterator<Item = ComponentName>,
    ) -> Result<Self, NoComponents> {
        Ok(Self {
            id,
            components: some(components)?,
            former_components: BTreeSet::new(),
            published: None,
            life: Life::Ordered { before: None },
        })
    }

    /// A deployment as it was kept.
    pub fn restore(record: DeploymentRecord) -> Result<Self, NoComponents> {
        let DeploymentRecord { id, components, former_components, published, life } = record;
        Ok(Self { id, components: some(components)?, former_components, published, life })
    }

    /// All that [`Deployment::restore`] needs.
    pub fn record(&self) -> DeploymentRecord {
        DeploymentRecord {
            id: self.id,
            components: self.components.clone(),
            former_components: self.former_components.clone(),
            published: self.published,
            life: self.life.clone(),
        }
    }

    pub fn id(&self) -> DeploymentId {
        self.id
    }

    pub fn life(&self) -> &Life {
        &self.life
    }

    pub fn components(&self) -> &BTreeSet<ComponentName> {
        &self.components
    }

    /// The revision that first carried the newest content, once there is one.
    pub fn published(&self) -> Option<RevisionNumber> {
        self.published
    }

    /// Whether an operator wants it to run.
    pub fn is_wanted(&self) -> bool {
        match self.life {
            Life::Ordered { .. } | Life::Known(_) => true,
            Life::Withdrawn(_) | Life::Gone => false,
        }
    }

    /// Takes note of new content for the same deployment.
    pub fn reorder(
        &mut self,
        components: impl IntoIterator<Item = ComponentName>,
    ) -> Result<(), ReorderRefused> {
        match self.life {
            Life::Ordered { .. } | Life::Known(_) => Ok(self.return_to(components)?),
            Life::Withdrawn(_) | Life::Gone => Err(ReorderRefused::Withdrawn),
        }
    }

    /// Takes note that former content is wanted again, of a withdrawn deployment too.
    // margo(DS-7): after `removed` it is `pending`, when it is listed again.
    pub fn return_to(
        &mut self,
        components: impl IntoIterator<Item = ComponentName>,
    ) -> Result<(), NoComponents> {
        let last = mem::replace(&mut self.components, some(components)?);
        let was_published = self.published.take().is_some();
        let before = match mem::replace(&mut self.life, Life::Gone) {
            Life::Ordered { before } | Life::Withdrawn(before) => before,
            Life::Known(report) => Some(report),
            Life::Gone => {
                // It is with the device as before the first order.
                self.former_components.clear();
                self.life = Life::Ordered { before: None };
                return Ok(());
            }
        };
        // What was never published no device can speak of.
        if was_published {
            self.former_components = last;
        }
        self.life = Life::Ordered { before };
        Ok(())
    }

    /// Takes note that the newest content can be fetched. Only the first revision with it counts.
    pub fn publish(&mut self, revision: RevisionNumber) {
        self.published.get_or_insert(revision);
    }

    /// Takes note that a revision carries the newest content anew, because those that the device may have taken
    /// up since the first one are lost: what it says of them is about other content.
    pub fn publish_anew(&mut self, revision: RevisionNumber) {
        if matches!(self.life, Life::Ordered { .. }) && self.published.is_some() {
            self.published = Some(revision);
        }
    }

    /// Takes note that the operator no longer wants the deployment. Saying so twice is once.
    pub fn withdraw(&mut self) {
        self.life = match mem::replace(&mut self.life, Life::Gone) {
            Life::Ordered { before } => Life::Withdrawn(before),
            Life::Known(report) => Life::Withdrawn(Some(report)),
            over @ (Life::Withdrawn(_) | Life::Gone) => over,
        };
    }

    /// Ends a deployment that no device has ever been told of, so that none has to let go of it.
    /// Returns whether it was such a one.
    pub fn forget_unpublished(&mut self) -> bool {
        let unheard = matches!(self.life, Life::Withdrawn(None))
            && self.published.is_none()
            && self.former_components.is_empty();
        if unheard {
            self.life = Life::Gone;
        }
        unheard
    }

    /// Ends a withdrawn deployment of which the device has said nothing, for the caller knows that it was
    /// never told of it either, or never took up what it was told. Returns whether it was such a one.
    pub fn forget_untold(&mut self) -> bool {
        let untold = matches!(self.life, Life::Withdrawn(None));
        if untold {
            self.life = Life::Gone;
        }
        untold
    }

    /// Takes back that a deployment is over, for the caller knows that the device has said nothing of it and is
    /// being told of it now. Returns whether it was over.
    pub fn tell_after_all(&mut self) -> bool {
        let is_over = matches!(self.life, Life::Gone);
        if is_over {
            self.life = Life::Withdrawn(None);
        }
        is_over
    }

    /// Takes note of what the device says. `adopted` is the newest manifest version whose content of
    /// this deployment the device has taken up, margo(S-6, S-8, DS-7, V-1), where it tells; `newest` is the newest
    /// one that it can know of.
    // margo(S-6, S-8): any order and any number of times, until the final `removed`.
    pub fn hear(
        &mut self,
        report: Report,
        adopted: Option<RevisionNumber>,
        newest: RevisionNumber,
    ) -> Result<Heard, ReportRefused> {
        // margo(V-6)
        if let Some(adopted) = adopted.filter(|adopted| *adopted > newest) {
            return Err(ReportRefused::UnpublishedRevision {
                adopted: adopted.get(),
                newest: newest.get(),
            });
        }
        report.covers(&self.components).or_else(|refused| {
            match report.covers(&self.former_components) {
                Ok(()) if !self.former_components.is_empty() => Ok(()),
                _ => Err(refused),
            }
        })?;

        let on_former_content = match (adopted, self.published) {
            (_, None) => true,
            (Some(adopted), Some(published)) => adopted < published,
            (None, Some(_)) => false,
        };
        let (life, heard) = match (&self.life, &report.overall) {
            (Life::Ordered { before }, _) if on_former_content => {
                (Life::Ordered { before: Some(report) }, heard_after(before.as_ref()))
            }
            (Life::Ordered { before }, _) => (Life::Known(report), heard_after(before.as_ref())),
            (Life::Known(_), _) => (Life::Known(report), Heard::Again),
            (Life::Withdrawn(before), Progress::Removed) => {
                (Life::Gone, heard_after(before.as_ref()))
            }
            (Life::Withdrawn(before), _) => {
                (Life::Withdrawn(Some(report)), heard_after(before.as_ref()))
            }
            // The device did not get our answer to its last word, so it says it again.
            (Life::Gone, Progress::Removed) => (Life::Gone, Heard::Again),
            (Life::Gone, _) => return Err(ReportRefused::Gone),
        };
        if matches!(life, Life::Known(_)) {
            self.former_components.clear();
        }
        self.life = life;
        Ok(heard)
    }
}

impl Report {
    pub fn new(
        overall: Progress,
        components: impl IntoIterator<Item = (ComponentName, Progress)>,
    ) -> Result<Self, ReportRefused> {
        let mut seen = BTreeMap::new();
        for (name, progress) in components {
            if seen.insert(name.clone(), progress).is_some() {
                return Err(ReportRefused::RepeatedComponent(name));
            }
        }

        // margo(S-2, S-3): the gravest component speaks for the deployment, but a deployment may
        // fail as a whole before any component starts.
        let gravest = seen.values().max_by_key(|progress| progress.gravity());
        match gravest {
            Some(gravest) if overall.gravity() != gravest.gravity() && !overall.is_failure() => {
                let (overall, gravest) = (overall.name(), gravest.name());
                Err(ReportRefused::Contradiction { overall, gravest })
            }
            _ => Ok(Self { overall, components: seen }),
        }
    }

    pub fn overall(&self) -> &Progress {
        &self.overall
    }

    pub fn components(&self) -> &BTreeMap<ComponentName, Progress> {
        &self.components
    }

    // margo(S-1): one entry for each component, no more and no less.
    fn covers(&self, expected: &BTreeSet<ComponentName>) -> Result<(), ReportRefused> {
        if let Some(name) = self.components.keys().find(|name| !expected.contains(*name)) {
            return Err(ReportRefused::UnknownComponent(name.clone()));
        }
        if let Some(name) = expected.iter().find(|name| !self.components.contains_key(*name)) {
            return Err(ReportRefused::MissingComponent(name.clone()));
        }
        Ok(())
    }
}

impl Progress {
    pub fn name(&self) -> &'static str {
        match self {
            Progress::Pending => "pending",
            Progress::Installing => "installing",
            Progress::Installed => "installed",
            Progress::Removing => "removing",
            Progress::Removed => "removed",
            Progress::Failed(_) => "failed",
        }
    }

    /// The words of the device, when it gave up.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Progress::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    fn is_failure(&self) -> bool {
        self.failure().is_some()
    }

    // margo(S-2): failed > removing > installing > pending > removed > installed.
    fn gravity(&self) -> u8 {
        match self {
            Progress::Installed => 0,
            Progress::Removed => 1,
            Progress::Pending => 2,
            Progress::Installing => 3,
            Progress::Removing => 4,
            Progress::Failed(_) => 5,
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn some(
    components: impl IntoIterator<Item = ComponentName>,
) -> Result<BTreeSet<ComponentName>, NoComponents> {
    let components: BTreeSet<ComponentName> = components.into_iter().collect();
    if components.is_empty() { Err(NoComponents) } else { Ok(components) }
}

fn heard_after(before: Option<&Report>) -> Heard {
    if before.is_some() { Heard::Again } else { Heard::First }
}

#[cfg(test)]
mod tests;
