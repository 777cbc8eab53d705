//! One client of the fleet: what it proves itself with, what it has, and what it asks and says. As small as
//! it can be, since there are many.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bench_population::Member;
use http::request::Builder;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use http_signature::{Message, SigningKey};
use hyper::body::Bytes;
use margo_contract::digest::Digest;
use margo_contract::state_manifest::{self, StateManifest};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::application::COMPONENT;
use crate::git;
use crate::link::{Answer, Connection, LinkError, Ticket, Way};

const AGENT: &str = "gantry-device/0.1.0";
const JSON: &str = "application/json";
/// What a contact may take longer than is announced.
const GRACE_SECONDS: u64 = 96;

/// A client that was let in.
pub(crate) struct Client {
    id: Uuid,
    key: SigningKey,
    /// The value of `Authorization` for its repository, if it polls with Git.
    git: Option<Box<str>>,
    ticket: Arc<Ticket>,
    has: Mutex<Has>,
    /// Whether a contact is going on: a device has one at a time.
    talks: AtomicBool,
}

/// What a client has of its desired state.
#[derive(Debug, Clone, Copy)]
struct Has {
    revision: u64,
    /// The digest of the manifest; nothing before the first one.
    manifest: Option<Digest>,
    /// The commit of the newest revision, for who polls with Git.
    commit: Option<git::Commit>,
    /// The deployment that it is to install, and how far it has got with it.
    ordered: Option<(Uuid, Progress)>,
}

/// How far a client has got with what was ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Ordered,
    Fetched,
    Installing,
    Installed,
}

/// Why a contact did not go well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContactError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("{status}: {text}")]
    Refused { status: StatusCode, retry_after: Option<Duration>, text: String },
    #[error("the server makes no sense: {0}")]
    Nonsense(&'static str),
}

impl ContactError {
    /// How long the server asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Link(_) | Self::Nonsense(_) => None,
        }
    }

    pub(crate) fn is_server_error(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if status.is_server_error())
    }
}

impl Client {
    /// One that the store was filled with.
    pub(crate) fn of_population(member: &Member, uses_git: bool) -> Self {
        let manifest = member.manifest.to_string().parse().expect("a digest is a digest");
        let [.., commit] = member.commits;
        let has = Has {
            revision: member.commits.len() as u64,
            manifest: Some(manifest),
            commit: Some(git::Commit::from(commit)),
            ordered: None,
        };
        Self {
            id: member.client.as_uuid(),
            key: SigningKey::from_pkcs8_der(&member.key).expect("it is a key"),
            git: uses_git.then(|| member.authorization.as_str().into()),
            ticket: Arc::default(),
            has: Mutex::new(has),
            talks: AtomicBool::new(false),
        }
    }

    /// One that has just onboarded.
    pub(crate) fn onboarded(id: Uuid, key: SigningKey) -> Self {
        let has = Has { revision: 0, manifest: None, commit: None, ordered: None };
        Self {
            id,
            key,
            git: None,
            ticket: Arc::default(),
            has: Mutex::new(has),
            talks: AtomicBool::new(false),
        }
    }

    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    pub(crate) fn connection(&self, way: &Arc<Way>) -> Connection {
        way.connection(&self.ticket)
    }

