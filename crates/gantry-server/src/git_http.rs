//! Git over smart HTTP: each client's desired state as a repository that every Git can fetch. Nothing
//! can be pushed, and there are no files to read behind the server's back.

use std::io::Read as _;

use axum::body::{Body, Bytes as BodyBytes};
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use fleet_domain::ids::ClientId;
use fleet_publish::COMMITTER_EMAIL;
use git_serve::advertisement;
use git_serve::upload_pack::Command;
use serde::Deserialize;

use crate::clock;
use crate::extract::{Bytes, LARGEST_BODY, Path, Query};
use crate::fleet::GitError;
use crate::problem::Problem;
use crate::server::Server;

const BASIC: &str = "Basic realm=\"gantry\", charset=\"UTF-8\"";
const AGENT: &str = concat!("gantry/", env!("CARGO_PKG_VERSION"));
const READ_ONLY: &str =
    "this repository is written by the fleet manager only; nothing can be pushed";

/// A caller with a token for the repository in the path.
pub(crate) struct RepositoryReader {
    client: ClientId,
}

/// Which service a client asks for.
#[derive(Deserialize)]
pub(crate) struct Service {
    service: Option<String>,
}

/// `GET /git/{clientId}.git/info/refs`
pub(crate) async fn get_info_refs(
    _reader: RepositoryReader,
    Query(Service { service }): Query<Service>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    match service.as_deref() {
        Some("git-upload-pack") => {}
        Some("git-receive-pack") => return Err(nothing_can_be_pushed()),
        Some(_) | None => {
            return Err(Problem::forbidden("only the smart protocol of git-upload-pack is served"));
        }
    }
    let version = headers.get("git-protocol").and_then(|it| it.to_str().ok());
    let body = if advertisement::wants_version_2(version) {
        advertisement::capabilities(AGENT)
    } else {
        advertisement::unsupported_version()
    };
    Ok(git_answer("application/x-git-upload-pack-advertisement", body))
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
    let version = headers.get("git-protocol").and_then(|it| it.to_str().ok());
    if !advertisement::wants_version_2(version) {
        return Err(Problem::malformed("only version 2 of Git's protocol is served"));
    }
    let body = decoded(&headers, body)?;
    let command = Command::parse(&body).map_err(|error| Problem::malformed(error.to_string()))?;
    let answer = match command {
        Command::LsRefs(command) => server.fleet.git_references(reader.client, &command).await,
        Command::Fetch(command) => server.fleet.git_fetch(reader.client, &command).await,
    };
    match answer {
        Ok(answer) => Ok(git_answer("application/x-git-upload-pack-result", answer)),
        Err(GitError::Request(error)) => Err(Problem::malformed(error.to_string())),
        Err(GitError::Fleet(error)) => Err(Problem::internal(&error)),
    }
}

/// `POST /git/{clientId}.git/git-receive-pack`
pub(crate) async fn post_receive_pack(_reader: RepositoryReader) -> Problem {
    nothing_can_be_pushed()
}

/// `git` shows its user why a push fails only when the answer is plain text.
fn nothing_can_be_pushed() -> Problem {
    Problem::forbidden(READ_ONLY).in_plain_text()
}

fn git_answer(content_type: &'static str, body: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (StatusCode::OK, headers, Body::from(body)).into_response()
}

fn decoded(headers: &HeaderMap, body: BodyBytes) -> Result<BodyBytes, Problem> {
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
        let caller = server.fleet.git_caller(&username, &token, clock::now()).await;
        let caller = caller
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
        Ok(Self { client: caller })
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
