//! The operator of the fleet, who orders an application for all of it, one order for each client, since the
//! operator API has no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use crate::application::APPLICATION;
use crate::fleet::Fleet;
use crate::link::{Answer, Connection, Ticket};

/// So many orders are on their way at a time.
const AT_A_TIME: usize = 16;

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
        let mut places: Vec<usize> = (0..fleet.clients.len()).collect();
        places.sort_unstable_by_key(|place| fleet.clients[*place].id());
        let (places, next): (Arc<[usize]>, _) = (places.into(), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for _ in 0..AT_A_TIME {
            let (token, fleet) = (Arc::clone(token), Arc::clone(fleet));
            let (places, next) = (Arc::clone(&places), Arc::clone(&next));
            tasks.spawn(async move {
                let mut operator = Self::new(&token, &fleet);
                while let Some(place) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let client = &fleet.clients[*place];
                    let id = Uuid::new_v4();
                    client.expect(id);
                    operator.order(id, client.id()).await;
                }
            });
        }
        tasks.join_all().await;
    }

    async fn order(&mut self, id: Uuid, client: Uuid) {
        let order = json!({
            "id": id, "applicationId": APPLICATION, "clientId": client,
            "parameters": {"greeting": "Hello"},
        });
        loop {
            let answer = self.ask(Method::POST, "/operator/v1/deployments", Some(&order)).await;
            match answer.status {
                StatusCode::CREATED => return,
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
        self.connection.ask(request).await.expect("the server answers")
    }
}
