//! A device: it polls over HTTP and with Git, reports, and remembers all that it was told, so that it sees when
//! anything of it is taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use margo_contract::digest::Digest;
use margo_contract::state_manifest::StateManifest;
use operator_api::{Page, RevisionSummary, State};
use serde_json::{Value, json};
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::http::Answer;
use testkit::operator::Operator;
use testkit::wait::PATIENCE;
use uuid::Uuid;

use crate::application::COMPONENT;
use crate::chance::Chance;
use crate::hearing::{Struck, patiently};
use crate::repository::{self, Repository};
use crate::revision::{Parts, Whole};
use crate::statuses::{Status, Statuses};
use crate::tally::{Kind, Loss};
use crate::versions::Versions;

/// Revisions that may be published while a list is asked for.
const SPARE: usize = 100;
const INTERVAL: Duration = Duration::from_millis(50);

pub(crate) struct Device {
    client: TestClient,
    repository: Repository,
    versions: Versions,
    /// The newest manifest that it has over HTTP.
    tag: Option<(Digest, u64)>,
    /// The newest commit that was compared, and what it and those before it carry.
    compared: Option<String>,
    revisions: Vec<BTreeMap<Uuid, String>>,
    /// Documents that were served as they should be.
    served: BTreeSet<(Uuid, Digest)>,
    /// What the newest manifest lists, and what any did that is not removed yet.
    listed: BTreeSet<Uuid>,
    known: BTreeSet<Uuid>,
    pub(crate) statuses: BTreeMap<Uuid, Statuses>,
    /// What was reported about since it was last settled.
    pub(crate) touched: BTreeSet<Uuid>,
    pub(crate) acknowledged: u64,
    pub(crate) losses: Vec<Loss>,
}

impl Device {
    /// One that has been let in.
    pub(crate) fn new(fleet: &TestFleet, name: &str, folder: &Path) -> Self {
        Self {
            client: fleet.accepted_client(name),
            repository: Repository::new(&folder.join(name), &fleet.ca()),
            versions: Versions::default(),
            tag: None,
            compared: None,
            revisions: Vec::new(),
            served: BTreeSet::new(),
            listed: BTreeSet::new(),
            known: BTreeSet::new(),
            statuses: BTreeMap::new(),
            touched: BTreeSet::new(),
            acknowledged: 0,
            losses: Vec::new(),
        }
    }

    /// The id that the fleet manager has given.
    pub(crate) fn client(&self) -> &str {
        self.client.id()
    }

    /// How many revisions were compared.
    pub(crate) fn revisions(&self) -> u64 {
        self.revisions.len() as u64
    }

    /// What a revision carries for a deployment.
    pub(crate) fn carried(&self, revision: u64, deployment: Uuid) -> Option<&str> {
        let place = usize::try_from(revision).ok()?.checked_sub(1)?;
        self.revisions.get(place)?.get(&deployment).map(String::as_str)
    }

    /// Polls and reports until the server is struck.
    pub(crate) fn live(&mut self, chance: &mut Chance, struck: &Struck) {
        while !struck.is_set() {
            let heard = match chance.below(5) {
                0 | 1 => self.poll(Some(struck)),
                2 => self.poll_with_git(struck),
                _ => self.report(chance, struck),
            };
            if heard.is_none() {
                return;
            }
        }
    }

    /// After a restart: all that is new is whole, and nothing is older than before.
    pub(crate) fn inspect(&mut self, operator: &Operator, with_another_clone: bool) {
        let path = self.client.path("/repository");
        if let Some(access) = self.get(&path, &[], None) {
            self.repository.set_access(&access.expect(200).json());
        }
        let before = self.compared.clone();
        self.compare_new_revisions(operator);
        self.poll(None);
        if with_another_clone {
            let sound = self.repository.check_another_clone(before.as_deref());
            self.note(
                sound.err().map(|it| Loss::of(Kind::Revision, format!("another clone: {it}"))),
            );
        }
    }

    /// Checks the clone that has grown from the beginning.
    pub(crate) fn check_clone(&mut self) {
        let sound = self.repository.check();
        self.note(sound.err().map(|it| Loss::of(Kind::Revision, format!("the clone: {it}"))));
    }

    /// Waits until exactly this is published.
    pub(crate) fn await_published(&mut self, operator: &Operator, wanted: &BTreeMap<Uuid, String>) {
        let deadline = Instant::now() + PATIENCE;
        while self.revisions.last() != Some(wanted) && self.losses.is_empty() {
            if Instant::now() > deadline {
                let newest = self.revisions.last();
                let what = format!("{wanted:?} is not published in time, the newest is {newest:?}");
                return self.note([Loss::of(Kind::Order, what)]);
            }
            std::thread::sleep(INTERVAL);
            self.compare_new_revisions(operator);
        }
    }

