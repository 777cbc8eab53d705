//! Who gets what from which route. One table holds the answer of every route to every kind of caller; a
//! route without a line in it fails the test.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::certificates::Authority;
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::http::Answer;
use testkit::operator::Operator;

use crate::support::{add_web, manifest, package_files, tar_gz};

/// Where routes are made; see `no_route_is_made_elsewhere`.
const ROUTES: &str = include_str!("../../src/routes.rs");
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const JSON: &str = "application/json";
const GIT: &str = "application/x-git-upload-pack-request";

/// Who asks. Each shows all that it has: a signature, a token of its repository, or an operator's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// Shows nothing.
    Nobody,
    /// These three ask for what is their own.
    Waiting,
    Rejected,
    Revoked,
    /// Another client, which is let in, asks for what is this client's, at this client's paths.
    Other,
    /// The same, at its own paths.
    OtherAtHome,
    /// This client asks for what is its own.
    This,
    Viewer,
    Operator,
    Administrator,
}

const CALLERS: [Caller; 10] = [
    Caller::Nobody,
    Caller::Waiting,
    Caller::Rejected,
    Caller::Revoked,
    Caller::Other,
    Caller::OtherAtHome,
    Caller::This,
    Caller::Viewer,
    Caller::Operator,
    Caller::Administrator,
];

