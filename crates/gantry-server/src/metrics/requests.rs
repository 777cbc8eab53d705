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
    endpoint.name.get_or_init(|| {
        let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        (route.unwrap_or_default().to_owned(), method(request.method()))
    });
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