    /// Asks for the newest manifest; patiently where nobody strikes.
    fn poll(&mut self, struck: Option<&Struck>) -> Option<()> {
        let path = self.client.path("/deployments");
        let etag = self.tag.map(|(digest, _)| digest.etag());
        let headers: Vec<_> = etag.iter().map(|it| ("if-none-match", it.as_str())).collect();
        let answer = self.get(&path, &headers, struck)?;
        if let (304, Some((digest, version))) = (answer.status, self.tag) {
            let losses = self.versions.newest_is(version, digest);
            self.note(losses);
            return Some(());
        }
        let answer = answer.expect(200);
        let digest = Digest::of(&answer.body);
        if answer.header("etag") != Some(&digest.etag()) {
            let what = format!("a manifest {digest} has the tag {:?}", answer.header("etag"));
            self.note([Loss::of(Kind::Revision, what)]);
        }
        let manifest = self.take(&answer.body)?;
        self.tag = Some((digest, manifest.manifest_version));
        for it in &manifest.deployments {
            let served = self.served_document(it.deployment_id, it.digest, &it.url, struck)?;
            if served != Ok(it.digest) {
                let version = manifest.manifest_version;
                let what = format!("version {version}: the document of {}: {served:?}", it.url);
                self.note([Loss::of(Kind::Revision, what)]);
            }
        }
        Some(())
    }

    fn poll_with_git(&mut self, struck: &Struck) -> Option<()> {
        match self.repository.fetch() {
            Ok(()) => {}
            Err(said) if struck.is_set() || repository::is_busy(&said) => return None,
            Err(said) => {
                self.note([git_fault(&said)]);
                return None;
            }
        }
        let manifest = self.repository.files(&["main:manifest.json".to_owned()]);
        let manifest = manifest.ok().and_then(|mut it| it.pop().flatten());
        match manifest {
            Some(manifest) => self.take(&manifest).map(drop),
            None => {
                self.note([Loss::of(Kind::Revision, "the commit has no manifest")]);
                None
            }
        }
    }

    /// Takes up a manifest that is the newest one.
    fn take(&mut self, bytes: &[u8]) -> Option<StateManifest> {
        let Ok(manifest) = StateManifest::parse(bytes) else {
            let text = String::from_utf8_lossy(bytes);
            self.note([Loss::of(Kind::Revision, format!("no manifest: {text}"))]);
            return None;
        };
        let losses = self.versions.newest_is(manifest.manifest_version, Digest::of(bytes));
        self.note(losses);
        self.listed = manifest.deployments.iter().map(|it| it.deployment_id).collect();
        self.known.extend(&self.listed);
        Some(manifest)
    }

    fn report(&mut self, chance: &mut Chance, struck: &Struck) -> Option<()> {
        let known: Vec<Uuid> = self.known.iter().copied().collect();
        if known.is_empty() {
            return self.poll(Some(struck));
        }
        let id = *chance.pick(&known);
        let statuses = self.statuses.entry(id).or_default();
        let Some(status) = statuses.say_next(self.listed.contains(&id)) else {
            self.known.remove(&id);
            return Some(());
        };
        self.touched.insert(id);
        let path = self.client.path(&format!("/deployments/{id}/status"));
        let body = document(id, &status).to_string().into_bytes();
        let json = [("content-type", "application/json")];
        let request = self.client.signed("POST", &path, Some(body), &json);
        struck.granted(&format!("{status:?} to {path}"), self.client.try_send(&request))?;
        statuses.acknowledge();
        self.acknowledged += 1;
        Some(())
    }

    /// Fetches what is new with Git, and holds each revision against what comes from elsewhere.
    fn compare_new_revisions(&mut self, operator: &Operator) {
        if let Err(fault) = self.try_to_compare(operator) {
            self.note([fault]);
        }
    }

