//! Requests by route, method and status. Each route has counters of its own, which it looks up when it is
//! called for the first time; after that a request costs one addition.

use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::traces;

/// Statuses that are given here, and a word for a further one.
const STATUSES: [(u16, &str); 23] = [
    (200, "200"),
    (201, "201"),
    (202, "202"),
    (204, "204"),
    (206, "206"),
    (304, "304"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (406, "406"),
    (408, "408"),
    (409, "409"),
    (413, "413"),
    (415, "415"),
    (416, "416"),
    (422, "422"),
    (429, "429"),
    (500, "500"),
    (501, "501"),
    (503, "503"),
    (0, "other"),
];
/// Of a request without an answer: its sender has hung up, it took too long, or the server made a mistake.
const UNANSWERED: &str = "none";

/// Counts requests.
#[derive(Debug, Clone)]
pub(crate) struct Requests(Family<Labels, Counter>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: String,
    method: &'static str,
    status: &'static str,
}

/// The counters of one method of one route.
#[derive(Debug)]
pub(crate) struct Endpoint {
    requests: Requests,
    name: OnceLock<(String, &'static str)>,
    answered: [OnceLock<Counter>; STATUSES.len()],
    unanswered: OnceLock<Counter>,
}

impl Requests {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let family = Family::default();
        registry.register("requests", "Requests by route, method and status", family.clone());
        Self(family)
    }

    /// For one method of one route, which it learns of when it is called.
    pub(crate) fn endpoint(&self) -> Arc<Endpoint> {
        Arc::new(Endpoint {
            requests: self.clone(),
            name: OnceLock::new(),
            answered: [const { OnceLock::new() }; STATUSES.len()],
            unanswered: OnceLock::new(),
        })
    }
}

impl Endpoint {
    fn answered(&self, status: StatusCode) {
        let place = STATUSES.iter().position(|(code, _)| *code == status.as_u16());
        let place = place.unwrap_or(STATUSES.len() - 1);
        if let (Some(counter), Some((_, name))) = (self.answered.get(place), STATUSES.get(place)) {
            counter.get_or_init(|| self.counter(name)).inc();
        }
    }

    fn counter(&self, status: &'static str) -> Counter {
        let (route, method) = self.name.get().cloned().unwrap_or_default();
        self.requests.0.get_or_create_owned(&Labels { route, method, status })
    }
}

/// Counts a request as unanswered unless it is told that there was an answer.
struct Asked<'a>(Option<&'a Endpoint>);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(endpoint) = self.0 {
            endpoint.unanswered.get_or_init(|| endpoint.counter(UNANSWERED)).inc();
        }
    }
}

/// Counts the requests of one method of one route.
pub(crate) async fn count(
    State(endpoint): State<Arc<Endpoint>>,
    request: Request,
    next: Next,
) -> Response {
    let (route, method) = endpoint.name.get_or_init(|| {
        let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        (route.unwrap_or_default().to_owned(), method(request.method()))
    });
    traces::matched(method, route);
    let mut asked = Asked(Some(&endpoint));
    let response = next.run(request).await;
    asked.0 = None;
    endpoint.answered(response.status());
    response
}

/// A route for GET answers HEAD too.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::extract::Path;
    use axum::middleware::from_fn_with_state;
    use axum::routing::{Route, get};
    use futures_util::FutureExt as _;
    use prometheus_client::encoding::prometheus_text::encode;
    use tower::layer::layer_fn;
    use tower::{Layer as _, ServiceExt as _};

    use super::*;

    /// Answers with the status in the path; 0 is no answer.
    fn router(requests: Requests) -> Router {
        let answer = |Path(status): Path<u16>| async move {
            match status {
                0 => std::future::pending().await,
                status => StatusCode::from_u16(status).expect("a status"),
            }
        };
        Router::new().route("/answer/{status}", get(answer).post(answer)).route_layer(layer_fn(
            move |route: Route| from_fn_with_state(requests.endpoint(), count).layer(route),
        ))
    }

    #[test]
    fn requests_are_counted_by_route_method_and_status_and_by_nothing_that_a_caller_chose() {
        let mut registry = Registry::default();
        let router = router(Requests::register(&mut registry));
        let ask = |method: &str, status: u16| {
            let path = format!("/answer/{status}?by=somebody");
            let request = Request::builder().method(method).uri(path).body(Body::empty());
            let answer = router.clone().oneshot(request.expect("a good request"));
            // One that is waited for no longer is dropped, as that of a caller who hangs up.
            let _ = answer.now_or_never();
        };
        for (method, status) in
            [("GET", 200), ("GET", 200), ("HEAD", 200), ("POST", 503), ("POST", 418), ("GET", 0)]
        {
            ask(method, status);
        }
        let mut text = String::new();
        encode(&mut text, &registry).expect("text can be written");
        let mut counted: Vec<&str> = text.lines().filter(|it| !it.starts_with('#')).collect();
        counted.sort_unstable();
        let route = "route=\"/answer/{status}\"";
        let expected = [
            format!("requests_total{{{route},method=\"GET\",status=\"200\"}} 3"),
            format!("requests_total{{{route},method=\"GET\",status=\"none\"}} 1"),
            format!("requests_total{{{route},method=\"POST\",status=\"503\"}} 1"),
            format!("requests_total{{{route},method=\"POST\",status=\"other\"}} 1"),
        ];
        assert_eq!(counted, expected);
    }
}
