//! The operator of the fleet, who orders an application for all of it, many clients with one request.

use std::sync::Arc;

use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use crate::application::APPLICATION;
use crate::client::Client;
use crate::fleet::Fleet;
use crate::link::{Answer, Connection, Ticket};
use crate::pace;

/// So many clients are in one request: as many as it takes.
const AT_A_TIME: usize = 1_000;
/// An operator who had no answer asks again, up to so many times in a row. Orders name what they make, so
/// that none is carried out twice.
const MOST_FAILURES: u32 = 5;

/// An operator at one connection after the other.
pub(crate) struct Operator {
    token: Arc<str>,
    connection: Connection,
}

impl Operator {
    pub(crate) fn new(token: &Arc<str>, fleet: &Arc<Fleet>) -> Self {
        let ticket = Arc::new(Ticket::default());
        Self { token: Arc::clone(token), connection: fleet.way.connection(&ticket) }
    }

    /// Orders the application for each client, and tells the clients what to expect. The order is that of
    /// their ids, which has nothing to do with when they poll.
    pub(crate) async fn order_for_all(token: &Arc<str>, fleet: &Arc<Fleet>) {
        let mut clients: Vec<&Client> = fleet.clients.iter().collect();
        clients.sort_unstable_by_key(|client| client.id());
        let mut operator = Self::new(token, fleet);
        for some in clients.chunks(AT_A_TIME) {
            let places = some.iter().map(|client| {
                let id = Uuid::new_v4();
                client.expect(id);
                json!({"clientId": client.id(), "id": id})
            });
            operator.order(places.collect()).await;
        }
    }

    async fn order(&mut self, places: Vec<Value>) {
        let order = json!({
            "applicationId": APPLICATION, "parameters": {"greeting": "Hello"}, "places": places,
        });
        loop {
            let path = "/operator/v1/deployments/batch";
            let answer = self.ask(Method::POST, path, Some(&order)).await;
            match answer.status {
                StatusCode::OK => {
                    let outcomes: Value =
                        serde_json::from_slice(&answer.body).expect("the server answers in JSON");
                    let outcomes = outcomes["items"].as_array().expect("a list of outcomes");
                    let refused = outcomes.iter().find(|it| !it["refusal"].is_null());
                    assert!(refused.is_none() && outcomes.len() == places.len(), "{refused:?}");
                    return;
                }
                StatusCode::SERVICE_UNAVAILABLE => {
                    sleep(answer.retry_after().expect("the server says when to come again")).await;
                }
                status => panic!("an order was answered with {status}: {}", answer.text()),
            }
        }
    }

    /// What a counter or gauge of the server says; 0 where it is not there.
    pub(crate) async fn metric(&mut self, name: &str) -> u64 {
        let answer = self.ask(Method::GET, "/metrics", None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let value = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
        answer.text().lines().find_map(value).unwrap_or_default()
    }

    /// The state of a deployment.
    pub(crate) async fn state_of(&mut self, deployment: Uuid) -> String {
        let path = format!("/operator/v1/deployments/{deployment}");
        let answer = self.ask(Method::GET, &path, None).await;
        let seen: Value = serde_json::from_slice(&answer.body).expect("the server answers in JSON");
        seen["state"].as_str().unwrap_or_default().to_owned()
    }

    async fn ask(&mut self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.connection.authority())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = request.body(Full::from(body)).expect("it is well-formed");
        for failures in 1..=MOST_FAILURES {
            match self.connection.ask(request.clone()).await {
                Ok(answer) => return answer,
                Err(error) => {
                    crate::tell(&format!("  no answer from {path} to the operator: {error}"));
                    sleep(pace::pause(failures, None)).await;
                }
            }
        }
        panic!("the server does not answer {path}");
    }
}