/// Method, path, and the answer to each of [`CALLERS`]. Asked in this order: what breaks something for
/// those below it comes late.
#[rustfmt::skip]
const ANSWERS: &[(&str, &str, [u16; 10])] = &[
    //                                                          nobody waiting rejected revoked other home this viewer operator admin
    ("GET",    "/healthz",                                             [200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/readyz",                                              [200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/openapi/device-api.json",                             [200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/operator/v1/openapi.json",                            [200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/api/v1/onboarding/certificate",                       [200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("POST",   "/api/v1/onboarding",                                   [401, 403, 403, 403, 201, 201, 201, 401, 401, 401]),

    // Clients, each for itself.
    ("POST",   "/api/v1/clients/{clientId}/capabilities",              [401, 403, 403, 403, 401, 201, 201, 401, 401, 401]),
    ("PUT",    "/api/v1/clients/{clientId}/capabilities",              [401, 403, 403, 403, 401, 201, 201, 401, 401, 401]),
    ("POST",   "/api/v1/clients/{clientId}/capabilities/{deviceId}",   [401, 403, 403, 403, 401, 201, 201, 401, 401, 401]),
    ("PUT",    "/api/v1/clients/{clientId}/capabilities/{deviceId}",   [401, 403, 403, 403, 401, 201, 201, 401, 401, 401]),
    ("GET",    "/api/v1/clients/{clientId}/deployments",               [401, 403, 403, 403, 401, 200, 200, 401, 401, 401]),
    ("GET",    "/api/v1/clients/{clientId}/deployments/{deploymentId}/{digest}",
                                                                       [401, 403, 403, 403, 401, 404, 200, 401, 401, 401]),
    ("POST",   "/api/v1/clients/{clientId}/deployments/{deploymentId}/status",
                                                                       [401, 403, 403, 403, 401, 404, 201, 401, 401, 401]),
    ("GET",    "/api/v1/clients/{clientId}/bundles/{digest}",          [401, 403, 403, 403, 401, 404, 200, 401, 401, 401]),
    ("GET",    "/api/v1/clients/{clientId}/packages/{digest}",         [401, 403, 403, 403, 401, 404, 200, 401, 401, 401]),
    ("GET",    "/api/v1/clients/{clientId}/repository",                [401, 403, 403, 403, 401, 200, 200, 401, 401, 401]),
    ("POST",   "/api/v1/clients/{clientId}/security-events",           [401, 403, 403, 403, 401, 204, 204, 401, 401, 401]),

    // Git, with the client's token, or with the one that an operator asked for.
    ("GET",    "/git/allowed_signers",                                 [200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/git/{repository}/info/refs",                          [401, 401, 401, 401, 404, 200, 200, 200, 200, 200]),
    ("POST",   "/git/{repository}/git-upload-pack",                    [401, 401, 401, 401, 404, 200, 200, 200, 200, 200]),
    ("POST",   "/git/{repository}/git-receive-pack",                   [401, 401, 401, 401, 404, 403, 403, 403, 403, 403]),

    // Operators, by role.
    ("GET",    "/metrics",                                             [401, 401, 401, 401, 401, 401, 401, 200, 200, 200]),
    ("GET",    "/operator/v1/whoami",                                  [401, 401, 401, 401, 401, 401, 401, 200, 200, 200]),
    ("GET",    "/operator/v1/clients",                                 [401, 401, 401, 401, 401, 401, 401, 200, 200, 200]),
    ("GET",    "/operator/v1/trust",                                   [401, 401, 401, 401, 401, 401, 401, 200, 200, 200]),
    ("POST",   "/operator/v1/trust",                                   [401, 401, 401, 401, 401, 401, 401, 403, 403, 201]),
    // The test knows no fingerprint of one.
    ("DELETE", "/operator/v1/trust/{fingerprint}",                     [401, 401, 401, 401, 401, 401, 401, 403, 403, 404]),
    ("POST",   "/operator/v1/clients",                                 [401, 401, 401, 401, 401, 401, 401, 403, 403, 201]),
    ("POST",   "/operator/v1/clients/{clientId}/certificate",          [401, 401, 401, 401, 401, 401, 401, 403, 403, 200]),
    ("GET",    "/operator/v1/clients/{clientId}",                      [401, 401, 401, 401, 401, 401, 401, 200, 200, 200]),
    ("GET",    "/operator/v1/clients/{clientId}/capabilities",         [401, 401, 401, 401, 401, 401, 401, 200, 200, 200]),
    ("POST",   "/operator/v1/clients/{clientId}/repository",           [401, 401, 401, 401, 401, 401, 401, 200, 200, 200]),
    ("GET",    "/operator/v1/clients/{clientId}/revisions",            [401, 401, 401, 401, 401, 401, 401, 200, 200, 200]),
    ("GET",    "/operator/v1/clients/{clientId}/revisions/{revision}", [401, 401, 401, 401, 401, 401, 401, 200, 200, 200]),
    ("GET",    "/operator/v1/signing-keys",                            [401, 401, 401, 401, 401, 401, 401, 200, 200, 200]),
    ("GET",    "/operator/v1/applications",                            [401, 401, 401, 401, 401, 401, 401, 200, 200, 200]),
    ("GET",    "/operator/v1/applications/{applicationId}",            [401, 401, 401, 401, 401, 401, 401, 200, 200, 200]),
    ("GET",    "/operator/v1/applications/{applicationId}/{version}",  [401, 401, 401, 401, 401, 401, 401, 200, 200, 200]),
    ("GET",    "/operator/v1/deployments",                             [401, 401, 401, 401, 401, 401, 401, 200, 200, 200]),
    ("GET",    "/operator/v1/deployments/{deploymentId}",              [401, 401, 401, 401, 401, 401, 401, 200, 200, 200]),
    ("GET",    "/operator/v1/deployments/{deploymentId}/events",       [401, 401, 401, 401, 401, 401, 401, 200, 200, 200]),
    ("POST",   "/operator/v1/applications",                            [401, 401, 401, 401, 401, 401, 401, 403, 201, 201]),
    ("POST",   "/operator/v1/deployments",                             [401, 401, 401, 401, 401, 401, 401, 403, 201, 201]),
    // What comes of each place is in the answer.
    ("POST",   "/operator/v1/deployments/batch",                       [401, 401, 401, 401, 401, 401, 401, 403, 200, 200]),
    ("PATCH",  "/operator/v1/deployments/{deploymentId}",              [401, 401, 401, 401, 401, 401, 401, 403, 200, 200]),
    // What is wanted stays: the refusal comes from the catalogue.
    ("DELETE", "/operator/v1/applications/{applicationId}/{version}",  [401, 401, 401, 401, 401, 401, 401, 403, 409, 409]),
    ("POST",   "/operator/v1/clients/{clientId}/rollback",             [401, 401, 401, 401, 401, 401, 401, 403, 200, 200]),
    ("DELETE", "/operator/v1/deployments/{deploymentId}",              [401, 401, 401, 401, 401, 401, 401, 403, 200, 200]),
    ("GET",    "/operator/v1/operators",                               [401, 401, 401, 401, 401, 401, 401, 403, 403, 200]),
    ("POST",   "/operator/v1/operators",                               [401, 401, 401, 401, 401, 401, 401, 403, 403, 201]),
    ("DELETE", "/operator/v1/operators/{name}",                        [401, 401, 401, 401, 401, 401, 401, 403, 403, 204]),
    ("POST",   "/operator/v1/signing-keys",                            [401, 401, 401, 401, 401, 401, 401, 403, 403, 200]),
    ("POST",   "/operator/v1/clients/{clientId}/approve",              [401, 401, 401, 401, 401, 401, 401, 403, 403, 200]),
    // An approved client is not rejected but revoked.
    ("POST",   "/operator/v1/clients/{clientId}/reject",               [401, 401, 401, 401, 401, 401, 401, 403, 403, 409]),
    ("DELETE", "/api/v1/clients/{clientId}/capabilities/{deviceId}",   [401, 403, 403, 403, 401, 204, 204, 401, 401, 401]),
    ("POST",   "/operator/v1/clients/{clientId}/revoke",               [401, 401, 401, 401, 401, 401, 401, 403, 403, 200]),
];

/// A fleet with one caller of each kind, and what belongs to this client.
struct Scene {
    fleet: TestFleet,
    waiting: Member,
    rejected: Member,
    revoked: Member,
    other: Member,
    this: Member,
    viewer: Operator,
    operator: Operator,
    administrator: Operator,
    deployment: String,
    document: String,
    bundle: String,
    package: String,
}

/// A client, its id and its token for Git, if it ever got one.
struct Member {
    client: TestClient,
    id: String,
    git_token: Option<String>,
}

#[test]
fn every_route_answers_every_caller_as_the_table_says() {
    let scene = Scene::set();
    let mut wrong = Vec::new();
    for (method, path, expected) in ANSWERS {
        for (caller, expected) in CALLERS.into_iter().zip(expected) {
            let answer = scene.ask(caller, method, path);
            if answer.status != *expected {
                let text: String = answer.text().chars().take(300).collect();
                wrong.push(format!(
                    "{method} {path} as {caller:?}: {} and not {expected}: {text}",
                    answer.status
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_route_is_in_the_table() {
    let fleet = TestFleet::start();
    let mut routes = routes_of_the_source();
    for document in ["/openapi/device-api.json", "/operator/v1/openapi.json"] {
        let document = fleet.http().send("GET", document, &[], None).json();
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for method in methods.as_object().expect("methods").keys() {
                routes.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    let table: BTreeSet<(String, String)> =
        ANSWERS.iter().map(|(method, path, _)| (method.to_string(), path.to_string())).collect();
    assert_eq!(routes, table);
    assert_eq!(table.len(), ANSWERS.len(), "a route is in the table twice");
}

// margo(E-3): 405 says what there is.
#[test]
fn every_path_names_its_methods_when_another_one_is_used() {
    let fleet = TestFleet::start();
    let paths: BTreeSet<&str> = ANSWERS.iter().map(|(_, path, _)| *path).collect();
    for path in paths {
        let of_path = ANSWERS.iter().filter(|it| it.1 == path).map(|it| it.0);
        let known: BTreeSet<&str> = of_path.collect();
        let mut expected = known.clone();
        if known.contains("GET") {
            expected.insert("HEAD");
        }
        let filled: Vec<&str> =
            path.split('/').map(|it| if it.starts_with('{') { "x" } else { it }).collect();
        for method in METHODS.iter().filter(|it| !known.contains(*it)) {
            let answer = fleet.http().send(method, &filled.join("/"), &[], None);
            let answer = answer.expect_problem(405, "about:blank", "Allow");
            let allowed: BTreeSet<&str> =
                answer.header("allow").expect("405 has Allow").split(',').map(str::trim).collect();
            assert_eq!(allowed, expected, "{method} {path}");
        }
    }
}

/// The list above is complete only when nothing else makes routes: `device_api.rs` and `operator_api.rs` make
/// those that their OpenAPI documents name, each out of the description of its handler, and no others.
#[test]
fn no_route_is_made_elsewhere() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut folders = vec![std::path::PathBuf::from(source)];
    let mut makers = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the source is there") {
            let path = entry.expect("a folder can be read").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("source is text");
            // Tests have routes of their own.
            let text = text.split("#[cfg(test)]").next().expect("something comes first");
            let undescribed = [".route(", ".route_service(", ".fallback(", ".nest_service("];
            let described = [".routes(", ".nest("];
            for (makes, what) in [(&undescribed[..], "undescribed"), (&described, "described")] {
                if makes.iter().any(|it| text.contains(it)) {
                    let file = path.file_name().and_then(|it| it.to_str()).expect("a file");
                    makers.insert((what, file.to_owned()));
                }
            }
        }
    }
    let expected = [
        ("described", "device_api.rs"),
        ("described", "operator_api.rs"),
        ("undescribed", "routes.rs"),
    ];
    assert_eq!(makers, expected.map(|(what, file)| (what, file.to_owned())).into());
}

/// Method and path of each `.route(…)` in the source.
fn routes_of_the_source() -> BTreeSet<(String, String)> {
    let mut routes = BTreeSet::new();
    for call in ROUTES.split(".route(").skip(1) {
        let call = call.split(".route_layer(").next().expect("something comes before");
        let call = call.split("\n}").next().expect("a function ends");
        let path = call.split('"').nth(1).expect("a route's path is written out");
        assert!(path.starts_with('/'), "{path} is no path");
        let before = routes.len();
        for method in METHODS {
            let lower = method.to_lowercase();
            let made = [" ", ".", "("].map(|before| format!("{before}{lower}("));
            if made.iter().any(|it| call.contains(it.as_str())) {
                routes.insert((method.to_owned(), path.to_owned()));
            }
        }
        assert!(routes.len() > before, "{path} has no method that is known here");
    }
    routes
}

impl Scene {
    fn set() -> Self {
        let fleet = TestFleet::start();
        let administrator = fleet.operator();
        add_web(&fleet);
        let this = Member::let_in(&fleet, "press-7");
        let other = Member::let_in(&fleet, "press-8");
        let revoked = Member::let_in(&fleet, "press-9");
        let waiting = Member::at_the_door(&fleet, "waiting");
        let rejected = Member::at_the_door(&fleet, "rejected");
        for (member, verdict) in [(&revoked, "revoke"), (&rejected, "reject")] {
            let path = format!("/clients/{}/{verdict}", member.id);
            administrator.send("POST", &path, Some(&json!({}))).expect(200);
        }
        let deployment = administrator.deploy("com-example-web", &this.id, &json!({}));
        administrator.published(&deployment);
        let manifest = manifest(&this.client);
        let text = |value: &Value| value.as_str().expect("it is text").to_owned();
        let document = text(&manifest["deployments"][0]["digest"]);
        let path = this.client.path(&format!("/deployments/{deployment}/{document}"));
        let yaml = this.client.get(&path, &[]).expect(200).text();
        let package = yaml.split("/packages/").nth(1).expect("the document names its package");
        let package = package.chars().take("sha256:".len() + 64).collect();
        let bundle = text(&manifest["bundle"]["digest"]);
        let [viewer, operator] = ["viewer", "operator"].map(|role| add_operator(&fleet, role));
        Self {
            fleet,
            waiting,
            rejected,
            revoked,
            other,
            this,
            viewer,
            operator,
            administrator,
            deployment,
            document,
            bundle,
            package,
        }
    }

    fn member(&self, caller: Caller) -> Option<&Member> {
        match caller {
            Caller::Waiting => Some(&self.waiting),
            Caller::Rejected => Some(&self.rejected),
            Caller::Revoked => Some(&self.revoked),
            Caller::Other | Caller::OtherAtHome => Some(&self.other),
            Caller::This => Some(&self.this),
            Caller::Nobody | Caller::Viewer | Caller::Operator | Caller::Administrator => None,
        }
    }

    fn operator(&self, caller: Caller) -> Option<&Operator> {
        match caller {
            Caller::Viewer => Some(&self.viewer),
            Caller::Operator => Some(&self.operator),
            Caller::Administrator => Some(&self.administrator),
            _ => None,
        }
    }

    /// Sends a request that has nothing wrong but, perhaps, who sends it.
    fn ask(&self, caller: Caller, method: &str, template: &str) -> Answer {
        let path = self.fill(caller, template);
        let body = self.body(caller, method, template);
        let (content_type, body) = body.map_or((JSON, None), |(kind, body)| (kind, Some(body)));
        let mut headers: Vec<(String, String)> = Vec::new();
        if body.is_some() {
            headers.push(("content-type".to_owned(), content_type.to_owned()));
        }
        if let Some(member) = self.member(caller) {
            let request = member.client.signed(method, &path, body.clone(), &[]);
            headers.extend(request.headers);
        } else if body.is_some() {
            // Whoever can count can make one.
            let request = self.this.client.signed(method, &path, body.clone(), &[]);
            headers.extend(request.headers.into_iter().filter(|it| it.0 == "content-digest"));
        }
        headers.extend(self.authorization(caller, template));
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.fleet.http().send(method, &path, &headers, body.as_deref())
    }

    fn authorization(&self, caller: Caller, template: &str) -> Option<(String, String)> {
        let basic = |user: &str, token: &str| {
            format!("Basic {}", STANDARD.encode(format!("{user}:{token}")))
        };
        let value = if let Some(operator) = self.operator(caller) {
            if template.starts_with("/git/") {
                let path = format!("/clients/{}/repository", self.this.id);
                let access = operator.send("POST", &path, None).expect(200).json();
                let token = access["token"].as_str().expect("a token is text");
                basic(&self.this.id, token)
            } else {
                format!("Bearer {}", operator.token())
            }
        } else {
            let member = self.member(caller)?;
            // Who never got a token makes one up.
            basic(&member.id, member.git_token.as_deref().unwrap_or("AAAAAAAAAAAAAAAA"))
        };
        Some(("authorization".to_owned(), value))
    }

    fn fill(&self, caller: Caller, template: &str) -> String {
        let of_device_api = template.starts_with("/api/") || template.starts_with("/git/");
        let addressed = match (caller, self.member(caller)) {
            (Caller::Other, _) | (_, None) => &self.this,
            (_, Some(member)) if of_device_api => member,
            (_, Some(_)) => &self.this,
        };
        let digest = match template {
            it if it.contains("/bundles/") => &self.bundle,
            it if it.contains("/packages/") => &self.package,
            _ => &self.document,
        };
        let mut path = template
            .replace("{clientId}", &addressed.id)
            .replace("{deviceId}", if template.starts_with("/api/") { "press-7" } else { "x" })
            .replace("{deploymentId}", &self.deployment)
            .replace("{digest}", digest)
            .replace("{repository}", &format!("{}.git", addressed.id))
            .replace("{applicationId}", "com-example-web")
            .replace("{version}", "1.0.0")
            .replace("{revision}", "1")
            .replace("{fingerprint}", &self.document)
            // Whom the line above has added.
            .replace("{name}", &format!("new-{caller:?}"));
        if template.ends_with("/info/refs") {
            path.push_str("?service=git-upload-pack");
        }
        assert!(!path.contains('{'), "{path}: nothing is known for a part of it");
        path
    }

    fn body(
        &self,
        caller: Caller,
        method: &str,
        template: &str,
    ) -> Option<(&'static str, Vec<u8>)> {
        if !["POST", "PUT", "PATCH"].contains(&method) {
            return None;
        }
        let json = |value: Value| Some((JSON, value.to_string().into_bytes()));
        let (_, below) = template.rsplit_once("/v1/").unwrap_or(("", template));
        match below {
            "onboarding" => {
                let member = self.member(caller).unwrap_or(&self.this);
                json(member.client.onboarding_request())
            }
            "clients/{clientId}/capabilities" | "clients/{clientId}/capabilities/{deviceId}" => {
                json(self.this.client.capabilities())
            }
            "clients/{clientId}/deployments/{deploymentId}/status" => json(json!({
                "apiVersion": "deployment.margo.org/v1alpha1",
                "kind": "DeploymentStatusManifest",
                "deploymentId": self.deployment,
                "status": {"state": "pending"},
                "components": [{"name": "web", "state": "pending"}],
            })),
            "clients/{clientId}/security-events" => json(json!({"what": "a test"})),
            "/git/{repository}/git-upload-pack" => Some((GIT, b"0000".to_vec())),
            "/git/{repository}/git-receive-pack" => Some((GIT, b"0000".to_vec())),
            "applications" => {
                let version = format!("2.0.0-{caller:?}");
                Some(("application/gzip", tar_gz(&package_files(&version))))
            }
            // On a device that does not have the application yet: the other client has two.
            "deployments" => {
                let administers = caller == Caller::Administrator;
                let device = if administers { "press-7" } else { "press-8" };
                json(json!({"applicationId": "com-example-web", "clientId": self.other.id,
                    "deviceId": device, "name": format!("on-{device}")}))
            }
            "deployments/batch" => json(json!({"applicationId": "com-example-web",
                "places": [{"clientId": self.other.id}]})),
            "clients/{clientId}/rollback" => json(json!({"revision": 1, "reason": "a test"})),
            "trust" => json(json!({"certificate": Authority::new().pem()})),
            "clients" | "clients/{clientId}/certificate" => {
                let stranger = self.fleet.stranger("unheard-of");
                json(json!({"certificate": stranger.certificate_pem()}))
            }
            "operators" => json(json!({"name": format!("new-{caller:?}"), "role": "viewer"})),
            "clients/{clientId}/repository" | "signing-keys" => None,
            "deployments/{deploymentId}"
            | "clients/{clientId}/approve"
            | "clients/{clientId}/reject"
            | "clients/{clientId}/revoke" => json(json!({})),
            other => panic!("no body is known for {other}"),
        }
    }
}

impl Member {
    fn let_in(fleet: &TestFleet, name: &str) -> Self {
        let client = fleet.accepted_client(name);
        let access = client.get(&client.path("/repository"), &[]).expect(200).json();
        let token = access["token"].as_str().expect("a token is text").to_owned();
        Self { id: client.id().to_owned(), client, git_token: Some(token) }
    }

    fn at_the_door(fleet: &TestFleet, name: &str) -> Self {
        let mut client = fleet.stranger(name);
        client.onboard().expect(403);
        let id = fleet.operator().client_called(name);
        Self { client, id, git_token: None }
    }
}

/// An operator with this role, who is called like it.
fn add_operator(fleet: &TestFleet, role: &str) -> Operator {
    let wanted = json!({"name": role, "role": role});
    let added = fleet.operator().send("POST", "/operators", Some(&wanted)).expect(201).json();
    let token = added["token"].as_str().expect("a token is text").to_owned();
    Operator::new(fleet.http(), token)
}