    /// Begins a contact, unless one is going on.
    pub(crate) fn begin_to_talk(&self) -> bool {
        !self.talks.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn stop_talking(&self) {
        self.talks.store(false, Ordering::Relaxed);
    }

    /// From now on it is expected to install this.
    pub(crate) fn expect(&self, deployment: Uuid) {
        self.has().ordered = Some((deployment, Progress::Ordered));
    }

    /// Looks for a new desired state; fetches it, and tells that it is installed.
    pub(crate) async fn contact(
        &self,
        connection: &mut Connection,
        interval: Duration,
    ) -> Result<(), ContactError> {
        match &self.git {
            Some(authorization) => self.follow_git(connection, interval, authorization).await?,
            None => self.follow_http(connection, interval).await?,
        }
        self.tell(connection).await
    }

    async fn follow_http(
        &self,
        connection: &mut Connection,
        interval: Duration,
    ) -> Result<(), ContactError> {
        let has = *self.has();
        let mut poll = Request::get(self.path("/deployments"))
            .header(header::ACCEPT, state_manifest::MEDIA_TYPE)
            .header("gantry-contact", announcement(has.revision, interval));
        if let Some(manifest) = has.manifest {
            poll = poll.header(header::IF_NONE_MATCH, manifest.etag());
        }
        let answer = self.ask(connection, poll, None).await?;
        if answer.status == StatusCode::NOT_MODIFIED {
            return Ok(());
        }
        let manifest = StateManifest::parse(&answer.body)
            .map_err(|_| ContactError::Nonsense("the manifest is not valid"))?;
        if manifest.manifest_version <= has.revision {
            return Err(ContactError::Nonsense("the manifest is not newer"));
        }
        let ordered = has.ordered.map(|(id, _)| id);
        for named in manifest.deployments.iter().filter(|it| Some(it.deployment_id) == ordered) {
            let document = Request::get(named.url.as_str());
            let document = self.ask(connection, document, None).await?;
            if Digest::of(&document.body) != named.digest {
                return Err(ContactError::Nonsense("a document does not have its digest"));
            }
            self.has().ordered = Some((named.deployment_id, Progress::Fetched));
        }
        let mut has = self.has();
        (has.revision, has.manifest) = (manifest.manifest_version, Some(Digest::of(&answer.body)));
        Ok(())
    }

    async fn follow_git(
        &self,
        connection: &mut Connection,
        interval: Duration,
        authorization: &str,
    ) -> Result<(), ContactError> {
        let has = *self.has();
        let authority = connection.authority().to_owned();
        let request = |method: Method, path: &str, body: Vec<u8>| {
            let path = format!("/git/{}.git{path}", self.id);
            let mut request = Request::builder().method(method).uri(path);
            if !body.is_empty() {
                request = request
                    .header(header::CONTENT_TYPE, "application/x-git-upload-pack-request")
                    .header(header::ACCEPT, "application/x-git-upload-pack-result");
            }
            request
                .header("git-protocol", "version=2")
                .header(header::AUTHORIZATION, authorization)
                .header("gantry-contact", announcement(has.revision, interval))
                .header(header::USER_AGENT, AGENT)
                .header(header::HOST, authority.as_str())
                .body(Full::from(body))
                .expect("it is well-formed")
        };
        let upload = |body| request(Method::POST, "/git-upload-pack", body);
        let answer = successful(connection.ask(upload(git::glance())).await?)?;
        let newest = git::newest(&answer.body).ok_or(ContactError::Nonsense("no commit"))?;
        if has.commit == Some(newest) {
            return Ok(());
        }
        let capabilities = "/info/refs?service=git-upload-pack";
        successful(connection.ask(request(Method::GET, capabilities, Vec::new())).await?)?;
        successful(connection.ask(upload(git::list())).await?)?;
        let pack = connection.ask(upload(git::fetch(newest, has.commit))).await?;
        if !git::has_pack(&successful(pack)?.body) {
            return Err(ContactError::Nonsense("no pack"));
        }
        let mut has = self.has();
        (has.revision, has.commit) = (has.revision + 1, Some(newest));
        if let Some((_, progress @ Progress::Ordered)) = &mut has.ordered {
            *progress = Progress::Fetched;
        }
        Ok(())
    }

    /// Tells how far it has got with what was ordered, until it is installed.
    async fn tell(&self, connection: &mut Connection) -> Result<(), ContactError> {
        loop {
            let Has { revision, ordered, .. } = *self.has();
            let (id, next, state) = match ordered {
                Some((id, Progress::Fetched)) => (id, Progress::Installing, "installing"),
                Some((id, Progress::Installing)) => (id, Progress::Installed, "installed"),
                Some((_, Progress::Ordered | Progress::Installed)) | None => return Ok(()),
            };
            let body = json!({
                "apiVersion": "deployment.margo.org/v1alpha1",
                "kind": "DeploymentStatusManifest",
                "deploymentId": id,
                "status": {"state": state},
                "components": [{"name": COMPONENT, "state": state}],
            });
            let report = Request::post(self.path(&format!("/deployments/{id}/status")))
                .header("gantry-adopted-manifest-version", revision);
            self.ask(connection, report, Some(&body)).await?;
            self.has().ordered = Some((id, next));
        }
    }

    /// What it is expected to install.
    pub(crate) fn ordered(&self) -> Option<Uuid> {
        self.has().ordered.map(|(id, _)| id)
    }

    /// Whether it has told that it installed what was ordered.
    pub(crate) fn has_installed(&self) -> bool {
        matches!(self.has().ordered, Some((_, Progress::Installed)))
    }

    /// Says what device it speaks for.
    pub(crate) async fn describe(
        &self,
        connection: &mut Connection,
        capabilities: &Value,
    ) -> Result<(), ContactError> {
        let request = Request::put(self.path("/capabilities"));
        self.ask(connection, request, Some(capabilities)).await.map(drop)
    }

    /// Asks for its repository, and polls with Git from now on.
    pub(crate) async fn use_git(
        &mut self,
        connection: &mut Connection,
    ) -> Result<(), ContactError> {
        let request = Request::get(self.path("/repository"));
        let answer = self.ask(connection, request, None).await?;
        let access: Value = serde_json::from_slice(&answer.body)
            .map_err(|_| ContactError::Nonsense("the answer is no JSON"))?;
        let text = |name: &str| access[name].as_str().unwrap_or_default();
        let authorization = git::authorization(text("username"), text("token"));
        self.git = Some(authorization.into());
        Ok(())
    }

    /// Sends a signed request below the client's own path. Any answer but a good one is an error.
    async fn ask(
        &self,
        connection: &mut Connection,
        request: Builder,
        body: Option<&Value>,
    ) -> Result<Answer, ContactError> {
        let keyid = self.id.to_string();
        let request = signed(&self.key, &keyid, connection, request, body);
        successful(connection.ask(request).await?)
    }

    fn path(&self, below: &str) -> String {
        format!("/api/v1/clients/{}{below}", self.id)
    }

    fn has(&self) -> MutexGuard<'_, Has> {
        self.has.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request with a signature of this moment.
pub(crate) fn signed(
    key: &SigningKey,
    keyid: &str,
    connection: &Connection,
    request: Builder,
    body: Option<&Value>,
) -> Request<Full<Bytes>> {
    let body = body.map(|it| it.to_string().into_bytes());
    let method = request.method_ref().expect("it is well-formed").clone();
    let path = request.uri_ref().expect("it is well-formed");
    let target_uri = format!("https://{}{path}", connection.authority());
    let message =
        Message { method: method.as_str(), target_uri: &target_uri, body: body.as_deref() };
    let signature = http_signature::sign(key, &message, now(), keyid).expect("a key can sign");
    let mut request = request.header(header::HOST, connection.authority());
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, JSON);
    }
    if let Some(digest) = signature.content_digest {
        request = request.header("content-digest", digest);
    }
    request
        .header(header::USER_AGENT, AGENT)
        .header("signature-input", signature.signature_input)
        .header("signature", signature.signature)
        .body(Full::from(body.unwrap_or_default()))
        .expect("it is well-formed")
}

/// The answer, if it is what was asked for.
pub(crate) fn successful(answer: Answer) -> Result<Answer, ContactError> {
    let status = answer.status;
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return Ok(answer);
    }
    Err(ContactError::Refused { status, retry_after: answer.retry_after(), text: answer.text() })
}

/// What each contact says about the next one.
fn announcement(revision: u64, interval: Duration) -> String {
    let next = now() + interval.as_secs();
    format!("next={next}, by={}, revision={revision}, undelivered=0", next + GRACE_SECONDS)
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970").as_secs()
}
