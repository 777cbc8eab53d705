//! Every route of the listener, grouped by who calls it. Those of the two APIs are made where they are described.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;
use utoipa::openapi::OpenApi;

use crate::listener::Serve;
use crate::problem::{self, Problem};
use crate::server::Server;
use crate::{device_api, git_http, operator_api, unread};

/// How long any one request may take, up to the beginning of its answer.
const LONGEST_REQUEST: Duration = Duration::from_secs(60);

/// All of them, and what is done with every request. That stands around the router and not in it, where
/// each route would carry a copy of its own.
pub(crate) fn service(server: Server) -> impl Serve {
    let (for_clients, device_api) = device_api::router(&server);
    let (for_operators, operator_api) = operator_api::router(&server);
    let router = Router::new()
        .merge(for_clients)
        .merge(for_operators)
        .merge(for_anybody(device_api, operator_api));
    let router = if server.git_enabled { router.merge(for_git()) } else { router };
    ServiceBuilder::new()
        .layer(from_fn(unread::close_connection))
        .layer(from_fn(problem::render))
        .layer(from_fn(bound_and_log))
        .layer(CatchPanicLayer::custom(|_| {
            let detail = "the server made a mistake; its log says where";
            Problem::unavailable(detail).into_response()
        }))
        .service(router.with_state(server))
}

/// They tell no secrets.
fn for_anybody(device_api: OpenApi, operator_api: OpenApi) -> Router<Server> {
    let describe = |document: OpenApi| move || async move { Json(document) };
    Router::new()
        // Not below /api/v1: what is there is Margo's to say.
        .route("/openapi/device-api.json", get(describe(device_api)))
        .route("/operator/v1/openapi.json", get(describe(operator_api)))
        .route("/healthz", get(health))
}

/// Whoever has a token for a client's repository.
fn for_git() -> Router<Server> {
    Router::new()
        .route("/git/allowed_signers", get(git_http::get_allowed_signers))
        .route("/git/{repository}/info/refs", get(git_http::get_info_refs))
        .route("/git/{repository}/git-upload-pack", post(git_http::post_upload_pack))
        .route("/git/{repository}/git-receive-pack", post(git_http::post_receive_pack))
}

/// `GET /healthz`: whether the server can do its work.
async fn health(State(server): State<Server>) -> Result<Response, Problem> {
    match server.fleet.check().await {
        Ok(()) => Ok((StatusCode::OK, Json(json!({"status": "ok"}))).into_response()),
        Err(error) => {
            tracing::error!(error = problem::chain(&error), "the health check failed");
            Err(Problem::unavailable("the database does not answer"))
        }
    }
}

/// Ends requests that take too long, and writes one line about each.
async fn bound_and_log(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!(
        "request",
        client = tracing::field::Empty,
        operator = tracing::field::Empty
    );
    let answer = tokio::time::timeout(LONGEST_REQUEST, next.run(request).instrument(span.clone()));
    let response = answer
        .await
        .unwrap_or_else(|_| Problem::unavailable("the request took too long").into_response());
    let status = response.status().as_u16();
    // In quotes: a reason may repeat what the caller has sent.
    let reason = response.extensions().get::<Problem>().and_then(Problem::reason);
    span.in_scope(|| match status {
        500.. => tracing::warn!(%method, path, status, ?reason, "answered"),
        401 | 403 | 429 => tracing::info!(%method, path, status, ?reason, "refused"),
        _ => tracing::debug!(%method, path, status, "answered"),
    });
    response
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io;

    use axum::body::Body;
    use futures_util::stream;
    use tower::{ServiceExt as _, service_fn};

    use super::*;
    use crate::extract;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_finish_a_body_is_given_up() {
        let reads = service_fn(|request: Request| async {
            let body = extract::read(request.into_body(), 1_000).await;
            Ok::<_, Infallible>(body.map(|_| StatusCode::OK).into_response())
        });
        let service = ServiceBuilder::new().layer(from_fn(bound_and_log)).service(reads);
        let answer = async |body| {
            let request = Request::new(body);
            service.clone().oneshot(request).await.expect("there is always an answer").status()
        };
        let stalled = Body::from_stream(stream::pending::<io::Result<Vec<u8>>>());
        assert_eq!(answer(stalled).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer(Body::from("all of it")).await, StatusCode::OK);
    }
}
