//! Git over smart HTTP: each client's desired state as a repository that every Git can fetch. Nothing
//! can be pushed, and there are no files to read behind the server's back.

use std::io::{self, Read as _};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use fleet_domain::ids::ClientId;
use fleet_publish::COMMITTER_EMAIL;
use futures_util::{Stream, stream};
use git_serve::request::{Refusal, Request, RequestError};
use git_serve::version::Version;
use git_serve::{advertisement, pkt_line};
use serde::Deserialize;

use crate::announcement::announced;
use crate::clock;
use crate::extract::{Bytes, LARGEST_BODY, Path, Query};
use crate::fleet::{Fetched, FleetError, GitError, Head, PackStream, Reader};
use crate::listener::NothingMore;
use crate::metrics::Way;
use crate::problem::{self, Problem, Reason};
use crate::server::Server;
use crate::traces;

const BASIC: &str = "Basic realm=\"gantry\", charset=\"UTF-8\"";
const AGENT: &str = concat!("gantry/", env!("CARGO_PKG_VERSION"));
/// How long a pack may take. A device on a mobile line gets even a long history in this time.
const LONGEST_PACK: Duration = Duration::from_secs(60 * 60);

const UPLOAD: &str = "git-upload-pack";
const RECEIVE: &str = "git-receive-pack";
const READ_ONLY: &str =
    "this repository is written by the fleet manager only; nothing can be pushed";
const SMART_ONLY: &str =
    "only the smart HTTP protocol of git-upload-pack is served; use a Git that speaks it";

/// A caller with a token for the repository in the path.
pub(crate) struct RepositoryReader {
    reader: Reader,
    client: ClientId,
}

/// Which service a client asks for.
#[derive(Deserialize)]
pub(crate) struct Service {
    service: Option<String>,
}

/// `GET /git/{clientId}.git/info/refs`
pub(crate) async fn get_info_refs(
    State(server): State<Server>,
    reader: RepositoryReader,
    Query(Service { service }): Query<Service>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    match service.as_deref() {
        Some(UPLOAD) => {}
        Some(RECEIVE) => return Ok(refuse_to_receive()),
        Some(_) | None => return Err(refuse_files()),
    }
    let body = match version(&headers) {
        Version::V2 => advertisement::capabilities(AGENT),
        older @ (Version::V0 | Version::V1) => {
            let head = poll(&server, &reader).await;
            let head = head.map_err(|error| Problem::internal(&error))?;
            advertisement::references(older, AGENT, head.commit)
        }
    };
    Ok(git_answer("application/x-git-upload-pack-advertisement", body))
}

/// The newest commit, for whoever asks for references. To a client that is a poll.
async fn poll(server: &Server, reader: &RepositoryReader) -> Result<Head, FleetError> {
    let head = server.fleet.git_head(reader.client).await?;
    match &reader.reader {
        Reader::Client => server.metrics.polls.count(Way::Git, head.is_new),
        Reader::Operator(_) => {}
    }
    Ok(head)
}

/// `GET /git/allowed_signers`: the file by which any Git checks the commits of every repository here.
pub(crate) async fn get_allowed_signers(State(server): State<Server>) -> Result<Response, Problem> {
    let signers = server.fleet.signers().await.map_err(|error| Problem::internal(&error))?;
    let lines = signers.iter().map(|it| it.allowed_signers_line(COMMITTER_EMAIL) + "\n");
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))];
    Ok((content_type, lines.collect::<String>()).into_response())
}

/// `POST /git/{clientId}.git/git-upload-pack`
pub(crate) async fn post_upload_pack(
    State(server): State<Server>,
    reader: RepositoryReader,
    headers: HeaderMap,
    Bytes(body): Bytes,
) -> Result<Response, Problem> {
    let body = decoded(&headers, body)?;
    let mut is_nothing_new = false;
    let answer = match Request::parse(version(&headers), &body) {
        Ok(Request::Nothing) => Ok(Fetched::Whole(Vec::new())),
        Ok(Request::ListReferences(request)) => {
            let head = poll(&server, &reader).await;
            is_nothing_new = head.as_ref().is_ok_and(|it| !it.is_new);
            head.map(|it| Fetched::Whole(request.answer(it.commit))).map_err(GitError::from)
        }
        Ok(Request::Fetch(fetch)) => {
            server.fleet.git_fetch(reader.client, reader.reader, &fetch).await
        }
        Err(RequestError::Refused(refusal)) => Err(refusal.into()),
        Err(RequestError::Malformed(error)) => return Err(Problem::malformed(error.to_string())),
    };
    let body = match answer {
        Ok(Fetched::Whole(answer)) => Body::from(answer),
        Ok(Fetched::Pack(pack)) => Body::from_stream(bounded(pack)),
        Err(GitError::Refused(refusal)) => Body::from(error_packet(&refusal)),
        Err(GitError::Fleet(error)) => return Err(Problem::internal(&error)),
    };
    let mut answer = git_answer("application/x-git-upload-pack-result", body);
    if is_nothing_new {
        answer.extensions_mut().insert(NothingMore);
    }
    Ok(answer)
}