    fn try_to_compare(&mut self, operator: &Operator) -> Result<(), Loss> {
        let damaged = |said: String| Loss::of(Kind::Revision, format!("the clone: {said}"));
        self.repository.fetch_patiently().map_err(|said| git_fault(&said))?;
        let commits = self.repository.commits_after(self.compared.as_deref()).map_err(damaged)?;
        if commits.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = commits.iter().map(|it| format!("{it}:manifest.json")).collect();
        let manifests = self.repository.files(&names).map_err(damaged)?;
        let listed = self.listed_revisions(operator, commits.len() + SPARE);
        for (commit, manifest) in commits.into_iter().zip(manifests) {
            let number = self.revisions() + 1;
            let half =
                |what: String| Loss::of(Kind::Revision, format!("revision {number}: {what}"));
            let manifest = manifest.ok_or_else(|| half("the commit has no manifest".to_owned()))?;
            let mut parts = Parts { number, commit, manifest, ..Parts::default() };
            parts.listed = listed.get(&number).cloned();
            self.fetch_documents(&mut parts).map_err(damaged)?;
            let Whole { digest, greetings } = parts.put_together().map_err(half)?;
            let losses = self.versions.is(number, digest);
            self.note(losses);
            self.revisions.push(greetings);
            self.compared = Some(parts.commit);
        }
        Ok(())
    }

    /// The commit and the digest of the newest revisions, as operators see them.
    fn listed_revisions(
        &self,
        operator: &Operator,
        count: usize,
    ) -> BTreeMap<u64, (String, String)> {
        let path = format!("/clients/{}/revisions?limit={count}", self.client());
        let listed = patiently("a list of revisions", || operator.try_send("GET", &path, None));
        let listed: Page<RevisionSummary> =
            serde_json::from_slice(&listed.expect(200).body).expect("it is a list of revisions");
        let pairs = listed.items.into_iter().map(|it| (it.number, (it.commit, it.manifest_digest)));
        pairs.collect()
    }

    /// The documents of a revision out of the commit, and documents and bundle from the device API.
    fn fetch_documents(&mut self, parts: &mut Parts) -> Result<(), String> {
        let Ok(manifest) = StateManifest::parse(&parts.manifest) else {
            return Ok(());
        };
        let ids = manifest.deployments.iter().map(|it| it.deployment_id);
        let name = |id: &Uuid| format!("{}:deployments/{id}.yaml", parts.commit);
        let names: Vec<String> = ids.clone().map(|id| name(&id)).collect();
        let files = self.repository.files(&names)?;
        parts.committed = ids.zip(files).filter_map(|(id, it)| Some((id, it?))).collect();
        for it in &manifest.deployments {
            let (id, digest) = (it.deployment_id, it.digest);
            if let Some(Ok(served)) = self.served_document(id, digest, &it.url, None) {
                parts.served.insert(id, served);
            }
        }
        if let Some(bundle) = &manifest.bundle {
            let answer = self.get(&bundle.url, &[], None).filter(|it| it.status == 200);
            parts.bundle = answer.map(|it| it.body);
        }
        Ok(())
    }

    /// The digest of a document that is served, or the status of a refusal. What was served once is not asked for
    /// again: it is the same row.
    fn served_document(
        &mut self,
        id: Uuid,
        digest: Digest,
        url: &str,
        struck: Option<&Struck>,
    ) -> Option<Result<Digest, u16>> {
        if self.served.contains(&(id, digest)) {
            return Some(Ok(digest));
        }
        let answer = self.get(url, &[], struck)?;
        if answer.status != 200 {
            return Some(Err(answer.status));
        }
        let served = Digest::of(&answer.body);
        self.served.insert((id, served));
        Some(Ok(served))
    }

    fn get(&self, path: &str, headers: &[(&str, &str)], struck: Option<&Struck>) -> Option<Answer> {
        let ask = || self.client.try_send(&self.client.signed("GET", path, None, headers));
        match struck {
            Some(struck) => struck.hear(path, ask()),
            None => Some(patiently(path, ask)),
        }
    }

    fn note(&mut self, losses: impl IntoIterator<Item = Loss>) {
        let name = self.client.name();
        let losses = losses.into_iter().map(|it| Loss::of(it.of, format!("{name}: {}", it.what)));
        self.losses.extend(losses);
    }
}

/// Why a fetch did not succeed though the server was there.
fn git_fault(said: &str) -> Loss {
    let kind = if said.contains("fast-forward") { Kind::Version } else { Kind::Revision };
    Loss::of(kind, said)
}

fn document(id: Uuid, status: &Status) -> Value {
    let state = match status.state {
        State::Installing => "installing",
        State::Installed => "installed",
        State::Failed => "failed",
        State::Removing => "removing",
        State::Removed => "removed",
        State::Ordered | State::Pending => unreachable!("the device does not say so"),
    };
    let mut told = json!({"state": state});
    if let Some(message) = &status.message {
        told["error"] = json!({"code": "CRASH", "source": COMPONENT, "message": message});
    }
    let mut component = told.clone();
    component["name"] = json!(COMPONENT);
    json!({
        "apiVersion": "deployment.margo.org/v1alpha1",
        "kind": "DeploymentStatusManifest",
        "deploymentId": id,
        "status": told,
        "components": [component],
    })
}
