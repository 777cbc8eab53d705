//! An operator, as the operator API sees one.

use serde_json::{Value, json};

use crate::http::{Answer, Http};
use crate::wait;

/// Speaks the operator API with one token.
#[derive(Debug, Clone)]
pub struct Operator {
    http: Http,
    token: String,
}

impl Operator {
    pub fn new(http: Http, token: String) -> Self {
        Self { http, token }
    }

    /// The token that this operator shows.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The id of the client whose certificate has this name.
    pub fn client_called(&self, name: &str) -> String {
        let clients = self.get("/clients");
        let clients = clients["items"].as_array().expect("a list of clients");
        let client = clients.iter().find(|it| it["name"] == name);
        let id = client.and_then(|it| it["id"].as_str());
        id.expect("who onboarded is listed").to_owned()
    }

    /// Sends a request to `path` below `/operator/v1`.
    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(|body| body.to_string().into_bytes());
        self.send_bytes(method, path, "application/json", body.as_deref())
    }

    /// As [`Operator::send`], with a body of any type.
    pub fn send_bytes(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<&[u8]>,
    ) -> Answer {
        self.try_send_bytes(method, path, content_type, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// As [`Operator::send`], for servers that may be gone.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ureq::Error> {
        let body = body.map(|body| body.to_string().into_bytes());
        self.try_send_bytes(method, path, "application/json", body.as_deref())
    }

    fn try_send_bytes(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<&[u8]>,
    ) -> Result<Answer, ureq::Error> {
        let authorization = format!("Bearer {}", self.token);
        let mut headers = vec![("authorization", authorization.as_str())];
        if body.is_some() {
            headers.push(("content-type", content_type));
        }
        self.http.try_send(method, &format!("/operator/v1{path}"), &headers, body)
    }

    /// Reads a resource that is there.
    pub fn get(&self, path: &str) -> Value {
        self.send("GET", path, None).expect(200).json()
    }

    /// Lets a client in.
    pub fn approve(&self, client: &str) {
        self.send("POST", &format!("/clients/{client}/approve"), Some(&json!({}))).expect(200);
    }

    /// Adds an application package: a tar or tar.gz.
    pub fn add_application(&self, package: &[u8]) -> Answer {
        self.send_bytes("POST", "/applications", "application/gzip", Some(package))
    }

    /// Orders a deployment and gives its id.
    pub fn deploy(&self, application: &str, client: &str, parameters: &Value) -> String {
        let order =
            json!({"applicationId": application, "clientId": client, "parameters": parameters});
        let deployment = self.send("POST", "/deployments", Some(&order)).expect(201).json();
        deployment["id"].as_str().expect("a deployment has an id").to_owned()
    }

    /// Waits until the newest content of a deployment is published and gives its revision.
    pub fn published(&self, deployment: &str) -> u64 {
        wait::until("the deployment to be published", || {
            self.get(&format!("/deployments/{deployment}"))["revision"].as_u64()
        })
    }

    /// Waits until a client's newest revision is this one.
    pub fn revision_reached(&self, client: &str, revision: u64) {
        wait::until("the revision to be published", || {
            (self.get(&format!("/clients/{client}"))["revision"] == revision).then_some(())
        });
    }
}
