//! A fleet that the requests are about: clients with keys of several kinds, deployments, and what can be taken
//! away without spoiling the rest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::certificates::Authority;
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::keys::{self, Key};
use testkit::programs;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/hello");
const APPLICATION: &str = "com-gantry-hello";
/// One client sends as many requests as a fleet does.
const CONFIGURATION: &str = "[limits]\nrequests_per_minute = 1000000\n";

/// A running fleet manager, and what the hooks in Python have to know of it.
pub(crate) struct Scene {
    pub(crate) fleet: TestFleet,
    pub(crate) known: Value,
}

impl Scene {
    pub(crate) fn set() -> Self {
        let fleet = TestFleet::start_with(CONFIGURATION);
        let operator = fleet.operator();
        programs::stdout_of(&mut fleet.gantry(&["application", "add", EXAMPLE]));
        let accepted = |key| {
            let mut client = TestClient::with_key(fleet.http(), key);
            fleet.accept(&mut client);
            client
        };
        let (approved, leaving) = (accepted(&keys::P256), accepted(&keys::ED25519));
        let renewing = fleet.accepted_client("renewing");
        let mut waiting = TestClient::with_key(fleet.http(), &keys::RSA);
        waiting.onboard().expect(403);
        fleet.stranger("refused").onboard().expect(403);
        let waiting_id = operator.client_called(waiting.name());

        let deployment = operator.deploy(APPLICATION, approved.id(), &json!({}));
        operator.published(&deployment);
        let withdrawn = operator.deploy(APPLICATION, leaving.id(), &json!({}));
        operator.deploy(APPLICATION, renewing.id(), &json!({}));
        let manifest = approved.get(&approved.path("/deployments"), &[]).expect(200).json();
        let document = text(&manifest["deployments"][0]["digest"]);
        let path = approved.path(&format!("/deployments/{deployment}/{document}"));
        let yaml = approved.get(&path, &[]).expect(200).text();
        let package = yaml.split("/packages/").nth(1).expect("the document names its package");
        let package: String = package.chars().take("sha256:".len() + 64).collect();
        approved.get(&approved.path(&format!("/packages/{package}")), &[]).expect(200);
        let component = &operator.get(&format!("/deployments/{deployment}"))["components"][0];

        let authority = Authority::new();
        let trust = json!({"certificate": authority.pem()});
        let trusted = operator.send("POST", "/trust", Some(&trust)).expect(201).json();
        let leaver = json!({"name": "leaver", "role": "viewer"});
        operator.send("POST", "/operators", Some(&leaver)).expect(201);
        let known = json!({
            "example": EXAMPLE,
            "application": APPLICATION,
            "version": text(&operator.get("/applications")["items"][0]["version"]),
            "clients": {
                "approved": client(&keys::P256, approved.id()),
                "leaving": client(&keys::ED25519, leaving.id()),
                "waiting": client(&keys::RSA, &waiting_id),
                "stranger": client(&keys::P384, ""),
            },
            "deployment": deployment,
            "component": text(&component["name"]),
            "document": document,
            "bundle": text(&manifest["bundle"]["digest"]),
            "package": package,
            "withdrawn": withdrawn,
            "authority": text(&trusted["fingerprint"]),
            "leaver": "leaver",
            "ordering": fleet.accepted_client("ordering").id(),
            "refused": operator.client_called("refused"),
            "renewing": renewing.id(),
            "renewed": fleet.stranger("renewed").certificate_pem(),
        });
        Self { fleet, known }
    }
}

fn client(key: &Key, id: &str) -> Value {
    json!({
        "id": id,
        "key": key.pem,
        "certificate": STANDARD.encode(key.certificate_der()),
        "pem": key.certificate,
    })
}

fn text(value: &Value) -> String {
    value.as_str().expect("it is text").to_owned()
}
