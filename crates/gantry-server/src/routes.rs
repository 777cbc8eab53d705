//! Every route of the listener, grouped by who calls it. Those of the two APIs are made where they are described.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{Route, get, post};
use axum::{Json, Router};
use fleet_domain::permission::Permission;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tower::layer::layer_fn;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracing::Instrument as _;
use utoipa::openapi::OpenApi;

use crate::identity::verify_operator;
use crate::listener::{Peer, Serve};
use crate::metrics::Refusals;
use crate::problem::{self, Problem, Reason};
use crate::server::Server;
use crate::unread::Unread;
use crate::{device_api, git_http, metrics, operator_api, traces};

/// How long any one request may take, up to the beginning of its answer.
const LONGEST_REQUEST: Duration = Duration::from_secs(60);

/// How long the database may take to say that it is there.
const LONGEST_CHECK: Duration = Duration::from_secs(3);

/// All of them, and what is done with every request. That stands around the router and not in it, where
/// each route would carry a copy of its own; and it is no chain of layers, each of which would clone all
/// behind it for each request.
pub(crate) fn service(server: Server) -> impl Serve {
    let (for_clients, device_api) = device_api::router(&server);
    let (for_operators, operator_api) = operator_api::router(&server);
    let router = Router::new()
        .merge(for_clients)
        .merge(for_operators)
        .merge(for_anybody(device_api, operator_api))
        .merge(for_monitoring(&server));
    let router = if server.git_enabled { router.merge(for_git()) } else { router };
    let requests = server.metrics.requests.clone();
    let router = router.route_layer(layer_fn(move |route: Route| {
        from_fn_with_state(requests.endpoint(), metrics::count).layer(route)
    }));
    let refusals = server.metrics.refusals.clone();
    let router = router.with_state(server);
    service_fn(move |request: Request| {
        let (router, refusals) = (router.clone(), refusals.clone());
        async move { Ok(answer(router, &refusals, request).await) }
    })
}

async fn answer(router: impl Serve, refusals: &Refusals, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let trace = traces::of_request(&request);
    let (request, unread) = Unread::watch(request);
    let response = traces::follow(trace, bound_and_log(router, request)).await;
    unread.close_connection(problem::render(refusals, path, response))
}

/// They tell no secrets.
fn for_anybody(device_api: OpenApi, operator_api: OpenApi) -> Router<Server> {
    let describe = |document: OpenApi| move || async move { Json(document) };
    Router::new()
        // Not below /api/v1: what is there is Margo's to say.
        .route("/openapi/device-api.json", get(describe(device_api)))
        .route("/operator/v1/openapi.json", get(describe(operator_api)))
        .route("/healthz", get(get_health))
        .route("/readyz", get(get_readiness))
}

/// Whoever watches the server, with the token of an operator who may see the fleet.
fn for_monitoring(server: &Server) -> Router<Server> {
    let may_see = from_fn_with_state((server.clone(), Permission::ViewFleet), verify_operator);
    Router::new().route("/metrics", get(metrics::get_metrics).route_layer(may_see))
}

/// Whoever has a token for a client's repository.
fn for_git() -> Router<Server> {
    Router::new()
        .route("/git/allowed_signers", get(git_http::get_allowed_signers))
        .route("/git/{repository}/info/refs", get(git_http::get_info_refs))
        .route("/git/{repository}/git-upload-pack", post(git_http::post_upload_pack))
        .route("/git/{repository}/git-receive-pack", post(git_http::post_receive_pack))
}

/// `GET /healthz`: the process can answer. It does not ask the database: to start the server again would not
/// bring that back.
async fn get_health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /readyz`: whether the server can do its work. One that stops takes no connection, which says it too.
async fn get_readiness(State(server): State<Server>) -> Result<Json<Value>, Problem> {
    match tokio::time::timeout(LONGEST_CHECK, server.fleet.check()).await {
        Ok(Ok(())) => Ok(Json(json!({"status": "ready"}))),
        Ok(Err(error)) => Err(Problem::internal(&error)),
        Err(_) => {
            Err(Problem::unavailable(Reason::DatabaseBusy, "the database takes too long to answer"))
        }
    }
}

/// Ends requests that take too long or panic, and writes one line about each.
async fn bound_and_log(router: impl Serve, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!(
        "request",
        client = tracing::field::Empty,
        operator = tracing::field::Empty
    );
    let peer = request.extensions().get::<Peer>().map(|it| tracing::field::display(it.0));
    // Nothing of the request is used after a panic.
    let answer = AssertUnwindSafe(router.oneshot(request)).catch_unwind().instrument(span.clone());
    let response = match tokio::time::timeout(LONGEST_REQUEST, answer).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Err(_panic)) => {
            let detail = "the server made a mistake; its log says where";
            Problem::unavailable(Reason::Panic, detail).into_response()
        }
        Err(_elapsed) => {
            let detail = "the request took too long";
            Problem::unavailable(Reason::Timeout, detail).into_response()
        }
    };
    let status = response.status().as_u16();
    span.in_scope(|| match response.extensions().get::<Problem>() {
        Some(problem) => {
            let reason = problem.reason().name();
            // In quotes: it may repeat what the caller has sent.
            let why = problem.logged();
            if status >= 500 {
                tracing::warn!(%method, path, status, peer, reason, ?why, "failed");
            } else {
                tracing::info!(%method, path, status, peer, reason, ?why, "refused");
            }
        }
        None => tracing::debug!(%method, path, status, "answered"),
    });
    response
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io;

    use super::*;
    use crate::extract;
    use axum::body::Body;
    use axum::http::StatusCode;
    use futures_util::stream;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_finish_a_body_is_given_up() {
        let reads = service_fn(|request: Request| async {
            let body = extract::read(request.into_body(), 1_000).await;
            Ok::<_, Infallible>(body.map(|_| StatusCode::OK).into_response())
        });
        let answer = async |body| bound_and_log(reads, Request::new(body)).await.status();
        let stalled = Body::from_stream(stream::pending::<io::Result<Vec<u8>>>());
        assert_eq!(answer(stalled).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer(Body::from("all of it")).await, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_mistake_of_the_server_is_an_answer_too() {
        let wrong = service_fn(|request: Request| async move {
            let header = request.headers().get("x").expect("it is there");
            Ok::<_, Infallible>(header.len().to_string().into_response())
        });
        let answer = bound_and_log(wrong, Request::new(Body::empty())).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let problem = answer.extensions().get::<Problem>().expect("it is a problem");
        assert_eq!(problem.reason(), Reason::Panic);
    }
}