/// `POST /git/{clientId}.git/git-receive-pack`
pub(crate) async fn post_receive_pack(_reader: RepositoryReader) -> Problem {
    Problem::forbidden(Reason::ReadOnly, READ_ONLY).in_plain_text()
}

/// Clients of every make show their user an error of the protocol, and few the text of another status.
fn refuse_to_receive() -> Response {
    let body = advertisement::refusal(RECEIVE, READ_ONLY);
    git_answer("application/x-git-receive-pack-advertisement", body)
}

/// For a Git that reads the files of a repository over HTTP; it shows the reason when it is text.
fn refuse_files() -> Problem {
    Problem::forbidden(Reason::ReadOnly, SMART_ONLY).in_plain_text()
}

fn error_packet(refusal: &Refusal) -> Vec<u8> {
    let mut out = Vec::new();
    pkt_line::write_error(&mut out, &refusal.to_string());
    out
}

fn git_answer(content_type: &'static str, body: impl Into<Body>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (StatusCode::OK, headers, body.into()).into_response()
}

/// An answer that is made as fast as the client reads it, and broken off when that takes too long.
fn bounded(pack: Box<PackStream>) -> impl Stream<Item = io::Result<Vec<u8>>> {
    let bound = Box::pin(tokio::time::sleep(LONGEST_PACK));
    stream::unfold(Some((pack, bound)), |state| async {
        let (mut pack, mut bound) = state?;
        let next = tokio::select! {
            biased;
            () = &mut bound => Err("the pack took too long".to_owned()),
            next = pack.next() => next.map_err(|error| problem::chain(&error)),
        };
        match next {
            Ok(piece) => Some((Ok(piece?), Some((pack, bound)))),
            Err(error) => {
                tracing::error!(error, "a pack was broken off");
                let reason = pack.fail("the server could not go on; its log says why");
                // Without a place for the reason, a connection that breaks says that there is more.
                let end = if reason.is_empty() { Err(io::Error::other(error)) } else { Ok(reason) };
                Some((end, None))
            }
        }
    })
}

fn version(headers: &HeaderMap) -> Version {
    Version::from_header(headers.get("git-protocol").and_then(|it| it.to_str().ok()))
}

fn decoded(headers: &HeaderMap, body: axum::body::Bytes) -> Result<axum::body::Bytes, Problem> {
    let encoding = headers.get(header::CONTENT_ENCODING).and_then(|it| it.to_str().ok());
    match encoding {
        None | Some("identity") => Ok(body),
        Some("gzip" | "x-gzip") => {
            let mut decoded = Vec::new();
            GzDecoder::new(body.as_ref())
                .take(LARGEST_BODY as u64 + 1)
                .read_to_end(&mut decoded)
                .map_err(|_| Problem::malformed("the body is not valid gzip"))?;
            if decoded.len() > LARGEST_BODY {
                return Err(Problem::too_large(LARGEST_BODY));
            }
            Ok(decoded.into())
        }
        Some(_) => Err(Problem::unsupported_media_type("plain, or encoded with gzip")),
    }
}

impl FromRequestParts<Server> for RepositoryReader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, Problem> {
        let challenge = |detail| Problem::unauthenticated(BASIC, detail);
        let (username, token) = basic_credentials(&parts.headers).ok_or_else(|| {
            challenge("Git needs the user name and token of the client's repository")
        })?;
        let now = clock::now();
        let caller = server.fleet.git_caller(&username, &token, now).await;
        let (caller, reader) = caller
            .map_err(|error| Problem::internal(&error))?
            .ok_or_else(|| challenge("the token is wrong or has expired"))?;

        let Path(segments) =
            Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, server)
                .await?;
        let named = segments.get("repository").and_then(|it| it.strip_suffix(".git"));
        // Another client's repository answers like one that does not exist.
        if named.and_then(|it| it.parse::<ClientId>().ok()) != Some(caller) {
            return Err(Problem::not_found("there is no such repository"));
        }
        tracing::Span::current().record("client", tracing::field::display(caller));
        traces::by_client(caller);
        match &reader {
            Reader::Client => {
                server.limits.count_client(caller, now)?;
                let announced = announced(&parts.headers, now);
                let contact = server.fleet.hear_contact(caller, announced, now).await;
                contact.map_err(|error| Problem::internal(&error))?;
            }
            // Whatever an operator sends, it does not come from the client.
            Reader::Operator(_) => {}
        }
        Ok(Self { reader, client: caller })
    }
}

fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (username, token) = decoded.split_once(':')?;
    Some((username.to_owned(), token.to_owned()))
}
